//! Pings, questions, moves, and who may speak.

use alloc::vec::Vec;

use super::lobby::*;
use crate::broadcaster::BroadcasterEvent;
use crate::wire::native::*;

#[test]
fn a_message_of_nobody_draws_unknown_and_nothing_else() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let before = lobby.machine.member_count();
    let good = all[1].message(9, Act::Leave);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut strange = good.clone();
    strange[2..6].copy_from_slice(&77u32.to_le_bytes());
    // Fields that can't be are not looked at before the tag.
    let mut spoiled = [&good[..10], &[9; 40]].concat();
    spoiled[1] = 0x1a;
    for (datagram, handle) in [
        (&forged[..], all[1].joined.unwrap().handle),
        (&strange, Handle(77)),
        (&spoiled, all[1].joined.unwrap().handle),
    ] {
        assert_eq!(lobby.send(&mut all[0], datagram), [Got::Unknown(handle, 9)]);
    }
    assert_eq!((lobby.machine.member_count(), lobby.machine.stats().unknown), (before, 3));
    // Shorter than what it would draw might be.
    assert_eq!(lobby.send(&mut all[0], &forged[..29]), []);
    assert_eq!(lobby.machine.stats().dropped_malformed, 1);
}

#[test]
fn what_was_taken_is_not_taken_again() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let guest = &mut all[1];
    let counts = [5, 5, 4, 6, 0];
    let answers: Vec<usize> = counts
        .iter()
        .map(|count| {
            let sent = guest.message(*count, Act::Ping(guest.epoch()));
            lobby.send(guest, &sent).len()
        })
        .collect();
    assert_eq!(answers, [1, 0, 0, 1, 0]);
    assert_eq!(lobby.machine.stats().dropped_replayed, 3);
    // Moves and questions are counted with pings, orders by themselves.
    for act in [Act::Ask(None), Act::Move(Cookie::new(1).unwrap())] {
        let sent = guest.message(6, act);
        assert_eq!(lobby.send(guest, &sent), []);
    }
    let sent = guest.message(1, Act::About(About::new(b"me").unwrap()));
    assert_eq!(lobby.send(guest, &sent)[0], Got::Done(1, Ok(())));
}

#[test]
fn a_replay_does_not_keep_anybody_alive() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let ping = all[1].message(9, Act::Ping(None));
    let order = all[1].message(1, Act::About(About::default()));
    lobby.send(&mut all[1], &ping);
    lobby.send(&mut all[1], &order);
    for _ in 0..9 {
        lobby.wait(1_000);
        lobby.ping(&mut all[0]);
        lobby.send(&mut all[1], &ping);
        lobby.send(&mut all[1], &order);
    }
    lobby.wait(1_000);
    assert_eq!((lobby.machine.member_count(), lobby.machine.stats().members_timed_out), (1, 1));
}

#[test]
fn a_member_that_is_silent_has_left_exactly_then() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    lobby.wait(5_000);
    lobby.ping(&mut all[0]);
    lobby.ping(&mut all[2]);
    assert_eq!(lobby.machine.stats().pings, 5, "by three of them offers were taken");
    lobby.wait(4_999);
    assert_eq!(lobby.machine.member_count(), 3);
    lobby.wait(1);
    assert_eq!(lobby.machine.member_count(), 2);
    let mut silent = all.remove(1);
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 3]);
    assert!(matches!(lobby.ping(&mut silent)[..], [Got::Unknown(..)]), "a late ping revives nobody");
    let left = BroadcasterEvent::MemberLeft {
        pool: all[0].joined.unwrap().pool.into(),
        member: Member::new(2).unwrap(),
        address: address(2),
        reason: LeaveReason::TimedOut,
    };
    assert!(lobby.events.contains(&left));
    lobby.wait(5_000);
    assert_eq!((lobby.machine.pool_count(), lobby.machine.member_count()), (0, 0));
    assert_eq!(lobby.drain(), None);
}

