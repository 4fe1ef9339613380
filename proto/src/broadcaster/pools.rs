//! The pools of a broadcaster: found by id in constant time, ended in time, counted by source.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::Asker;
use super::address::{HostAddress, PeerList, Zone};
use super::chunks::Chunks;
use super::pool_key::{Numbering, PoolKey, RandomSource};
use super::wheel::{Timed, Wheel};
use crate::wire::Dialect;
use crate::{Instant, PoolId};

/// How often a new id is drawn when the random source repeats itself, before create is refused.
const DRAWS: usize = 4;

/// One pool.
#[derive(Debug)]
struct Pool {
    host: HostAddress,
    /// How to tell the host of the end.
    dialect: Dialect,
    /// When the host pinged last, or created the pool.
    last_ping: Instant,
    peers: PeerList,
    /// Where in `Pools::order` its slot stands.
    place: u32,
    /// The wheel's.
    next: u32,
}

/// A place for a pool: one line of a processor's caches, for a ping waits for memory longer than for anything else.
/// Without a pool it keeps the key of the last, so that a random source that is stuck can't bring an id back.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    key: PoolKey,
    pool: Option<Pool>,
}

impl Timed for Slot {
    fn ends(&self, timeout: Duration) -> Instant {
        self.pool.as_ref().map_or(Instant::NEVER, |pool| pool.last_ping + timeout)
    }

    fn next(&mut self) -> Option<&mut u32> {
        self.pool.as_mut().map(|pool| &mut pool.next)
    }
}

/// A pool that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) key: PoolKey,
    /// The host's address as peers were told it.
    pub(super) host: SocketAddr,
    /// Whom to tell, and how.
    pub(super) notify: Asker,
}

/// A living pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Living<'a> {
    slot: u32,
    key: PoolKey,
    pool: &'a Pool,
}

impl Living<'_> {
    pub(super) fn id(&self) -> PoolId {
        self.key.id()
    }

    /// The host's address as peers are told it.
    pub(super) fn host(&self) -> SocketAddr {
        self.pool.host.told()
    }

    /// Peers without the host.
    pub(super) fn peer_count(&self) -> usize {
        self.pool.peers.count()
    }

    /// The same, who joined last first.
    pub(super) fn peers(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.pool.peers.newest_first()
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }
}

/// All pools. A slot number stands for a pool while it lives, and is used again later.
#[derive(Debug)]
pub(super) struct Pools {
    timeout: Duration,
    numbering: Numbering,
    slots: Chunks<Slot>,
    /// All slots: first those in use, in no order that matters, so that listing never walks over empty ones; then the
    /// free ones, which was freed last first.
    order: Vec<u32>,
    /// How many are in use.
    living: usize,
    wheel: Wheel,
    hosted: Sources,
    /// Zones of hosts, by slot.
    zones: BTreeMap<u32, Zone>,
    peers: usize,
}

impl Pools {
    /// None, each of which will live for so long without a ping.
    pub(super) fn new(timeout: Duration, numbering: Numbering) -> Self {
        Self {
            timeout,
            numbering,
            slots: Chunks::default(),
            order: Vec::new(),
            living: 0,
            wheel: Wheel::new(timeout),
            hosted: Sources::default(),
            zones: BTreeMap::new(),
            peers: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.living
    }

    /// Peers of all pools together, without the hosts.
    pub(super) fn peers(&self) -> usize {
        self.peers
    }

    /// Pools whose hosts share the source of `host`.
    pub(super) fn hosted_from(&self, host: IpAddr) -> usize {
        self.hosted.count(host)
    }

    /// The pool named `id`, if it lives. One whose time is up is dead even while its notice waits for room.
    pub(super) fn find(&self, id: &[u8], now: Instant) -> Option<Living<'_>> {
        let key = PoolKey::parse(id)?;
        let number = self.numbering.slot(key);
        let slot = self.slots.get(number).filter(|slot| slot.key == key)?;
        let pool = slot.pool.as_ref()?;
        (!(pool.last_ping + self.timeout).is_due(now)).then_some(Living { slot: number, key, pool })
    }

