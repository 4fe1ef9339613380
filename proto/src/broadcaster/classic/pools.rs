//! The pools of a broadcaster: found by id in constant time, ended in time, counted by source.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::by_id::ById;
use super::peers::PeerList;
use super::pool_key::{Numbering, PoolKey};
use crate::broadcaster::address::{HostAddress, Zone};
use crate::broadcaster::chunks::Chunks;
use crate::broadcaster::sources::{Source, Sources};
use crate::broadcaster::wheel::{Timed, Wheel};
use crate::broadcaster::{Asker, RandomSource};
use crate::wire::native::PoolUuid;
use crate::wire::uuid;
use crate::{Instant, PoolId};

/// How often a new id is drawn when the random source repeats itself, before create is refused.
const DRAWS: usize = 4;

/// One pool.
#[derive(Debug)]
struct Pool {
    host: HostAddress,
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

impl Pool {
    /// Whether its time is not up yet. The timeout is in microseconds.
    #[inline]
    fn lives(&self, timeout: u64, now: Instant) -> bool {
        !Instant::from_micros(self.last_ping.as_micros().saturating_add(timeout)).is_due(now)
    }
}

impl Slot {
    /// Its pool, if it lives.
    #[inline]
    fn living(&self, timeout: u64, now: Instant) -> Option<&Pool> {
        self.pool.as_ref().filter(|pool| pool.lives(timeout, now))
    }
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
    number: u32,
    key: PoolKey,
    pool: &'a Pool,
}

impl Living<'_> {
    pub(super) fn id(&self) -> PoolId {
        self.key.id()
    }

    /// The bytes of the UUID that the id is.
    pub(super) fn uuid(&self) -> &[u8; 16] {
        self.key.uuid()
    }

    /// The host's address as peers are told it.
    pub(super) fn host(&self) -> SocketAddr {
        self.pool.host.told()
    }

    /// Peers without the host.
    pub(super) fn peer_count(&self) -> usize {
        self.pool.peers.count()
    }

    /// Whether it has this peer, its host not counted.
    pub(super) fn has(&self, peer: SocketAddr) -> bool {
        self.pool.peers.has(peer)
    }

    /// Peers without the host, who joined last first.
    pub(super) fn peers(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.pool.peers.newest_first()
    }

    pub(super) fn slot(&self) -> u32 {
        self.number
    }
}

/// All pools. A slot number stands for a pool while it lives, and is used again later.
#[derive(Debug)]
pub(in crate::broadcaster) struct Pools {
    /// In microseconds.
    timeout: u64,
    numbering: Numbering,
    slots: Chunks<Slot>,
    /// All slots: first those in use, in no order that matters, so that listing never walks over empty ones; then the
    /// free ones, which was freed last first.
    order: Vec<u32>,
    /// How many are in use.
    living: usize,
    /// Where in it the next list that has to be cut begins.
    list_from: usize,
    /// For lists that go on.
    by_id: ById,
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
            timeout: (Instant::ZERO + timeout).as_micros(),
            numbering,
            slots: Chunks::default(),
            order: Vec::new(),
            living: 0,
            list_from: 0,
            by_id: ById::default(),
            wheel: Wheel::new(timeout),
            hosted: Sources::default(),
            zones: BTreeMap::new(),
            peers: 0,
        }
    }

    pub(in crate::broadcaster) fn len(&self) -> usize {
        self.living
    }

    /// Peers of all pools together, without the hosts.
    pub(in crate::broadcaster) fn peers(&self) -> usize {
        self.peers
    }

    /// Pools whose hosts share the source of `host`.
    pub(super) fn hosted_from(&self, host: IpAddr) -> usize {
        self.hosted.count(Source::of(host))
    }

    /// The pool named `id`, if it lives. One whose time is up is dead even while its notice waits for room.
    pub(super) fn find(&self, id: &[u8], now: Instant) -> Option<Living<'_>> {
        let key = PoolKey::parse(id)?;
        let number = self.numbering.slot(key);
        let pool = self.slots.get(number).filter(|slot| slot.key == key)?.living(self.timeout, now)?;
        Some(Living { number, key, pool })
    }

    /// The pool in a slot.
    pub(super) fn at(&self, number: u32) -> Option<Living<'_>> {
        let slot = self.slots.get(number)?;
        Some(Living { number, key: slot.key, pool: slot.pool.as_ref()? })
    }

    /// Somebody pings the pool named `id`. Whether he is its host, if it lives.
    #[inline]
    pub(super) fn ping(&mut self, id: &[u8], from: SocketAddr, now: Instant) -> Option<bool> {
        let key = PoolKey::parse(id)?;
        let slot = self.slots.get_mut(self.numbering.slot(key)).filter(|slot| slot.key == key)?;
        let pool = slot.pool.as_mut().filter(|pool| pool.lives(self.timeout, now))?;
        let is_host = pool.host.is(from);
        if is_host {
            pool.last_ping = now;
        }
        Some(is_host)
    }

    /// Where the pool of that id is kept, if there is one.
    #[inline]
    pub(super) fn slot_of(&self, id: &[u8; uuid::LEN]) -> u32 {
        self.numbering.slot_of_text(id)
    }

    /// Reads something of each of these slots, if there are such.
    #[inline]
    pub(in crate::broadcaster) fn touch<'a>(&self, slots: impl Iterator<Item = &'a u32>) -> u8 {
        let read = |slot: &u32| self.slots.get(*slot).map_or(0, |slot| slot.key.uuid()[0]);
        slots.fold(0, |all, slot| all ^ read(slot))
    }

    /// Lists living pools into `listed`: as many as there are, at most `capacity`. While all fit the order is the same each
    /// time; a list that has to be cut begins where the one before ended.
    pub(super) fn list(&mut self, capacity: usize, now: Instant, listed: &mut Vec<PoolKey>) {
        let start = if self.living > capacity { self.list_from } else { 0 };
        let living = self.order.get(..self.living).unwrap_or_default();
        let start = start.checked_rem(living.len()).unwrap_or(0);
        let (before, after) = living.split_at(start);
        listed.clear();
        for numbers in [after, before] {
            for number in numbers {
                if listed.len() == capacity {
                    break;
                }
                let living = |slot: &&Slot| slot.living(self.timeout, now).is_some();
                if let Some(slot) = self.slots.get(*number).filter(living) {
                    listed.push(slot.key);
                }
            }
        }
        self.list_from = (start + listed.len()).checked_rem(living.len()).unwrap_or(0);
    }

    /// Living pools with ids greater than this, in their order: looks at so many pools or so, and hands in each until it is
    /// not taken. Answers after which id to go on, if there may be more.
    pub(super) fn list_after(
        &self,
        after: PoolUuid,
        scan: usize,
        now: Instant,
        take: impl FnMut(PoolUuid) -> bool,
    ) -> Option<PoolUuid> {
        let id = |slot| Some(self.slots.get(slot)?.key.uuid());
        let lives = |slot| self.slots.get(slot).is_some_and(|slot| slot.living(self.timeout, now).is_some());
        list_after(&self.by_id, after, scan, id, lives, take)
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
        let pool = Pool { host, last_ping: now, peers: PeerList::default(), place, next: 0 };
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
        self.hosted.add(Source::of(host.told().ip()));
        self.by_id.add(slot, |slot| Some(self.slots.get(slot)?.key.uuid()));
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
    #[inline]
    pub(super) fn end_next(&mut self, now: Instant) -> Option<Ended> {
        if !self.is_to_end_some(now) {
            return None;
        }
        let slot = self.wheel.pop_due(now, &mut self.slots)?;
        self.remove(slot)
    }

    /// Whether the time of some may be up: mostly not. To be asked whenever time has gone on.
    #[inline]
    pub(in crate::broadcaster) fn is_to_end_some(&mut self, now: Instant) -> bool {
        self.wheel.is_to_turn(now)
    }

    /// When to look again: no pool ends earlier.
    #[inline]
    pub(in crate::broadcaster) fn earliest(&self) -> Option<Instant> {
        self.wheel.earliest()
    }

    /// Takes out a pool whose slot the wheel has let go.
    fn remove(&mut self, slot: u32) -> Option<Ended> {
        let freed = self.slots.get_mut(slot)?;
        let (key, pool) = (freed.key, freed.pool.take()?);
        self.by_id.remove(slot, key.uuid());
        self.living -= 1;
        self.order.swap(pool.place as usize, self.living);
        let moved = self.order.get(pool.place as usize).copied();
        if let Some(moved) = moved.and_then(|moved| self.slots.get_mut(moved)?.pool.as_mut()) {
            moved.place = pool.place;
        }
        self.peers -= pool.peers.count();
        let host = pool.host.told();
        self.hosted.take(Source::of(host.ip()));
        let notify = Asker { address: pool.host.of_socket(self.zones.remove(&slot)) };
        Some(Ended { key, host, notify })
    }
}

