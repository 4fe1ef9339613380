//! How long each pool should live, kept as plainly as can be.

use core::net::SocketAddr;
use core::time::Duration;

use poolmesh_proto::wire::canonical;
use poolmesh_proto::{Instant, PoolId};

#[derive(Debug)]
struct Pool {
    id: PoolId,
    /// A number of the id's bytes: to compare it first is quicker.
    key: u64,
    host: SocketAddr,
    /// When its time is up, unless its host pings.
    ends: Instant,
    /// Its end was told, or can't be told any more.
    over: bool,
}

/// All pools there ever were whose names were learned, for to speak of a dead pool is an input, too. Those that a raw
/// datagram made are not among them.
#[derive(Debug)]
pub(super) struct Model {
    ping_timeout: Duration,
    pools: Vec<Pool>,
}

impl Model {
    /// Takes memory for `most` pools, and no more later.
    pub(super) fn new(ping_timeout: Duration, most: usize) -> Self {
        Self { ping_timeout, pools: Vec::with_capacity(most) }
    }

    pub(super) fn choose(&self, choice: u8) -> Option<PoolId> {
        let place = usize::from(choice).checked_rem(self.pools.len())?;
        self.pools.get(place).map(|pool| pool.id)
    }

    pub(super) fn created(&mut self, id: PoolId, host: SocketAddr, now: Instant) {
        assert!(self.find(&id).is_none(), "{id} was made twice");
        self.pools.push(Pool { id, key: key(&id), host, ends: now + self.ping_timeout, over: false });
    }

    /// Somebody pings. Whether it counts, if that can be known.
    pub(super) fn ping(&mut self, id: &PoolId, from: SocketAddr, now: Instant) -> Option<bool> {
        let ends = now + self.ping_timeout;
        let pool = self.find_mut(id)?;
        let counts = !pool.ends.is_due(now) && pool.host == canonical(from);
        if counts {
            pool.ends = ends;
        }
        Some(counts)
    }

    /// The end of a pool was told.
    pub(super) fn ended(&mut self, id: &PoolId, host: SocketAddr, now: Instant) {
        if let Some(pool) = self.find_mut(id) {
            assert!(pool.ends.is_due(now), "{id} ended before its time");
            assert!(!pool.over, "{id} ended twice");
            assert_eq!(pool.host, host);
            pool.over = true;
        }
    }

    /// What was dropped can't be told: after a drain all that is due is over.
    pub(super) fn forget_dead(&mut self, now: Instant) {
        for pool in &mut self.pools {
            pool.over |= pool.ends.is_due(now);
        }
    }

    /// Whether a pool is known to be dead.
    pub(super) fn is_dead(&self, id: &PoolId, now: Instant) -> bool {
        self.find(id).is_some_and(|pool| pool.ends.is_due(now))
    }

    /// How many pools ever had a name that was learned.
    pub(super) fn named(&self) -> usize {
        self.pools.len()
    }

    /// How many of them live.
    pub(super) fn living_at(&self, now: Instant) -> usize {
        self.pools.iter().filter(|pool| !pool.over && !pool.ends.is_due(now)).count()
    }

    fn find(&self, id: &PoolId) -> Option<&Pool> {
        let key = key(id);
        self.pools.iter().find(|pool| pool.key == key && pool.id == *id)
    }

    fn find_mut(&mut self, id: &PoolId) -> Option<&mut Pool> {
        let key = key(id);
        self.pools.iter_mut().find(|pool| pool.key == key && pool.id == *id)
    }
}

fn key(id: &PoolId) -> u64 {
    let first = id.as_bytes().first_chunk().copied().unwrap_or_default();
    let last = id.as_bytes().last_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first) ^ u64::from_be_bytes(last)
}
