//! A broadcaster that is silent, or has forgotten: the member turns to one with its ticket.

use super::*;

fn several(servers: &[u8]) -> PoolSpec {
    let addresses: Vec<_> = servers.iter().map(|number| Address::new(server(*number)).unwrap()).collect();
    PoolSpec::default().with_broadcasters(&addresses).unwrap()
}

/// In a pool of these broadcasters, at the first of them that the client has.
pub(super) fn in_pool_of(servers: &[u8]) -> (Rig, Pool) {
    let now = Pool { spec: several(servers), ..pool(&[(1, "a"), (2, "me")]) };
    (Rig::joined_as(2, &now), now)
}

/// What a resumed member is offered.
pub(super) fn again() -> Joined {
    Joined { handle: Handle(88), session: Session(2), ..offer(2) }
}

/// All that was sent, and by how many in a second at most.
pub(super) fn check_pace(sent: &[Sent]) {
    assert!(sent.windows(3).all(|three| three[2].at >= three[0].at + 1_000), "{sent:#?}");
}

#[test]
fn who_is_unknown_resumes_at_once_at_the_same() {
    let (mut rig, now) = in_pool_of(&[0, 1]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    assert_eq!((resume.text.as_str(), resume.to, resume.cookie), ("resume", server(0), Cookie::new(5)));
    assert_eq!(rig.news(), [] as [&str; 0]);
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_100);
    let ping = rig.last();
    assert_eq!((ping.text.as_str(), ping.handle, ping.count), ("ping", Some(Handle(88)), 1));
    rig.pong();
    assert_eq!(rig.news(), [] as [&str; 0], "the pool is coming back");
    let back = Pool { era: 10, generation: 1, ..now };
    rig.wait(1_300);
    rig.roster(&back);
    assert_eq!(rig.news(), ["Restored"]);
    assert_eq!(rig.membership().epoch().era(), 10);
    let sent: Vec<_> = rig.take_sent();
    check_pace(&sent);
    assert_eq!(rig.membership().save().ticket.session, Session(2));
    assert_eq!(rig.until("ping").text, "ping 10/1");
}

#[test]
fn a_copy_of_unknown_changes_nothing() {
    let (mut rig, _) = in_pool_of(&[0]);
    let ping = rig.until("ping");
    rig.challenge(&ping, None);
    let resume = rig.last();
    rig.challenge(&ping, None);
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_000);
    assert_eq!(rig.last().handle, Some(Handle(88)));
}

#[test]
fn who_was_said_to_be_unknown_and_is_not_stays_in_its_session() {
    let (mut rig, _) = in_pool_of(&[0]);
    let ping = rig.until("ping");
    rig.challenge(&ping, None);
    let resume = rig.last();
    assert_eq!(resume.text, "resume");
    rig.notice(server(0), HANDLE, News::Pong { count: ping.count });
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(5_000);
    assert_eq!((rig.last().text.as_str(), rig.last().handle), ("ping 9/1", Some(HANDLE)));
    assert_eq!(rig.news(), [] as [&str; 0]);
}

#[test]
fn who_closes_hears_that_it_is_done_behind_what_says_that_nobody_knows_it() {
    let mut rig = Rig::joined_as(1, &pool(&[(1, "me"), (2, "b")]));
    let ping = rig.until("ping");
    let now = rig.time();
    rig.client.close_pool(now, id()).unwrap();
    let close = rig.until("close");
    rig.challenge(&ping, None);
    rig.until("resume");
    rig.notice(server(0), HANDLE, News::Done { count: close.count, outcome: Ok(()) });
    assert_eq!(rig.news(), ["Done", "ended: Closed"]);
}

#[test]
fn of_two_sessions_of_one_handle_the_one_is_meant_that_fits() {
    // The broadcaster started again, which the first session has not noticed yet, and gives its handle to the second.
    let (mut rig, now) = in_pool_of(&[0]);
    let ping = rig.until("ping");
    let other = PoolUuid::new([9; 16]);
    let at = rig.time();
    rig.client.join(at, Door::Id(other.into()), b"me").unwrap();
    let request = rig.until("join");
    let key = Key::new([8; 16]);
    rig.keys.insert(0, key);
    rig.answer(&request, Reply::Joined(Joined { pool: other, key, ..offer(2) }));
    rig.roster(&now);
    assert!(matches!(rig.outcome(), Outcome::Joined(info) if info.id() == other.into()));
    assert!(ping.count > 1, "the second session has said one thing");
    rig.challenge(&ping, None);
    assert_eq!(rig.last().text, "resume");
    assert_eq!((rig.client.stats().spoiled, rig.client.stats().unexpected), (0, 0));
}

