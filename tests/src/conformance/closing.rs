//! How links end, and what is said of it.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{CloseReason, Fault, MeshConfig};

use super::{disconnected, link, linked, mesh, number_of, numbered, received};
use crate::patience::{PATIENCE, now, until};
use crate::raw::{RawPeer, frame};
use crate::runtime::{Mesh, Peer, Runtime};

/// Notes how a link ends: the reasons its handlers are told, and those its mesh tells.
struct Noted<R: Runtime> {
    mesh: R::Mesh,
    peer: R::Peer,
    events: R::Events,
    told: mpsc::Receiver<CloseReason>,
}

fn noted<R: Runtime>(config: MeshConfig) -> (Noted<R>, RawPeer) {
    let mesh = <R::Mesh as Mesh<R>>::with_config(config);
    let events = mesh.events();
    let at = mesh.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let raw = RawPeer::dial(at);
    let peer = mesh.accept().unwrap();
    let (tell, told) = mpsc::channel();
    for _ in 0..2 {
        let tell = tell.clone();
        let id = peer.id();
        peer.on_disconnect(move |peer, reason| {
            assert_eq!(peer.id(), id);
            tell.send(reason).unwrap();
        });
    }
    (Noted { mesh, peer, events, told }, raw)
}

impl<R: Runtime> Noted<R> {
    /// Every handler is told once, the events tell once, and who asks later is told at once.
    fn expect_end(mut self) -> CloseReason {
        let (peer, reason) = disconnected::<R>(&mut self.events);
        assert_eq!(peer.id(), self.peer.id());
        assert!(!self.peer.is_connected() && self.mesh.peers().is_empty());
        for _ in 0..2 {
            assert_eq!(self.told.recv_timeout(PATIENCE), Ok(reason));
        }
        let (tell, told) = mpsc::channel();
        self.peer.on_disconnect(move |_, reason| tell.send(reason).unwrap());
        assert_eq!(told.try_recv(), Ok(reason));
        // Nothing more comes: the handlers, and with them their senders, are gone.
        assert_eq!(self.told.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected));
        self.peer.disconnect();
        self.mesh.close();
        let rest: Vec<_> =
            std::iter::from_fn(|| crate::runtime::Events::<R>::next(&mut self.events)).collect();
        assert!(rest.is_empty(), "{rest:?}");
        reason
    }
}

/// To disconnect is to write what is queued, then to close: the other side sees the end behind the last event.
pub fn disconnect_writes_what_is_queued<R: Runtime>() {
    let mut config = MeshConfig::default();
    // So the end that is seen below is not that of the link's patience.
    config.link.close_timeout = PATIENCE * 2;
    let (noted, mut raw) = noted::<R>(config);
    for n in 0..200 {
        noted.peer.try_send(b"n", numbered(n, 4_000)).unwrap();
    }
    noted.peer.disconnect();
    for expected in 0..200 {
        assert_eq!(number_of(&raw.read().1), expected);
    }
    raw.expect_eof();
    // What the other side still says is not heard.
    raw.send("late", b"");
    drop(raw);
    assert_eq!(noted.expect_end(), CloseReason::Local);
}

/// A peer that doesn't close its side keeps the link for the close timeout, no longer.
pub fn disconnect_from_one_who_stays<R: Runtime>() {
    let mut config = MeshConfig::default();
    config.link.close_timeout = Duration::from_millis(150);
    let (noted, mut raw) = noted::<R>(config);
    noted.peer.send(b"last", &b"word"[..]).unwrap();
    let start = now();
    noted.peer.disconnect();
    assert_eq!(raw.read().0, "last");
    raw.expect_eof();
    assert_eq!(noted.expect_end(), CloseReason::Local);
    assert!(start.elapsed() >= Duration::from_millis(150) && start.elapsed() < Duration::from_secs(5));
    raw.expect_gone();
}

