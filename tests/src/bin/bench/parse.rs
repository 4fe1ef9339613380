//! What frames cost in memory, against the shortest code that is right.

use std::hint::black_box;

use bytes::Bytes;
use poolmesh_proto::wire::{Frame, FrameReader};
use poolmesh_proto::{Instant, Link, LinkConfig, LinkEvent, Write};

use crate::Fallible;
use crate::cli::Options;
use crate::clock;
use crate::contest::{Measure, Round, Subject};
use crate::table::{Cores, Row};
use crate::yardstick::frames::{NAME, Shape, WRITE, parse, put};

/// By hand.
const YARDSTICK: &str = "by hand";

const SHAPES: [(&str, Shape); 2] = [("32 B", Shape::Small), ("1 KiB", Shape::Kilo)];

/// Measures all that was asked for.
pub(crate) fn run(options: &Options) -> Fallible<Vec<Row>> {
    clock::pin(&clock::cores()?.into_iter().take(1).collect::<Vec<_>>())?;
    let mut rows = Vec::new();
    for (len, shape) in SHAPES {
        let step = (WRITE / shape.frame_len()) as u64;
        let contests = [
            (format!("{len} frame in"), vec!["reader", "link"], incoming(shape, step)),
            (format!("{len} frame out"), vec!["link"], outgoing(shape)),
        ];
        for (what, ours, subjects) in contests {
            if options.wants(&what) {
                let outcome = options.plan().hold(what, Cores::One, step, subjects)?;
                rows.extend(ours.into_iter().filter_map(|ours| outcome.row(Measure::Cpu, ours, YARDSTICK)));
            }
        }
    }
    Ok(rows)
}

/// Who parses the same 64 KiB again and again, and only looks at names and payloads.
fn incoming(shape: Shape, step: u64) -> Vec<Subject<'static>> {
    let chunk = Bytes::from(shape.frame().repeat(WRITE / shape.frame_len()));
    let over = move |mut read: Box<dyn FnMut(&Bytes) -> u64>| {
        let chunk = chunk.clone();
        move |frames| {
            Round::of_this_thread(frames, || {
                let seen: u64 = (0..frames / step).map(|_| read(&chunk)).sum();
                if seen == frames { Ok(()) } else { Err(format!("{seen} of {frames} frames").into()) }
            })
        }
    };
    let mut reader = FrameReader::new(1 << 24);
    let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    vec![
        Subject::new(YARDSTICK, over(Box::new(by_hand))),
        Subject::new("reader", over(Box::new(move |chunk| with_reader(&mut reader, chunk)))),
        Subject::new("link", over(Box::new(move |chunk| with_link(&mut link, chunk)))),
    ]
}

fn by_hand(chunk: &Bytes) -> u64 {
    let mut frames = 0;
    parse(black_box(chunk), |name, payload| {
        black_box((name, payload));
        frames += 1;
    });
    frames
}

fn with_reader(reader: &mut FrameReader, chunk: &Bytes) -> u64 {
    let mut frames = 0;
    reader.push(chunk.clone());
    while let Ok(Some(Frame::Message(message))) = reader.next_frame() {
        black_box((message.name(), message.payload()));
        frames += 1;
    }
    frames
}

fn with_link(link: &mut Link, chunk: &Bytes) -> u64 {
    let mut frames = 0;
    link.handle_bytes(Instant::ZERO, chunk.clone());
    while let Some(LinkEvent::Received(message)) = link.poll_event() {
        black_box((message.name(), message.payload()));
        frames += 1;
    }
    frames
}

/// Who packs frames into writes of 64 KiB.
fn outgoing(shape: Shape) -> Vec<Subject<'static>> {
    let mut buffer = vec![0; WRITE / shape.frame_len() * shape.frame_len()];
    let payload = shape.payload();
    let by_hand = move |frames| {
        Round::of_this_thread(frames, || {
            let mut left = usize::try_from(frames)?;
            while left > 0 {
                for frame in buffer.chunks_exact_mut(shape.frame_len()).take(left) {
                    put(frame, black_box(&payload));
                    left -= 1;
                }
                black_box(&mut buffer);
            }
            Ok(())
        })
    };
    let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    let payload = Bytes::from(shape.payload());
    let with_link = move |frames| Round::of_this_thread(frames, || out_of(&mut link, frames, &payload));
    vec![Subject::new(YARDSTICK, by_hand), Subject::new("link", with_link)]
}

/// Sends, and writes as soon as there is as much as is packed into one write.
fn out_of(link: &mut Link, frames: u64, payload: &Bytes) -> Fallible<()> {
    for _ in 0..frames {
        link.send(NAME, payload.clone())?;
        if link.queued() >= WRITE {
            while let Some(Write::Bytes(bytes)) = link.poll_transmit() {
                black_box(bytes);
            }
        }
    }
    Ok(())
}
