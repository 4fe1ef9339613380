//! Requests handed to a broadcaster, and its outputs drained.

use std::hint::black_box;
use std::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::Request;
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output, PoolId, RandomSource, Shard,
};

use super::{TIMES, address, request};
use crate::counter::{count, count_with};

const ZERO: Instant = Instant::ZERO;
/// A pool that nobody has made.
const UNKNOWN: &[u8; 36] = b"306c97f9-4b65-451f-a914-68a573d71508";

/// A broadcaster with pools, of which some are known here.
struct Filled<R> {
    broadcaster: Broadcaster<R>,
    /// The number of the host, and his pool.
    hosts: Vec<(u32, PoolId)>,
}

/// A broadcaster with so many pools, of which a thousand at the most are known, evenly spread.
fn filled(pools: u32) -> Filled<impl RandomSource + use<>> {
    fill(pools, Broadcaster::new(config(pools), random()))
}

fn random() -> impl RandomSource + use<> {
    let mut seed = 7u128;
    move || {
        seed = seed.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(1);
        seed
    }
}

fn config(pools: u32) -> BroadcasterConfig {
    let mut config = BroadcasterConfig::default().with_classic();
    // Room for those that cases make.
    config.max_pools = pools as usize + 4 * TIMES as usize;
    // All is asked for at one moment.
    config.classic_answers_in_a_row = u32::MAX;
    config
}

fn fill<R: RandomSource>(pools: u32, broadcaster: Broadcaster<R>) -> Filled<R> {
    let mut broadcaster = broadcaster;
    let create = request(&Request::Create);
    let mut hosts = Vec::new();
    let step = (pools / TIMES).max(1);
    for number in 0..pools {
        broadcaster.handle_datagram(ZERO, address(number), &create);
        loop {
            match broadcaster.poll_output() {
                Output::Event(BroadcasterEvent::PoolCreated { pool, .. }) if number % step == 0 => {
                    hosts.push((number, pool));
                }
                Output::Event(_) | Output::Transmit(_) => {}
                Output::Wait(_) => break,
            }
        }
    }
    Filled { broadcaster, hosts }
}

impl<R: RandomSource> Filled<R> {
    /// What each known host sends to ask that of his pool.
    fn requests(&self, ask: impl Fn(PoolId) -> Request) -> Vec<(u32, BytesMut)> {
        self.hosts.iter().map(|(number, pool)| (*number, request(&ask(*pool)))).collect()
    }

    /// Hands in each of the requests, and drains.
    #[inline(never)]
    fn ask(&mut self, now: Instant, requests: &[(u32, BytesMut)]) {
        for (from, request) in requests {
            self.broadcaster.handle_datagram(now, address(*from), request);
            drain(&mut self.broadcaster);
        }
    }
}

#[inline(never)]
fn drain(machine: &mut impl Machine) {
    while !matches!(black_box(machine.poll_output()), Output::Wait(_)) {}
}

pub(super) fn million() {
    let mut filled = filled(1_000_000);
    let pings = filled.requests(Request::Ping);
    count("broadcaster, ping at 1,000,000 pools", TIMES, || filled.ask(ZERO, &pings));
    assert_eq!(filled.broadcaster.stats().pings, 2 * u64::from(TIMES));
    let lists = vec![(0, request(&Request::List)); TIMES as usize];
    count("broadcaster, list at 1,000,000 pools", TIMES, || filled.ask(ZERO, &lists));
}

pub(super) fn all() {
    pings();
    lists_and_joins();
    shards();
    pools_come_and_go();
}

fn pings() {
    let mut filled = filled(TIMES);
    let pings = filled.requests(Request::Ping);
    count("broadcaster, ping at 1,000 pools", TIMES, || filled.ask(ZERO, &pings));
    assert_eq!(filled.broadcaster.stats().pings, 2 * u64::from(TIMES));
    count("broadcaster, look ahead for a ping", TIMES, || {
        filled.broadcaster.look_ahead(pings.iter().map(|(_, ping)| &ping[..]));
    });
    let unknown = [&[1, 36, 0, 0, 0], &UNKNOWN[..]].concat();
    let unknown = vec![(0, BytesMut::from(&unknown[..])); TIMES as usize];
    count("broadcaster, ping of an unknown pool", TIMES, || filled.ask(ZERO, &unknown));
    assert_eq!(filled.broadcaster.stats().refused_unknown_pool, 2 * u64::from(TIMES));
    let spoiled = vec![(0, BytesMut::from(&[1, 36, 0][..])); TIMES as usize];
    count("broadcaster, a spoiled ping", TIMES, || filled.ask(ZERO, &spoiled));
    assert_eq!(filled.broadcaster.stats().refused_malformed, 2 * u64::from(TIMES));
    let mut now = ZERO;
    count("broadcaster, timeout with nothing due", TIMES, || {
        for _ in 0..TIMES {
            now = now + Duration::from_micros(1);
            filled.broadcaster.handle_timeout(now);
            drain(&mut filled.broadcaster);
        }
    });
}

