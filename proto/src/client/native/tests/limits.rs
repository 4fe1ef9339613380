//! What is bounded.

use super::*;

#[test]
fn misuse_is_the_callers_error() {
    let mut rig = Rig::with(|config| (config.max_calls, config.max_pools) = (3, 2));
    let now = rig.time();
    let filter = ListFilter { prefix: "x".repeat(65), ..ListFilter::default() };
    assert_eq!(rig.client.list(now, &filter), Err(CallError::TextTooLong { len: 65, max: 64 }));
    rig.client.create(now, &PoolSpec::default(), b"").unwrap();
    rig.client.join(now, Door::Id(id()), b"").unwrap();
    let full = Err(CallError::TooManyPools { limit: 2 });
    assert_eq!(rig.client.create(now, &PoolSpec::default(), b""), full);
    assert_eq!(rig.client.join(now, Door::Code(PoolCode::new(1).unwrap()), b""), full);
    rig.client.list(now, &ListFilter::default()).unwrap();
    let busy = Err(CallError::TooManyCalls { limit: 3 });
    assert_eq!(rig.client.list(now, &ListFilter::default()), busy);
    rig.drain();
    let later = Instant::ZERO + Duration::from_secs(9);
    rig.client.handle_timeout(later);
    assert_eq!(rig.client.list(later, &ListFilter::default()), busy, "nobody polled the outcomes");
    rig.drain();
    assert!(rig.client.create(later, &PoolSpec::default(), b"").is_ok());
}

#[test]
fn a_pool_counts_from_its_call_until_it_is_left() {
    let mut rig = Rig::with(|config| config.max_pools = 1);
    rig.join(1, &pool(&[(1, "me")]));
    let full = Err(CallError::TooManyPools { limit: 1 });
    assert_eq!(rig.client.create(rig.time(), &PoolSpec::default(), b""), full);
    assert!(rig.client.join(rig.time(), Door::Id(id()), b"").is_ok(), "it is that pool");
    rig.client.release(id());
    assert!(rig.client.create(rig.time(), &PoolSpec::default(), b"").is_ok());
}

#[test]
fn events_that_nobody_polls_are_bounded_and_it_is_said_that_some_are_missing() {
    let mut rig = Rig::with(|config| config.max_events = 3);
    rig.join(1, &pool(&[(1, "me")]));
    let mut now = pool(&[(1, "me")]);
    let time = rig.time();
    for number in 2..=9 {
        now.number = number;
        now.members.push((number, "x"));
        let mut out = BytesMut::new();
        let mut writer = ChangedWriter::new(&mut out, HANDLE, &now.state());
        assert!(writer.push(&Change::Joined(Pool::entry(number, "x"))));
        writer.finish(&KEY);
        rig.client.handle_datagram(time, server(0), &out);
    }
    assert_eq!(rig.membership().members().len(), 9);
    assert_eq!(rig.news(), ["+ 2 x", "+ 3 x", "+ 4 x", "Missed"]);
    assert_eq!(rig.client.stats().events_missed, 5);
    now.number = 10;
    now.members.pop();
    rig.changed(&now, &[Change::Left { member: member(9), reason: LeaveReason::Left }]);
    assert_eq!(rig.news(), ["- 9 Left"]);
    for number in 11..=20 {
        now.number = number;
        let mut out = BytesMut::new();
        let mut writer = ChangedWriter::new(&mut out, HANDLE, &now.state());
        assert!(writer.push(&Change::About { member: member(1), about: About::default() }));
        writer.finish(&KEY);
        rig.client.handle_datagram(time, server(0), &out);
    }
    assert_eq!(rig.news(), ["about 1", "about 1", "about 1", "Missed"], "it is said again");
}