#[test]
fn what_another_broadcaster_says_is_over_is_over_when_its_own_is_silent_or_can_not_help() {
    let refusals = [Refusal::Stale, Refusal::BadTicket, Refusal::TooManyMembers];
    for own in core::iter::once(None).chain(refusals.map(Some)) {
        let (mut rig, _) = in_pool_of(&[0, 1, 2]);
        let probe = rig.until("probe");
        rig.answer(&probe, Reply::Refused(Refusal::Stale));
        let resume = rig.until("resume");
        assert_eq!(resume.to, server(0), "its own is asked once more");
        assert_eq!(rig.news(), ["Unreachable"]);
        match own {
            Some(refusal) => rig.refuse(&resume, refusal),
            None => rig.wait(2_500),
        }
        assert_eq!(rig.news(), ["ended: Forgotten"], "{own:?}");
    }
}

#[test]
fn what_another_broadcaster_says_is_over_is_over_if_its_own_could_not_help_before() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    rig.refuse(&resume, Refusal::BadTicket);
    let probe = rig.until("probe");
    rig.refuse(&probe, Refusal::Stale);
    assert_eq!((rig.news(), rig.drain()), (vec!["ended: Forgotten".to_string()], None));
}

#[test]
fn what_another_broadcaster_says_is_over_goes_on_at_its_own() {
    let (mut rig, now) = in_pool_of(&[0, 1]);
    let probe = rig.until("probe");
    rig.answer(&probe, Reply::Refused(Refusal::Stale));
    let resume = rig.until("resume");
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_100);
    rig.roster(&Pool { era: 10, generation: 1, ..now });
    assert_eq!(rig.news(), ["Unreachable", "Restored"]);
}

#[test]
fn only_an_answer_to_what_was_said_is_believed_to_be_unknown() {
    let (mut rig, _) = in_pool_of(&[0]);
    let ping = rig.until("ping");
    rig.pong();
    rig.sent.clear();
    rig.challenge(&ping, None);
    rig.challenge(&Sent { count: ping.count + 1, ..ping.clone() }, None);
    rig.challenge(&Sent { to: server(1), ..ping.clone() }, None);
    rig.challenge(&Sent { handle: Some(Handle(1)), ..ping }, None);
    assert_eq!((rig.said(), rig.client.stats().unexpected, rig.client.stats().foreign), (vec![], 3, 1));
}

#[test]
fn three_pings_unanswered_lead_to_its_own_broadcaster_and_then_to_the_next() {
    let (mut rig, _) = in_pool_of(&[0, 1, 2]);
    rig.wait(30_000);
    let sent = rig.take_sent();
    check_pace(&sent);
    let pings = sent.iter().take_while(|sent| sent.text == "ping 9/1").count();
    assert_eq!(pings, 3);
    let mut asked: Vec<_> = sent[pings..].iter().map(|sent| (sent.to, sent.text.as_str(), sent.tx)).collect();
    asked.dedup();
    let order: Vec<_> = asked.iter().map(|(to, text, _)| (*to, *text)).collect();
    let (one, two, own) = ((server(1), "probe"), (server(2), "probe"), (server(0), "resume"));
    assert_eq!(order[..7], [own, one, two, own, one, two, own]);
    assert!(asked.windows(2).all(|two| two[0].2 != two[1].2), "each visit is a call of its own");
    // A visit lasts 2 s; after each round there is a pause of an interval.
    let begins: Vec<_> =
        asked[..5].iter().map(|(_, _, tx)| sent.iter().find(|sent| sent.tx == *tx).unwrap().at).collect();
    assert!((1_400..=2_600).contains(&(begins[1] - begins[0])), "{begins:?}");
    assert!((3_400..=6_600).contains(&(begins[3] - begins[2])), "{begins:?}");
    assert!((1_400..=2_600).contains(&(begins[4] - begins[3])), "{begins:?}");
    assert_eq!(rig.news(), ["Unreachable"]);
}

