//! What a server lives through: operations of many clients at any times, a broadcaster that must keep its word.

mod model;

use core::net::SocketAddr;
use core::time::Duration;

use poolmesh_proto::wire::{Dialect, MAX_ANSWER, Request, RequestFault, Response, canonical};
use poolmesh_proto::{Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output};

use crate::input::Input;
use model::Model;

/// Does what the bytes say, twice. Answers stay within [`MAX_ANSWER`] bytes, counts within their limits; deadlines lie
/// ahead after a drain; a pool lives exactly as long as its host pings; two runs give the same outputs.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    assert_eq!(World::run(data), World::run(data), "the same inputs, other outputs");
}

type Random = Box<dyn FnMut() -> u128>;

/// One broadcaster, its clients, and what was seen of it.
struct World {
    broadcaster: Broadcaster<Random>,
    config: BroadcasterConfig,
    model: Model,
    /// What the driver's clock shows. It may run backwards.
    clock: Instant,
    /// The latest time that was handed in.
    latest: Instant,
    outputs: Vec<Output<BroadcasterEvent>>,
}

impl World {
    fn run(data: &[u8]) -> Vec<Output<BroadcasterEvent>> {
        let mut input = Input::new(data);
        let config = config(&mut input);
        let broadcaster = Broadcaster::new(config.clone(), random(input.u8()));
        let model = Model::new(config.ping_timeout);
        let mut world = Self {
            broadcaster,
            config,
            model,
            clock: Instant::ZERO,
            latest: Instant::ZERO,
            outputs: Vec::new(),
        };
        while !input.is_empty() {
            world.step(&mut input);
            world.check_counts();
        }
        world.timeout();
        world.outputs
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 10 {
            0 => self.create(client(input)),
            1 => self.ping(client(input), input.u8()),
            2 => self.list(client(input)),
            3 => self.join(client(input), input.u8()),
            4 => {
                let (from, len) = (client(input), usize::from(input.u16() % 1_200));
                self.receive(from, input.bytes(len));
            }
            5 => self.clock = self.clock + Duration::from_millis(input.u8().into()),
            6 => self.clock = self.clock + Duration::from_micros(input.u16().into()),
            7 => self.clock = any_time(input),
            8 => self.timeout(),
            _ => drop(self.drain()),
        }
    }

