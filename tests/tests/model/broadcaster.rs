//! The broadcaster beside its model.

use core::net::SocketAddr;
use core::time::Duration;

use poolmesh_proto::wire::Dialect;
use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Output};
use poolmesh_testkit::model::{BroadcasterModel, wire};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::shards::{Broadcasts, Together};
use crate::{Census, Clock, Spoil, Step, config, right, sample, spoil, step};

#[derive(Clone, Debug)]
enum Op {
    Ask(Step, Ask),
    Timeout(Step),
    Poll(u8),
    Drain,
}

#[derive(Clone, Debug)]
enum Ask {
    /// A request that may be spoiled on its way.
    Request(usize, Request, Option<Spoil>),
    /// A ping by the pool's own host.
    Ping(Choice),
    /// Pings by the hosts of so many of the latest pools.
    Pings(usize),
    Lists(u8),
    /// So many pools are created, from one address each.
    Creates(u16),
    /// So many join a living pool, the first of them as the so-many-th stranger.
    Joins(usize, u16, u16),
    Bytes(usize, Vec<u8>),
    /// One of the latest things that were sent comes back.
    Echo(usize, usize),
}

#[derive(Clone, Debug)]
enum Request {
    Create,
    Ping(Choice),
    List,
    Join(Choice),
}

/// A pool whose id is known.
#[derive(Clone, Debug)]
enum Choice {
    /// One that lives, counted from the latest.
    Living(usize),
    /// It may have ended long ago.
    Any(prop::sample::Index),
    Unknown(Vec<u8>),
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        20 => (0..3usize).prop_map(Choice::Living),
        4 => any::<prop::sample::Index>().prop_map(Choice::Any),
        1 => Just(Choice::Unknown(b"nobody's".to_vec())),
        1 => vec(any::<u8>(), 0..70).prop_map(Choice::Unknown),
        1 => (500..600usize).prop_map(|len| Choice::Unknown(vec![b'x'; len])),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        5 => Just(Request::Create),
        4 => choice().prop_map(Request::Ping),
        4 => Just(Request::List),
        8 => choice().prop_map(Request::Join),
    ]
}

/// Often one of the first two, which are of one machine.
fn who() -> impl Strategy<Value = usize> {
    prop_oneof![0..2usize, 0..WHO]
}

fn ask() -> impl Strategy<Value = Ask> {
    let spoiled = prop_oneof![12 => Just(None), 1 => spoil().prop_map(Some)];
    prop_oneof![
        200 => (who(), request(), spoiled).prop_map(|(who, request, spoil)| Ask::Request(who, request, spoil)),
        40 => choice().prop_map(Ask::Ping),
        20 => (1..60usize).prop_map(Ask::Pings),
        6 => (1..5u8).prop_map(Ask::Lists),
        4 => (1..45u16).prop_map(Ask::Creates),
        5 => (0..3usize, 0..400u16, 1..90u16).prop_map(|(pool, first, count)| Ask::Joins(pool, first, count)),
        8 => (who(), vec(any::<u8>(), 0..60).prop_filter("of the classic dialect", |bytes| Dialect::of(bytes) == Dialect::Classic))
            .prop_map(|(who, bytes)| Ask::Bytes(who, bytes)),
        8 => (who(), 0..7u8, vec(any::<u8>(), 0..1_200))
            .prop_map(|(who, kind, rest)| Ask::Bytes(who, [vec![kind], rest].concat())),
        12 => (who(), 0..8usize).prop_map(|(who, back)| Ask::Echo(who, back)),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => (step(15), ask()).prop_map(|(step, ask)| Op::Ask(step, ask)),
        3 => step(15).prop_map(Op::Timeout),
        2 => (1..5u8).prop_map(Op::Poll),
        8 => Just(Op::Drain),
    ];
    vec(op, 0..120)
}

/// Either the limits are narrow or the queue is: see [`BroadcasterModel`].
fn settings() -> impl Strategy<Value = BroadcasterConfig> {
    let timeout = prop_oneof![1 => Just(0u64), 20 => 1_000..5_000_000u64];
    let longest = prop_oneof![12 => Just(1_024usize), 1 => 1..50usize];
    let limit = |range: core::ops::Range<usize>| prop_oneof![3 => range, 2 => Just(1_000usize)];
    let narrow = (limit(0..20), limit(0..5), limit(0..6), limit(0..20));
    let limits = prop_oneof![1 => narrow, 1 => Just((1_000, 1_000, 1_000, 1_000))];
    let queued = prop_oneof![4 => Just(None), 1 => (0..6usize).prop_map(Some)];
    (timeout, longest, limits, queued).prop_map(|(timeout, longest, limits, queued)| {
        let (pools, per_source, peers, peers_total) = limits;
        let mut config = BroadcasterConfig::default().with_classic();
        config.ping_timeout = Duration::from_micros(timeout);
        config.max_datagram = longest;
        config.max_pools = pools;
        match queued {
            Some(queued) => config.max_queued = queued,
            None => {
                config.max_pools_per_source = per_source;
                config.max_peers = peers;
                config.max_peers_total = peers_total;
            }
        }
        config
    })
}

