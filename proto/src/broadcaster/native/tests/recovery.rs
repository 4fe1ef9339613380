//! Tickets, and pools that come back.

use alloc::vec::Vec;
use core::time::Duration;

use super::lobby::*;
use crate::broadcaster::{BroadcasterEvent, RandomSource};
use crate::wire::native::*;

/// Another broadcaster of the same secret, which has nothing, at the same time.
pub(super) fn another<R>(lobby: &Lobby<R>) -> Lobby<impl RandomSource + use<R>> {
    let mut other = lobby_of(99, |_| {});
    other.now = lobby.now;
    other
}

pub(super) fn forget(all: &mut [Client]) {
    for client in all {
        client.cookie = None;
    }
}

/// A pool of so many, and another broadcaster of its secret, to which nobody has come yet.
pub(super) fn lost(members: u16) -> (Vec<Client>, Lobby<impl RandomSource>) {
    let mut first = lobby(|_| {});
    let mut all = first.pool(members, &spec(8));
    forget(&mut all);
    let other = another(&first);
    (all, other)
}

pub(super) fn joined(got: &Got) -> Joined {
    let Got::Joined(joined) = got else { panic!("not joined: {got:?}") };
    *joined
}

/// Comes back and takes the place.
pub(super) fn back<R: RandomSource>(lobby: &mut Lobby<R>, client: &mut Client) -> Vec<Got> {
    joined(&lobby.resume(client));
    let sent = client.message(1, Act::Ping(None));
    client.count = 1;
    lobby.send(client, &sent)
}

pub(super) fn page_at_once<R: RandomSource>(lobby: &mut Lobby<R>, all: &mut [Client]) {
    for client in all.iter_mut() {
        lobby.got(client);
        let sent = client.message(client.count + 1, Act::Ping(None));
        client.count += 1;
        assert!(matches!(lobby.send(client, &sent)[..], [Got::Page { .. }]));
    }
}

/// All come back to a broadcaster, and have the roster of the new era.
pub(super) fn all_back<R: RandomSource>(lobby: &mut Lobby<R>, all: &mut [Client]) {
    forget(all);
    for client in all.iter_mut() {
        back(lobby, client);
    }
    page_at_once(lobby, all);
}

#[test]
fn a_pool_is_back_when_all_have_come() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8).named("duel").unwrap());
    lobby.act(&mut all[0], Act::Hand(Member::new(2).unwrap()));
    lobby.meet(&mut all);
    let (before, was) = (all[0].state.unwrap(), all[0].joined.unwrap());
    let mut lobby = another(&lobby);
    forget(&mut all);
    for client in &mut all[..2] {
        assert_eq!(back(&mut lobby, client), [Got::Pong(1)]);
        let now = client.joined.unwrap();
        assert_eq!((now.pool, now.code, now.application), (was.pool, was.code, was.application));
    }
    assert_eq!(lobby.machine.stats().pools_restored, 0);
    assert!(matches!(back(&mut lobby, &mut all[2])[..], [Got::Page { .. }, Got::Changed { .. }]));
    for client in &mut all[..2] {
        let got = lobby.got(client);
        assert!(matches!(&got[..], [Got::Changed { changes, .. }] if changes.is_empty()), "{got:?}");
    }
    page_at_once(&mut lobby, &mut all);
    assert_eq!(agreed(&all), [1, 2, 3]);
    let state = all[0].state.unwrap();
    assert_eq!((state.host, state.term, state.next), (before.host, before.term, before.next));
    assert_eq!((state.generation, state.epoch.number(), state.purged), (before.generation + 1, 1, 0));
    assert_ne!(state.epoch.era(), before.epoch.era());
    let restored = BroadcasterEvent::PoolRestored { pool: was.pool.into(), members: 3 };
    assert_eq!(lobby.events, [restored]);
    assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (1, 3));
    // It goes on as any pool.
    lobby.act(&mut all[1], Act::Leave);
    all.remove(1);
    lobby.meet(&mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().host.get()), ([1, 3].to_vec(), 1));
}

