//! How pools come back by states that it takes long to come to (PROTOCOL.md, section 7.2, rules 5 to 7): their tickets are
//! sealed by hand.

use alloc::vec;
use alloc::vec::Vec;

use super::lobby::*;
use super::recovery::{back, page_at_once};
use crate::broadcaster::RandomSource;
use crate::wire::native::*;

/// Of a pool of so many, of which this one is host.
fn state(era: u64, number: u32, count: u16, host: u32) -> State {
    State {
        epoch: Epoch::new(era, number).unwrap(),
        generation: 0,
        base: None,
        came: 0,
        term: Term::new(1).unwrap(),
        host: member(host),
        next: member(5_000),
        purged: 0,
        count: Seats::new(count).unwrap(),
        seal: Seal::new([0; 16]),
    }
}

/// Of one that was brought back from there.
fn brought_back(from: (u64, u32), came: u16, generation: u32, state: State) -> State {
    State { base: Epoch::new(from.0, from.1), came, generation, ..state }
}

/// A member with a ticket of this state.
fn of(number: u16, state: State) -> Client {
    let mut client = Client::new(number);
    let (pool, code) = (PoolUuid::new([5; 16]), PoolCode::new(5).unwrap());
    let (member, session) = (member(number.into()), Session(number.into()));
    let mut ticket = Ticket { application: GAME, pool, code, member, session, state };
    ticket.state.seal = Keys::of(&SECRET).seal(&ticket, &spec(8).as_spec());
    client.ticket = Some((ticket, spec(8)));
    client
}

fn come<R: RandomSource>(lobby: &mut Lobby<R>, number: u16, state: State) -> Vec<Got> {
    back(lobby, &mut of(number, state))
}

// Rule 6.
#[test]
fn who_was_sent_away_by_a_ticket_that_is_out_has_not_come() {
    let mut lobby = lobby(|_| {});
    let old = state(1, 1, 3, 1);
    let mut host = of(1, old);
    back(&mut lobby, &mut host);
    come(&mut lobby, 3, old);
    lobby.wait(6_000);
    lobby.got(&mut host);
    assert_eq!(lobby.act(&mut host, Act::Kick(member(3)))[0], Got::Done(1, Ok(())));
    lobby.mail.clear();
    let new = brought_back((1, 2), 3, 1, state(2, 1, 3, 1));
    assert_eq!(come(&mut lobby, 2, new), [Got::Pong(1)]);
    assert_eq!(come(&mut lobby, 1, new), [Got::Pong(1)], "two of three");
    assert_eq!(lobby.machine.stats().pools_restored, 1);
}

// Rules 5 and 6.
#[test]
fn who_stayed_out_of_one_base_has_not_come_for_the_next() {
    let mut lobby = lobby(|_| {});
    come(&mut lobby, 1, state(1, 5, 3, 1));
    assert_eq!(come(&mut lobby, 2, State { generation: 5, ..state(2, 1, 3, 2) }), [Got::Pong(1)]);
    assert_eq!(lobby.machine.member_count(), 1);
    // The first would have been in by this one, but its session is over.
    let last = brought_back((1, 5), 2, 9, state(3, 1, 2, 3));
    assert_eq!(come(&mut lobby, 3, last), [Got::Pong(1)]);
    assert_eq!((lobby.machine.member_count(), lobby.machine.stats().pools_restored), (1, 0));
    assert!(matches!(come(&mut lobby, 1, state(1, 5, 3, 1))[..], [Got::Page { .. }, Got::Changed { .. }]));
}

// Rule 7.
#[test]
fn no_more_came_than_with_what_it_is_brought_back_from() {
    for (from, came) in [(2, 2), (4, 3)] {
        let mut lobby = lobby(|_| {});
        let base = brought_back((1, 2), from, 1, state(2, 4, 3, 1));
        let mut all = [1, 2, 3].map(|number| of(number, base));
        for client in &mut all {
            back(&mut lobby, client);
        }
        page_at_once(&mut lobby, &mut all);
        assert_eq!((agreed(&all), all[0].state.unwrap().came), (vec![1, 2, 3], came));
    }
}

// Who knew it as it was before has come, too, but not with what it is brought back from.
#[test]
fn who_knew_an_earlier_epoch_does_not_count_as_come_with_the_base() {
    let mut lobby = lobby(|_| {});
    let [now, before] = [4, 3].map(|number| state(1, number, 3, 1));
    let mut all = [(1, now), (2, now), (3, before)].map(|(number, state)| of(number, state));
    for client in &mut all {
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().came), (vec![1, 2, 3], 2));
}

// Rule 5: who knew it just as it is brought back comes before others, be it published or not.
#[test]
fn where_a_pool_is_full_who_knew_it_as_it_is_takes_the_place_of_the_last_who_did_not() {
    for is_live in [false, true] {
        let mut lobby = lobby(|config| {
            // Who stays out keeps none of them.
            (config.limits.members_per_source, config.limits.seats) = (1_025, Seats::MAX);
        });
        let [now, before] = [5, 4].map(|number| state(1, number, Seats::MAX, 2_000));
        let mut others = Vec::new();
        for number in 1..=Seats::MAX {
            let is_other = [700, 1_000].contains(&number);
            let mut client = of(number, if is_other { before } else { now });
            assert_eq!(back(&mut lobby, &mut client), [Got::Pong(1)]);
            others.extend(is_other.then_some(client));
        }
        if is_live {
            lobby.wait(6_000);
            assert_eq!(lobby.machine.stats().pools_restored, 1);
        }
        lobby.mail.clear();
        assert!(matches!(come(&mut lobby, 1_030, before)[..], [Got::Unknown(..)]), "no more than others");
        for (number, mut other) in [(1_025, others.remove(1)), (1_026, others.remove(0))] {
            lobby.mail.clear();
            assert!(!matches!(come(&mut lobby, number, now)[..], [Got::Unknown(..)]));
            assert_eq!(lobby.got(&mut other), [Got::Ended(EndReason::Replaced)]);
        }
        assert!(matches!(come(&mut lobby, 1_027, now)[..], [Got::Unknown(..)]), "all knew it so");
        let left = if is_live { 2 } else { 0 };
        assert_eq!((lobby.machine.member_count(), lobby.machine.stats().members_left), (1_024, left));
    }
}

// To be put at the end of tests/handmade.rs (with `joined` imported from super::recovery).
// Rule 5: who joined what was published of a lower base stays out.
#[test]
fn who_joined_a_lower_base_is_out_though_the_higher_one_began_with_what_it_joined() {
    let mut lobby = lobby(|_| {});
    let mut host = of(1, state(1, 5, 1, 1));
    back(&mut lobby, &mut host);
    lobby.ping(&mut host);
    let era = host.state.unwrap().epoch.era();
    let pool = host.joined.unwrap().pool;
    let mut guest = Client::new(50);
    assert_eq!(super::recovery::joined(&lobby.join(&mut guest, pool)).member.get(), 5_000);
    lobby.ping(&mut guest);
    // At another broadcaster the host has brought back what it was before.
    let mut new = of(1, brought_back((era, 1), 1, 9, state(3, 1, 1, 1)));
    new.from = address(60);
    back(&mut lobby, &mut new);
    let mut other = Client::new(51);
    super::recovery::joined(&lobby.join(&mut other, pool));
    lobby.ping(&mut other);
    let roster: Vec<u32> = other.roster.iter().map(|seen| seen.member).collect();
    assert_eq!(roster, [1, 5_000]);
    assert!(matches!(lobby.ping(&mut guest).last(), Some(Got::Unknown(..))));
}
