//! What a peer reads: a byte stream as frames, however the connection cuts it.

use bytes::Bytes;
use poolmesh_proto::wire::{Frame, FrameReader, FrameTooLong};

use crate::input::Input;

/// Pieces that a stream comes in, at most; the last is all that is left. So a long stream takes little longer than a
/// short one.
const MOST_PIECES: usize = 96;

/// What the next bytes of a stream are.
enum Next<'a> {
    Message {
        name: &'a [u8],
        payload: &'a [u8],
    },
    Empty,
    Malformed,
    /// A frame that is too long, after which nothing can be read.
    TooLong(u32),
    /// The start of a frame, or nothing.
    Unfinished,
}

/// Reads the stream behind the first bytes, which choose limits and cuts. A reader that gets it in pieces gives the
/// frames that a plain parser sees in what has come, as soon as they are whole, and keeps no more than the rest.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    decodes(data);
}

/// The same, and whether there was a frame.
///
/// # Panics
/// As [`check`].
pub fn decodes(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let limits = input.u16();
    let max_frame = usize::from(limits % 1_024);
    // Rarely a long stream of a short input: small chunks are gathered up to 4 KiB.
    let times = if limits >= 0xf000 { 16 } else { 1 };
    let burst = input.one_to(32);
    let count = input.one_to(8);
    let mut sizes = input.bytes(count).iter().copied().map(usize::from).cycle();
    let stream = Bytes::from(input.into_rest().repeat(times));

    let mut coming = stream.clone();
    let mut reader = FrameReader::new(max_frame);
    // What has come, and is not yet read.
    let mut there = 0..0;
    let mut pieces = 0;
    while !coming.is_empty() {
        let mut waiting = 0;
        for _ in 0..burst {
            pieces += 1;
            let size = sizes.next().filter(|_| pieces < MOST_PIECES).unwrap_or(coming.len());
            let piece = coming.split_to(size.min(coming.len()));
            waiting += piece.len();
            reader.push(piece);
            assert_eq!(reader.waiting(), waiting);
        }
        there.end += waiting;
        loop {
            let bytes = stream.get(there.clone()).expect("no more than the stream");
            let (next, len) = parse(bytes, max_frame);
            check_next(&next, reader.next_frame(), max_frame);
            there.start += len;
            match next {
                Next::Message { .. } | Next::Empty | Next::Malformed => {}
                Next::TooLong(_) => {
                    check_next(&next, reader.next_frame(), max_frame);
                    return there.start > 0;
                }
                Next::Unfinished => break,
            }
        }
        assert_eq!((reader.waiting(), reader.unfinished()), (0, there.len()));
        assert!(there.len() < 4 + max_frame.max(1), "{} bytes of a frame", there.len());
    }
    reader.clear();
    assert_eq!((reader.waiting(), reader.unfinished()), (0, 0));
    there.start > 0
}

/// The next frame, read as plainly as can be, and how many bytes it takes.
fn parse(bytes: &[u8], max_frame: usize) -> (Next<'_>, usize) {
    let Some((len, behind)) = number(bytes) else { return (Next::Unfinished, 0) };
    if len as usize > max_frame {
        return (Next::TooLong(len), 0);
    }
    let Some(body) = behind.get(..len as usize) else { return (Next::Unfinished, 0) };
    let named = number(body).and_then(|(len, body)| body.split_at_checked(len as usize));
    let next = match named {
        Some((name, payload)) => Next::Message { name, payload },
        None if body.is_empty() => Next::Empty,
        None => Next::Malformed,
    };
    (next, 4 + body.len())
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u32::from_le_bytes(*number), rest))
}

/// Whether the reader sees the same.
fn check_next(expected: &Next<'_>, read: Result<Option<Frame>, FrameTooLong>, max_frame: usize) {
    match (expected, read) {
        (Next::Message { name, payload }, Ok(Some(Frame::Message(message)))) => {
            assert_eq!((message.name(), message.payload()), (*name, *payload));
            assert_eq!(message.reader().rest(), *payload);
            assert_eq!(message.into_payload(), *payload);
        }
        (Next::Empty, Ok(Some(Frame::Empty)))
        | (Next::Malformed, Ok(Some(Frame::Malformed)))
        | (Next::Unfinished, Ok(None)) => {}
        (Next::TooLong(len), Err(error)) => assert_eq!(error, FrameTooLong { len: *len, max: max_frame }),
        (_, read) => panic!("{read:?} was read"),
    }
}
