//! One broadcaster as several machines, each for a thread of its own.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::by_id::ById;
use super::pool_key::{Numbering, PoolKey};
use super::pools::list_after;
use crate::broadcaster::sources::{Source, Sources};
use crate::wire::native::PoolUuid;
use crate::wire::{Asked, Dialect, classic};

/// One of the machines that are a broadcaster together, each for a thread of its own (feature `std`): see
/// [`Broadcaster::of_shard`](crate::Broadcaster::of_shard).
///
/// Each serves the pools that were created through it, whose ids tell so. [`owner`](Self::owner) says whose a datagram is.
/// A driver hands it to that machine as if it had come there, and sends the answer from the same address.
///
/// ```
/// use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output, Shard};
/// # use core::net::SocketAddr;
///
/// # fn random(seed: u128) -> impl FnMut() -> u128 {
/// #     let mut seed = seed;
/// #     move || { seed = seed.wrapping_mul(0x2d99787926d46932a4c1f32680f70c55) + 1; seed }
/// # }
/// let shards = Shard::split(2);
/// let make = |shard| Broadcaster::of_shard(BroadcasterConfig::default().with_classic(), random(7), shard);
/// let mut machines: Vec<_> = shards.iter().map(make).collect();
///
/// let host: SocketAddr = "192.0.2.1:5000".parse().unwrap();
/// machines[1].handle_datagram(Instant::ZERO, host, &[0]); // create
/// let Output::Transmit(answer) = machines[1].poll_output() else { panic!() };
///
/// let ping = [&[1, 36, 0, 0, 0], &answer.payload[5..41]].concat();
/// let owner = shards[0].owner(&ping).unwrap_or(0); // it came to the other thread
/// machines[owner].handle_datagram(Instant::ZERO, host, &ping);
/// assert_eq!((owner, machines[1].stats().pings), (1, 1));
/// ```
#[derive(Debug)]
pub struct Shard {
    all: Arc<All>,
    numbering: Numbering,
    own: usize,
    count: usize,
}

/// What all shards have in common. Whoever holds the lock looks at no other.
#[derive(Debug)]
struct All {
    pools: Mutex<AllPools>,
    /// Peers of all pools, without the hosts.
    peers: AtomicUsize,
}

/// All pools, to be counted and listed. A shard brings it up to date before it answers. What has ended stays in it until
/// its shard is told the time.
#[derive(Debug, Default)]
pub(super) struct AllPools {
    /// In no order that matters.
    keys: Vec<PoolKey>,
    /// Where in `keys` a pool stands, by its shard and its slot.
    places: Vec<Vec<u32>>,
    sources: Sources,
    /// For lists that go on, by the place in `keys`.
    by_id: ById,
    /// Where the next list that has to be cut begins.
    list_from: usize,
}

impl Shard {
    /// The most that there can be.
    pub const MOST: usize = 256;

    /// So many shards of a new broadcaster: at least one, at most [`MOST`](Self::MOST). Make one machine of each, and give
    /// all the same limits.
    #[must_use]
    pub fn split(count: usize) -> Vec<Self> {
        let count = count.clamp(1, Self::MOST);
        let pools = AllPools { places: vec![Vec::new(); count], ..AllPools::default() };
        let all = Arc::new(All { pools: Mutex::new(pools), peers: AtomicUsize::new(0) });
        let one = |own| {
            let numbering = Numbering::of(own as u32, count as u32);
            Self { all: Arc::clone(&all), numbering, own, count }
        };
        (0..count).map(one).collect()
    }

    /// Which of the shards, counted from 0 in the order of [`split`](Self::split), this datagram is for, if it is for
    /// another one: a ping or a join of a pool that was created there, or anything of the native dialect, which the first
    /// speaks alone. All else may be handled by any of them.
    #[must_use]
    pub fn owner(&self, datagram: &[u8]) -> Option<usize> {
        if Dialect::of(datagram) == Dialect::Native {
            return (!self.is_first()).then_some(0);
        }
        let (Ok(Asked::Ping(id)) | Ok(Asked::Join(id))) = classic::read_request(datagram) else {
            return None;
        };
        let owner = self.numbering.shard(PoolKey::parse(id)?) as usize;
        (owner != self.own && owner < self.count).then_some(owner)
    }

    /// The same shard, for its machine.
    pub(in crate::broadcaster) fn share(&self) -> Self {
        Self { all: Arc::clone(&self.all), ..*self }
    }

    /// Whether it is the one that speaks the native dialect.
    pub(super) fn is_first(&self) -> bool {
        self.own == 0
    }

    pub(super) fn numbering(&self) -> Numbering {
        self.numbering
    }

    /// All pools. Others wait meanwhile who create, list and end pools.
    pub(super) fn pools(&self) -> MutexGuard<'_, AllPools> {
        // What a panic elsewhere has left may miscount; it is no reason to serve nobody.
        self.all.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a pool of this shard has been made.
    pub(super) fn made(&self, pools: &mut AllPools, key: PoolKey, host: IpAddr) {
        pools.add(self.numbering, key, host);
    }

