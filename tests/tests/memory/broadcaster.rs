//! What a broadcaster keeps: what its config states, whatever it is sent.

use core::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, classic};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output, PoolId, RandomSource,
};

use super::{Live, allocations};

/// What [`BroadcasterConfig`] states, in bytes: a pool, one more that has peers, a peer on IPv4 and one on IPv6, an
/// answer that may be queued with what it tells, and the broadcaster itself.
const POOL: usize = 120;
const WITH_PEERS: usize = 32;
const PEER: usize = 14;
const PEER_V6: usize = 38;
const QUEUED: usize = 1_500;
const OWN: usize = 128 * 1_024;
/// A place of the table of sources.
const SOURCE: usize = 24;

fn ip(number: usize) -> SocketAddr {
    let number = u32::try_from(number).unwrap();
    SocketAddr::from(((0x0b00_0000 + number).to_be_bytes(), 5_000))
}

fn broadcaster(config: &BroadcasterConfig) -> Broadcaster<impl RandomSource + use<>> {
    let mut number = 0u128;
    let random = move || {
        number = number.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        number
    };
    Broadcaster::new(config.clone(), random)
}

fn drain(machine: &mut Broadcaster<impl RandomSource>) {
    while !matches!(machine.poll_output(), Output::Wait(_)) {}
}

/// The ids of the pools that a broadcaster will make: what one that is polled makes of the same numbers.
fn ids(config: &BroadcasterConfig) -> Vec<PoolId> {
    let mut machine = broadcaster(config);
    let mut ids = Vec::with_capacity(config.max_pools);
    for host in 0..config.max_pools {
        machine.handle_datagram(Instant::ZERO, ip(host), &[0]);
        loop {
            match machine.poll_output() {
                Output::Event(BroadcasterEvent::PoolCreated { pool, .. }) => ids.push(pool),
                Output::Wait(_) => break,
                _ => {}
            }
        }
    }
    assert_eq!(ids.len(), config.max_pools);
    ids
}

/// Creates and joins from more addresses than there is room for, and lists; nobody polls.
fn flood(
    machine: &mut Broadcaster<impl RandomSource>,
    now: Instant,
    config: &BroadcasterConfig,
    ids: &[PoolId],
) {
    for host in 0..config.max_pools + 1_000 {
        machine.handle_datagram(now, ip(host), &[0]);
    }
    let mut datagram = BytesMut::with_capacity(100);
    for number in 0..config.max_peers_total + config.max_queued + 1_000 {
        datagram.clear();
        classic::encode_request(&Request::Join(ids[number % ids.len()]), &mut datagram);
        machine.handle_datagram(now, ip(100_000 + number), &datagram);
    }
    for _ in 0..config.max_queued {
        machine.handle_datagram(now, ip(0), &[2]);
    }
}

pub(super) fn flooded() {
    let limits =
        [(65_536, 0, 64), (40_000, 0, 64), (5_000, 5_000, 64), (100, 20_000, 1_000), (100, 0, 20_000)];
    for (max_pools, max_peers_total, max_queued) in limits {
        let mut config = BroadcasterConfig::default().with_classic();
        (config.max_pools, config.max_peers_total, config.max_queued) =
            (max_pools, max_peers_total, max_queued);
        let ids = ids(&config);
        let live = Live::start();
        let mut machine = broadcaster(&config);
        flood(&mut machine, Instant::ZERO, &config, &ids);
        assert_eq!((machine.pool_count(), machine.peer_count()), (max_pools, max_peers_total));
        let peers = max_pools.min(max_peers_total) * WITH_PEERS + max_peers_total * PEER;
        let table = config.limits.sources * SOURCE;
        let most = max_pools * POOL + peers + max_queued * QUEUED + OWN + table;
        assert!(
            live.bytes() <= most,
            "{} of {most} at {max_pools}/{max_peers_total}/{max_queued}",
            live.bytes()
        );
        drop(machine);
        assert_eq!(live.bytes(), 0, "all is given back");
    }
}

pub(super) fn refilled() {
    let mut config = BroadcasterConfig::default().with_classic();
    (config.max_pools, config.max_peers_total, config.max_queued) = (2_000, 4_000, 100);
    let ids = ids(&config);
    let live = Live::start();
    let mut machine = broadcaster(&config);
    let mut now = Instant::ZERO;
    let mut first = 0;
    for round in 0..20 {
        flood(&mut machine, now, &config, &ids);
        let bytes = live.bytes();
        // Of the pools made later the ids are not known, so only the first have peers.
        first = first.max(if round == 0 { bytes } else { 0 });
        assert!(bytes <= first, "round {round}: {bytes}, at first {first}");
        drain(&mut machine);
        now = now + config.ping_timeout;
        machine.handle_timeout(now);
        drain(&mut machine);
        assert_eq!((machine.pool_count(), machine.peer_count()), (0, 0));
    }
}

/// One more than a power of two: what is doubled to grow has as much room again.
const MANY: usize = 1 + if cfg!(debug_assertions) { 1 << 13 } else { 1 << 20 };

