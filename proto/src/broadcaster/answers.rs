//! What a broadcaster has to say.

use bytes::{Bytes, BytesMut};

use super::{Asker, BroadcasterEvent};
use crate::Output;
use crate::output::Outbox;
use crate::wire::{Dialect, MAX_ANSWER};

/// A block of memory, in bytes.
const BLOCK: usize = 32 * 1_024;

/// The answers and events that wait to be polled, and the memory that answers are made in.
#[derive(Debug)]
pub(super) struct Answers {
    outbox: Outbox<BroadcasterEvent>,
    /// Answers are cut from blocks. A block is used again once its answers are sent, so that none allocates.
    block: BytesMut,
}

impl Answers {
    /// At most `limit` answers wait.
    pub(super) fn new(limit: usize) -> Self {
        Self { outbox: Outbox::new(limit), block: BytesMut::new() }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.outbox.len()
    }

    pub(super) fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Outputs that found no room so far.
    pub(super) fn dropped(&self) -> u64 {
        self.outbox.dropped()
    }

    pub(super) fn pop(&mut self) -> Option<Output<BroadcasterEvent>> {
        self.outbox.pop()
    }

    pub(super) fn tell(&mut self, event: BroadcasterEvent) {
        self.outbox.tell(event);
    }

    /// Sends what `encode` writes: at most [`MAX_ANSWER`] bytes.
    pub(super) fn send(&mut self, to: Asker, encode: impl FnOnce(Dialect, &mut BytesMut)) {
        if !self.has_room() {
            // Spares the encoding; the outbox counts the drop.
            return self.outbox.transmit(to.address, Bytes::new());
        }
        if self.block.capacity() < MAX_ANSWER {
            self.block.reserve(BLOCK);
        }
        encode(to.dialect, &mut self.block);
        let payload = self.block.split().freeze();
        self.outbox.transmit(to.address, payload);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    /// Sends an answer of `len` bytes that was longer at first, and polls it.
    fn sent(answers: &mut Answers, len: usize) -> Bytes {
        let to = Asker { address: ([192, 0, 2, 1], 1).into(), dialect: Dialect::Classic };
        answers.send(to, |_, out| {
            out.put_bytes(0, len + 48);
            out.truncate(len);
        });
        match answers.pop() {
            Some(Output::Transmit(transmit)) => transmit.payload,
            other => panic!("not an answer: {other:?}"),
        }
    }

    #[test]
    fn one_block_serves_for_ever_if_nobody_keeps_an_answer() {
        for len in [1, 100, 1_000, 1_023, MAX_ANSWER] {
            let mut answers = Answers::new(1);
            let block = sent(&mut answers, len).as_ptr() as usize;
            for _ in 0..2 * BLOCK / len {
                let place = sent(&mut answers, len).as_ptr() as usize;
                assert!(place >= block && place + len <= block + BLOCK, "{len} bytes");
            }
        }
    }

    #[test]
    fn what_is_kept_stays_as_it_was_sent() {
        let mut answers = Answers::new(1);
        let kept = sent(&mut answers, 7);
        for len in 0..100 {
            assert_eq!(sent(&mut answers, 10 * len), [0; 990][..10 * len]);
        }
        assert_eq!(kept, [0; 7][..]);
    }
}
