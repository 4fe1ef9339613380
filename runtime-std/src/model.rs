//! The threads that share a link or the events of a mesh, in every order they can run in: no wake-up is lost.
//!
//! A thread that waits for a time waits for ever here, so nothing in these scenarios is saved by a timeout.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::spawn;
use poolmesh_proto::driver;
use poolmesh_proto::wire::{Frame, FrameReader};
use poolmesh_proto::{Chunks, Encoded, Instant, Mesh, MeshConfig, SendError, Side, WriteKind};

use crate::clock::Clock;
use crate::events::Feed;
use crate::link::Peer;

thread_local! {
    /// The time of the model, and by how much it goes on whenever somebody looks, in microseconds. A model and all its
    /// threads are run by one thread of the system.
    static TIME: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// What a clock shows: a real one would make two runs of one order differ.
pub(crate) fn now() -> Instant {
    let (now, pace) = TIME.get();
    TIME.set((now + pace, pace));
    Instant::from_micros(now)
}

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

/// A connection that takes some bytes at once, and those of who waits always.
pub(crate) struct Connection {
    at_once: usize,
    came: Mutex<Vec<u8>>,
    /// Touched before each write, so that the model may have another thread write first.
    writes: AtomicUsize,
}

impl Connection {
    fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self { at_once, came: Mutex::new(Vec::new()), writes: AtomicUsize::new(0) })
    }

    fn write(&self, bytes: &[u8]) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.came.lock().unwrap().extend_from_slice(bytes);
    }

    /// The payloads of all that came.
    fn events(&self) -> Vec<String> {
        let came = std::mem::take(&mut *self.came.lock().unwrap());
        let (mut reader, mut events) = (FrameReader::new(100), Vec::new());
        reader.push(Bytes::from(came));
        while let Ok(Some(Frame::Message(message))) = reader.next_frame() {
            events.push(String::from_utf8(message.payload().to_vec()).unwrap());
        }
        assert_eq!(reader.unfinished(), 0, "whole frames");
        events
    }
}

pub(crate) fn write_without_waiting(connection: &Connection, bytes: &[u8]) -> usize {
    let taken = bytes.len().min(connection.at_once);
    connection.write(&bytes[..taken]);
    taken
}

pub(crate) fn write_chunks_without_waiting(connection: &Connection, chunks: &mut Chunks) {
    let bytes = chunks.slices().collect::<Vec<_>>().concat();
    chunks.advance(write_without_waiting(connection, &bytes));
}

/// Has a thread write all that senders leave until the end.
fn write_to(peer: &Peer, connection: &Arc<Connection>) -> loom::thread::JoinHandle<()> {
    peer.shared().connect(connection);
    let (shared, connection) = (peer.shared(), Arc::clone(connection));
    spawn(move || {
        let mut chunks = Chunks::default();
        while let Some(write) = shared.next_write(&mut chunks) {
            if write == WriteKind::Chunks {
                chunks.slices().for_each(|slice| connection.write(slice));
            }
        }
    })
}

/// Events come once, in the order of their sender, whoever of all writes them: all at once or not, if the connection
/// takes all, a part or nothing without waiting, by senders that follow each other closely or slowly.
fn share_the_writing(send: fn(&Peer) -> bool) {
    for (at_once, pace) in [0, 5, usize::MAX].into_iter().flat_map(|at_once| [(at_once, 0), (at_once, 100)]) {
        loom::model(move || {
            TIME.set((0, pace));
            let (peer, connection) = (peer(), Connection::new(at_once));
            let writer = write_to(&peer, &connection);
            let sender = spawn({
                let peer = peer.clone();
                move || peer.send("e", "a").unwrap()
            });
            let mut expected = if send(&peer) { vec!["b", "c"] } else { vec!["c"] };
            peer.send("e", "c").unwrap();
            sender.join().unwrap();
            peer.disconnect();
            peer.shared().eof();
            writer.join().unwrap();
            let mut came = connection.events();
            let mine: Vec<_> = came.iter().filter(|event| *event != "a").cloned().collect();
            assert_eq!(mine, expected, "in order");
            came.sort();
            expected.insert(0, "a");
            assert_eq!(came, expected, "each once");
        });
    }
}

#[test]
fn senders_and_the_writer_share_the_writing() {
    share_the_writing(|peer| peer.send("e", "b").is_ok());
}

/// Such an event goes past the queue. Who finds no room is told so.
#[test]
fn senders_of_encoded_events_share_the_writing() {
    share_the_writing(|peer| peer.send_encoded(now(), &Encoded::new("e", "b").unwrap()).is_ok());
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
