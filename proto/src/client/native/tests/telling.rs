//! What an application is told, and is not any more, when it cancels a call whose outcome waits to be polled.

use super::*;

/// Asks for the pool, by whose members it is known already: the outcome waits to be polled at once.
fn join_again(rig: &mut Rig) -> CallId {
    rig.idle = true;
    let now = rig.time();
    rig.client.join(now, Door::Id(id()), b"me").unwrap()
}

/// Has come into the pool by a call, which nobody has polled.
fn entered(rig: &mut Rig, pool: &Pool) -> CallId {
    let now = rig.time();
    let call = rig.client.join(now, Door::Id(id()), b"me").unwrap();
    let request = rig.give_cookie(5);
    rig.answer(&request, Reply::Joined(offer(2)));
    let ping = rig.last();
    rig.idle = true;
    rig.page_at(&ping, pool, None, &pool.members, false);
    call
}

fn three() -> Pool {
    Pool { number: 2, ..pool(&[(1, "a"), (2, "me"), (3, "c")]) }
}

fn two() -> Pool {
    pool(&[(1, "a"), (2, "me")])
}

/// Polls the next event, and nothing behind it.
fn poll_one(rig: &mut Rig) -> String {
    loop {
        match rig.client.poll_output() {
            Output::Transmit(_) => {}
            Output::Event(event) => return short(&event),
            Output::Wait(_) => panic!("nothing is told"),
        }
    }
}

#[test]
fn the_end_of_a_pool_that_was_known_is_told() {
    let mut rig = Rig::joined_as(2, &two());
    let again = join_again(&mut rig);
    rig.notice(server(0), HANDLE, News::Ended(EndReason::Kicked));
    rig.client.cancel(again);
    rig.idle = false;
    assert_eq!(rig.news(), ["ended: Kicked"]);
    // It is known by what is polled when the pool is over already.
    let mut rig = Rig::new();
    entered(&mut rig, &two());
    let again = join_again(&mut rig);
    rig.notice(server(0), HANDLE, News::Ended(EndReason::Kicked));
    assert_eq!(poll_one(&mut rig), "joined");
    rig.client.cancel(again);
    rig.idle = false;
    assert_eq!(rig.news(), ["ended: Kicked"]);
}

#[test]
fn the_end_of_a_pool_that_is_not_told_of_is_not_told() {
    let mut rig = Rig::new();
    let call = entered(&mut rig, &two());
    rig.changed(&three(), &[Change::Joined(Pool::entry(3, "c"))]);
    rig.notice(server(0), HANDLE, News::Ended(EndReason::Kicked));
    rig.client.cancel(call);
    rig.idle = false;
    assert_eq!((rig.news(), rig.drain()), (vec![], None));
}

#[test]
fn who_is_in_a_pool_anew_and_cancels_that_leaves_it_and_has_the_end_of_what_was_before() {
    for polled in [0, 1, 2] {
        let mut rig = Rig::new();
        let now = rig.time();
        rig.client.join(now, Door::Id(id()), b"me").unwrap();
        let first = rig.give_cookie(5);
        rig.answer(&first, Reply::Joined(offer(2)));
        rig.roster(&two());
        rig.told();
        join_again(&mut rig);
        rig.notice(server(0), HANDLE, News::Ended(EndReason::Kicked));
        let anew = rig.client.join(now, Door::Id(id()), b"me").unwrap();
        let tx = rig.client.core.with_request(anew, |_, request| request.asking.tx());
        let request = Sent { tx, ..first };
        rig.answer(&request, Reply::Joined(Joined { session: Session(4), ..offer(3) }));
        let now = Pool { number: 3, ..pool(&[(1, "a"), (3, "me")]) };
        let ping = Sent { tx: None, handle: Some(HANDLE), count: 1, ..request };
        rig.page_at(&ping, &now, None, &now.members, false);
        let told: Vec<_> = (0..polled).map(|_| poll_one(&mut rig)).collect();
        rig.client.cancel(anew);
        rig.idle = false;
        assert_eq!([told, rig.news()].concat(), ["joined", "ended: Kicked"]);
        assert_eq!(rig.client.memberships().count(), 0);
        assert_eq!(rig.said().iter().filter(|said| *said == "leave").count(), 2);
    }
}

#[test]
fn who_has_left_a_pool_before_it_was_told_of_it_knows_nothing_of_it() {
    let mut rig = Rig::new();
    entered(&mut rig, &two());
    assert!(rig.client.release(id()));
    rig.idle = false;
    assert_eq!(rig.news(), ["joined"]);
    let call = entered(&mut rig, &two());
    rig.client.cancel(call);
    rig.idle = false;
    assert_eq!((rig.news(), rig.client.memberships().count()), (vec![], 0));
}

#[test]
fn events_between_two_outcomes_go_with_the_first_one() {
    let mut rig = Rig::with(|config| config.max_events = 1);
    let first = entered(&mut rig, &pool(&[(1, "a"), (2, "me")]));
    rig.changed(&three(), &[Change::Joined(Pool::entry(3, "c"))]);
    join_again(&mut rig);
    rig.client.cancel(first);
    let four = Pool { number: 3, members: vec![(1, "a"), (2, "me"), (3, "c"), (4, "d")], ..three() };
    rig.changed(&four, &[Change::Joined(Pool::entry(4, "d"))]);
    rig.idle = false;
    let told = rig.told();
    let ClientEvent::Finished { outcome: Outcome::Joined(info), .. } = &told[0] else { panic!("{told:?}") };
    assert_eq!(info.members().len(), 3);
    assert_eq!(told[1..].iter().map(short).collect::<Vec<_>>(), ["+ 4 d"], "and there is room for it");
}

#[test]
fn a_call_that_is_cancelled_behind_its_outcome_leaves_the_pool_that_it_led_into() {
    for ended in [false, true] {
        let mut rig = Rig::new();
        let call = entered(&mut rig, &two());
        assert_eq!(poll_one(&mut rig), "joined");
        rig.changed(&three(), &[Change::Joined(Pool::entry(3, "c"))]);
        if ended {
            rig.notice(server(0), HANDLE, News::Ended(EndReason::Kicked));
        }
        rig.client.cancel(call);
        rig.idle = false;
        assert_eq!((rig.news(), rig.client.memberships().count()), (vec![], 0));
        assert_eq!(rig.said().iter().filter(|said| *said == "leave").count(), if ended { 0 } else { 2 });
    }
}

#[test]
fn a_pool_that_two_calls_led_into_is_not_left_with_one_of_them() {
    for polled in [1, 2] {
        for cancelled in [0, 1] {
            let mut rig = Rig::new();
            let calls = [entered(&mut rig, &two()), join_again(&mut rig)];
            (0..polled).for_each(|_| assert_eq!(poll_one(&mut rig), "joined"));
            rig.client.cancel(calls[cancelled]);
            rig.idle = false;
            let left: &[_] = if (polled, cancelled) == (1, 0) { &["joined"] } else { &[] };
            assert_eq!(rig.news(), left);
            assert_eq!(rig.client.memberships().count(), 1);
        }
    }
}

#[test]
fn a_pool_is_not_left_with_a_call_that_led_into_it_before() {
    let mut rig = Rig::new();
    let before = entered(&mut rig, &two());
    assert_eq!(poll_one(&mut rig), "joined");
    assert!(rig.client.release(id()));
    rig.idle = false;
    entered(&mut rig, &two());
    assert_eq!(poll_one(&mut rig), "joined");
    rig.client.cancel(before);
    assert_eq!(rig.client.memberships().count(), 1);
}
