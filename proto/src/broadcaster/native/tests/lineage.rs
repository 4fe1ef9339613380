//! Of several tickets, which one a pool comes back by (PROTOCOL.md, section 7.2): what a former member has kept is no use to it.

use alloc::vec;
use alloc::vec::Vec;
use core::slice::from_mut;

use super::lobby::*;
use super::recovery::{another, back, forget, joined, page_at_once};
use crate::broadcaster::RandomSource;
use crate::wire::native::*;

/// As `another`, a third one.
fn a_third<R>(lobby: &Lobby<R>) -> Lobby<impl RandomSource + use<R>> {
    let mut third = lobby_of(3, |_| {});
    third.now = lobby.now;
    third
}

/// Somebody new in a pool.
fn guest<R: RandomSource>(lobby: &mut Lobby<R>, port: u16, pool: PoolUuid) -> Client {
    let mut client = Client::new(port);
    joined(&lobby.join(&mut client, pool));
    lobby.ping(&mut client);
    client
}

/// A pool of three whose maker has kept the ticket of when it was alone, and was sent away by the second, who is host.
fn of_a_former_host<R: RandomSource>(lobby: &mut Lobby<R>) -> (Client, Vec<Client>) {
    let mut maker = lobby.host(1, &spec(8));
    let old = maker.clone();
    let pool = maker.joined.unwrap().pool;
    let mut others: Vec<Client> = (2..4).map(|port| guest(lobby, port, pool)).collect();
    let second = Member::new(2).unwrap();
    lobby.act(&mut maker, Act::Hand(second));
    lobby.meet(&mut others);
    lobby.act(&mut others[0], Act::Kick(Member::new(1).unwrap()));
    lobby.act(&mut others[0], Act::Change(spec(8).locked(true).as_spec()));
    lobby.meet(&mut others);
    assert_eq!((agreed(&others), others[0].state.unwrap().host), (vec![2, 3], second));
    let mut old = Client { count: 0, order: 0, ..old };
    forget(from_mut(&mut old));
    (old, others)
}

#[test]
fn who_joins_what_an_old_ticket_brought_back_is_no_member_when_the_pool_comes() {
    let mut before = lobby(|_| {});
    let (mut old, mut others) = of_a_former_host(&mut before);
    let pool = old.joined.unwrap().pool;
    let mut lobby = another(&before);
    forget(&mut others);
    back(&mut lobby, &mut old);
    assert_eq!(lobby.machine.stats().pools_restored, 1, "it was alone by its ticket");
    let mut helper = guest(&mut lobby, 9, pool);
    assert_eq!(helper.member(), 2, "a number that is another's");
    back(&mut lobby, &mut others[1]);
    assert!(matches!(lobby.ping(&mut helper)[..], [Got::Unknown(..)]), "it joined another pool than this");
    let got = lobby.ping(&mut old);
    assert!(matches!(got.last(), Some(Got::Unknown(..))), "it was sent away: {got:?}");
    back(&mut lobby, &mut others[0]);
    page_at_once(&mut lobby, &mut others);
    assert_eq!((agreed(&others), others[0].state.unwrap().host.get()), (vec![2, 3], 2));
    assert!(others[0].spec.as_ref().unwrap().as_spec().locked());
}

