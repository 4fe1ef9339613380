//! How a pool that comes back waits for its members, and who comes while it does (PROTOCOL.md, section 7.2, rules 4 to 8).

use alloc::vec::Vec;
use core::slice::from_mut;
use core::time::Duration;

use super::lobby::*;
use super::recovery::{another, back, forget, joined, lobby_early, lost, page_at_once};
use crate::broadcaster::RandomSource;
use crate::wire::native::*;

/// As `lost`, with the host as it was when it was alone, by whose ticket the pool is back with it alone.
fn back_with_its_host(members: u16) -> (Client, Vec<Client>, Lobby<impl RandomSource>) {
    let mut first = lobby(|_| {});
    let mut all = first.pool(members, &spec(8));
    let mut early = lobby_early(&first, &all);
    forget(&mut all);
    let mut other = another(&first);
    assert!(matches!(back(&mut other, &mut early)[..], [Got::Page { .. }, Got::Changed { .. }]));
    (early, all, other)
}

/// It had its place before, and asks for it anew.
fn again(old: &Client, tx: u64) -> Client {
    Client { tx, cookie: None, count: 0, order: 0, ..old.clone() }
}

fn take(client: &Client) -> bytes::BytesMut {
    client.message(1, Act::Ping(None))
}

// Rule 4.
#[test]
fn tickets_hold_for_the_timeout_or_for_eight_seconds_and_two_intervals_if_that_is_longer() {
    for (interval, timeout, holds) in [(1_000, 4_000, 10_000), (3_000, 20_000, 20_000)] {
        let (mut all, lost) = lost(3);
        let mut lobby = lobby_of(99, |config| {
            config.limits.interval = Duration::from_millis(interval);
            config.limits.timeout = Duration::from_millis(timeout);
        });
        lobby.now = lost.now;
        let end = lobby.now + Duration::from_millis(holds);
        back(&mut lobby, &mut all[0]);
        while lobby.now + Duration::from_millis(1_000) < end {
            lobby.wait(1_000);
            lobby.ping(&mut all[0]);
        }
        assert_eq!(lobby.machine.stats().pools_restored, 1);
        lobby.wait(999);
        assert!(matches!(back(&mut lobby, &mut all[1])[..], [Got::Page { .. }, Got::Changed { .. }]));
        lobby.wait(1);
        assert_eq!(lobby.resume(&mut all[2]), Got::Refused(Refusal::Stale), "{timeout}");
    }
}

// Rule 6: for two intervals at most from when the base has come, or from when a higher one has, and while tickets hold.
#[test]
fn a_base_waits_for_the_others_for_two_intervals_or_until_tickets_hold_no_more() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(3, &spec(8));
    let mut lower = all[0].clone();
    first.act(&mut all[1], Act::About(About::new(b"later").unwrap()));
    first.meet(&mut all);
    forget(&mut all);
    forget(from_mut(&mut lower));
    let mut lobby = another(&first);
    joined(&lobby.resume(&mut lower));
    lobby.wait(2_000);
    assert_eq!(lobby.ping(&mut lower), [Got::Pong(1)]);
    lobby.wait(5_999);
    assert_eq!(lobby.machine.stats().pools_restored, 0);
    lobby.wait(1);
    assert_eq!(lobby.machine.stats().pools_restored, 1);
    // A higher one comes at 13 s: tickets hold for 1 s more.
    lobby.wait(2_500);
    lobby.ping(&mut lower);
    lobby.wait(2_500);
    back(&mut lobby, &mut all[1]);
    lobby.wait(999);
    assert_eq!(lobby.machine.stats().pools_restored, 1);
    lobby.wait(1);
    assert_eq!(lobby.machine.stats().pools_restored, 2);
}

// Rule 6, and section 3.2: `wait` is 0 with other codes.
#[test]
fn no_wait_of_a_recovery_is_0() {
    let (mut all, mut lobby) = lost(2);
    back(&mut lobby, &mut all[0]);
    lobby.now = lobby.now + Duration::from_micros(5_999_500);
    let refused = lobby.join(&mut Client::new(50), all[0].joined.unwrap().pool);
    assert_eq!(refused, Got::Refused(Refusal::Recovering { wait: 1 }));
}

