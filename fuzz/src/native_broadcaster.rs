//! What a broadcaster of the native dialect lives through: honest clients that keep what they were told, somebody who
//! replays, forges and cuts, and a time that moves any way.

mod attack;
mod calls;
mod ledger;
mod lineage;
mod player;
mod seen;

use core::net::SocketAddr;
use core::time::Duration;

use poolmesh_proto::wire::native::{
    Application, Challenge, FromBroadcaster, PoolCode, PoolUuid, Secret, Ticket, Tx,
};
use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output, RandomSource};

use crate::clock::Clock;
use crate::input::Input;
use crate::memory::Meter;
use crate::twins::Twins;
use ledger::{Due, Ledger};
use player::Player;
use seen::{Roster, Seen};

/// Operations of one input, at most.
const MOST_STEPS: usize = 64;

/// How many datagrams arrive because of one operation.
const MOST_MAILS: usize = 100;

/// Clients, and the datagrams, pools and tickets that are kept to come back to.
const PLAYERS: usize = 6;
const KEPT: usize = 32;

/// Does what the bytes say, sometimes to two of them. Who has not proven his address is sent no more than he sent, and
/// nothing is kept of him; equal epochs mean equal rosters, a term has one host; who pings is a member, and nobody
/// else; what was heard before changes nothing; memory stays within what is stated; deadlines lie ahead after a drain;
/// the same inputs give the same outputs.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.timeout();
    world.end();
}

/// Numbers that look random, others in each life of a broadcaster.
#[derive(Debug)]
struct Random(u128);

impl RandomSource for Random {
    fn next_u128(&mut self) -> u128 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mixed = (self.0 ^ self.0 >> 61).wrapping_mul(0xda94_2042_e4dd_58b5_94d0_49bb_1331_11eb);
        mixed ^ mixed >> 64
    }
}

/// One broadcaster, its clients, and what was seen of it.
struct World {
    broadcaster: Option<Twins<Broadcaster<Random>>>,
    config: BroadcasterConfig,
    twice: bool,
    lives: u8,
    meter: Meter,
    most: Most,
    clock: Clock,
    /// What it waited for when it was drained last.
    deadline: Option<Instant>,
    drained: bool,
    /// What has to come of the last datagram, if nothing was before it.
    due: Option<(SocketAddr, Due)>,
    players: Vec<Player>,
    ledger: Ledger,
    seen: Seen,
    last_tx: u64,
    /// Pools that somebody knows of.
    pools: Vec<(Application, PoolUuid, PoolCode)>,
    tickets: Vec<(Ticket, Roster)>,
    /// What was sent to the broadcaster.
    log: Vec<(SocketAddr, Vec<u8>)>,
}

/// The most that there was at a time.
#[derive(Debug, Default)]
struct Most {
    pools: usize,
    members: usize,
}

