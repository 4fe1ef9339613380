//! What a server lives through: operations of many clients at any times, a broadcaster that must keep its word.

mod model;

use core::net::SocketAddr;
use core::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::native::LONGEST_TO_UNPROVEN;
use poolmesh_proto::wire::{Dialect, MAX_ANSWER, Request, RequestFault, Response, canonical, classic};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output, RandomSource,
};

use crate::clock::Clock;
use crate::input::Input;
use crate::memory::Live;
use crate::twins::Twins;
use model::Model;

/// Operations of one input, at most.
const MOST_STEPS: usize = 64;

/// What [`BroadcasterConfig`] states, in bytes: a pool whose host's address has a scope, the peers of a pool, a peer, and
/// an answer that may be queued with what it tells.
const POOL: usize = 120 + 40;
const WITH_PEERS: usize = 32;
const PEER: usize = 38;
const QUEUED: usize = 1_500;
/// The same of the broadcaster itself: the blocks of memory that answers are cut from, two of them begun, that of its
/// first pools, its clockwork, and the least that a collection takes.
const OWN: usize = 3 * 32 * 1_024 + 6_000;
/// What it takes for the native dialect once something came that says it is of that: of itself, and a place of the table of
/// sources.
const NATIVE: usize = 256 * 1_024;
const SOURCE: usize = 24;

/// Does what the bytes say, sometimes to two of them. Answers stay within [`MAX_ANSWER`] bytes, counts within their
/// limits, memory within what is stated; deadlines lie ahead after a drain; a pool lives exactly as long as its host
/// pings; the same inputs give the same outputs.
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
        world.check_counts();
    }
    world.timeout();
    world.check_memory();
}

/// A counter, or a source that is stuck.
#[derive(Debug)]
struct Random {
    state: u128,
    step: u128,
}

impl RandomSource for Random {
    fn next_u128(&mut self) -> u128 {
        self.state = self.state.wrapping_add(self.step);
        self.state
    }
}

/// One broadcaster, its clients, and what was seen of it.
struct World {
    broadcaster: Twins<Broadcaster<Random>>,
    config: BroadcasterConfig,
    model: Model,
    clock: Clock,
    /// What it waited for when it was drained last.
    deadline: Option<Instant>,
    /// Where a request is put together.
    scratch: BytesMut,
    /// Nothing waits to be polled.
    drained: bool,
    /// The most pools there were at a time.
    most_pools: usize,
    /// Something of the native dialect came.
    native: bool,
    live: Live,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let (config, twice) = config(input);
        let step = u128::from(input.u8()) << 100;
        let model = Model::new(config.ping_timeout, MOST_STEPS);
        let scratch = BytesMut::with_capacity(1_200);
        let live = Live::start();
        let make = || Broadcaster::new(config.clone(), Random { state: 0, step });
        let broadcaster = Twins::new(make, twice);
        let clock = Clock::default();
        Self {
            broadcaster,
            config,
            model,
            clock,
            deadline: None,
            scratch,
            drained: true,
            most_pools: 0,
            native: false,
            live,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 11 {
            0 => self.create(client(input)),
            1 => self.ping(client(input), input.u8()),
            2 => self.list(client(input)),
            3 => self.join(client(input), input.u8()),
            4 => self.raw(client(input), input),
            5 => self.clock.millis(input),
            6 => self.clock.micros(input),
            7 => self.clock.jump(input),
            8 => self.timeout(),
            9 => self.clock.go_to(self.deadline.unwrap_or_default()),
            _ => self.drain(|_, _, _| {}),
        }
    }

