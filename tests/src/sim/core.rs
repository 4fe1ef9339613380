//! What all nodes share: time, chance, the network, and what is to happen.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{Fault, PoolId};

use super::address::{self, Addr, Place};
use super::check::Book;
use super::fingerprint::Fingerprint;
use super::nat::Nat;
use super::queue::Queue;
use super::rng::Rng;
use super::streams::{ConnId, Conns, Side};
use super::tape::Tape;
use super::weather::Weather;

/// Something that is to happen.
#[derive(Debug)]
pub(super) enum What {
    Datagram(Datagram),
    /// A node's deadline. One that was set anew since is told by its time.
    Wake {
        node: usize,
    },
    /// Outputs that were left waiting are drained.
    Drain {
        node: usize,
    },
    /// A dial arrives.
    Syn(ConnId),
    /// Its answer arrives: whether it is accepted.
    Answer(ConnId, bool),
    /// The first piece under way from that end may arrive.
    Move(ConnId, Side),
    /// What has arrived from that end may be read again.
    Resume(ConnId, Side),
    /// The system has taken what that end wrote.
    Written(ConnId, Side),
    /// That end learns that the connection is broken.
    Break(ConnId, Side, Fault),
}

#[derive(Clone, Debug)]
pub(super) struct Datagram {
    /// The node that sent it, whatever its source address says.
    pub(super) origin: usize,
    pub(super) from: Addr,
    pub(super) to: Addr,
    pub(super) payload: Bytes,
    /// It is not what an honest node has sent: forged, or changed on its way.
    pub(super) doubtful: bool,
    /// It is an old one, from that storm.
    pub(super) replay_of: Option<u32>,
}

/// What a world counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorldStats {
    /// Things that happened: arrivals, wake-ups, writes.
    pub events: u64,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Of those, lost on their way.
    pub lost: u64,
    /// Datagrams that came again, at once or much later.
    pub repeated: u64,
    /// Datagrams changed on their way.
    pub changed: u64,
    /// Connections opened.
    pub connections: u64,
    /// Connections cut, timed out or reset by the network.
    pub broken: u64,
    /// Events of links that arrived.
    pub received: u64,
}

impl fmt::Display for WorldStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, datagrams, lost, repeated, changed, connections, broken, received } = self;
        write!(
            f,
            "{events} events: {datagrams} datagrams ({lost} lost, {repeated} repeated, {changed} changed), \
             {connections} connections ({broken} broken), {received} events of links"
        )
    }
}

impl std::ops::AddAssign for WorldStats {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.datagrams += other.datagrams;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.changed += other.changed;
        self.connections += other.connections;
        self.broken += other.broken;
        self.received += other.received;
    }
}

/// Where a node's machine stands in the network.
#[derive(Debug)]
pub(super) struct Host {
    /// Its address, the inner one behind a NAT.
    pub(super) ip: u32,
    pub(super) nat: Option<usize>,
    /// It has no power: nothing answers.
    pub(super) dark: bool,
    /// Until when its datagrams are lost in a burst.
    burst: u64,
    /// What it sends and what is sent to it is overheard.
    pub(super) tapped: bool,
}

pub(super) struct Core {
    pub(super) seed: u64,
    pub(super) now: u64,
    pub(super) queue: Queue<What>,
    pub(super) rng: Rng,
    pub(super) weather: Weather,
    pub(super) hosts: Vec<Host>,
    pub(super) nats: Vec<Nat>,
    /// Who doesn't reach whom: `[from][to]`.
    pub(super) blocked: Vec<Vec<bool>>,
    pub(super) conns: Conns,
    /// Every pool that a broadcaster has made.
    pub(super) issued: BTreeSet<PoolId>,
    /// What is known of pools of the native dialect.
    pub(super) book: Book,
    /// Datagrams that were overheard: from where, to where, and what.
    pub(super) overheard: Vec<(Addr, Addr, Bytes)>,
    /// Counts the times the faults have stopped, so that replays of before are known.
    pub(super) storm: u32,
    pub(super) print: Fingerprint,
    pub(super) stats: WorldStats,
    pub(super) violation: Option<String>,
    pub(super) log: Option<Box<dyn io::Write>>,
    pub(super) tape: Option<Tape>,
}

/// Says which program panics, if it does.
#[derive(Debug)]
pub(super) struct Acting {
    seed: u64,
    at: Duration,
    node: usize,
}

impl Drop for Acting {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, at, node } = self;
            eprintln!("the program of n{node} panicked at {at:?}, in the world of seed {seed}");
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("now", &self.now).field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// The longest time that anything takes: 36,000 years. Longer ones are as long.
pub(super) const LONGEST: u64 = 1 << 60;
/// No world gets older. What it plans then is a few times [`LONGEST`] ahead, which 64 bits hold.
const END: u64 = 1 << 62;

/// Datagrams that were overheard and are kept.
const OVERHEARD: usize = 256;

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}

