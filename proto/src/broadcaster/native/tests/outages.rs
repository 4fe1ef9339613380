//! Pools that fall silent or are ended while they come back, and come back once more (PROTOCOL.md, section 7.2).

use alloc::vec;
use alloc::vec::Vec;
use core::slice::from_mut;
use core::time::Duration;

use super::former::{begins, guest, keeps, kept};
use super::lobby::*;
use super::recovery::{all_back, back, page_at_once};
use crate::broadcaster::{BroadcasterConfig, RandomSource};
use crate::wire::native::*;

fn short(config: &mut BroadcasterConfig) {
    config.limits.interval = Duration::from_millis(300);
    config.limits.timeout = Duration::from_millis(1_000);
}

/// As `begins`, with an interval of 300 ms and a timeout of 1 s if it is said so.
fn begins_with<R: RandomSource>(
    before: &Lobby<R>,
    seed: u128,
    is_short: bool,
) -> Lobby<impl RandomSource + use<R>> {
    let change: fn(&mut BroadcasterConfig) = if is_short { short } else { |_| {} };
    let mut lobby = lobby_of(seed, change);
    lobby.now = before.now;
    lobby
}

/// A pool of three that is back with all of them: what they knew of it before, what they know now, and where it is.
fn brought_back(is_short: bool) -> (Vec<Client>, Vec<Client>, Lobby<impl RandomSource>) {
    let mut before = lobby(|_| {});
    let old = kept(&before.pool(3, &spec(8)));
    let mut lobby = begins_with(&before, 11, is_short);
    let mut all = old.clone();
    all_back(&mut lobby, &mut all);
    (old, all, lobby)
}

/// Waits step by step, while nobody says anything.
fn silence<R: RandomSource>(lobby: &mut Lobby<R>, millis: u64) {
    for _ in 0..millis / 100 {
        lobby.wait(100);
    }
    lobby.mail.clear();
}

// A former member with accomplices keeps out all but the host who stayed.
fn barred(is_short: bool) {
    let mut before = lobby(|_| {});
    let mut all = from_mut(&mut before.host(1, &spec(8))).to_vec();
    let mut maker = keeps(&all[0]);
    let pool = all[0].joined.unwrap().pool;
    all.extend((2..5).map(|port| guest(&mut before, port, pool)).collect::<Vec<_>>());
    before.act(&mut all[0], Act::Hand(member(4)));
    before.meet(&mut all);
    before.act(&mut all[3], Act::Kick(member(1)));
    before.meet(&mut all[1..]);
    let mut others = kept(&all[1..]);
    assert_eq!(host(&others[0]).0, 4);
    let mut lobby = begins_with(&before, 11, is_short);
    // Alone by its ticket, with guests of the others' numbers, of whom the one that has the host's number is host.
    back(&mut lobby, &mut maker);
    let mut guests: Vec<Client> = (20..23).map(|port| guest(&mut lobby, port, pool)).collect();
    lobby.got(&mut maker);
    lobby.act(&mut maker, Act::Hand(member(4)));
    lobby.act(&mut maker, Act::Leave);
    lobby.meet(&mut guests);
    assert_eq!((agreed(&guests), host(&guests[0]).0), (Vec::from([2, 3, 4]), 4));
    // They fall silent, and come again by their tickets.
    silence(&mut lobby, if is_short { 1_200 } else { 10_500 });
    assert_eq!(lobby.machine.pool_count(), 0);
    let mut guests = kept(&guests);
    all_back(&mut lobby, &mut guests);
    for number in [2, 3] {
        let done = lobby.act(&mut guests[2], Act::Kick(member(number)));
        assert!(matches!(done[0], Got::Done(_, Ok(()))), "{done:?}");
    }
    lobby.mail.clear();
    // 1.3 s (10.6 s) after the restart those come who stayed.
    lobby.wait(100);
    back(&mut lobby, &mut others[2]);
    let got: Vec<Got> = others[..2].iter_mut().map(|other| lobby.resume(other)).collect();
    assert!(got.iter().all(|got| matches!(got, Got::Joined(_))), "those who stayed are kept out: {got:?}");
}

