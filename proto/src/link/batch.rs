//! Many events on their way to one link.

use core::mem;

use bytes::{Bytes, BytesMut};

use super::SendError;
use crate::Payload;
use crate::wire::{HEADER_LEN, header};

/// Events that are packed before the link is asked to take them, all at once: see
/// [`Link::send_batch`](super::Link::send_batch).
///
/// It takes as much memory as the link packs into one write (4 KiB if that is more), twice, and while it holds one event
/// that is longer as much as that; and one long payload by reference. It is no part of
/// what the link counts as queued. What it holds is lost when it is dropped.
///
/// ```
/// use poolmesh_proto::{Instant, Link, LinkConfig};
///
/// let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
/// let mut batch = link.batch();
/// for number in 0..10_000u32 {
///     while !batch.push("pos", &number.to_le_bytes())? {
///         link.send_batch(&mut batch)?; // full: a real driver waits here for room, and writes
///     }
/// }
/// link.send_batch(&mut batch)?;
/// assert_eq!(link.stats().sent, 10_000);
/// # Ok::<(), poolmesh_proto::SendError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Batch {
    /// The block that frames are packed into. All of it is written to beforehand: to append piece by piece would cost more.
    block: BytesMut,
    /// How much of it is.
    filled: usize,
    /// The two blocks before, the older one first, which are used again, as they are, once their frames are written.
    before: [Bytes; 2],
    /// The payload of the last frame, if it is not copied.
    long: Bytes,
    events: u64,
    /// How far the block may be filled without another look.
    limit: usize,
    /// The longest frame that is simply appended.
    short: usize,
    max_body: usize,
    pack: usize,
}

impl Batch {
    /// For bodies of up to `max_body` bytes. Full at `pack` bytes, or with one event.
    pub(super) fn new(max_body: usize, pack: usize) -> Self {
        // Room for the length.
        let max_body = max_body.min(usize::MAX - HEADER_LEN);
        let (block, before) = Default::default();
        let short = (max_body + HEADER_LEN / 2).min(Payload::BY_REFERENCE);
        Self { block, filled: 0, before, long: Bytes::new(), events: 0, limit: 0, short, max_body, pack }
    }

