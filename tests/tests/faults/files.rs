//! No file descriptors left.

use std::fs::File;

use poolmesh_proto::driver::{ConnectFailed, Event};
use poolmesh_proto::{ClientConfig, DialFailure, Fault};
use poolmesh_testkit::patience::{PATIENCE, now, pause, until};
use poolmesh_testkit::raw::RawPeer;
use poolmesh_testkit::runtime::{Client, Events, Mesh, Peer, Runtime, Smol, Std};
use socket2::{Domain, Socket, Type};

use super::alone::{alone, processor_time, set_files};
use super::{linked, mesh, millis};

/// How many the process may open. Enough for what it runs on, and soon filled.
const FILES: u64 = 96;

/// Connections that wait to be accepted.
const WAITING: usize = 8;

/// All files that can still be had.
fn fill() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// `accept` fails for want of a descriptor: it is tried again after a pause, links that stand go on, and those who wait
/// are accepted when there are descriptors again.
///
/// That it pauses is seen by the processor time of the process, which a loop without one would take for itself: it is
/// held against the time that passes meanwhile.
fn accepting<R: Runtime>() {
    let link = linked::<R>();
    let mut events = link.there.events();
    let full = mesh::<R>(|config| config.dial_backoff = millis(1));
    let at = full.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let sockets: Vec<_> =
        (0..WAITING).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    set_files(FILES);
    let filled = fill();
    assert!(!filled.is_empty());

    // To connect takes no descriptor, to be accepted does.
    let connect = |socket: Socket| {
        socket.connect_timeout(&at.into(), PATIENCE).unwrap();
        RawPeer::new(socket.into())
    };
    let mut waiting: Vec<_> = sockets.into_iter().map(connect).collect();
    assert!(File::open("/dev/null").is_err(), "none is left");
    let (start, spent) = (now(), processor_time());
    pause(millis(700));
    let (passed, spent) = (start.elapsed(), processor_time() - spent);
    assert!(spent < passed / 10, "{spent:?} of processor time within {passed:?}: it doesn't pause");
    // An `accept` that waited already when the files ran out has one put by, on Linux.
    let accepted = full.stats().accepted;
    assert!(accepted <= 1, "{accepted} are accepted without a file");

    // What stands goes on.
    for n in 0..100u32 {
        link.to_there.send(b"n", n.to_le_bytes().to_vec()).unwrap();
        link.to_here.send(b"unheard", &b""[..]).unwrap();
    }
    let mut received = 0;
    until("all has come", || {
        while let Some(event) = events.try_next() {
            received += u32::from(matches!(event, Event::Received(..)));
        }
        received == 100
    });
    // What needs a descriptor says so.
    let error = full.connect_to_peer(&at.to_string()).unwrap_err();
    let ConnectFailed::Unreachable { failure: DialFailure::Failed { fault, .. }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(fault, Fault::NoResources);
    assert!(mesh::<R>(|_| {}).listen(0).is_err());
    assert!(R::Client::connect_with("127.0.0.1:1", ClientConfig::classic()).is_err());
    assert_eq!(full.stats().accepted, accepted);

    drop(filled);
    until("those who waited are accepted", || full.stats().accepted == WAITING as u64);
    full.on("ask", |peer, _| peer.try_send(b"answer", &b""[..]).unwrap());
    for raw in &mut waiting {
        raw.send("ask", b"");
        assert_eq!(raw.read().0, "answer");
    }
    assert!(R::Client::connect_with("127.0.0.1:1", ClientConfig::classic()).is_ok());
}

#[test]
fn std_accepts_again_when_there_are_files() {
    alone("files::std_accepts_again_when_there_are_files", accepting::<Std>);
}

#[test]
fn smol_accepts_again_when_there_are_files() {
    alone("files::smol_accepts_again_when_there_are_files", accepting::<Smol>);
}
