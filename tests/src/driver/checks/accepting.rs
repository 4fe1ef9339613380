//! Listening, and the connections that come.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::driver::Event;
use poolmesh_proto::{CloseReason, Fault};

use super::{Check, check, scripted};
use crate::driver::stage::{Play, plain};
use crate::raw::frame;

pub(super) const CHECKS: &[Check] = &[
    check("accepting::all_that_come_are_accepted", all_that_come_are_accepted),
    check("accepting::what_came_before_the_accept_is_read", what_came_before_the_accept_is_read),
    check("accepting::listening_elsewhere_ends_the_first", listening_elsewhere_ends_the_first),
    check("accepting::a_taken_port_is_told", a_taken_port_is_told),
    check("accepting::a_connection_without_a_link_is_dropped", a_connection_without_a_link_is_dropped),
    scripted("accepting::errors_of_accepting_pass", errors_of_accepting_pass),
];

/// Ten that are there at once.
fn all_that_come_are_accepted(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let address = stage.listening();
    let streams: Vec<_> = (0..10).map(|_| stage.world.dial(address).expect("it listens")).collect();
    let mut peers: Vec<_> = streams.iter().map(|_| stage.connected()).collect();
    peers.dedup();
    assert_eq!(peers.len(), streams.len(), "each is told once");
    for (peer, stream) in peers.into_iter().zip(streams) {
        stage.driver().send(peer, "e", Bytes::new()).unwrap();
        stage.read(stream, 9, 9);
    }
}

/// A peer that dials, speaks and hangs up before anybody looks.
fn what_came_before_the_accept_is_read(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let address = stage.listening();
    let stream = stage.world.dial(address).expect("it listens");
    stage.world.write(stream, &frame(b"quick", b"one"));
    stage.world.finish(stream);
    let peer = stage.connected();
    assert!(stage.received().1.is("quick"));
    assert_eq!(stage.disconnected(peer), CloseReason::Remote);
    stage.expect_none_held();
}

fn listening_elsewhere_ends_the_first(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let first = stage.listening();
    let (_peer, stream) = stage.accepted(first);
    let second = stage.listening();
    assert_ne!(first.port(), second.port());
    stage.settle();
    stage.until("the first port is closed", |stage| stage.world.dial(first).is_none().then_some(()));
    stage.accepted(second);
    stage.write(stream, &frame(b"still", b"here"));
    assert!(stage.received().1.is("still"), "links stay");
}

fn a_taken_port_is_told(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let port = stage.world.port();
    let taken = stage.world.address(port);
    stage.driver().listen(taken);
    match stage.event() {
        Event::ListenFailed(address, fault) => assert_eq!((address, fault), (taken, Fault::AddressInUse)),
        other => panic!("not why it can't listen: {other:?}"),
    }
    let address: SocketAddr = stage.listening();
    stage.accepted(address);
}

fn a_connection_without_a_link_is_dropped(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.max_links = 1);
    let address = stage.listening();
    let (peer, stream) = stage.accepted(address);
    let refused = stage.world.dial(address).expect("it listens");
    stage.expect_gone(refused);
    stage.expect_silence("the second was refused");
    stage.driver().send(peer, "e", Bytes::new()).unwrap();
    stage.read(stream, 9, 9);
}

/// A connection that died in the queue; no files left, which passes, and until then is no reason to turn in circles.
fn errors_of_accepting_pass(play: &dyn Play) {
    const ABORTED: i32 = 103;
    const NO_FILES: i32 = 24;
    let mut stage = play.stage(&plain);
    let address = stage.listening();
    let script = stage.script();
    script.fail_accepts(&[ABORTED]);
    stage.accepted(address);
    script.fail_accepts(&[NO_FILES; 30]);
    let before = script.accepts();
    let stream = stage.world.dial(address).expect("it listens");
    stage.pass(Duration::from_millis(5));
    let tries = script.accepts() - before;
    assert!((1..=3).contains(&tries), "{tries} tries within 5 ms");
    let peer = stage.connected();
    stage.driver().send(peer, "e", Bytes::new()).unwrap();
    stage.read(stream, 9, 9);
}
