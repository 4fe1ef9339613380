//! What former members can't do by the tickets that they have kept, be it with the help of others (PROTOCOL.md, sections 7.2
//! and 9).

use alloc::vec::Vec;
use core::slice::from_mut;

use super::lobby::*;
use super::recovery::{all_back, another, back, joined, page_at_once};
use crate::broadcaster::RandomSource;
use crate::wire::native::*;

/// A broadcaster of the same secret that begins now, unlike those before.
pub(super) fn begins<R>(before: &Lobby<R>, seed: u128) -> Lobby<impl RandomSource + use<R>> {
    let mut lobby = lobby_of(seed, |_| {});
    lobby.now = before.now;
    lobby
}

/// What somebody has kept at this moment.
pub(super) fn keeps(client: &Client) -> Client {
    Client { cookie: None, count: 0, order: 0, tx: client.tx + 1_000, ..client.clone() }
}

pub(super) fn kept(all: &[Client]) -> Vec<Client> {
    all.iter().map(keeps).collect()
}

/// Somebody new in a pool.
pub(super) fn guest<R: RandomSource>(lobby: &mut Lobby<R>, port: u16, pool: PoolUuid) -> Client {
    let mut client = Client::new(port);
    joined(&lobby.join(&mut client, pool));
    lobby.ping(&mut client);
    client
}

/// A pool of three whose second member has left, and comes back first of all: that one; those who stayed, the host first, of
/// whom the other has come, too; and where they come to.
fn begun_without_its_host(spec: &PoolSpec) -> (Client, [Client; 2], Lobby<impl RandomSource + use<>>) {
    let mut before = lobby(|_| {});
    let mut all = before.pool(3, spec);
    let mut left = keeps(&all[1]);
    before.act(&mut all[1], Act::Leave);
    before.meet(&mut all[..1]);
    before.meet(&mut all[2..]);
    let mut stayed = [keeps(&all[0]), keeps(&all[2])];
    let mut lobby = another(&before);
    back(&mut lobby, &mut left);
    back(&mut lobby, &mut stayed[1]);
    (left, stayed, lobby)
}

#[test]
fn who_has_left_counts_for_nobody_and_is_no_heir() {
    for comes in [true, false] {
        let (mut left, mut stayed, mut lobby) = begun_without_its_host(&spec(8));
        assert_eq!(lobby.machine.stats().pools_restored, 0, "its host is waited for");
        if comes {
            back(&mut lobby, &mut stayed[0]);
            page_at_once(&mut lobby, &mut stayed);
            assert_eq!((agreed(&stayed), host(&stayed[0])), (Vec::from([1, 2, 3]), (1, 1)));
        } else {
            lobby.stay(from_mut(&mut left), 0);
            lobby.wait(6_000);
            page_at_once(&mut lobby, &mut stayed[1..]);
            assert_eq!(
                (agreed(&stayed[1..]), host(&stayed[1])),
                (Vec::from([2, 3]), (3, 2)),
                "2 may have left"
            );
        }
    }
}

#[test]
fn a_pool_that_ends_with_its_host_waits_for_it() {
    let (_, mut stayed, mut lobby) = begun_without_its_host(&spec(8).ending_with_host(true));
    lobby.wait(5_999);
    back(&mut lobby, &mut stayed[0]);
    page_at_once(&mut lobby, &mut stayed);
    assert_eq!(host(&stayed[0]), (1, 1));
}

/// A pool of three whose maker has kept the ticket of when it was alone, and was just sent away by the second, who is host.
fn former_host_and_others<R: RandomSource>(lobby: &mut Lobby<R>) -> (Client, Vec<Client>) {
    let mut maker = lobby.host(1, &spec(8));
    let old = keeps(&maker);
    let pool = maker.joined.unwrap().pool;
    let mut others: Vec<Client> = (2..4).map(|port| guest(lobby, port, pool)).collect();
    lobby.act(&mut maker, Act::Hand(member(2)));
    lobby.meet(&mut others);
    lobby.act(&mut others[0], Act::Kick(member(1)));
    lobby.meet(&mut others);
    assert_eq!((agreed(&others), host(&others[0]).0), (Vec::from([2, 3]), 2));
    (old, others)
}

