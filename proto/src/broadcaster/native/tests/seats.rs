//! What a place that is offered takes, and when it is given back (PROTOCOL.md, sections 3.3, 7.2 and 8).

use core::time::Duration;

use super::again::{elsewhere, offered_elsewhere};
use super::lobby::*;
use super::recovery::joined;
use crate::wire::native::*;

const FULL: Got = Got::Refused(Refusal::Full);

/// Moves there.
fn moves<R: crate::broadcaster::RandomSource>(lobby: &mut Lobby<R>, moved: &mut Client) -> Got {
    let [Got::Prove(_, _, cookie)] = lobby.ping(moved)[..] else { panic!() };
    lobby.act(moved, Act::Move(cookie)).remove(0)
}

#[test]
fn who_returns_keeps_no_seat_and_gives_none_back() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(4));
    let pool = all[0].joined.unwrap().pool;
    let mut newcomer = Client::new(50);
    joined(&lobby.resume(&mut all[1]));
    // At the address of another member, too, who leaves then.
    offered_elsewhere(&mut lobby, &all[1], 3);
    lobby.act(&mut all[2], Act::Leave);
    joined(&lobby.join(&mut newcomer, pool));
    joined(&lobby.join(&mut Client::new(51), pool));
    assert_eq!(lobby.join(&mut Client::new(52), pool), FULL, "two were free");
    lobby.mail.clear();
    joined(&lobby.resume(&mut all[1]));
    lobby.hand_in(address(2), &all[1].message(1, Act::Ping(None)));
    assert_eq!(lobby.join(&mut Client::new(52), pool), FULL);
}

#[test]
fn what_needs_no_free_seat_gives_none_back() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(2, &spec(3));
    let pool = all[0].joined.unwrap().pool;
    joined(&lobby.join(&mut Client::new(50), pool));
    let mut heir = Client { tx: 9_000, ..Client::new(2) };
    joined(&lobby.join(&mut heir, pool));
    lobby.hand_in(heir.from, &heir.message(1, Act::Ping(None)));
    assert_eq!(lobby.machine.member_count(), 2, "it takes that of a member");
    assert_eq!(lobby.join(&mut Client::new(51), pool), FULL, "one is kept");
}

#[test]
fn who_was_to_take_the_place_of_a_member_that_moves_needs_a_seat() {
    for (seats, comes) in [(3, true), (2, false)] {
        let mut lobby = lobby(|_| {});
        let all = lobby.pool(2, &spec(seats));
        let mut heir = Client { tx: 9_000, ..Client::new(2) };
        joined(&lobby.join(&mut heir, all[0].joined.unwrap().pool));
        moves(&mut lobby, &mut elsewhere(&all[1], 9));
        lobby.mail.clear();
        let got = lobby.ping(&mut heir);
        assert_eq!(matches!(got[0], Got::Page { .. }), comes, "{got:?}");
        assert_eq!(lobby.machine.member_count(), usize::from(seats));
    }
}

#[test]
fn who_was_to_take_the_place_of_a_member_that_comes_back_elsewhere_needs_a_seat_and_gives_it_back() {
    for (seats, comes) in [(3, true), (2, false)] {
        let mut lobby = lobby(|_| {});
        let all = lobby.pool(2, &spec(seats));
        let pool = all[0].joined.unwrap().pool;
        let mut heir = Client { tx: 9_000, ..Client::new(2) };
        joined(&lobby.join(&mut heir, pool));
        let mut moved = offered_elsewhere(&mut lobby, &all[1], 9);
        lobby.ping(&mut moved);
        lobby.mail.clear();
        assert_eq!(lobby.join(&mut Client::new(50), pool), FULL);
        let got = lobby.ping(&mut heir);
        assert_eq!(matches!(got[0], Got::Page { .. }), comes, "{got:?}");
        assert_eq!(lobby.machine.member_count(), usize::from(seats));
        if comes {
            lobby.act(&mut heir, Act::Leave);
            joined(&lobby.join(&mut Client::new(51), pool));
        }
    }
}

#[test]
fn nobody_is_at_an_address_that_a_member_has_come_back_from_elsewhere() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(2, &spec(2));
    let mut moved = offered_elsewhere(&mut lobby, &all[1], 9);
    lobby.ping(&mut moved);
    lobby.mail.clear();
    let mut newcomer = Client { tx: 9_000, ..Client::new(2) };
    assert_eq!(lobby.join(&mut newcomer, all[0].joined.unwrap().pool), FULL);
}

