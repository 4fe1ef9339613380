//! What is written is read back as it was meant, however it is cut, and no bytes make a decoder panic.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails fails its test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

use core::iter;
use core::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use poolmesh_proto::wire::{Frame, FrameReader, FrameTooLong, Request, Response, Words, classic};
use poolmesh_proto::{
    Instant, Link, LinkConfig, LinkEvent, Packet, PacketReader, PoolId, PoolInfo, Refusal, Write,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// A gop2p client reads no more of an answer.
const MAX_ANSWER: usize = 1_024;

/// A request is at most a type, a length and an id.
const LONGEST_REQUEST: usize = 68;

fn pool_id() -> impl Strategy<Value = PoolId> {
    let byte = any::<u8>().prop_filter("a space separates ids", |byte| *byte != b' ');
    vec(byte, 1..=PoolId::MAX_LEN).prop_map(|bytes| PoolId::new(&bytes).unwrap())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn pool_info(peers: usize) -> impl Strategy<Value = PoolInfo> {
    (pool_id(), address(), address(), vec(address(), 0..=peers))
        .prop_map(|(id, host, you, peers)| PoolInfo::new(id, host, you, peers))
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Create),
        Just(Request::List),
        pool_id().prop_map(Request::Ping),
        pool_id().prop_map(Request::Join),
    ]
}

fn words() -> impl Strategy<Value = Words> {
    let anything = vec(any::<u8>(), 0..600);
    let tricky = prop_oneof![
        Just("ERROR: x"),
        Just("pool with id "),
        Just("a doesn't exist"),
        Just("out of bound by 99999999999999999999 elements"),
        Just("unknown message type "),
    ];
    prop_oneof![anything, tricky.prop_map(|text| text.as_bytes().to_vec())].prop_map(|text| Words::new(&text))
}

fn refusal() -> impl Strategy<Value = Refusal> {
    let limit = any::<u64>();
    prop_oneof![
        words().prop_map(Refusal::NoSuchPool),
        Just(Refusal::NotHost),
        Just(Refusal::UnknownRequest),
        Just(Refusal::NoFreshId),
        limit.prop_map(|missing| Refusal::Truncated { missing }),
        limit.prop_map(|limit| Refusal::TooLong { limit }),
        limit.prop_map(|limit| Refusal::TooManyPools { limit }),
        limit.prop_map(|limit| Refusal::TooManyPoolsFromSource { limit }),
        limit.prop_map(|limit| Refusal::TooManyPeers { limit }),
        (pool_id(), limit).prop_map(|(pool, limit)| Refusal::PoolFull { pool, limit }),
        words().prop_map(Refusal::Other),
    ]
}

/// Any answer, most of them too long for a datagram.
fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        pool_info(200).prop_map(Response::Joined),
        vec(pool_id(), 0..100).prop_map(Response::Pools),
        refusal().prop_map(Response::Refused),
        Just(Response::PoolEnded),
    ]
}

/// How long an answer is on the wire, uncut. Told apart from the encoder, by the grammar.
fn wire_len(response: &Response) -> usize {
    let joined =
        |items: &mut dyn Iterator<Item = usize>| items.map(|len| len + 1).sum::<usize>().saturating_sub(1);
    match response {
        Response::Joined(info) => {
            let addresses = [info.host(), info.you()].into_iter().chain(info.peers().iter().copied());
            let lens = addresses.map(|address| address.to_string().len());
            5 + joined(&mut iter::once(info.id().as_bytes().len()).chain(lens))
        }
        Response::Pools(ids) => 5 + joined(&mut ids.iter().map(|id| id.as_bytes().len())),
        _ => 0,
    }
}

fn encoded(response: &Response) -> BytesMut {
    let mut out = BytesMut::from(&b"before"[..]);
    classic::encode_response(response, &mut out);
    out.split_off(6)
}

/// A frame as a peer may send it.
#[derive(Clone, Debug)]
enum Piece {
    Event(Vec<u8>, Vec<u8>),
    Empty,
    /// A body whose event's name is promised to be longer than the body.
    Malformed(Vec<u8>),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        8 => (vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..300)).prop_map(|(name, payload)| Piece::Event(name, payload)),
        1 => (vec(any::<u8>(), 0..20), vec(any::<u8>(), 5_000..40_000))
            .prop_map(|(name, payload)| Piece::Event(name, payload)),
        1 => Just(Piece::Empty),
        1 => vec(any::<u8>(), 1..30).prop_map(Piece::Malformed),
    ]
}