#[test]
fn a_pool_is_back_with_who_has_come_when_the_time_is_over() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    let mut lobby = another(&lobby);
    forget(&mut all);
    for client in &mut all[1..3] {
        back(&mut lobby, client);
    }
    lobby.wait(5_999);
    assert_eq!(lobby.machine.stats().pools_restored, 0);
    lobby.wait(1);
    assert_eq!(lobby.machine.stats().pools_restored, 1);
    page_at_once(&mut lobby, &mut all[1..3]);
    assert_eq!(agreed(&all[1..3]), [2, 3]);
    let state = all[1].state.unwrap();
    assert_eq!((state.host.get(), state.term.get(), state.next.get()), (2, 2, 5), "the host has not come");
    // Who comes later has his place still, and nobody else has it, until tickets hold no longer.
    lobby.stay(&mut all[1..3], 6_000);
    lobby.wait(1_999);
    assert!(matches!(back(&mut lobby, &mut all[3])[..], [Got::Page { .. }, Got::Changed { .. }]));
    page_at_once(&mut lobby, &mut all[1..4]);
    assert_eq!(agreed(&all[1..4]), [2, 3, 4]);
    assert_eq!(all[1].state.unwrap().host.get(), 2);
    lobby.wait(1);
    assert_eq!(lobby.resume(&mut all[0]), Got::Refused(Refusal::Stale), "too late");
}

#[test]
fn who_comes_later_while_the_recovery_lasts_is_admitted() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    // One's ticket is older: it knows of two members.
    let mut behind = all.remove(1);
    lobby.act(&mut all[2], Act::Leave);
    all.remove(2);
    lobby.act(&mut all[1], Act::Leave);
    all.remove(1);
    lobby.meet(&mut all);
    let mut lobby = another(&lobby);
    forget(&mut all);
    behind.cookie = None;
    back(&mut lobby, &mut all[0]);
    assert_eq!(lobby.machine.stats().pools_restored, 0, "two were there by its ticket");
    assert!(matches!(back(&mut lobby, &mut behind)[..], [Got::Page { .. }, Got::Changed { .. }]));
    page_at_once(&mut lobby, &mut all);
    assert_eq!(agreed(&[all[0].clone(), behind]), [1, 2]);
}

#[test]
fn a_higher_base_starts_it_over() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    // The first is kept by its ticket alone: it has not heard that the others have come.
    let mut early = lobby_early(&lobby, &all);
    let mut lobby = another(&lobby);
    forget(&mut all);
    assert!(matches!(back(&mut lobby, &mut early)[..], [Got::Page { .. }, Got::Changed { .. }]));
    assert_eq!(lobby.machine.stats().pools_restored, 1);
    assert_eq!(back(&mut lobby, &mut all[1]), [Got::Pong(1)], "two others are to come");
    assert_eq!(lobby.ping(&mut early), [Got::Pong(2)], "nothing is published");
    let mut newcomer = Client::new(50);
    let refused = lobby.join(&mut newcomer, early.joined.unwrap().pool);
    assert_eq!(refused, Got::Refused(Refusal::Recovering { wait: 1_000 }));
    assert!(matches!(back(&mut lobby, &mut all[2])[..], [Got::Page { .. }, Got::Changed { .. }]));
    let mut all = [early, all.remove(1), all.remove(1)];
    page_at_once(&mut lobby, &mut all);
    assert_eq!(agreed(&all), [1, 2, 3]);
    assert_eq!((lobby.machine.stats().pools_restored, all[0].state.unwrap().generation), (2, 2));
}

#[test]
fn a_higher_base_has_its_own_spec_whatever_was_ordered_meanwhile() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let mut early = lobby_early(&lobby, &all);
    let mut lobby = another(&lobby);
    forget(&mut all);
    assert_eq!(back(&mut lobby, &mut early).len(), 2, "it was alone by its ticket");
    // The other is offered its place, then the host orders something, then the other comes.
    joined(&lobby.resume(&mut all[1]));
    let locked = spec(8).locked(true);
    let done = lobby.act(&mut early, Act::Change(locked.as_spec()));
    assert!(done.contains(&Got::Done(early.order, Ok(()))), "{done:?}");
    lobby.ping(&mut all[1]);
    let mut all = [early, all.remove(1)];
    page_at_once(&mut lobby, &mut all);
    assert_eq!(agreed(&all), [1, 2]);
    assert!(!all[1].spec.as_ref().unwrap().as_spec().locked(), "the base's spec");
}

