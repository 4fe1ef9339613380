//! What there may be at most, and how often it may be asked for.

use alloc::vec::Vec;

use super::lobby::*;
use crate::Instant;
use crate::wire::native::*;

fn refused(got: &Got) -> Option<Refusal> {
    if let Got::Refused(refusal) = got { Some(*refusal) } else { None }
}

fn of_source(source: u8, port: u16) -> Client {
    Client { tx: u64::from(source) << 32 | u64::from(port), ..Client::at(([192, 0, source, 1], port).into()) }
}

#[test]
fn pools_are_limited_in_all_and_by_source() {
    let mut lobby = lobby(|config| (config.limits.pools, config.limits.pools_per_source) = (3, 2));
    let mut create = |source, port| {
        let mut client = of_source(source, port);
        let got = lobby.create(&mut client, &spec(2));
        if refused(&got).is_none() {
            lobby.ping(&mut client);
        }
        (refused(&got), client)
    };
    let (_, mut first) = create(1, 1);
    assert_eq!(create(1, 2).0, None);
    assert_eq!(create(1, 3).0, Some(Refusal::TooManyPoolsOfSource));
    assert_eq!(create(2, 1).0, None);
    assert_eq!(create(3, 1).0, Some(Refusal::TooManyPools));
    lobby.act(&mut first, Act::Close);
    let mut again = of_source(1, 9);
    assert_eq!(refused(&lobby.create(&mut again, &spec(2))), None);
    assert_eq!(lobby.machine.stats().refused_by_limit, 2);
}

#[test]
fn members_are_limited_in_all_and_by_source_with_those_who_are_offered_a_place() {
    let mut lobby = lobby(|config| (config.limits.members, config.limits.members_per_source) = (5, 3));
    let host = lobby.host(1, &spec(9));
    let pool = host.joined.unwrap().pool;
    let mut join = |source, port| refused(&lobby.join(&mut of_source(source, port), pool));
    assert_eq!([join(2, 2), join(2, 3)], [None; 2]);
    assert_eq!([join(1, 1), join(1, 2), join(1, 3)], [None, None, Some(Refusal::TooManyMembers)]);
    lobby.wait(8_000);
    let mut join = |source, port| refused(&lobby.join(&mut of_source(source, port), pool));
    assert_eq!([join(3, 1), join(3, 2), join(3, 3)], [None; 3]);
    assert_eq!(join(3, 4), Some(Refusal::TooManyMembersOfSource));
}

#[test]
fn who_comes_back_needs_no_other_place() {
    let mut lobby = lobby(|config| (config.limits.members, config.limits.members_per_source) = (3, 2));
    let mut all = lobby.pool(2, &spec(9));
    assert!(matches!(lobby.resume(&mut all[1]), Got::Joined(_)));
    // While it has two, one is free still, and then none.
    let pool = all[0].joined.unwrap().pool;
    assert_eq!(refused(&lobby.join(&mut of_source(5, 1), pool)), None);
    assert_eq!(refused(&lobby.join(&mut of_source(3, 1), pool)), Some(Refusal::TooManyMembers));
    lobby.ping(&mut all[1]);
    assert_eq!(refused(&lobby.join(&mut of_source(4, 1), pool)), Some(Refusal::TooManyMembers));
}

#[test]
fn what_each_source_has_is_given_back() {
    let mut lobby = lobby(|config| config.limits.members_per_source = 4);
    for round in 0..3 {
        let mut all = lobby.pool(4, &spec(9));
        let mut fifth = Client { tx: 1 << 40 | round, ..Client::new(9) };
        let full = lobby.join(&mut fifth, all[0].joined.unwrap().pool);
        assert_eq!(refused(&full), Some(Refusal::TooManyMembersOfSource));
        // One moves, one comes back, one is kicked, and the pool ends.
        let mut moved = Client { from: ([198, 51, 100, 1], 7).into(), ..all[1].clone() };
        let [Got::Prove(_, _, cookie)] = lobby.ping(&mut moved)[..] else { panic!() };
        lobby.act(&mut moved, Act::Move(cookie));
        lobby.got(&mut all[2]);
        lobby.resume(&mut all[2]);
        lobby.ping(&mut all[2]);
        lobby.act(&mut all[0], Act::Kick(Member::new(4).unwrap()));
        match round {
            0 => drop(lobby.act(&mut all[0], Act::Close)),
            1 => lobby.wait(10_000),
            _ => drop((lobby.act(&mut all[0], Act::Leave), lobby.act(&mut all[2], Act::Leave))),
        }
        lobby.wait(10_000);
        assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (0, 0));
        lobby.mail.clear();
        lobby.wait(60_000);
    }
}

