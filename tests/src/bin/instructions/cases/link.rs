//! Events into a link and out of it.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use poolmesh_proto::{Chunks, Instant, Link, LinkConfig, LinkEvent, LinkEvents, Write, WriteKind};

use super::wire::stream;
use super::{NAME, TIMES};
use crate::counter::count;

const ZERO: Instant = Instant::ZERO;

fn link() -> Link {
    Link::new(LinkConfig::default(), ZERO)
}

pub(super) fn all() {
    for (name, len, events) in [("32 bytes", 21, TIMES), ("1 KiB", 1_013, 500), ("64 KiB", 65_536, 10)] {
        let mut link = link();
        let payload = Bytes::from(vec![7; len]);
        count(&format!("link, send and write, {name}"), events, || {
            for _ in 0..events {
                link.send(NAME, &payload).expect("there is room");
            }
            while let Some(Write::Bytes(bytes)) = link.poll_transmit() {
                black_box(bytes);
            }
        });
    }
    sent_one_by_one();
    batches();
    received();
    let mut link = link();
    count("link, timeout with nothing due", TIMES, || {
        for _ in 0..TIMES {
            link.handle_timeout(black_box(ZERO));
            _ = black_box((link.poll_event(), link.poll_transmit(), link.interest()));
        }
    });
    count("link, made, closed and ended", TIMES, || {
        for _ in 0..TIMES {
            let mut link = self::link();
            link.close(ZERO);
            _ = black_box(link.poll_transmit());
            link.handle_eof(ZERO);
            assert!(black_box(link.poll_event()).is_some() && link.is_ended());
        }
    });
}

fn sent_one_by_one() {
    let mut link = link();
    count("link, send and write, 32 bytes, each alone", TIMES, || {
        for _ in 0..TIMES {
            link.send(NAME, &[7; 21]).expect("there is room");
            while let Some(Write::Bytes(bytes)) = link.poll_transmit() {
                black_box(bytes);
            }
        }
    });
}

fn batches() {
    let mut link = link();
    let mut batch = link.batch();
    let mut chunks = Chunks::default();
    count("link, batch and vectored write, 32 bytes", TIMES, || {
        for _ in 0..TIMES {
            let pushed = batch.push(NAME, &[7; 21]).expect("it is short");
            assert!(pushed, "there is room");
        }
        link.send_batch(&mut batch).expect("there is room");
        while let Some(WriteKind::Chunks) = link.poll_chunks(&mut chunks) {
            black_box(&chunks);
        }
    });
}

fn received() {
    let chunk = stream(TIMES);
    let mut one_by_one = link();
    count("link, receive, 32 bytes, one by one", TIMES, || {
        one_by_one.handle_bytes(ZERO, chunk.clone());
        while let Some(LinkEvent::Received(message)) = one_by_one.poll_event() {
            black_box((message.name(), message.payload()));
        }
    });
    let mut together = link();
    count("link, receive, 32 bytes, as they lie", TIMES, || {
        together.handle_bytes(ZERO, chunk.clone());
        look(&mut together);
    });
    let (mut in_place, mut buffer) = (link(), BytesMut::new());
    count("link, read in place, 32 bytes, as they lie", TIMES, || {
        let mut left = &chunk[..];
        while !left.is_empty() {
            in_place.make_room(&mut buffer);
            let room = buffer.capacity() - buffer.len();
            let (read, rest) = left.split_at(room.min(left.len()));
            buffer.extend_from_slice(read);
            left = rest;
            in_place.handle_read(ZERO, &mut buffer);
            look(&mut in_place);
        }
    });
    let mut cut = link();
    count("link, receive, 32 bytes, each in two pieces", TIMES, || {
        for at in (0..chunk.len()).step_by(32) {
            cut.handle_bytes(ZERO, chunk.slice(at..at + 20));
            look(&mut cut);
            cut.handle_bytes(ZERO, chunk.slice(at + 20..at + 32));
            look(&mut cut);
        }
    });
    for link in [one_by_one, together, in_place, cut] {
        assert_eq!(link.stats().received, 2 * u64::from(TIMES));
    }
}

#[inline(never)]
fn look(link: &mut Link) {
    while let Some(LinkEvents::Received(frames)) = link.poll_events() {
        for message in &frames {
            black_box((message.name(), message.payload()));
        }
    }
}
