//! Peers and applications that don't keep up.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use poolmesh_proto::driver::Event;
use poolmesh_proto::{CloseReason, MeshConfig, SendError};

use super::{expect_numbers, fill, link, linked, mesh, number_of, numbered, received};
use crate::patience::{now, pause, throughout, until};
use crate::raw::{RawPeer, frame};
use crate::runtime::{Mesh, Peer, Runtime};

const QUEUED: usize = 64 * 1_024;
const LEN: usize = 8 * 1_024;

/// As many of them as a link hands out together, which is what it reads at a time at the most: 256 KiB, where so much comes.
const AT_ONCE: u64 = 32;

fn narrow() -> MeshConfig {
    let mut config = MeshConfig::default();
    config.link.max_queued = QUEUED;
    config
}

/// A peer that doesn't read: `try_send` answers `Full` at the bound, `send` waits, and when the peer reads, everything
/// arrives in order, once.
pub fn a_peer_that_does_not_read<R: Runtime>() {
    let mesh = <R::Mesh as Mesh<R>>::with_config(narrow());
    let (peer, mut raw) = RawPeer::dialed_by::<R>(&mesh);
    let sent = fill(&peer, LEN);
    assert!(peer.queued() <= QUEUED && peer.queued() + LEN + 16 > QUEUED, "{} queued", peer.queued());
    assert_eq!(peer.try_send(b"n", numbered(sent, LEN)), Err(SendError::Full));
    let sender = thread::spawn({
        let peer = peer.clone();
        move || (sent..sent + 1_000).for_each(|n| peer.send(b"n", numbered(n, LEN)).unwrap())
    });
    throughout(Duration::from_millis(150), "send waits", || !sender.is_finished() && peer.queued() <= QUEUED);
    for expected in 0..sent + 1_000 {
        assert_eq!(number_of(&raw.read().1), expected);
    }
    sender.join().unwrap();
    assert_eq!(peer.stats().sent, u64::from(sent + 1_000));
    peer.disconnect();
    raw.expect_eof();
}

/// While one peer doesn't read, the others get theirs; sending to all says who got nothing.
pub fn others_go_on<R: Runtime>() {
    let here = <R::Mesh as Mesh<R>>::with_config(narrow());
    let (slow, _raw) = RawPeer::dialed_by::<R>(&here);
    let link = link::<R, R>(here, mesh::<R>());
    let mut events = link.b.events();
    fill(&slow, LEN);
    for n in 0..300 {
        link.to_b.send(b"n", numbered(n, LEN)).unwrap();
    }
    expect_numbers::<R>(&mut events, 0..300);
    let mut sent = 300;
    until("the slow one is told of", || {
        let refused = link.a.send_to_all(b"n", numbered(sent, LEN));
        sent += 1;
        let refused: Vec<_> = refused.into_iter().map(|(peer, error)| (peer.id(), error)).collect();
        refused == [(slow.id(), SendError::Full)]
    });
    expect_numbers::<R>(&mut events, 300..sent);
}

/// What is sent to all while a link is at rest goes to its connection at once, which may take none of it: a peer that
/// reads late gets all of it, in order, once.
pub fn the_rest_of_what_went_to_all<R: Runtime>() {
    let here = <R::Mesh as Mesh<R>>::with_config(narrow());
    let (slow, mut raw) = RawPeer::dialed_by::<R>(&here);
    let mut sent = 0;
    while here.send_to_all(b"n", numbered(sent, LEN)).is_empty() {
        sent += 1;
        // So that the next one isn't taken for one of many, which better go together.
        pause(Duration::from_micros(if slow.queued() == 0 { 100 } else { 0 }));
    }
    for expected in 0..sent {
        assert_eq!(number_of(&raw.read().1), expected);
    }
    until("all is written", || slow.queued() == 0);
    assert!(here.send_to_all(b"n", numbered(sent, LEN)).is_empty());
    assert_eq!((number_of(&raw.read().1), slow.stats().sent), (sent, u64::from(sent) + 1));
}

/// Those who wait to send are told when the link is closed, from either side.
pub fn waiting_senders_are_told_of_the_end<R: Runtime>() {
    for remote in [true, false] {
        let mut config = narrow();
        config.link.close_timeout = Duration::from_millis(200);
        let mesh = <R::Mesh as Mesh<R>>::with_config(config);
        let (peer, raw) = RawPeer::dialed_by::<R>(&mesh);
        fill(&peer, LEN);
        let senders = [(); 3].map(|()| {
            let peer = peer.clone();
            thread::spawn(move || peer.send(b"n", numbered(0, LEN)))
        });
        // They wait now, or find it closed at once.
        pause(Duration::from_millis(30));
        if remote {
            raw.reset();
        } else {
            peer.disconnect();
        }
        for sender in senders {
            assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
        }
        until("the link has ended", || mesh.peers().is_empty());
    }
}