/// A peer that doesn't read loses what it hasn't read after the close timeout, and the reason says so.
pub fn disconnect_from_one_who_does_not_read<R: Runtime>() {
    let mut config = MeshConfig::default();
    config.link.close_timeout = Duration::from_millis(150);
    // More than systems take for a peer that doesn't read.
    config.link.max_queued = 24 << 20;
    let (noted, raw) = noted::<R>(config);
    while noted.peer.try_send(b"n", vec![0; 100_000]).is_ok() {}
    noted.peer.disconnect();
    let reason = noted.expect_end();
    assert!(matches!(reason, CloseReason::Unwritten { bytes: 1..=25_165_824 }), "{reason:?}");
    drop(raw);
}

/// The other side closes: what it sent before is received first.
pub fn remote_close<R: Runtime>() {
    let (mut noted, mut raw) = noted::<R>(MeshConfig::default());
    for n in 0..50 {
        raw.send("n", &numbered(n, 1_000));
    }
    raw.finish();
    super::expect_numbers::<R>(&mut noted.events, 0..50);
    raw.expect_eof();
    assert_eq!(noted.expect_end(), CloseReason::Remote);
}

/// The other side breaks off.
pub fn remote_reset<R: Runtime>() {
    let (noted, raw) = noted::<R>(MeshConfig::default());
    raw.reset();
    assert_eq!(noted.expect_end(), CloseReason::Failed(Fault::Reset));
}

/// The other side closes within a frame, be it within the length, the name or the payload.
pub fn cut_within_a_frame<R: Runtime>() {
    let whole = frame(b"name", b"payload");
    for cut in [1, 3, 4, 6, 10, whole.len() - 1] {
        let (mut noted, mut raw) = noted::<R>(MeshConfig::default());
        raw.write(&whole);
        raw.write(&whole[..cut]);
        raw.finish();
        assert!(received::<R>(&mut noted.events).1.is("name"));
        assert_eq!(noted.expect_end(), CloseReason::CutShort, "cut after {cut} bytes");
    }
}

/// A frame longer than the limit ends the link as soon as it is announced; one of just the limit is fine.
pub fn a_frame_too_long<R: Runtime>() {
    let mut config = MeshConfig::default();
    config.link.max_frame = 1_000;
    let (mut noted, mut raw) = noted::<R>(config);
    raw.send("name", &[7; 992]);
    raw.write(&1_001u32.to_le_bytes());
    assert_eq!(received::<R>(&mut noted.events).1.payload().len(), 992);
    assert_eq!(noted.expect_end(), CloseReason::FrameTooLong { len: 1_001 });
    raw.expect_gone();
}

/// Empty frames, and those too short for their name, are skipped and counted, and the link goes on.
pub fn empty_and_malformed_frames<R: Runtime>() {
    let (mut noted, mut raw) = noted::<R>(MeshConfig::default());
    raw.write(&[0; 8]);
    raw.write(b"\x04\0\0\0\xff\xff\xff\xff");
    raw.write(b"\x02\0\0\0ab");
    raw.write(b"\x05\0\0\0\x02\0\0\0a");
    raw.send("good", b"one");
    let (_, message) = received::<R>(&mut noted.events);
    assert!(message.is("good") && message.payload() == b"one");
    let stats = noted.peer.stats();
    assert_eq!((stats.empty, stats.malformed, stats.received), (2, 3, 1));
    drop(raw);
    assert_eq!(noted.expect_end(), CloseReason::Remote);
}

/// Two runtimes: each side's reason is its own.
pub fn each_side_has_its_reason<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let (mut at_a, mut at_b) = (link.a.events(), link.b.events());
    for n in 0..100 {
        link.to_b.send(b"n", numbered(n, 10_000)).unwrap();
    }
    link.to_b.disconnect();
    super::expect_numbers::<B>(&mut at_b, 0..100);
    assert_eq!(disconnected::<B>(&mut at_b).1, CloseReason::Remote);
    assert_eq!(disconnected::<A>(&mut at_a).1, CloseReason::Local);
}

/// Closing the mesh writes what is queued, on every link.
pub fn closing_the_mesh_writes_what_is_queued<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let (_peer, mut raw) = RawPeer::dialed_by::<A>(&link.a);
    let mut events = link.b.events();
    for n in 0..100 {
        assert!(link.a.send_to_all(b"n", numbered(n, 5_000)).is_empty());
    }
    let read = std::thread::spawn(move || {
        (0..100).for_each(|expected| assert_eq!(number_of(&raw.read().1), expected));
        raw.expect_eof();
    });
    link.a.close();
    assert!(link.a.peers().is_empty());
    super::expect_numbers::<B>(&mut events, 0..100);
    assert_eq!(disconnected::<B>(&mut events).1, CloseReason::Remote);
    read.join().unwrap();
}

