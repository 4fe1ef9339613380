//! Requests: when they are sent again and to whom, and what answers them.

use super::*;
use crate::client::{Cursor, PoolPage};

#[test]
fn a_request_is_sent_again_by_growing_waits_until_its_time_is_over() {
    let mut rig = Rig::new();
    let call = rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    rig.go(20_000);
    let sent = rig.take_sent();
    assert!(sent.iter().all(|sent| sent.text == "list" && sent.tx == sent.tx && sent.cookie.is_none()));
    assert!(sent.windows(2).all(|two| two[0].tx == two[1].tx), "one call has one tx");
    let waits: Vec<_> = sent.windows(2).map(|two| two[1].at - two[0].at).collect();
    for (wait, about) in waits.iter().zip([250, 375, 562, 843, 1_000, 1_000, 1_000, 1_000]) {
        assert!((about * 3 / 4..=about * 5 / 4 + 1).contains(wait), "{waits:?}");
    }
    assert!(waits[4..].iter().any(|wait| wait % 1_000 != 0), "some jitter: {waits:?}");
    let count = u32::try_from(sent.len()).unwrap();
    let timed_out = Outcome::TimedOut { broadcaster: server(0), sent: count };
    assert_eq!(rig.told(), [ClientEvent::Finished { call, outcome: timed_out }]);
    assert_eq!((rig.now, rig.drain()), (20_000, None));
    assert_eq!(rig.client.stats().resent, sent.len() as u64 - 1);
}

#[test]
fn a_cookie_is_answered_at_once_but_not_more_than_three_times_a_call() {
    let mut rig = Rig::new();
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    for cookie in 1..=3 {
        rig.give_cookie(cookie);
    }
    assert_eq!(rig.sent.len(), 4);
    let last = rig.last();
    rig.answer(&last, Reply::Cookie(Cookie::new(9).unwrap()));
    assert_eq!(rig.sent.len(), 4);
    rig.wait(1_500);
    assert_eq!(rig.last().cookie, Cookie::new(9), "with the latest, when it is sent again");
}

#[test]
fn a_cookie_is_kept_for_the_next_call_to_that_broadcaster() {
    let mut rig = Rig::with_several();
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    rig.give_cookie(5);
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    assert_eq!(rig.last().cookie, Cookie::new(5));
    rig.wait(2_500);
    let sent = rig.last();
    assert_eq!((sent.to, sent.cookie), (server(1), None));
}

#[test]
fn an_answer_to_any_of_the_cookies_counts_and_to_no_other() {
    let mut rig = Rig::new();
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    let without = rig.last();
    let first = rig.give_cookie(1);
    rig.give_cookie(2);
    rig.list(&Sent { cookie: Cookie::new(3), ..first.clone() }, &[]);
    assert_eq!((rig.told(), rig.client.stats().forged), (vec![], 1));
    rig.list(&Sent { to: server(1), ..first.clone() }, &[]);
    assert_eq!((rig.told(), rig.client.stats().foreign), (vec![], 1), "not from there");
    rig.list(&Sent { tx: Tx::new(1), ..first.clone() }, &[]);
    assert_eq!((rig.told(), rig.client.stats().unexpected), (vec![], 1));
    rig.list(&first, &[]);
    assert_eq!(rig.outcome(), Outcome::Listed(PoolPage::default()));
    rig.list(&without, &[]);
    assert_eq!((rig.told(), rig.client.stats().unexpected), (vec![], 2), "once");
}

#[test]
fn only_who_was_asked_answers() {
    let mut rig = Rig::with_several();
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    let request = rig.last();
    rig.list(&Sent { to: server(1), ..request.clone() }, &[]);
    assert_eq!((rig.told(), rig.client.stats().forged), (vec![], 1));
    rig.list(&request, &[]);
    assert_eq!(rig.told().len(), 1);
}

#[test]
fn who_has_an_offer_has_an_answer() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    rig.refuse(&request, Refusal::Full);
    rig.answer(&request, Reply::Joined(Joined { handle: Handle(3), ..offer(2) }));
    assert_eq!((rig.told(), rig.client.stats().unexpected), (vec![], 2));
    rig.wait(1_300);
    assert_eq!(rig.last().handle, Some(HANDLE));
}

