//! The wire in memory: `cargo bench -p poolmesh-testkit --features bench --bench wire`.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use poolmesh_proto::wire::{FrameReader, Request, Response, classic};
use poolmesh_proto::{Packet, PacketReader, PoolId, PoolInfo};

fn main() {
    divan::main();
}

/// What is read at a time, in bytes.
const CHUNK: usize = 64 * 1_024;

fn pool(number: u32) -> PoolId {
    let id = format!("{number:08x}-4b65-451f-a914-68a573d71508");
    PoolId::new(id.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn encoded(request: Request) -> BytesMut {
    let mut out = BytesMut::new();
    classic::encode_request(&request, &mut out);
    out
}

fn info(peers: u8) -> Response {
    let peer = |number| SocketAddr::from(([192, 0, 2, number], 50_000));
    Response::Joined(PoolInfo::new(pool(1), peer(1), peer(2), (1..=peers).map(peer)))
}

fn list(pools: u32) -> Response {
    Response::Pools((0..pools).map(pool).collect())
}

#[divan::bench]
fn decode_ping(bencher: Bencher<'_, '_>) {
    let ping = encoded(Request::Ping(pool(1)));
    let bytes = BytesCount::from(ping.len());
    bencher.counter(bytes).bench(|| classic::decode_request(black_box(&ping)).is_ok());
}

#[divan::bench]
fn decode_list_request(bencher: Bencher<'_, '_>) {
    let list = encoded(Request::List);
    bencher.counter(ItemsCount::from(1_u8)).bench(|| classic::decode_request(black_box(&list)).is_ok());
}

#[divan::bench(args = [1, 8, 50])]
fn encode_join_answer(bencher: Bencher<'_, '_>, peers: u8) {
    encode(bencher, &info(peers));
}

#[divan::bench(args = [1, 20, 27])]
fn encode_list_answer(bencher: Bencher<'_, '_>, pools: u32) {
    encode(bencher, &list(pools));
}

fn encode(bencher: Bencher<'_, '_>, response: &Response) {
    let mut out = BytesMut::with_capacity(CHUNK);
    classic::encode_response(response, &mut out);
    let bytes = BytesCount::from(out.len());
    bencher.counter(bytes).bench_local(|| {
        out.clear();
        classic::encode_response(black_box(response), &mut out);
        black_box(&out);
    });
}

#[divan::bench(args = [1, 8, 50])]
fn decode_join_answer(bencher: Bencher<'_, '_>, peers: u8) {
    decode(bencher, &info(peers));
}

#[divan::bench(args = [1, 20, 27])]
fn decode_list_answer(bencher: Bencher<'_, '_>, pools: u32) {
    decode(bencher, &list(pools));
}

fn decode(bencher: Bencher<'_, '_>, response: &Response) {
    let mut out = BytesMut::new();
    classic::encode_response(response, &mut out);
    let bytes = BytesCount::from(out.len());
    bencher.counter(bytes).bench(|| classic::decode_response(black_box(&out)).is_ok());
}

/// A chunk full of frames of that length.
#[divan::bench(args = [32, 1_024, 16_384])]
fn frames(bencher: Bencher<'_, '_>, len: u16) {
    let body = u32::from(len) - 4;
    let frame =
        [&body.to_le_bytes()[..], &3u32.to_le_bytes(), b"pos", &vec![7; usize::from(len) - 11]].concat();
    let frames = CHUNK / frame.len();
    let chunk = Bytes::from(frame.repeat(frames));
    let mut reader = FrameReader::new(1 << 24);
    bencher.counter(ItemsCount::from(frames)).counter(BytesCount::from(chunk.len())).bench_local(|| {
        reader.push(chunk.clone());
        while let Ok(Some(frames)) = reader.next_frames() {
            for message in &frames {
                black_box((message.name(), message.payload()));
            }
        }
    });
}

#[divan::bench]
fn build_packet(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::from(1_u8)).bench(|| packet().freeze());
}

#[divan::bench]
fn read_packet(bencher: Bencher<'_, '_>) {
    let packet = packet().freeze();
    bencher.counter(BytesCount::from(packet.len())).bench(|| {
        let mut reader = PacketReader::new(black_box(&packet));
        (reader.string().map(str::len), reader.u32(), reader.u64())
    });
}

fn packet() -> Packet {
    Packet::new().string(black_box("hello")).u32(black_box(7)).u64(black_box(9))
}
