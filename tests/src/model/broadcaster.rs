//! What a broadcaster says, looked up in what was said to it.

mod turns;
mod verdicts;

use core::net::{IpAddr, SocketAddr};

use poolmesh_proto::{BroadcasterConfig, BroadcasterStats, Instant};

use super::Kind;
use super::wire::{self, Asked};
use turns::Turns;

/// What a broadcaster says.
///
/// Tell it every datagram and every time that the implementation is told, and everything that the implementation
/// sends, in order. Answers come in the order of the requests, as from one queue. Pools that end in the same moment
/// may be told in any order.
///
/// [`stats`](Self::stats) and the counts are for implementations that have them. Of one that tells no events nothing is
/// asked by [`told`](Self::told), if the model is made [`without_events`](Self::without_events).
///
/// With a queue so short that notices have to wait in it, which of several pools that ended waits is open; the model
/// takes those that have been quiet for longest to go first. What depends on it is the count of pools by source, and
/// that of peers; give them no limits then.
#[derive(Debug)]
pub struct BroadcasterModel {
    config: BroadcasterConfig,
    now: Instant,
    /// Every pool there ever was, in the order they were made.
    pools: Vec<Pool>,
    /// What became of each datagram.
    deeds: Vec<Deed>,
    /// How many ends of pools were put into the queue.
    ends: usize,
    /// Datagrams in the queue.
    due: Vec<Due>,
    /// Events in the queue.
    events: Vec<Told>,
    /// Whether the implementation tells events at all.
    tells: bool,
    dropped: u64,
    /// Whom notices were sent.
    noticed: Vec<SocketAddr>,
    turns: Turns,
}

/// One pool, and what happened to it.
#[derive(Debug)]
struct Pool {
    /// None until it is seen in an answer.
    id: Option<Vec<u8>>,
    host: SocketAddr,
    /// The host's address as it was when it created the pool.
    notify: SocketAddr,
    /// When it was made, and each time its host pinged.
    signs: Vec<Instant>,
    /// Who joined, each once, without the host.
    joined: Vec<SocketAddr>,
    /// Whether an event has said that it ended.
    end_told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Created,
    Pinged,
    Listed,
    Joined,
    JoinedAgain,
    RefusedUnknownPool,
    RefusedByLimit,
    RefusedMalformed,
    RefusedNotHost,
    Ignored,
}

#[derive(Debug)]
enum Due {
    /// Exactly these bytes.
    Bytes(SocketAddr, Vec<u8>, Kind),
    /// The answer to the create that made this pool.
    Created(SocketAddr, usize),
    /// A list of these pools, and whether every one that is held is alive.
    List(SocketAddr, Vec<usize>, bool),
    /// A notice to the host of a pool that has ended.
    Notice,
}

#[derive(Debug)]
enum Told {
    Created(usize),
    Joined(usize, SocketAddr),
    Ended,
}

impl BroadcasterModel {
    /// A broadcaster without pools.
    #[must_use]
    pub fn new(config: BroadcasterConfig) -> Self {
        Self {
            config,
            now: Instant::ZERO,
            pools: Vec::new(),
            deeds: Vec::new(),
            ends: 0,
            due: Vec::new(),
            events: Vec::new(),
            tells: true,
            dropped: 0,
            noticed: Vec::new(),
            turns: Turns::default(),
        }
    }

    /// The same for an implementation that tells no events: what it has to do is to send.
    #[must_use]
    pub fn without_events(self) -> Self {
        Self { tells: false, ..self }
    }

