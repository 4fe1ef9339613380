//! Frames on a stream between two peers.

use alloc::vec::Vec;
use core::fmt;
use core::mem;

use bytes::{Buf, Bytes, BytesMut};

use super::frames::{Counts, Frames, Scan};
use super::received::Received;
use super::room::Room;
use crate::wire::{Message, fields};

/// The length that starts a frame.
pub(super) const LENGTH_LEN: usize = 4;

/// What a frame adds to its name and payload, in bytes: its own length and the name's.
pub(crate) const HEADER_LEN: usize = 8;

/// What stands before an event's name: both lengths, in one store. The caller sees to it that they fit 32 bits.
#[inline]
pub(crate) fn header(name: &[u8], payload_len: usize) -> [u8; HEADER_LEN] {
    let body = u32::try_from(LENGTH_LEN + name.len() + payload_len).unwrap_or(u32::MAX);
    let name_len = u32::try_from(name.len()).unwrap_or(u32::MAX);
    (u64::from(name_len) << 32 | u64::from(body)).to_le_bytes()
}

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An event.
    Message(Message),
    /// A frame of length 0. gop2p sends one when a program hands one packet to two peers.
    Empty,
    /// A body in which the event's name runs past the end. gop2p skips it.
    Malformed,
}

/// Cuts a stream into frames.
///
/// Bytes come in by [`push`](Self::push), in chunks of any size, or by [`read_from`](Self::read_from), out of the memory
/// that a driver reads into. A frame that arrived in one chunk is handed out as a slice of that chunk. One that spans
/// chunks is put together in memory that grows with what has arrived, never with what is announced: at most the bytes
/// received and [`FrameReader::SLACK`] more. How the stream was cut into chunks doesn't change the frames.
#[derive(Debug)]
pub struct FrameReader {
    max_frame: usize,
    received: Received,
    /// The start of a frame whose end has not arrived, from its length on.
    partial: Vec<u8>,
    /// Whole frames, out of the memory that is read into.
    whole: BytesMut,
    /// What they are.
    counts: Counts,
    /// Bytes of an unfinished frame that stay in the memory that is read into.
    outside: usize,
    room: Room,
    too_long: Option<FrameTooLong>,
}

impl FrameReader {
    /// What is reserved beyond the bytes received, at most, in bytes.
    pub const SLACK: usize = 256 * 1_024;

