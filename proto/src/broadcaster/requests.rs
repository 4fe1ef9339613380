//! How a broadcaster treats each request.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{Asker, Broadcaster, BroadcasterEvent, RandomSource};
use crate::log::{debug, trace};
use crate::wire::{Dialect, Refusal, Request, RequestFault, Response};
use crate::{Instant, Machine, Output, PoolId, PoolInfo};

impl<R: RandomSource> Machine for Broadcaster<R> {
    type Event = BroadcasterEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.advance(now);
        self.stats.datagrams += 1;
        let from = Asker { address: from, dialect: Dialect::of(datagram) };
        match from.dialect.decode_request(datagram) {
            // Before the length: an answer is never answered.
            Err(fault @ RequestFault::Answer) => self.refuse_fault(from, fault),
            _ if datagram.len() > self.config.max_datagram => {
                self.stats.refused_malformed += 1;
                self.refuse(from, Refusal::TooLong { limit: self.config.max_datagram as u64 });
            }
            Ok(Request::Create) => self.create(from),
            Ok(Request::Ping(id)) => self.ping(from, &id),
            Ok(Request::List) => self.list(from),
            Ok(Request::Join(id)) => self.join(from, &id),
            Err(fault) => self.refuse_fault(from, fault),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Output<BroadcasterEvent> {
        loop {
            if let Some(output) = self.outbox.pop() {
                return output;
            }
            if !self.fire_next() {
                return Output::Wait(self.deadlines.earliest());
            }
        }
    }
}

impl<R: RandomSource> Broadcaster<R> {
    fn create(&mut self, from: Asker) {
        let host = from.peer();
        let refusal = if self.pools.len() >= self.config.max_pools {
            Refusal::TooManyPools { limit: self.config.max_pools as u64 }
        } else if self.pools.hosted_from(host.ip()) >= self.config.max_pools_per_source {
            Refusal::TooManyPoolsFromSource { limit: self.config.max_pools_per_source as u64 }
        } else {
            match self.pools.insert(&mut self.random, from, self.now) {
                Some((slot, pool)) => return self.created(slot, pool, host, from),
                None => Refusal::NoFreshId,
            }
        };
        self.refuse_by_limit(from, refusal);
    }

    fn created(&mut self, slot: u32, pool: PoolId, host: SocketAddr, from: Asker) {
        debug!(%pool, %host, "pool created");
        self.stats.pools_created += 1;
        self.deadlines.set(slot, self.now + self.config.ping_timeout);
        self.respond(from, &Response::Joined(PoolInfo::new(pool, host, host, [host])));
        self.outbox.tell(BroadcasterEvent::PoolCreated { pool, host });
    }

    fn ping(&mut self, from: Asker, id: &PoolId) {
        let now = self.now;
        let Some(pool) = self.find(id).and_then(|slot| self.pools.get_mut(slot)) else {
            return self.refuse_unknown(from, id.as_bytes());
        };
        if pool.host == from.peer() {
            pool.last_ping = now;
            self.stats.pings += 1;
        } else {
            self.refuse(from, Refusal::NotHost);
        }
    }

    fn list(&mut self, from: Asker) {
        self.stats.lists += 1;
        let capacity = from.dialect.list_capacity();
        // While all fit the order is the same each time; a list that must be cut moves on.
        let start = if self.pools.len() > capacity { self.list_from } else { 0 };
        let now = self.now;
        let timeout = self.config.ping_timeout;
        let alive = self.pools.round(start).filter(|pool| !(pool.last_ping + timeout).is_due(now));
        let ids: Vec<PoolId> = alive.take(capacity).map(super::pools::Pool::id).collect();
        self.list_from = start.wrapping_add(ids.len()).checked_rem(self.pools.len()).unwrap_or(0);
        self.respond(from, &Response::Pools(ids));
    }

    fn join(&mut self, from: Asker, id: &PoolId) {
        let peer = from.peer();
        let peers_in_all = self.pools.peers();
        let Some((slot, pool)) =
            self.find(id).and_then(|slot| self.pools.get_mut(slot).map(|pool| (slot, pool)))
        else {
            return self.refuse_unknown(from, id.as_bytes());
        };
        let host = pool.host;
        if peer != host && !pool.peers.contains(&peer) {
            if pool.peers.len() + 1 >= self.config.max_peers {
                let refusal = Refusal::PoolFull { pool: *id, limit: self.config.max_peers as u64 };
                return self.refuse_by_limit(from, refusal);
            }
            if peers_in_all >= self.config.max_peers_total {
                let limit = self.config.max_peers_total as u64;
                return self.refuse_by_limit(from, Refusal::TooManyPeers { limit });
            }
            self.pools.add_peer(slot, peer);
            debug!(pool = %id, %peer, "peer joined");
            self.stats.peers_joined += 1;
            self.outbox.tell(BroadcasterEvent::PeerJoined { pool: *id, peer });
        }
        self.answer_join(from, slot, *id);
    }

    /// Names the asker, the host, then who joined last: of peers that never leave the wire, the late ones are the
    /// likeliest to be there still.
    fn answer_join(&mut self, from: Asker, slot: u32, id: PoolId) {
        let Some(pool) = self.pools.get_mut(slot) else { return };
        let you = from.peer();
        let host = pool.host;
        let others = pool.peers.iter().rev().copied().filter(|peer| *peer != you);
        let named = [you].into_iter().chain((host != you).then_some(host)).chain(others);
        let info = PoolInfo::new(id, host, you, named.take(from.dialect.peer_capacity()));
        self.respond(from, &Response::Joined(info));
    }

    fn refuse_by_limit(&mut self, to: Asker, refusal: Refusal) {
        self.stats.refused_by_limit += 1;
        self.refuse(to, refusal);
    }

    fn refuse_fault(&mut self, from: Asker, fault: RequestFault<'_>) {
        trace!(from = %from.address, %fault, "not a request");
        let refusal = match fault {
            RequestFault::Empty | RequestFault::Answer => {
                self.stats.ignored += 1;
                return;
            }
            RequestFault::NotAPoolId(id) => return self.refuse_unknown(from, id),
            RequestFault::UnknownType(_) => Refusal::UnknownRequest,
            RequestFault::Truncated { missing } => Refusal::Truncated { missing },
        };
        self.stats.refused_malformed += 1;
        self.refuse(from, refusal);
    }
}