fn cases() -> impl Strategy<Value = (BroadcasterConfig, Vec<Op>)> {
    (settings(), ops())
}

/// How many addresses there are; some are of one machine, and some are other ways to write another one.
const WHO: usize = 9;

fn address(who: usize) -> SocketAddr {
    let texts = [
        "192.0.2.1:1",
        "192.0.2.1:65535",
        "192.0.2.2:1",
        "[::ffff:192.0.2.2]:1",
        "[2001:db8::1]:1",
        "[2001:db8::ffff:2]:1",
        "[2001:db8:0:1::1]:1",
        "[fe80::1]:1",
        "[fe80::1%3]:1",
    ];
    texts[who].parse().unwrap()
}

/// One of many, with texts of any length.
fn stranger(number: u16) -> SocketAddr {
    let low = u8::try_from(number % 200).unwrap();
    if number % 7 == 0 {
        format!("[2001:db8:{number:x}:1234:5678:9abc:def0:{low:x}]:{}", 50_000 + number).parse().unwrap()
    } else {
        ([if number % 2 == 0 { 9 } else { 198 }, 51, 100, low], number + 1).into()
    }
}

struct Pair<'a, M> {
    machine: M,
    model: BroadcasterModel,
    clock: Clock,
    /// What the machine sent, to be echoed.
    sent: Vec<Vec<u8>>,
    /// Whether all counts are exact: see [`BroadcasterModel`].
    exact: bool,
    census: &'a mut Census,
}

impl<M: Broadcasts> Pair<'_, M> {
    fn act(&mut self, op: &Op) -> TestCaseResult {
        match op {
            Op::Ask(step, ask) => {
                let now = self.clock.go(*step);
                for (from, datagram) in self.datagrams(ask) {
                    self.machine.handle_datagram(now, from, &datagram);
                    self.model.handle_datagram(now, from, &datagram);
                    self.compare()?;
                }
            }
            Op::Timeout(step) => self.timeout(*step)?,
            Op::Poll(times) => {
                for _ in 0..*times {
                    self.poll()?;
                }
            }
            Op::Drain => self.drain()?,
        }
        self.compare()
    }

    fn timeout(&mut self, step: Step) -> TestCaseResult {
        let now = self.clock.go(step);
        self.machine.handle_timeout(now);
        self.model.handle_timeout(now);
        self.compare()
    }

    fn compare(&self) -> TestCaseResult {
        prop_assert_eq!(self.machine.stats(), self.model.stats());
        prop_assert_eq!(self.machine.pool_count(), self.model.pool_count());
        if self.exact {
            prop_assert_eq!(self.machine.peer_count(), self.model.peer_count());
        }
        Ok(())
    }

    fn drain(&mut self) -> TestCaseResult {
        while self.poll()? {}
        Ok(())
    }

    /// Whether there was something.
    fn poll(&mut self) -> Result<bool, TestCaseError> {
        let kind = match self.machine.poll_output() {
            Output::Transmit(transmit) => {
                self.sent.push(transmit.payload.to_vec());
                right(self.model.sent(transmit.destination, &transmit.payload))?
            }
            Output::Event(event) => right(self.model.told(&event))?,
            Output::Wait(deadline) => {
                right(self.model.rests())?;
                self.clock.wake = deadline;
                let due = self.model.deadline();
                prop_assert!(
                    due.is_none() || deadline.is_some_and(|at| Some(at) <= due),
                    "it sleeps over {due:?}, until {deadline:?}"
                );
                prop_assert!(deadline.is_none_or(|at| at > self.model.now()), "{deadline:?} is over");
                prop_assert!(deadline.is_none() || self.model.pool_count() > 0, "it waits for nothing");
                return Ok(false);
            }
        };
        self.census.count(kind);
        Ok(true)
    }

    fn id(&self, choice: &Choice) -> (Vec<u8>, Option<SocketAddr>) {
        let known: Vec<(&[u8], SocketAddr)> = match choice {
            Choice::Unknown(id) => return (id.clone(), None),
            Choice::Living(_) => self.model.living().collect(),
            Choice::Any(_) => self.model.names().collect(),
        };
        let place = match choice {
            Choice::Living(back) => known.len().checked_sub(1 + back),
            Choice::Any(index) if !known.is_empty() => Some(index.index(known.len())),
            _ => None,
        };
        match place {
            Some(place) => (known[place].0.to_vec(), Some(known[place].1)),
            None => (b"none is known".to_vec(), None),
        }
    }

    fn datagrams(&self, ask: &Ask) -> Vec<(SocketAddr, Vec<u8>)> {
        let join = |choice: &Choice| wire::with_string(3, &self.id(choice).0);
        let ping = |choice: &Choice| wire::with_string(1, &self.id(choice).0);
        match ask {
            Ask::Request(who, request, spoil) => {
                let mut datagram = match request {
                    Request::Create => vec![0],
                    Request::Ping(choice) => ping(choice),
                    Request::List => vec![2],
                    Request::Join(choice) => join(choice),
                };
                if let Some(spoil) = spoil {
                    spoil.apply(&mut datagram);
                }
                vec![(address(*who), datagram)]
            }
            Ask::Ping(choice) => vec![(self.id(choice).1.unwrap_or_else(|| address(0)), ping(choice))],
            Ask::Pings(count) => (0..*count)
                .map(Choice::Living)
                .map(|at| (self.id(&at).1.unwrap_or_else(|| address(0)), ping(&at)))
                .collect(),
            Ask::Lists(count) => vec![(address(0), vec![2]); usize::from(*count)],
            Ask::Creates(count) => (0..*count).map(|number| (stranger(number), vec![0])).collect(),
            Ask::Joins(back, _, _) if *back >= self.model.living().count() => Vec::new(),
            Ask::Joins(back, first, count) => {
                let datagram = join(&Choice::Living(*back));
                (*first..first + count).map(|number| (stranger(number), datagram.clone())).collect()
            }
            Ask::Bytes(who, bytes) => vec![(address(*who), bytes.clone())],
            Ask::Echo(who, back) => {
                let sent = self.sent.iter().rev().nth(*back).cloned();
                vec![(address(*who), sent.unwrap_or_default())]
            }
        }
    }
}