#[test]
fn what_goes_on_by_an_old_ticket_is_a_side_branch_for_ever() {
    let mut before = lobby(|_| {});
    let (mut old, mut others) = of_a_former_host(&mut before);
    let mut lobby = another(&before);
    forget(&mut others);
    // The former host brings the pool back, makes many epochs, keeps the ticket, and closes it.
    back(&mut lobby, &mut old);
    lobby.meet(from_mut(&mut old));
    for round in 0..90u8 {
        lobby.act(&mut old, Act::About(About::new(&[round]).unwrap()));
        lobby.wait(50);
    }
    lobby.meet(from_mut(&mut old));
    let mut side = old.clone();
    lobby.act(&mut old, Act::Close);
    // The others come, and know nothing of it.
    for other in &mut others {
        back(&mut lobby, other);
    }
    page_at_once(&mut lobby, &mut others);
    assert_eq!(agreed(&others), [2, 3]);
    let [main, branch] = [&others[0], &side].map(|client| client.ticket.as_ref().unwrap().0.state);
    assert!(main.epoch.number() < branch.epoch.number() && main.generation > branch.generation);
    // At the next restart, too, whoever comes first.
    let mut lobby = a_third(&lobby);
    forget(&mut others);
    forget(from_mut(&mut side));
    side.tx += 1;
    back(&mut lobby, &mut side);
    for other in &mut others {
        other.tx += 1;
        back(&mut lobby, other);
    }
    assert!(matches!(lobby.ping(&mut side)[..], [Got::Unknown(..)]));
    page_at_once(&mut lobby, &mut others);
    assert_eq!((agreed(&others), others[0].state.unwrap().host.get()), (vec![2, 3], 2));
}

#[test]
fn a_generation_made_elsewhere_is_nothing_to_those_who_stayed() {
    let mut home = lobby(|_| {});
    let (mut old, mut others) = of_a_former_host(&mut home);
    // At another broadcaster of the secret, which never had the pool.
    let mut elsewhere = another(&home);
    back(&mut elsewhere, &mut old);
    elsewhere.meet(from_mut(&mut old));
    assert_eq!(old.state.unwrap().generation, 1);
    // Home starts again.
    let mut home = a_third(&home);
    forget(&mut others);
    forget(from_mut(&mut old));
    old.tx += 1;
    back(&mut home, &mut old);
    for other in &mut others {
        back(&mut home, other);
    }
    assert!(matches!(home.ping(&mut old)[..], [Got::Unknown(..)]));
    page_at_once(&mut home, &mut others);
    assert_eq!((agreed(&others), others[0].state.unwrap().host.get()), (vec![2, 3], 2));
    assert_eq!(home.resume(&mut old), Got::Refused(Refusal::Stale));
}

#[test]
fn a_pool_that_was_brought_back_and_has_ended_is_over_for_older_tickets_too() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(3, &spec(8));
    let mut old = all.clone();
    let mut lobby = another(&before);
    forget(&mut all);
    for client in &mut all {
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    lobby.stay(&mut all, 12_000);
    lobby.act(&mut all[0], Act::Close);
    lobby.meet(&mut all);
    assert_eq!(lobby.machine.pool_count(), 0);
    forget(&mut old);
    for client in &mut old {
        client.tx += 1;
        assert_eq!(lobby.resume(client), Got::Refused(Refusal::Stale));
    }
}

#[test]
fn a_pool_that_went_on_elsewhere_may_come_where_it_has_ended() {
    let mut home = lobby(|_| {});
    let mut all = home.pool(3, &spec(8));
    // One loses sight of home, brings the pool back elsewhere, and leaves there again.
    let mut lost = all[2].clone();
    lost.cookie = None;
    let mut elsewhere = another(&home);
    back(&mut elsewhere, &mut lost);
    elsewhere.wait(6_000);
    assert_eq!(elsewhere.machine.stats().pools_restored, 1);
    elsewhere.act(&mut lost, Act::Leave);
    assert_eq!(elsewhere.machine.pool_count(), 0);
    // At home something happens, and then it dies.
    home.act(&mut all[0], Act::About(About::new(b"later").unwrap()));
    home.meet(&mut all);
    forget(&mut all);
    assert_eq!(elsewhere.resume(&mut lost), Got::Refused(Refusal::Stale));
    for client in &mut all {
        back(&mut elsewhere, client);
    }
    page_at_once(&mut elsewhere, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().generation), (vec![1, 2, 3], 2));
}