/// An application that doesn't take its events stops the sender, within bounds; when it goes on, all are there.
pub fn an_application_that_does_not_read<A: Runtime, B: Runtime>() {
    let mut config = narrow();
    config.max_waiting_events = 16;
    let b = <B::Mesh as Mesh<B>>::with_config(config);
    let link = link::<A, B>(<A::Mesh as Mesh<A>>::with_config(narrow()), b);
    let mut events = link.b.events();
    let sent = fill(&link.to_b, LEN);
    let taken = link.to_a.stats().received;
    assert!(taken <= 16 + AT_ONCE, "{taken} events wait");
    let sender = thread::spawn({
        let peer = link.to_b;
        move || (sent..sent + 1_000).for_each(|n| peer.send(b"n", numbered(n, LEN)).unwrap())
    });
    throughout(Duration::from_millis(100), "the sender waits", || !sender.is_finished());
    expect_numbers::<B>(&mut events, 0..sent + 1_000);
    sender.join().unwrap();
}

/// So does one whose handler takes its time, and other links are not touched by it.
///
/// Its handler blocks, which is for threads only.
pub fn a_handler_that_takes_its_time<R: Runtime>() {
    let link = link::<R, R>(<R::Mesh as Mesh<R>>::with_config(narrow()), mesh::<R>());
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    link.to_a.on("n", move |_, message| {
        // Ends when the test drops its end.
        let _ = wait.lock().unwrap().recv();
        tell.send(number_of(message.payload())).unwrap();
    });
    let sent = fill(&link.to_b, LEN);
    assert!(link.to_a.stats().received <= AT_ONCE);
    let other = link_to::<R>(&link.b);
    let mut events = link.b.events();
    other.send(b"other", numbered(9, LEN)).unwrap();
    expect_numbers::<R>(&mut events, 9..10);
    drop(go);
    for expected in 0..sent {
        assert_eq!(told.recv_timeout(crate::patience::PATIENCE).unwrap(), expected);
    }
}

fn link_to<R: Runtime>(mesh: &R::Mesh) -> R::Peer {
    let at = mesh.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    // Kept alive by its links' own handles as long as the test runs.
    let other = super::mesh::<R>();
    let peer = other.connect_to_peer(&at.to_string()).unwrap();
    std::mem::forget(other);
    peer
}

/// When the application lets go of its events, nothing waits for it any more.
pub fn letting_go_of_events_frees_the_sender<A: Runtime, B: Runtime>() {
    let mut config = narrow();
    config.max_waiting_events = 4;
    let b = <B::Mesh as Mesh<B>>::with_config(config);
    let link = link::<A, B>(<A::Mesh as Mesh<A>>::with_config(narrow()), b);
    let events = link.b.events();
    let sent = fill(&link.to_b, LEN);
    drop(events);
    for n in 0..sent {
        link.to_b.send(b"n", numbered(n, LEN)).unwrap();
    }
    until("all has been read", || link.to_a.stats().received == u64::from(2 * sent));
}

/// A mesh can be closed while its application doesn't take its events, and while a peer doesn't read.
pub fn closing_under_pressure<A: Runtime, B: Runtime>() {
    let mut config = narrow();
    config.max_waiting_events = 4;
    config.link.close_timeout = Duration::from_millis(200);
    let b = <B::Mesh as Mesh<B>>::with_config(config.clone());
    let link = link::<A, B>(<A::Mesh as Mesh<A>>::with_config(config), b);
    let (at_a, mut at_b) = (link.a.events(), link.b.events());
    fill(&link.to_b, LEN);
    fill(&link.to_a, LEN);
    let start = now();
    link.a.close();
    assert!(link.a.peers().is_empty());
    link.b.close();
    assert!(link.b.peers().is_empty());
    assert!(start.elapsed() < Duration::from_secs(5));
    super::disconnected::<B>(&mut at_b);
    drop(at_a);
}

/// Memory that all links share: who finds none waits without turning in circles, and goes on when there is some.
pub fn shared_memory<R: Runtime>() {
    let mut config = narrow();
    config.max_queued_total = QUEUED;
    let link = link::<R, R>(<R::Mesh as Mesh<R>>::with_config(config), mesh::<R>());
    let (slow, mut raw) = RawPeer::dialed_by::<R>(&link.a);
    let mut events = link.b.events();
    let sent = fill(&slow, LEN);
    assert_eq!(link.to_b.try_send(b"n", numbered(0, 2 * LEN)), Err(SendError::Full));
    let before = link.to_b.stats().full;
    let sender = thread::spawn({
        let peer = link.to_b.clone();
        move || peer.send(b"n", numbered(0, 2 * LEN)).unwrap()
    });
    pause(Duration::from_millis(200));
    let tries = link.to_b.stats().full - before;
    assert!(tries <= 100, "{tries} tries within 200 ms");
    for _ in 0..sent {
        raw.read();
    }
    sender.join().unwrap();
    expect_numbers::<R>(&mut events, 0..1);
}

