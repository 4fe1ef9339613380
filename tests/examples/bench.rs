//! What poolmesh costs, as ratios against yardsticks measured in the same run.
//!
//! `cargo run --release -p poolmesh-testkit --example bench`
//!
//! Each line is the median of several rounds in which the yardstick and what it is held against take turns. Timings
//! of a shared machine drift; the ratios are what carries over.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use poolmesh_proto::wire::{Dialect, Frame, FrameReader, Request, Response};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, Instant, Link, LinkConfig, Machine, Output, PoolId, Write,
};

const ROUNDS: usize = 7;
/// A name of three bytes and this payload make a frame of 32 bytes.
const PAYLOAD: [u8; 21] = [7; 21];
const NAME: &[u8] = b"pos";

fn main() {
    println!("{:<58} {:>10} {:>10} {:>7}", "what", "yardstick", "poolmesh", "ratio");
    frames_in_memory();
    pings();
    frames_over_loopback();
}

/// Medians of what `yardstick` and `ours` take for one item, in nanoseconds, taking turns.
fn compare(what: &str, items: u64, mut yardstick: impl FnMut(), mut ours: impl FnMut()) {
    let (mut theirs_all, mut ours_all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs_all.push(time(&mut yardstick));
        ours_all.push(time(&mut ours));
    }
    let per_item = |mut all: Vec<Duration>| {
        all.sort_unstable();
        all.get(ROUNDS / 2).map_or(0.0, |median| median.as_secs_f64() * 1e9 / items as f64)
    };
    let (theirs, ours) = (per_item(theirs_all), per_item(ours_all));
    println!("{what:<58} {theirs:>7.1} ns {ours:>7.1} ns {:>7.2}", ours / theirs);
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn time(work: &mut impl FnMut()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

/// Packs frames by hand.
fn packed(frames: usize) -> Vec<u8> {
    let mut out = BytesMut::with_capacity(frames * 32);
    for _ in 0..frames {
        put_by_hand(&mut out);
    }
    out.to_vec()
}

fn put_by_hand(out: &mut BytesMut) {
    out.put_u32_le(28);
    out.put_u32_le(3);
    out.put_slice(NAME);
    out.put_slice(&PAYLOAD);
}

/// The shortest parser that is right: a cursor over borrowed bytes. Returns what is left of an unfinished frame.
fn parse_by_hand(mut bytes: &[u8], mut tell: impl FnMut(&[u8], &[u8])) -> usize {
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let Some((body, rest)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else { break };
        if let Some((name_len, body)) = body.split_first_chunk::<4>() {
            if let Some((name, payload)) = body.split_at_checked(u32::from_le_bytes(*name_len) as usize) {
                tell(name, payload);
            }
        }
        bytes = rest;
    }
    bytes.len()
}

fn frames_in_memory() {
    const FRAMES: usize = 200_000;
    let stream = packed(FRAMES);
    let chunks: Vec<Bytes> = stream.chunks(64 * 1_024).map(Bytes::copy_from_slice).collect();
    compare(
        "parse a 32 B frame / borrowed cursor by hand",
        FRAMES as u64,
        || {
            let mut count = 0;
            parse_by_hand(&stream, |name, payload| count += black_box(name.len() + payload.len()));
            black_box(count);
        },
        || {
            let mut reader = FrameReader::new(1 << 24);
            for chunk in &chunks {
                reader.push(chunk.clone());
                while let Ok(Some(Frame::Message(message))) = reader.next_frame() {
                    black_box(message.name().len() + message.payload().len());
                }
            }
        },
    );
    compare(
        "queue and pack a 32 B frame / put by hand",
        FRAMES as u64,
        || {
            let mut out = BytesMut::with_capacity(64 * 1_024);
            for _ in 0..FRAMES {
                if out.len() + 32 > 64 * 1_024 {
                    black_box(&out);
                    out.clear();
                }
                put_by_hand(&mut out);
            }
        },
        || {
            let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
            for _ in 0..FRAMES {
                while link.send(NAME, &PAYLOAD[..]).is_err() {
                    while let Some(Write::Bytes(bytes)) = link.poll_transmit() {
                        black_box(bytes);
                    }
                }
            }
        },
    );
}

fn pings() {
    const POOLS: u16 = 10_000;
    const PINGS: u64 = 200_000;
    let mut seed = 1u128;
    let random = move || {
        seed = seed.wrapping_mul(0xda94_2042_e4dd_58b5_2545_f491_4f6c_dd1d).wrapping_add(1);
        seed
    };
    let mut config = BroadcasterConfig::default();
    config.max_pools_per_source = usize::from(POOLS);
    let mut broadcaster = Broadcaster::new(config, random);
    let mut hosts: Vec<(SocketAddr, PoolId, BytesMut)> = Vec::new();
    let mut last_seen = BTreeMap::new();
    for port in 0..POOLS {
        let host = SocketAddr::from(([192, 0, 2, 1], port));
        broadcaster.handle_datagram(Instant::ZERO, host, &[0]);
        while let output @ (Output::Transmit(_) | Output::Event(_)) = broadcaster.poll_output() {
            let Output::Transmit(answer) = output else { continue };
            let Ok(Response::Joined(info)) = Dialect::Classic.decode_response(&answer.payload) else {
                continue;
            };
            let mut ping = BytesMut::new();
            Dialect::Classic.encode_request(&Request::Ping(info.id()), &mut ping);
            hosts.push((host, info.id(), ping));
            last_seen.insert(info.id(), Instant::ZERO);
        }
    }
    let now = Instant::from_micros(1);
    let round = || hosts.iter().cycle().take(PINGS as usize);
    compare(
        "take in a ping, of 10,000 pools / BTreeMap by id, store time",
        PINGS,
        || {
            for (_, id, _) in round() {
                if let Some(seen) = last_seen.get_mut(id) {
                    *seen = black_box(now);
                }
            }
        },
        || {
            for (host, _, ping) in round() {
                broadcaster.handle_datagram(now, *host, ping);
            }
        },
    );
}

fn frames_over_loopback() {
    const FRAMES: usize = 500_000;
    let stream = packed(FRAMES);
    let raw = || {
        let (mut sender, mut receiver) = connection();
        thread::scope(|scope| {
            scope.spawn(|| {
                for chunk in stream.chunks(64 * 1_024) {
                    if sender.write_all(chunk).is_err() {
                        return;
                    }
                }
            });
            let mut buffer = vec![0; 128 * 1_024];
            let (mut kept, mut count) = (0, 0);
            while count < FRAMES {
                let Some(room) = buffer.get_mut(kept..) else { return };
                let Ok(len) = receiver.read(room) else { return };
                let filled = kept + len;
                kept = parse_by_hand(buffer.get(..filled).unwrap_or_default(), |_, _| count += 1);
                buffer.copy_within(filled - kept..filled, 0);
            }
        });
    };
    compare("send and receive a 32 B event, std / raw TCP, packed", FRAMES as u64, raw, || {
        use poolmesh_std::Mesh;
        let (receiver, sender) = (Mesh::new(), Mesh::new());
        let (done, all) = mpsc::sync_channel(1);
        let count = std::sync::atomic::AtomicUsize::new(0);
        receiver.on("pos", move |_, message| {
            black_box(message.payload().len());
            if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == FRAMES {
                let _ = done.send(());
            }
        });
        let Ok(address) = receiver.listen_on(([127, 0, 0, 1], 0).into()) else { return };
        let Ok(peer) = sender.connect_to_peer(address) else { return };
        for _ in 0..FRAMES {
            let _ = peer.send(NAME, &PAYLOAD[..]);
        }
        let _ = all.recv();
    });
    compare("send and receive a 32 B event, smol / raw TCP, packed", FRAMES as u64, raw, || {
        use poolmesh_smol::Mesh;
        smol::block_on(async {
            let (receiver, sender) = (Mesh::new(), Mesh::new());
            let (done, all) = smol::channel::bounded(1);
            let count = std::sync::atomic::AtomicUsize::new(0);
            receiver.on("pos", move |_, message| {
                black_box(message.payload().len());
                if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 == FRAMES {
                    let _ = done.try_send(());
                }
            });
            let Ok(address) = receiver.listen_on(([127, 0, 0, 1], 0).into()).await else { return };
            let Ok(peer) = sender.connect_to_peer(address).await else { return };
            for _ in 0..FRAMES {
                let _ = peer.send(NAME, &PAYLOAD[..]).await;
            }
            let _ = all.recv().await;
        });
    });
}

fn connection() -> (TcpStream, TcpStream) {
    let open = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sender = TcpStream::connect(listener.local_addr()?)?;
        sender.set_nodelay(true)?;
        Ok::<_, std::io::Error>((sender, listener.accept()?.0))
    };
    open().unwrap_or_else(|error| panic!("no connection over loopback: {error}"))
}
