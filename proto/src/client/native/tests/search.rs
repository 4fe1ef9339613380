//! One pool in two places.

use super::turning::check_pace;
use super::*;

fn spec() -> PoolSpec {
    let addresses = [1, 2, 0].map(|number| Address::new(server(number)).unwrap());
    PoolSpec::default().with_broadcasters(&addresses).unwrap()
}

/// Of a pool that came back with fewer members than it had, at the last of its broadcasters.
fn left_behind() -> Rig {
    left_behind_in(&spec())
}

/// As that, at a broadcaster that stands anywhere.
fn left_behind_in(spec: &PoolSpec) -> Rig {
    let before = Pool { spec: spec.clone(), ..pool(&[(1, "a"), (2, "me"), (3, "c")]) };
    let mut rig = Rig::joined_as(2, &before);
    let now =
        Pool { spec: spec.clone(), era: 10, generation: 1, term: 2, host: 2, ..pool(&[(2, "me"), (3, "c")]) };
    rig.changed(&now, &[]);
    rig.roster(&now);
    assert_eq!(rig.news(), ["- 1 ?", "host 2 of term 2: me"]);
    rig.sent.clear();
    rig
}

/// Goes on until the first broadcaster is asked.
fn until_it_looks(rig: &mut Rig) -> Sent {
    let looks = |sent: &&Sent| (sent.to, sent.text.as_str()) == (server(1), "list");
    let end = rig.now + 200_000;
    while rig.now < end {
        rig.live(50);
        if let Some(sent) = rig.sent.iter().find(looks) {
            return sent.clone();
        }
    }
    panic!("it doesn't look");
}

fn listed(pool: PoolUuid) -> Listing<'static> {
    let (code, members, seats) = (PoolCode::new(7).unwrap(), 2, Seats::DEFAULT);
    let (name, metadata) = (Name::default(), Metadata::default());
    Listing { pool, listed: Some(Listed { code, locked: false, members, seats, name, metadata }) }
}

#[test]
fn who_is_back_with_fewer_looks_at_the_other_broadcasters_each_ten_intervals() {
    let mut rig = left_behind();
    rig.live(22_000);
    assert_eq!(rig.said(), [] as [&str; 0]);
    rig.live(80_000);
    let sent = rig.take_sent();
    assert!(sent.iter().all(|sent| sent.text == "list"), "{sent:?}");
    let mut calls: Vec<_> = sent.iter().map(|sent| (sent.to, sent.tx)).collect();
    calls.dedup();
    let asked: Vec<_> = calls.iter().map(|(to, _)| *to).collect();
    assert_eq!(asked[..4], [server(1), server(2), server(1), server(2)]);
    let first = |tx| sent.iter().find(|sent| sent.tx == tx).unwrap().at;
    let wait = first(calls[2].1) - first(calls[0].1);
    assert!((24_000..=42_000).contains(&wait), "{wait}");
    assert_eq!(rig.news(), [] as [&str; 0]);
}

#[test]
fn it_goes_where_more_are_or_as_many_before_its_own() {
    // At the first of its broadcasters (two members), and at the last one.
    for (order, members, goes) in
        [([0, 1, 2], 2, false), ([0, 1, 2], 3, true), ([1, 2, 0], 2, true), ([1, 2, 0], 1, false)]
    {
        let addresses = order.map(|number| Address::new(server(number)).unwrap());
        let spec = PoolSpec::default().with_broadcasters(&addresses).unwrap();
        let mut rig = left_behind_in(&spec);
        until_it_looks(&mut rig);
        let look = rig.give_cookie(6);
        let mut there = listed(uuid());
        there.listed = there.listed.map(|listed| Listed { members, ..listed });
        rig.list(&look, &[there]);
        let joins = rig.last().text == "join";
        assert_eq!(joins, goes, "{members} members at the second of {order:?}");
    }
}

