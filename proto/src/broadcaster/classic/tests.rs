//! The broadcaster's rules, driven datagram by datagram.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;

use core::net::SocketAddr;

use crate::broadcaster::{Broadcaster, BroadcasterConfig, BroadcasterStats, RandomSource};
use crate::wire::{MAX_ANSWER, Refusal, Request, Response, classic};
use crate::{Instant, Machine, Output, PoolId, Transmit};

const TIMEOUT: Duration = Duration::from_secs(1);

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn broadcaster(change: fn(&mut BroadcasterConfig)) -> Broadcaster<impl RandomSource> {
    let mut config = BroadcasterConfig::default().with_classic();
    change(&mut config);
    let mut counter = 0u128;
    Broadcaster::new(config, move || {
        counter += 0x1_0000_0001_0000_0001_0000_0001;
        counter
    })
}

/// What it sends until it waits, and the deadline it then names.
fn drain(machine: &mut Broadcaster<impl RandomSource>) -> (Vec<(SocketAddr, Response)>, Option<Instant>) {
    let mut sent = Vec::new();
    loop {
        match machine.poll_output() {
            Output::Transmit(Transmit { destination, payload }) => {
                assert!(payload.len() <= MAX_ANSWER);
                sent.push((destination, classic::decode_response(&payload).unwrap()));
            }
            Output::Event(_) => {}
            Output::Wait(deadline) => return (sent, deadline),
        }
    }
}

fn ask(
    machine: &mut Broadcaster<impl RandomSource>,
    now: Instant,
    from: SocketAddr,
    request: Request,
) -> Vec<(SocketAddr, Response)> {
    let mut datagram = BytesMut::new();
    classic::encode_request(&request, &mut datagram);
    machine.handle_datagram(now, from, &datagram);
    drain(machine).0
}

fn create(machine: &mut Broadcaster<impl RandomSource>, now: Instant, host: SocketAddr) -> PoolId {
    match &ask(machine, now, host, Request::Create)[..] {
        [(to, Response::Joined(info))] if *to == host => info.id(),
        other => panic!("create answered by {other:?}"),
    }
}

fn refusal(answers: &[(SocketAddr, Response)]) -> &Refusal {
    match answers {
        [(_, Response::Refused(refusal))] => refusal,
        other => panic!("not one refusal: {other:?}"),
    }
}

#[test]
fn a_join_names_you_the_host_and_the_latest_first() {
    let mut machine = broadcaster(|_| {});
    let pool = create(&mut machine, at(0), address(1));
    for port in 2..5 {
        ask(&mut machine, at(0), address(port), Request::Join(pool));
    }
    let answers = ask(&mut machine, at(0), address(2), Request::Join(pool));
    let [(_, Response::Joined(info))] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(info.peers(), [2, 1, 4, 3].map(address));
    assert_eq!((info.host(), info.you()), (address(1), address(2)));
    assert_eq!(machine.peer_count(), 3, "a second join adds nobody");
}

#[test]
fn a_pool_dies_exactly_when_its_last_ping_runs_out() {
    let mut machine = broadcaster(|_| {});
    let pool = create(&mut machine, at(0), address(1));
    assert!(ask(&mut machine, at(900), address(1), Request::Ping(pool)).is_empty());
    for now in [1_000, 1_899] {
        machine.handle_timeout(at(now));
        let (sent, deadline) = drain(&mut machine);
        assert!(sent.is_empty() && deadline > Some(at(now)) && deadline <= Some(at(1_900)), "{deadline:?}");
    }
    machine.handle_timeout(at(1_900));
    assert_eq!(drain(&mut machine), ([(address(1), Response::PoolEnded)].to_vec(), None));
}

#[test]
fn a_late_ping_revives_nothing() {
    let mut machine = broadcaster(|_| {});
    let pool = create(&mut machine, at(0), address(1));
    let answers = ask(&mut machine, at(0) + TIMEOUT, address(1), Request::Ping(pool));
    assert_eq!(answers[0], (address(1), Response::PoolEnded));
    assert!(matches!(answers[1].1, Response::Refused(Refusal::NoSuchPool(_))));
}

#[test]
fn a_ping_from_the_past_takes_nothing_away() {
    let mut machine = broadcaster(|_| {});
    let pool = create(&mut machine, at(500), address(1));
    assert!(ask(&mut machine, at(0), address(1), Request::Ping(pool)).is_empty());
    machine.handle_timeout(at(1_499));
    assert!(drain(&mut machine).0.is_empty());
    assert_eq!(machine.pool_count(), 1);
}