impl Core {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            now: 0,
            queue: Queue::new(),
            rng: Rng::new(seed),
            weather: Weather::calm(),
            hosts: Vec::new(),
            nats: Vec::new(),
            blocked: Vec::new(),
            conns: Conns::default(),
            issued: BTreeSet::new(),
            book: Book::default(),
            overheard: Vec::new(),
            storm: 0,
            print: Fingerprint::default(),
            stats: WorldStats::default(),
            violation: None,
            log: None,
            tape: None,
        }
    }

    pub(super) fn add_host(&mut self, ip: u32, nat: Option<usize>) {
        self.hosts.push(Host { ip, nat, dark: false, burst: 0, tapped: false });
        let count = self.hosts.len();
        self.blocked.resize_with(count, Vec::new);
        for row in &mut self.blocked {
            row.resize(count, false);
        }
    }

    pub(super) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.get(from).and_then(|row| row.get(to)).copied().unwrap_or(false)
    }

    pub(super) fn set_blocked(&mut self, from: usize, to: usize, blocked: bool) {
        if let Some(place) = self.blocked.get_mut(from).and_then(|row| row.get_mut(to)) {
            *place = blocked;
        }
    }

    pub(super) fn is_dark(&self, node: usize) -> bool {
        self.hosts.get(node).is_none_or(|host| host.dark)
    }

    /// When that time has passed.
    pub(super) fn after(&self, time: Duration) -> u64 {
        self.now.saturating_add(micros(time)).min(END)
    }

    /// Notes that something does not hold that must. The first one counts.
    #[cold]
    pub(super) fn violated(&mut self, what: impl fmt::Display) {
        self.say(|| format!("VIOLATED {what}"));
        if self.violation.is_none() {
            self.violation = Some(what.to_string());
        }
    }

    /// Held while a node's program acts.
    pub(super) fn acting(&self, node: usize) -> Acting {
        Acting { seed: self.seed, at: Duration::from_micros(self.now), node }
    }

    /// Writes a line to the log, if there is one.
    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let (seconds, micros) = (self.now / 1_000_000, self.now % 1_000_000);
            // A log that takes no more is no concern of the world's.
            let _ = writeln!(log, "{seconds:>7}.{micros:06} {}", line());
        }
    }

    /// How long something is under way now.
    pub(super) fn travel(&mut self) -> u64 {
        let spread =
            if self.weather.spread.is_zero() { 0 } else { self.rng.exponential(self.weather.spread) };
        micros(self.weather.delay) + spread
    }

    /// Sends a datagram of a node. `forged`: with a source address that is not its own.
    pub(super) fn send_datagram(
        &mut self,
        origin: usize,
        from: Addr,
        to: Addr,
        payload: Bytes,
        forged: bool,
    ) {
        self.stats.datagrams += 1;
        let from = if forged { from } else { self.leave(origin, from, to) };
        if !forged {
            self.overhear(origin, from, to, &payload);
        }
        if self.is_lost(origin) {
            self.stats.lost += 1;
            return;
        }
        let datagram = Datagram { origin, from, to, payload, doubtful: forged, replay_of: None };
        if self.rng.chance(self.weather.duplicate) {
            self.repeat(&datagram, None);
        }
        if self.rng.chance(self.weather.replay) {
            self.repeat(&datagram, Some(self.weather.replay_after));
        }
        self.carry(datagram);
    }

    /// Keeps what comes by a place that is tapped; of old datagrams those that chance leaves.
    fn overhear(&mut self, origin: usize, from: Addr, to: Addr, payload: &Bytes) {
        let tapped = |core: &Self, node: usize| core.hosts.get(node).is_some_and(|host| host.tapped);
        let there = match address::place(to.ip) {
            // Where nothing goes there is nothing to be heard.
            Place::Node(node) if self.is_blocked(origin, node) => return,
            Place::Node(node) => tapped(self, node),
            Place::Nat(_) | Place::Behind(..) | Place::Nowhere => false,
        };
        if !there && !tapped(self, origin) {
            return;
        }
        let heard = (from, to, payload.clone());
        if self.overheard.len() < OVERHEARD {
            return self.overheard.push(heard);
        }
        let place = self.rng.index(OVERHEARD);
        if let Some(old) = self.overheard.get_mut(place) {
            *old = heard;
        }
    }

    /// The source address outside of the sender's NAT, if it has one.
    pub(super) fn leave(&mut self, origin: usize, from: Addr, to: Addr) -> Addr {
        let nat = self.hosts.get(origin).and_then(|host| host.nat);
        match nat.and_then(|nat| self.nats.get_mut(nat)) {
            Some(nat) => nat.outbound(self.now, from, to),
            None => from,
        }
    }

    /// Nobody's line is bad any more.
    pub(super) fn end_bursts(&mut self) {
        for host in &mut self.hosts {
            host.burst = 0;
        }
    }

    fn is_lost(&mut self, origin: usize) -> bool {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(origin) else { return true };
        if self.rng.chance(self.weather.burst) {
            host.burst = now + self.rng.exponential(self.weather.burst_length);
        }
        let loss = if host.burst > now { 900_000 } else { self.weather.loss };
        self.rng.chance(loss)
    }

    fn repeat(&mut self, datagram: &Datagram, later: Option<Duration>) {
        self.stats.repeated += 1;
        let mut copy = datagram.clone();
        copy.replay_of = later.map(|_| self.storm);
        let wait = later.map_or(0, |later| self.rng.exponential(later));
        let at = self.now + wait + self.travel();
        self.queue.push(at, What::Datagram(copy));
    }

    fn carry(&mut self, mut datagram: Datagram) {
        if self.rng.chance(self.weather.corrupt) {
            datagram.payload = self.flip(&datagram.payload);
            datagram.doubtful = true;
            self.stats.changed += 1;
        }
        if self.rng.chance(self.weather.truncate) {
            let len = self.rng.index(datagram.payload.len());
            datagram.payload.truncate(len);
            datagram.doubtful = true;
            self.stats.changed += 1;
        }
        let at = self.now + self.travel();
        self.queue.push(at, What::Datagram(datagram));
    }

    /// The bytes with one to four bits flipped.
    pub(super) fn flip(&mut self, bytes: &[u8]) -> Bytes {
        let mut bytes = bytes.to_vec();
        for _ in 0..self.rng.range(1, 4) {
            let place = self.rng.index(bytes.len());
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << self.rng.below(8);
            }
        }
        bytes.into()
    }
}