#[test]
fn who_was_sent_away_in_a_branch_bars_those_of_its_number_who_stayed_short() {
    barred(true);
}

#[test]
fn who_was_sent_away_in_a_branch_bars_those_of_its_number_who_stayed() {
    barred(false);
}

// One former member, one restart long after: an era that ended in its recovery beats the one that went on from it.
fn taken_over(comes_and_is_kicked: bool, former_first: bool) {
    let (zero, all, mut lobby) = brought_back(false);
    let mut former = keeps(&all[2]);
    assert_eq!(former.state.unwrap().came, 3);
    // The line is down for 11 s.
    silence(&mut lobby, 11_000);
    assert_eq!(lobby.machine.pool_count(), 0);
    let mut stayed = kept(&all[..2]);
    for client in &mut stayed {
        back(&mut lobby, client);
    }
    if comes_and_is_kicked {
        // It comes by the ticket of the era before.
        let mut third = Client { tx: 77_000, ..zero[2].clone() };
        back(&mut lobby, &mut third);
        lobby.stay(&mut stayed, 6_000);
        let sent = third.message(2, Act::Ping(None));
        lobby.send(&mut third, &sent);
        page_at_once(&mut lobby, &mut stayed);
        assert_eq!(agreed(&stayed), [1, 2, 3]);
        let done = lobby.act(&mut stayed[0], Act::Kick(member(3)));
        assert!(done.contains(&Got::Done(stayed[0].order, Ok(()))), "{done:?}");
        lobby.stay(&mut stayed, 12_000);
    } else {
        lobby.stay(&mut stayed, 20_000);
    }
    for round in 0..100u8 {
        lobby.act(&mut stayed[0], Act::About(About::new(&[round]).unwrap()));
        lobby.stay(&mut stayed, 2_000);
    }
    lobby.meet(&mut stayed);
    assert_eq!(agreed(&stayed), [1, 2]);
    let mut stayed = kept(&stayed);
    let mut lobby = begins(&lobby, 12);
    if former_first {
        back(&mut lobby, &mut former);
    }
    let got: Vec<Got> = stayed.iter_mut().map(|client| lobby.resume(client)).collect();
    assert!(got.iter().all(|got| matches!(got, Got::Joined(_))), "those who stayed are kept out: {got:?}");
    for client in &mut stayed {
        assert_ne!(lobby.ping(client).len(), 0);
    }
    if !former_first {
        back(&mut lobby, &mut former);
        for client in &mut stayed {
            let got = lobby.ping(client);
            assert!(!matches!(got.last(), Some(Got::Unknown(..))), "who stayed is thrown out: {got:?}");
        }
    }
    page_at_once(&mut lobby, &mut stayed);
    // By its ticket it may be a member again, if it was not sent away.
    assert_eq!(agreed(&stayed), if comes_and_is_kicked { vec![1, 2] } else { vec![1, 2, 3] });
}

#[test]
fn an_era_that_ended_in_its_recovery_with_more_is_none_to_come_back_to() {
    taken_over(false, true);
}

#[test]
fn an_era_that_ended_in_its_recovery_with_more_is_none_to_come_back_to_late() {
    taken_over(false, false);
}

#[test]
fn an_era_that_ended_in_its_recovery_with_more_is_none_to_come_back_to_for_who_was_in() {
    taken_over(true, true);
}