/// That maker, and what the others have kept: tickets of the very epoch of the kick.
pub(super) fn of_a_former_host<R: RandomSource>(lobby: &mut Lobby<R>) -> (Client, Vec<Client>) {
    let (old, others) = former_host_and_others(lobby);
    (old, kept(&others))
}

/// As `of_a_former_host`, but that the pool was locked since, so that their tickets are of a later epoch.
pub(super) fn of_a_former_host_and_locked<R: RandomSource>(lobby: &mut Lobby<R>) -> (Client, Vec<Client>) {
    let (old, mut others) = former_host_and_others(lobby);
    lobby.act(&mut others[0], Act::Change(spec(8).locked(true).as_spec()));
    lobby.meet(&mut others);
    assert_eq!((agreed(&others), host(&others[0]).0), (Vec::from([2, 3]), 2));
    (old, kept(&others))
}

#[test]
fn a_number_that_another_has_by_a_lower_base_or_had_there_bars_nobody() {
    for sends_away in [false, true] {
        for first in [0, 1] {
            let mut before = lobby(|_| {});
            let (mut maker, mut others) = of_a_former_host(&mut before);
            let pool = maker.joined.unwrap().pool;
            let mut lobby = another(&before);
            back(&mut lobby, &mut maker);
            lobby.meet(from_mut(&mut maker));
            for (port, number) in [(8, 2), (9, 3)] {
                let helper = guest(&mut lobby, port, pool);
                assert_eq!(helper.member(), number);
                if sends_away {
                    lobby.act(&mut maker, Act::Kick(member(number)));
                }
            }
            back(&mut lobby, &mut others[first]);
            back(&mut lobby, &mut others[1 - first]);
            page_at_once(&mut lobby, &mut others);
            assert_eq!((agreed(&others), host(&others[0])), (Vec::from([2, 3]), (2, 2)));
            assert!(matches!(lobby.ping(&mut maker).last(), Some(Got::Unknown(..))), "it was sent away");
        }
    }
}

#[test]
fn nobody_makes_a_pool_of_the_id_of_another() {
    let mut before = lobby(|_| {});
    let (maker, mut others) = of_a_former_host(&mut before);
    let mut lobby = another(&before);
    let mut again = Client::new(1);
    again.tx = maker.tx - 1_000;
    let made = joined(&lobby.create(&mut again, &spec(8)));
    assert_ne!(made.pool, maker.joined.unwrap().pool);
    all_back(&mut lobby, &mut others);
    assert_eq!(agreed(&others), [2, 3]);
}

/// The third is sent away, and brings the pool back elsewhere, alone, by what it has kept.
fn branches_off<R: RandomSource>(
    home: &mut Lobby<R>,
    all: &mut [Client],
    branch: &mut Client,
) -> Lobby<impl RandomSource + use<R>> {
    home.act(&mut all[0], Act::Kick(member(3)));
    home.meet(&mut all[..2]);
    let mut elsewhere = begins(home, 12);
    back(&mut elsewhere, branch);
    elsewhere.wait(6_000);
    elsewhere
}

#[test]
fn a_side_branch_is_none_the_better_for_its_guests() {
    let mut before = lobby(|_| {});
    let all = before.pool(3, &spec(8));
    let (mut all, mut branch) = (kept(&all), keeps(&all[2]));
    let pool = branch.joined.unwrap().pool;
    let mut home = begins(&before, 11);
    all_back(&mut home, &mut all);
    let mut elsewhere = branches_off(&mut home, &mut all, &mut branch);
    for port in 20..25 {
        guest(&mut elsewhere, port, pool);
    }
    page_at_once(&mut elsewhere, from_mut(&mut branch));
    assert_eq!(branch.state.unwrap().count.get(), 6);
    let mut home = begins(&elsewhere, 13);
    let (mut stayed, mut branch) = (kept(&all[..2]), keeps(&branch));
    back(&mut home, &mut branch);
    all_back(&mut home, &mut stayed);
    assert_eq!((agreed(&stayed), host(&stayed[0])), (Vec::from([1, 2]), (1, 1)));
}

