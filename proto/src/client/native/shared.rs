//! What all parts of a native client have in common.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::BytesMut;

use super::calls::Call;
use super::cookies::Cookies;
use super::random::Random;
use crate::client::{CallId, ClientConfig, ClientEvent, ClientStats, Outcome, PoolEvent};
use crate::output::Outbox;
use crate::wire::canonical;
use crate::wire::native::Fault;
use crate::{Instant, PoolId};

#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: ClientConfig,
    /// Whom calls go to, in turn.
    pub(super) broadcasters: Vec<SocketAddr>,
    /// Which of them has answered last: calls begin there.
    pub(super) answered: usize,
    pub(super) now: Instant,
    pub(super) random: Random,
    pub(super) cookies: Cookies,
    /// In the order they were made.
    pub(super) calls: Vec<Call>,
    next_call: u64,
    /// Outcomes that nobody has polled yet.
    pub(super) unpolled: usize,
    /// Events of pools that nobody has polled yet.
    pub(super) told: usize,
    pub(super) outbox: Outbox<ClientEvent>,
    scratch: BytesMut,
    pub(super) stats: ClientStats,
}

/// Others are ignored.
pub(super) const MOST_BROADCASTERS: usize = 4;

impl Core {
    pub(super) fn new(config: ClientConfig, broadcaster: SocketAddr, seed: [u8; 32]) -> Self {
        let mut broadcasters = alloc::vec![canonical(broadcaster)];
        for other in config.broadcasters.iter().map(|other| canonical(*other)) {
            if broadcasters.len() < MOST_BROADCASTERS && !broadcasters.contains(&other) {
                broadcasters.push(other);
            }
        }
        Self {
            broadcasters,
            answered: 0,
            now: Instant::ZERO,
            random: Random::new(seed),
            cookies: Cookies::default(),
            calls: Vec::new(),
            next_call: 0,
            unpolled: 0,
            told: 0,
            outbox: Outbox::new(config.max_queued),
            scratch: BytesMut::new(),
            stats: ClientStats::default(),
            config,
        }
    }

    /// The name of a new call.
    pub(super) fn name_call(&mut self) -> CallId {
        let id = CallId(self.next_call);
        self.next_call += 1;
        id
    }

    /// A broadcaster has answered a request.
    pub(super) fn note_answer(&mut self, from: SocketAddr) {
        if let Some(at) = self.broadcasters.iter().position(|broadcaster| *broadcaster == from) {
            self.answered = at;
        }
    }

    /// Sends a datagram.
    pub(super) fn send(&mut self, to: SocketAddr, write: impl FnOnce(&mut BytesMut)) {
        self.stats.sent += 1;
        write(&mut self.scratch);
        self.outbox.transmit(to, self.scratch.split().freeze());
    }

    /// Something came that is not what it should be.
    pub(super) fn spoiled(&mut self, fault: Fault) {
        match fault {
            Fault::WrongTag => self.stats.forged += 1,
            Fault::TooLong
            | Fault::OtherDialect
            | Fault::Truncated
            | Fault::UnknownType
            | Fault::WrongSide
            | Fault::BadValue => self.stats.spoiled += 1,
        }
    }

    /// Gives a call its outcome, and its place to another. One that was forgotten gets none.
    pub(super) fn finish(&mut self, id: CallId, outcome: Outcome) {
        if let Some(place) = self.calls.iter().position(|call| call.id == id) {
            self.calls.remove(place);
            self.unpolled += 1;
            self.outbox.event(ClientEvent::Finished { call: id, outcome });
        }
    }

    /// Tells an event of a pool, if there is room. `missed`: whether its application has been told that something was
    /// missed, and not yet looked.
    pub(super) fn tell(&mut self, pool: PoolId, missed: &mut bool, event: PoolEvent) {
        if self.told < self.config.max_events {
            self.told += 1;
            self.outbox.event(ClientEvent::Pool { pool, event });
            return;
        }
        self.stats.events_missed += 1;
        if !*missed {
            *missed = true;
            self.outbox.event(ClientEvent::Pool { pool, event: PoolEvent::Missed });
        }
    }
}
