//! Cookies, offers and admission.

use super::lobby::*;
use crate::broadcaster::BroadcasterEvent;
use crate::wire::native::*;

fn refused(got: &Got) -> Refusal {
    let Got::Refused(refusal) = got else { panic!("not refused: {got:?}") };
    *refusal
}

fn joined(got: &Got) -> Joined {
    let Got::Joined(joined) = got else { panic!("not joined: {got:?}") };
    *joined
}

#[test]
fn a_pool_is_made_and_joined_and_all_have_its_roster() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    assert_eq!(agreed(&all), [1, 2, 3, 4]);
    assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (1, 4));
    let state = all[3].state.unwrap();
    assert_eq!((state.epoch.number(), state.host.get(), state.term.get(), state.next.get()), (4, 1, 1, 5));
    for client in &mut all {
        assert_eq!(lobby.ping(client), [Got::Pong(client.count)]);
    }
    let pool = all[0].joined.unwrap().pool.into();
    let joined = |port| BroadcasterEvent::PeerJoined { pool, peer: address(port) };
    let created = BroadcasterEvent::PoolCreated { pool, host: address(1) };
    assert_eq!(lobby.events, [created, joined(2), joined(3), joined(4)]);
}

#[test]
fn who_has_no_cookie_gets_one_and_nothing_else_happens() {
    let mut lobby = lobby(|_| {});
    let mut client = Client::new(1);
    let spec = spec(2);
    let create = Call::Create { application: GAME, spec: spec.as_spec(), about: About::default() };
    let mut cookies = [].to_vec();
    for wrong in [None, Cookie::new(1), Cookie::new(u64::MAX)] {
        client.cookie = wrong;
        let sent = client.request(create);
        match lobby.send(&mut client, &sent)[..] {
            [Got::Cookie(cookie)] => cookies.push(cookie),
            ref other => panic!("{other:?}"),
        }
    }
    assert!(cookies.iter().all(|cookie| *cookie == cookies[0]), "it is made of the address");
    assert_eq!((lobby.machine.pool_count(), lobby.machine.stats().cookies_given), (0, 3));
    for other in [address(2), ([192, 0, 2, 2], 1).into(), "[2001:db8::1]:1".parse().unwrap()] {
        let mut other = Client { cookie: Some(cookies[0]), ..Client::at(other) };
        let sent = other.request(create);
        assert!(matches!(lobby.send(&mut other, &sent)[..], [Got::Cookie(cookie)] if cookie != cookies[0]));
    }
    client.cookie = Some(cookies[0]);
    assert!(matches!(lobby.create(&mut client, &spec), Got::Joined(_)));
}

#[test]
fn a_cookie_is_good_for_one_to_two_minutes() {
    for begun in [0, 1, 59_999] {
        for (age, good) in [(0, true), (60_000, true), (119_999 - begun, true), (120_000 - begun, false)] {
            let mut lobby = lobby(|_| {});
            // The keys are drawn when the first datagram comes.
            lobby.create(&mut Client::new(9), &spec(2));
            lobby.wait(begun);
            let mut client = Client::new(1);
            let list = Call::List {
                application: Some(GAME),
                after: PoolUuid::NIL,
                free: 0,
                prefix: Name::default(),
            };
            lobby.ask(&mut client, list);
            lobby.wait(age);
            let sent = client.request(list);
            let got = lobby.send(&mut client, &sent);
            assert_eq!(matches!(got[..], [Got::Pools { .. }]), good, "made at {begun}, {age} old: {got:?}");
        }
    }
}

#[test]
fn after_minutes_without_a_request_no_old_cookie_is_good() {
    let mut lobby = lobby(|_| {});
    let mut client = Client::new(1);
    lobby.create(&mut client, &spec(2));
    lobby.wait(1_000_000);
    let spec = spec(2);
    let sent =
        client.request(Call::Create { application: GAME, spec: spec.as_spec(), about: About::default() });
    assert!(matches!(lobby.send(&mut client, &sent)[..], [Got::Cookie(_)]));
}

