//! Admission, pings, pages and changes.

use super::*;

#[test]
fn an_offer_is_taken_at_once_and_each_second_until_a_page_comes() {
    let mut rig = Rig::new();
    rig.client.create(rig.time(), &PoolSpec::default(), b"").unwrap();
    let request = rig.give_cookie(5);
    rig.answer(&request, Reply::Joined(offer(1)));
    rig.sent.clear();
    let mut pings = vec![0];
    rig.go(5_000);
    pings.extend(rig.take_sent().iter().map(|sent| {
        assert_eq!(sent.text, "ping");
        sent.at
    }));
    assert!((4..=7).contains(&(pings.len() - 1)), "{pings:?}");
    assert!(pings.windows(2).all(|two| (750..=1_251).contains(&(two[1] - two[0]))), "{pings:?}");
    rig.go(rig.now + 800);
    rig.sent.clear();
    rig.go(rig.now + 1_000);
    rig.pong();
    assert_eq!(rig.told(), [], "it is not in yet");
    rig.wait(1_300);
    assert!(rig.sent.len() > 1, "a pong is no page");
}

#[test]
fn the_outcome_tells_the_whole_roster() {
    let mut rig = Rig::new();
    rig.client.create(rig.time(), &PoolSpec::default(), b"me").unwrap();
    let request = rig.give_cookie(5);
    rig.answer(&request, Reply::Joined(offer(1)));
    rig.roster(&pool(&[(1, "me")]));
    let Outcome::Created(info) = rig.outcome() else { panic!() };
    assert_eq!((info.id(), info.me(), info.is_host()), (id(), Some(member(1)), true));
    assert_eq!((info.code(), info.you()), (PoolCode::new(7), address(1).get()));
    rig.answer(&request, Reply::Joined(offer(1)));
    assert_eq!((rig.told(), rig.client.stats().unexpected), (vec![], 1), "a copy");

    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(7)));
    let four = pool(&[(1, "a"), (3, "b"), (7, "me"), (9, "d")]);
    rig.page(&four, None, &four.members[..2], true);
    assert_eq!((rig.last().text.as_str(), rig.told()), ("ask 4", vec![]));
    rig.page(&four, Some(4), &four.members[2..3], true);
    assert_eq!((rig.last().text.as_str(), rig.told()), ("ask 4", vec![]));
    rig.page(&four, Some(8), &four.members[3..], false);
    let Outcome::Joined(info) = rig.outcome() else { panic!() };
    let numbers: Vec<_> = info.members().iter().map(|member| member.number.get()).collect();
    assert_eq!(numbers, [1, 3, 7, 9]);
    assert_eq!(info.to_dial().collect::<Vec<_>>(), [address(1).get(), address(3).get()]);
    let known = rig.membership();
    assert_eq!((known.me(), known.host(), known.epoch()), (member(7), member(1), four.state().epoch));
    assert_eq!((known.term().get(), known.is_host(), known.you()), (1, false, address(7).get()));
    assert_eq!(known.members()[3].about, b"d"[..]);
}

#[test]
fn a_question_is_asked_again_after_a_second_and_a_page_that_is_not_asked_for_is_no_news() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let three = pool(&[(1, "me"), (2, "b"), (3, "c")]);
    let ping = rig.last();
    rig.page(&three, None, &three.members[..1], true);
    rig.sent.clear();
    rig.wait(1_300);
    assert_eq!(rig.said(), ["ask 2"]);
    rig.page_at(&ping, &three, None, &three.members[..1], true);
    assert_eq!(rig.client.stats().unexpected, 1, "its count is answered already");
    rig.wait(1_300);
    rig.page(&three, Some(3), &three.members[2..], false);
    assert_eq!(rig.told(), [], "that is not where it stands");
    rig.wait(1_300);
    assert!(rig.said().contains(&"ask 2".to_string()));
}

#[test]
fn the_first_page_again_is_no_part_of_the_rest() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let three = pool(&[(1, "me"), (2, "b"), (3, "c")]);
    rig.page(&three, None, &three.members[..2], true);
    let ping = rig.until("ping");
    rig.page_at(&ping, &three, None, &three.members[..2], true);
    let ask = rig.until("ask 3");
    rig.page_at(&ask, &three, Some(3), &three.members[2..], false);
    let Outcome::Joined(info) = rig.outcome() else { panic!() };
    assert_eq!(info.members().len(), 3);
}

