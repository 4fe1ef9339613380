//! How a broadcaster treats each request.

use core::net::SocketAddr;

use super::pool_key::PoolKey;
use crate::broadcaster::{Asker, Broadcaster, BroadcasterEvent, RandomSource};
use crate::log::{debug, trace};
use crate::wire::{Asked, Refusal, RequestFault, classic};

impl<R: RandomSource> Broadcaster<R> {
    /// A datagram came that is not of the native dialect.
    #[inline(always)]
    pub(in crate::broadcaster) fn handle_classic(&mut self, from: Asker, datagram: &[u8]) {
        match classic::read_request(datagram) {
            // Before the length: an answer is never answered.
            Err(RequestFault::Answer | RequestFault::Empty) => self.stats.ignored += 1,
            _ if datagram.len() > self.config.max_datagram => {
                if self.may_answer(from) {
                    self.stats.refused_malformed += 1;
                    self.refuse(from, Refusal::TooLong { limit: self.config.max_datagram as u64 });
                }
            }
            Ok(Asked::Ping(id)) => self.ping(from, id),
            _ if !self.may_answer(from) => {}
            Ok(Asked::Create) => self.create(from),
            Ok(Asked::List) => self.list(from),
            Ok(Asked::Join(id)) => self.join(from, id),
            Err(fault) => self.refuse_fault(from, fault),
        }
    }

    /// Where the pool is kept that a datagram is about, if it is about one of these. Whatever else it is, it may lead
    /// anywhere.
    #[inline]
    pub(in crate::broadcaster) fn slot_of(&self, datagram: &[u8]) -> Option<u32> {
        classic::guess_pool(datagram).map(|id| self.classic.pools.slot_of(id))
    }

    /// Whether this source may be answered once more: nobody who asks from its address is to have it flooded.
    #[inline]
    fn may_answer(&mut self, from: Asker) -> bool {
        let may = self.classic.answers.take(&self.config, from.peer().ip(), self.now, &mut self.random);
        self.stats.dropped_classic_busy += u64::from(!may);
        may
    }

    fn create(&mut self, from: Asker) {
        match self.make_pool(from) {
            Ok(pool) => self.created(pool, from.peer(), from),
            Err(refusal) => self.refuse_by_limit(from, refusal),
        }
    }

    fn make_pool(&mut self, from: Asker) -> Result<PoolKey, Refusal> {
        let host = from.peer().ip();
        let mut all = self.classic.shard.as_ref().map(|shard| (shard, shard.pools()));
        let (pools, from_source) = match &all {
            Some((_, all)) => (all.len(), all.hosted_from(host)),
            None => (self.classic.pools.len(), self.classic.pools.hosted_from(host)),
        };
        if pools >= self.config.max_pools {
            return Err(Refusal::TooManyPools { limit: self.config.max_pools as u64 });
        }
        if from_source >= self.config.max_pools_per_source {
            return Err(Refusal::TooManyPoolsFromSource { limit: self.config.max_pools_per_source as u64 });
        }
        let made = self.classic.pools.insert(&mut self.random, from, self.now).ok_or(Refusal::NoFreshId)?;
        if let Some((shard, all)) = &mut all {
            shard.made(all, made, host);
        }
        Ok(made)
    }

    fn created(&mut self, pool: PoolKey, host: SocketAddr, from: Asker) {
        let id = pool.id();
        debug!(pool = %id, %host, "pool created");
        self.stats.pools_created += 1;
        self.answers
            .send(from, |room| classic::write_joined(pool.uuid(), host, host, [host].into_iter(), room));
        self.answers.tell(BroadcasterEvent::PoolCreated { pool: id, host });
    }

    #[inline]
    fn ping(&mut self, from: Asker, id: &[u8]) {
        match self.classic.pools.ping(id, from.address, self.now) {
            Some(true) => self.stats.pings += 1,
            _ if !self.may_answer(from) => {}
            Some(false) => self.refuse(from, Refusal::NotHost),
            None => self.refuse_unknown(from, id),
        }
    }

    fn list(&mut self, from: Asker) {
        self.stats.lists += 1;
        let capacity = classic::LIST_CAPACITY;
        match &self.classic.shard {
            Some(shard) => shard.list(capacity, &mut self.classic.listed),
            None => self.classic.pools.list(capacity, self.now, &mut self.classic.listed),
        }
        let uuids = self.classic.listed.iter().map(PoolKey::uuid);
        self.answers.send(from, |room| classic::write_pools(uuids, room));
    }

    fn join(&mut self, from: Asker, id: &[u8]) {
        let peer = from.peer();
        let Some(pool) = self.classic.pools.find(id, self.now) else {
            return self.refuse_unknown(from, id);
        };
        let slot = pool.slot();
        if peer != pool.host() && !pool.has(peer) {
            if pool.peer_count() + 1 >= self.config.max_peers {
                let refusal = Refusal::PoolFull { pool: pool.id(), limit: self.config.max_peers as u64 };
                return self.refuse_by_limit(from, refusal);
            }
            let limit = self.config.max_peers_total;
            let has_room = match &self.classic.shard {
                Some(shard) => shard.add_peer(limit),
                None => self.classic.pools.peers() < limit,
            };
            if !has_room {
                return self.refuse_by_limit(from, Refusal::TooManyPeers { limit: limit as u64 });
            }
            let pool = pool.id();
            self.classic.pools.add_peer(slot, peer);
            debug!(%pool, %peer, "peer joined");
            self.stats.peers_joined += 1;
            self.answers.tell(BroadcasterEvent::PeerJoined { pool, peer });
        }
        self.answer_join(from, slot);
    }

    /// Names the asker, the host, then who joined last: of peers that never leave the wire, the late ones are the
    /// likeliest to be there still.
    fn answer_join(&mut self, from: Asker, slot: u32) {
        let Some(pool) = self.classic.pools.at(slot) else { return };
        let (you, host) = (from.peer(), pool.host());
        let others = pool.peers().filter(|peer| *peer != you);
        let named = [you].into_iter().chain((host != you).then_some(host)).chain(others);
        self.answers.send(from, |room| classic::write_joined(pool.uuid(), host, you, named, room));
    }

    fn refuse_by_limit(&mut self, to: Asker, refusal: Refusal) {
        self.stats.refused_by_limit += 1;
        self.refuse(to, refusal);
    }

    fn refuse_fault(&mut self, from: Asker, fault: RequestFault<'_>) {
        trace!(from = %from.address, %fault, "not a request");
        let refusal = match fault {
            RequestFault::Empty | RequestFault::Answer => return,
            RequestFault::NotAPoolId(id) => return self.refuse_unknown(from, id),
            RequestFault::UnknownType(_) => Refusal::UnknownRequest,
            RequestFault::Truncated { missing } => Refusal::Truncated { missing },
        };
        self.stats.refused_malformed += 1;
        self.refuse(from, refusal);
    }
}
