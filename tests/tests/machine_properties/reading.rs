//! However bytes and events are handed to a link, and taken from it, the link does the same.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use poolmesh_proto::{
    Batch, Budget, Chunks, Encoded, Fault, Instant, Link, LinkConfig, LinkEvent, LinkEvents, Message,
    SendError, Turn, Write, WriteKind,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{calm, config};

/// Events that follow each other sooner than this are a stream.
const STREAM: Duration = Duration::from_micros(50);

#[derive(Clone, Debug)]
enum Op {
    /// The next so many bytes of what the peer sends.
    Read(Instant, usize),
    Timeout(Instant),
    Eof(Instant),
    Failure(Instant),
    Close(Instant),
    /// Events with so many bytes of payload.
    Send(Vec<usize>),
    /// One event, encoded for many links or not, with so many bytes of payload, and how many bytes of its frame the
    /// connection takes at once.
    SendOne(When, usize, usize),
    Write,
}

/// Times of which many follow each other closely.
#[derive(Clone, Copy, Debug)]
enum When {
    At(Instant),
    /// So many microseconds after the event before.
    After(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let when = prop_oneof![calm().prop_map(When::At), (0..120u64).prop_map(When::After)];
    let len = prop_oneof![16 => 0..200usize, 1 => 16_300..16_400usize];
    let taken = prop_oneof![2 => Just(usize::MAX), 1 => Just(0), 2 => 0..60usize];
    let op = prop_oneof![
        16 => (calm(), prop_oneof![4 => 1..60usize, 1 => 60..70_000usize]).prop_map(|(now, len)| Op::Read(now, len)),
        3 => calm().prop_map(Op::Timeout),
        6 => vec(prop_oneof![8 => 0..200usize, 1 => 15_000..40_000usize], 1..40).prop_map(Op::Send),
        9 => (when, len, taken).prop_map(|(when, len, taken)| Op::SendOne(when, len, taken)),
        6 => Just(Op::Write),
    ];
    let last = prop_oneof![
        1 => calm().prop_map(Op::Eof),
        1 => calm().prop_map(Op::Failure),
        1 => calm().prop_map(Op::Close),
    ];
    let ends = vec((any::<prop::sample::Index>(), last), 0..2);
    (vec(op, 0..80), ends).prop_map(|(mut ops, ends)| {
        for (at, end) in ends {
            ops.insert(at.index(ops.len() + 1), end);
        }
        ops
    })
}

/// What a peer sends: frames of all lengths, some without an event, perhaps one that is too long.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        20 => (0..9usize, prop_oneof![9 => 0..90usize, 1 => 90..30_000usize]).prop_map(|(name, payload)| {
            let (body, name_len) = ((4 + name + payload) as u32, name as u32);
            [&body.to_le_bytes()[..], &name_len.to_le_bytes(), &vec![b'e'; name], &vec![7; payload]].concat()
        }),
        2 => Just(vec![0; 4]),
        2 => Just(vec![5, 0, 0, 0, 9, 0, 0, 0, 1]),
    ];
    let too_long = prop_oneof![6 => Just(vec![]), 1 => Just(vec![0xff; 6])];
    (vec(frame, 0..120), too_long, vec(any::<u8>(), 0..3))
        .prop_map(|(frames, too_long, rest)| [frames.concat(), too_long, rest].concat())
}

/// The config, and how much memory there is for what is queued, in bytes.
fn settings() -> impl Strategy<Value = (LinkConfig, usize)> {
    let time = || prop_oneof![2 => Just(None), 1 => (0..3_000u64).prop_map(|millis| Some(Duration::from_millis(millis)))];
    let pack = prop_oneof![Just(1), 1..5_000usize, Just(65_536)];
    let bound = || prop_oneof![3 => Just(1 << 20), 1 => 0..600usize];
    let sizes = (pack, prop_oneof![Just(50), Just(100_000)], bound(), bound());
    (time(), time(), sizes).prop_map(|(idle, slow, (pack, longest, max_queued, shared))| {
        let mut config = LinkConfig::default();
        (config.idle_timeout, config.frame_timeout) = (idle, slow);
        (config.pack, config.max_frame, config.max_queued) = (pack, longest, max_queued);
        (config, shared)
    })
}

/// An event of a link, as it may be compared.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Received(Message),
    Other(LinkEvent),
}

/// A link that is handed chunks and asked for one thing at a time.
struct Plain {
    link: Link,
    budget: Budget,
    /// All that was written.
    out: Vec<u8>,
}

/// A link that reads in place, hands out what came together, takes batches and encoded events, and writes vectored.
struct Together {
    link: Link,
    budget: Budget,
    buffer: BytesMut,
    chunks: Chunks,
    /// What the connection didn't take of an event that never was queued: to be written first.
    kept: Chunks,
    out: Vec<u8>,
}

