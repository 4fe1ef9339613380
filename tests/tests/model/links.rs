//! Two links, joined by a connection that stalls, is cut and fails: what comes out is a prefix of what went in.

use std::collections::VecDeque;

use poolmesh_proto::{CloseReason, Instant, LinkConfig, LinkEvent, Write};
use poolmesh_testkit::model::StreamModel;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::link::{Pair, settings, sizes};
use crate::{Census, Clock, Step, config, right, sample, step};

#[derive(Clone, Debug)]
enum Op {
    /// An event with so many bytes of name and payload.
    Send(usize, usize),
    /// So many writes go into the connection.
    Write(u8),
    /// So many bytes come out of it, if the link reads.
    Carry(Step, usize),
    Poll(u8),
    Timeout(Step),
    Close(Step),
    /// What is under way to this end is lost from some byte on, and the connection closed.
    Cut(prop::sample::Index),
    Fail(Step),
    /// All that can happen happens.
    Pump,
    /// So many times the link is asked for all events, and woken when it wants to be.
    Sleep(u8),
}

/// One direction of the connection.
#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    closed: bool,
    eof_given: bool,
    /// Whether all that was sent went in, and all that went in comes out.
    lossless: bool,
    model: StreamModel,
}

struct Connection<'a> {
    ends: [Pair; 2],
    /// The pipe to each end.
    to: [Pipe; 2],
    clock: Clock,
    ended: [Option<CloseReason>; 2],
    census: &'a mut Census,
}