#[test]
fn a_request_with_a_wrong_tag_and_what_can_not_be_read_draw_nothing() {
    let mut lobby = lobby(|_| {});
    let mut client = Client::new(1);
    let spec = spec(2);
    let create = Call::Create { application: GAME, spec: spec.as_spec(), about: About::default() };
    let mut sent = client.request(create);
    sent[9] ^= 1;
    assert_eq!(lobby.send(&mut client, &sent), []);
    assert_eq!(lobby.machine.stats().dropped_wrong_tag, 1);
    let long = [&[0xa1, 2][..], &[0; 1_199]].concat();
    for bad in [&[0xa1][..], &[0xa1, 0x01], &[0xa1, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0], &[0xa1; 40], &long] {
        assert_eq!(lobby.send(&mut client, bad), []);
    }
    assert_eq!((lobby.machine.stats().dropped_malformed, lobby.machine.stats().datagrams), (5, 6));
    assert_eq!((lobby.machine.stats().ignored, lobby.machine.pool_count()), (0, 0));
}

#[test]
fn a_repeated_request_is_answered_as_it_was() {
    let mut lobby = lobby(|_| {});
    let mut host = Client::new(1);
    let first = joined(&lobby.create(&mut host, &spec(3)));
    assert_eq!(joined(&lobby.create(&mut host, &spec(3))), first, "before it was taken");
    lobby.ping(&mut host);
    assert_eq!(joined(&lobby.create(&mut host, &spec(3))), first, "and behind");
    let mut guest = Client::new(2);
    let second = joined(&lobby.join(&mut guest, first.pool));
    lobby.wait(7_000);
    assert_eq!(joined(&lobby.join(&mut guest, first.pool)), second);
    // The offer is kept from the first answer on.
    lobby.wait(1_000);
    let third = joined(&lobby.join(&mut guest, first.pool));
    assert_ne!(third.session, second.session);
    lobby.ping(&mut guest);
    assert_eq!(joined(&lobby.join(&mut guest, first.pool)), third);
    assert_eq!((lobby.machine.member_count(), lobby.machine.pool_count()), (2, 1));
}

#[test]
fn an_offer_that_nobody_takes_leaves_nothing() {
    let mut lobby = lobby(|_| {});
    let mut maker = Client::new(1);
    let offered = joined(&lobby.create(&mut maker, &spec(2)));
    let mut other = Client::new(2);
    assert_eq!(
        refused(&lobby.join(&mut other, offered.pool)),
        Refusal::NoSuchPool,
        "it is its maker's alone"
    );
    other.tx += 1;
    let by_code = Call::JoinByCode { application: GAME, code: offered.code, about: About::default() };
    assert_eq!(refused(&lobby.ask(&mut other, by_code)), Refusal::NoSuchPool);
    lobby.wait(7_999);
    assert_eq!(lobby.machine.pool_count(), 1);
    lobby.wait(1);
    assert_eq!((lobby.machine.pool_count(), lobby.machine.stats().offers_void), (0, 1));
    assert!(matches!(lobby.ping(&mut maker)[..], [Got::Unknown(..)]));
    let again = joined(&lobby.create(&mut maker, &spec(2)));
    assert_eq!((again.pool, again.session != offered.session), (offered.pool, true), "the call goes on");
    assert!(lobby.events.is_empty());
}

#[test]
fn a_create_whose_maker_is_gone_is_stale() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(4));
    let (host, guest) = all.split_at_mut(1);
    lobby.act(&mut host[0], Act::Leave);
    assert_eq!(refused(&lobby.create(&mut host[0], &spec(4))), Refusal::Stale);
    lobby.act(&mut guest[0], Act::Leave);
    // It is no pool any more, and the request that made it makes no other.
    assert_eq!(refused(&lobby.create(&mut host[0], &spec(4))), Refusal::Stale);
    assert_eq!(lobby.machine.pool_count(), 0);
    host[0].tx += 1;
    joined(&lobby.create(&mut host[0], &spec(4)));
}

