//! What a world is told to do, and what it says of itself.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{BroadcasterConfig, Instant};
use poolmesh_testkit::sim::{Actor, App, AppEvent, Context, PeerConfig, State, Wire, World};
use poolmesh_testkit::simulate::{Faults, Keep, Options, Speech, run};
use poolmesh_testkit::trace;

use crate::lobby::{Plain, SECOND, host, peer, world};

#[test]
fn no_time_passes_behind_the_end_of_all_times() {
    let (mut world, broadcaster) = world(1);
    for _ in 0..5 {
        world.run_for(Duration::MAX).unwrap();
    }
    let end = world.now();
    let ann = peer(&mut world, broadcaster);
    world.with(ann, |_, context| context.create()).unwrap().unwrap();
    let weather = world.weather();
    (weather.delay, weather.spread, weather.replay_after) = (Duration::MAX, Duration::MAX, Duration::MAX);
    (weather.replay, weather.duplicate) = (1_000_000, 1_000_000);
    world.with(ann, |_, context| context.list()).unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(world.now(), end);
}

#[test]
fn what_starts_anew_after_a_freeze_has_a_clock_that_runs() {
    let (mut world, broadcaster) = world(1);
    let ann = peer(&mut world, broadcaster);
    world.freeze(ann, true);
    world.run_for(SECOND).unwrap();
    world.restart(ann, Plain::default(), broadcaster, PeerConfig::classic());
    host(&mut world, ann);
    world.run_for(SECOND * 60).unwrap();
    assert_eq!(world.broadcaster_stats(broadcaster).unwrap().1, 1, "it pings");
    world.restart_actor(ann);
    assert_eq!(world.run_for(SECOND).unwrap_err().what, "misuse: n1 is no actor");
}

/// Counts its seconds aloud.
#[derive(Debug)]
struct Clock(Instant, std::net::SocketAddr);

impl Actor for Clock {
    fn deadline(&self) -> Option<Instant> {
        Some(self.0)
    }

    fn wake(&mut self, wire: &mut Wire<'_>) {
        wire.send(self.1, Bytes::from_static(b"tick"));
        self.0 = wire.now() + SECOND;
    }
}

#[test]
fn an_actor_goes_on_that_was_frozen_or_crashed() {
    let (mut world, broadcaster) = world(1);
    let clock = world.actor(Clock(Instant::ZERO, world.address(broadcaster).unwrap()));
    let ticks = |world: &mut World<Plain>| {
        let before = world.stats().datagrams;
        world.run_for(SECOND * 10).unwrap();
        world.stats().datagrams - before
    };
    // Each is answered: it is no request.
    assert!(ticks(&mut world) >= 18);
    world.freeze(clock, true);
    assert_eq!(ticks(&mut world), 0);
    world.restart_actor(clock);
    assert_eq!(world.state(clock), Some(State::Running));
    assert!(ticks(&mut world) >= 18);
    world.crash(clock, false);
    assert_eq!(ticks(&mut world), 0);
    world.restart_actor(clock);
    assert!(ticks(&mut world) >= 18);
}

/// Sets three timers, and takes one back.
#[derive(Debug, Default)]
struct Alarms(Vec<u64>);

impl App for Alarms {
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
        match event {
            AppEvent::Started => {
                for number in [1, 2, 3, 2] {
                    context.wake_after(SECOND * number as u32, number);
                }
            }
            AppEvent::Woken(number) => {
                self.0.push(number);
                context.cancel_wake(2);
            }
            _ => {}
        }
    }
}

#[test]
fn a_timer_can_be_taken_back() {
    let mut world = World::new(1);
    let broadcaster = world.broadcaster(BroadcasterConfig::default().with_classic());
    let node = world.peer(Alarms::default(), broadcaster, PeerConfig::classic());
    world.run_for(SECOND * 10).unwrap();
    assert_eq!(world.app(node).unwrap().0, [1, 3]);
}

#[test]
fn a_record_is_whole_or_refused() {
    let mut world = World::new(7);
    assert_eq!(world.seed(), 7);
    world.record();
    let broadcaster = world.broadcaster(BroadcasterConfig::default().with_classic());
    let ann = peer(&mut world, broadcaster);
    host(&mut world, ann);
    let file = std::env::temp_dir().join(format!("poolmesh-world-{}.trace", std::process::id()));
    world.write_record(&file).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let played = trace::replay(&bytes[..], None).unwrap();
    assert_eq!((played.summary.programs, played.cut), (2, None));

    world.record();
    assert_eq!(world.run_for(SECOND).unwrap_err().what, "misuse: World::record after a node was added");
}

/// Takes some lines and then panics.
struct Poison(u32);

impl io::Write for Poison {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).expect("no more of this");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_run_that_panics_keeps_what_it_wrote_down() {
    let options =
        Options { seed: 3, hours: 1, nodes: 4, attackers: 0, faults: Faults::NONE, dialect: Speech::Classic };
    let report = run(&options, Keep { log: Some(Box::new(Poison(1_000))), trace: true });
    let violation = report.violation.unwrap();
    assert_eq!(violation.what, "D2: panic: no more of this");
    assert!(violation.at > Duration::ZERO && report.stats.events > 100 && report.trace.len() > 100);
}
