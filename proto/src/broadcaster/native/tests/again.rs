//! Members who come back more than once: by another ticket, from another address, or to a place that they have; and two who
//! have one number (PROTOCOL.md, section 7.2).

use alloc::vec::Vec;

use super::lobby::*;
use super::recovery::{all_back, another, back, forget, joined};
use crate::broadcaster::RandomSource;
use crate::wire::native::*;

/// The same member, at another address.
pub(super) fn elsewhere(client: &Client, port: u16) -> Client {
    Client { from: address(port), tx: 9_000 + u64::from(port), cookie: None, ..client.clone() }
}

/// A member asks for its place from another address, and is offered it there.
pub(super) fn offered_elsewhere<R: RandomSource>(lobby: &mut Lobby<R>, client: &Client, port: u16) -> Client {
    let mut moved = elsewhere(client, port);
    joined(&lobby.resume(&mut moved));
    moved
}

/// Takes what it is offered, and names no epoch.
fn take<R: RandomSource>(lobby: &mut Lobby<R>, client: &mut Client) -> Vec<Got> {
    let sent = client.message(1, Act::Ping(None));
    client.count = 1;
    lobby.send(client, &sent)
}

/// A pool of three as its members knew it, and as they knew it later, and another broadcaster of its secret.
fn earlier_and_later() -> (Vec<Client>, Vec<Client>, Lobby<impl RandomSource>) {
    let mut first = lobby(|_| {});
    let mut later = first.pool(3, &spec(8));
    let mut earlier = later.clone();
    first.act(&mut later[0], Act::About(About::new(b"later").unwrap()));
    first.meet(&mut later);
    forget(&mut earlier);
    forget(&mut later);
    let other = another(&first);
    (earlier, later, other)
}

// Rule 5: of two tickets for one number the first to come is in, until another is the base.
#[test]
fn who_has_the_number_of_a_higher_base_is_replaced_and_told_so() {
    let (mut earlier, later, mut lobby) = earlier_and_later();
    let (old, new) = (&mut earlier[2], &mut elsewhere(&later[2], 33));
    back(&mut lobby, old);
    assert_eq!(lobby.ping(old), [Got::Pong(2)], "it knows its session");
    joined(&lobby.resume(new));
    assert_eq!(take(&mut lobby, new), [Got::Pong(1)]);
    assert_eq!(lobby.got(old), [Got::Ended(EndReason::Replaced)]);
    assert_eq!(lobby.machine.member_count(), 1);
}

// Rule 5.
#[test]
fn a_lower_ticket_for_a_number_that_somebody_has_is_stale() {
    let (earlier, mut later, mut lobby) = earlier_and_later();
    back(&mut lobby, &mut later[2]);
    lobby.ping(&mut later[2]);
    assert_eq!(lobby.resume(&mut elsewhere(&earlier[2], 33)), Got::Refused(Refusal::Stale));
}

// Rule 5.
#[test]
fn who_was_offered_a_number_as_a_higher_base_and_is_none_any_more_leaves_it_to_who_has_it() {
    let (mut earlier, mut later, mut lobby) = earlier_and_later();
    let mut new = elsewhere(&later[2], 33);
    back(&mut lobby, &mut earlier[2]);
    lobby.ping(&mut earlier[2]);
    joined(&lobby.resume(&mut new));
    back(&mut lobby, &mut later[1]);
    assert!(matches!(take(&mut lobby, &mut new)[..], [Got::Unknown(..)]));
    assert_eq!((lobby.ping(&mut earlier[2]), lobby.machine.member_count()), ([Got::Pong(3)].to_vec(), 2));
}

/// Two members of one pool in two places, both of which have given the number 3.
fn two_with_one_number() -> (Client, Client) {
    let mut first = lobby(|_| {});
    let all = first.pool(2, &spec(8));
    let mut second = another(&first);
    let mut there = all.clone();
    all_back(&mut second, &mut there);
    let pool = all[0].joined.unwrap().pool;
    let mut ours = Client::new(30);
    let mut theirs = Client::new(40);
    joined(&first.join(&mut ours, pool));
    joined(&second.join(&mut theirs, pool));
    first.ping(&mut ours);
    second.ping(&mut theirs);
    assert_eq!((ours.member(), theirs.member()), (3, 3));
    (ours.cookie, theirs.cookie) = (None, None);
    (ours, theirs)
}

