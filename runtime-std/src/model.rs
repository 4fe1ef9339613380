//! The threads that share a link or the events of a mesh, in every order they can run in: no wake-up is lost.
//!
//! A thread that waits for a time waits for ever here, so nothing in these scenarios is saved by a timeout.

use std::sync::Arc;

use bytes::Bytes;
use loom::thread::spawn;
use poolmesh_proto::driver;
use poolmesh_proto::wire::{Frame, FrameReader};
use poolmesh_proto::{Chunks, Mesh, MeshConfig, SendError, Side, WriteKind};

use crate::clock::Clock;
use crate::events::Feed;
use crate::link::Peer;

fn feed() -> Arc<Feed<()>> {
    let mut config = MeshConfig::default();
    config.max_waiting_events = 1;
    let feed = Arc::new(Feed::new(&config));
    feed.add_reader();
    feed
}

fn event(number: u8) -> driver::Event<()> {
    let mut reader = FrameReader::new(100);
    reader.push(Bytes::from(vec![5, 0, 0, 0, 0, 0, 0, 0, number]));
    let Ok(Some(Frame::Message(message))) = reader.next_frame() else { panic!("no message") };
    driver::Event::Received((), message)
}

fn number(event: driver::Event<()>) -> u8 {
    let driver::Event::Received((), message) = event else { panic!("{event:?}") };
    message.payload()[0]
}

#[test]
fn events_of_two_links_all_come() {
    loom::model(|| {
        let feed = feed();
        let links = [[1, 2], [11, 12]].map(|numbers| {
            let feed = Arc::clone(&feed);
            spawn(move || numbers.into_iter().for_each(|number| feed.deliver(event(number))))
        });
        let mut came: Vec<_> = (0..4).map(|_| number(feed.next().unwrap())).collect();
        links.into_iter().for_each(|link| link.join().unwrap());
        let first = |came: &[u8]| came.iter().copied().filter(|number| *number < 10).collect::<Vec<_>>();
        assert_eq!(first(&came), [1, 2], "in order");
        came.sort();
        assert_eq!(came, [1, 2, 11, 12]);
    });
}

#[test]
fn two_readers_get_an_event_each_or_the_end() {
    loom::model(|| {
        let feed = feed();
        feed.add_reader();
        let readers = [(); 2].map(|()| {
            let feed = Arc::clone(&feed);
            spawn(move || std::iter::from_fn(|| feed.next()).map(number).collect::<Vec<_>>())
        });
        feed.deliver(event(1));
        feed.deliver(event(2));
        feed.end();
        let mut came = readers.map(|reader| reader.join().unwrap()).concat();
        came.sort();
        assert_eq!(came, [1, 2]);
    });
}

#[test]
fn who_waits_for_room_goes_on_when_the_last_reader_goes_or_the_mesh_is_closed() {
    for close in [false, true] {
        loom::model(move || {
            let feed = feed();
            feed.deliver(event(0));
            let links = [1, 2].map(|number| {
                let feed = Arc::clone(&feed);
                spawn(move || feed.deliver(event(number)))
            });
            if close {
                feed.close();
            } else {
                feed.remove_reader();
            }
            links.into_iter().for_each(|link| link.join().unwrap());
        });
    }
}

/// The handle of a link whose queue holds one small event.
fn peer() -> Peer {
    let mut config = MeshConfig::default();
    config.link.max_queued = 12;
    config.link.pack = 1;
    config.link.close_timeout = core::time::Duration::from_secs(1_000_000);
    let clock = Clock::start();
    let link = Mesh::new(config).handle_accepted(clock.now(), ([127, 0, 0, 1], 1).into()).unwrap();
    Peer::new(link, ([127, 0, 0, 1], 1).into(), Side::Accepted, clock)
}

/// Has a thread write until the end, and says how many writes it did.
fn writer(peer: &Peer) -> loom::thread::JoinHandle<usize> {
    let shared = peer.shared();
    spawn(move || {
        let mut chunks = Chunks::default();
        std::iter::from_fn(|| shared.next_write(&mut chunks))
            .filter(|write| *write == WriteKind::Chunks)
            .count()
    })
}

#[test]
fn what_is_sent_is_written_without_further_word() {
    loom::model(|| {
        let peer = peer();
        let writer = spawn({
            let shared = peer.shared();
            move || shared.next_write(&mut Chunks::default())
        });
        peer.send("e", "one").unwrap();
        assert!(writer.join().unwrap().is_some());
    });
}

#[test]
fn whoever_waits_to_send_is_written() {
    loom::model(|| {
        let peer = peer();
        let writer = writer(&peer);
        let sender = spawn({
            let peer = peer.clone();
            move || (0..2).for_each(|_| peer.send("e", "one").unwrap())
        });
        peer.send("e", "two").unwrap();
        sender.join().unwrap();
        peer.disconnect();
        peer.shared().eof();
        assert_eq!(writer.join().unwrap(), 3);
    });
}

/// The reading thread takes the word that there is room for itself, and passes it on.
#[test]
fn a_reader_that_polls_takes_no_room_from_who_waits() {
    loom::model(|| {
        let peer = peer();
        let writer = writer(&peer);
        let reader = spawn({
            let shared = peer.shared();
            move || shared.look()
        });
        (0..3).for_each(|_| peer.send("e", "one").unwrap());
        reader.join().unwrap();
        peer.disconnect();
        peer.shared().eof();
        assert_eq!(writer.join().unwrap(), 3);
    });
}

#[test]
fn whoever_waits_to_send_is_told_of_the_end() {
    loom::model(|| {
        let peer = peer();
        peer.send("e", "one").unwrap();
        let senders = [(); 2].map(|()| {
            let peer = peer.clone();
            spawn(move || peer.send("e", "two"))
        });
        peer.disconnect();
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
        }
    });
}
