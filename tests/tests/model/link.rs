//! One link beside its model, over bytes that a peer might send.

use core::time::Duration;

use poolmesh_proto::{Fault, Instant, Link, LinkConfig, LinkEvent, Write};
use poolmesh_testkit::model::{LinkModel, frames};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::{Census, Clock, Step, config, right, sample, step};

#[derive(Clone, Debug)]
enum Op {
    /// An event with so many bytes of name and payload.
    Send(usize, usize),
    /// The next so many bytes of what the peer sends.
    Bytes(Step, usize),
    Eof(Step),
    Failure(Step),
    Close(Step),
    /// Both ends close at the same time.
    Part(Step),
    Timeout(Step),
    PollEvent(u8),
    PollTransmit(u8),
    /// So many times it is drained and woken when it wants to be.
    Sleep(u8),
}

/// What the peer sends.
#[derive(Clone, Debug)]
enum Piece {
    Event(usize, usize),
    Empty,
    /// A body of so many bytes, whose name is longer.
    Malformed(u8),
    /// A frame that is over the limit by so much.
    TooLong(u32),
    Garbage(Vec<u8>),
}

/// A link and its model, which see and say the same.
pub(crate) struct Pair {
    pub(crate) machine: Link,
    pub(crate) model: LinkModel,
}

impl Pair {
    pub(crate) fn new(config: &LinkConfig) -> Self {
        let machine = Link::new(config.clone(), Instant::ZERO);
        Self { machine, model: LinkModel::new(config.clone(), Instant::ZERO) }
    }

    /// A number for the next event.
    pub(crate) fn number(&self) -> u8 {
        u8::try_from(self.machine.stats().sent % 256).unwrap()
    }

    /// Whether it was taken.
    pub(crate) fn send(
        &mut self,
        name: &[u8],
        payload: &[u8],
        census: &mut Census,
    ) -> Result<bool, TestCaseError> {
        let result = self.machine.send(name, payload.to_vec());
        census.count(right(self.model.send(name, payload, result))?);
        self.compare()?;
        Ok(result.is_ok())
    }

    pub(crate) fn bytes(&mut self, now: Instant, bytes: &[u8]) -> TestCaseResult {
        self.machine.handle_bytes(now, bytes.to_vec().into());
        self.model.handle_bytes(now, bytes);
        self.compare()
    }

    pub(crate) fn eof(&mut self, now: Instant) -> TestCaseResult {
        self.machine.handle_eof(now);
        self.model.handle_eof(now);
        self.compare()
    }

    pub(crate) fn failure(&mut self, now: Instant) -> TestCaseResult {
        self.machine.handle_failure(now, Fault::Reset);
        self.model.handle_failure(now, Fault::Reset);
        self.compare()
    }

    pub(crate) fn close(&mut self, now: Instant) -> TestCaseResult {
        self.machine.close(now);
        self.model.close(now);
        self.compare()
    }

    pub(crate) fn timeout(&mut self, now: Instant) -> TestCaseResult {
        self.machine.handle_timeout(now);
        self.model.handle_timeout(now);
        self.compare()
    }

    pub(crate) fn poll_event(&mut self, census: &mut Census) -> Result<Option<LinkEvent>, TestCaseError> {
        let event = self.machine.poll_event();
        census.count(right(self.model.gave(event.as_ref()))?);
        self.compare()?;
        Ok(event)
    }

    pub(crate) fn poll_transmit(&mut self, census: &mut Census) -> Result<Option<Write>, TestCaseError> {
        let write = self.machine.poll_transmit();
        census.count(right(self.model.wrote(write.as_ref()))?);
        self.compare()?;
        Ok(write)
    }

    fn compare(&self) -> TestCaseResult {
        prop_assert_eq!(self.machine.interest(), self.model.interest());
        prop_assert_eq!(self.machine.stats(), self.model.stats());
        prop_assert_eq!(self.machine.queued(), self.model.queued());
        prop_assert_eq!(
            (self.machine.is_open(), self.machine.is_ended()),
            (self.model.is_open(), self.model.is_ended())
        );
        Ok(())
    }
}

pub(crate) fn settings() -> impl Strategy<Value = LinkConfig> {
    let millis = |range| Strategy::prop_map(range, Duration::from_millis);
    let idle = prop_oneof![Just(None), millis(0..3_000u64).prop_map(Some)];
    let slow = prop_oneof![Just(None), millis(0..500u64).prop_map(Some)];
    let queued = prop_oneof![3 => 0..400usize, 1 => Just(60_000)];
    let pack = prop_oneof![1 => Just(1), 2 => 1..400usize, 2 => Just(65_536)];
    let longest = prop_oneof![1 => 0..100usize, 4 => Just(30_000)];
    (queued, 0..200usize, pack, longest, (idle, slow), millis(0..2_000u64)).prop_map(
        |(queued, received, pack, longest, (idle, slow), close)| {
            let mut config = LinkConfig::default();
            config.max_queued = queued;
            config.max_received = received;
            config.max_frame = longest;
            config.pack = pack;
            config.idle_timeout = idle;
            config.frame_timeout = slow;
            config.close_timeout = close;
            config
        },
    )
}

/// The sizes of an event's name and payload.
pub(crate) fn sizes() -> impl Strategy<Value = (usize, usize)> {
    (0..9usize, prop_oneof![30 => 0..100usize, 5 => 100..400usize, 1 => 15_000..40_000usize])
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        120 => sizes().prop_map(|(name, payload)| Piece::Event(name, payload)),
        24 => Just(Piece::Empty),
        24 => (1..40u8).prop_map(Piece::Malformed),
        1 => (1..100u32).prop_map(Piece::TooLong),
        1 => Just(Piece::TooLong(u32::MAX)),
        1 => vec(any::<u8>(), 0..20).prop_map(Piece::Garbage),
    ];
    vec(piece, 0..40)
}

