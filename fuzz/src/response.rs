//! What a client reads: a datagram as an answer or a notice of a broadcaster.

use bytes::BytesMut;
use poolmesh_proto::wire::{MAX_ANSWER, Refusal, Response, ResponseFault, Words, classic};

/// A classic answer's type byte and the length of its string, in bytes.
const HEADER: usize = 5;

/// What stands in the buffer already: encoding appends.
const BEFORE: &[u8] = b"before";

/// Decodes `data` as a response. It encodes to at most [`MAX_ANSWER`] bytes, which read as the same response, its
/// list cut from the end if, and only if, the next item didn't fit. No broadcaster takes an answer for a request.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    decodes(data);
}

/// The same, and whether it is a response.
///
/// # Panics
/// As [`check`].
pub fn decodes(data: &[u8]) -> bool {
    let response = match classic::decode_response(data) {
        Ok(response) => response,
        Err(fault) => {
            check_fault(data, fault);
            return false;
        }
    };
    let encoded = encoded(&response);
    assert!(encoded.len() <= MAX_ANSWER, "{} bytes", encoded.len());
    assert!(classic::decode_request(&encoded).is_err(), "an answer that is a request");
    if matches!(response, Response::Refused(_)) {
        assert!(
            encoded.get(HEADER..).is_some_and(|text| text.starts_with(b"ERROR: ")),
            "gop2p's prefix is missing"
        );
    }
    let again = classic::decode_response(&encoded).expect("what was encoded is a response");
    check_cut(&response, &again, encoded.len());
    assert_eq!(self::encoded(&again), encoded, "what was read encodes to something else");
    true
}

fn encoded(response: &Response) -> BytesMut {
    let mut out = BytesMut::from(BEFORE);
    classic::encode_response(response, &mut out);
    let encoded = out.split_off(BEFORE.len());
    assert_eq!(out, BEFORE);
    encoded
}

/// `again` is `response`, but for items at its end that don't fit an answer of which `len` bytes are taken.
fn check_cut(response: &Response, again: &Response, len: usize) {
    match (response, again) {
        (Response::Pools(ids), Response::Pools(kept)) => {
            assert!(ids.starts_with(kept));
            if let Some(next) = ids.get(kept.len()) {
                assert!(len + 1 + next.as_bytes().len() > MAX_ANSWER, "{next} would have fitted");
            }
        }
        (Response::Joined(info), Response::Joined(kept)) => {
            assert_eq!((info.id(), info.host(), info.you()), (kept.id(), kept.host(), kept.you()));
            assert!(info.peers().starts_with(kept.peers()));
            if let Some(next) = info.peers().get(kept.peers().len()) {
                assert!(len + 1 + next.to_string().len() > MAX_ANSWER, "{next} would have fitted");
            }
        }
        // The cut of a text that is too long may make it one that is known: only its bytes stay.
        (Response::Refused(Refusal::Other(words)), Response::Refused(_))
            if words.as_bytes().len() == Words::MAX_LEN => {}
        _ => assert_eq!(response, again),
    }
}

fn check_fault(data: &[u8], fault: ResponseFault) {
    assert!(!fault.to_string().is_empty());
    match fault {
        ResponseFault::Empty => assert!(data.is_empty()),
        ResponseFault::UnknownType(kind) => assert_eq!(data.first(), Some(&kind)),
        ResponseFault::Truncated { missing } => assert!(missing > 0),
        ResponseFault::TrailingBytes { count } => {
            let kept = data.len().checked_sub(count).expect("no more bytes than there are");
            assert!(count > 0);
            let cut = data.get(..kept).unwrap_or_default();
            let cut = classic::decode_response(cut);
            assert!(!matches!(
                cut,
                Err(ResponseFault::TrailingBytes { .. } | ResponseFault::Truncated { .. })
            ));
        }
        ResponseFault::BadItem { index } => {
            assert!(index <= data.iter().filter(|byte| **byte == b' ').count() + 1);
        }
        _ => {}
    }
}