#[test]
fn who_has_no_cookie_asks_for_one_by_a_list_that_names_nothing() {
    let (mut rig, now) = in_pool_of(&[0, 1]);
    let probe = rig.until("probe");
    assert_eq!((probe.to, probe.cookie), (server(1), None));
    rig.answer(&probe, Reply::Cookie(Cookie::new(6).unwrap()));
    rig.wait(1_000);
    let resume = rig.last();
    assert_eq!((resume.text.as_str(), resume.to, resume.cookie), ("resume", server(1), Cookie::new(6)));
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_000);
    rig.roster(&Pool { era: 11, generation: 1, ..now });
    assert_eq!(rig.news(), ["Unreachable", "Restored"]);
    assert_eq!(rig.membership().broadcaster(), server(1));
}

#[test]
fn what_answers_in_the_old_session_ends_the_search() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    let ping = rig.until("ping");
    rig.wait(4_000);
    assert_eq!(rig.news(), ["Unreachable"]);
    rig.notice(server(0), HANDLE, News::Pong { count: ping.count });
    assert_eq!(rig.news(), ["Restored"]);
    rig.sent.clear();
    rig.wait(2_500);
    let sent = rig.take_sent();
    assert!(!sent.is_empty() && sent.iter().all(|sent| sent.text == "ping 9/1"), "{sent:?}");
}

#[test]
fn who_looks_for_a_broadcaster_does_not_move() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    rig.until("probe");
    let ping = Sent { handle: Some(HANDLE), to: server(0), count: 4, ..rig.last() };
    rig.sent.clear();
    for count in 1..=ping.count {
        rig.challenge(&Sent { count, ..ping.clone() }, Cookie::new(9));
    }
    rig.wait(1_000);
    assert!(rig.take_sent().iter().all(|sent| sent.text == "probe"));
}

#[test]
fn a_broadcaster_outside_the_spec_is_followed_by_the_first_and_one_without_any_by_itself() {
    let (mut rig, _) = in_pool_of(&[1, 2]);
    rig.wait(8_000);
    assert_eq!(rig.sent.iter().find(|sent| sent.text == "probe").unwrap().to, server(1));
    let (mut rig, _) = in_pool_of(&[]);
    rig.wait(20_000);
    let sent = rig.take_sent();
    assert!(sent.iter().filter(|sent| sent.text == "resume").count() > 4);
    assert!(sent.iter().all(|sent| sent.to == server(0)));
    check_pace(&sent);
}

#[test]
fn a_bad_ticket_leads_to_the_next_and_when_all_say_so_the_pool_is_lost() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    rig.refuse(&resume, Refusal::BadTicket);
    rig.wait(1_000);
    let probe = rig.last();
    assert_eq!((probe.text.as_str(), probe.to), ("probe", server(1)));
    assert_eq!(rig.news(), [] as [&str; 0]);
    rig.wait(20_000);
    assert!(
        rig.take_sent().iter().all(|sent| sent.to == server(1) || sent.at <= 5_000),
        "the other can't help"
    );
    let probe = rig.until("probe");
    rig.answer(&probe, Reply::Cookie(Cookie::new(6).unwrap()));
    rig.wait(1_000);
    let resume = rig.last();
    rig.refuse(&resume, Refusal::BadTicket);
    assert_eq!(rig.news(), ["Unreachable", "ended: Lost"]);
    assert_eq!(rig.drain(), None);
}

#[test]
fn a_stale_ticket_ends_the_session() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    rig.refuse(&resume, Refusal::Stale);
    assert_eq!((rig.news(), rig.drain()), (vec!["ended: Forgotten".to_string()], None));
}