#[test]
fn a_source_that_asks_too_often_is_told_once_in_ten_times() {
    let mut lobby = lobby(|config| {
        (config.limits.requests_per_second, config.limits.requests_in_a_row) = (10, 5);
        // So many that these have their own.
        config.limits.sources = 1 << 14;
    });
    let mut client = Client::new(1);
    let list = Call::List { application: Some(GAME), after: PoolUuid::NIL, free: 0, prefix: Name::default() };
    let first = client.request(list);
    // Without a cookie nothing counts.
    for _ in 0..50 {
        lobby.send(&mut client, &first);
    }
    lobby.ask(&mut client, list);
    let sent = client.request(list);
    let got: Vec<Got> = (0..34).flat_map(|_| lobby.send(&mut client, &sent)).collect();
    assert_eq!(got.iter().filter(|got| matches!(got, Got::Pools { .. })).count(), 4);
    let busy: Vec<_> = got.iter().filter_map(refused).collect();
    assert_eq!(busy, [Refusal::Busy { wait: 100 }; 3]);
    let stats = lobby.machine.stats();
    assert_eq!((stats.dropped_busy, stats.refused_busy, stats.cookies_given), (27, 3, 51));
    lobby.wait(100);
    assert!(matches!(lobby.send(&mut client, &sent)[..], [Got::Pools { .. }]));
    // Members are heard, and others are.
    let mut other = of_source(3, 1);
    assert!(matches!(lobby.ask(&mut other, list), Got::Pools { .. }));
}

#[test]
fn who_guesses_codes_is_refused_whatever_it_asks_for() {
    let mut lobby = lobby(|config| config.limits.sources = 1 << 14);
    let host = lobby.host(1, &spec(9));
    let code = host.joined.unwrap().code;
    let mut guesser = Client::at(([198, 51, 100, 1], 7).into());
    let mut guess = |lobby: &mut Lobby<_>, code| {
        guesser.tx += 1;
        refused(
            &lobby.ask(&mut guesser, Call::JoinByCode { application: GAME, code, about: About::default() }),
        )
    };
    let wrong = PoolCode::new(code.get() ^ 1).unwrap();
    for _ in 0..19 {
        assert_eq!(guess(&mut lobby, wrong), Some(Refusal::NoSuchPool));
    }
    assert_eq!(guess(&mut lobby, code), None, "it may be mistaken");
    lobby.wait(5_000);
    assert_eq!(guess(&mut lobby, wrong), Some(Refusal::NoSuchPool));
    for code in [wrong, code] {
        assert_eq!(guess(&mut lobby, code), Some(Refusal::Busy { wait: 55_000 }));
    }
    let mut friend = Client::at(([198, 51, 100, 2], 7).into());
    let by_code = Call::JoinByCode { application: GAME, code, about: About::default() };
    assert_eq!(refused(&lobby.ask(&mut friend, by_code)), None, "others are not");
    lobby.wait(55_000);
    let mut again = Client { tx: 1 << 50, ..Client::at(([198, 51, 100, 1], 7).into()) };
    assert_eq!(refused(&lobby.ask(&mut again, by_code)), Some(Refusal::NoSuchPool), "its host has gone");
}

#[test]
fn changes_that_nobody_polls_for_take_a_bound_and_are_learnt_by_a_ping() {
    let mut lobby = lobby(|config| config.max_queued = 8);
    let mut all: Vec<Client> = Vec::new();
    for port in 1..=40 {
        let mut host = Client { tx: u64::from(port), ..Client::new(port) };
        lobby.create(&mut host, &spec(4));
        lobby.ping(&mut host);
        all.push(host);
    }
    let number = all[0].epoch().unwrap().number();
    let epochs = |round: u8| (About::MAX_LEN, round);
    for round in 0..20 {
        for client in &mut all {
            let (len, fill) = epochs(round);
            client.order += 1;
            let about = [fill; 128];
            let sent = client.message(client.order, Act::About(About::new(&about[..len]).unwrap()));
            lobby.hand_in(client.from, &sent);
        }
    }
    let dropped = lobby.machine.stats().changes_dropped;
    assert!(dropped > 20, "{dropped}");
    lobby.meet(&mut all);
    for client in &mut all {
        lobby.ping(client);
        assert_eq!(client.roster[0].about, [19; 128]);
        assert!(client.epoch().unwrap().number() > number);
    }
}

