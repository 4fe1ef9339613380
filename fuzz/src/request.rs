//! What a broadcaster reads: a datagram as a request.

use bytes::BytesMut;
use poolmesh_proto::wire::{Dialect, RequestFault, classic};

/// The longest encoded request, as `encode_request` promises it, in bytes.
const MAX_REQUEST: usize = 68;

/// What stands in the buffer already: encoding appends.
const BEFORE: &[u8] = b"before";

/// Decodes `data` as a request. A request encodes to the bytes it was read from, and reads the same again; a fault is
/// true of the bytes.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    decodes(data);
}

/// The same, and whether it is a request.
///
/// # Panics
/// As [`check`].
pub fn decodes(data: &[u8]) -> bool {
    let request = match classic::decode_request(data) {
        Ok(request) => request,
        Err(fault) => {
            check_fault(data, fault);
            return false;
        }
    };
    let mut out = BytesMut::from(BEFORE);
    classic::encode_request(&request, &mut out);
    let encoded = out.split_off(BEFORE.len());
    assert_eq!(out, BEFORE);
    assert!(encoded.len() <= MAX_REQUEST);
    assert_eq!(Dialect::of(&encoded), Dialect::Classic);
    assert_eq!(classic::decode_request(&encoded), Ok(request));
    assert!(data.starts_with(&encoded), "{request:?} is not what was read");
    true
}

fn check_fault(data: &[u8], fault: RequestFault<'_>) {
    assert!(!fault.to_string().is_empty());
    match fault {
        RequestFault::Empty => assert!(data.is_empty()),
        RequestFault::UnknownType(kind) => assert_eq!(data.first(), Some(&kind)),
        RequestFault::Truncated { missing } => check_missing(data, missing),
        RequestFault::NotAPoolId(id) => {
            assert!(id.is_empty() || id.contains(&b' ') || id.len() > poolmesh_proto::PoolId::MAX_LEN);
            assert!(data.windows(id.len().max(1)).any(|part| part == id) || id.is_empty());
        }
        RequestFault::Answer => assert!(matches!(data.first(), Some(2 | 4))),
        _ => {}
    }
}

/// With the missing bytes there, the field is whole. A length may turn out to be the next thing missing.
fn check_missing(data: &[u8], missing: u64) {
    assert!(missing > 0);
    if missing > 4_096 {
        return;
    }
    let mut whole = data.to_vec();
    let mut missing = usize::try_from(missing).expect("it is at most 4,096");
    for _ in 0..2 {
        let mut short = whole.clone();
        short.resize(whole.len() + missing - 1, 0);
        assert!(matches!(classic::decode_request(&short), Err(RequestFault::Truncated { missing: 1 })));
        whole.resize(whole.len() + missing, 0);
        match classic::decode_request(&whole) {
            Err(RequestFault::Truncated { missing: more }) if more <= 4_096 => {
                missing = usize::try_from(more).expect("it is at most 4,096");
            }
            _ => return,
        }
    }
    panic!("more than a length and a string is missing");
}
