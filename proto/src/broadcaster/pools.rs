//! The pools of a broadcaster: found by id in constant time, counted by source.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Asker;
use super::pool_key::{PoolKey, RandomSource};
use crate::{Instant, PoolId};

/// How often a new id is drawn when the random source repeats itself, before create is refused.
const DRAWS: usize = 4;

/// One pool.
#[derive(Debug)]
pub(super) struct Pool {
    key: PoolKey,
    /// The host's address as peers are told it.
    pub(super) host: SocketAddr,
    /// Whom to tell of the end, and how.
    pub(super) notify: Asker,
    /// When the host pinged last, or created the pool.
    pub(super) last_ping: Instant,
    /// Who joined, in that order, without the host.
    pub(super) peers: Vec<SocketAddr>,
    /// Where in `Pools::live` its slot stands.
    live_at: usize,
}

impl Pool {
    pub(super) fn id(&self) -> PoolId {
        self.key.id()
    }
}

#[derive(Debug, Default)]
struct Slot {
    /// The key of the slot's last pool, so that a random source that is stuck can't bring an id back.
    last: PoolKey,
    pool: Option<Pool>,
}

/// All pools. A slot number stands for a pool while it lives, and is used again later.
#[derive(Debug, Default)]
pub(super) struct Pools {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slots in use, in no order that matters, so that listing never walks over empty ones.
    live: Vec<u32>,
    hosted: BTreeMap<IpAddr, usize>,
    peers: usize,
}

impl Pools {
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Peers of all pools together, without the hosts.
    pub(super) fn peers(&self) -> usize {
        self.peers
    }

    /// Pools whose hosts share the source of `host`.
    pub(super) fn hosted_from(&self, host: IpAddr) -> usize {
        self.hosted.get(&source(host)).copied().unwrap_or(0)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Pool> {
        self.slots.get(slot as usize)?.pool.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Pool> {
        self.slots.get_mut(slot as usize)?.pool.as_mut()
    }

    /// The slot of the pool named `id`.
    pub(super) fn find(&self, id: &PoolId) -> Option<u32> {
        let key = PoolKey::parse(id)?;
        let pool = self.get(key.slot())?;
        (pool.key == key).then(|| key.slot())
    }

    /// Makes a pool, or none if the random source gives no id that is new.
    pub(super) fn insert(
        &mut self,
        random: &mut impl RandomSource,
        notify: Asker,
        now: Instant,
    ) -> Option<(u32, PoolId)> {
        let slot = match self.free.last() {
            Some(slot) => *slot,
            None => u32::try_from(self.slots.len()).ok()?,
        };
        let last = self.slots.get(slot as usize).map(|slot| slot.last);
        let key = (0..DRAWS)
            .map(|_| PoolKey::new(slot, random.next_u128()))
            .find(|key| last.is_none_or(|last| last != *key))?;

        if self.free.pop().is_none() {
            self.slots.push(Slot::default());
        }
        let host = notify.peer();
        let pool = Pool { key, host, notify, last_ping: now, peers: Vec::new(), live_at: self.live.len() };
        *self.slots.get_mut(slot as usize)? = Slot { last: key, pool: Some(pool) };
        self.live.push(slot);
        *self.hosted.entry(source(host.ip())).or_default() += 1;
        Some((slot, key.id()))
    }

    /// Adds a peer to a pool. It must not be one yet.
    pub(super) fn add_peer(&mut self, slot: u32, peer: SocketAddr) {
        if let Some(pool) = self.get_mut(slot) {
            pool.peers.push(peer);
            self.peers += 1;
        }
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Pool> {
        let pool = self.slots.get_mut(slot as usize)?.pool.take()?;
        self.live.swap_remove(pool.live_at);
        if let Some(moved) = self.live.get(pool.live_at).copied() {
            if let Some(moved) = self.get_mut(moved) {
                moved.live_at = pool.live_at;
            }
        }
        self.free.push(slot);
        self.peers -= pool.peers.len();
        let source = source(pool.host.ip());
        if let Some(count) = self.hosted.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.hosted.remove(&source);
            }
        }
        Some(pool)
    }

    /// All pools once, starting at the one that stands at `from` (taken round) and coming round to it.
    pub(super) fn round(&self, from: usize) -> impl Iterator<Item = &Pool> + '_ {
        let (before, after) = self.live.split_at(from.checked_rem(self.live.len()).unwrap_or(0));
        after.iter().chain(before).filter_map(|slot| self.get(*slot))
    }
}

/// What counts as one source of pools: an IPv4 address, or the /64 that an IPv6 user has to himself.
fn source(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Dialect;

    fn host(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn asker(port: u16) -> Asker {
        Asker { address: host(port), dialect: Dialect::Classic }
    }

    fn pools(count: u16) -> (Pools, Vec<u32>) {
        let mut pools = Pools::default();
        let mut next = 0;
        let mut random = || {
            next += 1 << 100;
            next
        };
        let slots =
            (0..count).map(|port| pools.insert(&mut random, asker(port), Instant::ZERO).unwrap().0).collect();
        (pools, slots)
    }

    #[test]
    fn the_count_by_source_follows_every_change() {
        let (mut pools, slots) = pools(3);
        assert_eq!(pools.hosted_from(host(9).ip()), 3);
        for (slot, left) in slots.into_iter().zip([2, 1, 0]) {
            pools.add_peer(slot, host(7));
            pools.remove(slot);
            assert_eq!(pools.hosted_from(host(9).ip()), left);
        }
        assert_eq!((pools.len(), pools.peers(), pools.hosted.len()), (0, 0, 0));
    }

    #[test]
    fn an_ipv6_source_is_a_64() {
        assert_eq!(source("2001:db8::1".parse().unwrap()), source("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(source("2001:db8::1".parse().unwrap()), source("2001:db8:0:1::1".parse().unwrap()));
    }

    #[test]
    fn a_stuck_random_source_brings_no_id_back() {
        let mut pools = Pools::default();
        let mut stuck = || 5;
        let (slot, _) = pools.insert(&mut stuck, asker(1), Instant::ZERO).unwrap();
        assert!(pools.insert(&mut stuck, asker(1), Instant::ZERO).is_some(), "another slot, another id");
        pools.remove(slot);
        assert_eq!(pools.insert(&mut stuck, asker(1), Instant::ZERO), None);
        assert_eq!(pools.len(), 1);
    }

    #[test]
    fn a_round_visits_every_pool_once_whatever_was_removed() {
        let (mut pools, slots) = pools(5);
        pools.remove(slots[1]);
        pools.remove(slots[4]);
        for from in [0, 1, 2, 3, usize::MAX] {
            let mut ports: Vec<u16> = pools.round(from).map(|pool| pool.host.port()).collect();
            ports.sort_unstable();
            assert_eq!(ports, [0, 2, 3]);
        }
    }
}
