//! What a link has to write.

use alloc::collections::VecDeque;
use core::mem;

use bytes::{BufMut, Bytes, BytesMut};

use super::Chunks;
use crate::wire::{HEADER_LEN, header};
use crate::{Budget, Payload};

/// The size of the first block of a burst, in bytes; each further one is twice as large, up to what is packed.
const FIRST: usize = 4_096;

/// The frames that wait to be written, packed into chunks.
#[derive(Debug)]
pub(super) struct SendQueue {
    chunks: VecDeque<Bytes>,
    /// Which of them, counted from the first there ever was, are payloads apart from the rest of their frame.
    payloads: VecDeque<u64>,
    /// How many have been handed out.
    taken: u64,
    /// Small frames on their way into one chunk, in a block that is used again once its chunks are written. It never
    /// grows: when it is full, a larger one follows.
    tail: BytesMut,
    /// Whether that block is longer than others, for the sake of one frame.
    long: bool,
    /// How long the chunk may get.
    room: usize,
    /// The block before, whose last chunk may be in flight.
    before: BytesMut,
    next_size: usize,
    pack: usize,
    /// Bytes in `chunks` and `tail`, and in what was handed out last.
    queued: usize,
    /// Bytes that were here and are not any more.
    gone: u64,
    in_flight: usize,
    budget: Budget,
}

impl SendQueue {
    pub(super) fn new(pack: usize, budget: Budget) -> Self {
        Self {
            chunks: VecDeque::new(),
            payloads: VecDeque::new(),
            taken: 0,
            tail: BytesMut::new(),
            long: false,
            room: 0,
            before: BytesMut::new(),
            next_size: FIRST,
            pack,
            queued: 0,
            gone: 0,
            in_flight: 0,
            budget,
        }
    }

    /// Bytes that wait, those being written among them.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes that are written.
    pub(super) fn gone(&self) -> u64 {
        self.gone
    }

    /// Whether something waits to be handed out.
    pub(super) fn has_next(&self) -> bool {
        !self.chunks.is_empty() || !self.tail.is_empty()
    }