impl Plain {
    fn events(&mut self) -> Vec<Seen> {
        let event = |event| match event {
            LinkEvent::Received(message) => Seen::Received(message),
            other => Seen::Other(other),
        };
        core::iter::from_fn(|| self.link.poll_event().map(event)).collect()
    }

    /// Writes all there is, and says whether the writing half is to be closed.
    fn write(&mut self) -> bool {
        let mut finished = false;
        while let Some(write) = self.link.poll_transmit() {
            match write {
                Write::Bytes(chunk) => self.out.extend_from_slice(&chunk),
                Write::Finish => finished = true,
            }
        }
        finished
    }

    /// Sends an event, and has its sender write it if it is his turn. Says whether it was.
    fn send_one(&mut self, now: Instant, payload: &[u8], wholly: bool) -> (Result<(), SendError>, Turn) {
        let result = self.link.send("event", payload);
        let turn = self.link.turn(|| now);
        if let (Ok(()), Turn::Sender) = (result, turn) {
            let Some(Write::Bytes(frame)) = self.link.poll_transmit() else { panic!("nothing to write") };
            self.out.extend_from_slice(&frame);
            if wholly {
                assert_eq!(self.link.poll_transmit(), None, "it was alone");
            }
        }
        (result, turn)
    }
}

impl Together {
    fn read(&mut self, now: Instant, mut bytes: &[u8]) -> Vec<Seen> {
        let mut seen = vec![];
        while !bytes.is_empty() {
            self.link.make_room(&mut self.buffer);
            let room = self.buffer.capacity() - self.buffer.len();
            assert!(room > 0);
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(piece);
            self.link.handle_read(now, &mut self.buffer);
            seen.extend(self.events());
            bytes = rest;
        }
        seen
    }

    fn events(&mut self) -> Vec<Seen> {
        let mut seen = vec![];
        while let Some(events) = self.link.poll_events() {
            match events {
                LinkEvents::Received(frames) => {
                    seen.extend(frames.iter().map(|event| Seen::Received(event.to_message())));
                }
                LinkEvents::Writable => seen.push(Seen::Other(LinkEvent::Writable)),
                LinkEvents::Closed(reason) => seen.push(Seen::Other(LinkEvent::Closed(reason))),
                other => panic!("{other:?} is not known here"),
            }
        }
        seen
    }

    fn send(&mut self, payloads: &[Bytes]) -> Result<(), SendError> {
        let mut batch = self.link.batch();
        for payload in payloads {
            loop {
                match batch.push("event", payload) {
                    Ok(true) => break,
                    Ok(false) => self.send_batch(&mut batch)?,
                    // What came before it goes out, as it does one by one.
                    Err(error) => return self.send_batch(&mut batch).and(Err(error)),
                }
            }
        }
        self.send_batch(&mut batch)
    }

    fn send_batch(&mut self, batch: &mut Batch) -> Result<(), SendError> {
        let (idle, events) = (self.link.queued() == 0, batch.events());
        assert_eq!(self.link.wants_batch(self.link.sent_until()), idle || !self.link.is_open());
        let result = self.link.send_batch(batch);
        let expected = match result {
            Ok(()) if idle && events > 0 => Turn::Sender,
            // Why can't matter to the writer, but there may be another deadline.
            Err(_) if idle => Turn::Writer,
            _ => Turn::Nobody,
        };
        let turn = self.link.turn(|| panic!("a batch needs no clock"));
        assert_eq!((turn, self.link.turn(|| panic!("nor does who asks again"))), (expected, Turn::Nobody));
        result
    }

    /// Sends an event that was encoded, if it can be, and writes `taken` bytes of it at once if it was not queued.
    fn send_one(&mut self, now: Instant, payload: &[u8], taken: usize) -> (Result<(), SendError>, Turn) {
        let Some(event) = Encoded::new("event", payload) else {
            let sent = (self.link.send("event", payload), self.link.turn(|| now));
            if let (Ok(()), Turn::Sender) = sent {
                assert_eq!(self.link.poll_chunks(&mut self.kept), Some(WriteKind::Chunks));
                let taken = taken.min(self.kept.len());
                let slices = self.kept.slices().flatten();
                self.out.extend(slices.take(taken));
                self.kept.advance(taken);
                if self.kept.is_empty() {
                    self.link.handle_written();
                }
            }
            return sent;
        };
        let result = self.link.send_encoded(now, &event);
        if result == Ok(true) {
            let taken = taken.min(event.len());
            self.out.extend_from_slice(&event.bytes()[..taken]);
            self.kept = event.rest(taken);
            if self.kept.is_empty() {
                self.link.handle_written();
            }
            return (Ok(()), Turn::Sender);
        }
        (result.map(drop), self.link.turn(|| now))
    }