#[test]
fn a_ping_in_time_is_taken_in_the_same_input_as_others_end() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    lobby.now = at(9_999);
    lobby.ping(&mut all[0]);
    lobby.now = at(10_000);
    assert!(matches!(lobby.ping(&mut all[1])[..], [Got::Unknown(..)]));
    assert_eq!(lobby.machine.member_count(), 1);
}

#[test]
fn what_a_member_missed_it_learns_by_its_next_ping() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let mut late = all.pop().unwrap();
    lobby.act(&mut all[1], Act::Leave);
    all.pop();
    lobby.meet(&mut all);
    lobby.mail.remove(&late.from);
    let got = lobby.ping(&mut late);
    assert!(
        matches!(&got[..], [Got::Page { from: 0, more: false, members, .. }] if members.len() == 2),
        "{got:?}"
    );
    all.push(late);
    assert_eq!(agreed(&all), [1, 3]);
    // None, another era, a number that is not yet: all are told.
    let (era, number) = (all[0].epoch().unwrap().era(), all[0].epoch().unwrap().number());
    for (era, number, pong) in
        [(0, 0, false), (era, number, true), (era, number + 1, false), (era + 1, number, false)]
    {
        all[0].count += 1;
        let sent = all[0].message(all[0].count, Act::Ping(Epoch::new(era, number)));
        let got = lobby.send(&mut all[0], &sent);
        assert_eq!(matches!(got[..], [Got::Pong(_)]), pong, "{got:?}");
    }
}

#[test]
fn a_roster_longer_than_a_datagram_comes_in_pages() {
    let mut lobby = lobby(|config| config.limits.members_per_source = 1_000);
    let mut all = lobby.pool(1, &spec(1_024));
    let pool = all[0].joined.unwrap().pool;
    for port in 2..=300 {
        let mut guest = Client { about: [7; 50].to_vec(), ..Client::new(port) };
        lobby.join(&mut guest, pool);
        lobby.ping(&mut guest);
        lobby.mail.clear();
    }
    let host = &mut all[0];
    let (mut pages, mut most, mut is_last) = (0, 0, false);
    while !is_last {
        let next = host.roster.last().filter(|_| pages > 0).and_then(|last| Member::new(last.member + 1));
        let drawn = lobby.act(host, Act::Ask(next));
        for got in &drawn {
            let Got::Page { from, more, spec, members, .. } = got else { panic!("{got:?}") };
            let first = members.first().unwrap().member;
            assert_eq!((*from, spec.is_some()), if pages == 0 { (0, true) } else { (first, false) });
            pages += 1;
            is_last = !more;
        }
        most = most.max(drawn.len());
    }
    assert_eq!(most, PAGES);
    assert!(pages > 12, "{pages}");
    assert!(host.roster.iter().map(|seen| seen.member).eq(1..=300));
    assert_eq!(host.roster[299].about, [7; 50]);
    let got = lobby.act(host, Act::Ask(Member::new(301)));
    assert!(matches!(&got[..], [Got::Page { from: 301, more: false, members, .. }] if members.is_empty()));
}

#[test]
fn from_elsewhere_a_message_is_taken_and_a_proof_is_asked_for() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let mut moved = Client { from: address(9), ..all[1].clone() };
    lobby.wait(5_000);
    lobby.ping(&mut all[0]);
    let got = lobby.ping(&mut moved);
    let [Got::Prove(handle, count, cookie)] = got[..] else { panic!("{got:?}") };
    assert_eq!((handle, count), (moved.joined.unwrap().handle, moved.count));
    // Orders are carried out, too, and given again they draw the same.
    let about = moved.message(1, Act::About(About::new(b"here").unwrap()));
    for _ in 0..2 {
        assert_eq!(lobby.send(&mut moved, &about), [Got::Prove(handle, 1, cookie)]);
    }
    assert_eq!(lobby.machine.stats().orders, 1);
    let got = lobby.act(&mut moved, Act::Move(cookie));
    assert!(
        matches!(&got[0], Got::Page { from: 0, members, .. } if members[1].address == address(9)),
        "{got:?}"
    );
    all[1] = moved;
    lobby.meet(&mut all);
    assert_eq!(agreed(&all), [1, 2]);
    assert_eq!(all[0].roster[1].address, address(9));
    // Where it is already it gets the page all the same.
    assert!(matches!(lobby.act(&mut all[1], Act::Move(cookie))[..], [Got::Page { from: 0, .. }]));
}

