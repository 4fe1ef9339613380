//! Every message to bytes and back.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use poolmesh_proto::wire::{Frame, FrameReader, Refusal, Request, Response, Words, classic};
use poolmesh_proto::{Packet, PacketReader};

use super::{NAME, TIMES, address, info, pool, request, response, times};
use crate::counter::count;

pub(super) fn all() {
    let requests = [
        ("create", Request::Create),
        ("ping", Request::Ping(pool(1))),
        ("list", Request::List),
        ("join", Request::Join(pool(1))),
    ];
    for (name, message) in &requests {
        let mut out = BytesMut::with_capacity(2_048);
        count(&format!("encode request, {name}"), TIMES, || {
            times(|| {
                out.clear();
                classic::encode_request(black_box(message), &mut out);
            });
        });
        let bytes = request(message);
        count(&format!("decode request, {name}"), TIMES, || {
            times(|| _ = black_box(classic::decode_request(black_box(&bytes))));
        });
    }
    for (name, message) in &responses() {
        let mut out = BytesMut::with_capacity(2_048);
        count(&format!("encode answer, {name}"), TIMES, || {
            times(|| {
                out.clear();
                classic::encode_response(black_box(message), &mut out);
            });
        });
        let bytes = response(message);
        count(&format!("decode answer, {name}"), TIMES, || {
            times(|| _ = black_box(classic::decode_response(black_box(&bytes))));
        });
    }
    frames();
    packets();
}

fn responses() -> [(&'static str, Response); 6] {
    let refused = |refusal| Response::Refused(refusal);
    [
        ("joined, 8 peers", Response::Joined(info(1, address(0), address(1), 8))),
        ("pools, 20", Response::Pools((0..20).map(pool).collect())),
        ("pool ended", Response::PoolEnded),
        ("refused, no such pool", refused(Refusal::NoSuchPool(Words::new(pool(1).as_bytes())))),
        ("refused, pool full", refused(Refusal::PoolFull { pool: pool(1), limit: 256 })),
        ("refused, other words", refused(Refusal::Other(Words::new(b"come back tomorrow")))),
    ]
}

/// The bytes of so many frames, of 32 bytes each.
pub(super) fn stream(frames: u32) -> Bytes {
    let frame = [&28u32.to_le_bytes()[..], &3u32.to_le_bytes(), NAME.as_bytes(), &[7; 21]].concat();
    Bytes::from(frame.repeat(frames as usize))
}

fn frames() {
    let chunk = stream(TIMES);
    let mut reader = FrameReader::new(1 << 24);
    count("frames, 32 bytes, one by one", TIMES, || {
        reader.push(chunk.clone());
        while let Ok(Some(Frame::Message(message))) = reader.next_frame() {
            black_box((message.name(), message.payload()));
        }
    });
    count("frames, 32 bytes, as they lie", TIMES, || {
        reader.push(chunk.clone());
        while let Ok(Some(frames)) = reader.next_frames() {
            for message in &frames {
                black_box((message.name(), message.payload()));
            }
        }
    });
}

fn packets() {
    let packet = || Packet::new().string(black_box("hello")).u32(black_box(7)).u64(black_box(9));
    count("packet, build", TIMES, || times(|| _ = black_box(packet().freeze())));
    let payload = packet().freeze();
    count("packet, read", TIMES, || {
        times(|| {
            let mut reader = PacketReader::new(black_box(&payload));
            _ = black_box((reader.string(), reader.u32(), reader.u64()));
        });
    });
}