    /// The implementation was told the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while self.has_room() && self.held() > self.alive().len() {
            self.end_one();
        }
    }

    /// The implementation was told of a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.handle_timeout(now);
        let asked = wire::asked(datagram);
        let longest = self.config.max_datagram;
        if asked == Asked::Nothing || asked == Asked::Answer {
            self.deeds.push(Deed::Ignored);
        } else if datagram.len() > longest {
            let text = format!("request is longer than {longest} bytes");
            self.refuse(from, Deed::RefusedMalformed, "too long", text);
        } else {
            match asked {
                Asked::Nothing | Asked::Answer => {}
                Asked::Create => self.create(from),
                Asked::Ping(id) => self.ping(from, &id),
                Asked::List => self.list(from),
                Asked::Join(id) => self.join(from, &id),
                Asked::Unknown => {
                    self.refuse(from, Deed::RefusedMalformed, "unknown type", "unknown message type");
                }
                Asked::Short(missing) => {
                    let text = format!("out of bound by {missing} elements");
                    self.refuse(from, Deed::RefusedMalformed, "truncated", text);
                }
            }
        }
    }

    /// When the pool's time is up, unless its host pings.
    fn ends_at(&self, pool: &Pool) -> Instant {
        pool.signs.last().map_or(Instant::NEVER, |last| *last + self.config.ping_timeout)
    }

    /// The pools that live, by their numbers.
    fn alive(&self) -> Vec<usize> {
        let lives = |(number, pool)| (!self.ends_at(pool).is_due(self.now)).then_some(number);
        self.pools.iter().enumerate().filter_map(lives).collect()
    }

    /// How many pools take a place: those that live, and those whose notices wait to be put into the queue.
    fn held(&self) -> usize {
        self.pools.len() - self.ends
    }

    /// The pools that take a place.
    fn holding(&self) -> Vec<&Pool> {
        let mut pools: Vec<&Pool> = self.pools.iter().collect();
        pools.sort_by_key(|pool| self.ends_at(pool));
        pools.split_off(self.ends.min(pools.len()))
    }

    fn find(&self, id: &[u8]) -> Option<usize> {
        let named = |number: &usize| self.pools.get(*number).is_some_and(|pool| pool.is_named(id));
        self.alive().into_iter().find(named)
    }

    fn create(&mut self, from: SocketAddr) {
        let host = wire::canonical(from);
        let same_source = self.holding().iter().filter(|pool| source(pool.host) == source(host)).count();
        let (most, most_per_source) = (self.config.max_pools, self.config.max_pools_per_source);
        if self.held() >= most {
            let text = format!("broadcaster holds its limit of {most} pools");
            return self.refuse(from, Deed::RefusedByLimit, "too many pools", text);
        }
        if same_source >= most_per_source {
            let text = format!("your address hosts its limit of {most_per_source} pools");
            return self.refuse(from, Deed::RefusedByLimit, "too many pools from source", text);
        }
        let number = self.pools.len();
        self.deeds.push(Deed::Created);
        let signs = vec![self.now];
        self.pools.push(Pool { id: None, host, notify: from, signs, joined: Vec::new(), end_told: false });
        self.queue(Due::Created(from, number));
        self.tell(Told::Created(number));
    }

    fn ping(&mut self, from: SocketAddr, id: &[u8]) {
        let now = self.now;
        let living = self.find(id);
        match living.and_then(|number| self.pools.get_mut(number)) {
            None => self.refuse_unknown(from, id),
            Some(pool) if pool.host == wire::canonical(from) => {
                pool.signs.push(now);
                self.deeds.push(Deed::Pinged);
            }
            Some(_) => {
                let text = "only the host can send ping messages";
                self.refuse(from, Deed::RefusedNotHost, "not the host", text);
            }
        }
    }

    fn list(&mut self, from: SocketAddr) {
        self.deeds.push(Deed::Listed);
        let alive = self.alive();
        let all_alive = self.held() == alive.len();
        if !self.has_room() {
            self.turns = Turns::default();
        }
        self.queue(Due::List(from, alive, all_alive));
    }

    fn join(&mut self, from: SocketAddr, id: &[u8]) {
        let you = wire::canonical(from);
        let peers_of_all = self.peer_count();
        let (most, most_of_all) = (self.config.max_peers, self.config.max_peers_total);
        let living = self.find(id);
        let Some((number, pool)) = living.and_then(|number| Some((number, self.pools.get_mut(number)?)))
        else {
            return self.refuse_unknown(from, id);
        };
        let known = pool.host == you || pool.joined.contains(&you);
        if !known && 1 + pool.joined.len() >= most {
            let text = [b"pool ", id, format!(" has its limit of {most} peers").as_bytes()].concat();
            return self.refuse(from, Deed::RefusedByLimit, "pool full", text);
        }
        if !known && peers_of_all >= most_of_all {
            let text = format!("broadcaster holds its limit of {most_of_all} peers");
            return self.refuse(from, Deed::RefusedByLimit, "too many peers", text);
        }
        if !known {
            pool.joined.push(you);
        }
        let host = pool.host;
        let mut peers: Vec<SocketAddr> =
            [you, host].into_iter().chain(pool.joined.iter().rev().copied()).collect();
        let mut named = Vec::new();
        peers.retain(|peer| {
            let first = !named.contains(peer);
            named.push(*peer);
            first
        });
        let addresses = [host, you].into_iter().chain(peers).map(|address| address.to_string().into_bytes());
        let items: Vec<Vec<u8>> = [id.to_vec()].into_iter().chain(addresses).collect();
        let answer = wire::with_items(3, &items);
        let kind = match known {
            _ if answer.len() < wire::with_string(3, &items.join(&b' ')).len() => "joined, names cut",
            false => "joined",
            true if host == you => "joined by host",
            true => "joined again",
        };
        self.deeds.push(if known { Deed::JoinedAgain } else { Deed::Joined });
        if !known {
            self.tell(Told::Joined(number, you));
        }
        self.queue(Due::Bytes(from, answer, kind));
    }

    fn refuse_unknown(&mut self, from: SocketAddr, id: &[u8]) {
        // A text is at most 512 bytes of what came.
        let shown = id.get(..512).unwrap_or(id);
        let text = [b"pool with id ", shown, b" doesn't exist"].concat();
        self.refuse(from, Deed::RefusedUnknownPool, "no such pool", text);
    }

    fn refuse(&mut self, from: SocketAddr, deed: Deed, kind: Kind, text: impl AsRef<[u8]>) {
        self.deeds.push(deed);
        let text = [b"ERROR: ", text.as_ref()].concat();
        self.queue(Due::Bytes(from, wire::with_string(4, &text), kind));
    }

    fn has_room(&self) -> bool {
        self.due.len() < self.config.max_queued
    }

    fn queue(&mut self, due: Due) {
        if self.has_room() {
            self.due.push(due);
        } else {
            self.dropped += 1;
        }
    }

    /// An event is dropped when twice as many things wait as datagrams may.
    fn tell(&mut self, event: Told) {
        if !self.tells {
            return;
        }
        if self.due.len() + self.events.len() < self.config.max_queued.saturating_mul(2) {
            self.events.push(event);
        } else {
            self.dropped += 1;
        }
    }

    /// Puts the end of one pool into the queue, or drops it if there is no room.
    fn end_one(&mut self) {
        self.ends += 1;
        self.queue(Due::Notice);
        self.tell(Told::Ended);
    }

    /// When the implementation must be told the time at the latest; none if no pool will end by itself. An
    /// implementation that wakes before does no harm.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let ends = self
            .alive()
            .into_iter()
            .filter_map(|number| self.pools.get(number))
            .map(|pool| self.ends_at(pool));
        ends.min().filter(|at| *at != Instant::NEVER)
    }

    /// The latest time that was told.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The ids of the living pools, as far as they are known from answers, in the order the pools were made, and who
    /// hosts them.
    pub fn living(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> + '_ {
        let pools = self.alive().into_iter().filter_map(|number| self.pools.get(number));
        pools.filter_map(|pool| Some((&pool.id.as_ref()?[..], pool.notify)))
    }

    /// The same of all pools there ever were.
    pub fn names(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> + '_ {
        self.pools.iter().filter_map(|pool| Some((&pool.id.as_ref()?[..], pool.notify)))
    }

    /// How many pools take a place.
    #[must_use]
    pub fn pool_count(&self) -> usize {
        self.held()
    }

    /// How many peers the pools that take a place have together, hosts not counted.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.holding().iter().map(|pool| pool.joined.len()).sum()
    }

    /// What was done and refused so far.
    #[must_use]
    pub fn stats(&self) -> BroadcasterStats {
        let count = |deeds: &[Deed]| self.deeds.iter().filter(|deed| deeds.contains(deed)).count() as u64;
        let mut stats = BroadcasterStats::default();
        stats.datagrams = self.deeds.len() as u64;
        stats.pools_created = count(&[Deed::Created]);
        stats.pools_ended = self.ends as u64;
        stats.peers_joined = count(&[Deed::Joined]);
        stats.lists = count(&[Deed::Listed]);
        stats.pings = count(&[Deed::Pinged]);
        stats.refused_unknown_pool = count(&[Deed::RefusedUnknownPool]);
        stats.refused_by_limit = count(&[Deed::RefusedByLimit]);
        stats.refused_malformed = count(&[Deed::RefusedMalformed]);
        stats.refused = count(&[
            Deed::RefusedUnknownPool,
            Deed::RefusedByLimit,
            Deed::RefusedMalformed,
            Deed::RefusedNotHost,
        ]);
        stats.ignored = count(&[Deed::Ignored]);
        stats.outputs_dropped = self.dropped;
        stats
    }
}

impl Pool {
    fn is_named(&self, id: &[u8]) -> bool {
        self.id.as_deref() == Some(id)
    }
}

/// What counts as one source: an IPv4 address, or the first half of an IPv6 one.
fn source(host: SocketAddr) -> Vec<u8> {
    match host.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().iter().take(8).copied().collect(),
    }
}
