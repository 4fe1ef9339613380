//! A peer that stops reading while 100 MB wait to be sent to it.

use std::thread;
use std::time::Duration;

use poolmesh_proto::SendError;
use poolmesh_proto::driver::Event;
use poolmesh_testkit::patience::{now, until};
use poolmesh_testkit::raw::RawPeer;
use poolmesh_testkit::runtime::{Events, Mesh, Peer, Runtime, Smol, Std};

use super::alone::{alone, live};
use super::mesh;

/// What there is to send, in bytes.
const WAITING: usize = 100_000_000;

/// In events of this length, and in small ones in between.
const LEN: usize = 50_000;

/// What else the process may come to hold meanwhile: the events of those who ask and answer, and the like.
const ELSE: usize = 512 * 1_024;

/// Events to send, by their number: a long one, a short one, and so on.
fn payload(number: u32) -> Vec<u8> {
    let mut payload = vec![0xa5; if number % 2 == 0 { LEN } else { 20 }];
    payload[..4].copy_from_slice(&number.to_le_bytes());
    payload
}

fn events_in_all() -> u32 {
    u32::try_from(2 * WAITING / (LEN + 20)).unwrap()
}

/// The middle of the times that `count` questions to a peer take to be answered.
fn latency<R: Runtime>(count: usize, peer: &R::Peer, answers: &mut R::Events) -> Duration {
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let start = now();
            peer.send(b"ask", &b"?"[..]).unwrap();
            while !matches!(answers.next().unwrap(), Event::Received(_, answer) if answer.is("answer")) {}
            start.elapsed()
        })
        .collect();
    times.sort();
    times[count / 2]
}

/// Memory stays within what [`LinkConfig`](poolmesh_proto::LinkConfig) states, the sender is told or waits, and other
/// peers are answered as fast as before: as a ratio, for it is another machine each time. Then the peer reads, and all of
/// it comes; or it goes, and all of it is given back.
fn unread<R: Runtime>(max_queued: usize) {
    let here = mesh::<R>(|config| config.link.max_queued = max_queued);
    let other = mesh::<R>(|_| {});
    other.on("ask", |peer, _| peer.try_send(b"answer", &b"!"[..]).unwrap());
    let at = other.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let quick = here.connect_to_peer(&at.to_string()).unwrap();
    let mut answers = here.events();
    let (slow, mut raw) = RawPeer::dialed_by::<R>(&here);
    let before = latency::<R>(300, &quick, &mut answers);
    let own = live();
    let most = max_queued + max_queued / 8 + 64 * 1_024 + LEN + ELSE;
    let within = || {
        let held = live().saturating_sub(own);
        assert!(held <= most, "{held} bytes are held, {most} allowed");
        held
    };

    // As one who doesn't wait: as much as there is room for, and then the word that there is none.
    let mut sent = 0;
    let mut refused = 0;
    while sent < events_in_all() && refused < 100 {
        match slow.try_send(b"n", payload(sent)) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        within();
    }
    assert_eq!(slow.stats().full, refused);
    // As one who does. He holds the event that he waits for.
    let sender = thread::spawn(move || (sent..events_in_all()).try_for_each(|n| slow.send(b"n", payload(n))));
    let during = latency::<R>(300, &quick, &mut answers);
    assert!(during <= before * 10, "an answer takes {during:?}, and took {before:?}");
    let held = within();
    if max_queued < WAITING {
        assert!(!sender.is_finished() && held + 2 * LEN > max_queued, "it waits: {held} bytes are held");
        for expected in 0..events_in_all() {
            let (name, read) = raw.read();
            assert!(name == "n" && read == payload(expected), "event {expected} as it was sent");
            within();
        }
        sender.join().unwrap().unwrap();
    } else {
        sender.join().unwrap().unwrap();
        assert!(held > WAITING * 9 / 10, "{held} bytes are held");
        drop(raw);
        until("what nobody reads is given back", || live().saturating_sub(own) < ELSE);
    }
    println!("{held} bytes held of {most} allowed; answers in {during:?}, before in {before:?}");
}

fn both<R: Runtime>() {
    unread::<R>(1_024 * 1_024);
    unread::<R>(WAITING);
}

#[test]
fn a_std_peer_that_stops_reading() {
    alone("unread::a_std_peer_that_stops_reading", both::<Std>);
}

#[test]
fn a_smol_peer_that_stops_reading() {
    alone("unread::a_smol_peer_that_stops_reading", both::<Smol>);
}