/// So does dropping it.
pub fn dropping_the_mesh_writes_what_is_queued<A: Runtime, B: Runtime>() {
    let link = linked::<A, B>();
    let mut events = link.b.events();
    for n in 0..100 {
        link.to_b.try_send(b"n", numbered(n, 5_000)).unwrap();
    }
    drop((link.a, link.to_b));
    super::expect_numbers::<B>(&mut events, 0..100);
    assert_eq!(disconnected::<B>(&mut events).1, CloseReason::Remote);
}

/// The mesh can be dropped, and so closed, by a handler of its own and by a handler of a link's end.
pub fn closed_from_within<A: Runtime, B: Runtime>() {
    for at_end in [false, true] {
        let link = linked::<A, B>();
        let mut events = link.a.events();
        let (tell, told) = mpsc::channel();
        let mesh = std::sync::Mutex::new(Some(link.b));
        let close = move || {
            drop(mesh.lock().unwrap().take());
            tell.send(()).unwrap();
        };
        if at_end {
            link.to_a.on_disconnect(move |_, _| close());
            link.to_b.disconnect();
        } else {
            link.to_a.on("close", move |_, _| close());
            link.to_b.send(b"close", Bytes::new()).unwrap();
        }
        assert_eq!(told.recv_timeout(PATIENCE), Ok(()));
        disconnected::<A>(&mut events);
    }
}

/// A handler that panics ends its link, and nothing else.
pub fn a_handler_that_panics<A: Runtime, B: Runtime>() {
    let bystander = mesh::<A>();
    let link = link::<A, B>(mesh::<A>(), mesh::<B>());
    let at = link.to_b.address().to_string();
    let other = bystander.connect_to_peer(&at).unwrap();
    let (mut at_a, mut at_b) = (link.a.events(), link.b.events());
    link.to_a.on("boom", |_, _| panic!("a handler's own fault, part of the test"));
    link.to_b.send(b"boom", &b""[..]).unwrap();
    let (peer, reason) = disconnected::<B>(&mut at_b);
    assert_eq!((peer.id(), reason), (link.to_a.id(), CloseReason::Failed(Fault::HandlerPanicked)));
    disconnected::<A>(&mut at_a);
    other.send(b"n", numbered(1, 4)).unwrap();
    super::expect_numbers::<B>(&mut at_b, 1..2);
    until("one link is left", || link.b.peers().len() == 1);
    let again = link.a.connect_to_peer(&at).unwrap();
    again.send(b"n", numbered(2, 4)).unwrap();
    super::expect_numbers::<B>(&mut at_b, 2..3);
    link.b.close();
}

/// A port is free as soon as `close` has returned, and another address of the same port as soon as the mesh is told to
/// listen there.
pub fn a_port_is_free_at_once<R: Runtime>() {
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let first = mesh::<R>();
    let port = first.listen_on(address).unwrap().port();
    first.close();
    for _ in 0..30 {
        let next = mesh::<R>();
        assert_eq!(next.listen_on(SocketAddr::new(address.ip(), port)).unwrap().port(), port);
        assert_eq!(next.listen(port).unwrap().port(), port, "on all interfaces instead");
        let _peer = next.connect_to_peer(&format!("127.0.0.1:{port}")).unwrap();
        next.close();
    }
}

/// A peer that dials a dual-stack mesh over IPv4 is shown with its IPv4 address.
pub fn a_mapped_address_reads_as_ipv4<R: Runtime>() {
    let there = mesh::<R>();
    let Ok(listening) = there.listen_on("[::]:0".parse().unwrap()) else {
        println!("skipped: no IPv6 here");
        return;
    };
    let here = mesh::<R>();
    let Ok(_link) = here.connect_to_peer(&format!("127.0.0.1:{}", listening.port())) else {
        println!("skipped: IPv6 sockets take no IPv4 here");
        return;
    };
    assert!(there.accept().unwrap().address().is_ipv4());
}