fn stream(pieces: &[Piece]) -> Bytes {
    let mut out = Vec::new();
    for piece in pieces {
        let body = match piece {
            Piece::Event(name, payload) => Packet::new().string(name).bytes(payload).freeze(),
            Piece::Empty => Bytes::new(),
            Piece::Malformed(body) => {
                let mut body = body.clone();
                if body.len() >= 4 {
                    let promised = u32::try_from(body.len() - 3).unwrap();
                    body[..4].copy_from_slice(&promised.to_le_bytes());
                }
                body.into()
            }
        };
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&body);
    }
    out.into()
}

/// The stream cut at these lengths, over and over.
fn cut(stream: &Bytes, sizes: &[usize]) -> Vec<Bytes> {
    let mut rest = stream.clone();
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        chunks.push(rest.split_to(rest.len().min(*size)));
    }
    chunks
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1..12usize, 1..5_000usize], 1..8)
}

fn same(frame: &Frame, piece: &Piece) -> bool {
    match (frame, piece) {
        (Frame::Message(message), Piece::Event(name, payload)) => {
            message.name() == name
                && message.payload() == payload
                && message.clone().into_payload() == payload
        }
        (Frame::Empty, Piece::Empty) | (Frame::Malformed, Piece::Malformed(_)) => true,
        _ => false,
    }
}

#[derive(Clone, Debug)]
enum Field {
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    String(Vec<u8>),
    Text(String),
    Strings(Vec<Vec<u8>>),
    Bytes(Vec<u8>),
}

fn field() -> impl Strategy<Value = Field> {
    let item = || vec(any::<u8>().prop_filter("a space separates items", |byte| *byte != b' '), 0..9);
    prop_oneof![
        any::<u8>().prop_map(Field::U8),
        any::<u16>().prop_map(Field::U16),
        any::<u32>().prop_map(Field::U32),
        any::<u64>().prop_map(Field::U64),
        vec(any::<u8>(), 0..40).prop_map(Field::String),
        any::<String>().prop_map(Field::Text),
        vec(item(), 0..5)
            .prop_filter("one empty item reads as none", |items| items != &[Vec::new()])
            .prop_map(Field::Strings),
        vec(any::<u8>(), 0..40).prop_map(Field::Bytes),
    ]
}

fn put(packet: Packet, field: &Field) -> Packet {
    match field {
        Field::U8(value) => packet.u8(*value),
        Field::U16(value) => packet.u16(*value),
        Field::U32(value) => packet.u32(*value),
        Field::U64(value) => packet.u64(*value),
        Field::String(bytes) => packet.string(bytes),
        Field::Text(text) => packet.string(text),
        Field::Strings(items) => packet.strings(items).unwrap(),
        Field::Bytes(bytes) => packet.bytes(bytes),
    }
}

