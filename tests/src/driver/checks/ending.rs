//! How links end, and that nothing comes after.

use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::driver::Event;
use poolmesh_proto::wire::Request;
use poolmesh_proto::{CallFailed, CloseReason, Fault, PeerId};

use super::{Check, check};
use crate::driver::stage::{Play, Stage, plain};
use crate::driver::{SocketId, Told};
use crate::raw::frame;

pub(super) const CHECKS: &[Check] = &[
    check("ending::the_peer_closes", the_peer_closes),
    check("ending::the_peer_breaks_off", the_peer_breaks_off),
    check("ending::the_peer_breaks_off_a_write", the_peer_breaks_off_a_write),
    check("ending::the_peer_closes_within_a_frame", the_peer_closes_within_a_frame),
    check("ending::what_is_queued_is_written_first", what_is_queued_is_written_first),
    check("ending::who_has_closed_gets_the_rest", who_has_closed_gets_the_rest),
    check("ending::a_peer_that_stays_is_left", a_peer_that_stays_is_left),
    check("ending::a_peer_that_does_not_read_is_left", a_peer_that_does_not_read_is_left),
    check("ending::a_write_that_fails_ends_a_close", a_write_that_fails_ends_a_close),
    check("ending::a_silent_peer_is_left", a_silent_peer_is_left),
    check("ending::a_link_that_ends_itself_is_dropped", a_link_that_ends_itself_is_dropped),
    check("ending::closing_ends_everything", closing_ends_everything),
    check("ending::closing_ends_calls", closing_ends_calls),
    check("ending::what_is_dropped_is_closed", what_is_dropped_is_closed),
];

const STEP: Duration = Duration::from_millis(80);

/// A link whose time is over looks again so much later.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// The end is told with this reason, the connection is dropped, and nothing follows.
fn expect_over(stage: &mut Stage, (peer, stream): (PeerId, SocketId), reason: CloseReason) {
    assert_eq!(stage.disconnected(peer), reason);
    stage.expect_gone(stream);
    stage.world.write(stream, &frame(b"late", b""));
    stage.expect_silence("the link has ended");
    stage.expect_none_held();
}

/// What it has sent before is told first.
fn the_peer_closes(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let link = stage.dialed();
    for number in 0..20 {
        stage.write(link.1, &frame(b"n", &[number; 500]));
    }
    stage.world.finish(link.1);
    for number in 0..20 {
        assert_eq!(stage.received().1.payload(), [number; 500]);
    }
    expect_over(&mut stage, link, CloseReason::Remote);
}

fn the_peer_breaks_off(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let (peer, stream) = stage.dialed();
    stage.settle();
    stage.world.reset(stream);
    assert_eq!(stage.disconnected(peer), CloseReason::Failed(Fault::Reset));
    stage.expect_silence("the link has ended");
    stage.expect_none_held();
}

/// A write that can't go on.
fn the_peer_breaks_off_a_write(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.max_queued = 24 << 20);
    let (peer, stream) = stage.dialed();
    for _ in 0..200 {
        stage.driver().send(peer, "n", vec![0; 100_000].into()).unwrap();
    }
    stage.settle();
    stage.world.reset(stream);
    assert_eq!(stage.disconnected(peer), CloseReason::Failed(Fault::Reset));
    stage.expect_silence("the link has ended");
    stage.expect_none_held();
}

fn the_peer_closes_within_a_frame(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let link = stage.dialed();
    stage.write(link.1, &frame(b"name", b"payload")[..10]);
    stage.world.finish(link.1);
    expect_over(&mut stage, link, CloseReason::CutShort);
}

/// Then the writing half is closed, and the peer's is waited for.
fn what_is_queued_is_written_first(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.close_timeout = Duration::from_secs(600));
    let link = stage.dialed();
    let mut expected = Vec::new();
    for number in 0..50 {
        expected.extend(frame(b"n", &[number; 3_000]));
        stage.driver().send(link.0, "n", vec![number; 3_000].into()).unwrap();
    }
    stage.driver().disconnect(link.0);
    assert!(stage.read(link.1, expected.len(), 9_000) == expected);
    stage.expect_end(link.1);
    stage.expect_silence("the peer has not closed");
    stage.world.finish(link.1);
    expect_over(&mut stage, link, CloseReason::Local);
}

/// A peer that has closed its half reads on: it gets all that was queued, and then the end.
fn who_has_closed_gets_the_rest(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| {
        (mesh.link.close_timeout, mesh.link.max_queued) = (Duration::from_secs(200), 24 << 20);
    });
    let link = stage.dialed();
    let event = frame(b"n", &[7; 100_000]);
    let mut sent = 0;
    while stage.driver().send(link.0, "n", vec![7; 100_000].into()).is_ok() {
        sent += 1;
    }
    stage.driver().disconnect(link.0);
    stage.settle();
    stage.world.finish(link.1);
    stage.settle();
    for _ in 0..sent {
        assert!(stage.read(link.1, event.len(), event.len()) == event, "something is lost, or comes twice");
    }
    stage.expect_end(link.1);
    assert_eq!(stage.disconnected(link.0), CloseReason::Local);
    stage.expect_none_held();
}