    /// A reader that takes frames with bodies of up to `max_frame` bytes.
    #[must_use]
    pub fn new(max_frame: usize) -> Self {
        Self {
            max_frame,
            received: Received::default(),
            partial: Vec::new(),
            whole: BytesMut::new(),
            counts: Counts::default(),
            outside: 0,
            room: Room::default(),
            too_long: None,
        }
    }

    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        self.received.push(chunk);
    }

    /// Makes room for a read behind what `buffer` holds, which is what [`read_from`](Self::read_from) has left there:
    /// the start of a frame. There is more room as more comes, up to [`SLACK`](Self::SLACK). Memory of which nobody
    /// holds a slice any more is used again.
    pub fn make_room(&mut self, buffer: &mut BytesMut) {
        let whole = body_len(buffer, self.max_frame).ok().flatten().map_or(0, |len| LENGTH_LEN + len);
        self.room.make(buffer, whole);
    }

    /// Takes the whole frames out of the memory that is read into, and leaves there what is not whole yet. Always the
    /// same memory is to be used: what was left in it is part of the stream.
    ///
    /// What was left, and not yet taken, counts as received with the bytes behind it: a chunk that is pushed meanwhile
    /// stands before them.
    pub fn read_from(&mut self, buffer: &mut BytesMut) {
        if self.received.len() > 0 || !self.partial.is_empty() {
            // Both ways at once: what came before is before it.
            self.push(buffer.split().freeze());
            self.outside = 0;
            return;
        }
        self.room.filled(buffer);
        let scan = Scan::of(buffer, self.max_frame);
        self.counts.add(scan.counts);
        if scan.counts.bytes > 0 {
            // Of no bytes it would still hold on to the memory, and to make that larger would take a copy.
            let frames = buffer.split_to(scan.counts.bytes);
            self.whole.unsplit(frames);
        }
        if scan.too_long {
            // It is found once the frames before it are taken.
            self.push(Bytes::copy_from_slice(buffer.get(..LENGTH_LEN).unwrap_or_default()));
            buffer.clear();
        }
        self.room.emptied(buffer);
        self.outside = buffer.len();
    }

    /// How many bytes were received and not yet looked at. None once [`next_frame`](Self::next_frame) had no frame.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.received.len() + self.whole.len()
    }

    /// How many bytes belong to a frame whose end has not been seen.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.partial.len() + self.outside
    }

    /// Forgets everything received, but not that a frame was too long.
    pub fn clear(&mut self) {
        self.received = Received::default();
        self.partial = Vec::new();
        self.whole = BytesMut::new();
        (self.counts, self.outside) = (Counts::default(), 0);
    }

    /// The next frame, or none if the bytes received hold no further whole one.
    ///
    /// # Errors
    /// If the next frame is longer than the limit, which is known from its first four bytes. There is no way to
    /// the frame behind it: the error stays.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameTooLong> {
        if let Some(error) = self.too_long {
            return Err(error);
        }
        if !self.whole.is_empty() {
            let len = body_len(&self.whole, self.max_frame).ok().flatten().unwrap_or_default();
            let frame = self.whole.split_to(self.whole.len().min(LENGTH_LEN + len)).freeze();
            self.counts.take(Counts::of(&frame));
            return Ok(Some(frame_of(frame)));
        }
        if self.partial.is_empty() {
            let front = self.received.front();
            match body_len(front, self.max_frame) {
                Err(error) => return Err(*self.too_long.insert(error)),
                Ok(Some(len)) if front.len() >= LENGTH_LEN + len => {
                    return Ok(Some(frame_of(self.received.take(LENGTH_LEN + len))));
                }
                Ok(_) => {}
            }
        }
        self.next_spanning().map(|frame| frame.map(frame_of))
    }

    /// All whole frames that came in one piece, or none if the bytes received hold no further whole one.
    ///
    /// # Errors
    /// As [`next_frame`](Self::next_frame), once there is no frame before the one that is too long.
    pub fn next_frames(&mut self) -> Result<Option<Frames>, FrameTooLong> {
        if let Some(error) = self.too_long {
            return Err(error);
        }
        if !self.whole.is_empty() {
            let counts = mem::take(&mut self.counts);
            return Ok(Some(Frames::new(mem::take(&mut self.whole).freeze(), counts)));
        }
        if self.partial.is_empty() {
            let scan = Scan::of(self.received.front(), self.max_frame);
            if scan.counts.bytes > 0 {
                return Ok(Some(Frames::new(self.received.take(scan.counts.bytes), scan.counts)));
            }
        }
        Ok(self.next_spanning()?.map(|frame| {
            let counts = Counts::of(&frame);
            Frames::new(frame, counts)
        }))
    }

    /// The slow path: a frame that spans chunks.
    fn next_spanning(&mut self) -> Result<Option<Bytes>, FrameTooLong> {
        loop {
            let len =
                body_len(&self.partial, self.max_frame).map_err(|error| *self.too_long.insert(error))?;
            let whole = LENGTH_LEN + len.unwrap_or(0);
            if len.is_some() && self.partial.len() >= whole {
                return Ok(Some(Bytes::from(mem::take(&mut self.partial))));
            }
            let taken = self.received.take(whole - self.partial.len());
            if taken.is_empty() {
                return Ok(None);
            }
            self.append(&taken, whole);
        }
    }

    /// Appends to the partial frame, of `whole` bytes once it is complete. Doubling keeps the copying linear for
    /// small frames, the cap keeps what is reserved near what has arrived for large ones.
    fn append(&mut self, bytes: &[u8], whole: usize) {
        let needed = self.partial.len() + bytes.len();
        if needed > self.partial.capacity() {
            let generous = needed.saturating_add(needed.min(Self::SLACK)).min(whole).max(needed);
            self.partial.reserve_exact(generous - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }
}

/// The length of the body behind `bytes`' first four, none while they are not all there.
fn body_len(bytes: &[u8], max: usize) -> Result<Option<usize>, FrameTooLong> {
    let Ok((_, len)) = fields::u32(bytes) else { return Ok(None) };
    match usize::try_from(len) {
        Ok(len) if len <= max => Ok(Some(len)),
        _ => Err(FrameTooLong { len, max }),
    }
}

/// `frame = u32 length of the body, body; body = string event name, payload`. The length has been checked; a moved
/// start costs less than a slice, which counts a reference.
fn frame_of(mut frame: Bytes) -> Frame {
    frame.advance(LENGTH_LEN);
    if frame.is_empty() {
        return Frame::Empty;
    }
    let Ok((_, name)) = fields::string(&frame) else { return Frame::Malformed };
    let name_len = name.len();
    frame.advance(LENGTH_LEN);
    Frame::Message(Message::new(frame, name_len))
}

/// A peer announced a frame that is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong {
    /// The length it announced, in bytes.
    pub len: u32,
    /// The limit, in bytes.
    pub max: usize,
}

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} bytes is longer than the limit of {}", self.len, self.max)
    }
}

