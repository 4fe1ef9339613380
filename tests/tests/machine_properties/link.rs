//! Links under any inputs, two of them sharing the memory for what they queue.

use core::mem;
use core::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{
    Budget, Chunks, CloseReason, Encoded, Fault, Instant, Link, LinkConfig, LinkEvent, Packet, SendError,
    Write,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{calm, config, has_a_future, wild};

/// Memory for what both links queue, in bytes.
const SHARED: usize = 250;

#[derive(Clone, Debug)]
enum Op {
    /// An event with so many bytes of payload.
    Send(usize),
    /// One that was encoded for many links, and how many bytes the connection takes of it at once.
    SendEncoded(Instant, usize, usize),
    /// The next so many bytes of what the peer sends.
    Bytes(Instant, usize),
    Garbage(Instant, Vec<u8>),
    Eof(Instant),
    Failure(Instant),
    Close(Instant),
    Timeout(Instant),
    PollEvent,
    PollTransmit,
    Settle(Instant),
}

fn ops(time: &BoxedStrategy<Instant>) -> impl Strategy<Value = Vec<(usize, Op)>> + use<> {
    let op = prop_oneof![
        10 => (0..200usize).prop_map(Op::Send),
        1 => (15_000..40_000usize).prop_map(Op::Send),
        5 => (time.clone(), 0..200usize, 0..300usize)
            .prop_map(|(now, len, taken)| Op::SendEncoded(now, len, taken)),
        10 => (time.clone(), 1..60usize).prop_map(|(now, len)| Op::Bytes(now, len)),
        5 => time.clone().prop_map(Op::Timeout),
        10 => Just(Op::PollEvent),
        6 => Just(Op::PollTransmit),
        5 => time.clone().prop_map(Op::Settle),
    ];
    let last = prop_oneof![
        1 => (time.clone(), vec(any::<u8>(), 0..40)).prop_map(|(now, bytes)| Op::Garbage(now, bytes)),
        2 => time.clone().prop_map(Op::Eof),
        1 => time.clone().prop_map(Op::Failure),
        3 => time.clone().prop_map(Op::Close),
    ];
    let which = || 0..2usize;
    let ends = vec((any::<prop::sample::Index>(), which(), last), 0..4);
    (vec((which(), op), 0..70), ends).prop_map(|(mut ops, ends)| {
        for (at, which, end) in ends {
            ops.insert(at.index(ops.len() + 1), (which, end));
        }
        ops
    })
}

fn settings() -> impl Strategy<Value = LinkConfig> {
    let millis = |range| Strategy::prop_map(range, Duration::from_millis);
    let idle = prop_oneof![Just(None), millis(1..3_000u64).prop_map(Some)];
    let slow = prop_oneof![Just(None), millis(0..3_000u64).prop_map(Some)];
    let times = (idle, slow, millis(1..2_000u64));
    (1..300usize, 0..200usize, prop_oneof![1..300usize, Just(65_536)], times).prop_map(
        |(max_queued, max_received, pack, (idle, slow, close))| {
            let mut config = LinkConfig::default();
            config.max_queued = max_queued;
            config.max_received = max_received;
            config.max_frame = 30_000;
            config.pack = pack;
            config.idle_timeout = idle;
            config.frame_timeout = slow;
            config.close_timeout = close;
            config
        },
    )
}

/// What the peer sends: events that number themselves.
fn incoming() -> Vec<u8> {
    let frame = |number: u8| {
        let body = Packet::new().string("event").bytes(&vec![number; usize::from(number % 40)]).freeze();
        Packet::new().string(body).freeze()
    };
    (0..200).flat_map(|number| frame(number).to_vec()).collect()
}

/// One link, its connection and its application.
struct End {
    link: Link,
    config: LinkConfig,
    /// What the peer has still to send.
    coming: Bytes,
    /// Events of the peer that were polled.
    received: usize,
    spoiled: bool,
    /// What was accepted for sending, as frames.
    accepted: Vec<u8>,
    written: Vec<u8>,
    /// What the connection didn't take of an event that never was queued: to be written first.
    kept: Chunks,
    finished: bool,
    closed: Option<CloseReason>,
    /// A send was refused, and no `Writable` came since.
    refused: bool,
    log: Vec<LinkEvent>,
}

impl End {
    fn new(config: &LinkConfig, budget: Budget) -> Self {
        Self {
            link: Link::with_budget(config.clone(), Instant::ZERO, budget),
            config: config.clone(),
            coming: incoming().into(),
            received: 0,
            spoiled: false,
            accepted: Vec::new(),
            written: Vec::new(),
            kept: Chunks::default(),
            finished: false,
            closed: None,
            refused: false,
            log: Vec::new(),
        }
    }

    fn act(&mut self, op: &Op, latest: Instant) {
        match op {
            Op::Send(len) => self.send(*len),
            Op::SendEncoded(now, len, taken) => self.send_encoded(*now, *len, *taken),
            Op::Bytes(now, len) => {
                let chunk = self.coming.split_to(self.coming.len().min(*len));
                self.link.handle_bytes(*now, chunk);
            }
            Op::Garbage(now, bytes) => {
                self.spoiled = true;
                self.link.handle_bytes(*now, bytes.clone().into());
            }
            Op::Eof(now) => self.link.handle_eof(*now),
            Op::Failure(now) => self.link.handle_failure(*now, Fault::Reset),
            Op::Close(now) => self.link.close(*now),
            Op::Timeout(now) => self.link.handle_timeout(*now),
            Op::PollEvent => drop(self.poll_event()),
            Op::PollTransmit => drop(self.poll_transmit()),
            Op::Settle(now) => self.settle(*now, latest),
        }
        assert!(self.link.queued() <= self.config.max_queued.max(self.config.max_frame + 4));
    }

    fn send(&mut self, len: usize) {
        let (open, queued) = (self.link.is_open(), self.link.queued());
        let result = self.link.send("event", vec![7; len]);
        self.sent(len, open, queued, result);
    }

    fn send_encoded(&mut self, now: Instant, len: usize, taken: usize) {
        let (open, queued) = (self.link.is_open(), self.link.queued());
        let event = Encoded::new("event", vec![7; len]).unwrap();
        let result = self.link.send_encoded(now, &event);
        self.sent(len, open, queued, result.map(drop));
        if result == Ok(true) {
            assert_eq!((queued, self.link.queued()), (0, event.len()), "it is alone, and being written");
            let taken = taken.min(event.len());
            self.written.extend_from_slice(&event.bytes()[..taken]);
            self.kept = event.rest(taken);
            assert!(self.accepted.starts_with(&self.written), "whole frames in order");
            if self.kept.is_empty() {
                self.link.handle_written();
            }
        }
    }

    /// The link, which was open or not and had so much queued, has said this to an event.
    fn sent(&mut self, len: usize, open: bool, queued: usize, result: Result<(), SendError>) {
        match result {
            Ok(()) => {
                let body = Packet::new().string("event").bytes(&vec![7; len]).freeze();
                assert!(queued == 0 || queued + 4 + body.len() <= self.config.max_queued);
                self.accepted.extend_from_slice(&Packet::new().string(body).freeze());
            }
            Err(SendError::Full) => self.refused = true,
            Err(SendError::TooLong { len, max }) => {
                assert!(len > max && max == self.config.max_frame.min(SHARED - 4));
            }
            Err(error) => assert!(error == SendError::Closed && !open),
        }
    }

    fn poll_event(&mut self) -> bool {
        let Some(event) = self.link.poll_event() else { return false };
        assert_eq!(self.closed, None, "nothing follows the end: {event:?}");
        match &event {
            LinkEvent::Received(message) if !self.spoiled => {
                let number = u8::try_from(self.received).unwrap();
                assert!(message.is("event"));
                assert_eq!(message.payload(), vec![number; usize::from(number % 40)], "in order, none lost");
                self.received += 1;
            }
            LinkEvent::Writable => {
                assert!(self.refused, "only after a refusal");
                self.refused = false;
            }
            LinkEvent::Closed(reason) => self.closed = Some(*reason),
            _ => {}
        }
        self.log.push(event);
        true
    }

    fn poll_transmit(&mut self) -> bool {
        let kept = mem::take(&mut self.kept);
        kept.slices().for_each(|slice| self.written.extend_from_slice(slice));
        match self.link.poll_transmit() {
            None => return false,
            Some(Write::Finish) => {
                assert!(!self.finished, "finish comes once");
                self.finished = true;
                assert_eq!(self.written, self.accepted, "all was written before");
            }
            Some(Write::Bytes(bytes)) => {
                assert!(!self.finished && self.closed.is_none());
                assert!(!bytes.is_empty());
                self.written.extend_from_slice(&bytes);
                assert!(self.accepted.starts_with(&self.written), "whole frames in order");
            }
        }
        true
    }

    fn drain(&mut self) {
        // To ask for a write and to get none may make room, which is an event.
        while self.poll_transmit() | self.poll_event() {}
    }

    fn settle(&mut self, now: Instant, latest: Instant) {
        self.link.handle_timeout(now);
        self.drain();
        let interest = self.link.interest();
        assert!(interest.deadline.is_none_or(|at| at > latest), "{interest:?} is not after {latest:?}");
        assert!(!interest.write, "nothing is left to write");
        if self.closed.is_some() {
            assert!(self.link.is_ended() && !interest.read && interest.deadline.is_none());
            assert_eq!(self.link.queued(), 0);
        } else {
            assert!(!self.link.is_ended());
            assert_eq!(self.written, self.accepted, "all is written");
            assert_eq!(self.link.queued(), 0, "and its memory given back");
        }
        assert!(!self.poll_event() && !self.poll_transmit(), "a second drain yields nothing");
        assert_eq!(interest, self.link.interest());
    }
}

fn run(config: &LinkConfig, ops: &[(usize, Op)]) -> Vec<(Vec<LinkEvent>, Vec<u8>)> {
    let budget = Budget::new(SHARED);
    let mut ends = [End::new(config, budget.clone()), End::new(config, budget.clone())];
    let mut latest = Instant::ZERO;
    for (which, op) in ops {
        if let Op::Bytes(now, _)
        | Op::Garbage(now, _)
        | Op::Eof(now)
        | Op::Failure(now)
        | Op::Close(now)
        | Op::Timeout(now)
        | Op::Settle(now) = op
        {
            latest = latest.max(*now);
        }
        // Each is told the latest time only when it is its turn, so its own latest is not this one.
        if matches!(op, Op::Settle(_)) {
            ends[*which].link.handle_timeout(latest);
        }
        ends[*which].act(op, latest);
        assert!(budget.used() <= SHARED);
        assert_eq!(budget.used(), ends.iter().map(|end| end.link.queued()).sum::<usize>());
    }
    for end in &mut ends {
        end.settle(latest, latest);
        if has_a_future(latest) {
            end.link.close(latest);
            let over = latest + config.close_timeout;
            end.settle(over, over);
            assert!(end.closed.is_some(), "a link that is closed ends in time");
        }
    }
    ends.map(|end| (end.log, end.written)).into()
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn any_inputs_break_no_invariant_and_the_same_inputs_give_the_same_outputs(
        config in settings(), ops in prop_oneof![2 => ops(&calm()), 1 => ops(&wild())]
    ) {
        prop_assert_eq!(run(&config, &ops), run(&config, &ops));
    }

    #[test]
    fn a_refused_sender_is_told_when_there_is_room(config in settings(), lens in vec(0..150usize, 1..20)) {
        let budget = Budget::new(SHARED);
        let mut config = config;
        (config.idle_timeout, config.frame_timeout) = (None, None);
        let mut ends = [End::new(&config, budget.clone()), End::new(&config, budget)];
        for len in lens {
            ends[0].send(len);
            ends[1].send(len);
        }
        ends[1].drain();
        let deadline = ends[1].link.interest().deadline;
        ends[0].drain();
        // What the second misses the first has given back. Nothing tells the second: it has to look again by itself.
        if ends[1].refused {
            prop_assert!(deadline.is_some());
            ends[1].link.handle_timeout(deadline.unwrap());
            ends[1].drain();
        }
        prop_assert!(!ends[0].refused && !ends[1].refused);
    }

    #[test]
    fn a_link_asks_to_read_until_its_bound_and_again_when_it_is_polled(
        config in settings(), sizes in vec(1..100usize, 1..30)
    ) {
        let mut config = config;
        (config.idle_timeout, config.frame_timeout) = (None, None);
        let mut end = End::new(&config, Budget::new(SHARED));
        let mut held = 0;
        for size in sizes {
            prop_assert_eq!(end.link.interest().read, held < config.max_received.max(1));
            let chunk = end.coming.split_to(size);
            held += chunk.len();
            end.link.handle_bytes(Instant::ZERO, chunk);
        }
        while end.poll_event() {}
        prop_assert!(end.link.interest().read);
    }
}