#[test]
fn who_has_not_heard_of_an_era_yet_comes_back_by_what_it_began_with() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(3, &spec(8));
    let mut second = another(&first);
    forget(&mut all);
    // It dies again before the third has heard that the pool is back.
    for client in &mut all[..2] {
        back(&mut second, client);
    }
    let mut third = all[2].clone();
    back(&mut second, &mut third);
    page_at_once(&mut second, &mut all[..2]);
    let mut lobby = a_third(&second);
    forget(&mut all);
    for client in &mut all {
        client.tx += 1;
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().generation), (vec![1, 2, 3], 2));
}

#[test]
fn a_pool_that_ended_because_nobody_was_heard_any_more_is_brought_back() {
    let mut lobby = lobby(|_| {});
    let (mut old, mut all) = of_a_former_host(&mut lobby);
    lobby.got(&mut old);
    lobby.wait(60_000);
    assert_eq!(lobby.machine.pool_count(), 0, "the line was cut, or the broadcaster stood still");
    forget(&mut all);
    assert_eq!(lobby.resume(&mut old), Got::Refused(Refusal::Stale), "it was sent away before that");
    for client in &mut all {
        client.tx += 1;
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().host.get()), (vec![2, 3], 2));
    // Not so if somebody has left, be it the last one.
    lobby.act(&mut all[0], Act::Leave);
    lobby.act(&mut all[1], Act::Leave);
    assert_eq!(lobby.machine.pool_count(), 0);
    all[1].tx += 1;
    assert_eq!(lobby.resume(&mut all[1]), Got::Refused(Refusal::Stale));
}

#[test]
fn a_pool_of_which_nobody_heard_that_it_was_back_is_brought_back_once_more() {
    for kicks in [false, true] {
        let mut before = lobby(|_| {});
        let mut all = before.pool(3, &spec(8));
        let mut lobby = another(&before);
        forget(&mut all);
        let mut unheard = all.clone();
        for client in &mut all {
            back(&mut lobby, client);
        }
        page_at_once(&mut lobby, &mut all);
        if kicks {
            let third = Member::new(3).unwrap();
            lobby.act(&mut all[0], Act::Kick(third));
        }
        // It stands still, and what it has said is lost.
        lobby.wait(60_000);
        for client in &mut all {
            lobby.got(client);
        }
        assert_eq!((lobby.machine.pool_count(), lobby.machine.stats().pools_restored), (0, 1));
        for client in &mut unheard {
            client.tx += 100;
            if kicks {
                assert_eq!(lobby.resume(client), Got::Refused(Refusal::Stale), "it may be who was sent away");
            } else {
                back(&mut lobby, client);
            }
        }
        if !kicks {
            page_at_once(&mut lobby, &mut unheard);
            assert_eq!((agreed(&unheard), unheard[0].state.unwrap().generation), (vec![1, 2, 3], 2));
        }
    }
}

#[test]
fn who_comes_back_alone_and_falls_silent_before_the_pool_is_back_keeps_nobody_out() {
    let mut before = lobby(|_| {});
    let mut all = before.pool(3, &spec(8));
    let mut lobby = lobby_of(99, |config| config.limits.interval = core::time::Duration::from_secs(9));
    lobby.now = before.now;
    forget(&mut all);
    back(&mut lobby, &mut all[0]);
    lobby.wait(12_000);
    lobby.wait(10_000);
    assert_eq!((lobby.machine.pool_count(), lobby.machine.stats().pools_restored), (0, 0));
    for client in &mut all {
        client.tx += 1;
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    assert_eq!(agreed(&all), [1, 2, 3]);
}

#[test]
fn who_speaks_from_elsewhere_and_proves_nothing_keeps_nobody_alive() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let mut elsewhere = Client { from: address(9), ..all[1].clone() };
    for _ in 0..6 {
        lobby.wait(2_000);
        lobby.ping(&mut all[0]);
        assert!(!matches!(lobby.ping(&mut elsewhere)[..], [Got::Pong(_)]));
    }
    assert_eq!(lobby.machine.member_count(), 1, "nobody was heard from its address");
    joined(&lobby.join(&mut Client::new(50), all[0].joined.unwrap().pool));
}