impl core::error::Error for FrameTooLong {}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const STREAM: &[u8] = b"\x0a\0\0\0\x03\0\0\0msgabc\0\0\0\0\x05\0\0\0\x64\0\0\0a\x07\0\0\0\x03\0\0\0end";

    fn all(reader: &mut FrameReader) -> Vec<Frame> {
        core::iter::from_fn(|| reader.next_frame().unwrap()).collect()
    }

    #[test]
    fn any_cut_gives_the_same_frames() {
        let mut whole = FrameReader::new(100);
        whole.push(Bytes::from_static(STREAM));
        let expected = all(&mut whole);
        assert_eq!(expected.len(), 4);
        assert!(matches!(
            expected[..],
            [Frame::Message(_), Frame::Empty, Frame::Malformed, Frame::Message(_)]
        ));
        for size in 1..STREAM.len() {
            let mut reader = FrameReader::new(100);
            let mut frames = vec![];
            for chunk in STREAM.chunks(size) {
                reader.push(Bytes::from_static(chunk));
                frames.extend(all(&mut reader));
            }
            assert_eq!(frames, expected, "cut every {size} bytes");
            assert_eq!((reader.waiting(), reader.unfinished()), (0, 0));
        }
    }

    /// A name and a payload.
    type Event = (Vec<u8>, Vec<u8>);

    /// Reads the stream in pieces of `size` bytes. Frames are taken one by one, or as they came.
    fn all_read(size: usize, together: bool) -> (Vec<Frame>, Vec<Event>) {
        let (mut reader, mut buffer) = (FrameReader::new(100), BytesMut::new());
        let (mut frames, mut events) = (vec![], vec![]);
        for chunk in STREAM.chunks(size) {
            reader.make_room(&mut buffer);
            assert!(buffer.capacity() - buffer.len() >= size);
            buffer.extend_from_slice(chunk);
            reader.read_from(&mut buffer);
            if together {
                for frames in core::iter::from_fn(|| reader.next_frames().unwrap()) {
                    events
                        .extend(frames.iter().map(|event| (event.name().to_vec(), event.payload().to_vec())));
                }
            } else {
                frames.extend(all(&mut reader));
            }
            assert_eq!((reader.waiting(), reader.unfinished()), (0, buffer.len()));
        }
        assert!(buffer.is_empty());
        (frames, events)
    }

    #[test]
    fn what_is_read_in_place_gives_the_same_frames_and_events() {
        let mut whole = FrameReader::new(100);
        whole.push(Bytes::from_static(STREAM));
        let expected = all(&mut whole);
        let events = [("msg", "abc"), ("end", "")].map(|(name, payload)| (name.into(), payload.into()));
        for size in 1..=STREAM.len() {
            assert_eq!(all_read(size, false), (expected.clone(), vec![]), "cut every {size} bytes");
            assert_eq!(all_read(size, true), (vec![], events.to_vec()), "cut every {size} bytes");
        }
    }

    #[test]
    fn a_frame_too_long_comes_after_those_before_it() {
        let (mut reader, mut buffer) = (FrameReader::new(10), BytesMut::from(STREAM));
        buffer.extend_from_slice(b"\x0b\0\0\0");
        reader.read_from(&mut buffer);
        assert_eq!((reader.waiting(), buffer.len()), (STREAM.len() + 4, 0));
        assert_eq!(reader.next_frames().unwrap().unwrap().messages(), 2);
        assert_eq!(reader.next_frames(), Err(FrameTooLong { len: 11, max: 10 }));
        assert_eq!(reader.next_frame(), Err(FrameTooLong { len: 11, max: 10 }));
    }

    #[test]
    fn both_ways_to_take_frames_and_to_give_bytes_can_be_mixed() {
        let (mut reader, mut buffer) = (FrameReader::new(100), BytesMut::from(STREAM));
        reader.read_from(&mut buffer);
        assert!(matches!(reader.next_frame(), Ok(Some(Frame::Message(_)))));
        let frames = reader.next_frames().unwrap().unwrap();
        assert_eq!((frames.messages(), frames.empty(), frames.malformed()), (1, 1, 1));
        reader.push(Bytes::from_static(&STREAM[..5]));
        buffer.extend_from_slice(&STREAM[5..]);
        reader.read_from(&mut buffer);
        let frames: Vec<_> = core::iter::from_fn(|| reader.next_frames().unwrap()).collect();
        assert_eq!(
            frames.iter().map(|frames| frames.messages()).collect::<Vec<_>>(),
            [1, 1],
            "the first spans"
        );
        assert_eq!((reader.waiting(), reader.unfinished(), buffer.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_left_to_read_behind_counts_as_received_after_what_is_pushed() {
        let (first, rest) = STREAM.split_at(5);
        for polled in [true, false] {
            let (mut reader, mut buffer) = (FrameReader::new(100), BytesMut::from(first));
            reader.read_from(&mut buffer);
            assert_eq!((reader.unfinished(), buffer.len()), (5, 5));
            reader.push(Bytes::from_static(STREAM));
            reader.push(Bytes::from_static(&STREAM[..3]));
            let before = if polled { all(&mut reader).len() } else { 0 };
            assert_eq!((before, reader.unfinished()), if polled { (4, 8) } else { (0, 5) });
            buffer.clear();
            buffer.extend_from_slice(&STREAM[3..]);
            reader.read_from(&mut buffer);
            assert_eq!((before + all(&mut reader).len(), buffer.len()), (8, 0));
            assert_eq!((reader.waiting(), reader.unfinished()), (0, 0), "it is not there twice");
            buffer.extend_from_slice(first);
            reader.read_from(&mut buffer);
            buffer.extend_from_slice(rest);
            reader.read_from(&mut buffer);
            assert_eq!((all(&mut reader).len(), reader.unfinished()), (4, 0));
        }
    }

    #[test]
    fn a_frame_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from(STREAM.to_vec());
        let mut reader = FrameReader::new(100);
        reader.push(chunk.clone());
        let Ok(Some(Frame::Message(message))) = reader.next_frame() else { panic!("no message") };
        assert!(chunk.as_ptr_range().contains(&message.payload().as_ptr()));
    }

    #[test]
    fn the_length_is_checked_before_a_body_byte_is_there() {
        let mut reader = FrameReader::new(16);
        for byte in [17u8, 0, 0] {
            reader.push(Bytes::copy_from_slice(&[byte]));
            assert_eq!(reader.next_frame(), Ok(None));
        }
        reader.push(Bytes::from_static(&[0]));
        assert_eq!(reader.next_frame(), Err(FrameTooLong { len: 17, max: 16 }));
        assert!(reader.next_frame().is_err(), "the error stays");
    }

    #[test]
    fn what_is_cleared_is_gone() {
        let mut reader = FrameReader::new(100);
        for _ in 0..2 {
            for chunk in [&STREAM[..5], STREAM] {
                reader.push(Bytes::from_static(chunk));
            }
            reader.clear();
            assert_eq!((reader.waiting(), reader.unfinished(), reader.next_frame()), (0, 0, Ok(None)));
            reader.push(Bytes::from_static(&STREAM[..5]));
            assert_eq!((reader.next_frame(), reader.unfinished()), (Ok(None), 5));
        }
    }

    #[test]
    fn what_is_reserved_follows_what_arrived() {
        let mut reader = FrameReader::new(1 << 24);
        reader.push(Bytes::from_static(&[0, 0, 0, 1]));
        let (mut received, mut grown, mut capacity) = (4, 0, 0);
        for _ in 0..4_000 {
            reader.push(Bytes::from_static(&[7; 1_000]));
            received += 1_000;
            assert_eq!(reader.next_frame(), Ok(None));
            assert!(reader.partial.capacity() <= received + FrameReader::SLACK);
            grown += u32::from(
                reader.partial.capacity() != mem::replace(&mut capacity, reader.partial.capacity()),
            );
        }
        assert!(grown < 50, "copied {grown} times");
    }
}
