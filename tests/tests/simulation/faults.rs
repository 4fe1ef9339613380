//! Each fault that the simulator offers does what it says: a fault that does nothing would prove nothing.

use std::time::Duration;

use poolmesh_proto::wire::Refusal;
use poolmesh_proto::{BroadcasterConfig, CloseReason, Fault, Outcome, SendError};
use poolmesh_testkit::sim::{App, AppEvent, Context, Lateness, MILLION, PeerConfig, State, World};

use crate::lobby::{Plain, SECOND, host, join, pair, peer, world};

#[test]
fn what_is_lost_is_asked_for_again_until_time_is_up() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    world.weather().loss = MILLION;
    world.with(ann, |_, context| context.list()).unwrap().unwrap();
    world.run_for(SECOND * 6).unwrap();
    assert!(matches!(world.app(ann).unwrap().outcomes[..], [Outcome::TimedOut { sent: 5, .. }]));
    assert_eq!(world.stats().lost, 5);
}

#[test]
fn a_burst_loses_most_for_a_while() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    host(&mut world, ann);
    world.weather().burst = 100_000;
    world.weather().burst_length = SECOND;
    let before = world.stats();
    world.run_for(SECOND * 60).unwrap();
    let (sent, lost) = (world.stats().datagrams - before.datagrams, world.stats().lost - before.lost);
    assert!(lost > sent / 5, "{lost} of {sent}");
}

#[test]
fn copies_at_once_and_old_ones_later_are_no_news() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    let weather = world.weather();
    (weather.duplicate, weather.replay, weather.replay_after) = (MILLION, MILLION, SECOND * 30);
    host(&mut world, ann);
    world.run_for(SECOND * 60).unwrap();
    assert!(world.stats().repeated > 500);
    assert_eq!(world.app(ann).unwrap().outcomes.len(), 1);
    // The request's copies have made pools, which nobody pinged: no more than one is left.
    world.run_for(SECOND * 300).unwrap();
    assert_eq!(world.broadcaster_stats(broadcaster).unwrap().1, 1);
}

#[test]
fn datagrams_overtake_each_other() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    let pool = host(&mut world, ann);
    world.weather().spread = SECOND / 2;
    for _ in 0..5 {
        let made = world.with(ann, |_, context| (context.list(), context.join(pool))).unwrap();
        assert!(made.0.is_ok() && made.1.is_ok());
    }
    world.run_for(SECOND * 5).unwrap();
    let kinds: Vec<bool> = world
        .app(ann)
        .unwrap()
        .outcomes
        .iter()
        .skip(1)
        .map(|outcome| matches!(outcome, Outcome::Listed(_)))
        .collect();
    assert_eq!(kinds.len(), 10);
    assert!(kinds.chunks(2).any(|pair| pair != [true, false]), "all came in the order they were sent in");
}

#[test]
fn what_is_changed_on_its_way_is_refused_or_ignored() {
    let (mut world, broadcaster) = world(3);
    let ann = peer(&mut world, broadcaster);
    world.weather().corrupt = 300_000;
    world.weather().truncate = 300_000;
    for _ in 0..50 {
        world.with(ann, |_, context| context.list()).unwrap().unwrap();
        world.run_for(SECOND * 6).unwrap();
    }
    assert!(world.stats().changed > 50);
    assert!(world.broadcaster_stats(broadcaster).unwrap().0.refused_malformed > 10);
    assert_eq!(world.app(ann).unwrap().outcomes.len(), 50);
}

#[test]
fn one_direction_can_be_blocked() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    world.block(broadcaster, ann, true);
    world.with(ann, |_, context| context.create()).unwrap().unwrap();
    world.run_for(SECOND / 2).unwrap();
    assert_eq!(world.broadcaster_stats(broadcaster).unwrap().1, 1, "the request arrived");
    assert!(world.app(ann).unwrap().outcomes.is_empty(), "the answer did not");
}

#[test]
fn who_is_cut_off_loses_the_pool_and_keeps_the_link() {
    let (mut world, broadcaster, [ann, bob]) = pair(1);
    world.isolate(&[ann]);
    world.run_for(SECOND * 10).unwrap();
    assert_eq!(world.broadcaster_stats(broadcaster).unwrap().1, 0);
    world.with(bob, |_, context| context.send_to_all("e", vec![1])).unwrap();
    world.run_for(SECOND * 10).unwrap();
    assert_eq!(world.app(ann).unwrap().received, 0);
    world.heal();
    world.run_for(SECOND * 15).unwrap();
    let app = world.app(ann).unwrap();
    assert_eq!((app.received, app.ended, app.gone.len()), (1, 1, 0));
}

#[test]
fn a_system_gives_up_when_nobody_answers() {
    let (mut world, _, [ann, bob]) = pair(1);
    world.weather().streams.give_up = SECOND * 20;
    world.crash(ann, true);
    world.run_for(SECOND * 100).unwrap();
    assert_eq!(world.honest_links(bob).len(), 1, "half-open: nobody has said a word");
    world.with(bob, |_, context| context.send_to_all("e", vec![1])).unwrap();
    world.run_for(SECOND * 40).unwrap();
    assert_eq!(world.app(bob).unwrap().gone, [CloseReason::Failed(Fault::TimedOut)]);
}