#[test]
fn who_misses_nobody_does_not_look() {
    let before = Pool { spec: spec(), ..pool(&[(1, "a"), (2, "me")]) };
    let back = Pool { era: 10, generation: 1, ..before.clone() };
    let mut rig = Rig::joined_as(2, &before);
    rig.wait(3_800);
    rig.roster(&back);
    rig.live(60_000);
    // Somebody leaves who says so.
    let left = Pool { number: 2, members: vec![(2, "me")], host: 2, ..back.clone() };
    rig.changed(&left, &[Change::Left { member: member(1), reason: LeaveReason::Left }]);
    rig.live(60_000);
    assert!(rig.said().iter().all(|said| said.starts_with("ping")));
}

#[test]
fn who_misses_somebody_looks_until_as_many_are_there_again() {
    let before = Pool { spec: spec(), ..pool(&[(1, "a"), (2, "me"), (3, "c")]) };
    let fewer = Pool { number: 2, members: vec![(2, "me"), (3, "c")], host: 2, ..before.clone() };
    let told: &[_] = &[Change::Left { member: member(1), reason: LeaveReason::TimedOut }];
    // Told that one fell silent; and told nothing, so that the page doesn't say why he is gone.
    for told in [told, &[]] {
        let mut rig = Rig::joined_as(2, &before);
        if told.is_empty() {
            rig.wait(3_800);
            rig.roster(&fewer);
        } else {
            rig.changed(&fewer, told);
        }
        until_it_looks(&mut rig);
        let again = Pool { number: 3, members: vec![(2, "me"), (3, "c"), (4, "d")], ..fewer.clone() };
        rig.changed(&again, &[Change::Joined(Pool::entry(4, "d"))]);
        rig.sent.clear();
        rig.live(60_000);
        assert!(rig.said().iter().all(|said| said.starts_with("ping")), "{:?}", rig.said());
    }
}

#[test]
fn who_has_no_other_broadcaster_to_ask_looks_nowhere() {
    let before = pool(&[(1, "a"), (2, "me")]);
    let fewer = Pool { number: 2, members: vec![(2, "me")], host: 2, ..before.clone() };
    let mut rig = Rig::joined_as(2, &before);
    rig.changed(&fewer, &[Change::Left { member: member(1), reason: LeaveReason::TimedOut }]);
    rig.live(60_000);
    assert!(rig.said().iter().all(|said| said.starts_with("ping")));
}

#[test]
fn a_pool_that_is_elsewhere_is_joined_there_and_left_here_when_the_roster_is_known() {
    let mut rig = left_behind();
    until_it_looks(&mut rig);
    let look = rig.give_cookie(6);
    assert_eq!(look.text, "list");
    rig.list(&look, &[listed(uuid()), listed(PoolUuid::new([0xac; 16]))]);
    let join = rig.last();
    assert_eq!((join.text.as_str(), join.to, join.cookie), ("join", server(1), Cookie::new(6)));
    let there = Joined { handle: Handle(5), session: Session(3), ..offer(8) };
    rig.answer(&join, Reply::Joined(Joined { pool: PoolUuid::new([0xac; 16]), ..there }));
    rig.answer(&join, Reply::Joined(Joined { application: Application::named("other").unwrap(), ..there }));
    assert_eq!((rig.last().text.as_str(), rig.client.stats().unexpected), ("join", 2));
    rig.answer(&join, Reply::Joined(there));
    let ping = rig.last();
    assert_eq!((ping.text.as_str(), ping.to, ping.handle), ("ping", server(1), Some(Handle(5))));
    assert_eq!(rig.membership().me(), member(2), "not yet");
    rig.challenge(&Sent { count: 7, ..ping.clone() }, None);
    rig.sent.clear();
    // Member 3 there is not the member 3 here.
    let other = Pool { era: 9, number: 30, spec: spec(), host: 1, ..pool(&[(1, "a"), (3, "d"), (8, "me")]) };
    let mut out = BytesMut::new();
    let start = PageStart::First(other.spec.as_spec());
    let mut page = PageWriter::new(&mut out, Handle(5), ping.count, &start, &other.state());
    assert!(page.push(&Pool::entry(1, "a")));
    let elsewhere = Address::new(([192, 0, 2, 3], 1).into()).unwrap();
    assert!(page.push(&Entry { address: elsewhere, ..Pool::entry(3, "d") }));
    assert!(page.push(&Pool::entry(8, "me")));
    page.finish(&KEY, false);
    rig.hear(server(1), &out);
    let leaves = rig.take_sent();
    assert!(
        leaves.iter().all(|sent| (sent.to, sent.text.as_str()) == (server(0), "leave")) && leaves.len() == 2
    );
    assert_eq!(rig.news(), ["Restored", "- 2 ?", "- 3 ?", "+ 1 a", "+ 3 d", "+ 8 me", "host 1 of term 1"]);
    let known = rig.membership();
    assert_eq!(
        (known.me(), known.broadcaster(), known.save().ticket.session),
        (member(8), server(1), Session(3))
    );
    rig.wait(3_800);
    assert_eq!((rig.last().text.as_str(), rig.last().to), ("ping 9/30", server(1)));
}

