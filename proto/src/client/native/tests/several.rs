//! A client of several broadcasters: whom it asks first, and whom when one doesn't have the pool.

use super::*;

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(wire::Refusal::Native(refusal))
}

/// Asks for a pool by one door or the other.
fn join(rig: &mut Rig, door: Door) -> Sent {
    let now = rig.time();
    rig.client.join(now, door, b"").unwrap();
    rig.last()
}

const DOORS: [fn() -> Door; 2] = [|| Door::Id(id()), || Door::Code(PoolCode::new(7).unwrap())];

#[test]
fn a_pool_that_one_does_not_have_is_asked_for_at_the_others_once_each() {
    for door in DOORS {
        let mut rig = Rig::with_several();
        for number in 0..3 {
            let request = if number == 0 { join(&mut rig, door()) } else { rig.last() };
            assert_eq!((request.to, rig.told()), (server(number), vec![]));
            rig.refuse(&request, Refusal::NoSuchPool);
        }
        assert_eq!((rig.sent.len(), rig.outcome()), (3, refused(Refusal::NoSuchPool)));
        assert_eq!(rig.drain(), None);
    }
}

#[test]
fn a_pool_that_another_has_is_joined_there() {
    let mut rig = Rig::with_several();
    let first = join(&mut rig, Door::Id(id()));
    rig.refuse(&first, Refusal::NoSuchPool);
    rig.refuse(&first, Refusal::NoSuchPool);
    assert_eq!(rig.sent.len(), 2, "who says so twice is not two");
    let second = rig.last();
    assert_eq!((second.to, second.tx), (server(1), first.tx));
    rig.answer(&second, Reply::Joined(offer(1)));
    rig.roster(&pool(&[(1, "me")]));
    assert!(matches!(rig.outcome(), Outcome::Joined(_)));
    assert_eq!(rig.membership().broadcaster(), server(1));
}

#[test]
fn who_is_silent_after_one_has_said_no_is_asked_once() {
    let mut rig = Rig::with_several();
    let first = join(&mut rig, Door::Id(id()));
    rig.refuse(&first, Refusal::NoSuchPool);
    rig.wait(2_100);
    assert_eq!(rig.last().to, server(2));
    rig.wait(1_800);
    assert_eq!(rig.told(), []);
    rig.wait(200);
    assert_eq!(rig.outcome(), refused(Refusal::NoSuchPool));
    assert!(rig.sent.iter().skip(1).all(|sent| sent.to != server(0)));
}

#[test]
fn who_was_silent_before_one_has_said_no_is_not_asked_again_and_may_say_so_late() {
    let mut rig = Rig::with_several();
    let first = join(&mut rig, Door::Id(id()));
    rig.wait(2_100);
    rig.refuse(&first, Refusal::NoSuchPool);
    assert_eq!((rig.last().to, rig.told()), (server(1), vec![]), "its turn goes on");
    let second = rig.last();
    rig.refuse(&second, Refusal::NoSuchPool);
    let third = rig.last();
    assert_eq!(third.to, server(2));
    rig.refuse(&third, Refusal::NoSuchPool);
    assert_eq!(rig.outcome(), refused(Refusal::NoSuchPool));
}

/// Is offered a place by the first broadcaster, which is void, and turns to the second: that doesn't have the pool. Answers what
/// is asked then.
fn offered_in_vain(rig: &mut Rig) -> Sent {
    let first = join(rig, Door::Id(id()));
    rig.answer(&first, Reply::Joined(offer(1)));
    rig.unknown();
    while rig.last().to == server(0) {
        rig.wait(50);
    }
    let second = rig.last();
    assert_eq!((second.text.as_str(), second.to), ("join", server(1)));
    rig.refuse(&second, Refusal::NoSuchPool);
    rig.last()
}

#[test]
fn who_has_offered_a_place_is_asked_again_before_there_is_no_such_pool() {
    for says in [None, Some(Refusal::NoSuchPool), Some(Refusal::Full)] {
        let mut rig = Rig::with(|config| config.broadcasters = vec![server(1)]);
        let again = offered_in_vain(&mut rig);
        assert_eq!((again.text.as_str(), again.to, rig.told()), ("join", server(0), vec![]));
        match says {
            Some(refusal) => rig.refuse(&again, refusal),
            None => rig.wait(2_100),
        }
        assert_eq!(rig.outcome(), refused(says.unwrap_or(Refusal::NoSuchPool)), "once");
    }
    let mut rig = Rig::with(|config| config.broadcasters = vec![server(1)]);
    let again = offered_in_vain(&mut rig);
    rig.answer(&again, Reply::Joined(Joined { session: Session(2), ..offer(2) }));
    rig.roster(&pool(&[(2, "me")]));
    assert!(matches!(rig.outcome(), Outcome::Joined(_)));
}