// Rule 6.
#[test]
fn who_comes_twice_is_one() {
    let (mut all, mut lobby) = lost(3);
    let old = all[1].clone();
    back(&mut lobby, &mut all[0]);
    assert_eq!(back(&mut lobby, &mut all[1]), [Got::Pong(1)]);
    lobby.act(&mut all[1], Act::Leave);
    assert_eq!(back(&mut lobby, &mut again(&old, 9_000)), [Got::Pong(1)], "two of three");
    assert_eq!(lobby.machine.stats().pools_restored, 0);
}

// Rule 5: of the tickets of those who have come.
#[test]
fn a_ticket_counts_once_its_offer_is_taken() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(3, &spec(8));
    let early = lobby_early(&first, &all);
    // By this one it would be back at once. Its offer is there still, or was withdrawn, and its handle is another's.
    for withdrawn in [false, true] {
        let mut lobby = another(&first);
        forget(&mut all);
        let mut early = again(&early, 9_000);
        let offered = joined(&lobby.resume(&mut early));
        let mut client = again(&all[2], 9_001);
        client.from = if withdrawn { early.from } else { client.from };
        let new = joined(&lobby.resume(&mut client));
        assert_eq!(new.handle == offered.handle, withdrawn);
        let sent = take(&client);
        assert_eq!(lobby.send(&mut client, &sent), [Got::Pong(1)]);
        assert_eq!(lobby.machine.stats().pools_restored, 0);
    }
}

// Rules 5 and 2.
#[test]
fn who_comes_to_the_address_of_another_replaces_it() {
    let (mut all, mut lobby) = lost(3);
    back(&mut lobby, &mut all[0]);
    let mut other = Client { from: all[0].from, ..all[1].clone() };
    joined(&lobby.resume(&mut other));
    lobby.hand_in(other.from, &take(&other));
    lobby.drain();
    let mail = lobby.mail.remove(&other.from).unwrap();
    assert_eq!(all[0].read(&mail[0]), Got::Ended(EndReason::Replaced));
    assert_eq!((other.read(&mail[1]), lobby.machine.member_count()), (Got::Pong(1), 1));
    assert_eq!((lobby.machine.stats().members_left, lobby.events.len()), (0, 0), "nothing is published");
}

// Rules 7 and 8.
#[test]
fn who_comes_when_it_was_published_is_a_change_and_no_other_era() {
    let (mut all, mut lobby) = lost(4);
    for at in [0, 2] {
        back(&mut lobby, &mut all[at]);
    }
    lobby.wait(6_000);
    page_at_once(&mut lobby, &mut all[..1]);
    let before = all[0].state.unwrap();
    back(&mut lobby, &mut all[1]);
    let got = lobby.got(&mut all[0]);
    let seen = Seen { member: 2, address: address(2), about: Vec::new() };
    let [Got::Changed { state, changes }] = &got[..] else { panic!("{got:?}") };
    assert_eq!(*changes, [Told::Joined(seen)]);
    let epoch = Epoch::new(before.epoch.era(), before.epoch.number() + 1).unwrap();
    let count = Seats::new(3).unwrap();
    assert_eq!((before.came, *state), (2, State { epoch, count, came: 3, seal: state.seal, ..before }));
    let stats = lobby.machine.stats();
    assert_eq!((stats.pools_restored, stats.members_returned), (1, 3));
    let mut newcomer = Client::new(50);
    assert_eq!(
        joined(&lobby.join(&mut newcomer, all[0].joined.unwrap().pool)).member.get(),
        5,
        "the next of the base"
    );
}

// Rule 7: `Changed` without changes, whatever happens then.
#[test]
fn what_happens_when_it_was_just_published_is_told_by_an_epoch_of_its_own() {
    let (mut all, mut lobby) = lost(2);
    back(&mut lobby, &mut all[0]);
    lobby.now = lobby.now + Duration::from_secs(6);
    let about = all[0].message(1, Act::About(About::new(b"x").unwrap()));
    lobby.hand_in(all[0].from, &about);
    let got = lobby.got(&mut all[0]).into_iter().filter_map(|got| {
        let Got::Changed { state, changes } = got else { return None };
        Some((state.epoch.number(), changes))
    });
    let told: Vec<_> = got.collect();
    assert_eq!(told, [(1, Vec::new()), (2, [Told::About(1, b"x".to_vec())].to_vec())]);
}