/// As [`Pools::list_after`], of pools that are found and live as these say.
pub(super) fn list_after<'a>(
    by_id: &ById,
    after: PoolUuid,
    scan: usize,
    id: impl Fn(u32) -> Option<&'a [u8; 16]>,
    lives: impl Fn(u32) -> bool,
    mut take: impl FnMut(PoolUuid) -> bool,
) -> Option<PoolUuid> {
    let mut seen = after;
    let mut goes_on = true;
    let mut looks = 0;
    by_id.after(&after.bytes(), id, |some, last| {
        for (id, place) in some {
            let id = PoolUuid::new(**id);
            if lives(*place) && !take(id) {
                return false;
            }
            seen = id;
        }
        looks += some.len().max(1);
        seen = seen.max(PoolUuid::new(last.to_be_bytes()));
        goes_on = last != u128::MAX;
        looks < scan
    });
    goes_on.then_some(seen)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn host(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn asker(port: u16) -> Asker {
        Asker { address: host(port) }
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
        assert_eq!((pools.len(), pools.peers(), pools.hosted.is_empty()), (0, 0, true));
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
    fn lists_go_round_all_pools_whatever_was_removed() {
        let (mut pools, slots) = pools(5);
        pools.remove(slots[1]);
        pools.remove(slots[4]);
        let mut listed = Vec::new();
        let mut ports = |from, capacity| {
            pools.list_from = from;
            let mut ports = Vec::new();
            for _ in 0..3 {
                pools.list(capacity, Instant::ZERO, &mut listed);
                let slots = listed.iter().map(|key| pools.numbering.slot(*key));
                ports.extend(slots.map(|slot| pools.at(slot).unwrap().host().port()));
            }
            ports
        };
        for from in [0, 1, 2, 3, usize::MAX] {
            for capacity in [1, 2] {
                let mut listed = ports(from, capacity);
                listed.sort_unstable();
                assert_eq!(listed, [0, 2, 3].map(|port| vec![port; capacity]).concat());
            }
            let listed = ports(from, 3);
            assert_eq!((&listed[..3], &listed[3..6]), (&listed[3..6], &listed[6..]), "the same each time");
        }
    }

    #[test]
    fn the_dead_are_not_listed() {
        let (mut pools, _) = pools(5);
        let mut listed = Vec::new();
        for (now, alive) in [(999_999, 5), (1_000_000, 0)] {
            pools.list(9, Instant::from_micros(now), &mut listed);
            assert_eq!(listed.len(), alive);
        }
    }
}