/// What is done with what is sent because of an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mail {
    Arrives,
    Lost,
    Waits,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let (config, twice) = config(input);
        let ledger = Ledger::new(config.limits.timeout, config.limits.offer);
        let mut world = Self {
            broadcaster: None,
            config,
            twice,
            lives: 0,
            meter: Meter::default(),
            most: Most::default(),
            clock: Clock::default(),
            deadline: None,
            drained: true,
            due: None,
            players: (0..PLAYERS as u8).map(|number| Player::new(address(number))).collect(),
            ledger,
            seen: Seen::default(),
            last_tx: 0,
            pools: Vec::new(),
            tickets: Vec::new(),
            log: Vec::new(),
        };
        world.start(7);
        world
    }

    /// A new broadcaster, which knows nothing but the secret.
    fn start(&mut self, secret: u8) {
        self.keep_tickets();
        let old = self.broadcaster.take();
        self.meter.run(|| drop(old));
        assert_eq!(self.meter.bytes(), 0, "a broadcaster that is gone keeps something");
        self.lives = self.lives.wrapping_add(1);
        self.config.secret = Some(Secret::new([secret; 32]));
        let (config, seed) = (&self.config, u128::from(self.lives) << 96);
        let make = || Broadcaster::new(config.clone(), Random(seed));
        self.broadcaster = Some(self.meter.run(|| Twins::new(make, self.twice)));
        self.ledger = Ledger::new(self.config.limits.timeout, self.config.limits.offer);
        self.most = Most::default();
        // It knows nothing of the times that were told before.
        let shown = self.clock.shown();
        self.clock = Clock::default();
        self.clock.go_to(shown);
        (self.deadline, self.drained, self.due) = (None, true, None);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let step = input.u8();
        let mail = match step / 28 {
            0..6 => Mail::Arrives,
            6 | 7 => Mail::Lost,
            _ => Mail::Waits,
        };
        match step % 28 {
            0 => self.create(input),
            1 | 2 => self.join(input),
            3 => self.list(input),
            4 => self.again(input),
            5..8 => self.ping(input),
            8 => self.ask(input),
            9..15 => self.order(input, step % 28),
            15 => self.order_again(input),
            16 => self.resume(input),
            17 => self.resume_old(input),
            18 => self.replay(input),
            19 => self.forge(input),
            20 => self.raw(input),
            21 => self.rebind(input),
            22 => self.clock.millis(input),
            23 => self.clock.micros(input),
            24 => self.clock.go_to(self.deadline.unwrap_or_default()),
            25 => self.timeout(),
            26 => self.rare(input),
            _ => self.classic(input),
        }
        self.pump(mail);
    }

    /// What ends most of what there is, and so comes seldom.
    fn rare(&mut self, input: &mut Input<'_>) {
        match input.u8() {
            0..=31 => self.start(7),
            32..=39 => self.start(8),
            40..=63 => self.clock.jump(input),
            64..=95 => self.list_all(input),
            96..=143 => self.keep_ticket(input),
            144..=191 => self.resume_all(),
            192..=223 => {
                self.start(7);
                self.resume_some(input);
            }
            224..=239 => self.branch(input),
            _ => self.timeout(),
        }
    }

    fn machine(&mut self) -> &mut Twins<Broadcaster<Random>> {
        self.broadcaster.as_mut().expect("it was started")
    }

    /// A number that no call has yet.
    fn tx(&mut self) -> Tx {
        self.last_tx += 1;
        Tx::new(self.last_tx).expect("it is not 0")
    }

    /// Hands in a datagram, and nothing more.
    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.clock.now();
        let due = self.ledger.incoming(self.clock.latest(), from, datagram);
        let before = self.machine().stats();
        let machine = self.broadcaster.as_mut().expect("it was started");
        self.meter.run(|| machine.act(|broadcaster| broadcaster.handle_datagram(now, from, datagram)));
        assert_eq!(self.machine().stats().datagrams, before.datagrams + 1);
        let dropped = self.machine().stats().outputs_dropped > before.outputs_dropped;
        self.due = (self.drained && !dropped).then_some((from, due));
        self.drained = false;
        self.check();
        if self.log.len() >= KEPT {
            self.log.remove(0);
        }
        self.log.push((from, datagram.to_vec()));
    }

    /// Says what time it is, and drains.
    fn timeout(&mut self) {
        let now = self.clock.now();
        let machine = self.broadcaster.as_mut().expect("it was started");
        self.meter.run(|| machine.act(|broadcaster| broadcaster.handle_timeout(now)));
        self.due = None;
        self.drain(&mut Vec::new());
    }

    /// Does what it says until it waits, and answers what is sent.
    fn drain(&mut self, mails: &mut Vec<(SocketAddr, Vec<u8>)>) -> usize {
        let (latest, first) = (self.clock.latest(), mails.len());
        let mut events = 0;
        let deadline = loop {
            let machine = self.broadcaster.as_mut().expect("it was started");
            let output = self.meter.run(|| machine.act(Broadcaster::poll_output));
            match &output {
                Output::Transmit(transmit) => {
                    self.ledger.outgoing(latest, transmit.destination, &transmit.payload);
                    mails.push((transmit.destination, transmit.payload.to_vec()));
                }
                Output::Event(event) => {
                    events += 1;
                    self.ledger.event(latest, event);
                }
                Output::Wait(deadline) => break *deadline,
            }
            self.meter.run(|| drop(output));
            assert!(mails.len() + events < 10_000, "it never waits");
        };
        self.drained = true;
        let again = self.machine().act(Broadcaster::poll_output);
        assert_eq!(again, Output::Wait(deadline), "a second drain yields nothing");
        self.deadline = deadline;
        assert!(deadline.is_none_or(|deadline| deadline > latest), "{deadline:?} is not after {latest:?}");
        if let Some((from, due)) = self.due.take() {
            check_due(from, due, mails.get(first..).unwrap_or_default());
        }
        self.check();
        events
    }

    /// What was sent arrives, and is answered, and so on.
    fn pump(&mut self, mail: Mail) {
        if mail == Mail::Waits {
            return;
        }
        let mut mails = Vec::new();
        self.drain(&mut mails);
        let mut at = 0;
        while let Some((to, datagram)) = mails.get(at).filter(|_| mail == Mail::Arrives && at < MOST_MAILS) {
            let player = self.players.iter_mut().find(|player| player.address == *to);
            let reply = player.and_then(|player| player.handle(datagram, &mut self.seen));
            if let Some(reply) = reply {
                let from = *to;
                self.receive(from, &reply);
                self.drain(&mut mails);
            }
            at += 1;
        }
        self.learn();
    }

    /// Whoever is in a pool tells of it.
    fn learn(&mut self) {
        let joined = self.players.iter().flat_map(|player| &player.places).map(|place| place.joined);
        for joined in joined {
            let pool = (joined.application, joined.pool, joined.code);
            if !self.pools.contains(&pool) {
                self.pools.push(pool);
            }
        }
    }

    /// What is kept is what [`BroadcasterConfig`] states, and counts are within their limits.
    fn check(&mut self) {
        let (pools, members) = (self.machine().pool_count(), self.machine().member_count());
        let limits = &self.config.limits;
        assert!(pools <= limits.pools + self.config.max_pools, "{pools} pools");
        assert!(members <= limits.members, "{members} members");
        let stats = self.machine().stats();
        let by_cause = stats.refused_unknown_pool
            + stats.refused_by_limit
            + stats.refused_malformed
            + stats.refused_busy
            + stats.refused_locked
            + stats.refused_recovering
            + stats.refused_bad_ticket
            + stats.refused_stale
            + stats.refused_not_host
            + stats.refused_no_such_member;
        assert!(stats.refused == by_cause || self.config.classic && stats.refused > by_cause, "{stats:?}");
        self.most.pools = self.most.pools.max(pools);
        self.most.members = self.most.members.max(members);
        let count = self.machine().count();
        self.meter.check(count * memory(&self.config, &self.most, self.ledger.asked));
    }

    /// Gives back all it has.
    fn end(&mut self) {
        let old = self.broadcaster.take();
        self.meter.run(|| drop(old));
        assert_eq!(self.meter.bytes(), 0, "a broadcaster that is gone keeps something");
    }
}

