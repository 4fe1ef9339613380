//! Orders, hosts, and the ends of pools.

use alloc::vec;
use alloc::vec::Vec;

use super::lobby::*;
use crate::broadcaster::BroadcasterEvent;
use crate::wire::native::*;

#[test]
fn who_leaves_is_gone_and_the_others_are_told() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    assert_eq!(lobby.act(&mut all[1], Act::Leave), [Got::Done(1, Ok(()))]);
    let mut gone = all.remove(1);
    let got = lobby.meet(&mut all);
    assert!(
        matches!(&got[0][..], [Got::Changed { changes, .. }] if *changes == [Told::Left(2, LeaveReason::Left)])
    );
    assert_eq!(agreed(&all), [1, 3]);
    let again = gone.message(1, Act::Leave);
    assert!(matches!(lobby.send(&mut gone, &again)[..], [Got::Unknown(_, 1)]), "that says that it is done");
}

#[test]
fn an_order_given_again_is_answered_as_it_was_and_not_carried_out_again() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let hand = all[0].message(1, Act::Hand(member(2)));
    for _ in 0..3 {
        assert_eq!(lobby.send(&mut all[0], &hand)[0], Got::Done(1, Ok(())));
    }
    let kick = all[0].message(2, Act::Kick(member(3)));
    for _ in 0..2 {
        assert_eq!(lobby.send(&mut all[0], &kick), [Got::Done(2, Err(Refusal::NotHost))]);
    }
    let older = all[0].message(1, Act::Leave);
    assert_eq!(lobby.send(&mut all[0], &older), []);
    let stats = lobby.machine.stats();
    assert_eq!(
        (stats.orders, stats.refused_not_host, stats.dropped_replayed, stats.hosts_changed),
        (1, 1, 1, 1)
    );
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2, 3]);
}

#[test]
fn only_the_host_orders_others() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let other = spec(2);
    let acts = [Act::Change(other.as_spec()), Act::Kick(member(1)), Act::Hand(member(2)), Act::Close];
    for act in acts {
        let done = lobby.act(&mut all[1], act);
        assert_eq!(done, [Got::Done(all[1].order, Err(Refusal::NotHost))], "{act:?}");
    }
    assert_eq!((lobby.machine.stats().refused_not_host, lobby.machine.member_count()), (4, 3));
}

#[test]
fn who_says_something_else_of_itself_is_heard_by_all() {
    let mut lobby = lobby(|config| config.limits.about = 5);
    let mut all = lobby.pool(3, &spec(8));
    let epoch = all[0].epoch();
    lobby.act(&mut all[2], Act::About(About::new(b"hello").unwrap()));
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2, 3]);
    assert_eq!((&all[0].roster[2].about[..], all[0].epoch() != epoch), (&b"hello"[..], true));
    let epoch = all[0].epoch();
    assert_eq!(lobby.act(&mut all[2], Act::About(About::new(b"hello").unwrap())), [Got::Done(2, Ok(()))]);
    let refused = [Got::Done(3, Err(Refusal::Limit))];
    assert_eq!(lobby.act(&mut all[2], Act::About(About::new(b"hello!").unwrap())), refused);
    assert_eq!(lobby.ping(&mut all[0]), [Got::Pong(all[0].count)], "nothing is new");
    assert_eq!(all[0].epoch(), epoch);
}

#[test]
fn the_host_decides() {
    let mut lobby = lobby(|config| config.limits.seats = 16);
    let mut all = lobby.pool(3, &spec(8));
    let changed = spec(2).locked(true).named("duel").unwrap();
    let done = lobby.act(&mut all[0], Act::Change(changed.as_spec()));
    assert_eq!(done[0], Got::Done(1, Ok(())));
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2, 3], "fewer seats send nobody away");
    assert_eq!(all[2].spec, Some(changed.clone()));
    let epoch = all[0].epoch();
    lobby.act(&mut all[0], Act::Change(changed.as_spec()));
    assert_eq!(lobby.act(&mut all[0], Act::Change(spec(17).as_spec())), [Got::Done(3, Err(Refusal::Limit))]);
    lobby.meet(&mut all);
    assert_eq!(all[0].epoch(), epoch, "nothing is new");
}

#[test]
fn the_host_sends_away_and_that_is_noted() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    for nobody in [1, 7] {
        let done = lobby.act(&mut all[0], Act::Kick(member(nobody)));
        assert_eq!(done, [Got::Done(all[0].order, Err(Refusal::NoSuchMember))]);
    }
    assert_eq!(lobby.machine.stats().refused_no_such_member, 2);
    assert_eq!(lobby.act(&mut all[0], Act::Kick(member(3)))[0], Got::Done(3, Ok(())));
    let mut kicked = all.remove(2);
    assert_eq!(lobby.got(&mut kicked), [Got::Ended(EndReason::Kicked)]);
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2, 4]);
    let state = all[0].state.unwrap();
    assert_eq!(state.purged, state.epoch.number());
    lobby.act(&mut all[1], Act::Leave);
    all.remove(1);
    lobby.meet(&mut all);
    let later = all[0].state.unwrap();
    assert_eq!((later.purged, later.epoch.number()), (state.purged, state.purged + 1));
    assert_eq!(lobby.resume(&mut kicked), Got::Refused(Refusal::Stale));
    let got = lobby.join(&mut kicked, all[0].joined.unwrap().pool);
    assert!(
        matches!(got, Got::Joined(joined) if joined.member.get() == 5),
        "to keep it out there is the lock"
    );
}