/// Drawn numbers, from those of a seed on.
fn random(seed: u128) -> impl FnMut() -> u128 {
    let mut number = seed << 64;
    move || {
        number += 1;
        number.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55)
    }
}

fn run((config, ops): &(BroadcasterConfig, Vec<Op>), census: &mut Census) -> TestCaseResult {
    compare(Broadcaster::new(config.clone(), random(0)), config, ops, census)
}

/// The same of four machines together. Each has a queue of its own, so none must be full for the model to know which; and
/// as they are polled at once, no pool must end between that and the next input.
fn run_shards((config, ops): &(BroadcasterConfig, Vec<Op>), census: &mut Census) -> TestCaseResult {
    let mut config = config.clone();
    config.max_queued = BroadcasterConfig::default().max_queued;
    config.ping_timeout = config.ping_timeout.max(Duration::from_micros(1));
    compare(Together::new(4, &config, random), &config, ops, census)
}

fn compare<M: Broadcasts>(
    machine: M,
    config: &BroadcasterConfig,
    ops: &[Op],
    census: &mut Census,
) -> TestCaseResult {
    let model = BroadcasterModel::new(config.clone());
    let exact = config.max_queued > 1_000;
    let mut pair = Pair { machine, model, clock: Clock::default(), sent: Vec::new(), exact, census };
    for (place, op) in ops.iter().enumerate() {
        pair.act(op).map_err(|error| TestCaseError::fail(format!("operation {place}, {op:?}: {error}")))?;
    }
    // All pools end by themselves, unless the end of time is near.
    pair.drain()?;
    let end = pair.model.now() + config.ping_timeout;
    if end != Instant::NEVER {
        pair.timeout(Step::To(end.as_micros()))?;
        pair.drain()?;
        prop_assert_eq!((pair.machine.pool_count(), pair.clock.wake), (0, None));
    }
    let (stats, passed_on) = (pair.machine.stats(), pair.machine.passed_on());
    census.add("silent: pinged", stats.pings);
    census.add("silent: ignored", stats.ignored);
    if stats.outputs_dropped > 0 {
        census.add("silent: dropped", stats.outputs_dropped);
    }
    if passed_on > 0 {
        census.add("passed on", passed_on);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(250))]

    #[test]
    fn the_broadcaster_says_what_its_model_says(case in cases()) {
        run(&case, &mut Census::default())?;
    }

    #[test]
    fn four_shards_say_what_the_model_says(case in cases()) {
        run_shards(&case, &mut Census::default())?;
    }
}

/// All that is compared if no queue is ever full.
const KINDS: [&str; 24] = [
    "created",
    "joined",
    "joined again",
    "joined by host",
    "joined, names cut",
    "list, empty",
    "list, whole",
    "list, cut",
    "list, cut, next turn",
    "pool ended",
    "no such pool",
    "not the host",
    "unknown type",
    "truncated",
    "too long",
    "too many pools",
    "too many pools from source",
    "pool full",
    "too many peers",
    "event: created",
    "event: joined",
    "event: ended",
    "silent: pinged",
    "silent: ignored",
];

#[test]
fn every_kind_of_answer_is_compared() {
    sample(200, &cases(), run).assert_each_of(&[&KINDS[..], &["silent: dropped"]].concat());
}

#[test]
fn every_kind_of_answer_of_shards_is_compared() {
    sample(200, &cases(), run_shards).assert_each_of(&[&KINDS[..], &["passed on"]].concat());
}