// No outage, default limits: the heir closes the pool before its host has come back; the host has it for long; one restart.
fn closed_by_the_heir(closes: bool) {
    let mut before = lobby(|_| {});
    let all = before.pool(3, &spec(8));
    let pool = all[0].joined.unwrap().pool;
    let mut all = kept(&all);
    let mut lobby = begins(&before, 11);
    back(&mut lobby, &mut all[1]);
    back(&mut lobby, &mut all[2]);
    lobby.wait(6_000);
    page_at_once(&mut lobby, &mut all[1..]);
    assert_eq!((agreed(&all[1..]), host(&all[1])), (Vec::from([2, 3]), (2, 2)));
    let mut former = keeps(&all[1]);
    if closes {
        lobby.act(&mut all[1], Act::Close);
        assert_eq!(lobby.machine.pool_count(), 0);
        lobby.mail.clear();
    }
    lobby.wait(1_000);
    back(&mut lobby, &mut all[0]);
    if !closes {
        lobby.act(&mut all[1], Act::Leave);
        lobby.act(&mut all[2], Act::Leave);
        lobby.mail.clear();
    }
    lobby.stay(&mut all[..1], 6_000);
    page_at_once(&mut lobby, &mut all[..1]);
    let mut stayed = Vec::from([all[0].clone()]);
    stayed.extend((30..35).map(|port| guest(&mut lobby, port, pool)));
    for round in 0..50u8 {
        lobby.act(&mut stayed[0], Act::About(About::new(&[round]).unwrap()));
        lobby.stay(&mut stayed, 2_000);
    }
    lobby.meet(&mut stayed);
    assert_eq!(agreed(&stayed), [1, 4, 5, 6, 7, 8]);
    let mut stayed = kept(&stayed);
    let mut lobby = begins(&lobby, 12);
    back(&mut lobby, &mut former);
    let got: Vec<Got> = stayed.iter_mut().map(|client| lobby.resume(client)).collect();
    assert!(got.iter().all(|got| matches!(got, Got::Joined(_))), "those who stayed are kept out: {got:?}");
}

#[test]
fn an_era_that_its_heir_has_closed_is_none_to_come_back_to() {
    closed_by_the_heir(true);
}

#[test]
fn an_era_that_went_on_is_its_own() {
    closed_by_the_heir(false);
}

// Two outages in a recovery: who was in the first era, and heard of no other, is out.
fn two_outages(is_short: bool) {
    let (_, all, mut lobby) = brought_back(is_short);
    let out = if is_short { 1_100 } else { 11_000 };
    silence(&mut lobby, out);
    assert_eq!(lobby.machine.pool_count(), 0);
    let mut all = kept(&all);
    back(&mut lobby, &mut all[1]);
    lobby.wait(if is_short { 600 } else { 6_000 });
    page_at_once(&mut lobby, &mut all[1..2]);
    silence(&mut lobby, out);
    assert_eq!(lobby.machine.pool_count(), 0);
    let mut again = keeps(&all[1]);
    let got = [lobby.resume(&mut again), lobby.resume(&mut all[0]), lobby.resume(&mut all[2])];
    assert!(got.iter().all(|got| matches!(got, Got::Joined(_))), "{got:?}");
}

#[test]
fn who_heard_of_no_other_era_comes_back_though_another_has_ended_in_the_recovery_short() {
    two_outages(true);
}

#[test]
fn who_heard_of_no_other_era_comes_back_though_another_has_ended_in_the_recovery() {
    two_outages(false);
}

// Rule 5: who left before a higher base came has not come.
#[test]
fn who_has_left_is_not_counted_by_a_higher_base() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(3, &spec(8));
    let mut left = keeps(&all[1]);
    before.act(&mut all[0], Act::About(About::new(b"later").unwrap()));
    before.meet(&mut all);
    let mut all = kept(&all);
    let mut lobby = begins(&before, 11);
    back(&mut lobby, &mut left);
    lobby.act(&mut left, Act::Leave);
    back(&mut lobby, &mut all[2]);
    back(&mut lobby, &mut all[0]);
    assert_eq!(lobby.machine.stats().pools_restored, 0, "two of three are there");
}

// Section 4: an era behind one that ran out of numbers forgets who was sent away.
#[test]
fn who_was_sent_away_stays_so_in_an_era_that_goes_on() {
    behind_the_last_number(false);
}

#[test]
fn an_era_behind_one_that_ran_out_of_numbers_knows_that_somebody_was_sent_away() {
    behind_the_last_number(true);
}