impl Connection<'_> {
    fn act(&mut self, end: usize, op: &Op) -> TestCaseResult {
        match op {
            Op::Send(name, payload) => self.send(end, *name, *payload)?,
            Op::Write(times) => {
                for _ in 0..*times {
                    self.write(end)?;
                }
            }
            Op::Carry(step, most) => {
                let now = self.clock.go(*step);
                self.carry(end, now, *most)?;
            }
            Op::Poll(times) => {
                for _ in 0..*times {
                    self.poll(end)?;
                }
            }
            Op::Timeout(step) => {
                let now = self.clock.go(*step);
                self.ends[end].timeout(now)?;
            }
            Op::Close(step) => {
                let now = self.clock.go(*step);
                self.ends[end].close(now)?;
            }
            Op::Cut(at) => {
                let pipe = &mut self.to[end];
                pipe.bytes.truncate(at.index(pipe.bytes.len() + 1));
                pipe.closed = true;
                pipe.lossless = false;
            }
            Op::Fail(step) => {
                let now = self.clock.go(*step);
                self.to.iter_mut().for_each(|pipe| pipe.lossless = false);
                self.ends[end].failure(now)?;
            }
            Op::Pump => self.pump()?,
            Op::Sleep(times) => {
                for _ in 0..*times {
                    while self.poll(end)? {}
                    self.clock.wake = self.ends[end].machine.interest().deadline;
                    let now = self.clock.go(Step::Wake);
                    self.ends[end].timeout(now)?;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, end: usize, name: usize, payload: usize) -> TestCaseResult {
        let number = self.ends[end].number();
        let (name, payload) = (vec![b'a' + number % 26; name], vec![number; payload]);
        if self.ends[end].send(&name, &payload, self.census)? {
            right(self.to[1 - end].model.sent(&name, &payload))?;
        }
        Ok(())
    }

    /// Whether something went into the connection.
    fn write(&mut self, end: usize) -> Result<bool, TestCaseError> {
        let write = self.ends[end].poll_transmit(self.census)?;
        let pipe = &mut self.to[1 - end];
        match write {
            Some(Write::Bytes(bytes)) if pipe.closed => prop_assert!(!bytes.is_empty()),
            Some(Write::Bytes(bytes)) => pipe.bytes.extend(bytes),
            Some(Write::Finish) => pipe.closed = true,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// Whether something came out of the connection.
    fn carry(&mut self, end: usize, now: Instant, most: usize) -> Result<bool, TestCaseError> {
        let pipe = &mut self.to[end];
        if !self.ends[end].machine.interest().read || self.ended[end].is_some() {
            return Ok(false);
        }
        if pipe.bytes.is_empty() {
            if !pipe.closed || pipe.eof_given {
                return Ok(false);
            }
            pipe.eof_given = true;
            self.ends[end].eof(now)?;
            return Ok(true);
        }
        let chunk: Vec<u8> = pipe.bytes.drain(..pipe.bytes.len().min(most.max(1))).collect();
        self.ends[end].bytes(now, &chunk)?;
        Ok(true)
    }

    /// Whether there was an event.
    fn poll(&mut self, end: usize) -> Result<bool, TestCaseError> {
        match self.ends[end].poll_event(self.census)? {
            None => return Ok(false),
            Some(LinkEvent::Received(message)) => right(self.to[end].model.received(&message))?,
            Some(LinkEvent::Closed(reason)) => self.ended(end, reason)?,
            Some(_) => {}
        }
        Ok(true)
    }

    /// The driver drops the connection: what is in it to the other end still comes out, in front of its end.
    fn ended(&mut self, end: usize, reason: CloseReason) -> TestCaseResult {
        self.ended[end] = Some(reason);
        let lossless = self.to[end].lossless;
        right(self.to[end].model.receiver_ended(reason, lossless))?;
        let out = &mut self.to[1 - end];
        right(out.model.sender_ended(reason))?;
        out.closed = true;
        // Of a link that was closed here and wrote all that it had everything arrives.
        out.lossless &= reason == CloseReason::Local;
        Ok(())
    }

    /// Lets everything happen that can without time passing. To be asked for nothing may make room for something, so
    /// it is over after a second round in which nothing happened.
    fn pump(&mut self) -> TestCaseResult {
        let now = self.ends[0].model.now().max(self.ends[1].model.now());
        let mut quiet = 0;
        for _ in 0..100_000 {
            let mut busy = false;
            for end in [0, 1] {
                busy |= self.write(end)?;
                busy |= self.carry(end, now, 1_000)?;
                busy |= self.poll(end)?;
            }
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet == 2 {
                return Ok(());
            }
        }
        Err(TestCaseError::fail("it never comes to rest"))
    }
}

fn ops() -> impl Strategy<Value = Vec<(usize, Op)>> {
    let step = || step(40);
    let op = prop_oneof![
        24 => sizes().prop_map(|(name, payload)| Op::Send(name, payload)),
        12 => (1..4u8).prop_map(Op::Write),
        20 => (step(), prop_oneof![6 => 1..80usize, 1 => 80..50_000usize]).prop_map(|(step, len)| Op::Carry(step, len)),
        16 => (1..6u8).prop_map(Op::Poll),
        8 => step().prop_map(Op::Timeout),
        3 => Just(Op::Pump),
        2 => (2..5u8).prop_map(Op::Sleep),
    ];
    let last = prop_oneof![
        4 => any::<prop::sample::Index>().prop_map(Op::Cut),
        2 => step().prop_map(Op::Fail),
        5 => step().prop_map(Op::Close),
    ];
    let end = || 0..2usize;
    let ends = vec((any::<prop::sample::Index>(), end(), last), 0..3);
    (vec((end(), op), 0..120), ends).prop_map(|(mut ops, ends)| {
        for (at, end, last) in ends {
            ops.insert(at.index(ops.len() + 1), (end, last));
        }
        ops
    })
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Once all has come through.
    Quiet,
    /// Both close while events are under way.
    Both,
    /// The same, and nothing moves any more.
    Stalled,
}

type Case = (LinkConfig, Vec<(usize, Op)>, End);

fn cases() -> impl Strategy<Value = Case> {
    (settings(), ops(), prop_oneof![4 => Just(End::Quiet), 1 => Just(End::Both), 1 => Just(End::Stalled)])
}

fn run((config, ops, how): &Case, census: &mut Census) -> TestCaseResult {
    let pipe = || Pipe { lossless: true, ..Pipe::default() };
    let mut connection = Connection {
        ends: [Pair::new(config), Pair::new(config)],
        to: [pipe(), pipe()],
        clock: Clock::default(),
        ended: [None; 2],
        census,
    };
    for (place, (end, op)) in ops.iter().enumerate() {
        connection.clock.wake = connection.ends[*end].machine.interest().deadline;
        connection.act(*end, op).map_err(|error| {
            TestCaseError::fail(format!("operation {place}, {op:?} at end {end}: {error}"))
        })?;
    }
    if *how == End::Quiet {
        connection.pump()?;
        // Nothing was closed, and nothing went wrong: then all came through, both ways.
        let whole = connection.ends.iter().all(|end| end.model.is_open());
        if whole && connection.to.iter().all(|pipe| pipe.lossless) {
            prop_assert!(connection.to.iter().all(|pipe| pipe.model.is_complete()), "something is stuck");
        }
    }
    let now = connection.ends[0].model.now().max(connection.ends[1].model.now());
    let over = now + config.close_timeout;
    if over == Instant::NEVER {
        return Ok(());
    }
    for end in [0, 1] {
        connection.ends[end].close(now)?;
    }
    if *how != End::Stalled {
        connection.pump()?;
    }
    for end in [0, 1] {
        connection.ends[end].timeout(over)?;
    }
    connection.pump()?;
    prop_assert!(connection.ended.iter().all(Option::is_some), "both have ended: {:?}", connection.ended);
    for pipe in &connection.to {
        connection.census.add("through: complete", u64::from(pipe.model.is_complete()));
        connection.census.add("through: prefix", u64::from(!pipe.model.is_complete()));
        connection.census.add("through: events", pipe.model.count() as u64);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_comes_out_is_a_prefix_of_what_went_in(case in cases()) {
        run(&case, &mut Census::default())?;
    }
}

#[test]
fn every_way_to_end_is_seen() {
    sample(800, &cases(), run).assert_each_of(&[
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
        "closed: frame too slow",
        "closed: idle",
        "closed: failed",
        "through: complete",
        "through: prefix",
        "through: events",
    ]);
}