#[test]
fn who_has_to_wait_waits_and_who_is_not_wanted_goes_on() {
    let (mut rig, _) = in_pool_of(&[0, 1]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    rig.refuse(&resume, Refusal::Busy { wait: 3_000 });
    rig.sent.clear();
    rig.wait(2_900);
    assert_eq!(rig.said(), [] as [&str; 0]);
    let resume = rig.until("resume");
    assert_eq!(resume.to, server(0));
    rig.refuse(&resume, Refusal::TooManyMembers);
    let next = rig.last();
    assert_eq!((next.to, next.at), (server(1), resume.at));
}

#[test]
fn only_the_same_place_in_the_same_pool_is_taken_back() {
    let (mut rig, _) = in_pool_of(&[0]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    rig.answer(&resume, Reply::Joined(Joined { member: member(3), ..again() }));
    rig.answer(&resume, Reply::Joined(Joined { pool: PoolUuid::new([1; 16]), ..again() }));
    assert_eq!(rig.client.stats().unexpected, 2);
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_000);
    assert_eq!(rig.last().handle, Some(Handle(88)));
}

#[test]
fn the_same_roster_in_a_new_session_is_no_news_but_makes_a_new_ticket() {
    let (mut rig, now) = in_pool_of(&[0]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_000);
    assert_eq!((rig.last().text.as_str(), rig.membership().save().ticket.session), ("ping", Session(1)));
    rig.page(&now, None, &now.members[..1], true);
    assert_eq!(
        (rig.news(), rig.membership().save().ticket.session),
        (vec!["Restored".to_string()], Session(2))
    );
    assert_eq!(rig.until("ping").text, "ping 9/1", "and nothing is asked for");
}

#[test]
fn a_new_session_that_is_unknown_as_well_is_resumed_by_the_old_ticket() {
    let (mut rig, _) = in_pool_of(&[0]);
    rig.until("ping");
    rig.unknown();
    let resume = rig.last();
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_000);
    rig.unknown();
    rig.wait(1_000);
    let second = rig.last();
    assert_eq!(second.text, "resume");
    assert_ne!(second.tx, resume.tx);
    check_pace(&rig.take_sent());
}

#[test]
fn an_order_under_way_is_given_in_the_new_session() {
    let (mut rig, now) = in_pool_of(&[0]);
    rig.wait(1_000);
    rig.client.set_about(rig.time(), id(), b"new").unwrap();
    rig.client.set_about(rig.time(), id(), b"newer").unwrap();
    rig.unknown();
    let resume = rig.last();
    assert_eq!(resume.text, "resume");
    rig.sent.clear();
    rig.answer(&resume, Reply::Joined(again()));
    rig.wait(1_000);
    assert!(rig.sent.iter().all(|sent| sent.text == "ping"), "not before the roster is known");
    rig.roster(&Pool { era: 10, ..now });
    let about = rig.last();
    assert_eq!((about.text.as_str(), about.handle, about.count), ("about new", Some(Handle(88)), 1));
    rig.done(Ok(()));
    assert_eq!(rig.news(), ["Restored", "Done"]);
    assert_eq!(rig.membership().save().about, b"new"[..]);
    assert_eq!((rig.last().text.as_str(), rig.last().count), ("about newer", 2));
}

#[test]
fn who_starts_again_comes_back_with_what_it_saved() {
    let (old, now) = in_pool_of(&[0, 1]);
    let saved = Saved::from_bytes(&old.membership().save().to_bytes()).unwrap();
    let mut rig = Rig::new();
    rig.now = 50_000;
    let call = rig.client.resume(rig.time(), &saved).unwrap();
    assert_eq!((rig.last().text.as_str(), rig.last().to), ("probe", server(0)));
    let resume = rig.give_cookie(8);
    assert_eq!(resume.text, "resume");
    assert_eq!(rig.client.memberships().count(), 0);
    rig.answer(&resume, Reply::Joined(again()));
    let ping = rig.last();
    assert_eq!((ping.text.as_str(), ping.handle, ping.at), ("ping", Some(Handle(88)), resume.at));
    rig.challenge(&ping, Cookie::new(9));
    assert_eq!(rig.last(), ping, "all else waits");
    rig.pong();
    rig.wait(1_500);
    rig.roster(&Pool { era: 10, ..now });
    let told = rig.told();
    let [ClientEvent::Finished { call: of, outcome: Outcome::Joined(info) }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*of, info.me(), info.members()[1].number), (call, Some(member(2)), member(2)));
    assert!(info.has_returned() && info.to_dial().eq(info.others()), "it has no links");
    let sent = rig.take_sent();
    assert!(sent[2] == ping, "{sent:?}");
    check_pace(&sent[2..]);

    for (refusal, outcome) in [
        (Refusal::Stale, "refused: that is over: join or create anew"),
        (Refusal::BadTicket, "refused: the ticket is not of this broadcaster, or of another key: join anew"),
    ] {
        let (old, _) = in_pool_of(&[]);
        let mut rig = Rig::new();
        rig.client.resume(rig.time(), &old.membership().save()).unwrap();
        let resume = rig.give_cookie(8);
        rig.refuse(&resume, refusal);
        assert_eq!((rig.news(), rig.drain()), (vec![outcome.to_string()], None));
    }
    let mut rig = Rig::new();
    rig.client.resume(rig.time(), &saved).unwrap();
    rig.go(15_999);
    assert_eq!(rig.news(), [] as [&str; 0]);
    rig.go(16_000);
    assert!(matches!(&rig.news()[..], [timed_out] if timed_out.starts_with("TimedOut")));
    assert_eq!(rig.drain(), None);
}

