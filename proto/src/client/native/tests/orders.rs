//! Orders: one at a time, and what comes of them; leaving.

use super::*;

fn host() -> Rig {
    Rig::joined_as(1, &pool(&[(1, "me"), (2, "b")]))
}

#[test]
fn orders_are_given_one_at_a_time_and_again_until_they_are_answered() {
    let mut rig = host();
    rig.client.kick(rig.time(), id(), member(2)).unwrap();
    rig.client.set_about(rig.time(), id(), b"new").unwrap();
    rig.wait(700);
    let kicks = rig.take_sent();
    assert!(kicks.len() == 3 && kicks.iter().all(|sent| (sent.text.as_str(), sent.count) == ("kick 2", 1)));
    assert!((187..=313).contains(&(kicks[1].at - kicks[0].at)), "{kicks:?}");
    assert!((281..=470).contains(&(kicks[2].at - kicks[1].at)), "{kicks:?}");
    rig.sent.extend(kicks);
    rig.done(Ok(()));
    assert_eq!(rig.news(), ["Done"]);
    let about = rig.last();
    assert_eq!((about.text.as_str(), about.count), ("about new", 2));
    rig.notice(server(0), HANDLE, News::Done { count: 1, outcome: Ok(()) });
    assert_eq!((rig.news(), rig.client.stats().unexpected), (vec![], 1), "a copy");
    rig.done(Err(Refusal::Limit));
    assert_eq!(
        rig.news(),
        [
            "refused: it asks for more than the broadcaster allows: seats, metadata, broadcasters, or what a member says of itself"
        ]
    );
    rig.sent.clear();
    rig.wait(2_000);
    assert_eq!(rig.said(), [] as [&str; 0]);
}

#[test]
fn an_order_that_has_to_wait_is_given_again_as_the_next() {
    for refusal in [Refusal::Busy { wait: 1_000 }, Refusal::Recovering { wait: 1_000 }] {
        let mut rig = host();
        rig.client.hand_over(rig.time(), id(), member(2)).unwrap();
        rig.done(Err(refusal));
        rig.sent.clear();
        rig.live(999);
        assert_eq!(rig.said(), [] as [&str; 0]);
        rig.live(1_002);
        let again = rig.take_sent();
        let again = again.iter().find(|sent| sent.text == "hand 2").expect("it is given again");
        assert_eq!(again.count, 2);
        rig.live(6_000);
        assert!(matches!(&rig.news()[..], [timed_out] if timed_out.starts_with("TimedOut")));
    }
}