#[test]
fn a_page_of_another_epoch_begins_anew_unless_it_is_older() {
    let mut rig = Rig::joined_as(1, &pool(&[(1, "me")]));
    let mut newer = pool(&[(1, "me"), (2, "b"), (3, "c")]);
    newer.number = 5;
    rig.wait(3_800);
    let ping = rig.last();
    assert_eq!(ping.text, "ping 9/1");
    rig.page(&newer, None, &newer.members[..1], true);
    assert_eq!(rig.last().text, "ask 2");
    let older = Pool { number: 4, ..newer.clone() };
    rig.page(&older, None, &older.members, false);
    assert_eq!(rig.told(), [], "older than what it has begun with");
    rig.wait(1_300);
    let newest = Pool { number: 6, ..newer.clone() };
    rig.page(&newest, Some(2), &newest.members[1..], false);
    assert_eq!((rig.last().text.as_str(), rig.told()), ("ask 0", vec![]), "not from its beginning");
    rig.roster(&newest);
    assert_eq!(rig.news(), ["+ 2 b", "+ 3 c"]);
    assert_eq!(rig.membership().epoch().number(), 6);
    rig.wait(3_800);
    let one = pool(&[(1, "me")]);
    rig.page(&one, None, &one.members, false);
    assert_eq!(rig.news(), [] as [&str; 0], "older than what is known");
}

#[test]
fn changes_are_taken_while_pages_are_gathered() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let mut six = pool(&[(1, "me"), (2, "b"), (4, "d"), (6, "f"), (7, "g")]);
    rig.page(&six, None, &six.members[..3], true);
    assert_eq!(rig.last().text, "ask 5");
    // Known are those below 5: 2 leaves, 3 comes, 4 says something; 6 leaves and 8 comes beyond.
    six.number = 2;
    six.members = vec![(1, "me"), (3, "c"), (4, "D"), (7, "g"), (8, "h")];
    let reason = LeaveReason::Left;
    rig.changed(
        &six,
        &[
            Change::Left { member: member(2), reason },
            Change::Joined(Pool::entry(3, "c")),
            Change::About { member: member(4), about: About::new(b"D").unwrap() },
            Change::Left { member: member(6), reason },
            Change::Joined(Pool::entry(8, "h")),
        ],
    );
    assert_eq!(rig.last().text, "ask 5", "it goes on where it stands");
    rig.page(&six, Some(5), &six.members[3..], false);
    assert!(matches!(rig.outcome(), Outcome::Joined(_)));
    let known: Vec<_> =
        rig.membership().members().iter().map(|known| (known.number.get(), known.about.to_vec())).collect();
    let expected: Vec<_> =
        six.members.iter().map(|(number, about)| (*number, about.as_bytes().to_vec())).collect();
    assert_eq!(known, expected);
    assert_eq!(rig.membership().epoch().number(), 2);
}

#[test]
fn a_roster_that_is_not_as_long_as_it_says_or_lacks_its_reader_is_asked_for_again() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let two = pool(&[(1, "me"), (2, "b")]);
    rig.page(&two, None, &two.members[..1], false);
    rig.sent.clear();
    rig.wait(700);
    assert_eq!((rig.told(), rig.said()), (vec![], vec![]));
    rig.wait(600);
    let without = pool(&[(2, "b")]);
    rig.page(&without, None, &without.members, false);
    assert_eq!(rig.told(), []);
    rig.wait(1_300);
    rig.roster(&two);
    assert!(matches!(rig.outcome(), Outcome::Joined(_)));
}