fn behind_the_last_number(is_behind: bool) {
    let (mut old, mut all, mut home) = brought_back(false);
    home.stay(&mut all, 16_000);
    home.act(&mut all[0], Act::Kick(member(3)));
    let mut stayed = all[..2].to_vec();
    home.mail.clear();
    let id = all[0].joined.unwrap().pool;
    let native = home.machine.native.as_mut().unwrap();
    let place = native.pools.find(GAME, id).unwrap();
    if is_behind {
        native.pools.get_mut(place).unwrap().number = u32::MAX - 2;
    }
    for round in 0..3u8 {
        home.act(&mut stayed[0], Act::About(About::new(&[round]).unwrap()));
        home.mail.clear();
    }
    for client in &mut stayed {
        home.act(client, Act::Ping(None));
    }
    let state = stayed[0].state.unwrap();
    assert_eq!(state.generation, 1 + u32::from(is_behind), "{state:?}");
    let mut stayed = kept(&stayed);
    let mut home = begins(&home, 12);
    for client in &mut stayed {
        back(&mut home, client);
    }
    assert_eq!(home.resume(&mut old[2]), Got::Refused(Refusal::Stale), "it was sent away");
}

// Rule 4: what section 8 limits.
#[test]
fn the_spec_of_a_higher_base_is_limited_too() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(2, &spec(4));
    let mut lower = keeps(&all[1]);
    let more = spec(1_000);
    before.act(&mut all[0], Act::Change(more.as_spec()));
    before.meet(&mut all);
    let mut higher = keeps(&all[0]);
    let mut lobby = lobby_of(11, |config| config.limits.seats = 8);
    lobby.now = before.now;
    let mut first = keeps(&higher);
    assert_eq!(lobby.resume(&mut first), Got::Refused(Refusal::Limit));
    back(&mut lobby, &mut lower);
    higher.tx += 77;
    assert_eq!(lobby.resume(&mut higher), Got::Refused(Refusal::Limit));
}

/// A pool of four, two of whom have left, and come first after a restart; those who stayed; and where they come to.
fn begun_by_former_members(is_short: bool) -> (Vec<Client>, Vec<Client>, Lobby<impl RandomSource>) {
    let mut before = lobby(|_| {});
    let mut all = before.pool(4, &spec(8));
    let mut left = kept(&all[2..]);
    for client in &mut all[2..] {
        before.act(client, Act::Leave);
    }
    before.meet(&mut all[..2]);
    let stayed = kept(&all[..2]);
    let mut lobby = begins_with(&before, 11, is_short);
    for client in &mut left {
        back(&mut lobby, client);
    }
    (left, stayed, lobby)
}

// One restart: two former members, of whom two stayed. By section 9 it takes two restarts.
fn one_restart(is_short: bool) {
    let (mut left, mut stayed, mut lobby) = begun_by_former_members(is_short);
    // They say nothing more, but are told of the era, and so of their tickets; and fall silent before the recovery is over.
    lobby.wait(if is_short { 600 } else { 6_000 });
    for client in &mut left {
        for datagram in lobby.mail.remove(&client.from).unwrap_or_default() {
            let Got::Changed { state, .. } = client.read(&datagram) else { continue };
            let session = client.joined.unwrap().session;
            let (ticket, spec) = client.ticket.take().unwrap();
            client.ticket = Some((Ticket { session, state, ..ticket }, spec));
        }
        assert_eq!(client.ticket.as_ref().unwrap().0.state.came, 2);
    }
    silence(&mut lobby, if is_short { 600 } else { 4_200 });
    assert_eq!(lobby.machine.pool_count(), 0);
    let mut left = kept(&left);
    for client in &mut left {
        back(&mut lobby, client);
    }
    lobby.wait(100);
    let got: Vec<Got> = stayed.iter_mut().map(|client| lobby.resume(client)).collect();
    assert!(got.iter().all(|got| matches!(got, Got::Joined(_))), "those who stayed are kept out: {got:?}");
}

// The same without their falling silent.
#[test]
fn former_members_of_one_recovery_keep_nobody_out() {
    let (mut left, mut stayed, mut lobby) = begun_by_former_members(false);
    lobby.wait(6_000);
    page_at_once(&mut lobby, &mut left);
    all_back(&mut lobby, &mut stayed);
}

#[test]
fn as_many_former_members_as_stayed_keep_nobody_out_of_the_recovery() {
    one_restart(true);
}

#[test]
fn as_many_former_members_as_stayed_keep_nobody_out_of_the_recovery_by_default() {
    one_restart(false);
}
