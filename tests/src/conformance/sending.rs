//! Sending and receiving.

use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use poolmesh_proto::driver::Event;
use poolmesh_proto::{MeshConfig, Packet, SendError};

use super::{expect_numbers, link, linked, mesh, number_of, numbered, received};
use crate::patience::until;
use crate::runtime::{Events, Mesh, Peer, Runtime};

/// Events of all sizes arrive whole and in order, both ways at a time.
pub fn both_ways_in_order<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let (mut at_a, mut at_b) = (link.a.events(), link.b.events());
    let size = |number: u32| [4, 100, 20_000, 70_000][number as usize % 4];
    let from_a = thread::spawn({
        let peer = link.to_b.clone();
        move || (0..400).for_each(|n| peer.send(b"n", numbered(n, size(n))).unwrap())
    });
    let from_b = thread::spawn({
        let peer = link.to_a.clone();
        move || (0..400).for_each(|n| peer.send(b"n", numbered(n, size(n))).unwrap())
    });
    let reader = thread::spawn(move || expect_numbers::<A>(&mut at_a, 0..400));
    for expected in 0..400 {
        let (peer, message) = received::<B>(&mut at_b);
        assert!(message.is("n") && peer.id() == link.to_a.id());
        assert_eq!(message.payload(), &numbered(expected, size(expected)));
    }
    for thread in [from_a, from_b, reader] {
        thread.join().unwrap();
    }
    assert_eq!((link.to_b.stats().sent, link.to_b.stats().received), (400, 400));
    until("all is written", || link.to_b.queued() == 0);
}

/// Events that are sent in batches come in order with those between them, however long, and none is lost when a batch is
/// dropped.
pub fn batches<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    let size = |number: u32| {
        [4, 21, 100, 1_000, 17_000, 70_000][usize::from(number % 7 == 0) * (number as usize % 6)]
    };
    let sender = thread::spawn({
        let peer = link.to_b.clone();
        move || {
            for batch in 0..40 {
                let numbers = batch * 100..batch * 100 + 99;
                let payloads = numbers.map(|number| numbered(number, size(number)));
                peer.send_in_a_batch(b"n", payloads, batch % 2 == 0).unwrap();
                until("there is room", || peer.queued() == 0);
                peer.send(b"n", numbered(batch * 100 + 99, 4)).unwrap();
            }
        }
    });
    for expected in 0..4_000 {
        let (_, message) = received::<B>(&mut events);
        let len = if expected % 100 == 99 { 4 } else { size(expected) };
        assert!(message.is("n") && message.payload() == numbered(expected, len), "event {expected}");
    }
    sender.join().unwrap();
    assert_eq!(link.to_b.stats().sent, 4_000);
}

/// What came together with an event at which the link is closed is not handed out any more.
pub fn closed_among_many<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let (tell, told) = mpsc::channel();
    link.to_a.on("n", move |peer, message| {
        let number = number_of(message.payload());
        if number == 5 {
            peer.disconnect();
        }
        tell.send(number).unwrap();
    });
    link.to_b.send_in_a_batch(b"n", (0..1_000).map(|number| numbered(number, 4)), true).unwrap();
    until("the link has ended", || link.b.peers().is_empty());
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(link.to_b.send_in_a_batch(b"n", [Bytes::new()], true), Err(SendError::Closed));
}

/// Many threads send on one link: nothing is torn, each one's events keep their order.
pub fn many_senders<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    let senders: Vec<_> = (0..4u8)
        .map(|sender| {
            let peer = link.to_b.clone();
            let send = move |n| peer.send([b'0' + sender].as_slice(), numbered(n, 3_000)).unwrap();
            thread::spawn(move || (0..250).for_each(send))
        })
        .collect();
    let mut next = [0; 4];
    for _ in 0..1_000 {
        let (_, message) = received::<B>(&mut events);
        let sender = usize::from(message.name()[0] - b'0');
        assert_eq!(message.payload(), &numbered(next[sender], 3_000));
        next[sender] += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

/// Names and payloads may be any bytes, none at all among them.
pub fn any_bytes<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    let cases: [(&[u8], &[u8]); 4] =
        [(b"", b""), (b"\xff\0 ", b"\xfe"), (b"empty", b""), (b"", b"only this")];
    for (name, payload) in cases {
        link.to_b.send(name, payload.to_vec()).unwrap();
        let (_, message) = received::<B>(&mut events);
        assert_eq!((message.name(), message.payload()), (name, payload));
    }
    link.to_b.send(b"msg", Packet::new().string("hello").u32(7)).unwrap();
    let (_, message) = received::<B>(&mut events);
    let mut reader = message.reader();
    assert_eq!((reader.string(), reader.u32()), (Ok("hello"), Ok(7)));
}

/// What can't ever be sent is refused at once, and does no harm; nor does sending when all is over.
pub fn too_long_and_too_late<A: Runtime, B: Runtime>() {
    let mut config = MeshConfig::default();
    config.link.max_frame = 1_000;
    let mut link = link::<A, B>(<A::Mesh as Mesh<A>>::with_config(config), mesh::<B>());
    let mut events = link.b.events();
    // Name, its length, payload.
    let error = link.to_b.send(b"n", numbered(0, 996)).unwrap_err();
    assert_eq!(error, SendError::TooLong { len: 1_001, max: 1_000 });
    link.to_b.send(b"n", numbered(0, 995)).unwrap();
    expect_numbers::<B>(&mut events, 0..1);
    link.to_b.disconnect();
    assert_eq!(link.to_b.send(b"n", numbered(1, 4)), Err(SendError::Closed));
    assert_eq!(link.to_b.try_send(b"n", numbered(1, 4)), Err(SendError::Closed));
    assert!(!link.to_b.is_connected());
    until("the link has ended", || link.a.peers().is_empty());
    assert!(link.a.send_to_all(b"n", numbered(1, 4)).is_empty(), "there is nobody");
    link.to_b = link.a.connect_to_peer(&link.to_b.address().to_string()).unwrap();
    link.to_b.send(b"n", numbered(2, 4)).unwrap();
    expect_numbers::<B>(&mut events, 2..3);
}

/// One event goes to every peer.
pub fn to_all<R: Runtime>() {
    let here = mesh::<R>();
    let others = [(); 3].map(|()| {
        let there = mesh::<R>();
        let at = there.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
        here.connect_to_peer(&at.to_string()).unwrap();
        there
    });
    let mut events = others.each_ref().map(Mesh::events);
    for n in 0..100 {
        assert!(here.send_to_all(b"n", numbered(n, 10)).is_empty());
    }
    for events in &mut events {
        expect_numbers::<R>(events, 0..100);
    }
}

/// Events are shared between their readers: each goes to one of them.
pub fn readers_share_events<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let readers = [(); 2].map(|()| {
        let mut events = link.b.events();
        thread::spawn(move || {
            let all = std::iter::from_fn(|| events.next());
            all.filter(|event| matches!(event, Event::Received(..))).count()
        })
    });
    for n in 0..200 {
        link.to_b.send(b"n", numbered(n, 10)).unwrap();
    }
    until("all have come", || link.to_a.stats().received == 200);
    // What was received last may be on its way to a reader yet.
    link.to_b.disconnect();
    until("the link has ended", || link.b.peers().is_empty());
    link.b.close();
    assert_eq!(readers.map(|reader| reader.join().unwrap()).iter().sum::<usize>(), 200);
}