    /// Hands in a datagram, and nothing more. The pools it may make are nobody's to the model.
    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.clock.now();
        let before = self.broadcaster.stats();
        self.native |= Dialect::of(datagram) == Dialect::Native;
        let known = match classic::decode_request(datagram) {
            Ok(Request::Ping(pool)) if datagram.len() <= self.config.max_datagram => {
                self.model.ping(&pool, from, self.clock.latest())
            }
            _ => None,
        };
        self.broadcaster.act(|broadcaster| broadcaster.handle_datagram(now, from, datagram));
        let after = self.broadcaster.stats();
        assert_eq!(after.datagrams, before.datagrams + 1);
        if let Some(counts) = known {
            assert_eq!(after.pings > before.pings, counts, "a ping that should have counted, or not");
        }
        let count = self.broadcaster.pool_count();
        let room = self.drained && self.config.max_queued >= self.most_pools;
        if room && before.pools_created == self.model.named() as u64 {
            let living = self.model.living_at(self.clock.latest());
            assert_eq!(count as u64, living as u64 + after.pools_created - before.pools_created);
        }
        self.drained = false;
        self.most_pools = self.most_pools.max(count);
    }

    /// Any bytes, sometimes more than a request may have.
    fn raw(&mut self, from: SocketAddr, input: &mut Input<'_>) {
        let len = input.u8();
        let mut datagram = core::mem::take(&mut self.scratch);
        datagram.clear();
        datagram.extend_from_slice(input.bytes(usize::from(len % 64)));
        if len >= 224 {
            datagram.resize(usize::from(len) * 4, 0);
        }
        self.receive(from, &datagram);
        self.scratch = datagram;
    }

    fn request(&mut self, from: SocketAddr, request: &Request) {
        let mut datagram = core::mem::take(&mut self.scratch);
        datagram.clear();
        classic::encode_request(request, &mut datagram);
        self.receive(from, &datagram);
        self.scratch = datagram;
    }

    /// Creates a pool when nothing waits, so that nothing is dropped and its name is learned.
    fn create(&mut self, from: SocketAddr) {
        self.timeout();
        self.request(from, &Request::Create);
        let latest = self.clock.latest();
        self.drain(|model, output, _| {
            if let Output::Event(BroadcasterEvent::PoolCreated { pool, host }) = output {
                assert_eq!(*host, canonical(from));
                model.created(*pool, *host, latest);
            }
        });
    }

    fn ping(&mut self, from: SocketAddr, choice: u8) {
        if let Some(pool) = self.model.choose(choice) {
            self.request(from, &Request::Ping(pool));
        }
    }

    fn join(&mut self, from: SocketAddr, choice: u8) {
        let Some(pool) = self.model.choose(choice) else { return };
        let joined = self.broadcaster.stats().peers_joined;
        self.request(from, &Request::Join(pool));
        let joined = self.broadcaster.stats().peers_joined > joined;
        assert!(!joined || !self.model.is_dead(&pool, self.clock.latest()), "somebody joined a dead pool");
    }

    /// Lists when nothing waits. While all pools fit an answer, all are there.
    fn list(&mut self, from: SocketAddr) {
        self.drain(|_, _, _| {});
        self.request(from, &Request::List);
        let count = self.broadcaster.pool_count().min(classic::LIST_CAPACITY);
        let latest = self.clock.latest();
        self.drain(|model, _, answer| {
            if let Some(Response::Pools(ids)) = answer {
                assert_eq!(ids.len(), count);
                assert!(ids.iter().all(|pool| !model.is_dead(pool, latest)), "a dead pool is listed");
            }
        });
    }

    /// Says what time it is, and drains: what is dead is gone, what lives is there.
    fn timeout(&mut self) {
        let now = self.clock.now();
        self.broadcaster.act(|broadcaster| broadcaster.handle_timeout(now));
        self.drain(|_, _, _| {});
        let (count, living) = (self.broadcaster.pool_count(), self.model.living_at(self.clock.latest()));
        let all_named = self.broadcaster.stats().pools_created == self.model.named() as u64;
        assert!(count == living || (count > living && !all_named), "{count} pools, {living} should live");
    }

    /// Does what the broadcaster says until it waits, and shows each output to `see`, with its answer if it is one.
    fn drain(&mut self, mut see: impl FnMut(&mut Model, &Output<BroadcasterEvent>, Option<Response>)) {
        self.check_memory();
        let latest = self.clock.latest();
        let (mut answers, mut told) = (0, 0);
        let deadline = loop {
            let output = self.broadcaster.act(Broadcaster::poll_output);
            let answer = match &output {
                Output::Transmit(transmit) if Dialect::of(&transmit.payload) == Dialect::Native => {
                    assert!(self.native, "nobody speaks the native dialect");
                    assert!(transmit.payload.len() <= LONGEST_TO_UNPROVEN, "{transmit:?}");
                    answers += 1;
                    None
                }
                Output::Transmit(transmit) => Some(answer(&transmit.payload)),
                Output::Event(BroadcasterEvent::PoolEnded { pool, host }) => {
                    self.model.ended(pool, *host, latest);
                    None
                }
                Output::Event(_) => None,
                Output::Wait(deadline) => break *deadline,
            };
            // Of pools that end the rest is told when there is room.
            answers += usize::from(answer.as_ref().is_some_and(|answer| *answer != Response::PoolEnded));
            told += usize::from(matches!(output, Output::Event(_)));
            see(&mut self.model, &output, answer);
        };
        assert!(answers <= self.config.max_queued, "{answers} answers were queued");
        assert!(told <= 2 * self.config.max_queued + self.most_pools, "{told} events were queued");
        self.drained = true;
        let again = self.broadcaster.act(Broadcaster::poll_output);
        assert_eq!(again, Output::Wait(deadline), "a second drain yields nothing");
        self.deadline = deadline;
        self.model.forget_dead(latest);
        if let Some(deadline) = deadline {
            assert!(deadline > latest, "{deadline:?} is not after {latest:?}");
            assert!(self.broadcaster.pool_count() > 0, "nothing is left to wait for");
        } else {
            let endless = latest + self.config.ping_timeout == Instant::NEVER;
            assert!(endless || self.broadcaster.pool_count() == 0, "pools that never end");
        }
    }

    /// What is in use is what [`BroadcasterConfig`] states for the pools there were at most, and the peers there are.
    fn check_memory(&self) {
        let peers = self.broadcaster.peer_count();
        let with_peers = peers.min(self.broadcaster.pool_count());
        let pools = self.most_pools * POOL + with_peers * WITH_PEERS + peers * PEER;
        let native = if self.native { NATIVE + self.config.limits.sources * SOURCE } else { 0 };
        let most = pools + self.config.max_queued * QUEUED + OWN + native;
        self.live.check(self.broadcaster.count() * most);
    }

    fn check_counts(&self) {
        let (pools, peers) = (self.broadcaster.pool_count(), self.broadcaster.peer_count());
        assert!(pools <= self.config.max_pools);
        assert!(peers <= self.config.max_peers_total);
        assert!(peers <= pools * (self.config.max_peers - 1));
        let stats = self.broadcaster.stats();
        assert_eq!(stats.pools_created - stats.pools_ended, pools as u64);
        let parts = stats.refused_unknown_pool + stats.refused_by_limit + stats.refused_malformed;
        assert!(parts <= stats.refused);
        let fates = stats.pools_created + stats.lists + stats.pings + stats.refused + stats.ignored;
        assert!(fates <= stats.datagrams);
    }
}

