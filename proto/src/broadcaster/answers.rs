//! What a broadcaster has to say.

use bytes::{Bytes, BytesMut};

use super::{Asker, BroadcasterEvent};
use crate::Output;
use crate::output::Outbox;
use crate::wire::{Dialect, MAX_ANSWER};

/// Answers that fit one block of memory, at their longest.
const BLOCK: usize = 32;

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
            self.block.reserve(BLOCK * MAX_ANSWER);
        }
        encode(to.dialect, &mut self.block);
        let payload = self.block.split().freeze();
        self.outbox.transmit(to.address, payload);
    }
}