/// Reads the same kind of field, and says whether it is the same.
fn reads(reader: &mut PacketReader<'_>, field: &Field) -> bool {
    match field {
        Field::U8(value) => reader.u8() == Ok(*value),
        Field::U16(value) => reader.u16() == Ok(*value),
        Field::U32(value) => reader.u32() == Ok(*value),
        Field::U64(value) => reader.u64() == Ok(*value),
        Field::String(bytes) => reader.string_bytes() == Ok(bytes),
        Field::Text(text) => reader.string() == Ok(text),
        Field::Strings(items) => reader.strings().is_ok_and(|read| read.eq(items)),
        Field::Bytes(bytes) => reader.bytes(bytes.len()) == Ok(bytes),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_is_read_as_it_was_meant(request in request(), behind in vec(any::<u8>(), 0..20)) {
        let mut out = BytesMut::new();
        classic::encode_request(&request, &mut out);
        prop_assert!(out.len() <= LONGEST_REQUEST);
        prop_assert_eq!(classic::decode_request(&out), Ok(request));
        if request != Request::List {
            out.extend_from_slice(&behind);
            prop_assert_eq!(classic::decode_request(&out), Ok(request), "what follows is ignored");
        }
    }

    #[test]
    fn a_request_cut_short_is_refused_and_says_by_how_much(id in pool_id(), cut in any::<prop::sample::Index>()) {
        for request in [Request::Ping(id), Request::Join(id)] {
            let mut out = BytesMut::new();
            classic::encode_request(&request, &mut out);
            let len = 1 + cut.index(out.len() - 1);
            // Without the whole of its length, only that is known to be missing.
            let expected = if len < 5 { 5 - len } else { out.len() - len };
            let fault = classic::decode_request(&out[..len]).unwrap_err();
            let missing = expected as u64;
            prop_assert_eq!(fault, poolmesh_proto::wire::RequestFault::Truncated { missing });
        }
    }

    #[test]
    fn an_answer_that_fits_is_read_as_it_was_meant(
        response in prop_oneof![
            pool_info(20).prop_map(Response::Joined),
            vec(pool_id(), 0..16).prop_map(Response::Pools),
            Just(Response::PoolEnded),
        ]
    ) {
        prop_assume!(wire_len(&response) <= MAX_ANSWER);
        let out = encoded(&response);
        prop_assert_eq!(classic::decode_response(&out), Ok(response));
    }

    #[test]
    fn a_refusal_is_read_as_it_was_meant(refusal in refusal()) {
        let response = Response::Refused(refusal);
        prop_assert_eq!(classic::decode_response(&encoded(&response)), Ok(response));
    }

    #[test]
    fn any_answer_is_at_most_1024_bytes_and_cut_at_a_whole_item(response in response()) {
        let out = encoded(&response);
        prop_assert!(out.len() <= MAX_ANSWER);
        let decoded = classic::decode_response(&out).unwrap();
        match (&decoded, &response) {
            (Response::Joined(cut), Response::Joined(whole)) => {
                prop_assert_eq!((cut.id(), cut.host(), cut.you()), (whole.id(), whole.host(), whole.you()));
                prop_assert!(whole.peers().starts_with(cut.peers()));
                if let Some(next) = whole.peers().get(cut.peers().len()) {
                    prop_assert!(out.len() + 1 + next.to_string().len() > MAX_ANSWER, "the next would have fit");
                }
            }
            (Response::Pools(cut), Response::Pools(whole)) => {
                prop_assert!(whole.starts_with(cut));
                if let Some(next) = whole.get(cut.len()) {
                    prop_assert!(out.len() + 1 + next.as_bytes().len() > MAX_ANSWER, "the next would have fit");
                }
            }
            _ => prop_assert_eq!(&decoded, &response),
        }
    }

    #[test]
    fn what_follows_an_answer_spoils_it(response in response(), behind in vec(any::<u8>(), 1..20)) {
        let mut out = encoded(&response);
        out.extend_from_slice(&behind);
        prop_assert!(classic::decode_response(&out).is_err());
    }

    #[test]
    fn a_packet_is_read_field_by_field(fields in vec(field(), 0..12)) {
        let payload = fields.iter().fold(Packet::new(), put).freeze();
        let mut reader = PacketReader::new(&payload);
        for field in &fields {
            prop_assert!(reads(&mut reader, field), "{:?}", field);
        }
        prop_assert_eq!(reader.rest(), b"");
    }

    #[test]
    fn a_field_cut_short_takes_nothing(field in field(), cut in any::<prop::sample::Index>()) {
        let payload = put(Packet::new(), &field).freeze();
        prop_assume!(!payload.is_empty());
        let short = &payload[..cut.index(payload.len())];
        let mut reader = PacketReader::new(short);
        prop_assert!(!reads(&mut reader, &field));
        prop_assert_eq!(reader.rest(), short);
    }

    #[test]
    fn arbitrary_bytes_make_no_decoder_panic(
        kind in 0..7u8, claimed in prop_oneof![any::<u32>(), 0..40u32], rest in vec(any::<u8>(), 0..300)
    ) {
        let claimed = claimed.to_le_bytes();
        for bytes in [rest.clone(), [&[kind][..], &rest].concat(), [&[kind][..], &claimed, &rest].concat()] {
            let request = classic::decode_request(&bytes);
            let response = classic::decode_response(&bytes);
            let _ = format!("{request:?} {response:?}");
            if let Ok(response) = response {
                prop_assert!(encoded(&response).len() <= MAX_ANSWER);
            }
            let mut reader = PacketReader::new(&bytes);
            let _ = (reader.clone().string(), reader.clone().string_bytes(), reader.clone().u64(), reader.clone().u16());
            let _ = (reader.clone().strings().map(Iterator::count), reader.clone().bytes(usize::from(kind) * 40));
            let _ = (reader.u8(), reader.u32());
            let _ = PoolId::new(&bytes).map(|id| id.to_string());
            let _ = Words::new(&bytes).to_string();
        }
    }

    #[test]
    fn arbitrary_streams_make_no_reader_panic_and_no_cut_matters(
        stream in vec(prop_oneof![3 => Just(0u8), 1 => 0..32u8, 1 => any::<u8>()], 0..600),
        sizes in sizes(),
        max in 0..200usize,
    ) {
        let stream = Bytes::from(stream);
        let frames = |chunks: Vec<Bytes>| {
            let mut reader = FrameReader::new(max);
            let mut frames = Vec::new();
            for chunk in chunks {
                reader.push(chunk);
                while let Some(frame) = reader.next_frame().transpose() {
                    let error = frame.is_err();
                    frames.push(frame);
                    if error {
                        return frames;
                    }
                }
            }
            frames
        };
        prop_assert_eq!(frames(cut(&stream, &sizes)), frames(vec![stream]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_frame_is_taken_up_to_the_limit_and_no_longer(max in 0..100_000usize, over in 1..1_000usize) {
        let frame = |len: usize| {
            let mut frame = u32::try_from(len).unwrap().to_le_bytes().to_vec();
            frame.resize(4 + len, 0);
            let mut reader = FrameReader::new(max);
            reader.push(frame.into());
            reader.next_frame()
        };
        prop_assert!(matches!(frame(max), Ok(Some(_))));
        for len in [max + 1, max + over] {
            prop_assert_eq!(frame(len), Err(FrameTooLong { len: u32::try_from(len).unwrap(), max }));
        }
    }

    #[test]
    fn any_cut_of_a_stream_gives_the_same_frames(
        pieces in vec(piece(), 0..12), sizes in sizes(), eager in any::<bool>()
    ) {
        let mut reader = FrameReader::new(1 << 20);
        let mut frames = Vec::new();
        let mut take = |reader: &mut FrameReader| {
            frames.extend(iter::from_fn(|| reader.next_frame().unwrap()));
        };
        for chunk in cut(&stream(&pieces), &sizes) {
            reader.push(chunk);
            if eager {
                take(&mut reader);
            }
        }
        take(&mut reader);
        prop_assert_eq!(frames.len(), pieces.len());
        for (frame, piece) in iter::zip(&frames, &pieces) {
            prop_assert!(same(frame, piece), "{:?} is not {:?}", frame, piece);
        }
        prop_assert_eq!((reader.waiting(), reader.unfinished()), (0, 0));
    }

    #[test]
    fn any_cut_of_a_stream_gives_a_link_the_same_events(
        pieces in vec(piece(), 0..12), sizes in sizes(), eager in any::<bool>()
    ) {
        let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
        let mut events = Vec::new();
        for chunk in cut(&stream(&pieces), &sizes) {
            link.handle_bytes(Instant::ZERO, chunk);
            if eager {
                events.extend(iter::from_fn(|| link.poll_event()));
            }
        }
        events.extend(iter::from_fn(|| link.poll_event()));
        let messages = pieces.iter().filter(|piece| matches!(piece, Piece::Event(..)));
        prop_assert_eq!(events.len(), messages.clone().count());
        for (event, piece) in iter::zip(&events, messages) {
            let LinkEvent::Received(message) = event else { panic!("{event:?}") };
            prop_assert!(same(&Frame::Message(message.clone()), piece));
        }
        prop_assert!(link.is_open());
    }

    #[test]
    fn what_a_link_writes_another_reads(
        events in vec((vec(any::<u8>(), 0..20), prop_oneof![vec(any::<u8>(), 0..300), vec(any::<u8>(), 15_000..20_000)]), 0..12),
        sizes in sizes(),
        pack in prop_oneof![Just(1usize), 1..200usize, Just(65_536)],
    ) {
        let mut config = LinkConfig::default();
        config.pack = pack;
        let mut writer = Link::new(config, Instant::ZERO);
        for (name, payload) in &events {
            writer.send(name, payload.clone()).unwrap();
        }
        let mut written = Vec::new();
        while let Some(Write::Bytes(bytes)) = writer.poll_transmit() {
            written.extend_from_slice(&bytes);
        }
        prop_assert_eq!(writer.queued(), 0);
        let pieces: Vec<Piece> = events.into_iter().map(|(name, payload)| Piece::Event(name, payload)).collect();
        let expected = stream(&pieces);
        prop_assert_eq!(&written[..], &expected[..], "our links write what the grammar says");
        let mut reader = Link::new(LinkConfig::default(), Instant::ZERO);
        let mut read = 0;
        for chunk in cut(&written.into(), &sizes) {
            reader.handle_bytes(Instant::ZERO, chunk);
            while let Some(LinkEvent::Received(message)) = reader.poll_event() {
                prop_assert!(same(&Frame::Message(message), &pieces[read]));
                read += 1;
            }
        }
        prop_assert_eq!(read, pieces.len());
    }
}