#[test]
fn several_broadcasters_are_asked_in_turn_and_a_late_answer_of_any_counts() {
    let mut rig = Rig::with_several();
    rig.client.create(rig.time(), &PoolSpec::default(), b"").unwrap();
    rig.go(7_900);
    let sent = rig.take_sent();
    for (number, from) in [(0, 0), (1, 2_000), (2, 4_000), (0, 6_000)] {
        let of = |sent: &&Sent| (from..from + 2_000).contains(&sent.at);
        assert!(sent.iter().filter(of).count() >= 3, "each as often as one alone");
        assert!(sent.iter().filter(of).all(|sent| sent.to == server(number)), "{number}: {sent:?}");
    }
    let late = sent.iter().find(|sent| sent.to == server(1)).unwrap();
    rig.answer(late, Reply::Joined(offer(1)));
    assert_eq!((rig.last().text.as_str(), rig.last().to), ("ping", server(1)));
}

#[test]
fn a_cookie_is_an_answer_so_the_next_broadcaster_waits() {
    let mut rig = Rig::with_several();
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    rig.wait(1_900);
    rig.give_cookie(1);
    rig.wait(1_900);
    assert_eq!(rig.last().to, server(0));
    rig.wait(200);
    assert_eq!(rig.last().to, server(1));
}

#[test]
fn a_spec_without_broadcasters_gets_those_of_the_client_if_they_are_several() {
    let sent = |rig: &mut Rig| {
        let Output::Transmit(sent) = rig.client.poll_output() else { panic!() };
        let FromClient::Request(request) = FromClient::read(&sent.payload).unwrap() else { panic!() };
        let Call::Create { spec, .. } = request.call else { panic!() };
        spec.broadcasters().map(Address::get).collect::<Vec<_>>()
    };
    let named = |rig: &mut Rig, spec: &PoolSpec| {
        rig.client.create(rig.time(), spec, b"").unwrap();
        sent(rig)
    };
    assert_eq!(named(&mut Rig::new(), &PoolSpec::default()), []);
    let several = [server(0), server(1), server(2)];
    assert_eq!(named(&mut Rig::with_several(), &PoolSpec::default()), several);
    let own = PoolSpec::default().with_broadcasters(&[Address::new(server(9)).unwrap()]).unwrap();
    assert_eq!(named(&mut Rig::with_several(), &own), [server(9)]);
    let mut rig = Rig::with_several();
    let list = rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    rig.wait(2_100);
    let second = rig.last();
    rig.list(&second, &[]);
    rig.client.cancel(list);
    assert_eq!(named(&mut rig, &PoolSpec::default()), [server(1), server(2), server(0)], "where it begins");
    rig.now += 2_000;
    let now = rig.time();
    rig.client.handle_timeout(now);
    assert_eq!(sent(&mut rig), [server(2), server(0), server(1)], "and where it goes on");
    let mut four = Rig::with(|config| config.broadcasters = (0..9).map(server).collect());
    assert_eq!(named(&mut four, &PoolSpec::default()).len(), 4);
}

#[test]
fn who_is_refused_by_a_wait_asks_again_after_it_and_not_before() {
    for refusal in [Refusal::Busy { wait: 2_000 }, Refusal::Recovering { wait: 2_000 }] {
        let mut rig = Rig::with_several();
        rig.client.join(rig.time(), Door::Id(id()), b"").unwrap();
        let request = rig.last();
        rig.refuse(&request, refusal);
        rig.sent.clear();
        rig.wait(1_500);
        rig.refuse(&request, Refusal::Busy { wait: 9_000 });
        rig.go(1_999);
        assert_eq!(rig.take_sent(), [], "neither here nor elsewhere");
        rig.go(4_001);
        let again = rig.take_sent();
        assert!(!again.is_empty() && again[0].to == server(0) && again[0].at > 2_000, "{again:?}");
        rig.refuse(&request, Refusal::Busy { wait: 9_000 });
        assert_eq!(rig.outcome(), Outcome::Refused(wire::Refusal::Native(Refusal::Busy { wait: 9_000 })));
    }
}

#[test]
fn no_wait_of_a_refusal_is_shorter_than_250_ms_and_it_is_told_if_nothing_else_comes() {
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"").unwrap();
    let request = rig.take_sent().remove(0);
    let refusal = Refusal::Recovering { wait: 0 };
    while rig.now < 7_900 {
        rig.refuse(&request, refusal);
        rig.wait(249);
        assert!(rig.sent.len() <= 1);
        rig.sent.clear();
        rig.wait(260);
    }
    rig.wait(1_000);
    rig.told();
    let mut rig = Rig::new();
    rig.client.join(rig.time(), Door::Id(id()), b"").unwrap();
    rig.go(7_000);
    let request = rig.last();
    rig.refuse(&request, Refusal::Busy { wait: 400 });
    rig.go(8_000);
    let outcome = rig.outcome();
    assert!(
        matches!(outcome, Outcome::TimedOut { .. } | Outcome::Refused(wire::Refusal::Native(_))),
        "{outcome:?}"
    );
}