// Rule 8: 6 holds anew, so nothing is published.
#[test]
fn what_was_not_told_yet_is_not_told_once_a_higher_base_has_come() {
    let (mut early, mut all, mut lobby) = back_with_its_host(3);
    joined(&lobby.resume(&mut all[1]));
    let about = early.message(1, Act::About(About::new(b"x").unwrap()));
    lobby.hand_in(early.from, &about);
    lobby.hand_in(all[1].from, &take(&all[1]));
    assert_eq!(lobby.got(&mut early), [Got::Done(1, Ok(()))]);
    assert_eq!(lobby.got(&mut all[1]), [Got::Pong(1)]);
}

// Rules 7 and 8.
#[test]
fn who_is_replaced_as_a_higher_base_comes_is_no_change_of_what_is_published() {
    let (early, mut all, mut lobby) = back_with_its_host(3);
    let mut other = Client { from: early.from, ..all[1].clone() };
    joined(&lobby.resume(&mut other));
    lobby.hand_in(other.from, &take(&other));
    lobby.drain();
    lobby.mail.clear();
    assert_eq!(back(&mut lobby, &mut all[2]), [Got::Pong(1)], "the host is there no longer");
    lobby.wait(6_000);
    let got = lobby.got(&mut all[2]);
    let [Got::Changed { changes, .. }] = &got[..] else { panic!("{got:?}") };
    assert_eq!((changes.len(), lobby.machine.member_count()), (0, 2));
}

// Rule 8.
#[test]
fn a_higher_base_leaves_offers_to_members_and_none_to_newcomers() {
    let (early, mut all, mut lobby) = back_with_its_host(3);
    let mut newcomer = Client::new(50);
    joined(&lobby.join(&mut newcomer, early.joined.unwrap().pool));
    for client in &mut all[1..] {
        joined(&lobby.resume(client));
    }
    assert_eq!(lobby.ping(&mut all[1]), [Got::Pong(1)]);
    assert!(matches!(lobby.ping(&mut all[2])[..], [Got::Page { .. }, Got::Changed { .. }]));
    assert!(matches!(lobby.ping(&mut newcomer)[..], [Got::Unknown(..)]));
}

// Section 9: while a recovery lasts, who has left comes back, if it was not sent away.
#[test]
fn who_has_left_comes_back_while_tickets_hold_and_who_was_sent_away_does_not() {
    let (mut all, mut lobby) = lost(4);
    let old = all.clone();
    for client in &mut all {
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    lobby.act(&mut all[0], Act::Kick(Member::new(4).unwrap()));
    lobby.act(&mut all[2], Act::Leave);
    lobby.mail.clear();
    assert_eq!(lobby.resume(&mut again(&old[3], 9_000)), Got::Refused(Refusal::Stale));
    let mut third = again(&old[2], 9_001);
    assert!(matches!(back(&mut lobby, &mut third)[..], [Got::Page { .. }, Got::Changed { .. }]));
}

// Rules 5 and 8.
#[test]
fn who_was_sent_away_stays_out_when_a_higher_base_comes() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(4, &spec(8));
    let mut old = all.clone();
    first.act(&mut all[3], Act::About(About::new(b"x").unwrap()));
    first.meet(&mut all);
    let mut lobby = another(&first);
    forget(&mut all);
    forget(&mut old);
    let kicked = old[1].clone();
    for client in &mut old[..2] {
        back(&mut lobby, client);
    }
    lobby.wait(6_000);
    lobby.meet(from_mut(&mut old[0]));
    assert_eq!(lobby.act(&mut old[0], Act::Kick(Member::new(2).unwrap()))[0], Got::Done(1, Ok(())));
    back(&mut lobby, &mut all[2]);
    lobby.mail.clear();
    assert_eq!(lobby.resume(&mut again(&kicked, 9_000)), Got::Refused(Refusal::Stale));
}

