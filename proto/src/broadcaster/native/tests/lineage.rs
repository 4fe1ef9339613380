//! Of several tickets, which one a pool comes back by (PROTOCOL.md, section 7.2): what a former member has kept is no use to it.

use alloc::vec;
use core::slice::from_mut;

use super::former::{guest, of_a_former_host_and_locked};
use super::lobby::*;
use super::recovery::{all_back, another, back, forget, joined, page_at_once};
use crate::broadcaster::RandomSource;
use crate::wire::native::*;

/// As `another`, a third one.
fn a_third<R>(lobby: &Lobby<R>) -> Lobby<impl RandomSource + use<R>> {
    let mut third = lobby_of(3, |_| {});
    third.now = lobby.now;
    third
}

#[test]
fn who_joins_what_an_old_ticket_brought_back_is_no_member_when_the_pool_comes() {
    let mut before = lobby(|_| {});
    let (mut old, mut others) = of_a_former_host_and_locked(&mut before);
    let pool = old.joined.unwrap().pool;
    let mut lobby = another(&before);
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
    let (mut old, mut others) = of_a_former_host_and_locked(&mut before);
    let mut lobby = another(&before);
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
    let (mut old, mut others) = of_a_former_host_and_locked(&mut home);
    // At another broadcaster of the secret, which never had the pool.
    let mut elsewhere = another(&home);
    back(&mut elsewhere, &mut old);
    elsewhere.meet(from_mut(&mut old));
    assert_eq!(old.state.unwrap().generation, 1);
    // Home starts again.
    let mut home = a_third(&home);
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
    lobby.stay(&mut all, 15_000);
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
    elsewhere.stay(from_mut(&mut lost), 6_000);
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
    let (mut old, mut all) = of_a_former_host_and_locked(&mut lobby);
    lobby.got(&mut old);
    lobby.wait(60_000);
    assert_eq!(lobby.machine.pool_count(), 0, "the line was cut, or the broadcaster stood still");
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
    lobby.wait(14_000);
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

#[test]
fn an_era_is_later_than_the_epoch_it_was_brought_back_from_whoever_comes_first() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(3, &spec(8));
    let mut behind = all[2].clone();
    let mut second = another(&first);
    all_back(&mut second, &mut all);
    // Only two have heard of that.
    let mut lobby = a_third(&second);
    forget(from_mut(&mut behind));
    assert_eq!(back(&mut lobby, &mut behind), [Got::Pong(1)]);
    all[2] = behind;
    forget(&mut all);
    for client in &mut all[..2] {
        back(&mut lobby, client);
    }
    page_at_once(&mut lobby, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().generation), (vec![1, 2, 3], 2));
}

#[test]
fn who_has_not_heard_of_an_era_in_which_somebody_was_sent_away_stays_out() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(4, &spec(8));
    let mut behind = all[2].clone();
    let mut second = another(&first);
    all_back(&mut second, &mut all);
    second.act(&mut all[0], Act::Kick(Member::new(4).unwrap()));
    second.meet(&mut all[..2]);
    let mut lobby = a_third(&second);
    forget(&mut all);
    back(&mut lobby, &mut all[0]);
    // It may be the one who was sent away.
    forget(from_mut(&mut behind));
    assert_eq!(lobby.resume(&mut behind), Got::Refused(Refusal::Stale));
}

#[test]
fn of_two_eras_brought_back_from_one_the_higher_base_tells_however_many_were_there() {
    let mut home = lobby(|_| {});
    let (mut old, mut others) = of_a_former_host_and_locked(&mut home);
    let pool = old.joined.unwrap().pool;
    let mut side = another(&home);
    back(&mut side, &mut old);
    for port in 20..23 {
        guest(&mut side, port, pool);
    }
    side.meet(from_mut(&mut old));
    let mut main = lobby_of(4, |_| {});
    main.now = home.now;
    all_back(&mut main, &mut others);
    let [one, other] = [&old, &others[0]].map(|client| client.ticket.as_ref().unwrap().0.state);
    assert!(one.count > other.count && one.base.unwrap().era() == other.base.unwrap().era());
    // Whoever comes first.
    let mut lobby = a_third(&home);
    forget(from_mut(&mut old));
    forget(&mut others);
    assert_eq!(back(&mut lobby, &mut old), [Got::Pong(1)]);
    for other in &mut others {
        back(&mut lobby, other);
    }
    assert!(matches!(lobby.ping(&mut old)[..], [Got::Unknown(..)]));
    page_at_once(&mut lobby, &mut others);
    assert_eq!(agreed(&others), [2, 3]);
}

