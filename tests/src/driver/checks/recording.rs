//! A story with every kind of call in it, and what a driver did: the same as ever.

use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::driver::Event;
use poolmesh_proto::wire::{Request, Response};

use super::{Check, scripted};
use crate::driver::stage::{Play, answer};
use crate::driver::{Recording, Told};
use crate::raw::frame;

pub(super) const CHECKS: &[Check] = &[scripted("recording::the_story_is_as_it_was", the_story_is_as_it_was)];

/// The recording of a driver that is right, looked through call by call.
const REFERENCE: &str = include_str!("../story.txt");

/// What a driver does in the story.
pub(in crate::driver) fn story(play: &dyn Play) -> Recording {
    let mut stage = play.stage(&|client, mesh| {
        client.resend_after = Duration::from_millis(250);
        client.ping_interval = Duration::from_millis(200);
        (mesh.dial_attempts, mesh.dial_backoff) = (2, Duration::from_millis(100));
        (mesh.dial_timeout, mesh.dial_deadline) = (Duration::from_millis(300), Duration::from_millis(300));
        mesh.link.close_timeout = Duration::from_millis(500);
    });
    // The first request is lost, the second answered, and a pool made.
    stage.driver().list();
    stage.expect(&Request::List);
    stage.expect(&Request::List);
    stage.reply(&answer(&Response::Pools(vec!["other".parse().unwrap()])));
    assert!(matches!(stage.told(), Told::Listed(_)));
    stage.host("mine");

    // A peer comes, says three things in pieces, and is answered with more than a connection holds.
    let address = stage.listening();
    let (guest, stream) = stage.accepted(address);
    let said = [frame(b"hello", b""), frame(b"big", &[1; 10_000]), frame(b"end", b"")].concat();
    stage.write(stream, &said[..11]);
    stage.pass(Duration::from_millis(10));
    stage.write(stream, &said[11..]);
    for name in ["hello", "big", "end"] {
        assert!(stage.received().1.is(name));
    }
    stage.driver().send(guest, "answer", Bytes::from(vec![2; 20_000])).unwrap();
    stage.pass(Duration::from_millis(10));
    stage.read(stream, 20_014, 3_000);

    // One is dialed in vain, one doesn't answer, one hangs up.
    let closed = stage.world.port();
    let closed = stage.world.address(closed);
    stage.driver().connect(closed);
    assert!(matches!(stage.event(), Event::Unreachable(..)));
    let silent = stage.world.silent_port().expect("a script has silent ports");
    let silent = stage.world.address(silent);
    stage.driver().connect(silent);
    assert!(matches!(stage.event(), Event::Unreachable(..)));
    let (friend, friends) = stage.dialed();
    stage.driver().send(friend, "hi", Bytes::new()).unwrap();
    stage.read(friends, 10, 10);
    stage.world.finish(friends);
    stage.disconnected(friend);

    // All is closed: the guest, who stays, is left.
    stage.driver().close();
    stage.disconnected(guest);
    assert!(matches!(stage.told(), Told::Closed));
    stage.pass(Duration::from_secs(10));
    stage.script().recording()
}

fn the_story_is_as_it_was(play: &dyn Play) {
    let done = story(play);
    // Who doesn't note what it tells its machines is compared in what it does to sockets.
    let (done, expected) = if done.has_inputs() {
        (done.to_string(), REFERENCE.to_owned())
    } else {
        (done.sockets().to_string(), only_sockets(REFERENCE))
    };
    let (mut done, mut expected) = (done.lines(), expected.lines());
    for number in 1.. {
        let (done, expected) = (done.next(), expected.next());
        assert_eq!(done, expected, "line {number} of the recording");
        if done.is_none() {
            return;
        }
    }
}

fn only_sockets(recording: &str) -> String {
    let mut within = true;
    let of_a_socket = |line: &&str| {
        if !line.starts_with(' ') {
            within = !["client", "mesh", "link"].iter().any(|machine| line.starts_with(machine));
        }
        within
    };
    recording.lines().filter(of_a_socket).flat_map(|line| [line, "\n"]).collect()
}