// Rule 5.
#[test]
fn who_was_sent_away_is_in_again_by_a_higher_base_of_another_host() {
    for by_its_own in [true, false] {
        let mut first = lobby(|_| {});
        let mut all = first.pool(3, &spec(8));
        let mut old = all.clone();
        first.act(&mut all[0], Act::Hand(Member::new(2).unwrap()));
        first.meet(&mut all);
        let mut lobby = another(&first);
        forget(&mut old);
        for at in [0, 2] {
            back(&mut lobby, &mut old[at]);
        }
        lobby.wait(6_000);
        lobby.meet(from_mut(&mut old[0]));
        assert_eq!(lobby.act(&mut old[0], Act::Kick(Member::new(3).unwrap()))[0], Got::Done(1, Ok(())));
        lobby.mail.clear();
        let mut come = [again(&all[2], 9_000), again(&all[1], 9_001)];
        if !by_its_own {
            come.reverse();
        }
        for client in &mut come {
            back(&mut lobby, client);
        }
        page_at_once(&mut lobby, &mut come);
        assert_eq!((agreed(&come), come[0].state.unwrap().purged), ([1, 2, 3].to_vec(), 0));
    }
}

// Rule 5: who joined what was published of a lower base is another than who had the number.
#[test]
fn a_newcomer_who_is_sent_away_bars_nobody_of_its_number() {
    let (mut early, mut all, mut lobby) = back_with_its_host(3);
    let mut newcomer = Client::new(50);
    let second = joined(&lobby.join(&mut newcomer, early.joined.unwrap().pool)).member;
    assert_eq!(second.get(), 2);
    lobby.ping(&mut newcomer);
    let got = lobby.act(&mut early, Act::Kick(second));
    assert!(got.contains(&Got::Done(1, Ok(()))), "{got:?}");
    assert_eq!(back(&mut lobby, &mut all[1]), [Got::Pong(1)]);
}

// Rule 6.
#[test]
fn who_comes_when_it_was_waited_for_long_enough_has_the_pool_at_once() {
    let (mut all, mut lobby) = lost(3);
    back(&mut lobby, &mut all[0]);
    lobby.act(&mut all[0], Act::Leave);
    lobby.wait(6_000);
    assert_eq!(lobby.machine.stats().pools_restored, 0, "nobody is there");
    assert!(matches!(back(&mut lobby, &mut all[1])[..], [Got::Page { .. }, Got::Changed { .. }]));
}

// Rule 6: the driver looks again in time, when nothing else is due so soon.
#[test]
fn a_base_is_not_waited_for_longer_than_two_intervals_for_want_of_a_deadline() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(3, &spec(8));
    let mut early = lobby_early(&first, &all);
    forget(&mut all);
    let mut lobby = lobby_of(99, |config| {
        config.limits.interval = Duration::from_millis(100);
        config.limits.timeout = Duration::from_secs(60);
    });
    lobby.now = first.now;
    joined(&lobby.resume(&mut early));
    assert!(lobby.drain() <= Some(lobby.now + Duration::from_millis(200)));
    lobby.ping(&mut early);
    lobby.wait(1_000);
    assert_eq!(lobby.machine.stats().pools_restored, 1);
    back(&mut lobby, &mut all[1]);
    assert!(lobby.drain() <= Some(lobby.now + Duration::from_millis(200)));
    lobby.wait(200);
    assert_eq!(lobby.machine.stats().pools_restored, 2);
}

// Rules 3 and 7.
#[test]
fn a_pool_that_ended_for_want_of_its_host_is_back_by_it_as_long_as_tickets_would_have_held() {
    for (wait, holds) in [(7_999, true), (8_000, false)] {
        let mut first = lobby(|_| {});
        let mut all = first.pool(3, &spec(8).ending_with_host(true));
        forget(&mut all);
        let mut lobby = another(&first);
        back(&mut lobby, &mut all[1]);
        lobby.wait(6_000);
        assert_eq!(lobby.machine.pool_count(), 0);
        lobby.wait(wait);
        assert_eq!(matches!(lobby.resume(&mut all[0]), Got::Joined(_)), holds);
    }
}