#[test]
fn a_pool_that_is_not_there_or_lets_nobody_in_is_looked_for_later() {
    let mut rig = left_behind();
    let look = until_it_looks(&mut rig);
    rig.list(&look, &[listed(PoolUuid::new([0xac; 16]))]);
    let next = rig.last();
    assert_eq!((next.text.as_str(), next.to), ("list", server(2)));
    rig.list(&next, &[Listing { pool: uuid(), listed: None }]);
    assert_eq!(rig.last(), next, "a classic pool is another");
    rig.sent.clear();
    let look = until_it_looks(&mut rig);
    rig.list(&look, &[listed(uuid())]);
    let join = rig.last();
    assert_eq!((join.text.as_str(), join.to), ("join", server(1)));
    rig.refuse(&join, Refusal::Full);
    rig.sent.clear();
    rig.live(20_000);
    assert_eq!((rig.said(), rig.news()), (vec![], vec![]));
    assert_eq!(rig.membership().me(), member(2));
}

#[test]
fn a_place_that_is_void_or_not_entered_in_time_is_given_up() {
    for unknown in [true, false] {
        let mut rig = left_behind();
        let look = until_it_looks(&mut rig);
        rig.list(&look, &[listed(uuid())]);
        let join = rig.last();
        rig.answer(&join, Reply::Joined(Joined { handle: Handle(5), ..offer(8) }));
        let ping = rig.last();
        rig.sent.clear();
        if unknown {
            rig.challenge(&ping, None);
            rig.live(12_000);
            assert_eq!(rig.said(), [] as [&str; 0]);
        } else {
            // The one elsewhere doesn't answer; the member's own does.
            let (end, mut leaves) = (rig.now + 12_000, 0);
            while rig.now < end {
                rig.wait(50);
                for sent in rig.take_sent() {
                    if sent.text.starts_with("ping") && sent.to == server(0) {
                        rig.notice(sent.to, HANDLE, News::Pong { count: sent.count });
                    } else {
                        assert!(sent.to == server(1) && ["ping", "leave"].contains(&sent.text.as_str()));
                        assert_eq!(sent.text == "leave", sent.at >= join.at + 8_000, "{sent:?}");
                        leaves += usize::from(sent.text == "leave");
                    }
                }
            }
            assert_eq!(leaves, 2);
        }
        assert_eq!((rig.news(), rig.membership().me()), (vec![], member(2)));
    }
}

#[test]
fn who_is_asked_to_wait_while_it_looks_asks_again() {
    let mut rig = left_behind();
    let look = until_it_looks(&mut rig);
    rig.refuse(&look, Refusal::Busy { wait: 500 });
    rig.sent.clear();
    rig.live(2_000);
    let again = rig.take_sent();
    assert!(!again.is_empty() && again.iter().all(|sent| sent.tx == look.tx && sent.at >= look.at + 500));
}

