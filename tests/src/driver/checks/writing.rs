//! What the program sends: at once, whole, and to each peer as fast as that one reads.

use bytes::Bytes;
use poolmesh_proto::SendError;

use super::{Check, check};
use crate::driver::stage::{Play, plain};
use crate::raw::frame;

pub(super) const CHECKS: &[Check] = &[
    check("writing::an_event_goes_out_at_once", an_event_goes_out_at_once),
    check("writing::a_partial_write_is_continued", a_partial_write_is_continued),
    check("writing::one_who_does_not_read_holds_up_nobody", one_who_does_not_read_holds_up_nobody),
    check("writing::when_the_peer_reads_again_there_is_room", when_the_peer_reads_again_there_is_room),
];

fn an_event_goes_out_at_once(play: &dyn Play) {
    let mut stage = play.stage(&plain);
    let (peer, stream) = stage.dialed();
    for _ in 0..3 {
        stage.settle();
        let start = stage.now();
        stage.driver().send(peer, "msg", Bytes::from_static(b"hello")).unwrap();
        assert_eq!(stage.read(stream, 16, 16), frame(b"msg", b"hello"));
        assert!(stage.world.script().is_none() || stage.now() == start, "the event waits in the machine");
    }
}

/// Megabytes in events of all sizes, to a peer that takes them in small pieces: byte for byte, once.
fn a_partial_write_is_continued(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.max_queued = 16 << 20);
    let (peer, stream) = stage.dialed();
    let mut expected = Vec::new();
    for number in 0..120u8 {
        let payload = vec![number; usize::from(number) * usize::from(number) * 9];
        expected.extend(frame(b"n", &payload));
        stage.driver().send(peer, "n", payload.into()).unwrap();
    }
    for piece in [1, 10, 333, 5_000, expected.len() - 5_344] {
        let (now, later) = expected.split_at(piece);
        assert!(stage.read(stream, piece, 700.max(piece / 50)) == now, "something is lost, or comes twice");
        expected = later.to_vec();
    }
    assert!(expected.is_empty());
}

fn one_who_does_not_read_holds_up_nobody(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.max_queued = 256 * 1_024);
    let (slow, _stays_full) = stage.dialed();
    let (other, stream) = stage.dialed();
    let mut refused = 0;
    for _ in 0..200 {
        let sent = stage.driver().send(slow, "n", vec![0; 60_000].into());
        refused += u32::from(sent == Err(SendError::Full));
        stage.settle();
        stage.driver().send(other, "e", Bytes::new()).unwrap();
        assert_eq!(stage.read(stream, 9, 9), frame(b"e", b""));
    }
    assert!(refused > 0, "more was taken than is allowed to wait");
}

/// A driver is told that a connection takes more, and goes on by itself.
fn when_the_peer_reads_again_there_is_room(play: &dyn Play) {
    let mut stage = play.stage(&|_, mesh| mesh.link.max_queued = 256 * 1_024);
    let (peer, stream) = stage.dialed();
    let mut sent = 0;
    let mut misses = 0;
    while misses < 20 {
        match stage.driver().send(peer, "n", vec![0; 10_000 - 9].into()) {
            Ok(()) => (sent, misses) = (sent + 1, 0),
            Err(SendError::Full) => misses += 1,
            Err(error) => panic!("{error}"),
        }
        stage.settle();
    }
    let read = stage.read(stream, sent * 10_000, 50_000);
    assert!(read.chunks(10_000).all(|event| event[..9] == read[..9]), "something is lost, or comes twice");
    stage.driver().send(peer, "e", Bytes::new()).unwrap();
    assert_eq!(stage.read(stream, 9, 9), frame(b"e", b""));
}