// Rule 5.
#[test]
fn of_two_with_one_number_the_first_stays() {
    let (mut ours, mut theirs) = two_with_one_number();
    let mut third = lobby_of(5, |_| {});
    assert_eq!(back(&mut third, &mut theirs), [Got::Pong(1)]);
    assert_eq!(third.resume(&mut ours), Got::Refused(Refusal::Stale));
}

// Rule 5.
#[test]
fn of_two_who_are_offered_one_number_the_first_to_come_stays_until_a_higher_base_comes() {
    for theirs_first in [true, false] {
        let (mut first, mut other) = two_with_one_number();
        let mut third = lobby_of(5, |_| {});
        if theirs_first {
            core::mem::swap(&mut first, &mut other);
        }
        for client in [&mut first, &mut other] {
            joined(&third.resume(client));
        }
        assert_eq!(third.ping(&mut first), [Got::Pong(1)]);
        if theirs_first {
            assert!(matches!(third.ping(&mut other)[..], [Got::Unknown(..)]));
        } else {
            assert_eq!(third.ping(&mut other), [Got::Pong(1)]);
            assert!(matches!(third.ping(&mut first)[..], [Got::Unknown(..)]));
        }
        assert_eq!(third.machine.member_count(), 1);
    }
}

#[test]
fn of_two_offers_to_one_member_the_latest_holds() {
    // To a pool that is here, and to one that is coming back.
    let mut here = lobby(|_| {});
    let all = here.pool(2, &spec(8));
    let [mut one, mut other] = [40, 41].map(|port| offered_elsewhere(&mut here, &all[1], port));
    assert!(matches!(take(&mut here, &mut one)[..], [Got::Unknown(..)]));
    assert!(!matches!(take(&mut here, &mut other)[..], [Got::Unknown(..)]));
    let mut there = another(&here);
    let [mut one, mut other] = [42, 43].map(|port| offered_elsewhere(&mut there, &all[1], port));
    assert!(matches!(take(&mut there, &mut one)[..], [Got::Unknown(..)]));
    assert_eq!(take(&mut there, &mut other), [Got::Pong(1)]);
}

#[test]
fn who_comes_leaves_the_offers_of_others_be() {
    let (_, all, mut lobby) = earlier_and_later();
    // The offer of one is void, and its handle is that of another's.
    let void = joined(&lobby.resume(&mut elsewhere(&all[1], 40)));
    let mut other = elsewhere(&all[2], 40);
    other.tx += 1;
    assert_eq!(joined(&lobby.resume(&mut other)).handle, void.handle);
    let mut one = offered_elsewhere(&mut lobby, &all[1], 41);
    for client in [&mut one, &mut other] {
        assert_eq!(take(&mut lobby, client), [Got::Pong(1)]);
    }
}

// Rules 2 and 6: who has come is in the roster, published or not.
#[test]
fn who_comes_again_before_the_pool_is_back_keeps_its_place_and_nothing_has_changed() {
    let (_, mut all, mut lobby) = earlier_and_later();
    let mut again = elsewhere(&all[1], 41);
    back(&mut lobby, &mut all[1]);
    joined(&lobby.resume(&mut again));
    assert_eq!(take(&mut lobby, &mut again), [Got::Pong(1)]);
    assert_eq!(lobby.machine.member_count(), 1);
    back(&mut lobby, &mut all[0]);
    let got = back(&mut lobby, &mut all[2]);
    let [Got::Page { members, .. }, Got::Changed { changes, .. }] = &got[..] else { panic!("{got:?}") };
    assert_eq!((members[1].address, changes.len()), (address(41), 0));
}

// Rule 2: no pool has two members at one address.
#[test]
fn who_comes_back_from_the_address_of_another_replaces_it() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(3, &spec(8));
    let moved = offered_elsewhere(&mut lobby, &all[1], 3);
    lobby.hand_in(moved.from, &moved.message(1, Act::Ping(None)));
    lobby.drain();
    let mail = lobby.mail.remove(&moved.from).unwrap();
    assert_eq!(all[2].read(&mail[0]), Got::Ended(EndReason::Replaced));
    assert_eq!(lobby.machine.member_count(), 2);
}
