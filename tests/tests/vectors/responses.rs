//! What a broadcaster sends to a client.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use bytes::BytesMut;
use poolmesh_proto::wire::{Response, Words, classic};
use poolmesh_proto::{PoolId, PoolInfo, Refusal};
use poolmesh_testkit::model::wire::{Said, said};

use crate::file::{Vector, shown};

/// Every answer and notice is read as what it means, and is canonical: it is written back as it came. The
/// model's wire reads it alike.
pub(crate) fn check(vectors: &[Vector]) -> BTreeSet<String> {
    let mut covered = BTreeSet::new();
    for vector in vectors.iter().filter(|vector| vector.is_from_broadcaster()) {
        let decoded = classic::decode_response(&vector.bytes).unwrap();
        assert_eq!(decoded, expected(vector), "{}", vector.name);
        let by_hand = match said(&vector.bytes).unwrap() {
            Said::Pools(ids) => Response::Pools(ids),
            Said::Pool(info) => Response::Joined(info),
            Said::Error(refusal) => Response::Refused(refusal),
            Said::PoolEnded => Response::PoolEnded,
        };
        assert_eq!(by_hand, decoded, "{}", vector.name);
        let mut encoded = BytesMut::new();
        classic::encode_response(&decoded, &mut encoded);
        assert_eq!(encoded, vector.bytes, "{}", vector.name);
        if let Some(text) = vector.text("error_text") {
            assert_eq!(shown(&encoded[5..]), text, "{}", vector.name);
        }
        covered.insert(vector.name.clone());
    }
    covered
}

fn expected(vector: &Vector) -> Response {
    match vector.number("type") {
        Some(2) => {
            let ids = vector.texts("pool_ids");
            Response::Pools(ids.into_iter().map(|id| id.parse().unwrap()).collect())
        }
        Some(3) => Response::Joined(pool_info(vector)),
        Some(4) => Response::Refused(refusal(&vector.bytes[5..])),
        Some(5) => Response::PoolEnded,
        other => panic!("{}: no answer has type {other:?}", vector.name),
    }
}

/// What a join answer says.
pub(crate) fn pool_info(vector: &Vector) -> PoolInfo {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let id = PoolId::new(&vector.pool_id().unwrap()).unwrap();
    let peers = vector.texts("peers").into_iter().map(address);
    let [host, you] = ["host", "you"].map(|field| address(vector.text(field).unwrap()));
    PoolInfo::new(id, host, you, peers)
}

/// What gop2p means by an error text, each of which has a variant of its own.
fn refusal(text: &[u8]) -> Refusal {
    let words = text.strip_prefix(b"ERROR: ").unwrap();
    let between = |before: &[u8], after: &[u8]| words.strip_prefix(before)?.strip_suffix(after);
    if let Some(id) = between(b"pool with id ", b" doesn't exist") {
        return Refusal::NoSuchPool(Words::new(id));
    }
    if let Some(number) = between(b"out of bound by ", b" elements") {
        return Refusal::Truncated { missing: core::str::from_utf8(number).unwrap().parse().unwrap() };
    }
    match words {
        b"only the host can send ping messages" => Refusal::NotHost,
        b"unknown message type" => Refusal::UnknownRequest,
        other => panic!("gop2p has no such error: {}", shown(other)),
    }
}