/// Pools with as many peers each, all made at one moment; then all end.
pub(super) fn many_pools() {
    let v4 = |number: usize| ip(number);
    let v6 = |number: usize| SocketAddr::from((Ipv6Addr::from((number as u128) << 64 | 1), 5_000));
    let zoned = |number: usize| {
        let ip = Ipv6Addr::from((number as u128) << 64 | 1);
        SocketAddr::from(SocketAddrV6::new(ip, 5_000, 0, 7))
    };
    take_within(v4, v4, 0, POOL);
    take_within(v6, v4, 0, POOL);
    take_within(zoned, v4, 0, POOL + 40);
    // What a user may count on, whatever the parts are.
    take_within(v4, v4, 5, 200);
    for count in [1, 20] {
        take_within(v4, v4, count, POOL + WITH_PEERS + count * PEER);
        take_within(v4, v6, count, POOL + WITH_PEERS + count * PEER_V6);
    }
}

fn take_within(
    host: impl Fn(usize) -> SocketAddr,
    peer: impl Fn(usize) -> SocketAddr,
    peers: usize,
    most: usize,
) {
    let pools = if peers > 5 { MANY / 8 + 1 } else { MANY };
    let mut config = BroadcasterConfig::default().with_classic();
    (config.max_pools, config.max_peers_total) = (pools, pools * peers);
    // All is asked for at one moment.
    config.classic_answers_in_a_row = u32::MAX;
    let live = Live::start();
    let mut machine = broadcaster(&config);
    let mut datagram = BytesMut::with_capacity(100);
    let mut own = 0;
    for number in 0..pools {
        machine.handle_datagram(Instant::ZERO, host(number), &[0]);
        loop {
            match machine.poll_output() {
                Output::Event(BroadcasterEvent::PoolCreated { pool, .. }) => {
                    datagram.clear();
                    classic::encode_request(&Request::Join(pool), &mut datagram);
                }
                Output::Wait(_) => break,
                _ => {}
            }
        }
        for joining in 0..peers {
            machine.handle_datagram(Instant::ZERO, peer(0x0100_0000 + joining), &datagram);
            drain(&mut machine);
        }
        if number == 0 {
            own = live.bytes();
        }
    }
    assert_eq!((machine.pool_count(), machine.peer_count()), (pools, pools * peers));
    let bytes = live.bytes() - own;
    assert!(
        own <= most + OWN && bytes <= pools * most,
        "{} a pool with {peers} peers, of {most}",
        bytes / pools
    );
    machine.handle_timeout(Instant::ZERO + config.ping_timeout);
    assert!(live.bytes() <= pools * most + config.max_queued * QUEUED + OWN);
    drain(&mut machine);
    assert_eq!(machine.pool_count(), 0);
    assert!(live.bytes() <= pools * POOL + config.max_queued * QUEUED + OWN, "what is kept for more pools");
}

/// Once it has what it needs: pings, lists and joins of those who have joined, and pings and joins of what there isn't, over
/// some turns of its clock.
pub(super) fn busy() {
    let mut config = BroadcasterConfig::default().with_classic();
    config.max_pools = 50;
    let ids = ids(&config);
    let mut machine = broadcaster(&config);
    let datagram = |request: Request| {
        let mut datagram = BytesMut::new();
        classic::encode_request(&request, &mut datagram);
        datagram
    };
    let pings: Vec<BytesMut> = ids.iter().map(|id| datagram(Request::Ping(*id))).collect();
    let joins: Vec<BytesMut> = ids.iter().map(|id| datagram(Request::Join(*id))).collect();
    let strange: PoolId = "306c97f9-4b65-451f-a914-68a573d71508".parse().unwrap();
    let unknown = [Request::Ping(strange), Request::Join(strange)].map(datagram);
    let longest = [&[1, 200, 3, 0, 0][..], &[b'x'; 968]].concat();
    for host in 0..config.max_pools {
        machine.handle_datagram(Instant::ZERO, ip(host), &[0]);
    }
    // More than an answer names.
    for peer in 0..80 * config.max_pools {
        machine.handle_datagram(Instant::ZERO, ip(1_000 + peer), &joins[peer % config.max_pools]);
        drain(&mut machine);
    }
    let mut now = Instant::ZERO;
    let mut round = || {
        for step in 0..1_000 {
            now = now + core::time::Duration::from_millis(7);
            let pool = step % config.max_pools;
            machine.handle_datagram(now, ip(pool), &pings[pool]);
            drain(&mut machine);
            machine.handle_datagram(now, ip(1), &[2]);
            drain(&mut machine);
            machine.handle_datagram(now, ip(1_000 + step), &joins[pool]);
            drain(&mut machine);
            for nobodys in unknown.iter().map(|unknown| &unknown[..]).chain([&longest[..]]) {
                machine.handle_datagram(now, ip(2), nobodys);
                drain(&mut machine);
            }
        }
        assert_eq!((machine.pool_count(), machine.peer_count()), (50, 4_000));
    };
    round();
    assert_eq!(allocations(&mut round), 0, "it has all it needs");
    assert_eq!(machine.stats().refused_unknown_pool, 6_000);
}
