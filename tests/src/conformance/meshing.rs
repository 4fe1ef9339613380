//! Dialing, listening, accepting.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use poolmesh_proto::driver::{ConnectFailed, Event};
use poolmesh_proto::{ConnectError, DialFailure, Fault, MeshConfig, Side};

use super::{Server, client, linked, mesh};
use crate::patience::{now, until};
use crate::raw::{RawPeer, SilentPort};
use crate::runtime::{Client, Events, Mesh, Peer, Runtime};

/// A peer listens at the number of its client's UDP port, and not before it connects to the pool.
pub fn listens_at_the_clients_port<R: Runtime>() {
    let server = Server::start::<R>();
    let client = client::<R>(server.address());
    let mesh = mesh::<R>();
    let mut events = mesh.events();
    let port = client.local_addr().port();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is held, not open");
    let report = mesh.connect_to_pool(&client, &client.create().unwrap()).unwrap();
    assert_eq!(report.listening.unwrap().port(), port);
    assert!(report.connected.is_empty() && report.failed.is_empty());
    let Some(Event::Listening(at)) = events.next() else { panic!("no word of listening") };
    assert_eq!(at.port(), port);
    let _raw = RawPeer::dial(([127, 0, 0, 1], port).into());
    assert!(mesh.accept().is_some());
}

/// That some listed peers can't be reached is no failure: the report says whom it reached and whom not.
pub fn partial_success<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, joiner) = (client::<A>(server.address()), client::<B>(server.address()));
    let mut config = MeshConfig::default();
    config.dial_attempts = 2;
    let (a, b) = (mesh::<A>(), <B::Mesh as Mesh<B>>::with_config(config));
    let mut events = b.events();
    let pool = host.create().unwrap();
    a.connect_to_pool(&host, &pool).unwrap();
    // One who joins, but listens nowhere.
    let idle = client::<B>(server.address());
    let silent = idle.join(pool.id()).unwrap().you();

    let joined = joiner.join(pool.id()).unwrap();
    assert_eq!(joined.peers().len(), 3);
    let report = b.connect_to_pool(&joiner, &joined).unwrap();
    let [peer] = &report.connected[..] else { panic!("{report:?}") };
    assert_eq!((peer.address(), peer.side()), (pool.you(), Side::Dialed));
    let failure = DialFailure::Failed { fault: Fault::Refused, attempts: 2 };
    assert_eq!(report.failed, [(silent, failure)]);
    assert_eq!(report.listening.unwrap().port(), joined.you().port());
    let told = std::iter::from_fn(|| events.try_next())
        .any(|event| matches!(event, Event::Unreachable(at, why) if (at, why) == (silent, failure)));
    assert!(told, "the events tell of it as well");
    let accepted = a.accept().unwrap();
    assert_eq!(accepted.side(), Side::Accepted);
}

/// A peer that starts to listen a little late is reached by trying again.
pub fn a_late_listener_is_reached<R: Runtime>() {
    let port = SilentPort::take();
    let address = port.address();
    let late = thread::spawn(move || {
        crate::patience::pause(Duration::from_millis(300));
        port.listen()
    });
    let mesh = mesh::<R>();
    let peer = mesh.connect_to_peer(&address.to_string()).unwrap();
    assert_eq!(peer.address(), address);
    let dials = mesh.stats().dials;
    assert!((3..=5).contains(&dials), "{dials} attempts: they are made at 0, 100, 300, 700 ms");
    let _accepted = late.join().unwrap().accept().unwrap();
}

/// Nobody there: an error that says where, why, and how often it was tried.
pub fn an_unreachable_peer<R: Runtime>() {
    let port = SilentPort::take();
    let mut config = MeshConfig::default();
    (config.dial_attempts, config.dial_backoff) = (3, Duration::from_millis(20));
    let mesh = <R::Mesh as Mesh<R>>::with_config(config);
    let error = mesh.connect_to_peer(&port.address().to_string()).unwrap_err();
    let ConnectFailed::Unreachable { address, failure } = &error else { panic!("{error:?}") };
    assert_eq!(*address, port.address());
    assert_eq!(*failure, DialFailure::Failed { fault: Fault::Refused, attempts: 3 });
    assert!(error.to_string().contains(&port.address().to_string()), "{error}");
    // A first attempt later is a first attempt again.
    let _listener = port.listen();
    assert!(mesh.connect_to_peer(&address.to_string()).is_ok());
}