    /// How many of these name a pool, living or dead: to know, all of them have to be read.
    pub(super) fn touch<'a>(&self, keys: impl Iterator<Item = &'a PoolKey>) -> usize {
        let there =
            |key: &&PoolKey| self.slots.get(self.numbering.slot(**key)).is_some_and(|slot| slot.key == **key);
        keys.filter(there).count()
    }

    /// The host of a pool has pinged.
    pub(super) fn pinged(&mut self, slot: u32, now: Instant) {
        if let Some(pool) = self.slots.get_mut(slot).and_then(|slot| slot.pool.as_mut()) {
            pool.last_ping = now;
        }
    }

    /// Makes a pool, or none if the random source gives no id that is new.
    pub(super) fn insert(
        &mut self,
        random: &mut impl RandomSource,
        notify: Asker,
        now: Instant,
    ) -> Option<PoolKey> {
        let free = self.order.get(self.living).copied();
        let slot = free.or_else(|| self.slots.next_place())?;
        let outside = self.numbering.outside(slot)?;
        let last = self.slots.get(slot).map(|slot| slot.key);
        let key = (0..DRAWS)
            .map(|_| PoolKey::new(outside, random.next_u128()))
            .find(|key| last.is_none_or(|last| last != *key))?;

        let (host, zone) = HostAddress::new(notify.address);
        let place = u32::try_from(self.living).ok()?;
        let dialect = notify.dialect;
        let pool = Pool { host, dialect, last_ping: now, peers: PeerList::default(), place, next: 0 };
        let made = Slot { key, pool: Some(pool) };
        match self.slots.get_mut(slot) {
            Some(freed) => *freed = made,
            None => {
                self.slots.push(made);
                self.order.push(slot);
            }
        }
        self.living += 1;
        if let Some(zone) = zone {
            self.zones.insert(slot, zone);
        }
        self.hosted.add(host.told().ip());
        self.wheel.set(slot, &mut self.slots);
        Some(key)
    }

    /// Adds a peer to a pool. It must not be one yet.
    pub(super) fn add_peer(&mut self, slot: u32, peer: SocketAddr) {
        if let Some(pool) = self.slots.get_mut(slot).and_then(|slot| slot.pool.as_mut()) {
            pool.peers.push(peer);
            self.peers += 1;
        }
    }

    /// Ends the next pool that is due: the one that has been quiet for longest.
    pub(super) fn end_next(&mut self, now: Instant) -> Option<Ended> {
        let slot = self.wheel.pop_due(now, &mut self.slots)?;
        self.remove(slot)
    }

    /// When to look again: no pool ends earlier.
    pub(super) fn earliest(&self) -> Option<Instant> {
        self.wheel.earliest()
    }

    /// Takes out a pool whose slot the wheel has let go.
    fn remove(&mut self, slot: u32) -> Option<Ended> {
        let freed = self.slots.get_mut(slot)?;
        let (key, pool) = (freed.key, freed.pool.take()?);
        self.living -= 1;
        self.order.swap(pool.place as usize, self.living);
        let moved = self.order.get(pool.place as usize).copied();
        if let Some(moved) = moved.and_then(|moved| self.slots.get_mut(moved)?.pool.as_mut()) {
            moved.place = pool.place;
        }
        self.peers -= pool.peers.count();
        let host = pool.host.told();
        self.hosted.take(host.ip());
        let notify = Asker { address: pool.host.of_socket(self.zones.remove(&slot)), dialect: pool.dialect };
        Some(Ended { key, host, notify })
    }

    /// All living pools once, starting at the one that stands at `from` (taken round) and coming round to it.
    pub(super) fn round(&self, from: usize, now: Instant) -> impl Iterator<Item = Living<'_>> + '_ {
        let living = self.order.get(..self.living).unwrap_or_default();
        let (before, after) = living.split_at(from.checked_rem(living.len()).unwrap_or(0));
        after.iter().chain(before).filter_map(move |slot| {
            let Slot { key, pool } = self.slots.get(*slot)?;
            let pool = pool.as_ref()?;
            (!(pool.last_ping + self.timeout).is_due(now)).then_some(Living { slot: *slot, key: *key, pool })
        })
    }
}