// Rule 4: tickets hold no longer; what else there is goes on.
#[test]
fn when_a_recovery_is_over_offers_by_tickets_are_void_and_nothing_is_published() {
    let (mut all, mut lobby) = lost(3);
    back(&mut lobby, &mut all[0]);
    lobby.wait(6_000);
    page_at_once(&mut lobby, &mut all[..1]);
    lobby.stay(&mut all[..1], 6_000);
    lobby.wait(1_000);
    let epoch = all[0].epoch();
    joined(&lobby.resume(&mut all[1]));
    let mut newcomer = Client::new(50);
    joined(&lobby.join(&mut newcomer, all[0].joined.unwrap().pool));
    lobby.wait(1_000);
    assert_eq!(lobby.machine.stats().offers_void, 1);
    lobby.ping(&mut all[0]);
    assert_eq!((all[0].epoch(), lobby.machine.stats().pools_restored), (epoch, 1));
    assert!(matches!(lobby.ping(&mut all[1])[..], [Got::Unknown(..)]));
    assert!(matches!(lobby.ping(&mut newcomer)[..], [Got::Page { .. }, Got::Changed { .. }]));
}

// Rule 5.
#[test]
fn who_is_out_by_the_base_when_it_takes_its_offer_is_unknown() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(4, &spec(8));
    let mut kicked = all.pop().unwrap();
    first.act(&mut all[0], Act::Kick(Member::new(4).unwrap()));
    first.meet(&mut all);
    let mut lobby = another(&first);
    forget(&mut all);
    forget(from_mut(&mut kicked));
    joined(&lobby.resume(&mut kicked));
    back(&mut lobby, &mut all[0]);
    let unknown = Got::Unknown(kicked.joined.unwrap().handle, 1);
    assert_eq!((lobby.ping(&mut kicked), lobby.machine.member_count()), ([unknown].to_vec(), 1));
    lobby.wait(8_000);
    assert_eq!(lobby.machine.stats().offers_void, 0, "it has none");
}

// Rule 6: nothing is published, so nothing has changed when it is, either.
#[test]
fn what_happens_before_it_is_published_is_no_change() {
    let (mut all, mut lobby) = lost(3);
    for client in &mut all[..2] {
        back(&mut lobby, client);
    }
    let mut moved = Client { from: address(9), ..all[0].clone() };
    let [Got::Prove(_, _, cookie)] = lobby.ping(&mut moved)[..] else { panic!() };
    assert!(
        matches!(lobby.act(&mut moved, Act::Ask(None))[..], [Got::Prove(..)]),
        "a question from elsewhere"
    );
    assert_eq!(lobby.act(&mut moved, Act::Move(cookie)), [Got::Pong(4)], "there is no page yet");
    lobby.act(&mut all[1], Act::Leave);
    assert_eq!((lobby.events.len(), lobby.machine.stats().members_left), (0, 0));
    lobby.mail.clear();
    lobby.wait(6_000);
    let got = lobby.got(&mut moved);
    assert!(matches!(&got[..], [Got::Changed { changes, .. }] if changes.is_empty()), "{got:?}");
}

// Section 4: a pool has 1,024 members at most, whatever tickets there are.
#[test]
fn no_more_come_back_than_a_pool_can_have() {
    let (all, from) = lost(1);
    let mut lobby = lobby_of(99, |config| {
        (config.limits.members_per_source, config.limits.seats) = (2_000, 1_024);
    });
    lobby.now = from.now;
    let (ticket, spec) = all[0].ticket.clone().unwrap();
    let count = Seats::MAX;
    for number in 1..=count + 1 {
        let mut client = Client::new(number);
        let state =
            State { next: Member::new(5_000).unwrap(), count: Seats::new(count).unwrap(), ..ticket.state };
        let mut ticket = Ticket { member: Member::new(number.into()).unwrap(), state, ..ticket };
        ticket.state.seal = Keys::of(&SECRET).seal(&ticket, &spec.as_spec());
        client.ticket = Some((ticket, spec.clone()));
        joined(&lobby.resume(&mut client));
        lobby.hand_in(client.from, &take(&client));
        lobby.drain();
        lobby.mail.clear();
        assert_eq!(lobby.machine.member_count(), usize::from(number.min(count)));
    }
}
