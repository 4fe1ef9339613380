//! What peers send to each other: frames on a stream.

use core::iter;
use std::collections::BTreeSet;

use bytes::Bytes;
use poolmesh_proto::wire::{Frame, FrameReader, Message};
use poolmesh_proto::{CloseReason, Instant, Link, LinkConfig, LinkEvent, Packet, PacketReader, Write};
use poolmesh_testkit::model::frames::{self, Tail};
use serde_json::Value;

use crate::file::{Vector, alphabet, unhex};

/// The streams that no link of ours would write, and why.
const NEVER_WRITTEN: [(&str, &str); 4] = [
    ("same_packet_second_peer", "an empty frame: a gop2p packet that was sent before"),
    ("zero_length_frame", "an empty frame"),
    ("frame_event_len_too_big", "an event name longer than its frame"),
    ("frame_length_0xFFFFFFFF", "a frame over the limit"),
];

pub(crate) fn check(vectors: &[Vector]) -> BTreeSet<String> {
    let mut covered = BTreeSet::new();
    for vector in vectors.iter().filter(|vector| vector.direction == "peer->peer") {
        let expected = Expected::of(vector);
        let bytes = Bytes::from(vector.bytes.clone());
        for cuts in [&[][..], &vector.segments, &vec![1; bytes.len()]] {
            assert_frames(vector, &expected, &chunks(&bytes, cuts));
            assert_events(vector, &expected, &chunks(&bytes, cuts));
        }
        assert_cut_by_hand(vector, &expected);
        let messages = expected.messages();
        assert_received(vector, &messages);
        assert_payload(vector, &messages);
        let written = expected.frames.len() == messages.len() && expected.too_long.is_none();
        let listed = NEVER_WRITTEN.iter().any(|(name, _)| *name == vector.name);
        assert_ne!(written, listed, "{}", vector.name);
        if written {
            assert_eq!(write(&messages), vector.bytes, "{}", vector.name);
        }
        covered.insert(vector.name.clone());
    }
    covered
}

/// What a vector says of one frame.
enum Kind {
    Event { name: String, payload: Bytes },
    Empty,
    Malformed,
}

struct Expected {
    frames: Vec<Kind>,
    too_long: Option<u32>,
}

impl Expected {
    fn of(vector: &Vector) -> Self {
        let too_long = vector.number("frame_len").map(|len| u32::try_from(len).unwrap());
        let frames = match vector.meaning["frames"].as_array() {
            Some(frames) => frames.iter().map(|frame| kind(vector, frame)).collect(),
            None => Vec::new(),
        };
        assert!(too_long.is_some() == frames.is_empty(), "{} says something", vector.name);
        Self { frames, too_long }
    }

    fn messages(&self) -> Vec<(&str, &Bytes)> {
        self.frames
            .iter()
            .filter_map(|kind| match kind {
                Kind::Event { name, payload } => Some((name.as_str(), payload)),
                Kind::Empty | Kind::Malformed => None,
            })
            .collect()
    }
}

fn kind(vector: &Vector, frame: &Value) -> Kind {
    if frame["frame_len"] == 0 {
        return Kind::Empty;
    }
    // The file counts what is left of the frame behind its event's name.
    let payload_len = frame["payload_len"].as_i64().unwrap();
    let Ok(payload_len) = usize::try_from(payload_len) else { return Kind::Malformed };
    let name = frame["event"].as_str().unwrap().to_owned();
    let payload: Bytes = match frame["payload_hex"].as_str() {
        Some(hex) => unhex(hex).into(),
        None => vector.bytes[vector.bytes.len() - payload_len..].to_vec().into(),
    };
    assert_eq!(payload.len(), payload_len, "{}", vector.name);
    assert_eq!(frame["frame_len"], 4 + name.len() + payload_len, "{}", vector.name);
    Kind::Event { name, payload }
}

/// The bytes cut at these lengths; what is left is the last chunk.
fn chunks(bytes: &Bytes, cuts: &[usize]) -> Vec<Bytes> {
    let mut rest = bytes.clone();
    let mut chunks: Vec<Bytes> = cuts.iter().map(|len| rest.split_to(*len)).collect();
    chunks.push(rest);
    chunks
}

fn is(message: &Message, name: &str, payload: &[u8]) -> bool {
    message.is(name) && message.payload() == payload
}

fn assert_frames(vector: &Vector, expected: &Expected, chunks: &[Bytes]) {
    let mut reader = FrameReader::new(1 << 24);
    let mut frames = Vec::new();
    let mut error = None;
    for chunk in chunks {
        reader.push(chunk.clone());
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(too_long) => {
                    error = Some(too_long.len);
                    break;
                }
            }
        }
    }
    assert_eq!(error, expected.too_long, "{}", vector.name);
    assert_eq!(frames.len(), expected.frames.len(), "{}", vector.name);
    for (frame, kind) in iter::zip(&frames, &expected.frames) {
        let same = match (frame, kind) {
            (Frame::Message(message), Kind::Event { name, payload }) => is(message, name, payload),
            (Frame::Empty, Kind::Empty) | (Frame::Malformed, Kind::Malformed) => true,
            _ => false,
        };
        assert!(same, "{}: {frame:?}", vector.name);
    }
    if error.is_none() {
        assert_eq!((reader.waiting(), reader.unfinished()), (0, 0), "{}: nothing is left", vector.name);
    }
}