    /// Appends an event, or says that it finds no room: send the batch, then push again.
    ///
    /// # Errors
    /// If the event is longer than the link takes.
    #[inline]
    pub fn push<'a>(
        &mut self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'a>>,
    ) -> Result<bool, SendError> {
        self.push_payload(name.as_ref(), &payload.into())
    }

    /// As [`push`](Self::push), for a payload that is tried again.
    #[inline]
    pub fn push_payload(&mut self, name: &[u8], payload: &Payload<'_>) -> Result<bool, SendError> {
        let bytes = payload.as_slice();
        let len = HEADER_LEN.saturating_add(name.len()).saturating_add(bytes.len());
        let filled = self.filled.saturating_add(len);
        if filled > self.limit || len > self.short {
            return self.push_slowly(name, payload, len);
        }
        if let Some(place) = self.block.get_mut(self.filled..filled) {
            write_frame(name, bytes.len(), bytes, place);
        }
        self.filled = filled;
        self.events += 1;
        Ok(true)
    }

    /// A batch that begins or is full, or an event that is long.
    #[cold]
    fn push_slowly(&mut self, name: &[u8], payload: &Payload<'_>, len: usize) -> Result<bool, SendError> {
        let body = len - HEADER_LEN / 2;
        if body > self.max_body {
            return Err(SendError::TooLong { len: body, max: self.max_body });
        }
        if !self.is_empty() && (len.saturating_add(self.len()) > self.pack || !self.long.is_empty()) {
            return Ok(false);
        }
        let long = payload.by_reference();
        let bytes = if long.is_none() { payload.as_slice() } else { &[] };
        let copied = HEADER_LEN + name.len() + bytes.len();
        self.make_room(copied);
        let filled = self.filled + copied;
        if let Some(place) = self.block.get_mut(self.filled..filled) {
            write_frame(name, payload.len(), bytes, place);
        }
        self.filled = filled;
        self.limit = match long {
            None => self.pack.min(self.block.len()),
            Some(long) => {
                self.long = long;
                0
            }
        };
        self.events += 1;
        Ok(true)
    }

    /// Has room for `len` more bytes, in a block that was used before if it can be.
    fn make_room(&mut self, len: usize) {
        let size = self.filled + len;
        if self.block.len() >= size {
            return;
        }
        if self.filled > 0 {
            // What is there doubles, up to what is packed.
            return self.block.resize(size.max(self.pack.min(2 * self.block.len())), 0);
        }
        let size = size.max(self.pack.min(FIRST));
        self.put_aside();
        self.block = self.used_again(size).unwrap_or_else(|| BytesMut::zeroed(size));
    }

    /// Begins without a block; this one is used again when its frames are written.
    fn put_aside(&mut self) -> Bytes {
        let mut block = mem::take(&mut self.block);
        if block.capacity() == 0 {
            return Bytes::new();
        }
        // From now on its references are counted, so that it can be had back as it is.
        drop(block.split_to(0));
        let block = block.freeze();
        let [older, newer] = &mut self.before;
        if !newer.is_empty() {
            *older = mem::take(newer);
        }
        *newer = block.clone();
        block
    }

    /// A block before, if its frames are written and it is long enough. If there is none, the older one is let go.
    fn used_again(&mut self, size: usize) -> Option<BytesMut> {
        for before in &mut self.before {
            match mem::take(before).try_into_mut() {
                Ok(block) if block.len() >= size => return Some(block),
                Ok(mut rest) => {
                    // What is left of a block is the whole block again.
                    rest.clear();
                    if rest.try_reclaim(size) {
                        rest.resize(rest.capacity().min(self.pack.max(size)), 0);
                        return Some(rest);
                    }
                }
                Err(in_flight) => *before = in_flight,
            }
        }
        let [older, newer] = &mut self.before;
        *older = mem::take(newer);
        None
    }

    /// Its length as frames, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled + self.long.len()
    }

    /// Whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Takes the frames out, and the payload of the last of them if it is apart.
    pub(super) fn take(&mut self) -> (Bytes, Bytes) {
        (self.events, self.limit) = (0, 0);
        let filled = mem::take(&mut self.filled);
        let frames = if filled > self.pack.max(FIRST) {
            // It is as long as one event was, and not kept.
            mem::take(&mut self.block).split_to(filled).freeze()
        } else if filled <= self.block.len() / 2 {
            self.block.split_to(filled).freeze()
        } else {
            self.put_aside().slice(..filled)
        };
        (frames, mem::take(&mut self.long))
    }
}

/// Writes a frame, for which there is just room, but for the payload if that is apart.
#[inline]
fn write_frame(name: &[u8], payload_len: usize, payload: &[u8], place: &mut [u8]) {
    let Some((header_place, place)) = place.split_first_chunk_mut() else { return };
    *header_place = header(name, payload_len);
    let Some((name_place, payload_place)) = place.split_at_mut_checked(name.len()) else { return };
    name_place.copy_from_slice(name);
    payload_place.copy_from_slice(payload);
}