#[test]
fn the_news_of_pools_that_have_ended_take_nothing() {
    let mut lobby = lobby(|config| config.max_queued = 8);
    for port in 1..=100 {
        let host = lobby.host(port, &spec(4));
        let about = host.message(1, Act::About(About::new(&[7; 128]).unwrap()));
        lobby.hand_in(host.from, &about);
        lobby.hand_in(host.from, &host.message(2, Act::Close));
        lobby.drain();
    }
    assert_eq!((lobby.machine.pool_count(), lobby.machine.stats().changes_dropped), (0, 0));
}

#[test]
fn no_pool_is_brought_back_by_who_may_not_come() {
    let mut first = lobby(|_| {});
    let mut client = first.host(1, &spec(8));
    client.about = b"four".to_vec();
    let mut lobby = lobby_of(5, |config| config.limits.about = 3);
    client.cookie = None;
    assert_eq!(lobby.resume(&mut client), Got::Refused(Refusal::Limit));
    assert_eq!(lobby.machine.pool_count(), 0);
    let mut lobby = lobby_of(5, |config| config.limits.members_per_source = 0);
    client.cookie = None;
    assert_eq!(lobby.resume(&mut client), Got::Refused(Refusal::TooManyMembersOfSource));
    assert_eq!(lobby.machine.pool_count(), 0);
}

#[test]
fn a_pool_that_has_ended_counts_until_its_members_are_told() {
    let mut lobby = lobby(|config| config.limits.pools = 1);
    let mut all = lobby.pool(3, &spec(4));
    let mut other = Client::new(50);
    lobby.hand_in(all[0].from, &all[0].message(1, Act::Close));
    assert_eq!(lobby.machine.pool_count(), 0);
    lobby.meet(&mut all);
    assert_eq!(refused(&lobby.create(&mut other, &spec(4))), None);
}

#[test]
fn a_driver_that_does_not_poll_costs_a_bound() {
    let mut lobby = lobby(|config| config.max_queued = 10);
    let mut all = lobby.pool(3, &spec(9));
    for _ in 0..1_000 {
        all[0].count += 1;
        let sent = all[0].message(all[0].count, Act::Ping(None));
        lobby.now = lobby.now + core::time::Duration::from_millis(50);
        lobby.hand_in(address(1), &sent);
    }
    lobby.hand_in(address(1), &all[0].message(1, Act::Close));
    lobby.drain();
    let datagrams: usize = lobby.mail.values().map(Vec::len).sum();
    assert!(datagrams <= 10 + 2, "{datagrams}");
    assert_eq!(lobby.machine.pool_count(), 0);
    assert!(lobby.machine.stats().outputs_dropped > 900);
}

#[test]
fn what_happens_does_not_depend_on_when_it_is_polled_for() {
    let played = |often: bool| {
        let mut lobby = lobby(|_| {});
        let mut all = lobby.pool(3, &spec(9));
        for client in &mut all {
            client.order += 1;
            let about = client.message(client.order, Act::About(About::new(b"x").unwrap()));
            lobby.hand_in(client.from, &about);
            if often {
                lobby.drain();
            }
        }
        lobby.meet(&mut all);
        all
    };
    let (often, once) = (played(true), played(false));
    assert_eq!((agreed(&often), &often[0].roster), (agreed(&once), &once[0].roster));
}

#[test]
fn at_the_end_of_time_it_still_stops() {
    let mut lobby = lobby(|_| {});
    lobby.now = Instant::NEVER;
    let mut client = Client::new(1);
    lobby.create(&mut client, &spec(2));
    lobby.ping(&mut client);
    assert_eq!(lobby.drain(), None);
}

#[test]
fn time_that_runs_backwards_does_no_harm() {
    let mut lobby = lobby(|_| {});
    lobby.wait(50_000);
    let mut all = lobby.pool(2, &spec(4));
    lobby.now = at(0);
    assert_eq!(lobby.ping(&mut all[0]).len(), 1);
    lobby.now = at(59_999);
    assert_eq!((lobby.ping(&mut all[1]).len(), lobby.machine.member_count()), (1, 2));
}