    /// Hands in a datagram, and nothing more. The pools it may make are nobody's to the model.
    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.latest = self.latest.max(self.clock);
        let before = self.broadcaster.stats();
        let known = match Dialect::of(datagram).decode_request(datagram) {
            Ok(Request::Ping(pool)) if datagram.len() <= self.config.max_datagram => {
                self.model.ping(pool, from, self.latest)
            }
            _ => None,
        };
        self.broadcaster.handle_datagram(self.clock, from, datagram);
        let after = self.broadcaster.stats();
        assert_eq!(after.datagrams, before.datagrams + 1);
        if let Some(counts) = known {
            assert_eq!(after.pings > before.pings, counts, "a ping that should have counted, or not");
        }
    }

    fn request(&mut self, from: SocketAddr, request: &Request) {
        let mut datagram = bytes::BytesMut::new();
        Dialect::Classic.encode_request(request, &mut datagram);
        self.receive(from, &datagram);
    }

    /// Creates a pool when nothing waits, so that nothing is dropped and its name is learned.
    fn create(&mut self, from: SocketAddr) {
        self.timeout();
        self.request(from, &Request::Create);
        for output in self.drain() {
            if let Output::Event(BroadcasterEvent::PoolCreated { pool, host }) = output {
                assert_eq!(host, canonical(from));
                self.model.created(pool, host, self.latest);
            }
        }
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
        assert!(!joined || !self.model.is_dead(&pool, self.latest), "somebody joined a dead pool");
    }

    /// Lists when nothing waits. While all pools fit an answer, all are there.
    fn list(&mut self, from: SocketAddr) {
        self.timeout();
        self.request(from, &Request::List);
        let count = self.broadcaster.pool_count();
        for output in self.drain() {
            let Output::Transmit(transmit) = output else { continue };
            if let Ok(Response::Pools(ids)) = Dialect::Classic.decode_response(&transmit.payload) {
                assert_eq!(ids.len(), count.min(Dialect::Classic.list_capacity()));
                assert!(
                    ids.iter().all(|pool| !self.model.is_dead(pool, self.latest)),
                    "a dead pool is listed"
                );
            }
        }
    }

    /// Says what time it is, and drains: what is dead is gone, what lives is there.
    fn timeout(&mut self) {
        self.latest = self.latest.max(self.clock);
        self.broadcaster.handle_timeout(self.clock);
        self.drain();
        let (count, living) = (self.broadcaster.pool_count(), self.model.living());
        let all_named = self.broadcaster.stats().pools_created == self.model.named() as u64;
        assert!(count == living || (count > living && !all_named), "{count} pools, {living} should live");
    }

    /// Does what the broadcaster says until it waits.
    fn drain(&mut self) -> Vec<Output<BroadcasterEvent>> {
        let first = self.outputs.len();
        let deadline = loop {
            let output = self.broadcaster.poll_output();
            self.outputs.push(output.clone());
            match output {
                Output::Transmit(transmit) => check_answer(&transmit.payload),
                Output::Event(BroadcasterEvent::PoolEnded { pool, host }) => {
                    self.model.ended(&pool, host, self.latest);
                }
                Output::Event(_) => {}
                Output::Wait(deadline) => break deadline,
            }
        };
        // What was dropped can't be told: the model forgets what is over, too.
        self.model.forget_dead(self.latest);
        if let Some(deadline) = deadline {
            assert!(deadline > self.latest, "{deadline:?} is not after {:?}", self.latest);
            assert!(self.broadcaster.pool_count() > 0, "nothing is left to wait for");
        } else {
            let endless = self.latest + self.config.ping_timeout == Instant::NEVER;
            assert!(endless || self.broadcaster.pool_count() == 0, "pools that never end");
        }
        self.outputs.get(first..).unwrap_or_default().to_vec()
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

/// An answer is short, can be read, and can't set two broadcasters talking for ever.
fn check_answer(payload: &[u8]) {
    assert!(payload.len() <= MAX_ANSWER, "{} bytes", payload.len());
    let dialect = Dialect::of(payload);
    dialect.decode_response(payload).expect("a broadcaster sends responses");
    match dialect.decode_request(payload) {
        Err(RequestFault::Answer | RequestFault::NotAPoolId(_) | RequestFault::UnknownType(_)) => {}
        other => panic!("an answer that another broadcaster takes for {other:?}"),
    }
}

/// Early, or close to the end of time.
fn any_time(input: &mut Input<'_>) -> Instant {
    let (late, micros) = (input.u8() % 2 == 1, u64::from(input.u16()));
    Instant::from_micros(if late { u64::MAX - micros } else { micros })
}

/// Small limits, so that a few operations reach them.
fn config(input: &mut Input<'_>) -> BroadcasterConfig {
    let mut config = BroadcasterConfig::default();
    config.ping_timeout = match input.u8() {
        255 => Duration::MAX,
        millis => Duration::from_millis(millis.into()),
    };
    config.max_pools = input.one_to(64);
    config.max_pools_per_source = input.one_to(64);
    config.max_peers = input.one_to(128);
    config.max_peers_total = usize::from(input.u8());
    config.max_queued = usize::from(input.u8() % 32) + 1;
    config.max_datagram = usize::from(input.u16() % 1_100);
    config
}

/// A counter, or a source that is stuck.
fn random(step: u8) -> Random {
    let mut state = 0u128;
    Box::new(move || {
        state = state.wrapping_add(u128::from(step) << 100);
        state
    })
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