#[test]
fn who_starts_again_and_is_offered_nothing_that_holds_asks_no_faster_than_others() {
    let (old, _) = in_pool_of(&[0]);
    let mut rig = Rig::new();
    rig.client.resume(rig.time(), &old.membership().save()).unwrap();
    rig.give_cookie(8);
    while rig.now < 15_000 {
        let sent = rig.take_sent();
        for sent in &sent {
            match sent.text.as_str() {
                "resume" => rig.answer(sent, Reply::Joined(again())),
                "ping" => rig.challenge(sent, None),
                _ => {}
            }
        }
        if rig.sent.is_empty() {
            rig.wait(10);
        }
    }
    let sent = rig.client.stats().sent;
    assert!((20..=32).contains(&sent), "{sent} datagrams: a request and a ping a second");
}

#[test]
fn who_comes_back_has_time_to_find_the_pool_elsewhere_and_to_wait_for_its_members() {
    let (old, now) = in_pool_of(&[0, 1]);
    let mut rig = Rig::new();
    rig.client.resume(rig.time(), &old.membership().save()).unwrap();
    let probe = rig.until("probe");
    assert_eq!(probe.to, server(0));
    while rig.last().to != server(1) {
        rig.wait(100);
    }
    let probe = rig.last();
    rig.answer(&probe, Reply::Cookie(Cookie::new(6).unwrap()));
    let resume = rig.until("resume");
    rig.answer(&resume, Reply::Joined(again()));
    rig.live(6_000);
    assert!(rig.now > 8_000 && rig.told().is_empty(), "it has neither come nor timed out");
    rig.until("ping");
    rig.roster(&Pool { era: 10, generation: 1, ..now });
    assert_eq!(rig.news(), ["joined"]);
}

#[test]
fn what_times_out_says_how_often_all_were_asked_and_who_was_last() {
    let (old, _) = in_pool_of(&[0, 1]);
    for answers in [false, true] {
        let mut rig = Rig::new();
        rig.client.resume(rig.time(), &old.membership().save()).unwrap();
        if answers {
            let probe = rig.last();
            rig.answer(&probe, Reply::Cookie(Cookie::new(6).unwrap()));
            let resume = rig.until("resume");
            rig.answer(&resume, Reply::Joined(again()));
        }
        rig.go(15_500);
        let last = rig.client.places[0].broadcaster().unwrap();
        rig.go(16_000);
        let Outcome::TimedOut { broadcaster, sent } = rig.outcome() else { panic!() };
        let leaves = if answers { 2 } else { 0 };
        assert_eq!(u64::from(sent) + leaves, rig.client.stats().sent, "all but the leaving");
        assert_eq!((broadcaster, sent > 10), (last, true));
    }
}

#[test]
fn an_end_and_a_change_are_heard_while_another_broadcaster_is_asked() {
    let (mut rig, now) = in_pool_of(&[0, 1]);
    rig.wait(8_000);
    assert_eq!(rig.news(), ["Unreachable"]);
    let next = Pool { number: 2, members: vec![(1, "A"), (2, "me")], ..now };
    rig.changed(&next, &[Change::About { member: member(1), about: About::new(b"A").unwrap() }]);
    rig.notice(server(0), HANDLE, News::Ended(EndReason::Kicked));
    assert_eq!(rig.news(), ["about 1 A", "ended: Kicked"]);
}
