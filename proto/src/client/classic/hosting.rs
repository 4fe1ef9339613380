//! The pools a client hosts, and when each is pinged next.

use alloc::vec::Vec;
use core::time::Duration;

use crate::client::{CallId, SHORTEST};
use crate::{Instant, PoolId};

/// How many pools are remembered after they were hosted, so that a late copy of the answer that made one is not
/// taken for a new pool.
const REMEMBERED: usize = 64;

/// What a client hosts and has hosted.
#[derive(Debug, Default)]
pub(super) struct Hosting {
    hosted: Vec<Hosted>,
    /// The latest pools this client was told it hosts, oldest first.
    known: Vec<PoolId>,
}

#[derive(Debug)]
struct Hosted {
    pool: PoolId,
    /// The call that made it.
    call: CallId,
    pinged_at: Instant,
    ping_at: Instant,
}

impl Hosting {
    pub(super) fn len(&self) -> usize {
        self.hosted.len()
    }

    pub(super) fn pools(&self) -> impl Iterator<Item = PoolId> + '_ {
        self.hosted.iter().map(|hosted| hosted.pool)
    }

    pub(super) fn contains(&self, pool: &PoolId) -> bool {
        self.hosted.iter().any(|hosted| hosted.pool == *pool)
    }

    /// Whether the answer that made this pool has been seen before.
    pub(super) fn knows(&self, pool: &PoolId) -> bool {
        self.known.contains(pool) || self.contains(pool)
    }

    /// Remembers a pool that was made.
    pub(super) fn remember(&mut self, pool: PoolId) {
        if self.known.len() >= REMEMBERED {
            self.known.remove(0);
        }
        self.known.push(pool);
    }

    /// Hosts a pool, with a first ping at once: the answer's way has already taken some of its time.
    pub(super) fn add(&mut self, pool: PoolId, call: CallId, now: Instant) {
        self.hosted.push(Hosted { pool, call, pinged_at: now, ping_at: now });
    }

    pub(super) fn remove(&mut self, pool: &PoolId) -> bool {
        let before = self.hosted.len();
        self.hosted.retain(|hosted| hosted.pool != *pool);
        self.hosted.len() < before
    }

    /// Hosts what `call` has made no longer.
    pub(super) fn forget(&mut self, call: CallId) {
        self.hosted.retain(|hosted| hosted.call != call);
    }

    pub(super) fn clear(&mut self) {
        self.hosted.clear();
    }

    /// Has every pool pinged soon: at once, but not again within a quarter of the interval, so that a flood of
    /// notices draws no flood of pings.
    pub(super) fn hasten(&mut self, now: Instant, interval: Duration) {
        for hosted in &mut self.hosted {
            let soonest = now.max(hosted.pinged_at + interval / 4);
            hosted.ping_at = hosted.ping_at.min(soonest);
        }
    }

    /// A pool that is to be pinged now, and sets its next ping.
    pub(super) fn next_ping(&mut self, now: Instant, interval: Duration) -> Option<PoolId> {
        let hosted = self.hosted.iter_mut().find(|hosted| hosted.ping_at.is_due(now))?;
        hosted.pinged_at = now;
        hosted.ping_at = now + interval.max(SHORTEST);
        Some(hosted.pool)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.hosted.iter().map(|hosted| hosted.ping_at).min()
    }
}
