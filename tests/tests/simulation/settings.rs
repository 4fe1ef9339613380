//! Settings at both ends of what they can be: whatever they are, nothing that must hold doesn't.

use std::time::Duration;

use poolmesh_proto::{BroadcasterConfig, Outcome};
use poolmesh_testkit::sim::{PeerConfig, World};

use crate::lobby::{Plain, SECOND};

/// Three who meet in a pool and talk, with these settings, as far as they get.
fn meet(broadcaster: BroadcasterConfig, peer: &PeerConfig) -> World<Plain> {
    let mut world = World::new(1);
    world.weather().loss = 50_000;
    let home = world.broadcaster(broadcaster);
    let ann = world.peer(Plain::default(), home, peer.clone());
    let _ = world.with(ann, |_, context| context.create()).unwrap();
    world.run_for(SECOND * 10).unwrap();
    let pool = world.app(ann).unwrap().pool.as_ref().map(poolmesh_proto::PoolInfo::id);
    for _ in 0..2 {
        let bob = world.peer(Plain::default(), home, peer.clone());
        world.with(bob, |_, context| {
            let _ = context.list();
            pool.map(|pool| context.join(pool))
        });
        world.run_for(SECOND * 10).unwrap();
        world.with(bob, |_, context| context.send_to_all("hello", vec![1; 100]));
        world.isolate(&[bob]);
        world.run_for(SECOND * 10).unwrap();
        world.heal();
    }
    world.run_for(SECOND * 60).unwrap();
    world
}

type Set = fn(&mut BroadcasterConfig, &mut PeerConfig, Duration);

#[test]
fn times_may_be_nothing_or_without_end() {
    let each: [(&str, Set); 13] = [
        ("ping_timeout", |home, _, time| home.ping_timeout = time),
        ("ping_interval", |_, peer, time| peer.client.ping_interval = time),
        ("call_timeout", |_, peer, time| peer.client.call_timeout = time),
        ("resend_after", |_, peer, time| peer.client.resend_after = time),
        ("recreate_after", |_, peer, time| peer.client.recreate_after = Some(time)),
        ("dial_timeout", |_, peer, time| peer.mesh.dial_timeout = time),
        ("dial_deadline", |_, peer, time| peer.mesh.dial_deadline = time),
        ("dial_backoff", |_, peer, time| peer.mesh.dial_backoff = time),
        ("idle_timeout", |_, peer, time| peer.mesh.link.idle_timeout = Some(time)),
        ("frame_timeout", |_, peer, time| peer.mesh.link.frame_timeout = Some(time)),
        ("close_timeout", |_, peer, time| peer.mesh.link.close_timeout = time),
        ("all of a peer", |_, peer, time| {
            (peer.client.call_timeout, peer.client.resend_after) = (time, time);
            (peer.client.ping_interval, peer.client.recreate_after) = (time, Some(time));
            (peer.mesh.dial_timeout, peer.mesh.dial_deadline, peer.mesh.dial_backoff) = (time, time, time);
            (peer.mesh.link.idle_timeout, peer.mesh.link.frame_timeout) = (Some(time), Some(time));
            peer.mesh.link.close_timeout = time;
        }),
        ("dials and links", |_, peer, time| {
            (peer.mesh.dial_timeout, peer.mesh.dial_deadline, peer.mesh.dial_backoff) = (time, time, time);
            (peer.mesh.link.idle_timeout, peer.mesh.link.frame_timeout) = (Some(time), Some(time));
            peer.mesh.link.close_timeout = time;
        }),
    ];
    for (name, set) in each {
        for time in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX - SECOND, Duration::MAX] {
            println!("{name}: {time:?}");
            let (mut home, mut peer) = (BroadcasterConfig::default().with_classic(), PeerConfig::classic());
            set(&mut home, &mut peer, time);
            meet(home, &peer);
        }
    }
}

#[test]
fn a_call_without_time_ends_at_once() {
    let mut config = PeerConfig::classic();
    config.client.call_timeout = Duration::ZERO;
    let mut world = World::new(1);
    let home = world.broadcaster(BroadcasterConfig::default().with_classic());
    let ann = world.peer(Plain::default(), home, config);
    world.with(ann, |_, context| context.list()).unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    assert!(matches!(world.app(ann).unwrap().outcomes[..], [Outcome::TimedOut { sent: 1, .. }]));
}