#[test]
fn an_order_that_is_not_answered_in_time_makes_room_for_the_next() {
    let mut rig = host();
    rig.client.kick(rig.time(), id(), member(2)).unwrap();
    rig.live(1_000);
    let close = rig.client.close_pool(rig.time(), id()).unwrap();
    rig.live(7_000);
    let told = rig.told();
    let [ClientEvent::Finished { outcome: Outcome::TimedOut { broadcaster, sent }, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(*sent > 8 && *broadcaster == server(0));
    assert_eq!((rig.last().text.as_str(), rig.last().count), ("close", 2));
    rig.client.cancel(close);
    rig.sent.clear();
    rig.live(700);
    assert!(!rig.said().contains(&"close".to_string()));
}

#[test]
fn only_the_host_gives_orders_to_others() {
    let mut rig = Rig::joined_as(2, &pool(&[(1, "a"), (2, "me")]));
    let now = rig.time();
    let client = &mut rig.client;
    assert_eq!(client.kick(now, id(), member(1)), Err(CallError::NotHost));
    assert_eq!(client.hand_over(now, id(), member(1)), Err(CallError::NotHost));
    assert_eq!(client.close_pool(now, id()), Err(CallError::NotHost));
    assert_eq!(client.change(now, id(), &PoolSpec::default()), Err(CallError::NotHost));
    assert_eq!(client.lock(now, id(), true), Err(CallError::NotHost));
    let other: PoolId = PoolUuid::new([1; 16]).into();
    assert_eq!(client.leave(now, other), Err(CallError::NotAMember { pool: other }));
    let classic: PoolId = "p".parse().unwrap();
    assert_eq!(client.leave(now, classic), Err(CallError::NotAMember { pool: classic }));
    assert_eq!(client.join(now, Door::Id(classic), b""), Err(CallError::InvalidPool));
    let long = [0; 129];
    assert_eq!(client.set_about(now, id(), &long), Err(CallError::TextTooLong { len: 129, max: 128 }));
    assert!(client.set_about(now, id(), &long[1..]).is_ok());
}

#[test]
fn a_lock_keeps_what_was_decided_before_it() {
    let mut rig = host();
    let named = PoolSpec::default().named("duel").unwrap();
    rig.client.change(rig.time(), id(), &named).unwrap();
    rig.client.change(rig.time(), id(), &PoolSpec::default().named("first").unwrap()).unwrap();
    rig.client.change(rig.time(), id(), &PoolSpec::default().named("last").unwrap()).unwrap();
    rig.client.lock(rig.time(), id(), true).unwrap();
    for (count, said) in [(1, "change duel"), (2, "change first"), (3, "change last")] {
        assert_eq!(rig.said(), [said]);
        rig.notice(server(0), HANDLE, News::Done { count, outcome: Ok(()) });
    }
    assert_eq!(rig.said(), ["change last locked"]);
    rig.notice(server(0), HANDLE, News::Done { count: 4, outcome: Ok(()) });
    rig.client.lock(rig.time(), id(), false).unwrap();
    assert_eq!(rig.said(), ["change last"], "nothing was told of the spec yet");
    rig.notice(server(0), HANDLE, News::Done { count: 5, outcome: Ok(()) });
    let other =
        Pool { number: 2, spec: PoolSpec::default().named("other").unwrap(), ..pool(&[(1, "me"), (2, "b")]) };
    rig.changed(&other, &[Change::Spec(other.spec.as_spec())]);
    rig.client.lock(rig.time(), id(), true).unwrap();
    assert_eq!(rig.said(), ["change other locked"]);
    rig.notice(server(0), HANDLE, News::Done { count: 6, outcome: Ok(()) });
    let ping = rig.until("ping");
    let third = Pool { number: 5, spec: PoolSpec::default().named("third").unwrap(), ..other };
    rig.page_at(&ping, &third, None, &third.members, false);
    rig.sent.clear();
    rig.client.lock(rig.time(), id(), false).unwrap();
    assert_eq!(rig.said(), ["change third"]);
}

#[test]
fn who_has_left_is_no_member_and_hears_nothing_more() {
    let mut rig = host();
    rig.client.leave(rig.time(), id()).unwrap();
    assert_eq!(rig.last().text, "leave");
    rig.done(Ok(()));
    assert_eq!(rig.news(), ["Done", "ended: Left"]);
    assert_eq!((rig.client.memberships().count(), rig.drain()), (0, None));
}

#[test]
fn unknown_says_that_leave_and_close_are_done() {
    let mut rig = host();
    rig.client.leave(rig.time(), id()).unwrap();
    rig.unknown();
    assert_eq!(rig.news(), ["Done", "ended: Left"]);
    let mut rig = host();
    rig.client.close_pool(rig.time(), id()).unwrap();
    rig.unknown();
    assert_eq!(rig.news(), ["Done", "ended: Closed"]);
    let mut rig = host();
    rig.client.close_pool(rig.time(), id()).unwrap();
    rig.done(Ok(()));
    assert_eq!(rig.news(), ["Done", "ended: Closed"]);
}

#[test]
fn who_is_to_leave_does_not_come_back_to_do_so() {
    let mut rig = host();
    rig.client.kick(rig.time(), id(), member(2)).unwrap();
    rig.client.leave(rig.time(), id()).unwrap();
    assert_eq!(rig.last().text, "kick 2");
    rig.unknown();
    assert_eq!(rig.news(), ["Done", "refused: that is over: join or create anew", "ended: Left"]);
}

#[test]
fn a_leave_that_is_not_answered_ends_by_its_time() {
    let mut rig = host();
    rig.client.leave(rig.time(), id()).unwrap();
    rig.live(8_000);
    let news = rig.news();
    assert!(news.len() == 2 && news[0].starts_with("TimedOut") && news[1] == "ended: Left", "{news:?}");
    assert_eq!((rig.client.memberships().count(), rig.drain()), (0, None));
}

#[test]
fn an_end_ends_what_was_ordered() {
    let mut rig = host();
    rig.client.kick(rig.time(), id(), member(2)).unwrap();
    rig.client.close_pool(rig.time(), id()).unwrap();
    rig.notice(server(0), HANDLE, News::Ended(EndReason::PoolEnded));
    assert_eq!(rig.news(), ["refused: that is over: join or create anew", "Done", "ended: Closed"]);
    // Who was to leave has left, however it ended; who was to close it was sent away before.
    let mut rig = host();
    rig.client.leave(rig.time(), id()).unwrap();
    rig.client.close_pool(rig.time(), id()).unwrap();
    rig.notice(server(0), HANDLE, News::Ended(EndReason::Replaced));
    assert_eq!(rig.news(), ["Done", "refused: that is over: join or create anew", "ended: Replaced"]);
}

#[test]
fn who_is_released_says_so_twice_and_nothing_is_told() {
    let mut rig = host();
    let kick = rig.client.kick(rig.time(), id(), member(2)).unwrap();
    rig.take_sent();
    assert!(rig.client.release(id()));
    assert!(!rig.client.release(id()));
    let leaves = rig.take_sent();
    assert!(leaves.len() == 2 && leaves.iter().all(|sent| (sent.text.as_str(), sent.count) == ("leave", 2)));
    let told = rig.told();
    assert!(
        matches!(&told[..], [ClientEvent::Finished { call, outcome: Outcome::Refused(_) }] if *call == kick)
    );
    assert_eq!(rig.drain(), None);
}

#[test]
fn close_leaves_all_pools_twice_and_ends_all_calls() {
    let mut rig = host();
    rig.client.create(rig.time(), &PoolSpec::default(), b"").unwrap();
    rig.client.kick(rig.time(), id(), member(2)).unwrap();
    rig.take_sent();
    rig.client.close();
    assert_eq!(rig.said(), ["leave", "leave"]);
    assert_eq!((rig.news(), rig.drain()), (vec!["Closed".to_string(), "Closed".into()], None));
    assert_eq!(rig.client.list(rig.time(), &ListFilter::default()), Err(CallError::Closed));
    rig.client.close();
    assert_eq!((rig.said(), rig.news()), (vec![], vec![]));
}

#[test]
fn who_is_cancelled_while_coming_leaves() {
    let mut rig = Rig::new();
    let call = rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let other = rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    rig.take_sent();
    rig.client.cancel(other);
    assert_eq!(rig.said(), [] as [&str; 0], "the other call wants the pool");
    rig.client.cancel(call);
    assert_eq!(rig.said(), ["leave", "leave"]);
    assert_eq!((rig.news(), rig.drain()), (vec![], None));
}

#[test]
fn an_outcome_that_is_cancelled_leaves_the_pool_and_takes_back_its_news() {
    let mut rig = Rig::new();
    let call = rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let ping = rig.take_sent().pop().unwrap();
    let now = pool(&[(1, "me")]);
    let mut page = BytesMut::new();
    let start = PageStart::First(now.spec.as_spec());
    let mut writer = PageWriter::new(&mut page, HANDLE, ping.count, &start, &now.state());
    assert!(writer.push(&Pool::entry(1, "me")));
    writer.finish(&KEY, false);
    let mut changed = BytesMut::new();
    let next = Pool { number: 2, ..pool(&[(1, "me"), (2, "b")]) };
    let mut writer = ChangedWriter::new(&mut changed, HANDLE, &next.state());
    assert!(writer.push(&Change::Joined(Pool::entry(2, "b"))));
    writer.finish(&KEY);
    let time = rig.time();
    rig.client.handle_datagram(time, server(0), &page);
    rig.client.handle_datagram(time, server(0), &changed);
    assert_eq!(rig.membership().members().len(), 2);
    rig.client.cancel(call);
    assert_eq!((rig.said(), rig.news()), (vec!["leave".to_string(), "leave".into()], vec![]));
    assert_eq!((rig.client.core.told, rig.client.core.unpolled, rig.drain()), (0, 0, None));
}

#[test]
fn an_outcome_that_is_cancelled_leaves_no_pool_that_another_call_has_told_of() {
    let mut rig = host();
    let again = rig.client.join(rig.time(), Door::Id(id()), b"").unwrap();
    rig.client.cancel(again);
    assert_eq!((rig.said(), rig.news(), rig.client.memberships().count()), (vec![], vec![], 1));

    let mut rig = Rig::new();
    let time = rig.time();
    let first = rig.client.join(time, Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    rig.client.join(time, Door::Id(id()), b"me").unwrap();
    let ping = rig.take_sent().pop().unwrap();
    let now = pool(&[(1, "me")]);
    let mut page = BytesMut::new();
    let start = PageStart::First(now.spec.as_spec());
    let mut writer = PageWriter::new(&mut page, HANDLE, ping.count, &start, &now.state());
    assert!(writer.push(&Pool::entry(1, "me")));
    writer.finish(&KEY, false);
    rig.client.handle_datagram(time, server(0), &page);
    rig.client.cancel(first);
    assert_eq!(
        (rig.said(), rig.news(), rig.client.memberships().count()),
        (vec![], vec!["joined".to_string()], 1)
    );
}

#[test]
fn who_comes_too_late_leaves() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    rig.wait(7_900);
    rig.take_sent();
    rig.wait(200);
    assert!(matches!(&rig.news()[..], [timed_out] if timed_out.starts_with("TimedOut")));
    assert!(rig.said().ends_with(&["leave".to_string(), "leave".into()]));
    assert_eq!(rig.drain(), None);
}

#[test]
fn a_pool_that_one_is_in_is_joined_at_once_and_not_entered_twice() {
    let mut rig = host();
    rig.client.join(rig.time(), Door::Id(id()), b"").unwrap();
    assert!(matches!(rig.outcome(), Outcome::Joined(info) if info.members().len() == 2));
    assert_eq!(rig.said(), [] as [&str; 0]);
    rig.client.join(rig.time(), Door::Code(PoolCode::new(7).unwrap()), b"").unwrap();
    assert!(matches!(rig.outcome(), Outcome::Joined(info) if info.me() == Some(member(1))));
    assert_eq!(rig.said(), [] as [&str; 0], "its code is known, too");
    rig.client.join(rig.time(), Door::Code(PoolCode::new(8).unwrap()), b"").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(Joined { handle: Handle(5), ..offer(9) }));
    assert!(matches!(rig.outcome(), Outcome::Joined(info) if info.me() == Some(member(1))));
    assert_eq!(rig.said(), ["join by code"], "the offer is not taken");
    let saved = rig.membership().save();
    rig.client.resume(rig.time(), &saved).unwrap();
    assert!(matches!(rig.outcome(), Outcome::Joined(_)));
    assert_eq!((rig.said(), rig.client.memberships().count()), (vec![], 1));
}

#[test]
fn who_joins_behind_an_order_to_leave_comes_when_it_has_left() {
    for door in [Door::Id(id()), Door::Code(PoolCode::new(7).unwrap())] {
        let mut rig = Rig::joined_as(2, &pool(&[(1, "a"), (2, "me")]));
        let now = rig.time();
        rig.client.leave(now, id()).unwrap();
        rig.client.join(now, door, b"").unwrap();
        assert_eq!((rig.last().text.as_str(), rig.sent.len(), rig.told()), ("leave", 1, vec![]));
        rig.done(Ok(()));
        assert_eq!(rig.news(), ["Done", "ended: Left"]);
        let request = rig.last();
        assert!(request.text.starts_with("join"));
        rig.answer(&request, Reply::Joined(Joined { session: Session(2), ..offer(3) }));
        rig.roster(&pool(&[(1, "a"), (3, "")]));
        assert_eq!((rig.news(), rig.membership().me()), (vec!["joined".to_string()], member(3)));
    }
}

#[test]
fn an_offer_that_comes_before_the_order_to_leave_is_answered_is_taken_behind_it() {
    let mut rig = Rig::joined_as(2, &pool(&[(1, "a"), (2, "me")]));
    let now = rig.time();
    // By a code that it had once.
    rig.client.join(now, Door::Code(PoolCode::new(8).unwrap()), b"").unwrap();
    let request = rig.last();
    rig.client.leave(now, id()).unwrap();
    let leave = rig.last();
    rig.answer(&request, Reply::Joined(Joined { session: Session(2), handle: Handle(9), ..offer(3) }));
    assert_eq!((rig.told(), rig.last()), (vec![], leave));
    rig.done(Ok(()));
    assert_eq!(rig.news(), ["Done", "ended: Left"]);
    assert_eq!(rig.until("join by code").tx, request.tx, "in its own time");
}

#[test]
fn who_stays_after_all_is_in_the_pool_for_those_who_have_waited() {
    let refused = |rig: &mut Rig, count| {
        rig.notice(server(0), HANDLE, News::Done { count, outcome: Err(Refusal::Limit) });
    };
    for (how, ended) in [("cancelled", 0), ("refused", 1), ("timed out", 1)] {
        let mut rig = host();
        let saved = rig.membership().save();
        let call = rig.client.close_pool(rig.time(), id()).unwrap();
        let count = rig.last().count;
        rig.live(100);
        rig.client.resume(rig.time(), &saved).unwrap();
        assert_eq!(rig.news(), [] as [&str; 0]);
        match how {
            "cancelled" => rig.client.cancel(call),
            "refused" => refused(&mut rig, count),
            _ => rig.live(8_000),
        }
        let told = rig.news();
        assert_eq!((told.len(), told.last().map(String::as_str)), (ended + 1, Some("joined")), "{told:?}");
    }
}

#[test]
fn what_waits_for_a_pool_that_is_over_is_refused_or_asks_anew() {
    let mut rig = Rig::joined_as(2, &pool(&[(1, "a"), (2, "me")]));
    let saved = rig.membership().save();
    let now = rig.time();
    rig.client.leave(now, id()).unwrap();
    rig.client.resume(now, &saved).unwrap();
    rig.client.join(now, Door::Id(id()), b"").unwrap();
    rig.last();
    rig.client.release(id());
    assert_eq!(rig.said(), ["leave", "leave", "leave", "join"]);
    let told = rig.news();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0] == "Done" && told[1].starts_with("refused"), "{told:?}");
}