#[test]
fn each_refusal_has_its_code() {
    let mut lobby = lobby(|config| {
        (config.limits.seats, config.limits.metadata, config.limits.about, config.limits.broadcasters) =
            (4, 3, 2, 1);
    });
    let host = lobby.host(1, &spec(2));
    let pool = host.joined.unwrap().pool;
    let mut client = Client::new(5);
    let broadcasters = [1, 2].map(|port| Address::new(address(port)).unwrap());
    let too_much =
        [spec(5), spec(4).with_metadata(b"1234").unwrap(), spec(4).with_broadcasters(&broadcasters).unwrap()];
    for spec in too_much {
        client.tx += 1;
        assert_eq!(refused(&lobby.create(&mut client, &spec)), Refusal::Limit);
    }
    client.about = b"abc".to_vec();
    assert_eq!(refused(&lobby.create(&mut client, &spec(2))), Refusal::Limit);
    assert_eq!(refused(&lobby.join(&mut client, pool)), Refusal::Limit);
    client.about = b"ab".to_vec();
    assert_eq!(refused(&lobby.join(&mut client, PoolUuid::new([9; 16]))), Refusal::NoSuchPool);
    let other = Application::named("other").unwrap();
    let elsewhere = Call::Join { application: other, pool, about: About::default() };
    assert_eq!(refused(&lobby.ask(&mut client, elsewhere)), Refusal::NoSuchPool);
    let code = host.joined.unwrap().code;
    let elsewhere = Call::JoinByCode { application: other, code, about: About::default() };
    assert_eq!(refused(&lobby.ask(&mut client, elsewhere)), Refusal::NoSuchPool);
    joined(&lobby.ask(&mut client, Call::JoinByCode { application: GAME, code, about: About::default() }));
    let mut third = Client::new(6);
    assert_eq!(refused(&lobby.join(&mut third, pool)), Refusal::Full, "a seat that is kept is not free");
    lobby.wait(7_999);
    third.cookie = None;
    assert_eq!(refused(&lobby.join(&mut third, pool)), Refusal::Full);
    lobby.wait(1);
    joined(&lobby.join(&mut third, pool));
    let stats = lobby.machine.stats();
    assert_eq!((stats.refused, stats.refused_by_limit, stats.refused_unknown_pool), (10, 7, 3));
}

#[test]
fn a_locked_pool_lets_nobody_in() {
    let mut lobby = lobby(|_| {});
    let host = lobby.host(1, &spec(8).locked(true));
    let mut client = Client::new(2);
    assert_eq!(refused(&lobby.join(&mut client, host.joined.unwrap().pool)), Refusal::Locked);
    assert_eq!(lobby.machine.stats().refused_locked, 1);
}

#[test]
fn who_joins_from_a_member_s_address_takes_its_place() {
    let mut lobby = lobby(|_| {});
    // It is full, which doesn't matter.
    let mut all = lobby.pool(3, &spec(3));
    let pool = all[0].joined.unwrap().pool;
    let mut new = Client { tx: 77, ..Client::new(2) };
    joined(&lobby.join(&mut new, pool));
    assert_eq!(new.member(), 4);
    assert_eq!(agreed(&all), [1, 2, 3], "nothing has happened yet");
    lobby.wait(100);
    let sent = new.message(1, Act::Ping(None));
    lobby.hand_in(new.from, &sent);
    lobby.drain();
    let mail = lobby.mail.remove(&new.from).unwrap();
    assert_eq!(all[1].read(&mail[0]), Got::Ended(EndReason::Replaced));
    let page = new.read(&mail[1]);
    assert!(matches!(&page, Got::Page { members, .. } if members.len() == 3), "{page:?}");
    all.remove(1);
    let got = lobby.meet(&mut all);
    let seen = Seen { member: 4, address: address(2), about: [].to_vec() };
    let told = [Told::Left(2, LeaveReason::Replaced), Told::Joined(seen)];
    assert!(matches!(&got[0][..], [Got::Changed { changes, .. }] if *changes == told), "{got:?}");
    assert_eq!(agreed(&all), [1, 3, 4]);
    assert_eq!(lobby.machine.member_count(), 3);
}