#[test]
fn only_the_host_pings() {
    let mut machine = broadcaster(|_| {});
    let pool = create(&mut machine, at(0), address(1));
    ask(&mut machine, at(0), address(2), Request::Join(pool));
    let answers = ask(&mut machine, at(900), address(2), Request::Ping(pool));
    assert_eq!(*refusal(&answers), Refusal::NotHost);
    machine.handle_timeout(at(1_000));
    assert_eq!(drain(&mut machine).0, [(address(1), Response::PoolEnded)], "the host alone is told");
}

#[test]
fn every_limit_refuses_in_words_and_counts() {
    let mut machine = broadcaster(|config| {
        (config.max_pools, config.max_pools_per_source, config.max_peers, config.max_peers_total) =
            (3, 2, 3, 3);
    });
    let pool = create(&mut machine, at(0), address(1));
    create(&mut machine, at(0), address(1));
    let answers = ask(&mut machine, at(0), address(2), Request::Create);
    assert_eq!(*refusal(&answers), Refusal::TooManyPoolsFromSource { limit: 2 });
    let elsewhere: SocketAddr = ([192, 0, 2, 2], 1).into();
    let other = create(&mut machine, at(0), elsewhere);
    let answers = ask(&mut machine, at(0), ([192, 0, 2, 3], 1).into(), Request::Create);
    assert_eq!(refusal(&answers).to_string(), "broadcaster holds its limit of 3 pools");

    for port in [2, 3] {
        ask(&mut machine, at(0), address(port), Request::Join(pool));
    }
    let answers = ask(&mut machine, at(0), address(4), Request::Join(pool));
    assert_eq!(*refusal(&answers), Refusal::PoolFull { pool, limit: 3 });
    ask(&mut machine, at(0), address(4), Request::Join(other));
    let answers = ask(&mut machine, at(0), address(5), Request::Join(other));
    assert_eq!(*refusal(&answers), Refusal::TooManyPeers { limit: 3 });

    machine.handle_datagram(at(0), address(1), &[2; 1_025]);
    assert_eq!(*refusal(&drain(&mut machine).0), Refusal::TooLong { limit: 1_024 });
    assert_eq!(machine.stats().refused_by_limit, 4);
    assert_eq!(machine.stats().refused, 5);
}

#[test]
fn a_cut_list_gives_every_pool_its_turn() {
    let mut machine = broadcaster(|_| {});
    let mut pools: Vec<PoolId> = (0..60).map(|port| create(&mut machine, at(0), address(port))).collect();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answers = ask(&mut machine, at(0), address(1), Request::List);
        let [(_, Response::Pools(ids))] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(ids.len(), 27);
        seen.extend_from_slice(ids);
    }
    seen.sort_unstable();
    seen.dedup();
    pools.sort_unstable();
    assert_eq!(seen, pools);
}

#[test]
fn a_list_that_fits_is_the_same_each_time() {
    let mut machine = broadcaster(|_| {});
    let pools: Vec<PoolId> = (0..28).map(|port| create(&mut machine, at(0), address(port))).collect();
    let list = |machine: &mut _, now| match &ask(machine, now, address(1), Request::List)[..] {
        [(_, Response::Pools(ids))] => ids.clone(),
        other => panic!("{other:?}"),
    };
    for _ in 0..2 {
        assert_ne!(list(&mut machine, at(0)), list(&mut machine, at(0)), "one too many");
    }
    for (port, pool) in (0..27).zip(&pools) {
        ask(&mut machine, at(500), address(port), Request::Ping(*pool));
    }
    machine.handle_timeout(at(1_000));
    drain(&mut machine);
    for _ in 0..2 {
        assert_eq!(list(&mut machine, at(1_000)), pools[..27]);
    }
}

#[test]
fn a_driver_that_does_not_drain_costs_a_bound() {
    let mut machine = broadcaster(|config| config.max_queued = 10);
    for port in 0..1_000 {
        machine.handle_datagram(at(0), address(port), &[0]);
    }
    machine.handle_timeout(at(5_000));
    assert!(machine.answers.len() <= 20);
    let (sent, deadline) = drain(&mut machine);
    assert_eq!(sent.len(), 10 + 1_000, "ten answers, and every notice, as room comes");
    assert_eq!((machine.pool_count(), deadline), (0, None));
    assert_eq!(machine.stats().outputs_dropped, 990 + 990, "answers and events");
}

#[test]
fn a_pool_whose_notice_waits_for_room_is_dead_all_the_same() {
    let mut machine = broadcaster(|config| config.max_queued = 1);
    let pool = create(&mut machine, at(0), address(1));
    let later = create(&mut machine, at(10), address(2));
    machine.handle_datagram(at(2_000), address(1), &[2]);
    assert_eq!(machine.pool_count(), 1, "not all are swept yet");
    assert!(
        [pool, later].iter().all(|pool| machine.classic.pools.find(pool.as_bytes(), at(2_000)).is_none())
    );
}

