//! Bytes of a stream, cut into frames by hand.
//!
//! A frame is the length of its body as a u32, little endian, and the body: the length of the event's name, the name,
//! and the payload up to the body's end.

/// What one frame is, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What the frame holds.
    pub frame: Frame,
    /// The place behind its last byte, counted from the start of the stream.
    pub end: usize,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An event, with its name and its payload.
    Event(Vec<u8>, Vec<u8>),
    /// Nothing: its length is 0.
    Empty,
    /// A body in which the name runs past the end.
    Malformed,
}

/// What follows the last whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Nothing,
    /// The beginning of a frame.
    Begun,
    /// A frame that is longer than the limit: it announces so many bytes.
    TooLong(u32),
}

/// The bytes of an event's frame.
#[must_use]
pub fn event(name: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    [&length(4 + name.len() + payload.len())[..], &length(name.len())[..], name, payload].concat()
}

/// Cuts a stream into frames with bodies of at most `max_frame` bytes.
#[must_use]
pub fn cut(stream: &[u8], max_frame: usize) -> (Vec<Piece>, Tail) {
    let mut pieces = Vec::new();
    let mut rest = stream;
    loop {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else {
            return (pieces, if rest.is_empty() { Tail::Nothing } else { Tail::Begun });
        };
        let announced = u32::from_le_bytes(*length);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > max_frame {
            return (pieces, Tail::TooLong(announced));
        }
        let Some((body, behind)) = behind.split_at_checked(length) else { return (pieces, Tail::Begun) };
        rest = behind;
        pieces.push(Piece { frame: frame(body), end: stream.len() - rest.len() });
    }
}

fn frame(body: &[u8]) -> Frame {
    if body.is_empty() {
        return Frame::Empty;
    }
    let Some((length, rest)) = body.split_first_chunk::<4>() else { return Frame::Malformed };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    match rest.split_at_checked(length) {
        Some((name, payload)) => Frame::Event(name.to_vec(), payload.to_vec()),
        None => Frame::Malformed,
    }
}