#[test]
fn the_longest_standing_member_becomes_host() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    lobby.act(&mut all[0], Act::Hand(member(3)));
    lobby.meet(&mut all);
    assert_eq!(all.iter().map(|client| client.state.unwrap().term.get()).collect::<Vec<_>>(), [2; 4]);
    assert_eq!(all[0].state.unwrap().host.get(), 3);
    lobby.act(&mut all[2], Act::Leave);
    all.remove(2);
    lobby.meet(&mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().host.get()), ([1, 2, 4].to_vec(), 1));
    // It falls silent.
    lobby.wait(5_000);
    lobby.ping(&mut all[1]);
    lobby.ping(&mut all[2]);
    lobby.wait(5_000);
    all.remove(0);
    lobby.meet(&mut all);
    let state = all[0].state.unwrap();
    assert_eq!((agreed(&all), state.host.get(), state.term.get()), ([2, 4].to_vec(), 2, 4));
    let terms: Vec<(u32, u32)> = lobby
        .events
        .iter()
        .filter_map(|event| {
            let BroadcasterEvent::HostChanged { member, term, .. } = event else { return None };
            Some((member.get(), term.get()))
        })
        .collect();
    assert_eq!(terms, [(3, 2), (1, 3), (2, 4)]);
}

#[test]
fn to_hand_the_pool_to_itself_or_to_nobody_changes_nothing() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let epoch = all[0].epoch();
    assert_eq!(lobby.act(&mut all[0], Act::Hand(member(1))), [Got::Done(1, Ok(()))]);
    let nobody = [Got::Done(2, Err(Refusal::NoSuchMember))];
    assert_eq!(lobby.act(&mut all[0], Act::Hand(member(9))), nobody);
    lobby.ping(&mut all[0]);
    assert_eq!((all[0].epoch(), all[0].state.unwrap().term.get()), (epoch, 1));
}

#[test]
fn a_pool_that_ends_with_its_host_does() {
    for act in [Some(Act::Leave), None] {
        let mut lobby = lobby(|_| {});
        let mut all = lobby.pool(3, &spec(8).ending_with_host(true));
        lobby.act(&mut all[2], Act::Leave);
        all.truncate(2);
        lobby.meet(&mut all);
        match act {
            Some(act) => assert_eq!(lobby.act(&mut all[0], act), [Got::Done(1, Ok(()))]),
            None => {
                lobby.wait(5_000);
                lobby.ping(&mut all[1]);
                lobby.wait(5_000);
            }
        }
        assert_eq!(lobby.got(&mut all[1]), [Got::Ended(EndReason::PoolEnded)]);
        assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (0, 0));
        assert!(matches!(lobby.ping(&mut all[1])[..], [Got::Unknown(..)]));
        assert_eq!(lobby.resume(&mut all[1]), Got::Refused(Refusal::Stale), "the pool has ended");
        let ended =
            BroadcasterEvent::PoolEnded { pool: all[0].joined.unwrap().pool.into(), host: address(1) };
        assert_eq!(lobby.events.last(), Some(&ended));
    }
}

#[test]
fn the_host_ends_the_pool_and_all_others_are_told() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let mut offered = Client::new(9);
    lobby.join(&mut offered, all[0].joined.unwrap().pool);
    let close = all[0].message(1, Act::Close);
    assert_eq!(lobby.send(&mut all[0], &close), [Got::Done(1, Ok(()))]);
    for other in &mut all[1..] {
        assert_eq!(lobby.got(other), [Got::Ended(EndReason::PoolEnded)]);
    }
    assert!(matches!(lobby.send(&mut all[0], &close)[..], [Got::Unknown(..)]));
    assert!(matches!(lobby.ping(&mut offered)[..], [Got::Unknown(..)]));
    assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (0, 0));
    assert_eq!(lobby.machine.stats().pools_ended, 1);
    lobby.wait(10_000);
    assert_eq!(lobby.drain(), None);
}

#[test]
fn members_of_a_pool_that_has_ended_are_nobody_before_they_are_told() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let close = all[0].message(1, Act::Close);
    let ping = all[1].message(9, Act::Ping(None));
    lobby.hand_in(address(1), &close);
    assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (0, 0));
    lobby.hand_in(address(2), &ping);
    let got = lobby.got(&mut all[1]);
    assert!(matches!(got[..], [Got::Unknown(..), Got::Ended(EndReason::PoolEnded)]), "{got:?}");
    lobby.host(4, &spec(2));
    assert_eq!(lobby.machine.member_count(), 1);
}

