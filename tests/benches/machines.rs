//! The machines in memory: `cargo bench -p poolmesh-testkit --features bench --bench machines`.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, Instant, Link, LinkConfig, LinkEvents, Machine, Output, PoolId,
    RandomSource, Write,
};

fn main() {
    divan::main();
}

/// What is written at a time, in bytes.
const WRITE: usize = 64 * 1_024;
const NAME: &[u8] = b"pos";

/// A request, and who sends it.
type Asked = (SocketAddr, BytesMut);

fn encoded(request: Request) -> BytesMut {
    let mut out = BytesMut::new();
    classic::encode_request(&request, &mut out);
    out
}

/// A broadcaster with so many pools, and what each host knows of his.
fn filled(pools: u32) -> (Broadcaster<impl RandomSource>, Vec<(SocketAddr, PoolId)>) {
    let mut seed = 7u128;
    let random = move || {
        seed = seed.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(1);
        seed
    };
    let mut config = BroadcasterConfig::default().with_classic();
    config.max_pools = pools as usize;
    let mut broadcaster = Broadcaster::new(config, random);
    let mut hosts = Vec::new();
    for number in 0..pools {
        let host = SocketAddr::from(((0x0100_0000 + number).to_be_bytes(), 5_000));
        broadcaster.handle_datagram(Instant::ZERO, host, &encoded(Request::Create));
        drain(&mut broadcaster, |answer| {
            if let Ok(Response::Joined(info)) = classic::decode_response(&answer) {
                hosts.push((host, info.id()));
            }
        });
    }
    (broadcaster, hosts)
}

fn drain(broadcaster: &mut Broadcaster<impl RandomSource>, mut tell: impl FnMut(Bytes)) {
    loop {
        match broadcaster.poll_output() {
            Output::Transmit(answer) => tell(answer.payload),
            Output::Event(event) => _ = black_box(event),
            Output::Wait(deadline) => {
                black_box(deadline);
                return;
            }
        }
    }
}

/// Hands in each of the requests and drains the outputs.
fn ask(bencher: Bencher<'_, '_>, mut broadcaster: Broadcaster<impl RandomSource>, requests: &[Asked]) {
    bencher.counter(ItemsCount::from(requests.len())).bench_local(|| {
        for (from, request) in requests {
            broadcaster.handle_datagram(Instant::ZERO, *from, request);
            drain(&mut broadcaster, |answer| _ = black_box(answer));
        }
    });
}

#[divan::bench(args = [1, 1_000, 100_000])]
fn pings(bencher: Bencher<'_, '_>, pools: u32) {
    let (broadcaster, hosts) = filled(pools);
    let requests: Vec<Asked> =
        hosts.into_iter().map(|(host, id)| (host, encoded(Request::Ping(id)))).collect();
    ask(bencher, broadcaster, &requests);
}

#[divan::bench(args = [1, 8, 50])]
fn join(bencher: Bencher<'_, '_>, members: u16) {
    let (mut broadcaster, hosts) = filled(1);
    let joins: Vec<Asked> = hosts.into_iter().map(|(host, id)| (host, encoded(Request::Join(id)))).collect();
    for (host, join) in &joins {
        for member in 1..members {
            let from = SocketAddr::new(host.ip(), host.port() + member);
            broadcaster.handle_datagram(Instant::ZERO, from, join);
            drain(&mut broadcaster, drop);
        }
    }
    ask(bencher, broadcaster, &joins);
}

#[divan::bench(args = [1, 20, 1_000])]
fn list(bencher: Bencher<'_, '_>, pools: u32) {
    let (broadcaster, hosts) = filled(pools);
    let list = encoded(Request::List);
    let requests: Vec<Asked> = hosts.into_iter().take(1).map(|(host, _)| (host, list.clone())).collect();
    ask(bencher, broadcaster, &requests);
}

/// As many frames of that length as are packed into one write: from `send` to the bytes.
#[divan::bench(args = [32, 1_024, 16_384])]
fn link_out(bencher: Bencher<'_, '_>, len: usize) {
    let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    let payload = Bytes::from(vec![7; len - 11]);
    let frames = WRITE / len;
    bencher.counter(ItemsCount::from(frames)).counter(BytesCount::from(frames * len)).bench_local(|| {
        written(&mut link, frames, &payload, |bytes| _ = black_box(bytes));
    });
}

/// The same, from the bytes to the events.
#[divan::bench(args = [32, 1_024, 16_384])]
fn link_in(bencher: Bencher<'_, '_>, len: usize) {
    let mut chunks = Vec::new();
    let mut sender = Link::new(LinkConfig::default(), Instant::ZERO);
    let frames = WRITE / len;
    written(&mut sender, frames, &Bytes::from(vec![7; len - 11]), |bytes| chunks.push(bytes));
    let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    bencher.counter(ItemsCount::from(frames)).counter(BytesCount::from(frames * len)).bench_local(|| {
        for chunk in &chunks {
            link.handle_bytes(Instant::ZERO, chunk.clone());
            while let Some(LinkEvents::Received(frames)) = link.poll_events() {
                for message in &frames {
                    black_box((message.name(), message.payload()));
                }
            }
        }
    });
}

fn written(link: &mut Link, frames: usize, payload: &Bytes, mut write: impl FnMut(Bytes)) {
    for _ in 0..frames {
        link.send(NAME, payload.clone()).unwrap_or_else(|error| panic!("{error}"));
    }
    while let Some(Write::Bytes(bytes)) = link.poll_transmit() {
        write(bytes);
    }
}