#[test]
fn a_member_pings_by_the_interval_and_after_a_second_if_that_is_not_answered() {
    let mut rig = Rig::joined_as(1, &pool(&[(1, "me")]));
    let mut waits = Vec::new();
    for _ in 0..20 {
        let before = rig.now;
        let sent = rig.until("ping 9/1");
        waits.push(sent.at - before);
        rig.notice(sent.to, HANDLE, News::Pong { count: sent.count });
        rig.notice(sent.to, HANDLE, News::Pong { count: sent.count });
    }
    assert!(waits.iter().all(|wait| (2_250..=3_751).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait < 2_700) && waits.iter().any(|wait| *wait > 3_300));
    assert_eq!(rig.client.stats().unexpected, 20, "copies are no answers");
    let waits: Vec<_> = [(); 2].map(|()| rig.until("ping 9/1").at).to_vec();
    assert!((750..=1_251).contains(&(waits[1] - waits[0])), "{waits:?}");
}

#[test]
fn no_broadcaster_has_its_members_ping_more_than_ten_times_a_second() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(Joined { interval: Millis::new(1).unwrap(), ..offer(1) }));
    rig.roster(&pool(&[(1, "me")]));
    let pings: Vec<_> = (0..40)
        .map(|_| {
            let ping = rig.until("ping");
            rig.notice(ping.to, HANDLE, News::Pong { count: ping.count });
            ping.at
        })
        .collect();
    assert!((3_000..5_000).contains(&(pings[39] - pings[0])), "{pings:?}");
}

#[test]
fn a_change_is_told_and_makes_the_next_epoch() {
    let mut now = pool(&[(2, "a"), (5, "me")]);
    let mut rig = Rig::joined_as(5, &now);
    let moved = Address::new(([192, 0, 2, 1], 9).into()).unwrap();
    now.number = 2;
    now.members = vec![(2, "A"), (3, "late"), (5, "me"), (9, "i")];
    now.spec = PoolSpec::default().named("duel").unwrap();
    rig.changed(
        &now,
        &[
            Change::Joined(Pool::entry(9, "i")),
            Change::Joined(Pool::entry(3, "late")),
            Change::About { member: member(2), about: About::new(b"A").unwrap() },
            Change::Moved { member: member(5), address: moved },
            Change::Spec(now.spec.as_spec()),
        ],
    );
    assert_eq!(rig.news(), ["+ 9 i", "+ 3 late", "about 2 A", "moved 5 to 9", "Spec"]);
    assert_eq!((rig.membership().you().port(), rig.membership().spec()), (9, &now.spec));
    let numbers: Vec<_> = rig.membership().members().iter().map(|member| member.number.get()).collect();
    assert_eq!(numbers, [2, 3, 5, 9]);
    let reason = LeaveReason::TimedOut;
    now = Pool { number: 3, members: vec![(3, "late"), (5, "me"), (9, "i")], term: 2, host: 3, ..now };
    rig.changed(&now, &[Change::Left { member: member(2), reason }]);
    assert_eq!(rig.news(), ["- 2 TimedOut", "host 3 of term 2"]);
    now = Pool { number: 4, term: 3, host: 5, ..now };
    rig.changed(&now, &[]);
    assert_eq!(rig.news(), ["host 5 of term 3: me"]);
    assert!(rig.membership().is_host());
    rig.wait(3_800);
    assert_eq!(rig.last().text, "ping 9/4");
}

#[test]
fn changes_that_are_old_are_ignored_and_for_others_the_first_page_is_asked_for() {
    let mut now = pool(&[(1, "me")]);
    now.number = 5;
    let mut rig = Rig::joined_as(1, &now);
    let two = |number| Pool { number, ..pool(&[(1, "me"), (2, "b")]) };
    for old in [1, 4, 5] {
        rig.changed(&two(old), &[Change::Joined(Pool::entry(2, "b"))]);
    }
    assert_eq!((rig.news(), rig.said(), rig.client.stats().unexpected), (vec![], vec![], 3));
    for gap in [7, 8, 9] {
        rig.changed(&two(gap), &[]);
    }
    assert_eq!((rig.news(), rig.said()), (vec![], vec!["ask 0".to_string()]), "once");
    rig.wait(1_300);
    assert_eq!(rig.last().text, "ask 0", "and again");
    let asked = rig.take_sent().pop().unwrap();
    rig.page_at(&asked, &two(8), None, &two(8).members, false);
    assert_eq!(rig.news(), ["+ 2 b"]);
    assert_eq!(rig.said(), ["ask 0"], "a later one was heard of");

    let mut rig = Rig::joined_as(1, &now);
    rig.changed(
        &Pool { number: 6, ..pool(&[(1, "me"), (2, "b"), (3, "c")]) },
        &[Change::Joined(Pool::entry(2, "b"))],
    );
    assert_eq!(rig.last().text, "ask 0", "two came, one was told");
    rig.roster(&Pool { number: 6, ..pool(&[(1, "me"), (2, "b"), (3, "c")]) });
    assert_eq!(rig.news(), ["+ 2 b", "+ 3 c"]);
}