    /// All there is, and what was kept before it.
    fn write(&mut self) -> bool {
        let mut finished = false;
        self.kept.slices().for_each(|slice| self.out.extend_from_slice(slice));
        self.kept = Chunks::default();
        while let Some(write) = self.link.poll_chunks(&mut self.chunks) {
            let before = self.out.len();
            self.chunks.slices().for_each(|slice| self.out.extend_from_slice(slice));
            assert!(are_whole(&self.out[before..]), "a write ends with a frame");
            finished |= write == WriteKind::Finish;
        }
        finished
    }
}

/// Where two streams differ, if they do.
fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    at.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
}

fn are_whole(mut frames: &[u8]) -> bool {
    while let Some((len, rest)) = frames.split_first_chunk() {
        let Some(rest) = rest.get(u32::from_le_bytes(*len) as usize..) else { return false };
        frames = rest;
    }
    frames.is_empty()
}

fn both(plain: &mut Plain, other: &mut Together, act: impl Fn(&mut Link)) {
    act(&mut plain.link);
    act(&mut other.link);
}

/// When an event that finds nothing else waiting goes past the queue.
#[derive(Default)]
struct Urgent {
    before: Option<Instant>,
    now: Instant,
}

impl Urgent {
    fn time(&mut self, when: When) -> Instant {
        self.now = match when {
            When::At(now) => now,
            When::After(micros) => self.now + Duration::from_micros(micros),
        };
        self.now
    }

    fn is_next(&mut self) -> bool {
        let next = self.before.is_none_or(|before| before + STREAM <= self.now);
        if next {
            self.before = Some(self.now);
        }
        next
    }
}

fn run((config, shared): &(LinkConfig, usize), mut stream: &[u8], ops: &[Op]) {
    let link = || {
        let budget = Budget::new(*shared);
        (Link::with_budget(config.clone(), Instant::ZERO, budget.clone()), budget)
    };
    let (one, another) = (link(), link());
    let mut plain = Plain { link: one.0, budget: one.1, out: vec![] };
    let (buffer, chunks, kept) = Default::default();
    let mut other = Together { link: another.0, budget: another.1, buffer, chunks, kept, out: vec![] };
    let mut urgent = Urgent::default();
    for op in ops {
        let mut seen = vec![];
        match op {
            Op::Read(now, len) => {
                let (piece, rest) = stream.split_at(stream.len().min(*len));
                stream = rest;
                if !piece.is_empty() {
                    plain.link.handle_bytes(*now, Bytes::copy_from_slice(piece));
                    seen = other.read(*now, piece);
                    urgent.before = None;
                }
            }
            Op::Timeout(now) => both(&mut plain, &mut other, |link| link.handle_timeout(*now)),
            Op::Eof(now) => both(&mut plain, &mut other, |link| link.handle_eof(*now)),
            Op::Failure(now) => both(&mut plain, &mut other, |link| link.handle_failure(*now, Fault::Reset)),
            Op::Close(now) => both(&mut plain, &mut other, |link| link.close(*now)),
            Op::Send(lens) => {
                let payloads: Vec<_> = lens.iter().map(|len| Bytes::from(vec![7; *len])).collect();
                let one_by_one = payloads.iter().try_for_each(|payload| plain.link.send("event", payload));
                let together = other.send(&payloads);
                // A batch is taken whole or not at all: only where there is room for all they take the same.
                let full = |result| matches!(result, Err(SendError::Full));
                if payloads.len() > 1 && (full(one_by_one) || full(together)) {
                    return;
                }
                assert_eq!(one_by_one.is_ok(), together.is_ok(), "{one_by_one:?}, {together:?}");
            }
            Op::SendOne(when, len, taken) => {
                let (now, payload, idle) = (urgent.time(*when), vec![7; *len], plain.link.queued() == 0);
                let (result, turn) = other.send_one(now, &payload, *taken);
                assert_eq!(plain.send_one(now, &payload, other.kept.is_empty()), (result, turn), "{op:?}");
                let expected = match result {
                    Ok(()) if idle && urgent.is_next() => Turn::Sender,
                    _ if idle => Turn::Writer,
                    _ => Turn::Nobody,
                };
                assert_eq!(turn, expected, "{op:?}");
            }
            Op::Write => {
                assert_eq!(plain.write(), other.write());
                assert_eq!(first_difference(&plain.out, &other.out), None);
            }
        }
        seen.extend(other.events());
        assert_eq!(plain.events(), seen, "{op:?}");
        assert_eq!(plain.link.stats(), other.link.stats(), "{op:?}");
        assert_eq!(plain.link.interest(), other.link.interest(), "{op:?}");
        assert_eq!(plain.link.queued(), other.link.queued(), "{op:?}");
        assert_eq!([plain.budget.used(), other.budget.used()], [plain.link.queued(); 2], "{op:?}");
        assert_eq!(plain.link.is_ended(), other.link.is_ended(), "{op:?}");
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn either_way_it_does_the_same((config, stream, ops) in (settings(), streams(), ops())) {
        run(&config, &stream, &ops);
    }
}