/// Reads an answer: it is short, and can't set two broadcasters talking for ever.
fn answer(payload: &[u8]) -> Response {
    assert!(payload.len() <= MAX_ANSWER, "{} bytes", payload.len());
    match classic::decode_request(payload) {
        Err(RequestFault::Answer | RequestFault::NotAPoolId(_) | RequestFault::UnknownType(_)) => {}
        other => panic!("an answer that another broadcaster takes for {other:?}"),
    }
    classic::decode_response(payload).expect("a broadcaster sends responses")
}

/// Small limits, so that a few operations reach them, and whether there are two broadcasters.
fn config(input: &mut Input<'_>) -> (BroadcasterConfig, bool) {
    let mut config = BroadcasterConfig::default().with_classic();
    config.ping_timeout = match input.u8() {
        255 => Duration::MAX,
        millis => Duration::from_millis(millis.into()),
    };
    config.max_pools = input.one_to(40);
    config.max_pools_per_source = input.one_to(40);
    config.max_peers = input.one_to(128);
    config.max_peers_total = usize::from(input.u8());
    config.max_queued = usize::from(input.u8() % 32) + 1;
    let limit = input.u16();
    config.max_datagram = usize::from(limit % 1_100);
    (config, limit >= 0xf000)
}

/// A client: of few machines, in all the ways a socket may name them.
fn client(input: &mut Input<'_>) -> SocketAddr {
    let choice = input.u8();
    let port = 5_000 + u16::from(choice & 0x1f);
    match choice >> 5 {
        0 => ([192, 0, 2, 1], port).into(),
        1 => ([192, 0, 2, 2], port).into(),
        2 => ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], port).into(),
        3 => ([0x2001, 0xdb8, 0, 1, 0, 0, 0, port], 1).into(),
        4 => ([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1], port).into(),
        5 => ([0x2001, 0xdb8, 0, port, 0x1234, 0x5678, 0x9abc, 0xdef0], 65_535).into(),
        6 => ([255, 255, 255, 255], 0).into(),
        _ => ([0x2001, 0xdb8, 0, 2, 0xffff, 0xffff, 0xffff, 0xffff], port).into(),
    }
}