#[test]
fn of_two_eras_that_know_nothing_of_each_other_the_higher_generation_tells() {
    let mut home = lobby(|_| {});
    let mut all = home.pool(3, &spec(8));
    let mut old = all.remove(2);
    home.act(&mut all[0], Act::About(About::new(b"later").unwrap()));
    home.meet(&mut all);
    // Two are back, twice, and the third never hears of it.
    let mut second = another(&home);
    forget(&mut all);
    for client in &mut all {
        back(&mut second, client);
    }
    second.wait(6_000);
    page_at_once(&mut second, &mut all);
    let mut third = a_third(&second);
    all_back(&mut third, &mut all);
    assert_eq!(all[0].state.unwrap().generation, 2);
    let mut lobby = lobby_of(4, |_| {});
    forget(from_mut(&mut old));
    assert_eq!(back(&mut lobby, &mut old), [Got::Pong(1)]);
    forget(&mut all);
    for client in &mut all {
        back(&mut lobby, client);
    }
    assert!(matches!(lobby.ping(&mut old)[..], [Got::Unknown(..)]));
    page_at_once(&mut lobby, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().generation), (vec![1, 2], 3));
}

#[test]
fn what_was_brought_back_from_an_older_epoch_is_no_base_behind_what_went_on() {
    let mut home = lobby(|_| {});
    let (mut old, mut others) = of_a_former_host_and_locked(&mut home);
    let mut elsewhere = another(&home);
    all_back(&mut elsewhere, from_mut(&mut old));
    assert_eq!(old.state.unwrap().generation, 1);
    let mut lobby = a_third(&home);
    all_back(&mut lobby, &mut others);
    forget(from_mut(&mut old));
    assert_eq!(lobby.resume(&mut old), Got::Refused(Refusal::Stale));
}

#[test]
fn where_it_has_ended_a_pool_comes_back_by_a_higher_generation_and_by_no_other() {
    let mut first = lobby(|_| {});
    let mut all = first.pool(2, &spec(8));
    let mut there = all.clone();
    let mut second = another(&first);
    all_back(&mut second, &mut all);
    second.act(&mut all[0], Act::Close);
    assert_eq!(second.machine.pool_count(), 0);
    second.mail.clear();
    second.wait(14_000);
    // The same generation, of another era than it had here and than that was brought back from.
    let mut elsewhere = a_third(&first);
    all_back(&mut elsewhere, &mut there);
    forget(&mut there);
    for client in &mut there {
        assert_eq!(second.resume(client), Got::Refused(Refusal::Stale));
    }
    let mut elsewhere = lobby_of(4, |_| {});
    all_back(&mut elsewhere, &mut there);
    all_back(&mut second, &mut there);
    assert_eq!((agreed(&there), there[0].state.unwrap().generation), (vec![1, 2], 3));
}

#[test]
fn a_pool_that_ends_with_its_host_is_brought_back_if_nobody_was_heard_any_more() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8).ending_with_host(true));
    lobby.wait(60_000);
    assert_eq!(lobby.machine.pool_count(), 0, "the line was cut, or the broadcaster stood still");
    lobby.mail.clear();
    all_back(&mut lobby, &mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().host.get()), (vec![1, 2, 3], 1));
}

#[test]
fn who_heard_of_nothing_behind_the_kick_brings_back_a_pool_that_fell_silent() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    lobby.act(&mut all[0], Act::Kick(Member::new(3).unwrap()));
    all.truncate(2);
    lobby.meet(&mut all);
    let state = all[0].state.unwrap();
    assert_eq!(state.epoch.number(), state.purged);
    lobby.wait(60_000);
    lobby.mail.clear();
    all_back(&mut lobby, &mut all);
    assert_eq!(agreed(&all), [1, 2]);
}