/// By the link's deadline, while nothing comes in.
fn a_peer_that_stays_is_left(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.close_timeout = STEP);
    let link = stage.dialed();
    let start = stage.now();
    stage.driver().disconnect(link.0);
    stage.expect_end(link.1);
    assert_eq!(stage.disconnected(link.0), CloseReason::Local);
    stage.took(start, STEP, "the end");
    stage.expect_gone(link.1);
    stage.expect_none_held();
}

fn a_peer_that_does_not_read_is_left(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| {
        (mesh.link.close_timeout, mesh.link.max_queued) = (STEP, 24 << 20);
    });
    let (peer, _stream) = stage.dialed();
    while stage.driver().send(peer, "n", vec![0; 100_000].into()).is_ok() {}
    stage.settle();
    let start = stage.now();
    stage.driver().disconnect(peer);
    let reason = stage.disconnected(peer);
    assert!(matches!(reason, CloseReason::Unwritten { .. }), "{reason:?}");
    stage.took(start, STEP, "the end");
    stage.expect_none_held();
}

/// The peer has closed its half, so that it is read from no more, and breaks off what is written to it: only the write tells.
fn a_write_that_fails_ends_a_close(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| {
        (mesh.link.close_timeout, mesh.link.max_queued) = (Duration::from_secs(200), 24 << 20);
    });
    let (peer, stream) = stage.dialed();
    while stage.driver().send(peer, "n", vec![0; 100_000].into()).is_ok() {}
    stage.driver().disconnect(peer);
    stage.settle();
    stage.world.finish(stream);
    stage.settle();
    let start = stage.now();
    stage.world.reset(stream);
    let reason = stage.disconnected(peer);
    assert!(matches!(reason, CloseReason::Unwritten { .. }), "{reason:?}");
    let took = stage.now().saturating_duration_since(start);
    assert!(took < Duration::from_secs(100), "nobody has looked at the write");
    stage.expect_none_held();
}

fn a_silent_peer_is_left(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.idle_timeout = Some(STEP));
    let start = stage.now();
    let link = stage.dialed();
    stage.until("something is told", |stage| match stage.take() {
        Some(Told::Mesh(Event::Disconnected(peer, CloseReason::Idle))) if peer == link.0 => Some(()),
        Some(other) => panic!("not the end for want of a word: {other:?}"),
        None => None,
    });
    stage.took(start, STEP + SECOND_LOOK, "the end");
    stage.expect_gone(link.1);
    stage.expect_none_held();
}

/// It doesn't wait for the peer, which goes on talking.
fn a_link_that_ends_itself_is_dropped(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.max_frame = 1_000);
    let link = stage.dialed();
    stage.write(link.1, &[&1_001u32.to_le_bytes()[..], &frame(b"more", b"")].concat());
    expect_over(&mut stage, link, CloseReason::FrameTooLong { len: 1_001 });
}

fn closing_ends_everything(play: &dyn Play) {
    let mut stage = play.stage(&|client, mesh| {
        client.ping_interval = Duration::from_millis(20);
        mesh.link.close_timeout = Duration::from_secs(600);
    });
    stage.host("mine");
    stage.expect(&Request::Ping("mine".parse().unwrap()));
    let address = stage.listening();
    let (one, other) = (stage.dialed(), stage.accepted(address));
    stage.driver().send(one.0, "last", Bytes::from_static(b"word")).unwrap();
    stage.driver().close();
    assert_eq!(stage.read(one.1, 16, 16), frame(b"last", b"word"));
    for stream in [one.1, other.1] {
        stage.expect_end(stream);
        stage.world.finish(stream);
    }
    for _ in 0..2 {
        match stage.event() {
            Event::Disconnected(peer, CloseReason::Local) => assert!(peer == one.0 || peer == other.0),
            told => panic!("not the end of a link: {told:?}"),
        }
    }
    let last = stage.told();
    assert!(matches!(last, Told::Closed), "not the last word: {last:?}");
    stage.expect_silence("all has ended");
    stage.expect_none_held();
    assert!(stage.world.dial(address).is_none(), "it listens still");
    while stage.world.receive(stage.broadcaster).is_some() {}
    stage.expect_no_request("all has ended");
}

fn closing_ends_calls(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    stage.driver().list();
    stage.expect(&Request::List);
    stage.driver().close();
    let told = [stage.told(), stage.told()];
    assert!(matches!(told, [Told::Failed(CallFailed::Closed), Told::Closed]), "{told:?}");
    stage.expect_silence("all has ended");
}

/// A driver that is just dropped leaves no socket open.
fn what_is_dropped_is_closed(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.close_timeout = STEP);
    let address = stage.listening();
    let (one, other) = (stage.dialed(), stage.accepted(address));
    stage.drop_program();
    for (_, stream) in [one, other] {
        stage.expect_gone(stream);
        stage.world.finish(stream);
    }
    stage.until("it listens no more", |stage| stage.world.dial(address).is_none().then_some(()));
    if let Some(script) = stage.world.script() {
        assert_eq!(script.held(), [""; 0], "sockets are left open");
    }
}