fn lists_and_joins() {
    for pools in [20, 1_000] {
        let mut filled = filled(pools);
        let lists = vec![(0, request(&Request::List)); TIMES as usize];
        let name = if pools == 20 { "list of 20 pools" } else { "list of 27 of 1,000 pools" };
        count(&format!("broadcaster, {name}"), TIMES, || filled.ask(ZERO, &lists));
    }
    let mut filled = filled(TIMES);
    let joins = filled.requests(Request::Join);
    for peer in 1..8 {
        for (number, join) in &joins {
            filled.broadcaster.handle_datagram(ZERO, address(number + peer * TIMES), join);
            drain(&mut filled.broadcaster);
        }
    }
    count("broadcaster, join once more, of 8", TIMES, || filled.ask(ZERO, &joins));
    let mut newcomers = joins.clone();
    count("broadcaster, join anew, the ninth or tenth", TIMES, || {
        // They are others each time.
        newcomers.iter_mut().for_each(|(number, _)| *number += 10 * TIMES);
        filled.ask(ZERO, &newcomers);
    });
    assert_eq!(filled.broadcaster.peer_count(), 9 * TIMES as usize);
}

/// A broadcaster of two machines, all of whose pools are those of the first.
fn shards() {
    let of_two = |pools| {
        let shards = Shard::split(2);
        let first = shards.first().expect("there are two");
        fill(pools, Broadcaster::of_shard(config(pools), random(), first))
    };
    let mut filled = of_two(TIMES);
    let pings = filled.requests(Request::Ping);
    count("broadcaster of two shards, ping", TIMES, || filled.ask(ZERO, &pings));
    assert_eq!(filled.broadcaster.stats().pings, 2 * u64::from(TIMES));
    let joins = filled.requests(Request::Join);
    count("broadcaster of two shards, join of the host", TIMES, || filled.ask(ZERO, &joins));
    let mut filled = of_two(20);
    let lists = vec![(0, request(&Request::List)); TIMES as usize];
    count("broadcaster of two shards, list of 20 pools", TIMES, || filled.ask(ZERO, &lists));
    let shards = Shard::split(2);
    count("broadcaster of two shards, whose a ping is", TIMES, || {
        for (_, ping) in &pings {
            black_box(shards.iter().map(|shard| shard.owner(ping)).next());
        }
    });
}

fn pools_come_and_go() {
    let create = request(&Request::Create);
    let creates: Vec<_> = (TIMES..2 * TIMES).map(|number| (number, create.clone())).collect();
    count_with(
        "broadcaster, create",
        TIMES,
        || filled(TIMES),
        |filled| {
            filled.ask(ZERO, &creates);
            assert_eq!(filled.broadcaster.pool_count(), 2 * TIMES as usize);
        },
    );
    let late = ZERO + BroadcasterConfig::default().ping_timeout;
    count_with(
        "broadcaster, the end of a pool",
        TIMES,
        || filled(TIMES),
        |filled| {
            filled.broadcaster.handle_timeout(late);
            drain(&mut filled.broadcaster);
            assert_eq!(filled.broadcaster.pool_count(), 0);
        },
    );
    // All were pinged since they were made: the deadline of each is set anew.
    count_with(
        "broadcaster, a deadline that a ping has moved",
        TIMES,
        || {
            let mut filled = filled(TIMES);
            let pings = filled.requests(Request::Ping);
            filled.ask(ZERO + Duration::from_millis(500), &pings);
            filled
        },
        |filled| {
            filled.broadcaster.handle_timeout(late);
            drain(&mut filled.broadcaster);
            assert_eq!(filled.broadcaster.pool_count(), TIMES as usize);
        },
    );
}
