//! What must hold of a broadcaster: who is alive, by whose ping, and what it may say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::{MAX_ANSWER, Request, Response, classic};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, PoolId, RandomSource, Transmit,
};

use super::native::{Book, NativeServer, is_native};

/// A pool as it should be.
#[derive(Debug)]
struct Pool {
    host: SocketAddr,
    /// The earliest and the latest time at which its last sign of life may have been.
    last: (Instant, Instant),
    /// Who joined, in that order, without the host.
    peers: Vec<SocketAddr>,
}

/// Follows a broadcaster from outside.
#[derive(Debug)]
pub(in crate::sim) struct ServerCheck {
    config: BroadcasterConfig,
    /// The latest time it was told.
    latest: Instant,
    pools: BTreeMap<PoolId, Pool>,
    peers: usize,
    /// When each host asked for a pool since the last drain.
    creates: Vec<(SocketAddr, Instant)>,
    /// How many datagrams it may send: one for each that came, one for each pool that ended.
    credit: u64,
    sent: u64,
    /// How many of those that came must be answered, whatever the answer is.
    owed: u64,
    /// The ends that were told to hosts, of which no event has come yet.
    notices: Vec<SocketAddr>,
    /// What the last list named, if it was cut and no pool was made or ended since.
    cut_list: Option<Vec<PoolId>>,
    /// Whose turn it is to be looked at.
    turn: Option<PoolId>,
    /// It could not tell everything, so nothing can be known any more.
    blind: bool,
    native: NativeServer,
}

impl ServerCheck {
    pub(in crate::sim) fn new(config: BroadcasterConfig, own: SocketAddr) -> Self {
        Self {
            native: NativeServer::new(&config, own),
            config,
            latest: Instant::ZERO,
            pools: BTreeMap::new(),
            peers: 0,
            creates: Vec::new(),
            credit: 0,
            sent: 0,
            owed: 0,
            notices: Vec::new(),
            cut_list: None,
            turn: None,
            blind: false,
        }
    }

    pub(in crate::sim) fn latest(&self) -> Instant {
        self.latest
    }

    pub(in crate::sim) fn timeout(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        self.native.timeout(self.latest);
    }

