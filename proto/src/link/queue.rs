//! What a link has to write.

use alloc::collections::VecDeque;
use core::mem;

use bytes::{Bytes, BytesMut};

use crate::Budget;
use crate::wire::{HEADER_LEN, encode_header};

/// From this size on a payload is handed over by reference. Below it a copy into the packed write is cheaper than a
/// write of its own.
const BY_REFERENCE: usize = 16 * 1_024;

/// The size of the first chunk of a burst, in bytes; each further one is twice as large, up to what is packed.
const FIRST: usize = 4_096;

/// The frames that wait to be written, packed into chunks.
#[derive(Debug)]
pub(super) struct SendQueue {
    chunks: VecDeque<Bytes>,
    /// Small frames on their way into one chunk. It never grows: when it is full, a larger one follows.
    tail: BytesMut,
    next_size: usize,
    pack: usize,
    /// Bytes in `chunks` and `tail`, and in the chunk that was handed out last.
    queued: usize,
    in_flight: usize,
    budget: Budget,
}

impl SendQueue {
    pub(super) fn new(pack: usize, budget: Budget) -> Self {
        Self {
            chunks: VecDeque::new(),
            tail: BytesMut::new(),
            next_size: FIRST,
            pack,
            queued: 0,
            in_flight: 0,
            budget,
        }
    }

    /// Bytes that wait, those of the chunk being written among them.
    pub(super) fn queued(&self) -> usize {
        self.queued
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
    pub(super) fn push(&mut self, name: &[u8], payload: Bytes) -> bool {
        let len = HEADER_LEN + name.len() + payload.len();
        if !self.budget.take(len) {
            return false;
        }
        self.queued += len;
        let copied = if payload.len() < BY_REFERENCE { len } else { len - payload.len() };
        if self.tail.capacity() - self.tail.len() < copied {
            self.cut_tail();
        }
        if self.tail.capacity() < copied {
            self.tail = BytesMut::with_capacity(self.next_size.min(self.pack).max(copied));
            self.next_size = self.next_size.saturating_mul(2);
        }
        encode_header(name, payload.len(), &mut self.tail);
        if payload.len() < BY_REFERENCE {
            self.tail.extend_from_slice(&payload);
        } else {
            self.cut_tail();
            self.chunks.push_back(payload);
        }
        true
    }

    /// The next chunk to write. Asking for it says that the one before has been written.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.settle();
        if self.chunks.is_empty() {
            self.cut_tail();
        }
        let Some(chunk) = self.chunks.pop_front() else {
            self.next_size = FIRST;
            return None;
        };
        self.in_flight = chunk.len();
        Some(chunk)
    }

    /// Drops what waits. Returns how many bytes were not written, as far as is known.
    pub(super) fn clear(&mut self) -> usize {
        let lost = self.queued;
        self.budget.give(self.queued);
        (self.queued, self.in_flight) = (0, 0);
        self.chunks = VecDeque::new();
        self.tail = BytesMut::new();
        lost
    }

    /// Counts the chunk in flight as written.
    fn settle(&mut self) {
        self.budget.give(self.in_flight);
        self.queued -= self.in_flight;
        self.in_flight = 0;
    }

    fn cut_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        // A chunk that fills little of its memory would hold all of it: it is copied, and the memory used again.
        let chunk = if self.tail.len() < self.tail.capacity() / 2 {
            let chunk = Bytes::copy_from_slice(&self.tail);
            self.tail.clear();
            chunk
        } else {
            mem::take(&mut self.tail).freeze()
        };
        self.chunks.push_back(chunk);
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

    #[test]
    fn small_frames_share_a_chunk_and_none_is_split() {
        let mut queue = queue(100, 1_000);
        for _ in 0..7 {
            assert!(queue.push(b"e", Bytes::from_static(&[0; 31])));
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
        for len in [32, 32, 65, BY_REFERENCE, 100] {
            assert!(queue.push(b"", alloc::vec![0; len].into()));
        }
        let lens: Vec<usize> = core::iter::from_fn(|| queue.next().map(|chunk| chunk.len())).collect();
        assert_eq!(lens, [80, 73, 8, BY_REFERENCE, 108], "two that just fit, no room for a header, alone");
    }

    #[test]
    fn a_chunk_holds_no_more_than_twice_its_bytes() {
        let mut queue = queue(100, 1_000);
        queue.push(b"", Bytes::new());
        let memory = queue.tail.as_ptr();
        assert_ne!(queue.next().unwrap().as_ptr(), memory, "copied");
        queue.push(b"", Bytes::from_static(&[0; 92]));
        assert_eq!(queue.tail.as_ptr(), memory, "used again, for it just fits");
        assert_eq!(queue.next().unwrap().as_ptr(), memory, "well filled, it is handed over");
    }

    #[test]
    fn a_large_payload_is_not_copied_and_a_smaller_one_is() {
        let mut queue = queue(64 * 1_024, 1 << 20);
        queue.push(b"", alloc::vec![7; 16 * 1_024 - 1].into());
        assert_eq!(queue.next().unwrap().len(), 8 + 16 * 1_024 - 1);
        let payload = Bytes::from(alloc::vec![7; BY_REFERENCE]);
        queue.push(b"small", Bytes::from_static(b"x"));
        queue.push(b"large", payload.clone());
        assert_eq!(queue.next().unwrap().len(), 14 + 13);
        assert_eq!(queue.next().unwrap().as_ptr(), payload.as_ptr());
    }

    #[test]
    fn the_budget_gets_everything_back() {
        let budget = Budget::new(100);
        let mut one = SendQueue::new(1, budget.clone());
        let mut other = SendQueue::new(1, budget.clone());
        assert!(one.push(b"", Bytes::from_static(&[0; 60])));
        assert!(!other.push(b"", Bytes::from_static(&[0; 60])));
        one.next();
        assert_eq!(budget.used(), 68, "in flight is not written");
        one.next();
        assert!(other.push(b"", Bytes::from_static(&[0; 60])));
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}
