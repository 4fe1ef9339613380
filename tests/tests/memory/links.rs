//! What links allocate once they are under way, and what the memory that they read into comes to.

use bytes::{Bytes, BytesMut};
use poolmesh_proto::wire::FrameReader;
use poolmesh_proto::{Batch, Chunks, Instant, Link, LinkConfig, LinkEvents};

use crate::{Live, OWN, allocated, allocations};

/// Two links, and the memory of their drivers.
struct Pair {
    near: Link,
    far: Link,
    chunks: Chunks,
    buffer: BytesMut,
    batch: Batch,
}

impl Pair {
    fn new() -> Self {
        let link = || Link::new(LinkConfig::default(), Instant::ZERO);
        let near = link();
        let batch = near.batch();
        Self { near, far: link(), chunks: Chunks::default(), buffer: BytesMut::new(), batch }
    }

    /// Writes all that is queued, and reads it in pieces of at most `most` bytes. Returns the bytes of the events.
    fn carry(&mut self, most: usize) -> usize {
        let mut bytes = 0;
        while self.near.poll_chunks(&mut self.chunks).is_some() {
            while !self.chunks.is_empty() {
                self.far.make_room(&mut self.buffer);
                let room = (self.buffer.capacity() - self.buffer.len()).min(most);
                let piece = self.chunks.slices().next().unwrap();
                let len = piece.len().min(room);
                self.buffer.extend_from_slice(&piece[..len]);
                self.chunks.advance(len);
                self.far.handle_read(Instant::ZERO, &mut self.buffer);
                while let Some(LinkEvents::Received(frames)) = self.far.poll_events() {
                    bytes += frames.iter().map(|event| event.payload().len()).sum::<usize>();
                }
            }
        }
        bytes
    }
}

/// Frames in and out, alone, many at a time and in batches, in pieces of any size.
pub(crate) fn busy() {
    let mut pair = Pair::new();
    for most in [usize::MAX, 1_448, 100] {
        let mut round = |count: usize| {
            for number in 0..count {
                let len = 21 + 500 * usize::from(number % 5 == 0);
                let payload = &[7; 521][..len];
                pair.near.send("pos", payload).unwrap();
                let mut expected = len;
                if number % 3 == 0 {
                    for _ in 0..20 {
                        pair.near.send("pos", payload).unwrap();
                        expected += len;
                    }
                }
                if number % 4 == 0 {
                    for _ in 0..100 {
                        assert!(pair.batch.push("pos", payload).unwrap());
                        expected += len;
                    }
                    pair.near.send_batch(&mut pair.batch).unwrap();
                }
                assert_eq!(pair.carry(most), expected);
            }
        };
        round(200);
        let count = allocations(|| round(2_000));
        assert_eq!(count, 0, "in pieces of {most}");
    }
}

/// What is sent while a write is under way goes into another block; both are used again.
pub(crate) fn overlapping() {
    let mut pair = Pair::new();
    let mut round = |count: usize| {
        for _ in 0..count {
            // Never at rest: what is written next is queued before the last is.
            let _ = pair.near.poll_chunks(&mut pair.chunks);
            for _ in 0..60 {
                pair.near.send("pos", &[7; 1_000]).unwrap();
            }
        }
    };
    round(100);
    assert_eq!(allocations(|| round(1_000)), 0);
    for (len, events) in [(100, 570), (100, 300), (100, 3), (1_000, 1), (60_000, 1)] {
        let mut pair = Pair::new();
        let mut round = |count: usize| {
            for _ in 0..count {
                for _ in 0..events {
                    assert!(pair.batch.push("pos", &[7; 60_000][..len]).unwrap());
                }
                pair.near.send_batch(&mut pair.batch).unwrap();
                let _ = pair.near.poll_chunks(&mut pair.chunks);
            }
        };
        round(100);
        assert_eq!(allocations(|| round(1_000)), 0, "{events} of {len} bytes");
    }
}