#[test]
fn a_crash_is_told_by_the_system_and_a_restart_knows_nothing() {
    let (mut world, broadcaster, [ann, bob]) = pair(1);
    world.crash(ann, false);
    assert_eq!(world.state(ann), Some(State::Crashed));
    world.run_for(SECOND).unwrap();
    assert_eq!(world.app(bob).unwrap().gone, [CloseReason::Remote]);
    let address = world.address(ann).unwrap();
    world.with(bob, |_, context| context.connect(vec![address])).unwrap().unwrap();
    world.run_for(SECOND * 10).unwrap();
    assert_eq!(world.app(bob).unwrap().unreachable, 1, "refused");
    world.restart(ann, Plain::default(), broadcaster, PeerConfig::classic());
    assert_eq!(world.honest_links(ann), []);
    host(&mut world, ann);
}

#[test]
fn a_frozen_program_goes_on_with_what_came_meanwhile() {
    let (mut world, broadcaster, [ann, bob]) = pair(1);
    world.freeze(ann, false);
    world.with(bob, |_, context| context.send_to_all("e", vec![1])).unwrap();
    world.run_for(SECOND * 30).unwrap();
    assert_eq!(world.app(ann).unwrap().received, 0);
    assert_eq!(world.broadcaster_stats(broadcaster).unwrap().1, 0, "it did not ping");
    world.thaw(ann);
    world.run_for(SECOND).unwrap();
    assert_eq!((world.app(ann).unwrap().received, world.app(ann).unwrap().ended), (1, 1));
}

#[test]
fn clocks_drift_and_jump() {
    let pings = |change: fn(&mut World<Plain>, poolmesh_testkit::sim::NodeId)| {
        let (mut world, broadcaster) = world(1);
        let ann = peer(&mut world, broadcaster);
        host(&mut world, ann);
        change(&mut world, ann);
        let before = world.broadcaster_stats(broadcaster).unwrap().0.pings;
        world.run_for(SECOND * 100).unwrap();
        world.broadcaster_stats(broadcaster).unwrap().0.pings - before
    };
    assert_eq!(pings(|_, _| {}), 500);
    assert!((549..=551).contains(&pings(|world, ann| world.drift(ann, 100_000))));
    assert!(pings(|world, ann| world.jump(ann, 3_600_000_000)) <= 501, "no burst after a stall");
    assert_eq!(pings(|world, ann| world.jump(ann, -10_000_000)), 0, "it stands still, and its pool ends");
}

#[test]
fn a_late_loop_is_late() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    host(&mut world, ann);
    let before = world.broadcaster_stats(broadcaster).unwrap().0.pings;
    *world.lateness(ann).unwrap() = Lateness {
        late_timeout: MILLION,
        late_by: SECOND / 10,
        late_drain: 100_000,
        early_timeout: 0,
        double_timeout: 500_000,
    };
    world.run_for(SECOND * 10).unwrap();
    let pings = world.broadcaster_stats(broadcaster).unwrap().0.pings - before;
    assert!((15..45).contains(&pings), "{pings} of 50");
}

#[test]
fn a_slow_reader_stops_its_sender() {
    let (mut world, _, [ann, bob]) = pair(1);
    let streams = &mut world.weather().streams;
    (streams.pause, streams.pause_length, streams.buffer) = (MILLION, SECOND * 60, 10_000);
    let send = |world: &mut World<Plain>| {
        world
            .with(bob, |_, context| {
                let peer = context.peers()[0].0;
                let sent = (0..2_000).take_while(|_| context.send(peer, "e", vec![0; 1_000]).is_ok()).count();
                (sent, context.send(peer, "e", vec![0; 1_000]))
            })
            .unwrap()
    };
    let (sent, refused) = send(&mut world);
    assert_eq!(refused, Err(SendError::Full));
    world.run_for(SECOND * 5).unwrap();
    assert!(world.app(ann).unwrap().received < sent / 2);
    *world.weather() = poolmesh_testkit::sim::Weather::calm();
    world.run_for(SECOND * 1_200).unwrap();
    assert_eq!(world.app(ann).unwrap().received, sent);
    assert_eq!(world.app(bob).unwrap().writable, 1);
}

#[test]
fn bandwidth_takes_its_time() {
    let (mut world, _, [ann, bob]) = pair(1);
    let streams = &mut world.weather().streams;
    (streams.bandwidth, streams.max_piece) = (10_000, 100);
    world.with(bob, |_, context| context.send_to_all("e", vec![0; 100_000])).unwrap();
    world.run_for(SECOND * 9).unwrap();
    assert_eq!(world.app(ann).unwrap().received, 0);
    world.run_for(SECOND * 2).unwrap();
    assert_eq!(world.app(ann).unwrap().received, 1);
}