#[test]
fn a_turn_gives_up_what_was_found() {
    let mut rig = left_behind();
    let look = until_it_looks(&mut rig);
    rig.list(&look, &[listed(uuid())]);
    let join = rig.last();
    rig.answer(&join, Reply::Joined(Joined { handle: Handle(5), ..offer(8) }));
    rig.notice(server(0), HANDLE, News::Ended(EndReason::Kicked));
    let leaves = rig.take_sent();
    let leaves: Vec<_> = leaves.iter().filter(|sent| sent.text == "leave").collect();
    assert!(leaves.len() == 2 && leaves.iter().all(|sent| sent.to == server(1)));
    assert_eq!((rig.news(), rig.drain()), (vec!["ended: Kicked".to_string()], None));
}

/// It is offered a place elsewhere, and asks for the roster there.
fn entering(rig: &mut Rig) -> Sent {
    let look = until_it_looks(rig);
    rig.list(&look, &[listed(uuid())]);
    let join = rig.last();
    rig.answer(&join, Reply::Joined(Joined { handle: Handle(5), session: Session(3), ..offer(8) }));
    let ping = rig.last();
    assert_eq!((ping.to, ping.handle), (server(1), Some(Handle(5))));
    ping
}

#[test]
fn who_is_forgotten_while_it_enters_elsewhere_gives_that_up_for_good() {
    let mut rig = left_behind();
    entering(&mut rig);
    while rig.last().to != server(0) {
        rig.wait(50);
    }
    rig.sent.retain(|sent| sent.to == server(0));
    rig.unknown();
    let sent = rig.take_sent();
    let leaves = sent.iter().filter(|sent| (sent.to, sent.text.as_str()) == (server(1), "leave"));
    assert_eq!(leaves.count(), 2);
    let resume = rig.until("resume");
    rig.answer(&resume, Reply::Joined(Joined { handle: Handle(88), ..offer(2) }));
    rig.until("ping");
    rig.roster(&Pool { spec: spec(), era: 11, generation: 2, ..pool(&[(2, "me"), (3, "c"), (4, "a")]) });
    rig.sent.clear();
    rig.live(60_000);
    assert_eq!(rig.said(), [] as [&str; 0], "all are back");
}

#[test]
fn who_was_in_search_of_a_broadcaster_goes_on_to_look_for_those_it_misses() {
    for forgotten in [false, true] {
        let mut rig = left_behind();
        if forgotten {
            rig.until("ping");
            rig.unknown();
            let resume = rig.until("resume");
            rig.answer(&resume, Reply::Joined(Joined { handle: Handle(88), ..offer(2) }));
            rig.until("ping");
            rig.roster(&Pool { spec: spec(), era: 11, generation: 2, ..pool(&[(2, "me"), (3, "c")]) });
        } else {
            // Three pings get lost, and the member asks its own broadcaster for its place.
            let ping = rig.until("ping");
            rig.until("resume");
            rig.notice(server(0), HANDLE, News::Pong { count: ping.count });
        }
        let since = rig.now;
        rig.sent.clear();
        let wait = until_it_looks(&mut rig).at - since;
        assert!((20_000..=38_000).contains(&wait), "{wait}");
    }
}

#[test]
fn who_is_back_and_knows_no_roster_yet_looks_no_faster_than_it_came_back() {
    let mut rig = left_behind();
    rig.until("ping");
    rig.unknown();
    let resume = rig.until("resume");
    rig.answer(&resume, Reply::Joined(Joined { handle: Handle(88), ..offer(2) }));
    rig.until("ping");
    // The pool is coming back, and nobody tells a page.
    let mut all = Vec::new();
    let end = rig.now + 50_000;
    while rig.now < end {
        rig.wait(20);
        for sent in rig.take_sent() {
            match (sent.text.as_str(), sent.handle) {
                ("list", _) => rig.list(&sent, &[listed(uuid())]),
                ("join", _) => rig.answer(&sent, Reply::Joined(Joined { handle: Handle(5), ..offer(8) })),
                (_, Some(Handle(88))) => rig.notice(server(0), Handle(88), News::Pong { count: sent.count }),
                _ => {}
            }
            all.push(sent);
        }
    }
    assert!(all.iter().any(|sent| sent.text == "ping" && sent.to == server(1)), "{all:#?}");
    // Who gives a place up says so at once.
    all.retain(|sent| sent.text != "leave");
    check_pace(&all);
}