#[test]
fn no_roster_is_longer_than_a_pool_can_be() {
    let mut rig = Rig::with(|config| config.call_timeout = Duration::from_secs(600));
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let two = pool(&[(1, "me"), (2, "b")]);
    rig.page(&two, None, &two.members, true);
    let mut from = 3;
    while from < 3_000 {
        let ask = rig.until(&format!("ask {from}"));
        let members: Vec<_> = (from..from + 40).map(|number| (number, "")).collect();
        rig.sent.clear();
        rig.page_at(&ask, &two, Some(from), &members, true);
        if rig.sent.iter().any(|sent| sent.text == "ask 0") {
            break;
        }
        let kept = rig.client.places[0].session.as_ref().unwrap().pages.as_ref().unwrap();
        assert!(kept.members.len() <= 1_024);
        from += 40;
    }
    assert_eq!(from, 3 + 25 * 40, "what is too long is begun anew");

    let mut full = pool(&[]);
    (full.host, full.members) = (1, (1..=1_024).map(|number| (number, "")).collect());
    let mut rig = Rig::with(|config| config.call_timeout = Duration::from_secs(600));
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    rig.page(&full, None, &full.members[..40], true);
    for from in (41..=1_024).step_by(40) {
        let ask = rig.until(&format!("ask {from}"));
        let end = (from as usize + 39).min(1_024);
        rig.page_at(&ask, &full, Some(from), &full.members[from as usize - 1..end], end < 1_024);
    }
    rig.told();
    full.number = 2;
    rig.changed(&full, &[Change::Joined(Pool::entry(2_000, "x"))]);
    assert_eq!((rig.news(), rig.membership().members().len()), (vec![], 1_024));
}

#[test]
fn a_large_roster_is_asked_for_without_exceeding_a_members_rate() {
    let mut rig = Rig::with(|config| config.call_timeout = Duration::from_secs(60));
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let request = rig.last();
    rig.answer(&request, Reply::Joined(offer(1)));
    let mut all = pool(&[]);
    all.host = 1;
    all.members = (1..=600).map(|number| (number, "")).collect();
    let (mut at, mut taken) = (0, Vec::new());
    while rig.client.memberships().count() == 0 {
        let asked = rig.last();
        let wanted = if at == 0 { "ping".to_string() } else { format!("ask {}", all.members[at].0) };
        if asked.text == wanted {
            let pages = if at == 0 { 1 } else { PAGES };
            for at_page in (at..600).step_by(4).take(pages) {
                assert_eq!(at_page, at);
                let (from, end) = (all.members[at].0, (at + 4).min(600));
                let members = all.members[at..end].to_vec();
                rig.page_at(&asked, &all, (at > 0).then_some(from), &members, end < 600);
                at = end;
                taken.push(asked.at);
            }
        } else {
            rig.wait(1);
        }
    }
    assert!(taken.windows(65).all(|some| some[64] - some[0] >= 1_000), "64 in a row at most");
    assert!(rig.now > 4_000 && rig.now < 8_000, "{}", rig.now);
    assert_eq!(rig.membership().members().len(), 600);
}

#[test]
fn what_nobody_polls_is_dropped_and_counted() {
    let mut rig = Rig::with(|config| config.max_queued = 2);
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    for millis in [400, 900, 1_700, 2_700] {
        rig.client.handle_timeout(Instant::ZERO + Duration::from_millis(millis));
    }
    assert_eq!(rig.said().len(), 2);
    let stats = rig.client.stats();
    assert_eq!((stats.sent, stats.resent, stats.outputs_dropped), (5, 4, 3));
}

#[test]
fn a_datagram_that_is_too_long_is_spoiled() {
    let mut rig = Rig::with(|config| config.max_datagram = 20);
    rig.client.list(rig.time(), &ListFilter::default()).unwrap();
    rig.hear(server(0), &[0xa1; 21]);
    rig.hear(server(0), &[0xa1; 20]);
    let stats = rig.client.stats();
    assert_eq!((stats.spoiled, stats.forged), (1, 1), "the shorter one was looked at");
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    let run = |seed| {
        let mut rig = Rig::new();
        rig.client = NativeClient::new(ClientConfig::default(), server(0), [seed; 32]);
        rig.client.list(rig.time(), &ListFilter::default()).unwrap();
        rig.go(9_000);
        rig.take_sent()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn time_that_runs_backwards_revives_nothing() {
    let mut rig = Rig::joined_as(1, &pool(&[(1, "me")]));
    rig.client.handle_timeout(Instant::from_micros(100_000_000));
    rig.drain();
    let deadline = rig.drain();
    rig.client.handle_timeout(Instant::ZERO);
    assert_eq!(rig.drain(), deadline);
    rig.client.list(Instant::ZERO, &ListFilter::default()).unwrap();
    assert!(rig.client.core.calls[0].deadline > Instant::from_micros(108_000_000 - 1));
    assert!(deadline.is_some_and(|deadline| deadline > Instant::from_micros(100_000_000)));
}