    pub(in crate::sim) fn datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], book: &Book) {
        self.latest = self.latest.max(now);
        if is_native(datagram) {
            return self.native.datagram(self.latest, from, datagram, book);
        }
        self.native.timeout(self.latest);
        if !self.config.classic {
            return;
        }
        self.credit += 1;
        if datagram.len() > self.config.max_datagram {
            return;
        }
        match classic::decode_request(datagram) {
            Ok(Request::Create) => {
                self.owed += 1;
                self.creates.push((from, self.latest));
            }
            Ok(Request::Ping(id)) => {
                let (timeout, latest) = (self.config.ping_timeout, self.latest);
                if let Some(pool) = self.pools.get_mut(&id) {
                    // G1: only the host, and only in time. When a pool was made is not quite known if its host asked for
                    // several.
                    let alive = |at: Instant| at + timeout > latest;
                    if pool.host == from && alive(pool.last.1) {
                        pool.last = (if alive(pool.last.0) { latest } else { pool.last.0 }, latest);
                    }
                }
            }
            Ok(Request::List | Request::Join(_)) => self.owed += 1,
            Err(_) => {}
        }
    }

    /// Looks at what it tells. Answers the pool if it is a new one.
    pub(in crate::sim) fn event(&mut self, event: &BroadcasterEvent) -> Result<Option<PoolId>, String> {
        if self.native_pool(event).is_some() {
            return Ok(None);
        }
        match *event {
            BroadcasterEvent::PoolCreated { pool, host } => {
                let mut asked = self.creates.iter().filter(|(from, _)| *from == host).map(|(_, at)| *at);
                let first =
                    asked.next().ok_or_else(|| format!("P1: {host} got pool {pool} without asking"))?;
                let last = asked.next_back().unwrap_or(first);
                let entry = Pool { host, last: (first, last), peers: Vec::new() };
                if self.pools.insert(pool, entry).is_some() {
                    return Err(format!("P1: pool {pool} was made twice"));
                }
                self.cut_list = None;
                let of_source = self.pools.values().filter(|pool| pool.host.ip() == host.ip()).count();
                if of_source > self.config.max_pools_per_source {
                    return Err(format!("P3: {of_source} pools of {}", host.ip()));
                }
                return Ok(Some(pool));
            }
            BroadcasterEvent::PeerJoined { pool, peer } => {
                self.peers += 1;
                let Some(entry) = self.pools.get_mut(&pool) else {
                    return Err(format!("P2: {peer} joined {pool}, which is not there"));
                };
                if entry.host == peer || entry.peers.contains(&peer) {
                    return Err(format!("P4: {peer} joined {pool} twice"));
                }
                entry.peers.push(peer);
                if entry.peers.len() + 1 > self.config.max_peers {
                    return Err(format!("P3: {pool} has more peers than allowed"));
                }
            }
            BroadcasterEvent::PoolEnded { pool, host } => {
                self.credit += 1;
                let Some(entry) = self.pools.remove(&pool) else {
                    return Err(format!("P2: pool {pool} ended, which is not there"));
                };
                self.peers -= entry.peers.len();
                self.cut_list = None;
                let Some(told) = self.notices.iter().position(|to| *to == host) else {
                    return Err(format!("V4: pool {pool} ended, and its host {host} was not told"));
                };
                self.notices.remove(told);
                if entry.host != host {
                    return Err(format!("P2: pool {pool} of {} ended as that of {host}", entry.host));
                }
                if entry.last.0 + self.config.ping_timeout > self.latest {
                    return Err(format!(
                        "G2: pool {pool} ended at {:?}, pinged at {:?}",
                        self.latest, entry.last
                    ));
                }
            }
            // Of the native dialect, and what is still to come.
            BroadcasterEvent::MemberLeft { .. }
            | BroadcasterEvent::HostChanged { .. }
            | BroadcasterEvent::PoolRestored { .. }
            | _ => {}
        }
        Ok(None)
    }

    pub(in crate::sim) fn transmit(&mut self, transmit: &Transmit, book: &mut Book) -> Result<(), String> {
        if is_native(&transmit.payload) {
            return self.native.transmit(transmit, book);
        }
        if transmit.payload.len() > MAX_ANSWER {
            return Err(format!("A3: a datagram of {} bytes", transmit.payload.len()));
        }
        self.sent += 1;
        match transmit.payload.first() {
            Some(2) => self.listed(transmit),
            Some(3) => self.answered(transmit),
            Some(5) => {
                self.notices.push(transmit.destination);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// An answer to create or join names the asker and the host, then who joined last, as many as fit.
    fn answered(&self, transmit: &Transmit) -> Result<(), String> {
        let Some(Response::Joined(info)) = response(transmit) else {
            return Err(format!("A5: {:?} is no answer", transmit.payload));
        };
        let (pool, you) = (info.id(), transmit.destination);
        // Of a pool that was just made the event comes behind.
        let (host, others) = self.pools.get(&pool).map_or((you, &[][..]), |entry| (entry.host, &entry.peers));
        let others = others.iter().rev().copied().filter(|peer| *peer != you);
        let mut due = [you].into_iter().chain((host != you).then_some(host)).chain(others);
        let named = info.peers().iter().all(|peer| due.next() == Some(*peer));
        let fits =
            due.next().is_some_and(|next| transmit.payload.len() + 1 + next.to_string().len() <= MAX_ANSWER);
        if !named || fits || info.you() != you || info.host() != host {
            return Err(format!(
                "P4: {you} was answered {info:?}, where there are {:?}",
                self.pools.get(&pool)
            ));
        }
        Ok(())
    }

    /// A list names every pool once, or as many as fit, and in turns.
    fn listed(&mut self, transmit: &Transmit) -> Result<(), String> {
        let Some(Response::Pools(ids)) = response(transmit) else {
            return Err(format!("A5: {:?} is no answer", transmit.payload));
        };
        let capacity = classic::LIST_CAPACITY;
        let mut unlike: Vec<PoolId> = ids.clone();
        unlike.sort_unstable();
        unlike.dedup();
        let there = unlike.iter().all(|id| self.pools.contains_key(id));
        if !there || unlike.len() < ids.len() || ids.len() != self.pools.len().min(capacity) {
            return Err(format!("P2: a list of {ids:?}, where there are {} pools", self.pools.len()));
        }
        let before = self.cut_list.take();
        if self.pools.len() > capacity {
            unlike.extend(before.iter().flatten());
            unlike.sort_unstable();
            unlike.dedup();
            if before.is_some() && unlike.len() < self.pools.len().min(2 * capacity) {
                return Err(format!("V7: two lists in turn name {} pools together", unlike.len()));
            }
            self.cut_list = Some(ids);
        }
        Ok(())
    }

    /// Everything was drained.
    pub(in crate::sim) fn drained<R: RandomSource>(
        &mut self,
        machine: &Broadcaster<R>,
        deadline: Option<Instant>,
    ) -> Result<(), String> {
        let dropped = machine.stats().outputs_dropped > 0;
        self.native.drained(self.pools.keys().copied(), deadline, dropped)?;
        self.creates.clear();
        // What is left over was not due an answer, and is not saved up for a burst.
        let (sent, credit) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.credit));
        if sent > credit {
            return Err(format!("A2: {sent} datagrams out for {credit} in"));
        }
        self.blind |= machine.stats().outputs_dropped > 0;
        let owed = std::mem::take(&mut self.owed);
        if self.blind {
            return Ok(());
        }
        if sent < owed {
            return Err(format!("A2: {sent} datagrams out, where {owed} had to be answered"));
        }
        if let Some(host) = self.notices.pop() {
            return Err(format!("V4: {host} was told of an end that has not come"));
        }
        let native = self.native.model().map_or(0, |model| model.counts().0);
        let (pools, peers) = (machine.pool_count().saturating_sub(native), machine.peer_count());
        if (pools, peers) != (self.pools.len(), self.peers) {
            return Err(format!(
                "P3: it counts {pools} pools and {peers} peers where there are {} and {}",
                self.pools.len(),
                self.peers
            ));
        }
        if pools > self.config.max_pools || peers > self.config.max_peers_total {
            return Err(format!("P3: {pools} pools and {peers} peers are more than allowed"));
        }
        self.look_at_one(deadline)
    }

    /// Whoever has been quiet too long is gone, and nobody's end is slept past. One pool at a time, each gets its turn.
    fn look_at_one(&mut self, deadline: Option<Instant>) -> Result<(), String> {
        use std::ops::Bound;
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.pools.range((after, Bound::Unbounded)).next();
        self.turn = next.map(|(id, _)| *id);
        let ends = next.map(|(_, pool)| pool.last.1 + self.config.ping_timeout);
        if ends.is_some_and(|ends| deadline.unwrap_or(Instant::NEVER) > ends) {
            return Err(format!("D3: it would sleep until {deadline:?}, past the end of a pool at {ends:?}"));
        }
        match next {
            Some((id, pool)) if (pool.last.1 + self.config.ping_timeout).is_due(self.latest) => {
                Err(format!("V4: pool {id} lives at {:?}, quiet since {:?}", self.latest, pool.last.1))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The pool that an event is about, if it is one of the native dialect.
    pub(in crate::sim) fn native_pool(&self, event: &BroadcasterEvent) -> Option<PoolId> {
        let (BroadcasterEvent::PoolCreated { pool, .. }
        | BroadcasterEvent::PeerJoined { pool, .. }
        | BroadcasterEvent::MemberLeft { pool, .. }
        | BroadcasterEvent::HostChanged { pool, .. }
        | BroadcasterEvent::PoolRestored { pool, .. }
        | BroadcasterEvent::PoolEnded { pool, .. }) = event
        else {
            return None;
        };
        self.native.had(*pool).then_some(*pool)
    }

    pub(in crate::sim) fn native(&self) -> Option<&crate::model::NativeModel> {
        self.native.model()
    }

    /// The pools there should be, and who hosts each.
    pub(in crate::sim) fn pools(&self) -> impl Iterator<Item = (PoolId, SocketAddr)> + '_ {
        self.pools.iter().map(|(id, pool)| (*id, pool.host))
    }
}

fn response(transmit: &Transmit) -> Option<Response> {
    classic::decode_response(&transmit.payload).ok()
}