/// A peer who doesn't answer at all is given up in time.
pub fn a_peer_that_does_not_answer<R: Runtime>() {
    // A full backlog: the system drops further attempts.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let filled: Vec<_> =
        (0..8).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50))).collect();
    if filled.iter().all(Result::is_ok) {
        println!("skipped: this system accepts connections beyond the backlog");
        return;
    }
    let mut config = MeshConfig::default();
    config.dial_timeout = Duration::from_millis(100);
    config.dial_deadline = Duration::from_millis(350);
    let mesh = <R::Mesh as Mesh<R>>::with_config(config);
    let start = now();
    let error = mesh.connect_to_peer(&address.to_string()).unwrap_err();
    let ConnectFailed::Unreachable { failure: DialFailure::Failed { fault, attempts }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((fault, attempts), (Fault::TimedOut, 2));
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A link that stands is given again, not dialed again, also to those who ask at the same time.
pub fn one_link_for_one_address<R: Runtime>() {
    let there = mesh::<R>();
    let at = there.listen(0).unwrap().port();
    let here = mesh::<R>();
    let asks = [(); 4].map(|()| {
        let here = here.clone();
        thread::spawn(move || here.connect_to_peer(&format!("127.0.0.1:{at}")).unwrap().id())
    });
    let ids = asks.map(|ask| ask.join().unwrap());
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!((here.stats().dialed, here.peers().len()), (1, 1));
    let peer = there.accept().unwrap();
    peer.disconnect();
    until("the link has ended", || here.peers().is_empty());
    let again = here.connect_to_peer(&format!("127.0.0.1:{at}")).unwrap();
    assert!(again.id() != ids[0] && again.is_connected());
}

/// A peer that was accepted comes out of `accept`, and as an event.
pub fn accept_as_call_and_as_event<R: Runtime>() {
    let mesh = mesh::<R>();
    let mut events = mesh.events();
    let at = mesh.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(matches!(events.next(), Some(Event::Listening(listening)) if listening == at));
    let waits = thread::spawn({
        let mesh = mesh.clone();
        move || mesh.accept().unwrap().id()
    });
    let raw = RawPeer::dial(at);
    let Some(Event::Connected(peer)) = events.next() else { panic!("no word of the peer") };
    assert_eq!((peer.id(), peer.side()), (waits.join().unwrap(), Side::Accepted));
    assert_eq!(mesh.peers().iter().map(Peer::id).collect::<Vec<_>>(), [peer.id()]);
    // One who has gone before anybody asked is not given.
    drop(raw);
    let gone = RawPeer::dial(at);
    until("it was accepted", || mesh.stats().accepted == 2);
    drop(gone);
    until("it is gone", || mesh.peers().is_empty());
    let _stays = RawPeer::dial(at);
    assert!(mesh.accept().unwrap().is_connected());
}

/// To listen elsewhere is to listen no more where it was; links stay.
pub fn listening_elsewhere<R: Runtime>() {
    let mesh = mesh::<R>();
    let first = mesh.listen(0).unwrap().port();
    let mut raw = RawPeer::dial(([127, 0, 0, 1], first).into());
    let peer = mesh.accept().unwrap();
    let second = mesh.listen(0).unwrap().port();
    assert_ne!(first, second);
    until("the first port is closed", || TcpStream::connect(("127.0.0.1", first)).is_err());
    let _raw = RawPeer::dial(([127, 0, 0, 1], second).into());
    peer.send(b"still", &b"here"[..]).unwrap();
    assert_eq!(raw.read(), ("still".into(), b"here".to_vec()));
}

/// A port that somebody else has: an error that says which.
pub fn a_port_that_is_taken<R: Runtime>() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let at = taken.local_addr().unwrap();
    let mesh = mesh::<R>();
    let error = mesh.listen(at.port()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&at.port().to_string()), "{error}");
    assert!(mesh.listen(0).is_ok(), "another one can be had");
}

/// More links than allowed are refused, on either side.
pub fn as_many_links_as_allowed<R: Runtime>() {
    let mut config = MeshConfig::default();
    config.max_links = 1;
    let full = <R::Mesh as Mesh<R>>::with_config(config);
    let at = full.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let (_peer, mut first) = RawPeer::dialed_by::<R>(&full);
    RawPeer::dial(at).expect_gone();
    let other = mesh::<R>();
    let at = other.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let error = full.connect_to_peer(&at.to_string()).unwrap_err();
    let ConnectFailed::Unreachable { failure, .. } = error else { panic!("{error:?}") };
    assert_eq!((failure, full.stats().refused), (DialFailure::TooManyLinks, 2));
    full.peers()[0].send(b"e", &b""[..]).unwrap();
    assert_eq!(first.read().0, "e");
}

/// A closed mesh does nothing, and says so.
pub fn a_closed_mesh<R: Runtime>() {
    let link = linked::<R, R>();
    let waits = thread::spawn({
        let mesh = link.a.clone();
        move || mesh.accept().is_none()
    });
    let mut events = link.a.events();
    link.a.close();
    link.a.close();
    assert!(waits.join().unwrap(), "accept ends");
    let rest: Vec<_> = std::iter::from_fn(|| events.next()).collect();
    assert!(matches!(&rest[..], [Event::Disconnected(..)]), "{rest:?}");
    assert!(link.a.peers().is_empty());
    let error = link.a.connect_to_peer("127.0.0.1:1").unwrap_err();
    assert!(matches!(error, ConnectFailed::Misuse(ConnectError::Closed)), "{error:?}");
    assert!(link.a.listen(0).is_err());
    assert!(link.a.events().next().is_none());
    drop(link.b);
}

/// When a mesh is closed, another one can take its place at the same client, and its port.
pub fn a_second_mesh_of_one_client<R: Runtime>() {
    let server = Server::start::<R>();
    let client = client::<R>(server.address());
    let pool = client.create().unwrap();
    let first = mesh::<R>();
    let at = first.connect_to_pool(&client, &pool).unwrap().listening.unwrap();
    let raw = RawPeer::dial(([127, 0, 0, 1], at.port()).into());
    assert!(first.accept().is_some());
    first.close();
    drop((first, raw));
    let second = mesh::<R>();
    until("the second one listens", || {
        second.connect_to_pool(&client, &pool).unwrap().listening.is_ok_and(|again| again == at)
    });
    let _raw = RawPeer::dial(([127, 0, 0, 1], at.port()).into());
    assert!(second.accept().is_some());
}
