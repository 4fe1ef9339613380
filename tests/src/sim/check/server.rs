//! What must hold of a broadcaster: who is alive, by whose ping, and what it may say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::{Dialect, MAX_ANSWER, Request};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, PoolId, RandomSource, Transmit,
};

/// A pool as it should be.
#[derive(Debug)]
struct Pool {
    host: SocketAddr,
    /// The earliest and the latest time at which its last sign of life may have been.
    last: (Instant, Instant),
    peers: usize,
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
    /// Whose turn it is to be looked at.
    turn: Option<PoolId>,
    /// It could not tell everything, so nothing can be known any more.
    blind: bool,
}

impl ServerCheck {
    pub(in crate::sim) fn new(config: BroadcasterConfig) -> Self {
        Self {
            config,
            latest: Instant::ZERO,
            pools: BTreeMap::new(),
            peers: 0,
            creates: Vec::new(),
            credit: 0,
            sent: 0,
            turn: None,
            blind: false,
        }
    }

    pub(in crate::sim) fn latest(&self) -> Instant {
        self.latest
    }

    pub(in crate::sim) fn timeout(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
    }

    pub(in crate::sim) fn datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.latest = self.latest.max(now);
        self.credit += 1;
        if datagram.len() > self.config.max_datagram {
            return;
        }
        match Dialect::of(datagram).decode_request(datagram) {
            Ok(Request::Create) => self.creates.push((from, self.latest)),
            Ok(Request::Ping(id)) => {
                let (timeout, latest) = (self.config.ping_timeout, self.latest);
                if let Some(pool) = self.pools.get_mut(&id) {
                    // G1: only the host, and only in time. When a pool was made is not quite known if its host asked for
                    // several.
                    let alive = |at: Instant| !(at + timeout).is_due(latest);
                    if pool.host == from && alive(pool.last.1) {
                        pool.last = (if alive(pool.last.0) { latest } else { pool.last.0 }, latest);
                    }
                }
            }
            Ok(Request::List | Request::Join(_)) | Err(_) => {}
        }
    }

    /// Looks at what it tells. Answers the pool if it is a new one.
    pub(in crate::sim) fn event(&mut self, event: &BroadcasterEvent) -> Result<Option<PoolId>, String> {
        match *event {
            BroadcasterEvent::PoolCreated { pool, host } => {
                let mut asked = self.creates.iter().filter(|(from, _)| *from == host).map(|(_, at)| *at);
                let first =
                    asked.next().ok_or_else(|| format!("P1: {host} got pool {pool} without asking"))?;
                let last = asked.next_back().unwrap_or(first);
                let entry = Pool { host, last: (first, last), peers: 0 };
                if self.pools.insert(pool, entry).is_some() {
                    return Err(format!("P1: pool {pool} was made twice"));
                }
                return Ok(Some(pool));
            }
            BroadcasterEvent::PeerJoined { pool, peer } => {
                self.peers += 1;
                let Some(entry) = self.pools.get_mut(&pool) else {
                    return Err(format!("P2: {peer} joined {pool}, which is not there"));
                };
                entry.peers += 1;
                if entry.peers + 1 > self.config.max_peers {
                    return Err(format!("P3: {pool} has more peers than allowed"));
                }
            }
            BroadcasterEvent::PoolEnded { pool, host } => {
                self.credit += 1;
                let Some(entry) = self.pools.remove(&pool) else {
                    return Err(format!("P2: pool {pool} ended, which is not there"));
                };
                self.peers -= entry.peers;
                if entry.host != host {
                    return Err(format!("P2: pool {pool} of {} ended as that of {host}", entry.host));
                }
                if !(entry.last.0 + self.config.ping_timeout).is_due(self.latest) {
                    return Err(format!(
                        "G2: pool {pool} ended at {:?}, pinged at {:?}",
                        self.latest, entry.last
                    ));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    pub(in crate::sim) fn transmit(&mut self, transmit: &Transmit) -> Result<(), String> {
        if transmit.payload.len() > MAX_ANSWER {
            return Err(format!("A3: a datagram of {} bytes", transmit.payload.len()));
        }
        self.sent += 1;
        Ok(())
    }

    /// Everything was drained.
    pub(in crate::sim) fn drained<R: RandomSource>(
        &mut self,
        machine: &Broadcaster<R>,
    ) -> Result<(), String> {
        self.creates.clear();
        // What is left over was not due an answer, and is not saved up for a burst.
        let (sent, credit) = (std::mem::take(&mut self.sent), std::mem::take(&mut self.credit));
        if sent > credit {
            return Err(format!("A2: {sent} datagrams out for {credit} in"));
        }
        self.blind |= machine.stats().outputs_dropped > 0;
        if self.blind {
            return Ok(());
        }
        let (pools, peers) = (machine.pool_count(), machine.peer_count());
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
        self.look_at_one()
    }

    /// Whoever has been quiet too long is gone. One pool at a time, each gets its turn.
    fn look_at_one(&mut self) -> Result<(), String> {
        use std::ops::Bound;
        let after = self.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.pools.range((after, Bound::Unbounded)).next();
        self.turn = next.map(|(id, _)| *id);
        match next {
            Some((id, pool)) if (pool.last.1 + self.config.ping_timeout).is_due(self.latest) => {
                Err(format!("V4: pool {id} lives at {:?}, quiet since {:?}", self.latest, pool.last.1))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The pools there should be, and who hosts each.
    pub(in crate::sim) fn pools(&self) -> impl Iterator<Item = (PoolId, SocketAddr)> + '_ {
        self.pools.iter().map(|(id, pool)| (*id, pool.host))
    }
}
