//! The broadcaster as a datagram machine.

use core::net::SocketAddr;

use super::{Asker, Broadcaster, BroadcasterEvent, RandomSource};
use crate::{Instant, Machine, Output};

impl<R: RandomSource> Machine for Broadcaster<R> {
    type Event = BroadcasterEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.advance(now);
        self.stats.datagrams += 1;
        let from = Asker { address: from };
        self.handle_classic(from, datagram);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Output<BroadcasterEvent> {
        loop {
            if let Some(output) = self.answers.pop() {
                return output;
            }
            if !self.end_next_pool() {
                return Output::Wait(self.classic.pools.earliest());
            }
        }
    }

    /// Reads where the pools that these datagrams name are kept: of a million pools few are in a processor's caches, and a
    /// ping takes mostly the time that memory takes. So it is waited for all together.
    fn look_ahead<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        // First all names are read and then all pools: a processor looks some hundred instructions ahead.
        let mut slots = [0; 32];
        let mut datagrams = datagrams.into_iter();
        loop {
            let mut count = 0;
            for (slot, datagram) in slots.iter_mut().zip(&mut datagrams) {
                if let Some(number) = self.slot_of(datagram) {
                    *slot = number;
                }
                count += 1;
            }
            core::hint::black_box(self.classic.pools.touch(slots.iter().take(count)));
            if count < slots.len() {
                return;
            }
        }
    }
}