/// The host as it was when it was alone.
pub(super) fn lobby_early<R: RandomSource>(lobby: &Lobby<R>, all: &[Client]) -> Client {
    let now = lobby.now;
    let mut before = lobby_of(7, |_| {});
    before.now = now;
    let host = before.host(1, all[0].spec.as_ref().unwrap());
    assert_eq!(host.joined, all[0].joined, "the same randomness");
    Client { cookie: None, ..host }
}

#[test]
fn while_it_recovers_nothing_is_published() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let pool = all[0].joined.unwrap().pool;
    let epoch = all[0].epoch();
    let mut lobby = another(&lobby);
    forget(&mut all);
    let client = &mut all[0];
    back(&mut lobby, client);
    lobby.wait(1_000);
    for named in [None, epoch] {
        client.count += 1;
        let sent = client.message(client.count, Act::Ping(named));
        assert_eq!(lobby.send(client, &sent), [Got::Pong(client.count)]);
    }
    assert_eq!(lobby.act(client, Act::Ask(None)), []);
    assert_eq!(lobby.machine.stats().dropped_recovering, 1);
    let waits = Refusal::Recovering { wait: 1_000 }; // of 5,000
    let other = spec(3);
    for act in [Act::About(About::default()), Act::Change(other.as_spec()), Act::Close] {
        assert_eq!(lobby.act(client, act), [Got::Done(client.order, Err(waits))], "{act:?}");
    }
    let mut newcomer = Client::new(50);
    assert_eq!(lobby.join(&mut newcomer, pool), Got::Refused(waits));
    lobby.wait(4_300);
    assert_eq!(lobby.join(&mut newcomer, pool), Got::Refused(Refusal::Recovering { wait: 700 }));
    assert_eq!(lobby.machine.stats().refused_recovering, 5);
    let list = Call::List { application: Some(GAME), after: PoolUuid::NIL, free: 0, prefix: Name::default() };
    assert_eq!(lobby.ask(&mut newcomer, list), Got::Pools { ids: Vec::new(), next: None });
    assert_eq!(lobby.act(client, Act::Leave), [Got::Done(4, Ok(()))]);
    lobby.wait(8_699);
    assert_eq!(lobby.machine.pool_count(), 1);
    lobby.wait(1);
    assert_eq!(lobby.machine.pool_count(), 0, "nobody has come and stayed");
}

#[test]
fn a_ticket_that_was_not_made_so_is_refused() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let good = all[1].clone();
    let mut spoil: Vec<Client> = Vec::new();
    for bit in 0..7 {
        let mut bad = good.clone();
        let (ticket, kept) = bad.ticket.as_mut().unwrap();
        match bit {
            0 => ticket.member = Member::new(1).unwrap(),
            1 => ticket.session.0 ^= 1,
            2 => ticket.code = PoolCode::new(1).unwrap(),
            3 => ticket.state.host = Member::new(2).unwrap(),
            4 => ticket.state.generation += 1,
            5 => *kept = spec(9),
            _ => ticket.application = Application::named("other").unwrap(),
        }
        spoil.push(bad);
    }
    for bad in &mut spoil {
        assert_eq!(lobby.resume(bad), Got::Refused(Refusal::BadTicket));
    }
    assert_eq!(lobby.machine.stats().refused_bad_ticket, 7);
    let mut stranger = lobby_of(8, |config| config.secret = Some(Secret::new([8; 32])));
    forget(&mut all);
    assert_eq!(stranger.resume(&mut all[1]), Got::Refused(Refusal::BadTicket));
    assert_eq!(stranger.machine.pool_count(), 0);
}

