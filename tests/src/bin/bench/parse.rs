//! What frames cost in memory, against the shortest code that is right.

use std::hint::black_box;

use bytes::Bytes;
use poolmesh_proto::wire::FrameReader;
use poolmesh_proto::{Chunks, Instant, Link, LinkConfig, LinkEvents, WriteKind};

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
            (format!("{len} frame in, looked at"), vec!["frames", "link"], incoming(shape, step)),
            (format!("{len} frame in, kept"), vec!["frames"], kept(shape, step)),
            (format!("{len} frame out"), vec!["link", "batch"], outgoing(shape)),
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

/// Who takes in a chunk, and says how many frames it held.
type Reading = Box<dyn FnMut(&Bytes) -> u64>;

/// Who parses the same 64 KiB again and again, and only looks at names and payloads.
fn incoming(shape: Shape, step: u64) -> Vec<Subject<'static>> {
    let mut reader = FrameReader::new(1 << 24);
    let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    over(
        shape,
        step,
        vec![
            (YARDSTICK, Box::new(by_hand)),
            ("frames", Box::new(move |chunk| with_reader(&mut reader, chunk))),
            ("link", Box::new(move |chunk| with_link(&mut link, chunk))),
        ],
    )
}

/// The same, with payloads that could be kept: they outlive the chunk. They stay where they are made: one that is moved right
/// after is loaded by wider loads than it was stored by, which wait for the stores, longer than all the rest takes.
fn kept(shape: Shape, step: u64) -> Vec<Subject<'static>> {
    let mut reader = FrameReader::new(1 << 24);
    over(
        shape,
        step,
        vec![
            (YARDSTICK, Box::new(sliced_by_hand)),
            ("frames", Box::new(move |chunk| payloads_with_reader(&mut reader, chunk))),
        ],
    )
}

fn over(shape: Shape, step: u64, readings: Vec<(&'static str, Reading)>) -> Vec<Subject<'static>> {
    let chunk = Bytes::from(shape.frame().repeat(WRITE / shape.frame_len()));
    let subject = |(name, mut read): (_, Reading)| {
        let chunk = chunk.clone();
        Subject::new(name, move |frames| {
            Round::of_this_thread(frames, || {
                let seen: u64 = (0..frames / step).map(|_| read(&chunk)).sum();
                if seen == frames { Ok(()) } else { Err(format!("{seen} of {frames} frames").into()) }
            })
        })
    };
    readings.into_iter().map(subject).collect()
}

fn by_hand(chunk: &Bytes) -> u64 {
    let mut frames = 0;
    parse(black_box(chunk), |name, payload| {
        black_box((name, payload));
        frames += 1;
    });
    frames
}

fn sliced_by_hand(chunk: &Bytes) -> u64 {
    let mut frames = 0;
    parse(black_box(chunk), |_, payload| {
        black_box(&chunk.slice_ref(payload));
        frames += 1;
    });
    frames
}

fn with_reader(reader: &mut FrameReader, chunk: &Bytes) -> u64 {
    let mut count = 0;
    reader.push(chunk.clone());
    while let Ok(Some(frames)) = reader.next_frames() {
        for message in &frames {
            black_box((message.name(), message.payload()));
            count += 1;
        }
    }
    count
}

fn payloads_with_reader(reader: &mut FrameReader, chunk: &Bytes) -> u64 {
    let mut count = 0;
    reader.push(chunk.clone());
    while let Ok(Some(frames)) = reader.next_frames() {
        for message in &frames {
            black_box(&message.to_payload());
            count += 1;
        }
    }
    count
}

fn with_link(link: &mut Link, chunk: &Bytes) -> u64 {
    let mut count = 0;
    link.handle_bytes(Instant::ZERO, chunk.clone());
    while let Some(LinkEvents::Received(frames)) = link.poll_events() {
        for message in &frames {
            black_box((message.name(), message.payload()));
            count += 1;
        }
    }
    count
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
    let (mut link, mut chunks) = (Link::new(LinkConfig::default(), Instant::ZERO), Chunks::default());
    let payload = shape.payload();
    let one_by_one = move |frames| {
        Round::of_this_thread(frames, || {
            for _ in 0..frames {
                link.send(NAME, black_box(&payload))?;
                if link.queued() >= WRITE {
                    written(&mut link, &mut chunks);
                }
            }
            written(&mut link, &mut chunks);
            Ok(())
        })
    };
    let (mut link, mut chunks) = (Link::new(LinkConfig::default(), Instant::ZERO), Chunks::default());
    let mut batch = link.batch();
    let payload = shape.payload();
    let in_batches = move |frames| {
        Round::of_this_thread(frames, || {
            for _ in 0..frames {
                while !batch.push(NAME, black_box(&payload))? {
                    link.send_batch(&mut batch)?;
                    written(&mut link, &mut chunks);
                }
            }
            link.send_batch(&mut batch)?;
            written(&mut link, &mut chunks);
            Ok(())
        })
    };
    vec![
        Subject::new(YARDSTICK, by_hand),
        Subject::new("link", one_by_one),
        Subject::new("batch", in_batches),
    ]
}

/// Does what a driver does, but for writing.
fn written(link: &mut Link, chunks: &mut Chunks) {
    while let Some(WriteKind::Chunks) = link.poll_chunks(chunks) {
        black_box(chunks.slices().map(<[u8]>::len).sum::<usize>());
    }
}
