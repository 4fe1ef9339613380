//! A network that is cut: nothing comes, not even the news of it.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use poolmesh_proto::{CloseReason, SendError};
use poolmesh_testkit::patience::{PATIENCE, guarded, now, pause, until};
use poolmesh_testkit::relay::Relay;
use poolmesh_testkit::runtime::{Mesh, Peer, Runtime, Smol, Std};

use super::{mesh, millis};

const IDLE: Duration = millis(600);

/// How often a peer that is there says so.
const BEAT: Duration = millis(100);

/// Tells when and why a link ends.
fn ends<P: Peer>(peer: &P) -> mpsc::Receiver<(CloseReason, std::time::Instant)> {
    let (tell, ended) = mpsc::channel();
    peer.on_disconnect(move |_, reason| {
        let _ = tell.send((reason, now()));
    });
    ended
}

/// A peer behind a network that goes black is found within the idle timeout, from both sides, whatever is queued for it;
/// those who wait to send to it are told; a peer that still says something stays.
fn is_found<R: Runtime>() {
    let config = |config: &mut poolmesh_proto::MeshConfig| {
        config.link.idle_timeout = Some(IDLE);
        config.link.max_queued = 64 * 1_024;
    };
    let (here, there, stays) = (mesh::<R>(config), mesh::<R>(config), mesh::<R>(config));
    let listen = |mesh: &R::Mesh| mesh.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let relay = Relay::new(listen(&there));
    let cut = here.connect_to_peer(&relay.address().to_string()).unwrap();
    let cut_there = there.accept().unwrap();
    let whole = here.connect_to_peer(&listen(&stays).to_string()).unwrap();
    let whole_there = stays.accept().unwrap();
    let (stop, stopped) = mpsc::channel::<()>();
    let beats = thread::spawn(move || {
        while stopped.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
            if whole.send(b"beat", &b""[..]).is_err() || whole_there.send(b"beat", &b""[..]).is_err() {
                return false;
            }
        }
        true
    });
    let (ended, ended_there) = (ends(&cut), ends(&cut_there));
    let start = now();
    while start.elapsed() < 2 * IDLE {
        cut.send(b"beat", &b""[..]).unwrap();
        cut_there.send(b"beat", &b""[..]).unwrap();
        pause(BEAT);
    }
    assert!(cut.is_connected() && cut_there.is_connected(), "neither is idle");

    let cut_at = now();
    relay.go_black();
    let sends = thread::spawn(move || {
        let payload = bytes::Bytes::from(vec![0; 32 * 1_024]);
        loop {
            if let Err(error) = cut.send(b"n", payload.clone()) {
                return error;
            }
        }
    });
    for ended in [ended, ended_there] {
        let (reason, at) = ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!(reason, CloseReason::Idle);
        assert!(at - cut_at >= IDLE - 2 * BEAT, "too soon: {:?}", at - cut_at);
    }
    assert_eq!(sends.join().unwrap(), SendError::Closed);
    until("the mesh knows", || here.peers().len() == 1 && there.peers().is_empty());
    stop.send(()).unwrap();
    assert!(beats.join().unwrap(), "the other link is not touched");
}

#[test]
fn a_cut_is_found_by_std() {
    guarded(is_found::<Std>);
}

#[test]
fn a_cut_is_found_by_smol() {
    guarded(is_found::<Smol>);
}

/// The same without a relay, in a network of its own that is taken down: not even the system knows of the other end.
/// What is taken up again in time goes on, and nothing is lost.
#[cfg(target_os = "linux")]
fn a_network_that_is_down<R: Runtime>() {
    use poolmesh_testkit::conformance::{Server, client_config};
    use poolmesh_testkit::runtime::{Client, Events};

    use super::alone::set_loopback;

    set_loopback("up");
    let server = Server::start::<R>();
    let mut hasty = client_config::<R>();
    hasty.call_timeout = millis(300);
    let client = R::Client::connect_with(&server.address().to_string(), hasty).unwrap();
    client.list().unwrap();
    let (here, there) = (mesh::<R>(|_| {}), mesh::<R>(|config| config.link.idle_timeout = Some(8 * IDLE)));
    let at = there.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let to_there = here.connect_to_peer(&at.to_string()).unwrap();
    let to_here = there.accept().unwrap();
    let mut events = there.events();
    to_there.send(b"n", 0u32.to_le_bytes().to_vec()).unwrap();

    set_loopback("down");
    for n in 1..1_000u32 {
        to_there.send(b"n", n.to_le_bytes().to_vec()).unwrap();
    }
    assert!(client.list().is_err() && client.create().is_err());
    set_loopback("up");
    for expected in 0..1_000u32 {
        let message = loop {
            match events.next().unwrap() {
                poolmesh_proto::driver::Event::Received(_, message) => break message,
                other => {
                    assert!(!matches!(other, poolmesh_proto::driver::Event::Disconnected(..)), "{other:?}")
                }
            }
        };
        assert_eq!(message.payload(), expected.to_le_bytes());
    }
    until("the broadcaster is heard again", || client.list().is_ok());

    let ended = ends(&to_here);
    set_loopback("down");
    to_here.send(b"n", &b"into the void"[..]).unwrap();
    // On a busy machine a thread that is told the time late takes it for a stall, and waits as long again.
    assert_eq!(ended.recv_timeout(2 * PATIENCE).unwrap().0, CloseReason::Idle);
    until("the mesh knows", || there.peers().is_empty());
    set_loopback("up");
    drop(server);
}

#[cfg(target_os = "linux")]
#[test]
fn std_in_a_network_that_is_down() {
    super::alone::alone_in_a_network("cut::std_in_a_network_that_is_down", a_network_that_is_down::<Std>);
}

#[cfg(target_os = "linux")]
#[test]
fn smol_in_a_network_that_is_down() {
    super::alone::alone_in_a_network("cut::smol_in_a_network_that_is_down", a_network_that_is_down::<Smol>);
}