#[test]
fn to_move_takes_the_cookie_of_that_address() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(2, &spec(8));
    let mut moved = Client { from: address(9), ..all[1].clone() };
    let [Got::Prove(_, _, cookie)] = lobby.ping(&mut moved)[..] else { panic!() };
    let mut elsewhere = Client { from: address(8), ..moved.clone() };
    let got = lobby.act(&mut elsewhere, Act::Move(cookie));
    assert!(matches!(got[..], [Got::Prove(_, 3, other)] if other != cookie), "{got:?}");
    // At home, too.
    let mut home = Client { count: 3, ..all[1].clone() };
    assert!(matches!(lobby.act(&mut home, Act::Move(cookie))[..], [Got::Prove(..)]));
}

#[test]
fn who_moves_is_heard_by_that() {
    let mut lobby = lobby(|_| {});
    let all = lobby.pool(1, &spec(8));
    lobby.wait(9_000);
    let mut moved = Client { from: address(9), ..all[0].clone() };
    let [Got::Prove(_, _, cookie)] = lobby.ping(&mut moved)[..] else { panic!() };
    assert!(matches!(lobby.act(&mut moved, Act::Move(cookie))[..], [Got::Page { .. }, Got::Changed { .. }]));
    lobby.wait(9_999);
    assert_eq!(lobby.machine.member_count(), 1);
    lobby.wait(1);
    assert_eq!(lobby.machine.member_count(), 0);
}

#[test]
fn who_moves_to_another_member_s_address_replaces_it() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(3, &spec(8));
    let host = all.remove(0);
    let mut moved = Client { from: address(1), ..all[0].clone() };
    lobby.hand_in(moved.from, &moved.message(7, Act::Ping(None)));
    lobby.drain();
    let mail = lobby.mail.remove(&moved.from).unwrap();
    let Got::Prove(_, _, cookie) = moved.read(&mail[0]) else { panic!() };
    lobby.hand_in(moved.from, &moved.message(8, Act::Move(cookie)));
    lobby.drain();
    let mail = lobby.mail.remove(&moved.from).unwrap();
    assert_eq!(host.read(&mail[0]), Got::Ended(EndReason::Replaced));
    assert!(matches!(moved.read(&mail[1]), Got::Page { .. }));
    let got = lobby.got(&mut all[1]);
    let told = [Told::Left(1, LeaveReason::Replaced), Told::Moved(2, address(1))];
    assert!(
        matches!(&got[..], [Got::Changed { changes, state }] if *changes == told && state.host.get() == 2)
    );
    moved.count = 8;
    assert!(matches!(lobby.ping(&mut moved)[..], [Got::Page { .. }]));
    all[0] = moved;
    assert_eq!(agreed(&all), [2, 3]);
}

#[test]
fn a_member_that_speaks_too_fast_is_not_heard() {
    let mut lobby = lobby(|config| {
        (config.limits.messages_per_second, config.limits.messages_in_a_row) = (10, 5);
    });
    let mut all = lobby.pool(2, &spec(8));
    lobby.wait(1_000);
    let mut answers = 0;
    for _ in 0..20 {
        answers += lobby.ping(&mut all[0]).len();
    }
    assert_eq!((answers, lobby.machine.stats().dropped_too_fast), (5, 15));
    lobby.wait(100);
    assert_eq!(lobby.ping(&mut all[0]).len(), 1);
    // What was not taken is not counted: given again it is.
    let sent = all[0].message(1, Act::Kick(Member::new(9).unwrap()));
    assert_eq!(lobby.send(&mut all[0], &sent), []);
    lobby.wait(100);
    assert_eq!(lobby.send(&mut all[0], &sent), [Got::Done(1, Err(Refusal::NoSuchMember))]);
    assert_eq!(lobby.ping(&mut all[1]).len(), 1, "others are heard");
}