/// How many pools each source has: an IPv4 address, or the /64 that an IPv6 user has to himself.
#[derive(Debug, Default)]
pub(super) struct Sources {
    v4: BTreeMap<u32, u32>,
    v6: BTreeMap<u64, u32>,
}

impl Sources {
    pub(super) fn count(&self, ip: IpAddr) -> usize {
        let count = match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.get(&ip.to_bits()),
            IpAddr::V6(ip) => self.v6.get(&network(ip)),
        };
        count.copied().unwrap_or(0) as usize
    }

    pub(super) fn add(&mut self, ip: IpAddr) {
        let count = match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.entry(ip.to_bits()).or_default(),
            IpAddr::V6(ip) => self.v6.entry(network(ip)).or_default(),
        };
        *count += 1;
    }

    pub(super) fn take(&mut self, ip: IpAddr) {
        match ip.to_canonical() {
            IpAddr::V4(ip) => take_one(&mut self.v4, ip.to_bits()),
            IpAddr::V6(ip) => take_one(&mut self.v6, network(ip)),
        }
    }
}

fn take_one<K: Ord>(counts: &mut BTreeMap<K, u32>, source: K) {
    if let Some(count) = counts.get_mut(&source) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&source);
        }
    }
}

fn network(ip: Ipv6Addr) -> u64 {
    (ip.to_bits() >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn asker(port: u16) -> Asker {
        Asker { address: host(port), dialect: Dialect::Classic }
    }

    fn pools(count: u16) -> (Pools, Vec<u32>) {
        let mut pools = Pools::new(Duration::from_secs(1), Numbering::default());
        let mut next = 0;
        let mut random = || {
            next += 1 << 100;
            next
        };
        for port in 0..count {
            pools.insert(&mut random, asker(port), Instant::ZERO).unwrap();
        }
        (pools, (0..count.into()).collect())
    }

    #[test]
    fn a_pool_takes_64_bytes() {
        assert_eq!(size_of::<Slot>(), 64);
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
        assert_eq!((pools.len(), pools.peers(), pools.hosted.v4.len()), (0, 0, 0));
    }

    #[test]
    fn an_ipv6_source_is_a_64() {
        let mut sources = Sources::default();
        let ip = |ip: &str| -> IpAddr { ip.parse().unwrap() };
        for taken in ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"] {
            sources.add(ip(taken));
        }
        let counts =
            ["2001:db8::5", "2001:db8:0:1::", "192.0.2.1", "192.0.2.2"].map(|of| sources.count(ip(of)));
        assert_eq!(counts, [2, 1, 2, 0]);
        sources.take(ip("2001:db8::"));
        sources.take(ip("2001:db8::"));
        assert_eq!((sources.v6.len(), sources.v4.len()), (1, 1));
    }

    #[test]
    fn a_stuck_random_source_brings_no_id_back() {
        let mut pools = Pools::new(Duration::from_secs(1), Numbering::default());
        let mut stuck = || 5;
        pools.insert(&mut stuck, asker(1), Instant::ZERO).unwrap();
        assert!(pools.insert(&mut stuck, asker(1), Instant::ZERO).is_some(), "another slot, another id");
        pools.remove(0);
        assert_eq!(pools.insert(&mut stuck, asker(1), Instant::ZERO), None);
        assert_eq!(pools.len(), 1);
    }

    #[test]
    fn a_round_visits_every_pool_once_whatever_was_removed() {
        let (mut pools, slots) = pools(5);
        pools.remove(slots[1]);
        pools.remove(slots[4]);
        for from in [0, 1, 2, 3, usize::MAX] {
            let round = pools.round(from, Instant::ZERO);
            let mut ports: Vec<u16> = round.map(|pool| pool.host().port()).collect();
            ports.sort_unstable();
            assert_eq!(ports, [0, 2, 3]);
        }
    }
}
