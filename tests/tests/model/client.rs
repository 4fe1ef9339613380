//! The client beside its model.

use core::net::SocketAddr;
use core::time::Duration;

use poolmesh_proto::wire::Request;
use poolmesh_proto::{CallId, Client, ClientConfig, Instant, Machine, Output, PoolId};
use poolmesh_testkit::model::{ClientModel, wire};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::{Census, Clock, Spoil, Step, config, right, sample, spoil, step};

#[derive(Clone, Debug)]
enum Op {
    List(Step),
    Create(Step),
    Join(Step, u8),
    /// A call, counted from the latest.
    Cancel(usize),
    Release(u8),
    /// One of the pools that are hosted.
    ReleaseHosted(prop::sample::Index),
    Close,
    Answer(Step, Answer, Option<Spoil>),
    /// An answer that doesn't come from the broadcaster.
    Foreign(Step, Answer),
    /// So many pools are made and released; then the answers that made some of them come again, while another is asked
    /// for.
    Hosts(u8),
    Timeout(Step),
    Poll(u8),
    Drain,
}

#[derive(Clone, Debug)]
enum Answer {
    /// What a broadcaster answers to one of the calls under way.
    Fitting(prop::sample::Index),
    /// A pool, and whether you are its host.
    Pool(u8, bool),
    Pools(Vec<u8>),
    /// So many pools or peers with short names.
    Long(bool, usize),
    /// That a pool doesn't exist that is hosted.
    Lost(prop::sample::Index),
    Error(Vec<u8>),
    Ended,
    Bytes(Vec<u8>),
}

fn pool(number: u8) -> PoolId {
    format!("pool-{number}").parse().unwrap()
}

fn server() -> SocketAddr {
    "192.0.2.9:6969".parse().unwrap()
}

/// The same, as a socket shows it that takes both IPv4 and IPv6.
fn mapped_server() -> SocketAddr {
    "[::ffff:192.0.2.9]:6969".parse().unwrap()
}

fn stranger() -> SocketAddr {
    "192.0.2.8:6969".parse().unwrap()
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        3 => (0..6u8).prop_map(|number| format!("pool with id pool-{number} doesn't exist")),
        2 => (0..6u8, 0..9u8).prop_map(|(number, limit)| format!("pool pool-{number} has its limit of {limit} peers")),
        3 => prop_oneof![
            Just("only the host can send ping messages"),
            Just("unknown message type"),
            Just("unknown message type"),
            Just("broadcaster has no fresh pool id"),
            Just("pool with id  doesn't exist"),
            Just("pool with id doesn't exist"),
            Just("pool  has its limit of 3 peers"),
            Just("come back tomorrow"),
            Just(""),
        ]
        .prop_map(str::to_owned),
        4 => (0..6usize, prop_oneof![3 => (0..99u8).prop_map(|number| number.to_string()), 1 => number()]).prop_map(
            |(which, number)| {
                let (before, after) = [
                    ("out of bound by ", " elements"),
                    ("request is longer than ", " bytes"),
                    ("broadcaster holds its limit of ", " pools"),
                    ("your address hosts its limit of ", " pools"),
                    ("broadcaster holds its limit of ", " peers"),
                    ("pool p has its limit of ", " peers"),
                ][which];
                format!("{before}{number}{after}")
            }
        ),
    ]
    .prop_map(String::into_bytes);
    let long = vec(any::<u8>(), 0..700);
    let words = prop_oneof![
        12 => known,
        1 => long.clone(),
        1 => long.prop_map(|id| [b"pool with id ", &id[..], b" doesn't exist"].concat()),
    ];
    (prop_oneof![Just(&b"ERROR: "[..]), Just(&b""[..])], words)
        .prop_map(|(prefix, words)| [prefix, &words].concat())
}

