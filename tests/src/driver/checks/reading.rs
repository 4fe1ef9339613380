//! What peers send: whole, in order, and no faster than the program takes it.

use std::time::Duration;

use poolmesh_proto::driver::Event;
use poolmesh_proto::{CloseReason, PeerId};

use super::{Check, check, scripted};
use crate::driver::stage::{Play, Stage, plain};
use crate::driver::{SocketId, Told, World};
use crate::raw::frame;

pub(super) const CHECKS: &[Check] = &[
    check("reading::events_come_in_any_pieces", events_come_in_any_pieces),
    check("reading::events_are_told_in_order", events_are_told_in_order),
    check("reading::a_full_link_is_not_read", a_full_link_is_not_read),
    check("reading::a_full_link_is_not_idle", a_full_link_is_not_idle),
    scripted("reading::a_flood_is_taken_in_portions", a_flood_is_taken_in_portions),
    scripted("reading::others_get_their_turn", others_get_their_turn),
];

const LEN: usize = 4_096;

fn numbered(number: u32) -> Vec<u8> {
    let mut payload = vec![0xa5; LEN];
    payload[..4].copy_from_slice(&number.to_le_bytes());
    frame(b"n", &payload)
}

fn expect_number(stage: &mut Stage, from: PeerId, expected: u32) {
    let (peer, message) = stage.received();
    assert_eq!((peer, &message.payload()[..4]), (from, &expected.to_le_bytes()[..]), "in order, none lost");
}

/// A peer that writes numbered events without end, as fast as it is read.
struct Flood {
    stream: SocketId,
    number: u32,
    rest: Vec<u8>,
    written: usize,
}

impl Flood {
    fn new(stream: SocketId) -> Self {
        Self { stream, number: 0, rest: Vec::new(), written: 0 }
    }

    /// Writes what the connection takes. Whether it took anything.
    fn write(&mut self, world: &mut dyn World) -> bool {
        let mut any = false;
        loop {
            if self.rest.is_empty() {
                self.rest = numbered(self.number);
                self.number += 1;
            }
            let len = world.write(self.stream, &self.rest);
            if len == 0 || self.written > LIMIT {
                return any;
            }
            any = true;
            self.written += len;
            self.rest.drain(..len);
        }
    }
}

/// More than systems keep of what is not read.
const LIMIT: usize = 48 << 20;

/// Byte by byte at first, then cut anywhere.
fn events_come_in_any_pieces(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let (_peer, stream) = stage.dialed();
    let bytes = [frame(b"one", b""), frame(b"", b"two"), frame(b"three", &[7; 3_000])].concat();
    for byte in &bytes[..25] {
        stage.write(stream, &[*byte]);
        stage.settle();
    }
    for piece in bytes[25..].chunks(700) {
        stage.write(stream, piece);
        stage.settle();
    }
    for (name, len) in [("one", 0), ("", 3), ("three", 3_000)] {
        let (_, message) = stage.received();
        assert!(message.is(name) && message.payload().len() == len, "{message:?}");
    }
    stage.expect_silence("all is told");
}

/// Of two peers at the same time.
fn events_are_told_in_order(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let peers = [stage.dialed(), stage.dialed()];
    for number in 0..60u32 {
        for (_, stream) in peers {
            // Small ones come together, large ones in pieces.
            let event = if number % 20 == 0 { numbered(number) } else { frame(b"n", &number.to_le_bytes()) };
            stage.write(stream, &event);
        }
    }
    let mut next = [0u32; 2];
    for _ in 0..120 {
        let (peer, message) = stage.received();
        let place = usize::from(peers[1].0 == peer);
        assert_eq!(&message.payload()[..4], &next[place].to_le_bytes()[..], "in order, none lost");
        next[place] += 1;
    }
}

fn narrow(mesh: &mut poolmesh_proto::MeshConfig) {
    (mesh.max_waiting_events, mesh.max_waiting_bytes) = (8, 64 * 1_024);
    mesh.link.max_received = 16 * 1_024;
}

/// The program takes nothing: the driver stops reading, so that the peer can write no more. When the program goes on, so
/// does the driver, and nothing is lost.
fn a_full_link_is_not_read(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| narrow(mesh));
    let (peer, stream) = stage.dialed();
    let mut flood = Flood::new(stream);
    let mut since = stage.now();
    stage.until("the driver reads no more", |stage| {
        if flood.write(&mut *stage.world) {
            since = stage.now();
        }
        assert!(flood.written <= LIMIT, "the driver reads on and on, and nobody takes what it reads");
        (stage.now().saturating_duration_since(since) > Duration::from_millis(200)).then_some(())
    });
    if stage.world.script().is_some() {
        assert!(flood.written < 256 * 1_024, "{} bytes were taken of which nothing is told", flood.written);
    }
    // Whatever has been written, and some more, is told.
    let all = flood.number + 50;
    for expected in 0..all {
        stage.until("an event is told", |stage| {
            flood.write(&mut *stage.world);
            match stage.take() {
                Some(Told::Mesh(Event::Received(from, message))) => {
                    assert_eq!(
                        (from, &message.payload()[..4]),
                        (peer, &expected.to_le_bytes()[..]),
                        "in order"
                    );
                    Some(())
                }
                Some(other) => panic!("not an event of the peer: {other:?}"),
                None => None,
            }
        });
    }
}

/// Who isn't read can't be heard: a program that takes its time doesn't make its peer silent.
fn a_full_link_is_not_idle(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| {
        (mesh.max_waiting_events, mesh.link.idle_timeout) = (2, Some(Duration::from_millis(150)));
    });
    let (peer, stream) = stage.dialed();
    for number in 0..20u32 {
        if number == 10 {
            // The first ten are read by now, the others wait until they are taken.
            stage.settle();
        }
        let event = frame(b"n", &number.to_le_bytes());
        assert_eq!(stage.world.write(stream, &event), event.len());
    }
    stage.pass(Duration::from_millis(500));
    for expected in 0..20 {
        expect_number(&mut stage, peer, expected);
    }
    assert_eq!(stage.disconnected(peer), CloseReason::Idle, "now it is");
}

/// Megabytes that are there at once: what is taken and not told stays within what the config allows.
fn a_flood_is_taken_in_portions(play: &dyn Play) {
    const ALL: u32 = 1_000;
    let mut stage = play.stage(&|_, mesh| narrow(mesh));
    let (peer, stream) = stage.dialed();
    let script = stage.script();
    script.widen(stream, LIMIT);
    let bytes: Vec<u8> = (0..ALL).flat_map(numbered).collect();
    assert_eq!(stage.world.write(stream, &bytes), bytes.len());
    for number in 0..ALL {
        stage.settle();
        let told = number as usize * (LEN + 9);
        let taken = bytes.len() - script.unread(stream);
        assert!(taken - told < 256 * 1_024, "{} bytes were taken of which nothing is told", taken - told);
        expect_number(&mut stage, peer, number);
    }
}

/// One peer has megabytes to say, another a word: it is heard long before the first has finished.
fn others_get_their_turn(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let peers = [stage.dialed(), stage.dialed(), stage.dialed()];
    let script = stage.script();
    let bytes: Vec<u8> = (0..3_000).flat_map(numbered).collect();
    for (peer, stream) in [peers[0], peers[2]] {
        let _ = peer;
        script.widen(stream, LIMIT);
        stage.world.write(stream, &bytes);
    }
    stage.world.write(peers[1].1, &frame(b"word", b""));
    while !stage.received().1.is("word") {}
    for (_, stream) in [peers[0], peers[2]] {
        assert!(script.unread(stream) > bytes.len() / 2, "it was heard last");
    }
}