#[test]
fn a_member_of_a_pool_that_is_here_comes_back_to_its_place() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let (old, epoch) = (all[1].clone(), all[0].epoch());
    let offered = joined(&lobby.resume(&mut all[1]));
    assert_eq!((offered.member.get(), lobby.machine.member_count()), (2, 3));
    assert_ne!(offered.session, old.joined.unwrap().session);
    let mut before = old.clone();
    assert_eq!(lobby.ping(&mut before), [Got::Pong(before.count)], "it is not taken yet");
    let got = lobby.ping(&mut all[1]);
    assert_eq!(got, [Got::Pong(1)]);
    assert!(matches!(lobby.ping(&mut before)[..], [Got::Unknown(..)]));
    lobby.ping(&mut all[0]);
    assert_eq!((agreed(&all[..1]), all[0].epoch()), ([1, 2, 3].to_vec(), epoch), "nothing is new");
    assert_eq!(lobby.machine.stats().members_returned, 1);
    // From elsewhere, and with other words.
    let mut moved = Client { from: address(77), about: b"x".to_vec(), cookie: None, ..old };
    assert_eq!(lobby.resume(&mut moved), Got::Refused(Refusal::Stale), "a ping named an epoch");
    let sent = all[1].message(2, Act::Ping(None));
    lobby.send(&mut all[1], &sent);
    let mut moved = Client { from: address(77), about: b"x".to_vec(), cookie: None, ..all[1].clone() };
    joined(&lobby.resume(&mut moved));
    let sent = moved.message(1, Act::Ping(None));
    lobby.send(&mut moved, &sent);
    all[1] = moved;
    let got = lobby.got(&mut all[0]);
    let told = [Told::Moved(2, address(77)), Told::About(2, b"x".to_vec())];
    assert!(matches!(&got[..], [Got::Changed { changes, .. }] if *changes == told), "{got:?}");
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2, 3]);
}

#[test]
fn the_session_before_holds_until_a_ping_of_the_newer_names_an_epoch() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    lobby.ping(&mut all[1]);
    let first = all[1].clone();
    // Its program starts again several times, always with the ticket that it has written down.
    for round in 0..3 {
        let mut again = Client { tx: 5_000 + round, ..first.clone() };
        joined(&lobby.resume(&mut again));
        let sent = again.message(1, Act::Ping(None));
        assert!(matches!(lobby.send(&mut again, &sent)[..], [Got::Page { .. }]));
        all[1] = again;
    }
    let epoch = all[1].epoch();
    let sent = all[1].message(2, Act::Ping(epoch));
    lobby.send(&mut all[1], &sent);
    let mut again = Client { tx: 6_000, ..first };
    assert_eq!(lobby.resume(&mut again), Got::Refused(Refusal::Stale));
    assert_eq!(lobby.machine.stats().refused_stale, 1);
}

#[test]
fn the_host_that_comes_back_is_host() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    joined(&lobby.resume(&mut all[0]));
    lobby.ping(&mut all[0]);
    let about = all[1].message(1, Act::About(About::new(b"x").unwrap()));
    lobby.send(&mut all[1], &about);
    lobby.meet(&mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().host.get()), ([1, 2].to_vec(), 1));
    assert_eq!(lobby.act(&mut all[0], Act::Kick(Member::new(2).unwrap()))[0], Got::Done(1, Ok(())));
}

#[test]
fn who_was_sent_away_stays_out() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let mut kicked = all.remove(2);
    lobby.act(&mut all[0], Act::Kick(Member::new(3).unwrap()));
    lobby.meet(&mut all);
    let mut lobby = another(&lobby);
    forget(&mut all);
    kicked.cookie = None;
    // It comes first, and its ticket is good.
    assert_eq!(back(&mut lobby, &mut kicked), [Got::Pong(1)]);
    back(&mut lobby, &mut all[0]);
    assert!(matches!(lobby.ping(&mut kicked)[..], [Got::Unknown(..)]), "the base says otherwise");
    assert_eq!(lobby.resume(&mut kicked), Got::Refused(Refusal::Stale));
    assert!(matches!(back(&mut lobby, &mut all[1])[..], [Got::Page { .. }, Got::Changed { .. }]));
    page_at_once(&mut lobby, &mut all);
    assert_eq!(agreed(&all), [1, 2]);
}

#[test]
fn who_is_sent_away_while_the_recovery_lasts_stays_out() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let old = all[1].clone();
    let mut lobby = another(&lobby);
    forget(&mut all);
    for client in &mut all {
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    assert_eq!(lobby.act(&mut all[0], Act::Kick(Member::new(2).unwrap()))[0], Got::Done(1, Ok(())));
    assert_eq!(lobby.got(&mut all[1]).last(), Some(&Got::Ended(EndReason::Kicked)));
    let mut again = Client { tx: 9_000, cookie: None, ..old };
    assert_eq!(lobby.resume(&mut again), Got::Refused(Refusal::Stale));
}