#[test]
fn who_keeps_a_seat_needs_no_other_when_a_member_passes_through_its_address() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(2, &spec(3));
    let mut newcomer = Client::new(9);
    joined(&lobby.join(&mut newcomer, all[0].joined.unwrap().pool));
    let mut moved = elsewhere(&all[1], 9);
    moves(&mut lobby, &mut moved);
    moved.from = address(10);
    moves(&mut lobby, &mut moved);
    lobby.mail.clear();
    let got = lobby.ping(&mut newcomer);
    assert!(matches!(got[0], Got::Page { .. }), "{got:?}");
}

#[test]
fn what_is_offered_in_a_pool_that_ends_is_given_back() {
    let mut lobby = lobby(|config| config.limits.members = 2);
    let mut host = lobby.host(1, &spec(8));
    joined(&lobby.join(&mut Client::new(50), host.joined.unwrap().pool));
    lobby.act(&mut host, Act::Close);
    let other = lobby.host(2, &spec(8));
    joined(&lobby.join(&mut Client::new(51), other.joined.unwrap().pool));
}

#[test]
fn who_joins_from_where_a_member_has_moved_to_takes_its_place() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(2, &spec(2));
    moves(&mut lobby, &mut elsewhere(&all[1], 9));
    lobby.mail.clear();
    let mut newcomer = Client { tx: 9_000, ..Client::new(9) };
    joined(&lobby.join(&mut newcomer, all[0].joined.unwrap().pool));
    lobby.hand_in(newcomer.from, &newcomer.message(1, Act::Ping(None)));
    lobby.drain();
    let mail = lobby.mail.remove(&newcomer.from).unwrap();
    assert_eq!(all[1].read(&mail[0]), Got::Ended(EndReason::Replaced));
    assert_eq!(lobby.machine.member_count(), 2);
}

#[test]
fn who_takes_the_place_of_the_host_by_which_the_pool_ends_is_told_just_that() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(2, &spec(8).ending_with_host(true));
    let mut newcomer = Client { tx: 9_000, ..Client::new(1) };
    joined(&lobby.join(&mut newcomer, all[0].joined.unwrap().pool));
    lobby.hand_in(newcomer.from, &newcomer.message(1, Act::Ping(None)));
    lobby.drain();
    let mail = lobby.mail.remove(&newcomer.from).unwrap();
    assert_eq!(all[0].read(&mail[0]), Got::Ended(EndReason::Replaced));
    assert_eq!((newcomer.read(&mail[1]), mail.len()), (Got::Ended(EndReason::PoolEnded), 2));
}

#[test]
fn what_is_offered_to_a_member_is_void_when_it_leaves() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(2, &spec(8));
    let mut new = all[1].clone();
    joined(&lobby.resume(&mut new));
    let leave = all[1].message(1, Act::Leave);
    lobby.hand_in(all[1].from, &leave);
    lobby.drain();
    lobby.mail.clear();
    let unknown = [Got::Unknown(new.joined.unwrap().handle, 1)];
    assert_eq!((lobby.ping(&mut new), lobby.machine.member_count()), (unknown.to_vec(), 1));
}

// Section 3: answered again as long as what it made is there; section 7.2, rule 2: that falls with the member.
#[test]
fn a_resume_given_again_when_its_member_has_left_is_stale_and_takes_no_place() {
    for takes in [true, false] {
        let mut lobby = lobby(|_| {});
        let mut all = lobby.pool(2, &spec(8));
        let taken = |lobby: &Lobby<_>| lobby.machine.native.as_ref().unwrap().places.taken();
        let mut new = all[1].clone();
        let offered = joined(&lobby.resume(&mut new));
        let (ticket, spec) = new.ticket.clone().unwrap();
        let again = new.request(Call::Resume { ticket, spec: spec.as_spec(), about: About::default() });
        assert_eq!(lobby.send(&mut new, &again), [Got::Joined(offered)], "while it is there");
        // It leaves in the session that it has by then.
        let leaves = if takes { &mut new } else { &mut all[1] };
        if takes {
            assert_eq!(lobby.ping(leaves), [Got::Pong(1)]);
        }
        assert_eq!(lobby.act(leaves, Act::Leave).first(), Some(&Got::Done(1, Ok(()))));
        for _ in 0..2 {
            assert_eq!(lobby.send(&mut new, &again), [Got::Refused(Refusal::Stale)], "taken: {takes}");
            assert_eq!((taken(&lobby), lobby.machine.member_count()), (1, 1));
        }
        lobby.got(&mut all[0]);
        assert_eq!(agreed(&all[..1]), [1]);
    }
}