#[test]
fn streams_are_cut_and_spoiled() {
    let (mut world, _, [ann, bob]) = pair(1);
    world.weather().streams.cut = MILLION;
    world.with(bob, |_, context| context.send_to_all("e", vec![0; 1_000])).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(world.app(ann).unwrap().gone, [CloseReason::Failed(Fault::Reset)]);
    assert_eq!(world.app(bob).unwrap().gone, [CloseReason::Failed(Fault::Reset)]);
    assert_eq!(world.app(ann).unwrap().received, 0);

    let (mut world, _, [ann, bob]) = pair(2);
    world.weather().streams.corrupt = MILLION;
    for _ in 0..50 {
        world.with(bob, |_, context| context.send_to_all("e", vec![0; 10])).unwrap();
        world.run_for(SECOND).unwrap();
    }
    let app = world.app(ann).unwrap();
    assert!(app.received < 50 || !app.gone.is_empty(), "lengths were spoiled, too: {app:?}");
}

#[test]
fn a_broadcaster_that_restarts_has_forgotten_and_says_so() {
    let (mut world, broadcaster, [ann, bob]) = pair(1);
    world.restart_broadcaster(broadcaster, BroadcasterConfig::default().with_classic());
    world.run_for(SECOND).unwrap();
    assert_eq!(world.app(ann).unwrap().ended, 1);
    assert_eq!(world.honest_links(bob), [ann], "links don't depend on it");
    let pool = host(&mut world, ann);
    join(&mut world, bob, pool);
    assert_eq!(world.app(bob).unwrap().linked, 1, "the link that stands is the link");
}

#[test]
fn who_leaves_in_order_is_gone_and_so_is_the_pool() {
    let (mut world, broadcaster, [ann, bob]) = pair(1);
    let pool = world.app(ann).unwrap().pool.as_ref().unwrap().id();
    world.with(ann, |_, context| context.close()).unwrap();
    world.run_for(SECOND * 2).unwrap();
    assert_eq!(world.app(bob).unwrap().gone, [CloseReason::Remote]);
    assert_eq!((world.honest_links(ann), world.honest_links(bob)), (vec![], vec![]));
    assert_eq!(world.broadcaster_stats(broadcaster).unwrap().1, 0);
    let carl = peer(&mut world, broadcaster);
    join(&mut world, carl, pool);
    assert!(matches!(world.app(carl).unwrap().outcomes[..], [Outcome::Refused(Refusal::NoSuchPool(_))]));
}

#[test]
fn what_does_not_hold_stops_the_world() {
    let (mut world, _) = world(1);
    world.fail("X1: made up");
    let violation = world.run_for(Duration::from_secs(1)).unwrap_err();
    assert_eq!(violation.to_string(), "seed 1 at 0ns: X1: made up");
}

#[test]
fn a_program_that_never_rests_and_misuse_are_told() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    world.with(ann, |_, context| context.fail("X2: mine")).unwrap();
    assert_eq!(world.run_for(SECOND).unwrap_err().what, "X2: mine (n1)");

    let (mut other, broadcaster) = crate::lobby::world(2);
    let bob = peer(&mut other, broadcaster);
    other.crash(ann, false);
    assert!(other.run_for(SECOND).is_ok(), "there is a node of that number");
    peer(&mut other, bob);
    assert_eq!(other.run_for(SECOND).unwrap_err().what, "misuse: n1 is no broadcaster");
}

type Act = fn(&mut Context<'_>);

/// At every event it does something that has another follow at once.
#[derive(Debug)]
struct Restless(Act);

impl App for Restless {
    fn handle(&mut self, _: AppEvent, context: &mut Context<'_>) {
        (self.0)(context);
    }
}

#[test]
fn a_program_that_comes_to_no_rest_is_told_of() {
    let restless = "D3: the machines of n1, or its program";
    let acts: [(Act, &str); 4] = [
        (|context| context.wake_after(Duration::ZERO, 0), restless),
        (|context| _ = context.connect(Vec::new()), restless),
        (|context| _ = context.listen(([0, 0, 0, 0], 0).into()), restless),
        (
            |context| {
                context.fail("mine");
                _ = context.connect(Vec::new());
            },
            "mine",
        ),
    ];
    for (act, what) in acts {
        let mut world = World::new(3);
        let broadcaster = world.broadcaster(BroadcasterConfig::default().with_classic());
        world.peer(Restless(act), broadcaster, PeerConfig::classic());
        let violation = world.run_for(SECOND).unwrap_err().what;
        assert!(violation.starts_with(what), "{violation}");
    }
}

#[test]
fn a_world_runs_until_something_holds() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    world.with(ann, |_, context| context.create()).unwrap().unwrap();
    assert_eq!(world.run_until(SECOND, |world| world.app(ann).unwrap().pool.is_some()), Ok(true));
    assert!(world.now() < SECOND / 10);
    assert_eq!(world.run_until(SECOND, |world| world.app(ann).unwrap().linked > 0), Ok(false));
}