fn stream(pieces: &[Piece], max_frame: usize) -> Vec<u8> {
    let length = |bytes: u32| bytes.to_le_bytes().to_vec();
    let bytes = |(number, piece): (usize, &Piece)| match piece {
        Piece::Event(name, payload) => {
            let number = u8::try_from(number).unwrap();
            frames::event(&vec![b'e'; *name], &vec![number; *payload])
        }
        Piece::Empty => length(0),
        Piece::Malformed(body) => {
            let body = u32::from(*body);
            let name = length(body - 4.min(body) + 1);
            let rest: Vec<u8> = name.into_iter().chain([7; 40]).take(body as usize).collect();
            [length(body), rest].concat()
        }
        Piece::TooLong(over) => length(u32::try_from(max_frame).unwrap().saturating_add(*over)),
        Piece::Garbage(bytes) => bytes.clone(),
    };
    pieces.iter().enumerate().flat_map(bytes).collect()
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let step = || step(50);
    let op = prop_oneof![
        20 => sizes().prop_map(|(name, payload)| Op::Send(name, payload)),
        20 => (step(), prop_oneof![6 => 0..80usize, 1 => 80..50_000usize]).prop_map(|(step, len)| Op::Bytes(step, len)),
        8 => step().prop_map(Op::Timeout),
        1 => (1..4u8).prop_map(Op::Sleep),
        20 => (1..6u8).prop_map(Op::PollEvent),
        12 => (1..4u8).prop_map(Op::PollTransmit),
    ];
    let last = prop_oneof![
        3 => step().prop_map(Op::Eof),
        1 => step().prop_map(Op::Failure),
        3 => step().prop_map(Op::Close),
        1 => step().prop_map(Op::Part),
    ];
    let ends = vec((any::<prop::sample::Index>(), last), 0..4);
    (vec(op, 0..90), ends).prop_map(|(mut ops, ends)| {
        for (at, end) in ends {
            ops.insert(at.index(ops.len() + 1), end);
        }
        ops
    })
}

fn cases() -> impl Strategy<Value = (LinkConfig, Vec<Piece>, Vec<Op>)> {
    (settings(), pieces(), ops())
}

fn run((config, pieces, ops): &(LinkConfig, Vec<Piece>, Vec<Op>), census: &mut Census) -> TestCaseResult {
    let mut coming = stream(pieces, config.max_frame);
    let mut pair = Pair::new(config);
    let mut clock = Clock::default();
    for (place, op) in ops.iter().enumerate() {
        clock.wake = pair.machine.interest().deadline;
        act(op, &mut pair, &mut coming, &mut clock, census)
            .map_err(|error| TestCaseError::fail(format!("operation {place}, {op:?}: {error}")))?;
    }
    // A link that is closed ends in time, unless the end of time is near.
    let end = pair.model.now() + config.close_timeout;
    if end != Instant::NEVER {
        pair.close(pair.model.now())?;
        pair.timeout(end)?;
        while pair.poll_event(census)?.is_some() {}
        prop_assert_eq!(pair.model.interest().deadline, None);
        prop_assert!(pair.model.is_ended());
    }
    census.add("skipped: empty", pair.machine.stats().empty);
    census.add("skipped: malformed", pair.machine.stats().malformed);
    Ok(())
}

fn act(
    op: &Op,
    pair: &mut Pair,
    coming: &mut Vec<u8>,
    clock: &mut Clock,
    census: &mut Census,
) -> TestCaseResult {
    match op {
        Op::Send(name, payload) => {
            let number = pair.number();
            pair.send(&vec![b'e'; *name], &vec![number; *payload], census)?;
        }
        Op::Bytes(step, len) => {
            let chunk: Vec<u8> = coming.drain(..coming.len().min(*len)).collect();
            pair.bytes(clock.go(*step), &chunk)?;
        }
        Op::Eof(step) => pair.eof(clock.go(*step))?,
        Op::Failure(step) => pair.failure(clock.go(*step))?,
        Op::Close(step) => pair.close(clock.go(*step))?,
        Op::Part(step) => {
            let now = clock.go(*step);
            pair.close(now)?;
            pair.eof(now)?;
        }
        Op::Timeout(step) => pair.timeout(clock.go(*step))?,
        Op::Sleep(times) => {
            for _ in 0..*times {
                while pair.poll_event(census)?.is_some() {}
                clock.wake = pair.machine.interest().deadline;
                pair.timeout(clock.go(Step::Wake))?;
            }
        }
        Op::PollEvent(times) => {
            for _ in 0..*times {
                pair.poll_event(census)?;
            }
        }
        Op::PollTransmit(times) => {
            for _ in 0..*times {
                pair.poll_transmit(census)?;
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn the_link_does_what_its_model_does(case in cases()) {
        run(&case, &mut Census::default())?;
    }
}

#[test]
fn every_kind_of_event_is_compared() {
    sample(500, &cases(), run).assert_each_of(&[
        "sent",
        "full",
        "too long",
        "closed",
        "received",
        "writable",
        "no event",
        "write of one frame",
        "write of several frames",
        "finish",
        "nothing to write",
        "nothing after finish",
        "nothing after the end",
        "nothing, both have closed",
        "closed: local",
        "closed: unwritten",
        "closed: remote",
        "closed: cut short",
        "closed: frame too long",
        "closed: frame too slow",
        "closed: idle",
        "closed: failed",
        "skipped: empty",
        "skipped: malformed",
    ]);
}
