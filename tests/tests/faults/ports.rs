//! Closed UDP ports, of which the system tells who sends there (ICMP).

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::thread;

use poolmesh_proto::wire::{Request, classic};
use poolmesh_proto::{CallFailed, ClientConfig};
use poolmesh_testkit::conformance::{Server, client_config, ids, pool_ended};
use poolmesh_testkit::patience::{PATIENCE, eventually, guarded, until};
use poolmesh_testkit::runtime::{ClassicSmol, ClassicStd, Client, Runtime};

use super::millis;

fn closed_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Whether this system tells a connected socket that a port is closed.
fn tells(closed: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(closed).unwrap();
    socket.set_read_timeout(Some(millis(500))).unwrap();
    socket.send(&[2]).unwrap();
    let answer = socket.recv(&mut [0; 16]);
    answer.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn impatient<R: Runtime>() -> ClientConfig {
    let mut config = client_config::<R>();
    config.call_timeout = millis(200);
    config
}

/// A client whose datagrams meet a closed port is told so again and again; it lives, its calls end in time, and as soon
/// as somebody serves there they succeed.
fn a_client_outlives_it<R: Runtime>() {
    let closed = closed_port();
    if !tells(closed) {
        println!("skipped: this system doesn't tell of closed ports");
        return;
    }
    let client = R::Client::connect_with(&closed.to_string(), impatient::<R>()).unwrap();
    for _ in 0..5 {
        assert!(matches!(client.list(), Err(CallFailed::TimedOut { .. })));
        assert!(matches!(client.create(), Err(CallFailed::TimedOut { .. })));
    }
    let mut server = Server::start_at::<R>(closed);
    let pool = eventually("it is answered", || client.create().ok());
    // The pings of a host meet it, too: more than one in the time of a call.
    server.stop();
    assert!(matches!(client.list(), Err(CallFailed::TimedOut { .. })));
    let mut ended = client.events();
    server.restart::<R>();
    assert_eq!(pool_ended::<R::Client>(&mut ended).0, pool.id());
    assert!(client.create().is_ok());
}

/// A broadcaster answers those who have gone, and serves the others as before. (Linux doesn't tell a socket that isn't
/// connected of closed ports, Windows does.)
fn a_broadcaster_outlives_it<R: Runtime>() {
    let server = Server::start::<R>();
    let client = R::Client::connect_with(&server.address().to_string(), client_config::<R>()).unwrap();
    let request = |request| {
        let mut datagram = bytes::BytesMut::new();
        classic::encode_request(&request, &mut datagram);
        datagram
    };
    let (create, list) = (request(Request::Create), request(Request::List));
    for _ in 0..50 {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        gone.set_read_timeout(Some(PATIENCE)).unwrap();
        gone.send_to(&create, server.address()).unwrap();
        gone.recv(&mut [0; 1_024]).unwrap();
        gone.send_to(&list, server.address()).unwrap();
        // The answer to the list meets a closed port, or is dropped with the socket; the notice that the pool has ended
        // meets one for sure.
    }
    let pool = client.create().unwrap().id();
    until("the pools of those who have gone have ended", || ids(&client) == [pool]);
    assert_eq!(client.join(pool).unwrap().id(), pool);
}

#[test]
fn a_std_client_outlives_a_closed_port() {
    guarded(a_client_outlives_it::<ClassicStd>);
}

#[test]
fn a_smol_client_outlives_a_closed_port() {
    guarded(a_client_outlives_it::<ClassicSmol>);
}

#[test]
fn a_std_broadcaster_outlives_closed_ports() {
    guarded(a_broadcaster_outlives_it::<ClassicStd>);
}

#[test]
fn a_smol_broadcaster_outlives_closed_ports() {
    guarded(a_broadcaster_outlives_it::<ClassicSmol>);
}

/// The word of a closed port may come out of the next `send` instead, which then has sent nothing. That datagram is not
/// lost by it: a create would be sent again late, if at all.
///
/// Here the task that receives, and would take the word, is kept from running: it is the only executor's.
#[cfg(unix)]
fn a_datagram_after_one_that_met_a_closed_port<R: Runtime>() {
    let closed = closed_port();
    if !tells(closed) {
        println!("skipped: this system doesn't tell of closed ports");
        return;
    }
    let mut config = ClientConfig::classic();
    (config.resend_after, config.recreate_after) = (PATIENCE, None);
    let client = R::Client::connect_with(&closed.to_string(), config).unwrap();
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    smol::spawn(async move {
        tell.send(()).unwrap();
        let _ = wait.recv();
    })
    .detach();
    told.recv().unwrap();
    let lists = thread::spawn({
        let client = client.clone();
        move || client.list()
    });
    until("it has asked", || client.stats().sent == 1);
    let server = UdpSocket::bind(closed).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let creates = thread::spawn({
        let client = client.clone();
        move || client.create()
    });
    let mut request = [0; 16];
    assert_eq!(server.recv(&mut request).unwrap(), 1);
    assert_eq!(request[0], 0, "the create has come");
    drop(go);
    client.close();
    assert!(lists.join().unwrap().is_err() && creates.join().unwrap().is_err());
}

#[cfg(unix)]
#[test]
fn a_datagram_is_sent_though_the_one_before_met_a_closed_port() {
    let name = "ports::a_datagram_is_sent_though_the_one_before_met_a_closed_port";
    super::alone::alone(name, a_datagram_after_one_that_met_a_closed_port::<ClassicSmol>);
}