/// A long frame is not copied for each of its pieces, and takes no more than what has come of it and what is stated, in the
/// midst of a read, too.
pub(crate) fn long_in_pieces() {
    const LEN: usize = 12_000_000;
    for piece in [1_448, 65_536, 262_144] {
        for in_front in [0, 1, 3] {
            let live = Live::start();
            let (mut link, mut buffer) = (Link::new(LinkConfig::default(), Instant::ZERO), BytesMut::new());
            let (mut left, mut received) = (LEN, 0);
            let front =
                [&b"\x04\0\0\0\0\0\0\0".repeat(in_front)[..], &(LEN as u32).to_le_bytes(), &[0; 4]].concat();
            let (bytes, ()) = allocated(|| {
                while left > 4 {
                    link.make_room(&mut buffer);
                    let held = live.bytes();
                    assert!(held <= received + FrameReader::SLACK + OWN, "{held} bytes of {received}");
                    let room = (buffer.capacity() - buffer.len()).min(piece);
                    if received == 0 {
                        buffer.extend_from_slice(&front);
                        received += front.len();
                    } else {
                        let len = room.min(left - 4);
                        buffer.resize(buffer.len() + len, 7);
                        (received, left) = (received + len, left - len);
                    }
                    link.handle_read(Instant::ZERO, &mut buffer);
                    while left > 4 && link.poll_events().is_some() {}
                }
            });
            let Some(LinkEvents::Received(frames)) = link.poll_events() else { panic!("no event") };
            assert!(frames.iter().all(|event| event.payload() == vec![7; LEN - 4]));
            assert!(bytes < 2 * LEN, "{bytes} bytes were allocated for pieces of {piece}");
        }
    }
}

/// What is read in place takes no more than what was received and what is stated, though events of it are kept.
pub(crate) fn read_in_place() {
    for payload in [1, 100, 30_000, 200_000, 3_000_000] {
        let live = Live::start();
        let (mut link, mut buffer) = (Link::new(LinkConfig::default(), Instant::ZERO), BytesMut::new());
        let body = u32::try_from(4 + payload).unwrap();
        let frame = [&body.to_le_bytes()[..], &[0; 4], &vec![7; payload]].concat();
        let own = live.bytes();
        let (mut received, mut kept): (usize, Vec<Bytes>) = (0, Vec::new());
        for byte in 0..(4_000_000 / frame.len()).max(2) * frame.len() / 1_000 {
            link.make_room(&mut buffer);
            let at = byte * 1_000 % frame.len();
            let room = (buffer.capacity() - buffer.len()).min(1_000).min(frame.len() - at);
            buffer.extend_from_slice(&frame[at..at + room]);
            // The rest of a piece that did not fit, so that the stream goes on where it was.
            let mut left = 1_000 - room;
            while left > 0 {
                link.handle_read(Instant::ZERO, &mut buffer);
                link.make_room(&mut buffer);
                let at = (byte * 1_000 + 1_000 - left) % frame.len();
                let room = (buffer.capacity() - buffer.len()).min(left).min(frame.len() - at);
                buffer.extend_from_slice(&frame[at..at + room]);
                left -= room;
            }
            received += 1_000;
            link.handle_read(Instant::ZERO, &mut buffer);
            while let Some(LinkEvents::Received(frames)) = link.poll_events() {
                kept.extend(frames.iter().filter(|_| payload >= 30_000).map(|event| event.to_payload()));
            }
            let held = live.bytes() - own - kept.capacity() * size_of::<Bytes>();
            // The last quarter of a block may lie idle behind events that are kept.
            let most = received + received / 3 + FrameReader::SLACK + OWN;
            assert!(held <= most, "{held} bytes for {received} received, payloads of {payload}");
        }
        assert_eq!(kept.iter().map(Bytes::len).sum::<usize>(), kept.len() * payload);
        drop((link, buffer, kept, frame));
        assert_eq!(live.bytes(), 0, "all is given back");
    }
}