/// What a batch starts with, in bytes.
const FIRST: usize = 4_096;

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::{Chunks, Instant, Link, LinkConfig, WriteKind};

    fn link(change: impl FnOnce(&mut LinkConfig)) -> Link {
        let mut config = LinkConfig::default();
        change(&mut config);
        Link::new(config, Instant::ZERO)
    }

    /// All that the link writes, and how many pieces each write has.
    fn written(link: &mut Link) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut pieces, mut chunks) = (vec![], vec![], Chunks::default());
        while let Some(WriteKind::Chunks) = link.poll_chunks(&mut chunks) {
            pieces.push(chunks.slices().count());
            chunks.slices().for_each(|slice| bytes.extend_from_slice(slice));
        }
        (bytes, pieces)
    }

    #[test]
    fn what_goes_out_is_what_single_sends_would_write() {
        let lens =
            [0, 1, 20, 5_000, Payload::BY_REFERENCE - 1, Payload::BY_REFERENCE, 3, 100_000, 100_000, 2];
        let (mut one, mut other) = (link(|_| {}), link(|_| {}));
        let mut batch = other.batch();
        let mut sent = 0;
        for (number, len) in lens.into_iter().chain((0..200).map(|n| n * 7)).enumerate() {
            let payload = vec![number as u8; len];
            one.send("event", &payload).unwrap();
            let payload =
                if number % 2 == 0 { Payload::from(&payload) } else { Payload::from(payload.clone()) };
            while !batch.push("event", &payload).unwrap() {
                assert!(!batch.is_empty());
                sent += batch.events();
                other.send_batch(&mut batch).unwrap();
                assert!(batch.is_empty() && batch.events() == 0);
            }
        }
        sent += batch.events();
        other.send_batch(&mut batch).unwrap();
        assert_eq!((sent, other.stats()), (210, one.stats()));
        assert_eq!(one.queued(), other.queued());
        let (bytes, pieces) = written(&mut other);
        assert!(pieces.iter().any(|pieces| *pieces > 1), "{pieces:?}");
        let expected = written(&mut one).0;
        let differs = bytes.iter().zip(&expected).position(|(one, other)| one != other);
        assert_eq!((bytes.len(), differs), (expected.len(), None));
    }

    #[test]
    fn it_is_full_at_what_is_packed() {
        for (pack, events) in [(64, 2), (63, 1), (1, 1)] {
            let mut link = link(|config| config.pack = pack);
            let mut batch = link.batch();
            let pushed = (0..9).take_while(|_| batch.push("e", &[0; 23]).unwrap()).count();
            assert_eq!((pushed, batch.len()), (events, events * 32), "{pack}");
            link.send_batch(&mut batch).unwrap();
            assert_eq!(written(&mut link).1, [1]);
        }
    }

    #[test]
    fn what_the_link_does_not_take_is_refused_at_once_or_stays() {
        let mut link = link(|config| (config.max_frame, config.max_queued) = (100, 200));
        let mut batch = link.batch();
        assert_eq!(batch.push("e", &[0; 96]), Err(SendError::TooLong { len: 101, max: 100 }));
        assert_eq!(batch.push("e", &[0; 95]), Ok(true));
        assert_eq!(batch.push("e", &[0; 96]), Err(SendError::TooLong { len: 101, max: 100 }));
        link.send("e", &[0; 95]).unwrap();
        assert_eq!(link.send_batch(&mut batch), Err(SendError::Full));
        assert_eq!((batch.len(), batch.events(), link.stats().full), (104, 1, 1));
        written(&mut link);
        assert_eq!(link.send_batch(&mut batch), Ok(()));
        batch.push("e", &[]).unwrap();
        link.close(Instant::ZERO);
        assert_eq!((link.send_batch(&mut batch), batch.events()), (Err(SendError::Closed), 1));
        assert_eq!(link.send_batch(&mut link.batch()), Err(SendError::Closed));
    }

    #[test]
    fn the_block_of_a_long_event_is_not_kept() {
        let mut link = link(|config| config.pack = 8_192);
        let (mut batch, mut chunks) = (link.batch(), Chunks::default());
        for (len, kept) in [(8_183, true), (8_184, false), (1_000_000, false), (20, true)] {
            batch.push("e", vec![7; len].as_slice()).unwrap();
            link.send_batch(&mut batch).unwrap();
            while link.poll_chunks(&mut chunks).is_some() {}
            let blocks = [batch.block.len(), batch.before[1].len()];
            assert_eq!(blocks.into_iter().any(|len| len > 0), kept, "{len}");
            batch.before = Default::default();
            let before = batch.before.iter().map(Bytes::len).max();
            assert!(before.max(Some(batch.block.capacity())) <= Some(2 * 8_192), "{len}");
        }
    }

    #[test]
    fn its_blocks_are_used_again() {
        // What fills a block, most of one, a part of one; one event or many.
        for (len, count) in [(100, usize::MAX), (100, 30), (1_000, 1), (100, 3), (60_000, 1)] {
            let mut link = link(|_| {});
            let (mut batch, mut chunks) = (link.batch(), Chunks::default());
            let mut places = Vec::new();
            for round in 0..200 {
                let _ =
                    (0..count).take_while(|_| batch.push("event", vec![7; len].as_slice()).unwrap()).count();
                link.send_batch(&mut batch).unwrap();
                // The write before ends as this one begins.
                let _ = link.poll_chunks(&mut chunks);
                let place = chunks.slices().next().unwrap().as_ptr();
                // (An allocator may have given the same place again. What is allocated counts another test.)
                if round >= 10 && !places.contains(&place) {
                    places.push(place);
                    assert!(round < 100, "{len} {count}");
                }
            }
            assert!(len * count.min(1_000) < 50_000 || places.len() == 2, "{len} {count}");
        }
    }
}
