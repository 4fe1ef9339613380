//! Answers of a broadcaster, and what is none.

use core::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, Response, Words, classic};
use poolmesh_proto::{PoolId, PoolInfo, Refusal};

use super::model::Model;
use super::{LONGEST, pool};
use crate::input::Input;

fn encode(response: &Response, out: &mut BytesMut) {
    classic::encode_response(response, out);
}

fn me() -> SocketAddr {
    ([192, 0, 2, 1], 5_000).into()
}

/// The answer to one of the calls. It comes too late if that is over, twice if it was answered.
pub(super) fn fitting(model: &Model, input: &mut Input<'_>, out: &mut BytesMut) {
    let choice = input.u8();
    match model.choose(choice % 16).map(|call| call.request) {
        Some(Request::List) => encode(&Response::Pools(list(choice / 16)), out),
        Some(Request::Create) => encode(&joined(pool(choice / 16), true), out),
        Some(Request::Join(pool)) => encode(&joined(pool, choice >= 0xf0), out),
        Some(Request::Ping(_)) | None => encode(&Response::PoolEnded, out),
    }
}

/// Any answer or notice, most of them about pools that there are.
pub(super) fn any(model: &Model, input: &mut Input<'_>, out: &mut BytesMut) {
    let choice = input.u8();
    let hosted = usize::from(choice / 16).checked_rem(model.hosted().len());
    let pool =
        hosted.and_then(|place| model.hosted().get(place)).copied().unwrap_or_else(|| pool(choice / 16));
    let limit = u64::from(choice);
    let refusal = match choice % 16 {
        0 => return encode(&Response::PoolEnded, out),
        1 => return encode(&Response::Pools(list(choice / 16)), out),
        2 => return encode(&joined(pool, true), out),
        3 => return encode(&joined(pool, false), out),
        4 | 5 => Refusal::NoSuchPool(Words::new(pool.as_bytes())),
        6 => Refusal::PoolFull { pool, limit },
        7 => Refusal::NotHost,
        8 => Refusal::UnknownRequest,
        9 => Refusal::Truncated { missing: limit },
        10 => Refusal::TooLong { limit },
        11 => Refusal::TooManyPools { limit },
        12 => Refusal::TooManyPoolsFromSource { limit },
        13 => Refusal::TooManyPeers { limit },
        14 => Refusal::NoFreshId,
        _ => Refusal::Other(Words::new(input.bytes(usize::from(choice / 16)))),
    };
    encode(&Response::Refused(refusal), out);
}

/// A fitting answer of which a byte is changed, the end is missing, or too much is there; or any bytes.
pub(super) fn spoiled(model: &Model, input: &mut Input<'_>, out: &mut BytesMut) {
    let (how, value) = (input.u8(), input.u8());
    let place = usize::from(how / 4);
    match how % 4 {
        0 => out.extend_from_slice(input.bytes(place)),
        1 => {
            fitting(model, input, out);
            out.truncate(place);
        }
        2 => {
            fitting(model, input, out);
            out.resize((out.len() + usize::from(value) * 4).min(LONGEST), value);
        }
        _ => {
            fitting(model, input, out);
            if let Some(byte) = out.get_mut(place) {
                *byte = value;
            }
        }
    }
}

/// Some pools; of many each has a short name, so that they take more memory than they take bytes.
fn list(count: u8) -> Vec<PoolId> {
    match count {
        15 => vec![PoolId::new(b"x").expect("a letter is an id"); 500],
        _ => (0..count).map(pool).collect(),
    }
}

fn joined(id: PoolId, hosted: bool) -> Response {
    let host = if hosted { me() } else { ([192, 0, 2, 2], 5_000).into() };
    Response::Joined(PoolInfo::new(id, host, me(), [me(), host]))
}