#[test]
fn who_repeats_what_a_member_has_said_does_not_silence_it() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(8));
    let ping = all[0].message(all[0].count, Act::Ping(None));
    lobby.act(&mut all[0], Act::About(About::default()));
    let about = all[0].message(1, Act::About(About::default()));
    for _ in 0..1_000 {
        assert_eq!(lobby.send(&mut all[0], &ping), []);
        assert_eq!(lobby.send(&mut all[0], &about), [Got::Done(1, Ok(()))]);
    }
    assert_eq!(lobby.ping(&mut all[0]).len(), 1);
    assert_eq!(lobby.act(&mut all[0], Act::About(About::default())), [Got::Done(2, Ok(()))]);
}

#[test]
fn a_dual_stack_socket_and_a_scope_are_answered_where_they_are() {
    for from in ["[::ffff:192.0.2.7]:7", "[fe80::1%3]:7", "[2001:db8::1]:7"] {
        let mut lobby = lobby(|_| {});
        let mut host = Client::at(from.parse().unwrap());
        lobby.create(&mut host, &spec(8));
        assert_eq!(lobby.ping(&mut host).len(), 1, "{from}");
        let you = host.joined.unwrap().you.get();
        assert_eq!(you, crate::wire::canonical(host.from));
        let mut guest = Client::new(2);
        lobby.join(&mut guest, host.joined.unwrap().pool);
        lobby.ping(&mut guest);
        assert!(matches!(lobby.got(&mut host)[..], [Got::Changed { .. }]), "{from}");
        lobby.act(&mut guest, Act::Leave);
        assert_eq!(lobby.got(&mut host).len(), 1);
        lobby.wait(10_000);
        assert_eq!(lobby.machine.member_count(), 0);
    }
}

#[test]
fn the_ticket_by_which_somebody_came_holds_until_the_next_is_known() {
    let mut lobby = lobby(|_| {});
    let mut all = lobby.pool(2, &spec(4));
    for _ in 0..3 {
        let resumed = lobby.resume(&mut all[1]);
        assert!(matches!(resumed, Got::Joined(_)), "{resumed:?}");
        // The offer is taken, and what that is answered by is lost.
        let sent = all[1].message(1, Act::Ping(None));
        lobby.hand_in(all[1].from, &sent);
        lobby.drain();
        lobby.mail.clear();
    }
    let mut old = all[1].clone();
    let joined = lobby.resume(&mut all[1]);
    assert!(matches!(joined, Got::Joined(_)), "{joined:?}");
    let sent = all[1].message(1, Act::Ping(None));
    lobby.send(&mut all[1], &sent);
    all[1].count = 1;
    lobby.ping(&mut all[1]);
    old.tx += 7;
    assert_eq!(lobby.resume(&mut old), Got::Refused(Refusal::Stale), "the next one is known");
}

/// How many pages and other answers somebody draws who asks so often at once.
fn drawn(members: u16, questions: usize) -> usize {
    let mut lobby = lobby(|config| config.limits.members_per_source = 1_000);
    let mut all = lobby.pool(1, &spec(1_024));
    let pool = all[0].joined.unwrap().pool;
    for port in 2..=members {
        let mut guest = Client { about: [7; 128].to_vec(), ..Client::new(port) };
        lobby.join(&mut guest, pool);
        lobby.ping(&mut guest);
        lobby.mail.clear();
    }
    lobby.wait(5_000);
    (0..questions).map(|_| lobby.act(&mut all[0], Act::Ask(None)).len()).sum()
}

#[test]
fn each_page_counts_as_a_message_of_the_members_rate() {
    assert_eq!((drawn(5, 3), drawn(5, 100)), (3, 64), "a page each");
    assert_eq!((drawn(100, 3), drawn(100, 100)), (24, 64), "eight each");
}
