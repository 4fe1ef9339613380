//! What a client sends to a broadcaster.

use std::collections::BTreeSet;

use bytes::BytesMut;
use poolmesh_proto::PoolId;
use poolmesh_proto::wire::{Request, RequestFault, classic};
use poolmesh_testkit::model::wire::{Asked, asked};

use crate::file::Vector;

/// Every request is read as what it means, or as what is wrong with it, by the model's wire, too. The encoding of each that can be read is
/// canonical: none has bytes behind its fields.
pub(crate) fn check(vectors: &[Vector]) -> BTreeSet<String> {
    let mut covered = BTreeSet::new();
    for vector in vectors.iter().filter(|vector| vector.is_for_broadcaster()) {
        let decoded = classic::decode_request(&vector.bytes);
        let id = vector.pool_id();
        assert_eq!(decoded, expected(vector, id.as_deref()), "{}", vector.name);
        assert_eq!(asked(&vector.bytes), by_hand(decoded), "{}", vector.name);
        if let Ok(request) = decoded {
            let mut encoded = BytesMut::new();
            classic::encode_request(&request, &mut encoded);
            assert_eq!(encoded, vector.bytes, "{}", vector.name);
        }
        covered.insert(vector.name.clone());
    }
    covered
}

fn expected<'a>(vector: &Vector, id: Option<&'a [u8]>) -> Result<Request, RequestFault<'a>> {
    let Some(kind) = vector.number("type") else { return Err(RequestFault::Empty) };
    let with_pool: fn(PoolId) -> Request = match kind {
        0 => return Ok(Request::Create),
        1 => Request::Ping,
        2 => return Ok(Request::List),
        3 => Request::Join,
        other => return Err(RequestFault::UnknownType(u8::try_from(other).unwrap())),
    };
    match id {
        Some(id) => PoolId::new(id).map(with_pool).map_err(|_| RequestFault::NotAPoolId(id)),
        None => {
            // Without its length all four bytes of that are missing, with it what it promises.
            let present = vector.number("string_bytes_present").unwrap_or(0);
            let missing = vector.number("string_len").map_or(4, |len| len - present);
            Err(RequestFault::Truncated { missing })
        }
    }
}

/// The same in the words of the model.
fn by_hand(decoded: Result<Request, RequestFault<'_>>) -> Asked {
    match decoded {
        Ok(Request::Create) => Asked::Create,
        Ok(Request::Ping(id)) => Asked::Ping(id.as_bytes().to_vec()),
        Ok(Request::List) => Asked::List,
        Ok(Request::Join(id)) => Asked::Join(id.as_bytes().to_vec()),
        Err(RequestFault::Empty) => Asked::Nothing,
        Err(RequestFault::UnknownType(_)) => Asked::Unknown,
        Err(RequestFault::Truncated { missing }) => Asked::Short(missing),
        // Those that were captured are joins.
        Err(RequestFault::NotAPoolId(id)) => Asked::Join(id.to_vec()),
        Err(fault) => panic!("none such was captured: {fault}"),
    }
}