/// A link on which nothing comes for the idle timeout ends; one whose application doesn't keep up is not idle.
pub fn idle<A: Runtime, B: Runtime>() {
    let mut config = narrow();
    config.max_waiting_events = 4;
    config.link.idle_timeout = Some(Duration::from_millis(300));
    let b = <B::Mesh as Mesh<B>>::with_config(config);
    let link = link::<A, B>(<A::Mesh as Mesh<A>>::with_config(narrow()), b);
    let mut events = link.b.events();
    let sent = fill(&link.to_b, LEN);
    pause(Duration::from_millis(600));
    assert!(link.to_a.is_connected(), "the peer has sent, and was not read");
    expect_numbers::<B>(&mut events, 0..sent);
    let (_, reason) = super::disconnected::<B>(&mut events);
    assert_eq!(reason, CloseReason::Idle);
}

/// A link without an idle timeout stays, however quiet it is.
pub fn a_quiet_link_stays<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    throughout(Duration::from_millis(500), "the link stands", || {
        link.to_a.is_connected() && link.to_b.is_connected()
    });
    link.to_b.send(b"n", numbered(0, 4)).unwrap();
    expect_numbers::<B>(&mut events, 0..1);
}

/// A link can be closed while its application doesn't take what it received: the peer sees the end, and the reader gets
/// what was waiting for it already, then the end.
pub fn disconnecting_unread<R: Runtime>() {
    let mut config = narrow();
    config.max_waiting_events = 4;
    config.link.close_timeout = Duration::from_millis(300);
    let mesh = <R::Mesh as Mesh<R>>::with_config(config);
    let mut events = mesh.events();
    let (peer, mut raw) = RawPeer::dialed_by::<R>(&mesh);
    for n in 0..20 {
        raw.send("n", &numbered(n, 10));
    }
    // Of the connection they tell, too.
    until("no more is taken", || peer.stats().received >= 4);
    peer.send(b"last", &b"word"[..]).unwrap();
    peer.disconnect();
    assert_eq!(raw.read().0, "last");
    raw.expect_eof();
    drop(raw);
    let mut expected = 0;
    loop {
        match crate::runtime::Events::<R>::next(&mut events) {
            Some(Event::Received(_, message)) => {
                assert_eq!(number_of(message.payload()), expected);
                expected += 1;
            }
            Some(Event::Disconnected(_, reason)) => break assert_eq!(reason, CloseReason::Local),
            Some(_) => {}
            None => panic!("the events end"),
        }
    }
    assert!((3..=5).contains(&expected), "{expected} events");
}

/// Nor is it idle when each event is read by itself, and the next waits with the system.
pub fn a_slow_application_is_not_idle<A: Runtime, B: Runtime>() {
    let mut config = narrow();
    config.max_waiting_events = 2;
    config.link.idle_timeout = Some(Duration::from_millis(300));
    let b = <B::Mesh as Mesh<B>>::with_config(config);
    let link = link::<A, B>(mesh::<A>(), b);
    let mut events = link.b.events();
    for n in 0..20 {
        link.to_b.send(b"n", numbered(n, 10)).unwrap();
        pause(Duration::from_millis(40));
    }
    expect_numbers::<B>(&mut events, 0..20);
    assert!(link.to_a.is_connected());
}

/// A peer that sends small events as fast as it can, for which there even is a handler, keeps nobody else waiting:
/// twenty questions of another are answered while the flood lasts.
pub fn a_flood_keeps_nobody_waiting<R: Runtime>() {
    let link = link::<R, R>(mesh::<R>(), mesh::<R>());
    link.b.on("flood", |_, _| {});
    link.b.on("ask", |peer, _| peer.try_send(b"answer", &b""[..]).unwrap());
    let mut answers = link.a.events();
    let (stop, stopped) = mpsc::channel::<()>();
    let address = link.to_b.address();
    let flooding = thread::spawn(move || {
        let mut flooder = RawPeer::dial(address);
        let flood = frame(b"flood", b"").repeat(5_000);
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            flooder.write(&flood);
        }
    });
    until("the flood has begun", || link.b.peers().iter().any(|peer| peer.stats().received > 50_000));
    for _ in 0..20 {
        link.to_b.send(b"ask", &b""[..]).unwrap();
        assert!(received::<R>(&mut answers).1.is("answer"));
    }
    assert!(!flooding.is_finished(), "all that while");
    stop.send(()).unwrap();
    flooding.join().unwrap();
}
