//! The broadcaster as a datagram machine.

use core::net::SocketAddr;

use super::native;
use super::{Asker, Broadcaster, BroadcasterEvent, RandomSource};
use crate::wire::Dialect;
use crate::{Instant, Machine, Output};

impl<R: RandomSource> Machine for Broadcaster<R> {
    type Event = BroadcasterEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.advance(now);
        self.stats.datagrams += 1;
        match Dialect::of(datagram) {
            // The native dialect is the first shard's.
            Dialect::Native if self.classic.is_first_shard() => self.handle_native(from, datagram),
            Dialect::Native => self.stats.ignored += 1,
            Dialect::Classic if self.config.classic => self.handle_classic(Asker { address: from }, datagram),
            Dialect::Classic => self.stats.dropped_classic += 1,
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Output<BroadcasterEvent> {
        if let Some(output) = self.answers.pop() {
            return output;
        }
        let has_more = self.native.as_ref().is_some_and(|native| native.has_more());
        if has_more || self.classic.pools.is_to_end_some(self.now) {
            if let Some(output) = self.poll_more() {
                return output;
            }
        }
        let due = self.native.as_ref().map_or(Instant::NEVER, |native| native.earliest());
        let due = self.classic.pools.earliest().map_or(due, |pool| pool.min(due));
        Output::Wait((due != Instant::NEVER).then_some(due))
    }

    /// Reads where the pools and the members that these datagrams name are kept: of a million few are in a processor's
    /// caches, and a ping takes mostly the time that memory takes. So it is waited for all together.
    fn look_ahead<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        // First all names are read and then all pools: a processor looks some hundred instructions ahead.
        let mut slots = [0; 32];
        let mut handles = [u32::MAX; 32];
        let mut datagrams = datagrams.into_iter();
        loop {
            let mut count = 0;
            for ((slot, handle), datagram) in slots.iter_mut().zip(&mut handles).zip(&mut datagrams) {
                if let Some(number) = self.slot_of(datagram) {
                    *slot = number;
                } else if let Some(named) = native::handle_of(datagram) {
                    *handle = named;
                }
                count += 1;
            }
            core::hint::black_box(self.classic.pools.touch(slots.iter().take(count)));
            if let Some(native) = &self.native {
                core::hint::black_box(native.touch(handles.iter().take(count)));
            }
            if count < slots.len() {
                return;
            }
        }
    }
}
