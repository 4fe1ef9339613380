//! Frames by hand: the shortest code that is right.

use clap::ValueEnum;

/// The name of every event that is sent.
pub(crate) const NAME: &[u8] = b"pos";
/// The same, for handlers.
pub(crate) const NAME_TEXT: &str = "pos";
/// What stands before a payload: two lengths and the name.
const HEADER: usize = 8 + NAME.len();
/// What is written at a time, in bytes.
pub(crate) const WRITE: usize = 64 * 1_024;

/// How long frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// 32 bytes in all.
    Small,
    /// 1 KiB in all.
    Kilo,
    /// 64 KiB of payload.
    Bulk,
}

impl Shape {
    /// Of the payload, in bytes.
    pub(crate) const fn payload_len(self) -> usize {
        match self {
            Self::Small => 32 - HEADER,
            Self::Kilo => 1_024 - HEADER,
            Self::Bulk => 64 * 1_024,
        }
    }

    /// Of the whole frame, in bytes.
    pub(crate) const fn frame_len(self) -> usize {
        HEADER + self.payload_len()
    }

    /// A payload.
    pub(crate) fn payload(self) -> Vec<u8> {
        vec![7; self.payload_len()]
    }

    /// A frame.
    pub(crate) fn frame(self) -> Vec<u8> {
        let mut frame = vec![0; self.frame_len()];
        put(&mut frame, &self.payload());
        frame
    }
}

/// Writes a frame with this payload, for which there is just room.
pub(crate) fn put(out: &mut [u8], payload: &[u8]) {
    let len = (4 + NAME.len() + payload.len()) as u32;
    let Some((frame_len, out)) = out.split_first_chunk_mut::<4>() else { return };
    let Some((name_len, out)) = out.split_first_chunk_mut::<4>() else { return };
    let Some((name, out)) = out.split_first_chunk_mut::<{ NAME.len() }>() else { return };
    *frame_len = len.to_le_bytes();
    *name_len = (NAME.len() as u32).to_le_bytes();
    name.copy_from_slice(NAME);
    out.copy_from_slice(payload);
}

/// Tells the name and the payload of each whole frame, and returns how many bytes of an unfinished one are left.
// Whether it is inlined must not hang on where else it is used: it would cost twice as much.
#[inline(always)]
pub(crate) fn parse<'a>(mut bytes: &'a [u8], mut tell: impl FnMut(&'a [u8], &'a [u8])) -> usize {
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let Some((body, rest)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else { break };
        if let Some((name_len, body)) = body.split_first_chunk::<4>() {
            if let Some((name, payload)) = body.split_at_checked(u32::from_le_bytes(*name_len) as usize) {
                tell(name, payload);
            }
        }
        bytes = rest;
    }
    bytes.len()
}

/// Counts frames without keeping anything of them: for such as are longer than what is read at a time.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    /// The length of a frame, of which this much has come.
    len: [u8; 4],
    len_filled: usize,
    /// What is to come of the frame.
    left: usize,
}

impl Counter {
    /// How many frames end within these bytes.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut frames = 0;
        loop {
            if let Some(rest) = bytes.get(self.left..).filter(|_| self.left > 0) {
                (bytes, self.left) = (rest, 0);
                frames += 1;
            } else if self.left > 0 {
                self.left -= bytes.len();
                return frames;
            }
            let (Some((first, rest)), Some(place)) = (bytes.split_first(), self.len.get_mut(self.len_filled))
            else {
                return frames;
            };
            (*place, bytes) = (*first, rest);
            self.len_filled += 1;
            if self.len_filled == self.len.len() {
                self.left = u32::from_le_bytes(self.len) as usize;
                self.len_filled = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use poolmesh_proto::wire::{Frame, FrameReader};

    use super::*;

    #[test]
    fn a_frame_by_hand_is_one_of_ours() {
        for (shape, len) in [(Shape::Small, 32), (Shape::Kilo, 1_024), (Shape::Bulk, 65_547)] {
            let frame = shape.frame();
            assert_eq!(frame.len(), len);
            let mut reader = FrameReader::new(1 << 20);
            reader.push(frame.into());
            let Ok(Some(Frame::Message(message))) = reader.next_frame() else { panic!("no frame") };
            assert_eq!((message.name(), message.payload()), (NAME, &shape.payload()[..]));
            assert_eq!(reader.unfinished(), 0);
        }
    }

    #[test]
    fn all_whole_frames_are_parsed_and_the_rest_is_left() {
        for (shape, len) in [(Shape::Small, 32), (Shape::Kilo, 1_024)] {
            let stream = shape.frame().repeat(3);
            for cut in 0..stream.len() {
                let mut frames = 0;
                let left = parse(&stream[..cut], |name, payload| {
                    assert_eq!((name, payload), (NAME, &shape.payload()[..]));
                    frames += 1;
                });
                assert_eq!((frames, left), (cut / len, cut % len));
            }
        }
    }

    #[test]
    fn a_counter_counts_the_same_however_the_stream_is_cut() {
        let stream = Shape::Small.frame().repeat(5);
        for piece in 1..stream.len() {
            let mut counter = Counter::default();
            let mut at = 0;
            for piece in stream.chunks(piece) {
                let before = at / 32;
                at += piece.len();
                assert_eq!(counter.count(piece), (at / 32 - before) as u64);
            }
        }
    }
}
