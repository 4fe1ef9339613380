//! The broadcaster: lists, creates and joins pools, and ends those whose hosts have gone quiet.

mod config;
mod pool_key;
mod pools;
mod requests;
mod stats;
#[cfg(test)]
mod tests;

use core::net::SocketAddr;

use bytes::{Bytes, BytesMut};

pub use config::BroadcasterConfig;
pub use pool_key::RandomSource;
pub use stats::BroadcasterStats;

use crate::deadlines::Deadlines;
use crate::log::{debug, trace};
use crate::output::Outbox;
use crate::wire::{Dialect, MAX_ANSWER, Refusal, Response, Words, canonical};
use crate::{Instant, PoolId};
use pools::Pools;

/// What a [`Broadcaster`] tells its driver. For logs and metrics: nothing has to be done. Dropped and counted if the
/// driver doesn't poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcasterEvent {
    /// A pool was made.
    PoolCreated {
        /// The pool.
        pool: PoolId,
        /// Who hosts it.
        host: SocketAddr,
    },
    /// Somebody joined a pool for the first time.
    PeerJoined {
        /// The pool.
        pool: PoolId,
        /// Who.
        peer: SocketAddr,
    },
    /// A pool ended, because its host was quiet for the ping timeout.
    PoolEnded {
        /// The pool.
        pool: PoolId,
        /// Who hosted it.
        host: SocketAddr,
    },
}

/// Who has sent a datagram, and how to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asker {
    /// As the driver's socket names it.
    address: SocketAddr,
    dialect: Dialect,
}

impl Asker {
    /// The address as peers are told it.
    fn peer(self) -> SocketAddr {
        canonical(self.address)
    }
}

/// The broadcaster as a datagram machine. See [`Machine`](crate::Machine) for its contract.
///
/// A ping costs a look-up in constant time and a store: the pool's one deadline stays as it is, fires early, looks
/// at the time of the last ping and is set anew.
///
/// Answers are at most 1,024 bytes. A join answer names the asker and the host first, then who joined last; a list
/// that has to be cut begins where the one before ended, so that every pool gets its turn.
///
/// ```
/// use core::time::Duration;
/// use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output};
///
/// let mut seed = 7u128;
/// let random = move || { seed = seed.wrapping_mul(0x2d99787926d46932a4c1f32680f70c55) + 1; seed };
/// let mut broadcaster = Broadcaster::new(BroadcasterConfig::default(), random);
///
/// let host = "192.0.2.1:5000".parse().unwrap();
/// broadcaster.handle_datagram(Instant::ZERO, host, &[0]); // create
/// let Output::Transmit(answer) = broadcaster.poll_output() else { panic!() };
/// assert_eq!(answer.destination, host);
///
/// while !matches!(broadcaster.poll_output(), Output::Wait(_)) {}
/// broadcaster.handle_timeout(Instant::ZERO + Duration::from_secs(1)); // no ping came
/// let Output::Transmit(notice) = broadcaster.poll_output() else { panic!() };
/// assert_eq!(&notice.payload[..], [5]);
/// ```
#[derive(Debug)]
pub struct Broadcaster<R> {
    config: BroadcasterConfig,
    random: R,
    now: Instant,
    pools: Pools,
    deadlines: Deadlines<u32>,
    /// Where the next list that has to be cut begins.
    list_from: usize,
    outbox: Outbox<BroadcasterEvent>,
    scratch: BytesMut,
    stats: BroadcasterStats,
}

impl<R: RandomSource> Broadcaster<R> {
    /// A broadcaster without pools, which draws the ids it makes from `random`.
    #[must_use]
    pub fn new(config: BroadcasterConfig, random: R) -> Self {
        Self {
            random,
            now: Instant::ZERO,
            pools: Pools::default(),
            deadlines: Deadlines::new(),
            list_from: 0,
            outbox: Outbox::new(config.max_queued),
            scratch: BytesMut::new(),
            stats: BroadcasterStats::default(),
            config,
        }
    }

    /// How many pools there are.
    #[must_use]
    pub fn pool_count(&self) -> usize {
        self.pools.len()
    }

    /// How many peers all pools have together, their hosts not counted.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.pools.peers()
    }

    /// What was done and refused so far.
    #[must_use]
    pub fn stats(&self) -> BroadcasterStats {
        BroadcasterStats { outputs_dropped: self.outbox.dropped(), ..self.stats }
    }

    /// Where it draws its ids from.
    #[cfg(feature = "trace")]
    pub(crate) fn random_mut(&mut self) -> &mut R {
        &mut self.random
    }

    /// Moves on to `now` and ends what is due, as far as there is room for the notices; `poll_output` goes on.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while self.outbox.has_room() && self.fire_next() {}
    }

    /// Fires the earliest deadline if it is due: the pool ends, or is looked at again when its last ping runs out.
    fn fire_next(&mut self) -> bool {
        let Some(slot) = self.deadlines.pop_due(self.now) else { return false };
        let Some(pool) = self.pools.get_mut(slot) else { return true };
        let ends = pool.last_ping + self.config.ping_timeout;
        if !ends.is_due(self.now) {
            self.deadlines.set(slot, ends);
            return true;
        }
        if let Some(pool) = self.pools.remove(slot) {
            debug!(pool = %pool.id(), host = %pool.host, "pool ended: its host was quiet");
            self.stats.pools_ended += 1;
            self.respond(pool.notify, &Response::PoolEnded);
            self.outbox.tell(BroadcasterEvent::PoolEnded { pool: pool.id(), host: pool.host });
        }
        true
    }

    /// The living pool of that name. One whose time is up is dead even while its notice waits for room.
    fn find(&self, id: &PoolId) -> Option<u32> {
        let slot = self.pools.find(id)?;
        let ends = self.pools.get(slot)?.last_ping + self.config.ping_timeout;
        (!ends.is_due(self.now)).then_some(slot)
    }

    fn respond(&mut self, to: Asker, response: &Response) {
        if !self.outbox.has_room() {
            // Spares the encoding; the outbox counts the drop.
            return self.outbox.transmit(to.address, Bytes::new());
        }
        // Answers are cut from blocks of memory, so that not each one allocates.
        if self.scratch.capacity() < MAX_ANSWER {
            self.scratch.reserve(8 * MAX_ANSWER);
        }
        to.dialect.encode_response(response, &mut self.scratch);
        let payload = self.scratch.split().freeze();
        self.outbox.transmit(to.address, payload);
    }

    fn refuse(&mut self, to: Asker, refusal: Refusal) {
        trace!(to = %to.address, %refusal, "refused");
        self.stats.refused += 1;
        self.respond(to, &Response::Refused(refusal));
    }

    fn refuse_unknown(&mut self, to: Asker, id: &[u8]) {
        self.stats.refused_unknown_pool += 1;
        self.refuse(to, Refusal::NoSuchPool(Words::new(id)));
    }
}