    /// Notes that a pool of this shard has ended, and that it had so many peers, its host not counted.
    pub(super) fn ended(&self, key: PoolKey, host: IpAddr, peers: usize) {
        self.pools().remove(self.numbering, key, host);
        self.all.peers.fetch_sub(peers, Ordering::Relaxed);
    }

    /// Lists into `listed`, at most `capacity` pools.
    pub(super) fn list(&self, capacity: usize, listed: &mut Vec<PoolKey>) {
        self.pools().list(capacity, listed);
    }

    /// As [`Pools::list_after`](super::pools::Pools::list_after), of all shards' pools.
    pub(super) fn list_after(
        &self,
        after: PoolUuid,
        scan: usize,
        take: impl FnMut(PoolUuid) -> bool,
    ) -> Option<PoolUuid> {
        let all = self.pools();
        let id = |place: u32| all.keys.get(place as usize).map(PoolKey::uuid);
        list_after(&all.by_id, after, scan, id, |_| true, take)
    }

    /// Counts a peer if there are fewer than `limit`. Whether it did.
    pub(super) fn add_peer(&self, limit: usize) -> bool {
        let more = |peers| (peers < limit).then_some(peers + 1);
        self.all.peers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

impl AllPools {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Pools whose hosts share the source of `host`.
    pub(super) fn hosted_from(&self, host: IpAddr) -> usize {
        self.sources.count(Source::of(host))
    }

    /// As a broadcaster of one machine lists: while all fit the order is the same each time.
    fn list(&mut self, capacity: usize, listed: &mut Vec<PoolKey>) {
        let start = if self.len() > capacity { self.list_from } else { 0 };
        let (before, after) = self.keys.split_at(start.checked_rem(self.len()).unwrap_or(0));
        listed.clear();
        listed.extend(after.iter().chain(before).take(capacity));
        self.list_from = start.wrapping_add(listed.len()).checked_rem(self.len()).unwrap_or(0);
    }

    fn add(&mut self, numbering: Numbering, key: PoolKey, host: IpAddr) {
        self.set_place(numbering, key, self.keys.len() as u32);
        self.keys.push(key);
        self.by_id.add(self.keys.len() as u32 - 1, |place| self.keys.get(place as usize).map(PoolKey::uuid));
        self.sources.add(Source::of(host));
    }

    fn remove(&mut self, numbering: Numbering, key: PoolKey, host: IpAddr) {
        let places = self.places.get(numbering.shard(key) as usize);
        let place = places.and_then(|places| places.get(numbering.slot(key) as usize)).copied();
        let Some((place, last)) = place.zip(self.keys.pop()) else { return };
        self.by_id.remove(place, key.uuid());
        if let Some(freed) = self.keys.get_mut(place as usize) {
            *freed = last;
            self.by_id.remove(self.keys.len() as u32, last.uuid());
            self.by_id.add(place, |place| self.keys.get(place as usize).map(PoolKey::uuid));
            self.set_place(numbering, last, place);
        }
        self.sources.take(Source::of(host));
    }

    fn set_place(&mut self, numbering: Numbering, key: PoolKey, place: u32) {
        let Some(places) = self.places.get_mut(numbering.shard(key) as usize) else { return };
        let slot = numbering.slot(key) as usize;
        // A shard takes its slots one after the other.
        match places.get_mut(slot) {
            Some(known) => *known = place,
            None => places.push(place),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::broadcaster::{Broadcaster, BroadcasterConfig, RandomSource};
    use crate::wire::{Refusal, Request, Response};
    use crate::{Instant, Machine, Output, PoolId};

    fn machines(
        count: usize,
        change: fn(&mut BroadcasterConfig),
    ) -> (Vec<Shard>, Vec<Broadcaster<impl RandomSource>>) {
        let mut config = BroadcasterConfig::default().with_classic();
        change(&mut config);
        let shards = Shard::split(count);
        let make = |shard: &Shard| {
            let mut drawn = (shard.own as u128) << 100;
            let random = move || {
                drawn += 0x1_0000_0001_0000_0001_0000_0001;
                drawn
            };
            Broadcaster::of_shard(config.clone(), random, shard)
        };
        let machines = shards.iter().map(make).collect();
        (shards, machines)
    }

    fn encoded(request: &Request) -> Bytes {
        let mut datagram = BytesMut::new();
        classic::encode_request(request, &mut datagram);
        datagram.freeze()
    }

    /// Asks a machine, as host or guest of that number, and says what it answered last.
    fn ask(machine: &mut Broadcaster<impl RandomSource>, who: u8, request: &Request) -> Option<Response> {
        machine.handle_datagram(Instant::ZERO, ([192, 0, 2, who], 5_000).into(), &encoded(request));
        let mut answer = None;
        loop {
            match machine.poll_output() {
                Output::Transmit(sent) => answer = classic::decode_response(&sent.payload).ok(),
                Output::Event(_) => {}
                Output::Wait(_) => return answer,
            }
        }
    }

    fn created(machine: &mut Broadcaster<impl RandomSource>, who: u8) -> PoolId {
        match ask(machine, who, &Request::Create) {
            Some(Response::Joined(pool)) => pool.id(),
            other => panic!("not a pool: {other:?}"),
        }
    }

    fn refusal(answer: Option<Response>) -> Refusal {
        match answer {
            Some(Response::Refused(refusal)) => refusal,
            other => panic!("not a refusal: {other:?}"),
        }
    }

    #[test]
    fn a_datagram_has_one_owner() {
        for count in [1, 2, 3, 256] {
            let (shards, mut machines) = machines(count, |_| {});
            assert_eq!(shards.len(), count);
            for (own, machine) in machines.iter_mut().enumerate().step_by(count.div_ceil(3)) {
                for _ in 0..3 {
                    let pool = created(machine, 1);
                    for request in [Request::Ping(pool), Request::Join(pool)] {
                        let datagram = encoded(&request);
                        for (other, shard) in shards.iter().enumerate() {
                            assert_eq!(shard.owner(&datagram), (other != own).then_some(own));
                        }
                        assert!(!matches!(ask(machine, 1, &request), Some(Response::Refused(_))));
                    }
                }
            }
            let nobodys: [&[u8]; 5] = [&[], &[0], &[2], &[9], b"\x01\x07\0\0\0nobody's"];
            assert!(
                nobodys.iter().all(|datagram| shards.iter().all(|shard| shard.owner(datagram).is_none()))
            );
        }
    }

    #[test]
    fn an_owner_is_one_of_the_shards() {
        let shards = Shard::split(3);
        let ids = (0..u8::MAX).map(|last| PoolKey::new(u32::from(last), u128::from(last) << 90).id());
        let owners: BTreeSet<_> =
            ids.map(|id| shards.first().unwrap().owner(&encoded(&Request::Ping(id)))).collect();
        assert_eq!(owners, [None, Some(1), Some(2)].into());
    }

    #[test]
    fn there_are_between_one_and_256() {
        assert_eq!([0, 1, 256, 257].map(|count| Shard::split(count).len()), [1, 1, 256, 256]);
    }

    #[test]
    fn limits_are_of_all_shards_together() {
        let (_, mut machines) = machines(2, |config| {
            (config.max_pools, config.max_pools_per_source, config.max_peers_total) = (3, 2, 1);
        });
        let (first, second) = machines.split_at_mut(1);
        let (a, b) = (&mut first[0], &mut second[0]);
        let pools = [created(a, 1), created(b, 1)];
        assert_eq!(refusal(ask(a, 1, &Request::Create)), Refusal::TooManyPoolsFromSource { limit: 2 });
        created(b, 2);
        assert_eq!(refusal(ask(a, 3, &Request::Create)), Refusal::TooManyPools { limit: 3 });
        assert!(matches!(ask(a, 4, &Request::Join(pools[0])), Some(Response::Joined(_))));
        assert_eq!(refusal(ask(b, 4, &Request::Join(pools[1]))), Refusal::TooManyPeers { limit: 1 });

        a.handle_timeout(Instant::NEVER);
        ask(a, 4, &Request::List);
        assert_eq!(a.pool_count() + b.pool_count(), 2, "those of one shard have ended");
        assert!(matches!(ask(b, 4, &Request::Join(pools[1])), Some(Response::Joined(_))));
        created(b, 1);
        assert_eq!(refusal(ask(b, 5, &Request::Create)), Refusal::TooManyPools { limit: 3 });
    }

    #[test]
    fn any_shard_lists_all_pools_in_turn() {
        let (_, mut machines) = machines(3, |_| {});
        let capacity = classic::LIST_CAPACITY;
        let mut pools = [(); 3].map(|()| BTreeSet::new());
        for number in 0..2 * capacity {
            pools[number % 3].insert(created(&mut machines[number % 3], 1));
        }
        let named = |machines: &mut [Broadcaster<_>], by: [usize; 2]| -> BTreeSet<PoolId> {
            let lists = by.map(|by| match ask(&mut machines[by], 1, &Request::List) {
                Some(Response::Pools(ids)) => ids,
                other => panic!("not a list: {other:?}"),
            });
            lists.concat().into_iter().collect()
        };
        assert_eq!(named(&mut machines, [0, 2]), pools.iter().flatten().copied().collect());
        for ended in [0, 1] {
            machines[ended].handle_timeout(Instant::NEVER);
            while !matches!(machines[ended].poll_output(), Output::Wait(_)) {}
            let left = pools.iter().skip(ended + 1).flatten().copied().collect();
            assert_eq!(named(&mut machines, [2, 2]), left, "after the end of shard {ended}");
        }
    }
}