#[test]
fn broadcasters_do_not_talk_to_each_other_for_ever() {
    bounce_everything(broadcaster(|_| {}), broadcaster(|_| {}));
    let small: fn(&mut BroadcasterConfig) = |config| config.max_datagram = 41;
    bounce_everything(broadcaster(small), broadcaster(small));
}

fn bounce_everything<R: RandomSource>(mut one: Broadcaster<R>, mut other: Broadcaster<R>) {
    for first in 0..=u8::MAX {
        one.handle_datagram(at(0), address(2), &[first]);
        one.handle_datagram(at(0), address(2), &[first; 100]);
        for _ in 0..10 {
            for port in [1, 2] {
                let (speaker, listener) =
                    if port == 1 { (&mut one, &mut other) } else { (&mut other, &mut one) };
                while let Output::Transmit(transmit) = speaker.poll_output() {
                    listener.handle_datagram(at(0), address(port), &transmit.payload);
                }
            }
        }
        assert!(drain(&mut one).0.is_empty(), "type {first} is still bounced");
        assert!(drain(&mut other).0.is_empty(), "type {first} is still bounced");
    }
}

#[test]
fn a_dual_stack_socket_is_answered_at_its_own_address() {
    let mut machine = broadcaster(|_| {});
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:7".parse().unwrap();
    machine.handle_datagram(at(0), mapped, &[0]);
    let (sent, _) = drain(&mut machine);
    let [(to, Response::Joined(info))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((*to, info.you()), (mapped, address(7)));
    machine.handle_timeout(at(1_000));
    assert_eq!(drain(&mut machine).0, [(mapped, Response::PoolEnded)]);
}

#[test]
fn a_scope_goes_with_its_pool() {
    let mut machine = broadcaster(|_| {});
    let hosts = ["[fe80::1%3]:7", "[fe80::1]:7", "[fe80::1%4]:7"].map(|host| host.parse().unwrap());
    for (turn, host) in (0..).zip(hosts) {
        machine.handle_datagram(at(turn * 1_000), host, &[0]);
        drain(&mut machine);
        machine.handle_timeout(at((turn + 1) * 1_000));
        assert_eq!(drain(&mut machine).0, [(host, Response::PoolEnded)], "in the place of the one before");
    }
}

#[test]
fn notices_go_out_in_the_order_in_which_pools_were_quiet() {
    let mut machine = broadcaster(|_| {});
    let pools: Vec<PoolId> = (0..10).map(|port| create(&mut machine, at(0), address(port))).collect();
    let order = [3, 1, 4, 5, 9, 2, 6, 8, 7, 0];
    for (now, port) in (100..).zip(order) {
        ask(&mut machine, at(now), address(port), Request::Ping(pools[usize::from(port)]));
    }
    machine.handle_timeout(at(60_000));
    let noticed = drain(&mut machine).0.into_iter().map(|(to, _)| to.port());
    assert!(noticed.eq(order));
}

#[test]
fn at_the_end_of_time_it_still_stops() {
    let mut machine = broadcaster(|_| {});
    machine.handle_datagram(Instant::NEVER, address(1), &[0]);
    let (sent, deadline) = drain(&mut machine);
    assert_eq!((sent.len(), deadline), (1, None));
}

#[test]
fn everything_is_counted_once() {
    let mut machine = broadcaster(|config| config.max_peers = 2);
    let pool = create(&mut machine, at(0), address(1));
    for _ in 0..2 {
        ask(&mut machine, at(0), address(1), Request::Ping(pool));
        ask(&mut machine, at(0), address(1), Request::List);
        ask(&mut machine, at(0), address(2), Request::Join(pool));
        ask(&mut machine, at(0), address(3), Request::Join(pool));
        ask(&mut machine, at(0), address(3), Request::Ping("nobody's".parse().unwrap()));
        for datagram in [&[][..], &[99], &[1], &[0; 1_025], b"\x03\x01\0\0\0 "] {
            machine.handle_datagram(at(0), address(4), datagram);
        }
        drain(&mut machine);
    }
    create(&mut machine, at(0), address(5));
    machine.handle_timeout(at(0) + TIMEOUT);
    drain(&mut machine);
    let counted = BroadcasterStats {
        datagrams: 22,
        pools_created: 2,
        pools_ended: 2,
        peers_joined: 1,
        lists: 2,
        pings: 2,
        refused: 12,
        refused_unknown_pool: 4,
        refused_by_limit: 2,
        refused_malformed: 6,
        ignored: 2,
        ..BroadcasterStats::default()
    };
    assert_eq!(machine.stats(), counted);
}

#[test]
fn the_longest_datagram_is_read_and_one_byte_more_is_not() {
    let mut machine = broadcaster(|config| config.max_datagram = 10);
    machine.handle_datagram(at(0), address(1), &[0; 10]);
    assert!(matches!(drain(&mut machine).0[..], [(_, Response::Joined(_))]));
    machine.handle_datagram(at(0), address(1), &[0; 11]);
    assert_eq!(*refusal(&drain(&mut machine).0), Refusal::TooLong { limit: 10 });
}

#[test]
fn answers_are_cut_from_blocks_of_memory() {
    let mut machine = broadcaster(|_| {});
    let mut end = None;
    for _ in 0..1_000 {
        machine.handle_datagram(at(0), address(1), &[2]);
        let Output::Transmit(answer) = machine.poll_output() else { panic!("no answer") };
        let place = answer.payload.as_ptr_range();
        assert_eq!(place.start, end.unwrap_or(place.start));
        end = Some(place.end);
    }
}

#[test]
fn to_look_ahead_changes_nothing() {
    let mut machine = broadcaster(|_| {});
    let pools: Vec<PoolId> = (0..100).map(|port| create(&mut machine, at(0), address(port))).collect();
    let requests = pools.iter().flat_map(|pool| [Request::Ping(*pool), Request::List, Request::Join(*pool)]);
    let datagrams: Vec<BytesMut> = requests
        .map(|request| {
            let mut datagram = BytesMut::new();
            classic::encode_request(&request, &mut datagram);
            datagram
        })
        .collect();
    let before = (machine.stats(), drain(&mut machine));
    machine.look_ahead(datagrams.iter().map(|datagram| &datagram[..]).chain([&[][..], &[1], &[9]]));
    assert_eq!((machine.stats(), drain(&mut machine)), before);
    for (pool, requests) in pools.iter().zip(datagrams.chunks(3)) {
        let place = machine.classic.pools.find(pool.as_bytes(), at(0)).map(|pool| pool.slot());
        let ahead: Vec<Option<u32>> = requests.iter().map(|request| machine.slot_of(request)).collect();
        assert_eq!(ahead, [place, None, place]);
    }
    // What names no pool may lead anywhere.
    let nobodys = machine.slot_of(&[b'f'; 41]).unwrap_or_default();
    assert!(nobodys > 100, "{nobodys}");
    machine.classic.pools.touch([nobodys, 99, u32::MAX].iter());
}

#[test]
fn a_source_is_answered_so_often_and_others_all_the_same() {
    let mut machine = broadcaster(|config| {
        (config.classic_answers_per_second, config.classic_answers_in_a_row) = (10, 5);
    });
    let pool = create(&mut machine, at(0), address(1));
    let other: SocketAddr = ([198, 51, 100, 1], 1).into();
    let mut answered = |now, from, request| ask(&mut machine, now, from, request).len();
    let strange: PoolId = "nobody's".parse().unwrap();
    let asked = [Request::List, Request::Join(pool), Request::Ping(strange), Request::Create];
    // Once all together were answered so often, it is counted by source.
    for request in asked {
        assert_eq!(answered(at(0), other, request), 1);
    }
    let floods = asked.into_iter().cycle().take(40);
    assert_eq!(floods.map(|request| answered(at(0), address(2), request)).sum::<usize>(), 5);
    assert_eq!(asked.map(|request| answered(at(0), other, request)), [1; 4]);
    assert_eq!(answered(at(100), address(2), Request::List), 1);
    assert_eq!(answered(at(100), address(3), Request::List), 0, "of the same source");
    // A ping that keeps a pool alive draws no answer, and is heard.
    assert_eq!(answered(at(900), address(1), Request::Ping(pool)), 0);
    for _ in 0..40 {
        machine.handle_datagram(at(900), address(9), &[77]);
    }
    machine.handle_timeout(at(1_899));
    assert!(machine.classic.pools.find(pool.as_bytes(), at(1_899)).is_some());
    assert_eq!(machine.stats().dropped_classic_busy, 35 + 1 + 35);
    assert_eq!(machine.stats().refused_malformed, 5);
}

#[test]
fn nothing_is_drawn_but_ids_as_long_as_nobody_is_answered_too_often() {
    let mut drawn = 0;
    let config = BroadcasterConfig::default().with_classic();
    let mut machine = Broadcaster::new(config, || {
        drawn += 1;
        drawn << 100
    });
    for port in 0..10 {
        create(&mut machine, at(0), address(port));
        ask(&mut machine, at(0), address(port), Request::List);
    }
    drop(machine);
    assert_eq!(drawn, 10);
}