/// The model cuts the stream into the same frames.
fn assert_cut_by_hand(vector: &Vector, expected: &Expected) {
    let (pieces, tail) = frames::cut(&vector.bytes, 1 << 24);
    assert_eq!(tail, expected.too_long.map_or(Tail::Nothing, Tail::TooLong), "{}", vector.name);
    let kinds = expected.frames.iter().map(|kind| match kind {
        Kind::Event { name, payload } => frames::Frame::Event(name.as_bytes().to_vec(), payload.to_vec()),
        Kind::Empty => frames::Frame::Empty,
        Kind::Malformed => frames::Frame::Malformed,
    });
    let cut: Vec<frames::Frame> = pieces.into_iter().map(|piece| piece.frame).collect();
    assert_eq!(cut, kinds.collect::<Vec<_>>(), "{}", vector.name);
}

/// A link tells the events among the frames, skips and counts the others, and goes on.
fn assert_events(vector: &Vector, expected: &Expected, chunks: &[Bytes]) {
    let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    let mut events = Vec::new();
    for chunk in chunks {
        link.handle_bytes(Instant::ZERO, chunk.clone());
        events.extend(iter::from_fn(|| link.poll_event()));
    }
    if let Some(len) = expected.too_long {
        let end = LinkEvent::Closed(CloseReason::FrameTooLong { len });
        assert_eq!(events.pop(), Some(end), "{}", vector.name);
    } else {
        assert!(link.is_open(), "{}", vector.name);
    }
    let messages = expected.messages();
    assert_eq!(events.len(), messages.len(), "{}", vector.name);
    for (event, (name, payload)) in iter::zip(&events, messages) {
        assert!(
            matches!(event, LinkEvent::Received(message) if is(message, name, payload)),
            "{}: {event:?}",
            vector.name
        );
    }
    let count = |what: fn(&Kind) -> bool| expected.frames.iter().filter(|kind| what(kind)).count() as u64;
    assert_eq!(link.stats().empty, count(|kind| matches!(kind, Kind::Empty)), "{}", vector.name);
    assert_eq!(link.stats().malformed, count(|kind| matches!(kind, Kind::Malformed)), "{}", vector.name);
}

/// What gop2p itself received is among what we do. It loses frames that come in pieces, and its local handlers see
/// a peer's "disconnected".
fn assert_received(vector: &Vector, messages: &[(&str, &Bytes)]) {
    let Some(received) = vector.meaning["received_as"].as_array() else { return };
    for value in received.iter().filter(|value| value["payload_hex"].is_string()) {
        let payload = unhex(value["payload_hex"].as_str().unwrap());
        let name = value["name"].as_str().unwrap();
        assert!(messages.contains(&(name, &payload.clone().into())), "{}", vector.name);
        if let Some(text) = value["as_string"].as_str() {
            let mut reader = PacketReader::new(&payload);
            assert_eq!(reader.string(), Ok(text), "{}", vector.name);
        }
    }
}

/// Our packets make the same payloads.
fn assert_payload(vector: &Vector, messages: &[(&str, &Bytes)]) {
    let string = |text: &str| Packet::new().string(text);
    let packets: &[Packet] = &match vector.name.as_str() {
        "event_string" => vec![string("hello")],
        "event_empty_string" => vec![string("")],
        "event_u8" => vec![Packet::new().u8(0xab)],
        // A gop2p u16 is four bytes; see `Packet`.
        "event_u16" => vec![Packet::new().u16(0x1234).u16(0)],
        "event_u16_u16" => vec![Packet::new().u16(1).u16(0).u16(2).u16(0)],
        "event_u32" => vec![Packet::new().u32(0x1234_5678)],
        "event_all_ints" => vec![Packet::new().u8(0xab).u16(0x1234).u16(0).u32(0x1234_5678)],
        "event_string_array" => vec![Packet::new().strings(&["a", "bc", "d"]).unwrap()],
        "event_raw_bytes" => vec![Packet::new().bytes(&[0, 0xff, 1, 2])],
        "event_unregistered_name" => vec![string("x")],
        "three_events_one_tick" => ["one", "two", "three"].map(string).to_vec(),
        "event_200KiB" => vec![Packet::new().string(alphabet(204_800))],
        "same_packet_first_peer" => vec![string("msg").string("shared")],
        "frame_split_in_prefix" | "frame_split_in_body" => vec![string("split-me")],
        "zero_length_frame" => vec![string("after-zero")],
        "frame_event_len_too_big" => vec![string("after-bad")],
        "event_no_payload" | "frame_event_disconnected" => vec![Packet::new()],
        "same_packet_second_peer" | "frame_length_0xFFFFFFFF" => vec![],
        other => panic!("say which payload {other} has"),
    };
    let payloads: Vec<Bytes> = messages.iter().map(|(_, payload)| Bytes::clone(payload)).collect();
    let packets: Vec<Bytes> = packets.iter().map(|packet| packet.clone().freeze()).collect();
    assert_eq!(payloads, packets, "{}", vector.name);
}

fn write(messages: &[(&str, &Bytes)]) -> Vec<u8> {
    let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    for (name, payload) in messages {
        link.send(name, Bytes::clone(payload)).unwrap();
    }
    let mut written = Vec::new();
    while let Some(Write::Bytes(bytes)) = link.poll_transmit() {
        written.extend_from_slice(&bytes);
    }
    written
}