/// What is no number, or barely one.
fn number() -> impl Strategy<Value = String> {
    let texts = [
        "18446744073709551615",
        "18446744073709551616",
        "007",
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "99999999999999999999999",
    ];
    prop::sample::select(texts.map(str::to_owned).to_vec())
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        20 => any::<prop::sample::Index>().prop_map(Answer::Fitting),
        6 => (0..6u8, any::<bool>()).prop_map(|(number, host)| Answer::Pool(number, host)),
        2 => vec(0..6u8, 0..4).prop_map(Answer::Pools),
        1 => (any::<bool>(), 2_040..5_000usize).prop_map(|(pools, count)| Answer::Long(pools, count)),
        6 => any::<prop::sample::Index>().prop_map(Answer::Lost),
        45 => text().prop_map(Answer::Error),
        6 => Just(Answer::Ended),
        1 => vec(any::<u8>(), 0..40).prop_map(Answer::Bytes),
        1 => (0..7u8, vec(any::<u8>(), 0..10)).prop_map(|(kind, rest)| Answer::Bytes([vec![kind], rest].concat())),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let spoiled = prop_oneof![9 => Just(None), 1 => spoil().prop_map(Some)];
    let op = prop_oneof![
        60 => step(120).prop_map(Op::List),
        80 => step(120).prop_map(Op::Create),
        80 => (step(120), 0..6u8).prop_map(|(step, number)| Op::Join(step, number)),
        20 => (0..6usize).prop_map(Op::Cancel),
        4 => (0..6u8).prop_map(Op::Release),
        8 => any::<prop::sample::Index>().prop_map(Op::ReleaseHosted),
        1 => Just(Op::Close),
        200 => (step(120), answer(), spoiled).prop_map(|(step, answer, spoil)| Op::Answer(step, answer, spoil)),
        10 => (step(120), answer()).prop_map(|(step, answer)| Op::Foreign(step, answer)),
        2 => prop_oneof![1..10u8, 60..75u8].prop_map(Op::Hosts),
        90 => step(120).prop_map(Op::Timeout),
        30 => (1..4u8).prop_map(Op::Poll),
        120 => Just(Op::Drain),
    ];
    vec(op, 1..120)
}

fn settings() -> impl Strategy<Value = ClientConfig> {
    let millis = |range| Strategy::prop_map(range, Duration::from_millis);
    let recreate = prop_oneof![Just(None), millis(0..3_000u64).prop_map(Some)];
    let queued = prop_oneof![1 => 0..6usize, 3 => Just(256)];
    let longest = prop_oneof![1 => 0..200usize, 6 => Just(65_535)];
    let times = (millis(0..6_000u64), millis(0..500u64), recreate, millis(0..500u64));
    (times, 1..8usize, 0..6usize, queued, longest).prop_map(|(times, calls, hosted, queued, longest)| {
        let mut config = ClientConfig::classic();
        (config.call_timeout, config.resend_after, config.recreate_after, config.ping_interval) = times;
        config.max_calls = calls;
        config.max_pools = hosted;
        config.max_queued = queued;
        config.max_datagram = longest;
        config
    })
}

fn cases() -> impl Strategy<Value = (ClientConfig, Vec<Op>)> {
    (settings(), ops())
}

struct Pair<'a> {
    machine: Client,
    model: ClientModel,
    clock: Clock,
    calls: Vec<CallId>,
    /// Whether the latest input was a call.
    called: bool,
    /// How many pools with names of their own there were.
    fresh: u32,
    census: &'a mut Census,
}