#[test]
fn a_join_elsewhere_that_is_not_answered_is_given_up() {
    let mut rig = left_behind();
    let look = until_it_looks(&mut rig);
    rig.list(&look, &[listed(uuid())]);
    let join = rig.last();
    rig.sent.clear();
    rig.live(20_000);
    let sent = rig.take_sent();
    assert!(sent.len() > 2 && sent.iter().all(|sent| sent.tx == join.tx && sent.at < join.at + 2_000));
}

#[test]
fn who_is_asked_to_wait_again_elsewhere_waits_again() {
    for joins in [false, true] {
        let mut rig = left_behind();
        let mut asked = until_it_looks(&mut rig);
        if joins {
            rig.list(&asked, &[listed(uuid())]);
            asked = rig.last();
        }
        for _ in 0..3 {
            rig.refuse(&asked, Refusal::Busy { wait: 1_000 });
            rig.sent.clear();
            rig.live(900);
            assert_eq!(rig.said(), [] as [&str; 0]);
            while rig.sent.is_empty() {
                rig.live(50);
            }
            asked = rig.sent[0].clone();
        }
    }
}

#[test]
fn the_rest_of_a_roster_elsewhere_is_asked_for_there_and_what_was_ordered_is_given_there() {
    let mut rig = left_behind();
    let ping = entering(&mut rig);
    rig.client.set_about(rig.time(), id(), b"old").unwrap();
    let about = rig.last();
    assert_eq!((about.to, about.text.as_str()), (server(0), "about old"));
    // Who is elsewhere has not been given any.
    rig.notice(server(1), Handle(5), News::Done { count: about.count, outcome: Ok(()) });
    assert_eq!(rig.news(), [] as [&str; 0]);
    rig.notice(server(0), HANDLE, News::Done { count: about.count, outcome: Ok(()) });
    assert_eq!(rig.news(), ["Done"]);
    rig.client.set_about(rig.time(), id(), b"new").unwrap();
    assert_eq!((rig.last().text.as_str(), rig.last().count), ("about new", 2));
    let other = Pool { number: 30, spec: spec(), host: 1, ..pool(&[(1, "a"), (8, "me")]) };
    rig.page_at(&ping, &other, None, &[(1, "a")], true);
    let ask = rig.until("ask");
    assert_eq!((ask.to, ask.text.as_str()), (server(1), "ask 2"));
    rig.page_at(&ask, &other, Some(2), &[(8, "me")], false);
    assert_eq!(rig.membership().me(), member(8));
    let about = rig.until("about");
    assert_eq!((about.to, about.handle, about.count), (server(1), Some(Handle(5)), 1));
}

#[test]
fn what_nobody_waits_for_while_it_looks_is_unexpected_and_strangers_are_not_heard() {
    let mut rig = left_behind();
    let look = until_it_looks(&mut rig);
    rig.refuse(&Sent { tx: Tx::new(look.tx.unwrap().get() ^ 1), ..look.clone() }, Refusal::Stale);
    rig.refuse(&Sent { to: server(5), ..look }, Refusal::Stale);
    let stats = rig.client.stats();
    assert_eq!((stats.unexpected, stats.foreign, stats.forged), (1, 1, 0));
}

#[test]
fn what_ends_elsewhere_ends_nothing_here() {
    let mut rig = left_behind();
    entering(&mut rig);
    rig.notice(server(1), Handle(5), News::Ended(EndReason::PoolEnded));
    rig.sent.clear();
    rig.live(20_000);
    assert_eq!((rig.said(), rig.news()), (vec![], vec![]));
    assert_eq!(rig.membership().me(), member(2));
}

#[test]
fn who_is_asked_elsewhere_whether_it_is_here_answers_there() {
    let mut rig = left_behind();
    let ping = entering(&mut rig);
    rig.sent.clear();
    rig.challenge(&ping, Cookie::new(9));
    let moved = rig.last();
    assert_eq!((moved.to, moved.handle, moved.text.as_str()), (server(1), Some(Handle(5)), "move 9"));
}
