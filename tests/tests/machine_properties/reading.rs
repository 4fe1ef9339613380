//! However bytes are handed to a link, and events taken from it, the link does the same.

use core::time::Duration;

use bytes::{Bytes, BytesMut};
use poolmesh_proto::{
    Chunks, Fault, Instant, Link, LinkConfig, LinkEvent, LinkEvents, Message, SendError, Write, WriteKind,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{calm, config};

#[derive(Clone, Debug)]
enum Op {
    /// The next so many bytes of what the peer sends.
    Read(Instant, usize),
    Timeout(Instant),
    Eof(Instant),
    Failure(Instant),
    Close(Instant),
    /// So many events with so many bytes of payload each.
    Send(usize, usize),
    Write,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        16 => (calm(), prop_oneof![4 => 1..60usize, 1 => 60..70_000usize]).prop_map(|(now, len)| Op::Read(now, len)),
        3 => calm().prop_map(Op::Timeout),
        6 => (1..40usize, prop_oneof![8 => 0..200usize, 1 => 15_000..40_000usize]).prop_map(|(count, len)| Op::Send(count, len)),
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

fn settings() -> impl Strategy<Value = LinkConfig> {
    let time = || prop_oneof![2 => Just(None), 1 => (0..3_000u64).prop_map(|millis| Some(Duration::from_millis(millis)))];
    let pack = prop_oneof![Just(1), 1..5_000usize, Just(65_536)];
    (time(), time(), pack, prop_oneof![Just(50), Just(100_000)]).prop_map(|(idle, slow, pack, longest)| {
        let mut config = LinkConfig::default();
        (config.idle_timeout, config.frame_timeout) = (idle, slow);
        (config.pack, config.max_frame) = (pack, longest);
        config
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
}

/// A link that reads in place, hands out what came together, takes batches and writes vectored.
struct Together {
    link: Link,
    buffer: BytesMut,
    chunks: Chunks,
}

impl Plain {
    fn events(&mut self) -> Vec<Seen> {
        let event = |event| match event {
            LinkEvent::Received(message) => Seen::Received(message),
            other => Seen::Other(other),
        };
        core::iter::from_fn(|| self.link.poll_event().map(event)).collect()
    }

    fn written(&mut self) -> (Vec<u8>, bool) {
        let (mut bytes, mut finished) = (vec![], false);
        while let Some(write) = self.link.poll_transmit() {
            match write {
                Write::Bytes(chunk) => bytes.extend_from_slice(&chunk),
                Write::Finish => finished = true,
            }
        }
        (bytes, finished)
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

    fn send(&mut self, count: usize, payload: &Bytes) -> Result<(), SendError> {
        let mut batch = self.link.batch();
        for _ in 0..count {
            while !batch.push("event", payload)? {
                self.link.send_batch(&mut batch)?;
            }
        }
        self.link.send_batch(&mut batch)
    }

    fn written(&mut self) -> (Vec<u8>, bool) {
        let (mut bytes, mut finished) = (vec![], false);
        while let Some(write) = self.link.poll_chunks(&mut self.chunks) {
            self.chunks.slices().for_each(|slice| bytes.extend_from_slice(slice));
            finished |= write == WriteKind::Finish;
        }
        (bytes, finished)
    }
}

fn both(plain: &mut Plain, other: &mut Together, act: impl Fn(&mut Link)) {
    act(&mut plain.link);
    act(&mut other.link);
}

fn run(config: &LinkConfig, mut stream: &[u8], ops: &[Op]) {
    let link = || Link::new(config.clone(), Instant::ZERO);
    let mut plain = Plain { link: link() };
    let mut other = Together { link: link(), buffer: BytesMut::new(), chunks: Chunks::default() };
    for op in ops {
        let mut seen = vec![];
        match op {
            Op::Read(now, len) => {
                let (piece, rest) = stream.split_at(stream.len().min(*len));
                stream = rest;
                if !piece.is_empty() {
                    plain.link.handle_bytes(*now, Bytes::copy_from_slice(piece));
                    seen = other.read(*now, piece);
                }
            }
            Op::Timeout(now) => both(&mut plain, &mut other, |link| link.handle_timeout(*now)),
            Op::Eof(now) => both(&mut plain, &mut other, |link| link.handle_eof(*now)),
            Op::Failure(now) => both(&mut plain, &mut other, |link| link.handle_failure(*now, Fault::Reset)),
            Op::Close(now) => both(&mut plain, &mut other, |link| link.close(*now)),
            Op::Send(count, len) => {
                let payload = Bytes::from(vec![7; *len]);
                let one_by_one = (0..*count).try_for_each(|_| plain.link.send("event", &payload));
                let together = other.send(*count, &payload);
                // A batch is taken whole or not at all: only where there is room for all they take the same.
                let full = |result| matches!(result, Err(SendError::Full));
                if full(one_by_one) || full(together) {
                    return;
                }
                assert_eq!(one_by_one.is_ok(), together.is_ok(), "{one_by_one:?}, {together:?}");
            }
            Op::Write => {
                assert_eq!(plain.written(), other.written());
            }
        }
        seen.extend(other.events());
        assert_eq!(plain.events(), seen, "{op:?}");
        assert_eq!(plain.link.stats(), other.link.stats(), "{op:?}");
        assert_eq!(plain.link.interest(), other.link.interest(), "{op:?}");
        assert_eq!(plain.link.queued(), other.link.queued(), "{op:?}");
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
