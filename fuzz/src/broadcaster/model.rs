//! How long each pool should live, kept as plainly as can be.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use poolmesh_proto::wire::canonical;
use poolmesh_proto::{Instant, PoolId};

#[derive(Debug)]
struct Pool {
    host: SocketAddr,
    /// When its time is up, unless its host pings.
    ends: Instant,
}

/// The pools whose names were learned. Those that a raw datagram made are not among them.
#[derive(Debug)]
pub(super) struct Model {
    ping_timeout: Duration,
    pools: BTreeMap<PoolId, Pool>,
    /// All names there ever were, to choose from: to speak of a dead pool is an input, too.
    names: Vec<PoolId>,
    /// The same names, to look one up.
    known: BTreeSet<PoolId>,
}

impl Model {
    pub(super) fn new(ping_timeout: Duration) -> Self {
        Self { ping_timeout, pools: BTreeMap::new(), names: Vec::new(), known: BTreeSet::new() }
    }

    pub(super) fn choose(&self, choice: u8) -> Option<PoolId> {
        let place = usize::from(choice).checked_rem(self.names.len())?;
        self.names.get(place).copied()
    }

    pub(super) fn created(&mut self, pool: PoolId, host: SocketAddr, now: Instant) {
        assert!(self.known.insert(pool), "{pool} was made twice");
        self.names.push(pool);
        self.pools.insert(pool, Pool { host, ends: now + self.ping_timeout });
    }

    /// Somebody pings. Whether it counts, if that can be known.
    pub(super) fn ping(&mut self, pool: PoolId, from: SocketAddr, now: Instant) -> Option<bool> {
        if !self.known.contains(&pool) {
            return None;
        }
        let host =
            self.pools.get_mut(&pool).filter(|pool| !pool.ends.is_due(now) && pool.host == canonical(from));
        if let Some(pool) = host {
            pool.ends = now + self.ping_timeout;
            return Some(true);
        }
        Some(false)
    }

    /// The end of a pool was told.
    pub(super) fn ended(&mut self, pool: &PoolId, host: SocketAddr, now: Instant) {
        if let Some(model) = self.pools.remove(pool) {
            assert!(model.ends.is_due(now), "{pool} ended before its time");
            assert_eq!(model.host, host);
        }
    }

    pub(super) fn forget_dead(&mut self, now: Instant) {
        self.pools.retain(|_, pool| !pool.ends.is_due(now));
    }

    /// Whether a pool is known to be dead.
    pub(super) fn is_dead(&self, pool: &PoolId, now: Instant) -> bool {
        self.known.contains(pool) && self.pools.get(pool).is_none_or(|pool| pool.ends.is_due(now))
    }

    /// How many pools ever had a name that was learned.
    pub(super) fn named(&self) -> usize {
        self.names.len()
    }

    /// How many of them live, after [`forget_dead`](Self::forget_dead).
    pub(super) fn living(&self) -> usize {
        self.pools.len()
    }
}