#[test]
fn a_page_tells_what_differs() {
    let mut rig = Rig::joined_as(5, &pool(&[(1, "a"), (2, "b"), (5, "me")]));
    rig.wait(3_800);
    let mut now = Pool { number: 7, term: 2, host: 2, ..pool(&[(2, "B"), (5, "me"), (6, "f")]) };
    now.spec = now.spec.locked(true);
    rig.roster(&now);
    assert_eq!(rig.news(), ["- 1 ?", "about 2 B", "+ 6 f", "Spec", "host 2 of term 2"]);
    rig.wait(3_800);
    rig.pong();
    assert_eq!(rig.news(), [] as [&str; 0]);
    rig.wait(3_800);
    rig.roster(&Pool { number: 9, term: 4, ..now });
    assert_eq!(rig.news(), ["host 2 of term 4"], "others were host meanwhile");
}

#[test]
fn a_pong_says_that_nothing_is_missing() {
    let now = pool(&[(1, "me")]);
    let mut rig = Rig::joined_as(1, &now);
    rig.changed(&Pool { number: 3, ..now }, &[]);
    assert_eq!(rig.said(), ["ask 0"]);
    rig.wait(3_800);
    let ping = rig.take_sent().into_iter().rfind(|sent| sent.text == "ping 9/1").unwrap();
    rig.notice(ping.to, HANDLE, News::Pong { count: ping.count });
    rig.wait(1_300);
    assert!(!rig.said().contains(&"ask 0".to_string()));
}

#[test]
fn who_is_asked_whether_it_is_here_moves_once_for_what_it_just_said() {
    let mut rig = Rig::joined_as(1, &pool(&[(1, "me")]));
    let ping = rig.until("ping");
    rig.sent.clear();
    let cookie = Cookie::new(99);
    rig.challenge(&Sent { count: ping.count + 1, ..ping.clone() }, cookie);
    rig.challenge(&Sent { handle: Some(Handle(1)), ..ping.clone() }, cookie);
    assert_eq!(rig.said(), [] as [&str; 0], "it said no such thing");
    rig.challenge(&ping, cookie);
    rig.challenge(&ping, cookie);
    let moves = rig.take_sent();
    assert_eq!(moves.iter().map(|sent| sent.text.as_str()).collect::<Vec<_>>(), ["move 99"]);
    assert_eq!(moves[0].count, ping.count + 1);
    rig.wait(900);
    rig.sent.clear();
    rig.challenge(&moves[0], Cookie::new(100));
    assert_eq!(rig.said(), [] as [&str; 0], "it has just said where it is");
    rig.wait(100);
    rig.sent.clear();
    rig.challenge(&moves[0], Cookie::new(100));
    assert_eq!(rig.said(), ["move 100"]);
    for (wait, answered) in [(1_990, true), (2_010, false)] {
        let ping = rig.until("ping");
        rig.notice(ping.to, HANDLE, News::Pong { count: ping.count });
        rig.sent.clear();
        rig.wait(wait);
        rig.challenge(&ping, cookie);
        assert_eq!(rig.said().contains(&"move 99".to_string()), answered, "{wait} ms ago");
    }
}