/// What has come of a datagram is what had to.
fn check_due(from: SocketAddr, due: Due, mails: &[(SocketAddr, Vec<u8>)]) {
    let mut back =
        mails.iter().filter(|(to, _)| *to == from).map(|(_, datagram)| FromBroadcaster::read(datagram));
    match due {
        Due::Anything => {}
        Due::Answered => {
            let told = back.any(|read| matches!(read, Ok(FromBroadcaster::Notice(_))));
            assert!(told, "a member that was in time is not answered");
        }
        Due::Unknown => {
            let unknown = |challenge: &Challenge| challenge.prove.is_none();
            let count = back
                .filter(|read| matches!(read, Ok(FromBroadcaster::Challenge(one)) if unknown(one)))
                .count();
            assert_eq!(count, 1, "nobody has spoken, and {count} times that is said");
        }
    }
}

/// The address of a client: some share a source, and sockets name some in other ways.
fn address(number: u8) -> SocketAddr {
    let port = 5_000 + u16::from(number);
    match number % 4 {
        0 | 1 => ([192, 0, 2, 1], port).into(),
        2 => ([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1], port).into(),
        _ => ([192, 0, 2, number], port).into(),
    }
}

/// Small limits and short times, so that a few operations reach them, and whether there are two broadcasters.
fn config(input: &mut Input<'_>) -> (BroadcasterConfig, bool) {
    let mut config = BroadcasterConfig::default();
    let choices = input.u8();
    config.classic = choices & 1 == 1;
    config.max_pools = 4;
    config.max_queued = if choices & 6 == 6 { input.one_to(8) } else { 64 };
    let limits = &mut config.limits;
    limits.sources = 64;
    limits.interval = Duration::from_millis(50);
    limits.timeout = Duration::from_millis(200);
    limits.offer = Duration::from_millis(100);
    if choices & 0x60 == 0x20 {
        // A recovery is over before who has come may be silent for too long.
        limits.timeout = Duration::from_secs(20);
        limits.offer = Duration::from_secs(8);
    }
    if choices & 0x18 == 0x18 {
        limits.pools = input.one_to(6);
        limits.pools_per_source = input.one_to(6);
        limits.members = input.one_to(12);
        limits.members_per_source = input.one_to(12);
        limits.requests_in_a_row = u32::from(input.u8());
        limits.wrong_codes_per_minute = u32::from(input.u8() % 4);
        limits.list_scan = input.one_to(4);
        limits.seats = u16::from(input.u8() % 5) + 1;
        limits.about = usize::from(input.u8());
    }
    (config, choices >= 0xf0)
}

/// What [`BroadcasterConfig`] and its limits state, in bytes: a pool of longest texts, a member of whom most is said, what
/// a ticket takes whose pool comes back, what may be queued with what members are still to be told, and the rest.
const POOL: usize = 300 + 64 + 512 + 4 * 19;
const MEMBER: usize = 250 + 128;
const TICKET: usize = 120 + 660;
const QUEUED: usize = 2 * 1_500;
const SOURCE: usize = 24;
const OWN: usize = (128 + 256) * 1_024;

/// What is stated for the pools there were at most, and as many places of members as were asked for by those who had proven
/// themselves: of others nothing is kept.
fn memory(config: &BroadcasterConfig, most: &Most, asked: usize) -> usize {
    let places = asked.max(most.members);
    let sources = 2 * SOURCE * config.limits.sources;
    most.pools * POOL + places * (MEMBER + TICKET) + config.max_queued * QUEUED + sources + OWN
}