#[test]
fn what_happens_at_one_time_is_one_change() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(6, &spec(8));
    let number = all[0].epoch().unwrap().number();
    // They fall silent together, and some say something before anybody is told.
    lobby.wait(9_000);
    for client in &mut all[..3] {
        lobby.ping(client);
    }
    let about = all[1].message(1, Act::About(About::new(b"x").unwrap()));
    lobby.now = at(10_000);
    lobby.hand_in(address(2), &about);
    all.truncate(3);
    let got = lobby.meet(&mut all);
    let changed: Vec<usize> = got[0]
        .iter()
        .filter_map(|got| {
            let Got::Changed { changes, .. } = got else { return None };
            Some(changes.len())
        })
        .collect();
    assert_eq!(changed, [4]);
    assert_eq!(agreed(&all), [1, 2, 3]);
    assert_eq!(all[0].epoch().unwrap().number(), number + 1);
}

#[test]
fn an_epoch_that_was_shown_does_not_change() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let number = all[0].epoch().unwrap().number();
    let about = all[1].message(1, Act::About(About::new(b"1").unwrap()));
    let ask = all[0].message(9, Act::Ask(None));
    let again = all[1].message(2, Act::About(About::new(b"2").unwrap()));
    for (from, datagram) in [(2, about), (1, ask), (2, again)] {
        lobby.hand_in(address(from), &datagram);
    }
    let got = lobby.got(&mut all[0]);
    let Got::Page { state, members, .. } = &got[0] else { panic!("{got:?}") };
    assert_eq!((state.epoch.number(), &members[1].about[..]), (number + 1, &b"1"[..]));
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2, 3]);
    assert_eq!((all[2].epoch().unwrap().number(), &all[2].roster[1].about[..]), (number + 2, &b"2"[..]));
}

#[test]
fn changes_that_do_not_fit_a_datagram_are_told_by_several_epochs() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(12, &spec(16));
    let number = all[0].epoch().unwrap().number();
    for client in &all {
        let about = client.message(1, Act::About(About::new(&[client.from.port() as u8; 128]).unwrap()));
        lobby.hand_in(client.from, &about);
    }
    lobby.meet(&mut all);
    assert_eq!(agreed(&all).len(), 12);
    assert_eq!(all[0].epoch().unwrap().number(), number + 2, "eight fit one");
}

#[test]
fn only_a_kick_is_noted_as_one() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    let moved = Client { from: address(9), ..all[2].clone() };
    all[2] = moved;
    let [Got::Prove(_, _, cookie)] = lobby.ping(&mut all[2])[..] else { panic!() };
    lobby.act(&mut all[2], Act::Move(cookie));
    let other = spec(7);
    for act in [Act::About(About::new(b"x").unwrap()), Act::Change(other.as_spec()), Act::Hand(member(2))] {
        lobby.act(&mut all[0], act);
    }
    lobby.meet(&mut all);
    assert_eq!((agreed(&all), all[0].state.unwrap().purged), (vec![1, 2, 3, 4], 0));
    lobby.act(&mut all[1], Act::Kick(member(4)));
    lobby.meet(&mut all[..3]);
    let state = all[0].state.unwrap();
    assert_eq!(state.purged, state.epoch.number());
}

#[test]
fn an_order_of_count_0_is_none() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(1, &spec(8));
    let order = all[0].message(0, Act::About(About::new(b"x").unwrap()));
    assert_eq!(lobby.send(&mut all[0], &order), []);
    assert_eq!(lobby.machine.stats().dropped_replayed, 1);
}

#[test]
fn who_fell_silent_does_not_bring_back_what_was_closed_behind_it() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    lobby.stay(&mut all[..1], 10_000);
    assert_eq!((lobby.machine.member_count(), lobby.machine.stats().members_left), (1, 1));
    lobby.act(&mut all[0], Act::Close);
    lobby.mail.clear();
    assert_eq!(lobby.resume(&mut all[1]), Got::Refused(Refusal::Stale));
}

#[test]
fn who_leaves_while_a_change_is_told_does_not_keep_it_from_others() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(4, &spec(8));
    let about = all[3].message(1, Act::About(About::new(b"x").unwrap()));
    lobby.hand_in(all[3].from, &about);
    // The answer, and what the first of them is told. The second is next.
    for _ in 0..2 {
        let crate::Output::Transmit(sent) = crate::Machine::poll_output(&mut lobby.machine) else { panic!() };
        lobby.mail.entry(sent.destination).or_default().push(sent.payload.to_vec());
    }
    assert!(lobby.mail.contains_key(&address(1)) && !lobby.mail.contains_key(&address(2)));
    lobby.hand_in(all[1].from, &all[1].message(1, Act::Leave));
    lobby.got(&mut all[1].clone());
    all.remove(1);
    lobby.meet(&mut all);
    assert_eq!((agreed(&all), &all[0].roster[2].about[..]), (vec![1, 3, 4], &b"x"[..]));
}