#[test]
fn who_has_come_back_takes_one_place_of_what_there_may_be() {
    let mut lobby = lobby(|config| (config.limits.members, config.limits.members_per_source) = (4, 3));
    let mut all = lobby.pool(2, &spec(9));
    let pool = all[0].joined.unwrap().pool;
    joined(&lobby.resume(&mut all[1]));
    lobby.ping(&mut all[1]);
    joined(&lobby.join(&mut Client::new(50), pool));
    assert_eq!(lobby.join(&mut Client::new(51), pool), Got::Refused(Refusal::TooManyMembersOfSource));
    let mut other = |last| lobby.join(&mut Client::at(([198, 51, 100, last], 7).into()), pool);
    joined(&other(1));
    assert_eq!(other(2), Got::Refused(Refusal::TooManyMembers));
}

#[test]
fn an_offer_to_return_that_is_void_leaves_what_there_may_be() {
    let mut lobby = lobby(|config| config.limits.members = 3);
    let mut all = lobby.pool(2, &spec(9));
    let pool = all[0].joined.unwrap().pool;
    joined(&lobby.resume(&mut all[1].clone()));
    lobby.stay(&mut all, 8_000);
    assert_eq!(lobby.machine.stats().offers_void, 1);
    joined(&lobby.join(&mut Client::new(50), pool));
    assert_eq!(lobby.join(&mut Client::new(51), pool), Got::Refused(Refusal::TooManyMembers));
}

#[test]
fn who_moves_is_of_the_source_where_it_is() {
    let mut lobby = lobby(|config| config.limits.members_per_source = 2);
    let host = lobby.host(1, &spec(9));
    let pool = host.joined.unwrap().pool;
    let source = |last, port| Client::at(([198, 51, 100, last], port).into());
    let mut guest = source(1, 2);
    joined(&lobby.join(&mut guest, pool));
    lobby.ping(&mut guest);
    moves(&mut lobby, &mut Client { from: address(9), cookie: None, ..guest });
    assert_eq!(lobby.join(&mut Client::new(50), pool), Got::Refused(Refusal::TooManyMembersOfSource));
    for port in [5, 6] {
        joined(&lobby.join(&mut source(1, port), pool));
    }
}

#[test]
fn a_member_is_heard_when_it_takes_its_offer() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(1, &spec(8));
    let mut guest = Client::new(2);
    joined(&lobby.join(&mut guest, all[0].joined.unwrap().pool));
    lobby.stay(&mut all, 6_000);
    lobby.ping(&mut guest);
    lobby.stay(&mut all, 8_000);
    lobby.wait(1_999);
    assert_eq!(lobby.machine.member_count(), 2);
    lobby.wait(1);
    assert_eq!(lobby.machine.member_count(), 1);
}

#[test]
fn all_that_is_due_ends_in_time_whatever_else_begins() {
    // An offer, when a member comes behind it.
    let mut first = lobby(|_| {});
    let mut all = first.pool(2, &spec(8));
    let pool = all[0].joined.unwrap().pool;
    joined(&first.join(&mut Client::new(50), pool));
    first.stay(&mut all, 2_000);
    let mut guest = Client::new(51);
    joined(&first.join(&mut guest, pool));
    first.ping(&mut guest);
    all.push(guest);
    first.stay(&mut all, 6_000);
    assert_eq!(first.machine.stats().offers_void, 1);
    // A member, when a pool begins to come back behind it.
    let mut other = lobby_of(99, |_| {});
    let old = other.host(9, &spec(8));
    other.wait(5_000);
    all[0].cookie = None;
    joined(&other.resume(&mut all[0]));
    other.wait(5_000);
    assert_eq!((other.machine.member_count(), other.machine.stats().members_timed_out), (0, 1), "{old:?}");
    // And a member that is to be heard sooner than an offer is void.
    let mut lobby = lobby(|config| config.limits.timeout = Duration::from_secs(4));
    lobby.host(1, &spec(8));
    lobby.wait(4_000);
    assert_eq!(lobby.machine.member_count(), 0);
}