#[test]
fn any_other_refusal_is_the_outcome() {
    for refusal in [Refusal::Full, Refusal::NoSuchPool, Refusal::Stale, Refusal::BadTicket] {
        let mut rig = Rig::new();
        rig.client.join_by(PoolCode::new(7).unwrap());
        let request = rig.last();
        assert_eq!(request.text, "join by code");
        rig.refuse(&request, refusal);
        assert_eq!(rig.outcome(), Outcome::Refused(wire::Refusal::Native(refusal)));
        assert_eq!(rig.drain(), None);
    }
}

#[test]
fn only_what_was_asked_for_is_an_answer() {
    let mut rig = Rig::new();
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    let list = rig.last();
    rig.answer(&list, Reply::Joined(offer(1)));
    rig.client.join(rig.time(), Door::Id(id()), b"").unwrap();
    let join = rig.last();
    rig.answer(&join, Reply::Joined(Joined { pool: PoolUuid::new([1; 16]), ..offer(1) }));
    let other = Application::named("other").unwrap();
    rig.answer(&join, Reply::Joined(Joined { application: other, ..offer(1) }));
    rig.list(&join, &[]);
    assert_eq!((rig.told(), rig.client.stats().unexpected), (vec![], 4));
    assert!(rig.sent.iter().all(|sent| sent.handle.is_none()), "no offer is taken");
}

#[test]
fn a_list_is_asked_for_and_told_with_all_that_is_in_it() {
    let mut rig = Rig::new();
    let filter = ListFilter {
        prefix: "du".into(),
        free: 3,
        classic: true,
        after: Some(Cursor(PoolUuid::new([3; 16]))),
    };
    rig.client.list(rig.time(), &filter).unwrap();
    let Output::Transmit(sent) = rig.client.poll_output() else { panic!() };
    let FromClient::Request(request) = FromClient::read(&sent.payload).unwrap() else { panic!() };
    let (after, prefix) = (PoolUuid::new([3; 16]), Name::new("du").unwrap());
    assert_eq!(request.call, Call::List { application: None, after, free: 3, prefix });
    let mut out = BytesMut::new();
    let mut writer = PoolsWriter::new(&mut out, request.tx);
    assert!(writer.push(&Listing { pool: PoolUuid::new([4; 16]), listed: None }));
    writer.finish(&request.key(), Some(PoolUuid::new([9; 16])));
    rig.hear(server(0), &out);
    let Outcome::Listed(page) = rig.outcome() else { panic!() };
    assert_eq!(page.ids().collect::<Vec<_>>(), [PoolId::from(PoolUuid::new([4; 16]))]);
    assert_eq!(page.next, Some(Cursor(PoolUuid::new([9; 16]))));
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    let Output::Transmit(sent) = rig.client.poll_output() else { panic!() };
    let FromClient::Request(request) = FromClient::read(&sent.payload).unwrap() else { panic!() };
    let Call::List { application, after, .. } = request.call else { panic!() };
    assert_eq!((application, after), (Some(Application::POOLMESH), PoolUuid::NIL));
}

#[test]
fn a_cancelled_call_is_neither_sent_again_nor_answered() {
    let mut rig = Rig::new();
    let call = rig.client.create(rig.time(), &PoolSpec::default(), b"").unwrap();
    let request = rig.last();
    rig.client.cancel(call);
    rig.sent.clear();
    rig.answer(&request, Reply::Joined(offer(1)));
    rig.wait(10_000);
    assert_eq!((rig.take_sent(), rig.told(), rig.drain()), (vec![], vec![], None));
}

impl NativeClient {
    fn join_by(&mut self, code: PoolCode) {
        self.join(Instant::ZERO, Door::Code(code), b"").unwrap();
    }
}

#[test]
fn a_create_that_has_come_to_nothing_makes_another_pool_once() {
    let mut rig = Rig::new();
    rig.client.create(rig.time(), &PoolSpec::default(), b"").unwrap();
    let first = rig.give_cookie(5);
    rig.answer(&first, Reply::Refused(Refusal::Stale));
    assert_eq!((rig.last(), rig.news().len()), (first.clone(), 0), "in its own time");
    rig.wait(1_000);
    let second = rig.last();
    assert_eq!((second.text.as_str(), second.cookie), ("create", Cookie::new(5)));
    assert_ne!(second.tx, first.tx);
    rig.answer(&second, Reply::Refused(Refusal::Stale));
    assert_eq!(rig.news(), ["refused: that is over: join or create anew"]);
}