#[test]
fn who_has_offered_a_place_and_says_then_that_there_is_no_such_pool_has_said_so() {
    let mut rig = Rig::with(|config| config.broadcasters = vec![server(1)]);
    let first = join(&mut rig, Door::Id(id()));
    rig.answer(&first, Reply::Joined(offer(1)));
    rig.unknown();
    let again = rig.until("join");
    rig.refuse(&again, Refusal::NoSuchPool);
    let second = rig.last();
    assert_eq!(second.to, server(1));
    rig.refuse(&second, Refusal::NoSuchPool);
    assert_eq!(rig.outcome(), refused(Refusal::NoSuchPool));
}

#[test]
fn what_another_says_of_the_pool_is_the_outcome() {
    let mut rig = Rig::with_several();
    let first = join(&mut rig, Door::Id(id()));
    rig.refuse(&first, Refusal::NoSuchPool);
    let second = rig.last();
    rig.refuse(&second, Refusal::Full);
    assert_eq!(rig.outcome(), refused(Refusal::Full));
}

#[test]
fn when_the_time_is_over_all_were_asked_or_it_has_timed_out() {
    for (millis, all) in [(2_500, false), (4_500, true)] {
        let mut rig = Rig::with(|config| {
            config.broadcasters = vec![server(1), server(2), server(3)];
            config.call_timeout = Duration::from_millis(millis);
        });
        let first = join(&mut rig, Door::Id(id()));
        rig.refuse(&first, Refusal::NoSuchPool);
        rig.go(millis);
        match rig.outcome() {
            Outcome::TimedOut { broadcaster, .. } => assert!(!all && broadcaster == server(2)),
            outcome => assert!(all && outcome == refused(Refusal::NoSuchPool), "{outcome:?}"),
        }
    }
}

#[test]
fn calls_begin_where_one_was_answered_last() {
    let mut rig = Rig::with_several();
    let now = rig.time();
    rig.client.list(now, &ListFilter::default()).unwrap();
    rig.wait(2_100);
    let second = rig.last();
    rig.list(&second, &[]);
    rig.told();
    let now = rig.time();
    rig.client.create(now, &PoolSpec::default(), b"").unwrap();
    assert_eq!((rig.last().text.as_str(), rig.last().to), ("create", server(1)));
    let mut asked = Vec::new();
    for _ in 0..3 {
        rig.wait(2_000);
        asked.push(rig.last().to);
    }
    assert_eq!(asked, [server(2), server(0), server(1)], "behind the last the first");
    let request = join(&mut rig, Door::Code(PoolCode::new(9).unwrap()));
    assert_eq!(request.to, server(1), "nobody else has answered");
    rig.refuse(&request, Refusal::NoSuchPool);
    let others: Vec<_> = [(); 2]
        .iter()
        .map(|()| {
            let last = rig.last();
            rig.refuse(&last, Refusal::NoSuchPool);
            last.to
        })
        .collect();
    assert_eq!(others, [server(2), server(0)]);
    assert_eq!(rig.outcome(), refused(Refusal::NoSuchPool));
}

#[test]
fn calls_begin_where_a_member_has_found_its_pool() {
    let now = Pool {
        spec: PoolSpec::default()
            .with_broadcasters(&[Address::new(server(0)).unwrap(), Address::new(server(1)).unwrap()])
            .unwrap(),
        ..pool(&[(2, "me")])
    };
    let mut rig = Rig::with_several();
    rig.join(2, &now);
    let probe = rig.until("probe");
    assert_eq!(probe.to, server(1));
    rig.answer(&probe, Reply::Cookie(Cookie::new(6).unwrap()));
    let time = rig.time();
    rig.client.list(time, &ListFilter::default()).unwrap();
    assert_eq!((rig.last().text.as_str(), rig.last().to), ("list", server(1)));
}

#[test]
fn who_was_asked_before_has_nobody_wait_for_the_one_that_is_asked_now() {
    let mut rig = Rig::with_several();
    rig.client.join(rig.time(), Door::Id(id()), b"me").unwrap();
    let first = rig.last();
    while rig.last().to == first.to {
        rig.wait(50);
    }
    rig.refuse(&first, Refusal::Busy { wait: 5_000 });
    rig.sent.clear();
    rig.wait(600);
    let sent = rig.take_sent();
    assert!(!sent.is_empty() && sent.iter().all(|sent| sent.to == server(1)));
}