#[test]
fn the_seat_of_who_leaves_goes_to_who_was_to_take_its_place() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(2));
    let pool = all[0].joined.unwrap().pool;
    let mut new = Client { tx: 77, ..Client::new(2) };
    joined(&lobby.join(&mut new, pool));
    lobby.act(&mut all[1], Act::Leave);
    let mut third = Client::new(3);
    assert_eq!(refused(&lobby.join(&mut third, pool)), Refusal::Full);
    lobby.ping(&mut new);
    assert_eq!(lobby.machine.member_count(), 2);
    lobby.act(&mut new, Act::Leave);
    joined(&lobby.join(&mut third, pool));
}

#[test]
fn numbers_are_given_with_the_offer_and_never_twice() {
    let mut lobby = lobby(|_| {});
    let host = lobby.host(1, &spec(8));
    let pool = host.joined.unwrap().pool;
    let mut late = Client::new(2);
    let mut early = Client::new(3);
    let mut never = Client::new(4);
    for client in [&mut late, &mut early, &mut never] {
        joined(&lobby.join(client, pool));
    }
    assert_eq!([late.member(), early.member(), never.member()], [2, 3, 4]);
    lobby.ping(&mut early);
    lobby.ping(&mut late);
    let mut all = [host, late, early];
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2, 3], "in the order of numbers");
    lobby.wait(1);
    lobby.stay(&mut all, 10_000);
    let mut last = Client::new(5);
    joined(&lobby.join(&mut last, pool));
    assert_eq!(last.member(), 5);
}

#[test]
fn an_offer_is_taken_by_any_message() {
    let acts = [Act::Ask(None), Act::About(About::new(b"me").unwrap()), Act::Kick(Member::new(1).unwrap())];
    for act in acts {
        let mut lobby = lobby(|_| {});
        let host = lobby.host(1, &spec(8));
        let mut guest = Client::new(2);
        joined(&lobby.join(&mut guest, host.joined.unwrap().pool));
        lobby.act(&mut guest, act);
        assert_eq!(lobby.machine.member_count(), 2, "{act:?}");
    }
}

#[test]
fn a_second_request_from_an_address_takes_the_place_of_the_first() {
    let mut lobby = lobby(|_| {});
    let host = lobby.host(1, &spec(2));
    let pool = host.joined.unwrap().pool;
    let mut guest = Client::new(2);
    joined(&lobby.join(&mut guest, pool));
    let mut again = Client { tx: 99, ..guest.clone() };
    joined(&lobby.join(&mut again, pool));
    assert!(matches!(lobby.ping(&mut guest)[..], [Got::Unknown(..)]));
    lobby.ping(&mut again);
    assert_eq!(lobby.machine.member_count(), 2);
}

#[test]
fn the_same_secret_and_randomness_make_the_same() {
    let ids = |secret: u8, seed| {
        let mut lobby = lobby_of(seed, |config| config.secret = Some(Secret::new([secret; 32])));
        let joined = joined(&lobby.create(&mut Client::new(1), &spec(2)));
        (joined.pool, joined.code, joined.key)
    };
    assert_eq!(ids(1, 1), ids(1, 1));
    let (one, other) = (ids(1, 1), ids(1, 2));
    assert!(one.0 != other.0, "who makes the same request later makes another pool");
    assert!(one.1 != other.1 && one.2 != other.2 && one.0 != ids(2, 1).0);
}
