//! A broadcaster that goes and comes back at the same address.

use std::thread;
use std::time::Duration;

use poolmesh_proto::CallFailed;

use super::{Server, client, client_config, client_with, expect_numbers, ids, mesh, numbered, pool_ended};
use crate::patience::pause;
use crate::runtime::{Client, Mesh, Peer, Runtime};

/// Calls made meanwhile end, with an answer if the broadcaster comes back in time; later ones work.
pub fn calls_meanwhile<A: Runtime, B: Runtime>() {
    let mut server = Server::start::<A>();
    let mut config = client_config::<B>();
    config.call_timeout = Duration::from_millis(150);
    let hasty = client_with::<B>(server.address(), config);
    let patient = client::<B>(server.address());
    assert!(hasty.list().is_ok() && patient.list().is_ok());
    server.stop();
    for _ in 0..3 {
        assert!(matches!(hasty.list(), Err(CallFailed::TimedOut { .. })));
        assert!(matches!(hasty.create(), Err(CallFailed::TimedOut { .. })));
    }
    // Comes back with the answers, lest what was created ends.
    let waits = thread::spawn(move || (patient.list(), patient.create(), patient));
    pause(Duration::from_millis(50));
    server.restart::<A>();
    let (listed, created, _patient) = waits.join().unwrap();
    assert_eq!(listed, Ok(vec![]));
    let pool = created.unwrap().id();
    assert_eq!(ids(&hasty), [pool]);
    assert_eq!(hasty.join(pool).unwrap().id(), pool);
    assert!(hasty.create().is_ok());
}

/// Links don't need the broadcaster; pools are made anew, and the links that stand are found again.
pub fn links_are_not_touched<A: Runtime, B: Runtime>() {
    let mut server = Server::start::<A>();
    let (host, joiner) = (client::<A>(server.address()), client::<B>(server.address()));
    let (a, b) = (mesh::<A>(), mesh::<B>());
    let first = host.create().unwrap();
    a.connect_to_pool(&host, &first).unwrap();
    b.connect_to_pool(&joiner, &joiner.join(first.id()).unwrap()).unwrap();
    let (peer, mut events) = (a.accept().unwrap(), b.events());
    server.stop();
    for n in 0..100 {
        peer.send(b"n", numbered(n, 100)).unwrap();
    }
    expect_numbers::<B>(&mut events, 0..100);
    let mut told = host.events();
    server.restart::<A>();
    assert_eq!(pool_ended::<A::Client>(&mut told).0, first.id());
    let second = host.create().unwrap();
    let report = a.connect_to_pool(&host, &second).unwrap();
    assert_eq!(report.listening.unwrap().port(), second.you().port());
    let report = b.connect_to_pool(&joiner, &joiner.join(second.id()).unwrap()).unwrap();
    assert_eq!((report.connected.len(), b.stats().dialed), (1, 1), "the link stands already");
    peer.send(b"n", numbered(100, 100)).unwrap();
    expect_numbers::<B>(&mut events, 100..101);
}