#[test]
fn who_brings_a_pool_back_alone_again_and_again_comes_to_no_higher_rank() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(3, &spec(8));
    let mut branches = Vec::from([keeps(&all[2])]);
    for round in 0..4u8 {
        before.act(&mut all[0], Act::About(About::new(&[round]).unwrap()));
        before.meet(&mut all);
        branches.push(keeps(&all[2]));
    }
    before.act(&mut all[0], Act::Kick(member(3)));
    before.meet(&mut all[..2]);
    let mut stayed = kept(&all[..2]);
    // At each restart it is the first, each time with what it has kept, and ends that before the others come.
    for seed in 21..24 {
        let mut home = begins(&before, seed);
        for branch in &mut branches {
            back(&mut home, branch);
            home.wait(1_500);
            home.act(branch, Act::Leave);
            home.mail.clear();
        }
        all_back(&mut home, &mut stayed);
        assert_eq!((agreed(&stayed), host(&stayed[0])), (Vec::from([1, 2]), (1, 1)));
        stayed = kept(&stayed);
        branches = kept(&branches);
    }
}

#[test]
fn several_who_left_end_nothing_while_others_are_on_their_way() {
    for closes in [true, false] {
        let mut before = lobby(|_| {});
        let mut all = before.pool(2, &spec(8));
        let pool = all[0].joined.unwrap().pool;
        let mut left = kept(&all);
        let mut stayed: Vec<Client> = (5..8).map(|port| guest(&mut before, port, pool)).collect();
        for client in &mut all {
            before.act(client, Act::Leave);
        }
        before.meet(&mut stayed);
        let mut stayed = kept(&stayed);
        let mut home = begins(&before, 11);
        all_back(&mut home, &mut left);
        if closes {
            home.act(&mut left[0], Act::Close);
        } else {
            home.act(&mut left[0], Act::Leave);
            home.act(&mut left[1], Act::Leave);
        }
        assert_eq!(home.machine.pool_count(), 0);
        home.mail.clear();
        all_back(&mut home, &mut stayed);
        assert_eq!((agreed(&stayed), host(&stayed[0]).0), (Vec::from([3, 4, 5]), 3));
    }
}

#[test]
fn a_pool_that_came_back_alone_once_is_none_the_weaker_for_it() {
    let mut before = lobby(|_| {});
    let mut maker = before.host(1, &spec(8));
    let pool = maker.joined.unwrap().pool;
    let mut old = keeps(&guest(&mut before, 2, pool));
    before.act(&mut maker, Act::Kick(member(2)));
    before.meet(from_mut(&mut maker));
    let mut stayed = Vec::from([keeps(&maker)]);
    let mut now = before.now;
    for seed in 11..14 {
        let mut home = lobby_of(seed, |_| {});
        home.now = now;
        all_back(&mut home, &mut stayed);
        let mut old = Client { tx: old.tx + u64::try_from(seed).unwrap(), ..old.clone() };
        assert_eq!(home.resume(&mut old), Got::Refused(Refusal::Stale));
        stayed.push(guest(&mut home, u16::try_from(seed).unwrap() + 20, pool));
        home.stay(&mut stayed, 12_000);
        (stayed, now) = (kept(&stayed), home.now);
    }
    old.tx += 1;
    assert_eq!(stayed.len(), 4);
}

#[test]
fn who_was_sent_away_in_a_recovery_is_not_in_again_by_a_later_ticket() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(3, &spec(8));
    let mut stayed = kept(&all[..2]);
    let mut reserve = Vec::from([keeps(&all[2])]);
    for round in 0..3u8 {
        before.act(&mut all[2], Act::About(About::new(&[round]).unwrap()));
        before.meet(&mut all[2..]);
        reserve.push(keeps(&all[2]));
    }
    let mut home = begins(&before, 11);
    for client in &mut stayed {
        back(&mut home, client);
    }
    back(&mut home, &mut reserve[0]);
    page_at_once(&mut home, &mut stayed);
    home.act(&mut stayed[0], Act::Kick(member(3)));
    home.mail.clear();
    for (tx, client) in (1..).zip(&mut reserve[1..]) {
        client.tx += tx;
        assert_eq!(home.resume(client), Got::Refused(Refusal::Stale));
    }
    page_at_once(&mut home, &mut stayed);
    assert_eq!(agreed(&stayed), [1, 2]);
}