    /// The longest frame that can ever find room, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.budget.limit()
    }

    /// Whether the budget has room for `bytes` more.
    pub(super) fn budget_has(&self, bytes: usize) -> bool {
        self.budget.has(bytes)
    }

    /// Queues one frame. False if the budget has no room for it.
    #[inline]
    pub(super) fn push(&mut self, name: &[u8], payload: &Payload<'_>) -> bool {
        let bytes = payload.as_slice();
        let len = HEADER_LEN + name.len() + bytes.len();
        if !self.pay(len) {
            return false;
        }
        let by_reference = payload.by_reference();
        let copied = if by_reference.is_none() { len } else { len - bytes.len() };
        if copied > self.room {
            self.start_chunk(copied);
        }
        self.room -= copied;
        self.tail.put_u64_le(u64::from_le_bytes(header(name, bytes.len())));
        self.tail.extend_from_slice(name);
        match by_reference {
            None => self.tail.extend_from_slice(bytes),
            Some(payload) => {
                self.cut_tail();
                self.push_payload(payload);
            }
        }
        true
    }

    /// Queues one frame that was encoded, and is paid for.
    pub(super) fn push_encoded(&mut self, frame: &[u8]) {
        if frame.len() > self.room {
            self.start_chunk(frame.len());
        }
        self.room -= frame.len();
        self.tail.extend_from_slice(frame);
    }

    /// Hands out `len` bytes that are paid for and never were here, while nothing else waits.
    pub(super) fn hand_out(&mut self, len: usize) {
        self.in_flight = len;
    }

    /// Pays for `len` bytes, if the budget lets it.
    pub(super) fn pay(&mut self, len: usize) -> bool {
        let paid = self.budget.take(len);
        self.queued += if paid { len } else { 0 };
        paid
    }

    /// Queues whole frames that are paid for, and the payload of the last of them if it is apart.
    pub(super) fn push_paid(&mut self, (frames, payload): (Bytes, Bytes)) {
        self.cut_tail();
        self.chunks.push_back(frames);
        if !payload.is_empty() {
            self.push_payload(payload);
        }
    }

    /// Queues the payload of the frame that the last chunk ends with.
    fn push_payload(&mut self, payload: Bytes) {
        self.payloads.push_back(self.taken + self.chunks.len() as u64);
        self.chunks.push_back(payload);
    }

    /// Begins a chunk that has room for `len` bytes.
    #[cold]
    fn start_chunk(&mut self, len: usize) {
        if !self.tail.is_empty() {
            self.cut_tail();
            self.next_size = self.next_size.saturating_mul(2).min(self.pack.max(FIRST));
        }
        let size = len.max(self.next_size);
        if !self.tail.try_reclaim(size) && !self.turn(size) {
            // What is left of the block will do, unless it would make writes much smaller.
            if self.tail.capacity() < len.max(self.pack.min(FIRST / 2)) {
                let tail = mem::replace(&mut self.tail, BytesMut::with_capacity(size));
                self.before = if self.long { BytesMut::new() } else { tail };
                self.long = size > self.pack.max(FIRST);
            }
        }
        self.room = self.tail.capacity().min(self.pack.max(len));
    }

    /// Takes the block before, if it has `size` bytes and its chunks are written.
    fn turn(&mut self, size: usize) -> bool {
        let free = self.before.try_reclaim(size);
        if free {
            let tail = mem::replace(&mut self.tail, mem::take(&mut self.before));
            self.before = if mem::take(&mut self.long) { BytesMut::new() } else { tail };
        }
        free
    }

    /// The next chunk to write. Asking for it says that what was handed out before has been written.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.settle();
        let chunk = self.take_chunk()?;
        self.in_flight = chunk.len();
        Some(chunk)
    }

    /// As [`next`](Self::next), as many as go into one vectored write: up to what is packed, and to the end of a frame.
    pub(super) fn next_chunks(&mut self, chunks: &mut Chunks) -> bool {
        chunks.clear();
        self.settle();
        while let Some(chunk) = self.take_chunk() {
            self.in_flight += chunk.len();
            chunks.push(chunk);
            let within = self.payloads.front() == Some(&self.taken);
            let next = self.chunks.front().map_or(self.tail.len(), Bytes::len);
            if !within
                && (self.in_flight.saturating_add(next) > self.pack || chunks.count() >= Chunks::MOST - 1)
            {
                break;
            }
        }
        self.in_flight > 0
    }

    fn take_chunk(&mut self) -> Option<Bytes> {
        if self.chunks.is_empty() {
            self.cut_tail();
        }
        let Some(chunk) = self.chunks.pop_front() else {
            if self.queued == 0 {
                self.rest();
            }
            return None;
        };
        if self.payloads.front() == Some(&self.taken) {
            self.payloads.pop_front();
        }
        self.taken += 1;
        Some(chunk)
    }

    /// Nothing waits: one block is kept, of the size that was needed last, but for one that is as long as a frame was.
    fn rest(&mut self) {
        self.before = BytesMut::new();
        if mem::take(&mut self.long) {
            (self.tail, self.room) = (BytesMut::new(), 0);
        }
    }

    /// Drops what waits. Returns how many bytes were not written, as far as is known.
    pub(super) fn clear(&mut self) -> usize {
        let lost = self.queued;
        self.budget.give(self.queued);
        (self.queued, self.in_flight, self.room) = (0, 0, 0);
        (self.chunks, self.payloads) = (VecDeque::new(), VecDeque::new());
        (self.tail, self.long, self.next_size) = (BytesMut::new(), false, FIRST);
        self.rest();
        lost
    }

    /// Counts what is in flight as written.
    pub(super) fn settle(&mut self) {
        self.budget.give(self.in_flight);
        self.queued -= self.in_flight;
        self.gone += self.in_flight as u64;
        self.in_flight = 0;
    }

    /// Ends the chunk.
    fn cut_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
            self.room = 0;
        }
    }
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn queue(pack: usize, budget: usize) -> SendQueue {
        SendQueue::new(pack, Budget::new(budget))
    }

    fn push<'a>(queue: &mut SendQueue, name: &[u8], payload: impl Into<Payload<'a>>) -> bool {
        queue.push(name, &payload.into())
    }

    #[test]
    fn small_frames_share_a_chunk_and_none_is_split() {
        let mut queue = queue(100, 1_000);
        for _ in 0..7 {
            assert!(push(&mut queue, b"e", &[0; 31]));
        }
        assert_eq!(queue.next().unwrap().len(), 80);
        assert_eq!(queue.next().unwrap().len(), 80);
        assert_eq!(queue.queued(), 200);
        assert_eq!(queue.next().unwrap().len(), 80);
        assert_eq!(queue.next().unwrap().len(), 40);
        assert_eq!(queue.next(), None);
        assert_eq!(queue.queued(), 0);
    }

    #[test]
    fn no_chunk_is_longer_than_what_is_packed_but_for_one_frame() {
        let mut queue = queue(80, 100_000);
        for len in [32, 32, 65, Payload::BY_REFERENCE, 100] {
            assert!(push(&mut queue, b"", alloc::vec![0; len]));
        }
        let lens: Vec<usize> = core::iter::from_fn(|| queue.next().map(|chunk| chunk.len())).collect();
        let expected = [80, 73, 8, Payload::BY_REFERENCE, 108];
        assert_eq!(lens, expected, "two that just fit, no room for a header, alone");
    }

    #[test]
    fn a_block_is_used_again_once_its_chunks_are_written() {
        let mut queue = queue(64 * 1_024, 1 << 20);
        push(&mut queue, b"", &[]);
        let block = queue.tail.as_ptr();
        for _ in 0..1_000 {
            push(&mut queue, b"", &[7; 1_000]);
            assert_eq!(queue.next().unwrap().len() % 1_008, usize::from(queue.in_flight % 1_008 == 8) * 8);
            let within = queue.tail.as_ptr() as usize - block as usize;
            assert!(within <= FIRST, "at {within}");
            assert_eq!(queue.next(), None);
        }
    }

    /// Fills the block of a queue that packs much, but for 64 bytes, and takes that chunk out.
    fn fill(queue: &mut SendQueue) -> (usize, Option<Bytes>) {
        for _ in 0..4 {
            assert!(push(queue, b"", &[7; 1_000]));
        }
        let block = queue.tail.as_ptr() as usize;
        let chunk = queue.next();
        assert_eq!((chunk.as_ref().map(Bytes::len), queue.tail.capacity()), (Some(4_032), 64));
        (block, chunk)
    }

    #[test]
    fn while_one_block_is_in_flight_the_one_before_is_used_again() {
        let mut queue = queue(64 * 1_024, 1 << 20);
        let (one, first) = fill(&mut queue);
        let (other, second) = fill(&mut queue);
        assert_ne!(one, other);
        let mut in_flight = [first, second];
        for round in 0..10 {
            // It is written.
            in_flight[round % 2] = None;
            let (block, chunk) = fill(&mut queue);
            assert_eq!(block, [one, other][round % 2], "{round}");
            in_flight[round % 2] = chunk;
        }
        // When neither is in flight, the last one is the warmer.
        drop(in_flight);
        assert_eq!(fill(&mut queue).0, other);
    }

    #[test]
    fn what_is_left_of_a_block_is_used_unless_it_is_small() {
        for (first, is_used) in [(2_048, true), (2_049, false)] {
            for second in [8, 4_096 - first, 4_096 - first + 1] {
                let mut queue = queue(64 * 1_024, 1 << 20);
                push(&mut queue, b"", &[7; 4_096][..first - 8]);
                let block = queue.tail.as_ptr() as usize;
                let _in_flight = queue.next();
                push(&mut queue, b"", &[7; 4_096][..second - 8]);
                let within = queue.tail.as_ptr() as usize == block + first;
                assert_eq!(within, is_used && second <= 4_096 - first, "{first} {second}");
            }
        }
        // Where little is packed, little is enough.
        let mut queue = queue(100, 1 << 20);
        push(&mut queue, b"", &[7; 4_096 - 100 - 8]);
        let block = queue.tail.as_ptr() as usize;
        let _in_flight = queue.next();
        push(&mut queue, b"", &[]);
        assert_eq!(queue.tail.as_ptr() as usize, block + 4_096 - 100);
    }

    #[test]
    fn the_blocks_of_a_burst_grow_up_to_what_is_packed() {
        let much = (64 * 1_024, [4_096, 8_192, 16_384, 32_768, 65_536, 65_536]);
        let less = (10_000, [4_096, 8_192, 10_000, 10_000, 10_000, 10_000]);
        for (pack, expected) in [much, less] {
            let mut queue = queue(pack, 1 << 20);
            let mut blocks = Vec::new();
            while blocks.len() < expected.len() {
                let before = queue.tail.as_ptr();
                push(&mut queue, b"", &[7; 24]);
                if queue.tail.as_ptr() != before {
                    blocks.push(queue.tail.capacity());
                }
            }
            assert_eq!(blocks, expected);
        }
    }

    #[test]
    fn the_block_of_a_long_frame_is_not_kept() {
        let mut queue = queue(8_192, 1 << 20);
        let rest = |queue: &mut SendQueue| while queue.next().is_some() {};
        push(&mut queue, b"", &[7; 8_192 - 8]);
        rest(&mut queue);
        assert!(queue.tail.try_reclaim(8_192), "of the size that is packed");
        push(&mut queue, b"", &[7; 8_192 - 7]);
        rest(&mut queue);
        assert!(!queue.tail.try_reclaim(1), "as long as the frame was");
        for len in [20_000, 8_000, 20_000, 10] {
            push(&mut queue, b"", &[7; 20_000][..len]);
            queue.next();
        }
        rest(&mut queue);
        assert!(!queue.tail.try_reclaim(8_193) && !queue.before.try_reclaim(1));
    }

    #[test]
    fn a_large_payload_is_not_copied_and_a_smaller_one_is() {
        let mut queue = queue(64 * 1_024, 1 << 20);
        push(&mut queue, b"", alloc::vec![7; 16 * 1_024 - 1]);
        assert_eq!(queue.next().unwrap().len(), 8 + 16 * 1_024 - 1);
        let payload = Bytes::from(alloc::vec![7; Payload::BY_REFERENCE]);
        push(&mut queue, b"small", b"x");
        push(&mut queue, b"large", payload.clone());
        assert_eq!(queue.next().unwrap().len(), 14 + 13);
        assert_eq!(queue.next().unwrap().as_ptr(), payload.as_ptr());
    }

    #[test]
    fn one_write_takes_what_is_packed_and_ends_with_a_frame() {
        let payload = Bytes::from(alloc::vec![7; Payload::BY_REFERENCE]);
        let large = payload.len() + 8;
        for (pack, expected) in [(1, [1, 1]), (large, [1, 1]), (large + 100, [2, 1]), (3 * large, [3, 2])] {
            let mut queue = queue(pack, 1 << 20);
            let mut chunks = Chunks::default();
            for count in [2, 3] {
                for _ in 0..count {
                    push(&mut queue, b"", payload.clone());
                }
            }
            let mut writes = Vec::new();
            while queue.next_chunks(&mut chunks) {
                assert_eq!(chunks.len() % large, 0, "whole frames");
                writes.push(chunks.len() / large);
            }
            assert_eq!(writes.iter().sum::<usize>(), 5);
            assert_eq!(
                (writes[0], *writes.last().unwrap()),
                (expected[0], expected[1].min(writes[0])),
                "{pack}"
            );
            assert_eq!(queue.queued(), 0);
        }
    }

    #[test]
    fn the_budget_gets_everything_back() {
        let budget = Budget::new(100);
        let mut one = SendQueue::new(1, budget.clone());
        let mut other = SendQueue::new(1, budget.clone());
        assert!(push(&mut one, b"", &[0; 60]));
        assert!(!push(&mut other, b"", &[0; 60]));
        one.next();
        assert_eq!(budget.used(), 68, "in flight is not written");
        one.next();
        assert!(push(&mut other, b"", &[0; 60]));
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}