#[test]
fn an_older_generation_stays_out() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(3, &spec(8));
    let mut old = all.remove(2);
    // Its ticket is older than what the others come back by.
    first.act(&mut all[0], Act::About(About::new(b"new").unwrap()));
    first.meet(&mut all);
    let mut second = another(&first);
    forget(&mut all);
    for client in &mut all {
        back(&mut second, client);
    }
    second.wait(6_000);
    page_at_once(&mut second, &mut all);
    assert_eq!(all[0].state.unwrap().generation, 1);
    let mut third = lobby_of(3, |_| {});
    forget(&mut all);
    old.cookie = None;
    assert_eq!(back(&mut third, &mut old), [Got::Pong(1)]);
    back(&mut third, &mut all[0]);
    assert!(matches!(third.ping(&mut old)[..], [Got::Unknown(..)]));
    back(&mut third, &mut all[1]);
    page_at_once(&mut third, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().generation), ([1, 2].to_vec(), 2));
}

#[test]
fn a_ticket_of_a_pool_that_has_ended_here_brings_nothing_back() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    lobby.act(&mut all[0], Act::Close);
    lobby.got(&mut all[1]);
    assert_eq!(lobby.resume(&mut all[1]), Got::Refused(Refusal::Stale));
    assert_eq!(lobby.machine.pool_count(), 0);
}

#[test]
fn what_is_limited_is_limited_here_too() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(2, &spec(8));
    let mut other = lobby_of(5, |config| config.limits.pools = 0);
    forget(&mut all);
    assert_eq!(other.resume(&mut all[0]), Got::Refused(Refusal::TooManyPools));
    let mut other = lobby_of(5, |config| config.limits.members_per_source = 1);
    forget(&mut all);
    back(&mut other, &mut all[0]);
    assert_eq!(other.resume(&mut all[1]), Got::Refused(Refusal::TooManyMembersOfSource));
    let mut other = lobby_of(5, |config| config.limits.seats = 7);
    forget(&mut all);
    assert_eq!(other.resume(&mut all[0]), Got::Refused(Refusal::Limit));
}

#[test]
fn an_offer_in_a_recovery_that_nobody_takes_is_void() {
    let (mut all, mut other) = lost(3);
    back(&mut other, &mut all[0]);
    other.wait(6_000);
    joined(&other.resume(&mut all[1]));
    other.stay(&mut all[..1], 8_000);
    assert!(matches!(other.ping(&mut all[1])[..], [Got::Unknown(..)]));
    assert_eq!(other.machine.member_count(), 1);
    // A recovery to which nobody comes leaves nothing.
    let mut nobody = lobby_of(6, |_| {});
    forget(&mut all);
    joined(&nobody.resume(&mut all[2]));
    assert_eq!(nobody.machine.pool_count(), 1);
    nobody.now = nobody.now + Duration::from_secs(14);
    assert!(matches!(nobody.ping(&mut all[2])[..], [Got::Unknown(..)]));
    assert_eq!((nobody.machine.pool_count(), nobody.drain()), (0, None));
}

#[test]
fn a_pool_that_ends_with_its_host_ends_if_the_host_has_not_come() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(3, &spec(8).ending_with_host(true));
    let mut other = another(&first);
    forget(&mut all);
    back(&mut other, &mut all[1]);
    other.wait(6_000);
    assert_eq!(other.got(&mut all[1]), [Got::Ended(EndReason::PoolEnded)]);
    assert_eq!(other.machine.pool_count(), 0);
}

#[test]
fn a_request_given_again_is_answered_again() {
    let (mut all, mut other) = lost(2);
    let (ticket, spec) = all[0].ticket.clone().unwrap();
    let resume = Call::Resume { ticket, spec: spec.as_spec(), about: About::default() };
    let one = joined(&other.ask(&mut all[0], resume));
    assert_eq!(joined(&other.ask(&mut all[0], resume)), one);
    let sent = all[0].message(1, Act::Ping(None));
    other.send(&mut all[0], &sent);
    assert_eq!(joined(&other.ask(&mut all[0], resume)), one);
    assert_eq!(other.machine.member_count(), 1);
}
