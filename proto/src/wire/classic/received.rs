//! Received bytes that nobody has looked at yet.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use bytes::Bytes;

/// Chunks below this size, in bytes, are gathered while others wait,
const SMALL: usize = 1_024;
/// up to this size.
const GATHER: usize = 4_096;

/// Chunks of a stream, in order. What they cost in memory beyond their bytes stays a small part of them.
#[derive(Debug, Default)]
pub(super) struct Received {
    chunks: VecDeque<Bytes>,
    /// Small chunks behind the others, put together: each by itself would cost more than its bytes.
    gathered: Vec<u8>,
    /// Bytes in both.
    len: usize,
}

impl Received {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.len += chunk.len();
        if self.chunks.is_empty() || chunk.len() >= SMALL {
            self.flush();
            self.chunks.push_back(chunk);
            return;
        }
        if self.gathered.len() + chunk.len() > GATHER {
            self.flush();
        }
        if self.gathered.is_empty() {
            self.gathered.reserve_exact(GATHER);
        }
        self.gathered.extend_from_slice(&chunk);
    }

    /// What can be taken at once.
    pub(super) fn front(&self) -> &[u8] {
        self.chunks.front().map(Bytes::as_ref).unwrap_or_default()
    }

    /// Takes at most `most` bytes off the front.
    pub(super) fn take(&mut self, most: usize) -> Bytes {
        let Some(front) = self.chunks.front_mut() else { return Bytes::new() };
        let taken = front.split_to(front.len().min(most));
        self.len -= taken.len();
        if front.is_empty() {
            self.chunks.pop_front();
            if self.chunks.is_empty() {
                self.flush();
            }
        }
        taken
    }

    /// Puts what was gathered behind the other chunks.
    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.chunks.push_back(Bytes::from(mem::take(&mut self.gathered)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_however_they_were_gathered() {
        let mut received = Received::default();
        let mut next = 0u8;
        let mut expected = Vec::new();
        for len in [1, 5, 2_000, 3, 1_023, 1_024, 1, 1, 4_000, 700, 700, 700, 700, 700, 700, 9] {
            let mut count = || {
                next = next.wrapping_add(1);
                next
            };
            let chunk: Vec<u8> = core::iter::repeat_with(&mut count).take(len).collect();
            expected.extend_from_slice(&chunk);
            received.push(chunk.into());
        }
        assert_eq!(received.len(), expected.len());
        let mut out = Vec::new();
        while received.len() > 0 {
            assert!(!received.front().is_empty());
            out.extend_from_slice(&received.take(333));
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn many_small_chunks_cost_little_more_than_their_bytes() {
        let mut received = Received::default();
        for chunk in [&b"x"[..], b"xyz"] {
            for _ in 0..100_000 {
                received.push(Bytes::from_static(chunk));
                assert!(received.gathered.capacity() <= GATHER);
            }
        }
        assert!(received.chunks.len() < 200);
        received.take(1);
        assert_eq!(received.front().len(), GATHER, "up to that size, for they just fit");
    }
}
