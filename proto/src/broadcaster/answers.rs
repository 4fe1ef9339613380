//! What a broadcaster has to say.

use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};

use super::{Asker, BroadcasterEvent};
use crate::Output;
use crate::output::Outbox;
use crate::wire::classic::AnswerRoom;
use crate::wire::native::MAX_DATAGRAM;

/// A block of memory, in bytes.
const BLOCK: usize = 32 * 1_024;

/// What is set to zeros at a time, in bytes.
const PIECE: usize = 4 * 1_024;

/// What there is at least to write a datagram of the native dialect into, in bytes: an item is written before it is seen
/// that it doesn't fit.
const ROOM: usize = 2 * MAX_DATAGRAM;

/// The answers and events that wait to be polled, and the memory that answers are made in.
#[derive(Debug)]
pub(super) struct Answers {
    outbox: Outbox<BroadcasterEvent>,
    /// Answers are cut from blocks. A block is used again once its answers are sent, so that none allocates.
    /// What it holds is room.
    block: BytesMut,
    /// The same for the native dialect, whose writers append: it is empty between two answers.
    drafts: BytesMut,
}

impl Answers {
    /// At most `limit` answers wait.
    pub(super) fn new(limit: usize) -> Self {
        Self { outbox: Outbox::new(limit), block: BytesMut::new(), drafts: BytesMut::new() }
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

    /// Sends what `write` writes, which says how long it is: at most [`MAX_ANSWER`](crate::wire::MAX_ANSWER) bytes.
    #[inline]
    pub(super) fn send(&mut self, to: Asker, write: impl FnOnce(&mut AnswerRoom) -> usize) {
        if !self.has_room() {
            // Spares the writing; the outbox counts the drop.
            return self.outbox.transmit(to.address, Bytes::new());
        }
        if self.block.len() < size_of::<AnswerRoom>() {
            self.prepare();
        }
        let Some(room) = self.block.first_chunk_mut() else { return };
        let len = write(room);
        let payload = self.block.split_to(len).freeze();
        self.outbox.transmit(to.address, payload);
    }

    /// Sends what `write` appends: one datagram of the native dialect.
    #[inline]
    pub(super) fn write(&mut self, to: SocketAddr, write: impl FnOnce(&mut BytesMut)) {
        if !self.has_room() {
            return self.outbox.transmit(to, Bytes::new());
        }
        let payload = self.written(write);
        self.outbox.transmit(to, payload);
    }

    /// Sends a datagram of few bytes.
    #[inline]
    pub(super) fn write_short<const N: usize>(&mut self, to: SocketAddr, datagram: &[u8; N]) {
        if !self.has_room() {
            return self.outbox.transmit(to, Bytes::new());
        }
        if self.block.len() < size_of::<AnswerRoom>() {
            self.prepare();
        }
        let Some(room) = self.block.first_chunk_mut() else { return };
        *room = *datagram;
        let payload = self.block.split_to(N).freeze();
        self.outbox.transmit(to, payload);
    }

    /// The same, but it isn't queued.
    pub(super) fn written(&mut self, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.drafts.capacity() < ROOM {
            self.drafts.reserve(BLOCK);
        }
        write(&mut self.drafts);
        self.drafts.split().freeze()
    }

    /// Makes room for an answer. What becomes room is set to zeros piece by piece, for most of a piece is written soon.
    #[cold]
    fn prepare(&mut self) {
        if self.block.capacity() < size_of::<AnswerRoom>() {
            self.block.clear();
            self.block.reserve(BLOCK);
        }
        self.block.resize(self.block.capacity().min(PIECE), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::MAX_ANSWER;

    /// Sends an answer of `len` bytes, behind which something was written, and polls it.
    fn sent(answers: &mut Answers, len: usize) -> Bytes {
        let to = Asker { address: ([192, 0, 2, 1], 1).into() };
        answers.send(to, |room| {
            room[..len + 48].fill(7);
            len
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
            assert_eq!(sent(&mut answers, 10 * len), [7; 990][..10 * len]);
        }
        assert_eq!(kept, [7; 7][..]);
    }
}
