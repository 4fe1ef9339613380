//! Attempts at connections, and what becomes of them.

use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::driver::Event;
use poolmesh_proto::{DialFailure, Fault};

use super::{Check, check};
use crate::driver::Told;
use crate::driver::stage::{Play, Stage, plain};

pub(super) const CHECKS: &[Check] = &[
    check("dialing::a_dial_stands", a_dial_stands),
    check("dialing::a_refused_dial_is_told", a_refused_dial_is_told),
    check("dialing::it_is_tried_again", it_is_tried_again),
    check("dialing::a_dial_without_an_answer_is_dropped", a_dial_without_an_answer_is_dropped),
    check("dialing::a_connection_without_a_link_is_dropped", a_connection_without_a_link_is_dropped),
    check("dialing::closing_gives_up", closing_gives_up),
];

const STEP: Duration = Duration::from_millis(60);

fn expect_unreachable(stage: &mut Stage, expected: DialFailure) {
    match stage.event() {
        Event::Unreachable(_, failure) => assert_eq!(failure, expected),
        other => panic!("not what became of the dial: {other:?}"),
    }
}

fn a_dial_stands(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let (one, _) = stage.dialed();
    let (other, stream) = stage.dialed();
    assert_ne!(one, other);
    stage.expect_silence("both links are told");
    stage.driver().send(other, "e", Bytes::new()).unwrap();
    stage.read(stream, 9, 9);
}

fn a_refused_dial_is_told(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| (mesh.dial_attempts, mesh.dial_backoff) = (2, STEP));
    let port = stage.world.port();
    let address = stage.world.address(port);
    let start = stage.now();
    stage.driver().connect(address);
    expect_unreachable(&mut stage, DialFailure::Failed { fault: Fault::Refused, attempts: 2 });
    stage.took(start, STEP, "the second attempt");
    stage.expect_silence("the dial is told of");
    stage.expect_none_held();
}

/// The second attempt, after the time that the machine names, meets a listener.
fn it_is_tried_again(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| (mesh.dial_attempts, mesh.dial_backoff) = (8, STEP));
    let port = stage.world.port();
    let address = stage.world.address(port);
    let start = stage.now();
    stage.driver().connect(address);
    stage.pass(STEP / 2);
    stage.world.listen(port);
    stage.connected();
    stage.took(start, STEP, "the second attempt");
}

/// The machine says when an attempt has taken too long, and that it is not wanted any more.
fn a_dial_without_an_answer_is_dropped(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| (mesh.dial_timeout, mesh.dial_deadline) = (STEP, STEP));
    let Some(port) = stage.world.silent_port() else { return super::skip("no silent ports here") };
    let address = stage.world.address(port);
    let start = stage.now();
    stage.driver().connect(address);
    expect_unreachable(&mut stage, DialFailure::Failed { fault: Fault::TimedOut, attempts: 1 });
    stage.took(start, STEP, "giving up");
    stage.expect_none_held();
    if let Some(script) = stage.world.script() {
        // Somebody answers after all.
        script.answer_dials(port);
    }
    stage.expect_silence("the dial was given up");
    stage.expect_none_held();
}

/// As many links as allowed: the connection stands, the machine doesn't want it, the peer is to see that.
fn a_connection_without_a_link_is_dropped(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.max_links = 1);
    let (peer, stream) = stage.dialed();
    let port = stage.world.port();
    stage.world.listen(port);
    let address = stage.world.address(port);
    stage.driver().connect(address);
    expect_unreachable(&mut stage, DialFailure::TooManyLinks);
    let unwanted = stage.until("the driver dials", |stage| stage.world.accept(port));
    stage.expect_gone(unwanted);
    stage.driver().send(peer, "e", Bytes::new()).unwrap();
    stage.read(stream, 9, 9);
}

fn closing_gives_up(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let Some(port) = stage.world.silent_port() else { return super::skip("no silent ports here") };
    let address = stage.world.address(port);
    stage.driver().connect(address);
    stage.settle();
    stage.driver().close();
    // A driver whose call waits may make it only now, and then has nothing to tell.
    let mut told = Vec::new();
    loop {
        match stage.told() {
            Told::Closed => break,
            other => told.push(other),
        }
    }
    let closed = |told: &Told| matches!(told, Told::Mesh(Event::Unreachable(_, DialFailure::Closed)));
    assert!(told.iter().all(closed) && told.len() <= 1, "{told:?}");
    stage.expect_none_held();
}