#[test]
fn who_is_asked_whether_it_is_here_by_all_that_it_says_moves_once_in_a_second() {
    let mut rig = Rig::joined_as(1, &pool(&[(1, "me")]));
    let (mut moves, mut latest) = (Vec::new(), rig.until("ping"));
    while rig.now < 60_000 {
        rig.challenge(&latest, Cookie::new(99));
        rig.wait(1);
        for sent in rig.take_sent() {
            if sent.text == "move 99" {
                moves.push(sent.at);
            } else {
                rig.notice(sent.to, HANDLE, News::Pong { count: sent.count });
            }
            latest = sent;
        }
    }
    assert!(moves.windows(2).all(|two| two[1] >= two[0] + 1_000), "{moves:?}");
    assert!(moves.len() > 15, "{moves:?}");
}

#[test]
fn an_offer_that_is_void_sends_the_call_back_to_its_request() {
    let mut rig = Rig::new();
    let call = rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.give_cookie(5);
    rig.answer(&request, Reply::Joined(offer(2)));
    assert_eq!(rig.last().text, "ping");
    rig.unknown();
    let again = rig.until("join");
    assert_eq!((again.tx, again.cookie), (request.tx, request.cookie));
    rig.answer(&again, Reply::Joined(offer(3)));
    rig.roster(&pool(&[(1, "a"), (3, "me")]));
    let told = rig.told();
    assert!(
        matches!(&told[..], [ClientEvent::Finished { call: of, outcome: Outcome::Joined(_) }] if *of == call)
    );
}

#[test]
fn an_offer_that_was_not_void_goes_on_where_it_was() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(2)));
    rig.wait(1_300);
    assert_eq!(rig.last().count, 2);
    rig.unknown();
    let again = rig.until("join");
    rig.answer(&again, Reply::Joined(offer(2)));
    assert_eq!((rig.last().text.as_str(), rig.last().count), ("ping", 3));
    rig.roster(&pool(&[(2, "me")]));
    assert!(matches!(rig.outcome(), Outcome::Joined(_)));
}

#[test]
fn the_end_of_a_session_is_told_with_its_reason() {
    for (reason, end) in [
        (EndReason::Kicked, "ended: Kicked"),
        (EndReason::Replaced, "ended: Replaced"),
        (EndReason::PoolEnded, "ended: Closed"),
    ] {
        let mut rig = Rig::joined_as(1, &pool(&[(1, "me")]));
        rig.notice(server(0), HANDLE, News::Ended(reason));
        assert_eq!(
            (rig.news(), rig.drain(), rig.client.memberships().count()),
            (vec![end.to_string()], None, 0)
        );
        rig.notice(server(0), HANDLE, News::Ended(reason));
        assert_eq!((rig.news(), rig.client.stats().unexpected), (vec![], 1));
    }
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(2)));
    rig.notice(server(0), HANDLE, News::Ended(EndReason::PoolEnded));
    assert_eq!(rig.news(), ["refused: that is over: join or create anew"]);
}

#[test]
fn what_is_forged_is_counted_and_changes_nothing() {
    let mut rig = Rig::joined_as(1, &pool(&[(1, "me")]));
    rig.wait(3_800);
    rig.sent.clear();
    let mut out = BytesMut::new();
    let _ =
        Notice { handle: HANDLE, news: News::Ended(EndReason::Kicked) }.write(&Key::new([1; 16]), &mut out);
    rig.hear(server(0), &out);
    out.clear();
    let _ = Notice { handle: HANDLE, news: News::Ended(EndReason::Kicked) }.write(&KEY, &mut out);
    rig.hear(server(1), &out);
    let last = out.len() - 1;
    out[last] ^= 1;
    rig.hear(server(0), &out);
    rig.hear(server(0), b"\x02\0\0\0\0");
    let stats = rig.client.stats();
    assert_eq!((stats.forged, stats.foreign, stats.spoiled), (2, 1, 1));
    assert_eq!((rig.news(), rig.said()), (vec![], vec![]));
}

#[test]
fn a_change_of_who_is_not_there_does_not_fit_whatever_the_count_is() {
    let now = pool(&[(1, "a"), (2, "me")]);
    let mut rig = Rig::joined_as(2, &now);
    let next = Pool { number: 2, ..now };
    rig.changed(&next, &[Change::About { member: member(9), about: About::new(b"x").unwrap() }]);
    assert_eq!((rig.said(), rig.news()), (vec!["ask 0".to_string()], vec![]));
    assert_eq!(rig.membership().epoch().number(), 1);
}