impl Pair<'_> {
    fn act(&mut self, op: &Op) -> TestCaseResult {
        match op {
            Op::List(step) => self.call(*step, Request::List)?,
            Op::Create(step) => self.call(*step, Request::Create)?,
            Op::Join(step, number) => self.call(*step, Request::Join(pool(*number)))?,
            Op::Cancel(back) => {
                if let Some(call) = self.calls.iter().rev().nth(*back).copied() {
                    self.machine.cancel(call);
                    self.model.cancel(call);
                }
            }
            Op::Release(number) => self.release(pool(*number))?,
            Op::ReleaseHosted(index) => {
                let hosted = self.model.hosted();
                if !hosted.is_empty() {
                    self.release(hosted[index.index(hosted.len())])?;
                }
            }
            Op::Close => {
                self.machine.close();
                self.model.close();
            }
            Op::Answer(step, answer, spoil) => {
                let mut datagram = self.datagram(answer);
                if let Some(spoil) = spoil {
                    spoil.apply(&mut datagram);
                }
                self.datagram_from(*step, server(), &datagram)?;
            }
            Op::Foreign(step, answer) => {
                let datagram = self.datagram(answer);
                self.datagram_from(*step, stranger(), &datagram)?;
            }
            Op::Hosts(count) => self.hosts(*count)?,
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

    fn call(&mut self, step: Step, request: Request) -> TestCaseResult {
        let now = self.clock.go(step);
        let result = match request {
            Request::List => self.machine.list(now),
            Request::Create => self.machine.create(now),
            Request::Join(pool) => self.machine.join(now, pool),
            Request::Ping(_) => return Ok(()),
        };
        self.calls.extend(result.ok());
        self.called = true;
        let kind = right(self.model.call(now, request, result))?;
        self.census.count(kind);
        Ok(())
    }

    fn hosts(&mut self, count: u8) -> TestCaseResult {
        let mut answers = Vec::new();
        for _ in 0..count {
            self.call(Step::Stay, Request::Create)?;
            let answer = self.made();
            self.datagram_from(Step::Stay, mapped_server(), &answer)?;
            self.drain()?;
            if let Some(pool) = self.model.hosted().pop() {
                self.release(pool)?;
            }
            answers.push(answer);
        }
        // A client knows 64 again.
        self.call(Step::Stay, Request::Create)?;
        for back in [0, 63, 64] {
            if let Some(answer) = answers.iter().rev().nth(back) {
                self.datagram_from(Step::Stay, server(), answer)?;
            }
        }
        Ok(())
    }

    fn release(&mut self, pool: PoolId) -> TestCaseResult {
        prop_assert_eq!(self.machine.release(pool), self.model.release(pool));
        Ok(())
    }

    fn datagram_from(&mut self, step: Step, from: SocketAddr, datagram: &[u8]) -> TestCaseResult {
        let now = self.clock.go(step);
        self.called = false;
        self.machine.handle_datagram(now, from, datagram);
        self.model.handle_datagram(now, from, datagram);
        self.compare()
    }

    fn timeout(&mut self, step: Step) -> TestCaseResult {
        let now = self.clock.go(step);
        self.called = false;
        self.machine.handle_timeout(now);
        self.model.handle_timeout(now);
        self.compare()
    }

    fn compare(&self) -> TestCaseResult {
        prop_assert_eq!(self.machine.stats(), self.model.stats());
        prop_assert_eq!(self.machine.pools().collect::<Vec<_>>(), self.model.hosted());
        Ok(())
    }

    fn drain(&mut self) -> TestCaseResult {
        while self.poll()? {}
        Ok(())
    }

    /// Whether there was something.
    fn poll(&mut self) -> Result<bool, TestCaseError> {
        let kind = match self.machine.poll_output() {
            Output::Transmit(transmit) => right(self.model.sent(transmit.destination, &transmit.payload))?,
            Output::Event(event) => right(self.model.told(&event))?,
            Output::Wait(deadline) => {
                right(self.model.rests())?;
                prop_assert_eq!(deadline, self.model.deadline());
                // A call that has no time at all ends with the next input.
                let over = deadline.is_some_and(|at| at <= self.model.now());
                prop_assert!(!over || self.called, "{deadline:?} is over");
                self.clock.wake = deadline;
                return Ok(false);
            }
        };
        self.census.count(kind);
        Ok(true)
    }

    /// The answer to a create.
    fn made(&mut self) -> Vec<u8> {
        self.fresh += 1;
        let id = format!("fresh-{}", self.fresh);
        wire::with_items(3, &[&id[..], "192.0.2.1:5", "192.0.2.1:5", "192.0.2.1:5"])
    }

    fn datagram(&mut self, answer: &Answer) -> Vec<u8> {
        let info = |id: PoolId, host: &str| {
            let id = id.to_string();
            wire::with_items(3, &[&id[..], host, "[::ffff:192.0.2.1]:5", "192.0.2.1:5", "192.0.2.2:7"])
        };
        match answer {
            Answer::Fitting(index) => {
                let asked: Vec<Request> = self.model.asked().collect();
                let asked = if asked.is_empty() { Request::List } else { asked[index.index(asked.len())] };
                match asked {
                    Request::Create => self.made(),
                    Request::Join(pool) | Request::Ping(pool) => info(pool, "192.0.2.7:7"),
                    Request::List => wire::with_items(2, &["pool-1", "pool-2"]),
                }
            }
            Answer::Pool(number, host) => {
                info(pool(*number), if *host { "192.0.2.1:5" } else { "192.0.2.7:7" })
            }
            Answer::Pools(numbers) => {
                let names: Vec<String> = numbers.iter().map(|number| pool(*number).to_string()).collect();
                wire::with_items(2, &names)
            }
            Answer::Long(true, count) => wire::with_string(2, &vec![&b"p"[..]; *count].join(&b' ')),
            Answer::Long(false, count) => {
                let start = ["pool-1", "1.1.1.1:1"].map(str::as_bytes);
                let peers = vec![&b"1.1.1.1:1"[..]; *count];
                wire::with_string(3, &[&start[..], &peers].concat().join(&b' '))
            }
            Answer::Lost(index) => {
                let hosted = self.model.hosted();
                let id = if hosted.is_empty() { pool(1) } else { hosted[index.index(hosted.len())] };
                wire::with_string(4, format!("ERROR: pool with id {id} doesn't exist").as_bytes())
            }
            Answer::Error(text) => wire::with_string(4, text),
            Answer::Ended => vec![5],
            Answer::Bytes(bytes) => bytes.clone(),
        }
    }
}

fn run((config, ops): &(ClientConfig, Vec<Op>), census: &mut Census) -> TestCaseResult {
    let machine = Client::new(config.clone(), server(), [7; 32]);
    let model = ClientModel::new(config.clone(), server());
    let mut pair =
        Pair { machine, model, clock: Clock::default(), calls: Vec::new(), called: false, fresh: 0, census };
    for (place, op) in ops.iter().enumerate() {
        pair.act(op).map_err(|error| TestCaseError::fail(format!("operation {place}, {op:?}: {error}")))?;
    }
    // Every call has its outcome in time, unless the end of time is near.
    pair.drain()?;
    let end = pair.model.now() + config.call_timeout;
    if end != Instant::NEVER {
        pair.timeout(Step::To(end.as_micros()))?;
        pair.drain()?;
        prop_assert_eq!(pair.model.asked().count(), 0);
    }
    let stats = pair.machine.stats();
    census.add("silent: foreign", stats.foreign);
    census.add("silent: spoiled", stats.spoiled);
    census.add("silent: unexpected", stats.unexpected);
    census.add("silent: dropped", stats.outputs_dropped);
    Ok(())
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn the_client_does_what_its_model_does(case in cases()) {
        run(&case, &mut Census::default())?;
    }
}

#[test]
fn every_kind_of_outcome_is_compared() {
    sample(350, &cases(), run).assert_each_of(&[
        "call",
        "too many calls",
        "too many hosted",
        "closed before",
        "request",
        "request again",
        "create again",
        "ping",
        "created",
        "joined",
        "listed",
        "timed out",
        "closed",
        "pool ended",
        "refused: no such pool",
        "refused: pool full",
        "refused: too many pools",
        "refused: too many from source",
        "refused: no fresh id",
        "refused: too many peers",
        "refused: unknown request",
        "refused: truncated",
        "refused: too long",
        "refused: other words",
        "silent: foreign",
        "silent: spoiled",
        "silent: unexpected",
        "silent: dropped",
    ]);
}
