//! How much members may have others told (PROTOCOL.md, sections 5 and 8).

use alloc::vec::Vec;
use core::time::Duration;

use super::again::offered_elsewhere;
use super::lobby::*;
use super::recovery::joined;
use crate::broadcaster::RandomSource;
use crate::wire::native::*;

/// A pool of so many, after a time in which all had what they may send saved up: so many requests in a row, and one a second more.
fn pool_of(members: u16, in_a_row: u32) -> (Lobby<impl RandomSource>, Vec<Client>) {
    let mut lobby = lobby(move |config| {
        (config.limits.requests_in_a_row, config.limits.requests_per_second) = (in_a_row, 1);
    });
    let mut all = lobby.pool(members, &spec(32));
    for _ in 0..in_a_row {
        lobby.stay(&mut all, 1_000);
    }
    (lobby, all)
}

fn say<R: RandomSource>(lobby: &mut Lobby<R>, client: &mut Client, what: u32) -> Got {
    lobby.mail.clear();
    lobby.act(client, Act::About(About::new(&what.to_le_bytes()).unwrap())).remove(0)
}

#[test]
fn orders_count_for_the_rate_of_their_source_whoever_of_it_gives_them() {
    let (mut lobby, mut all) = pool_of(4, 20);
    let busy =
        |got: &Got| matches!(got, Got::Done(_, Err(Refusal::Busy { wait })) if (1..=1_000).contains(wait));
    let done = (1..=20)
        .filter(|at| matches!(say(&mut lobby, &mut all[*at as usize % 3], *at), Got::Done(_, Ok(()))));
    assert_eq!(done.count(), 20);
    for at in [0, 1, 3] {
        assert!(busy(&say(&mut lobby, &mut all[at], 99)));
    }
    assert_eq!(lobby.machine.stats().refused_busy, 3);
    assert!(
        matches!(lobby.act(&mut all[0], Act::Kick(member(4)))[0], Got::Done(_, Ok(()))),
        "so the host can"
    );
    lobby.mail.clear();
    assert!(matches!(lobby.act(&mut all[1], Act::Leave)[0], Got::Done(_, Ok(()))), "whoever goes is let go");
    lobby.wait(1_000);
    assert!(matches!(say(&mut lobby, &mut all[0], 100), Got::Done(_, Ok(()))));
    assert!(matches!(lobby.act(&mut all[0], Act::Close)[0], Got::Done(_, Ok(()))), "and all are");
}

#[test]
fn moves_count_for_the_rate_of_their_source() {
    let (mut lobby, mut all) = pool_of(2, 20);
    let mut moved = Client { from: address(9), ..all[1].clone() };
    let mut home = all[1].clone();
    let cookie = |lobby: &mut Lobby<_>, client: &mut Client| match lobby.ping(client)[..] {
        [Got::Prove(_, _, cookie), ..] => cookie,
        ref other => panic!("{other:?}"),
    };
    let there = cookie(&mut lobby, &mut moved);
    lobby.act(&mut moved, Act::Move(there));
    home.count = moved.count;
    let here = cookie(&mut lobby, &mut home);
    let before = lobby.machine.stats().dropped_busy;
    let number = |client: &Client| client.epoch().map_or(0, Epoch::number);
    lobby.ping(&mut all[0]);
    let moved_once = number(&all[0]);
    for turn in 0..40 {
        let (one, cookie) = if turn % 2 == 0 { (&mut home, here) } else { (&mut moved, there) };
        one.count = 10 + turn;
        lobby.act(one, Act::Move(cookie));
    }
    lobby.ping(&mut all[0]);
    assert_eq!(number(&all[0]) - moved_once, 19);
    assert!(lobby.machine.stats().dropped_busy > before);
    assert_eq!(lobby.machine.member_count(), all.len(), "it is still a member");
}

#[test]
fn who_comes_back_has_no_more_messages_than_it_had() {
    let (mut lobby, mut all) = pool_of(2, 20);
    lobby.wait(3_000);
    let mut again = offered_elsewhere(&mut lobby, &all[1], 9);
    let pings = |lobby: &mut Lobby<_>, client: &mut Client| {
        (0..100).filter(|_| !lobby.ping(client).is_empty()).count()
    };
    assert_eq!(pings(&mut lobby, &mut all[1]), 64);
    again.count = 0;
    assert_eq!(pings(&mut lobby, &mut again), 1, "the one that takes the offer");
    lobby.wait(1_000);
    assert_eq!(pings(&mut lobby, &mut again), 32);
}

#[test]
fn who_is_sent_away_does_not_come_in_by_what_its_source_was_offered_before() {
    let (mut lobby, mut all) = pool_of(2, 20);
    let pool = all[0].joined.unwrap().pool;
    let mut ready = Client::new(9);
    let mut other = Client::at(([198, 51, 100, 9], 9).into());
    for client in [&mut ready, &mut other] {
        joined(&lobby.join(client, pool));
    }
    lobby.act(&mut all[0], Act::Kick(member(2)));
    let void = lobby.machine.stats().offers_void;
    assert!(matches!(lobby.ping(&mut ready)[0], Got::Unknown(..)));
    assert!(matches!(lobby.ping(&mut other)[0], Got::Page { .. }), "who is of another source is not meant");
    assert_eq!((lobby.machine.member_count(), void), (2, 1));
}

#[test]
fn nobody_is_asked_to_ping_more_often_than_ten_times_a_second() {
    for (interval, told) in [(1, 100), (100, 100), (101, 101)] {
        let mut lobby = lobby(|config| config.limits.interval = Duration::from_millis(interval));
        assert_eq!(lobby.host(1, &spec(2)).joined.unwrap().interval.get(), told);
    }
}