#[test]
fn what_its_host_has_closed_is_not_brought_back_there_by_a_branch_of_it() {
    for restarts in [false, true] {
        let mut home = begins(&lobby(|_| {}), 10);
        let mut all = home.pool(3, &spec(8));
        let mut branch = keeps(&all[2]);
        let mut elsewhere = branches_off(&mut home, &mut all, &mut branch);
        page_at_once(&mut elsewhere, from_mut(&mut branch));
        let (mut stayed, mut branch) = (kept(&all[..2]), keeps(&branch));
        let mut again = begins(&home, 14);
        let refused = if restarts {
            all_back(&mut again, &mut stayed);
            again.act(&mut stayed[0], Act::Close);
            again.resume(&mut branch)
        } else {
            home.act(&mut all[0], Act::Close);
            home.mail.clear();
            home.resume(&mut branch)
        };
        assert_eq!(refused, Got::Refused(Refusal::Stale), "{restarts}");
    }
}

#[test]
fn fewer_than_half_who_know_the_era_before_a_little_longer_end_nothing_that_has_lived_on() {
    for (members, away) in [(3, 1), (12, 2), (12, 5)] {
        let stay = members - away;
        let mut before = lobby(|_| {});
        let mut all = before.pool(members as u16, &spec(16));
        let mut stayed = kept(&all[..stay]);
        before.act(&mut all[stay], Act::About(About::new(b"the last of all").unwrap()));
        before.meet(&mut all[stay..]);
        let mut late = keeps(&all[stay]);
        let mut lobby = begins(&before, 11);
        for client in &mut stayed {
            back(&mut lobby, client);
        }
        lobby.wait(6_000);
        page_at_once(&mut lobby, &mut stayed);
        for round in 0..100u8 {
            lobby.act(&mut stayed[0], Act::About(About::new(&[round]).unwrap()));
            lobby.stay(&mut stayed, 100);
        }
        lobby.meet(&mut stayed);
        let mut stayed = kept(&stayed);
        let mut lobby = begins(&lobby, 12);
        all_back(&mut lobby, &mut stayed);
        assert_eq!(
            lobby.resume(&mut late),
            Got::Refused(Refusal::Stale),
            "its number may be another's by now"
        );
        lobby.meet(&mut stayed);
        assert_eq!((agreed(&stayed).len(), host(&stayed[0])), (stay, (1, 1)));
        // Nor if it comes first.
        let (mut late, mut stayed) = (keeps(&late), kept(&stayed));
        let mut lobby = begins(&lobby, 13);
        back(&mut lobby, &mut late);
        all_back(&mut lobby, &mut stayed);
        assert_eq!((agreed(&stayed).len(), host(&stayed[0])), (stay, (1, 1)));
    }
}

#[test]
fn whom_the_host_has_sent_away_while_the_pool_came_back_stays_away_when_it_comes_back_anew() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(3, &spec(8));
    let (mut first, mut third) = (keeps(&all[0]), keeps(&all[2]));
    before.act(&mut all[1], Act::About(About::new(b"later").unwrap()));
    before.meet(&mut all[1..]);
    let mut second = keeps(&all[1]);
    let later = keeps(&all[2]);
    let mut lobby = begins(&before, 11);
    back(&mut lobby, &mut first);
    back(&mut lobby, &mut third);
    lobby.wait(6_000);
    lobby.meet(from_mut(&mut first));
    lobby.act(&mut first, Act::Kick(member(3)));
    lobby.mail.remove(&third.from);
    back(&mut lobby, &mut second);
    let [mut one, mut other] = [keeps(&third), later.clone()];
    assert_eq!(
        [lobby.resume(&mut one), lobby.resume(&mut other)],
        [Got::Refused(Refusal::Stale), Got::Refused(Refusal::Stale)]
    );
    lobby.wait(6_000);
    let mut stayed = [first, second];
    page_at_once(&mut lobby, &mut stayed);
    assert_eq!(agreed(&stayed), [1, 2]);
    // Nor at the next restart.
    let mut stayed = kept(&stayed);
    let mut lobby = begins(&lobby, 12);
    back(&mut lobby, &mut stayed[0]);
    back(&mut lobby, &mut stayed[1]);
    let mut other = Client { tx: other.tx + 1, ..later };
    assert_eq!(lobby.resume(&mut other), Got::Refused(Refusal::Stale));
}
