//! What a host does by itself, and the end of things.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use poolmesh_proto::CallFailed;

use super::{PING_TIMEOUT, Server, client, disconnected, ids, link, mesh, pool_ended, until_listed};
use crate::patience::{pause, throughout, until};
use crate::runtime::{Client, Mesh, Peer, PoolEvents, Runtime};

/// A pool lives as long as its host pings, which it does by itself, and ends when it is released.
pub fn a_pool_lives_until_released<R: Runtime>() {
    let server = Server::start::<R>();
    let (host, other) = (client::<R>(server.address()), client::<R>(server.address()));
    let pool = host.create().unwrap().id();
    throughout(PING_TIMEOUT * 3, "the pool is listed", || ids(&other) == [pool]);
    assert!(host.release(pool));
    assert!(!host.release(pool), "it is hosted no more");
    until_listed(&other, pool, false);
}

/// When the last clone of a client is dropped, its pools end.
pub fn dropping_the_client_ends_its_pools<R: Runtime>() {
    let server = Server::start::<R>();
    let (host, other) = (client::<R>(server.address()), client::<R>(server.address()));
    let pool = host.create().unwrap().id();
    let clone = host.clone();
    drop(host);
    throughout(PING_TIMEOUT * 2, "a clone is the client", || ids(&other) == [pool]);
    drop(clone);
    until_listed(&other, pool, false);
}

/// The host is told that its pool has ended, here because the broadcaster has lost its memory.
pub fn the_host_is_told_of_the_end<R: Runtime>() {
    let mut server = Server::start::<R>();
    let host = client::<R>(server.address());
    let pools = [host.create().unwrap().id(), host.create().unwrap().id()];
    let mut events = host.events();
    server.restart::<R>();
    let mut told = [(); 2].map(|()| pool_ended::<R::Client>(&mut events).0);
    told.sort_by_key(|pool| pools[0] != *pool);
    assert_eq!(told, pools);
    assert!(!host.release(pools[0]), "it is pinged no more");
    assert!(host.create().is_ok());
}

/// A pool that was released, not ended, is nothing to tell of.
pub fn a_released_pool_is_not_told<R: Runtime>() {
    let server = Server::start::<R>();
    let host = client::<R>(server.address());
    let mut events = host.events();
    let pool = host.create().unwrap().id();
    assert!(host.release(pool));
    until_listed(&host, pool, false);
    // The notice of its end, should there be one, has come before this answer.
    assert!(matches!(host.join(pool), Err(CallFailed::Refused(_))));
    host.close();
    assert_eq!(events.next(), None);
}

fn until_free(port: u16) {
    let any = SocketAddr::from(([0, 0, 0, 0], port));
    until("the UDP port is free", || UdpSocket::bind(any).is_ok());
    until("the TCP port is free", || TcpListener::bind(any).is_ok());
}

/// A program with everything open, and what shows that nothing of it is left: its port, and a thing its handlers own.
fn everything<R: Runtime>(server: &Server) -> (R::Client, R::Mesh, R::Mesh, u16, Arc<()>) {
    let host = client::<R>(server.address());
    let (a, b) = (mesh::<R>(), mesh::<R>());
    let owned = Arc::new(());
    // A handler that holds its own mesh must not keep it alive once it is closed.
    a.on("e", {
        let (owned, a) = (Arc::clone(&owned), a.clone());
        move |_, _| drop((Arc::clone(&owned), a.stats()))
    });
    a.connect_to_pool(&host, &host.create().unwrap()).unwrap();
    let port = host.local_addr().port();
    // A connection to the client's own port, which the mesh ends first: the system remembers it for a while.
    b.connect_to_peer(&format!("127.0.0.1:{port}")).unwrap();
    assert!(a.accept().is_some());
    let link = link::<R, R>(a, b);
    link.to_b.on("e", {
        let (owned, peer) = (Arc::clone(&owned), link.to_b.clone());
        move |_, _| drop((Arc::clone(&owned), peer.id()))
    });
    (host, link.a, link.b, port, owned)
}

/// After `close` nothing is left: ports, threads or tasks, handlers.
pub fn close_frees_everything<R: Runtime>() {
    let server = Server::start::<R>();
    let (host, a, b, port, owned) = everything::<R>(&server);
    let mut events = b.events();
    a.close();
    disconnected::<R>(&mut events);
    host.close();
    drop((host, a));
    until_free(port);
    until("handlers are gone", || Arc::strong_count(&owned) == 1);
}

/// After the last handles are dropped nothing is left either. A handler that holds its own mesh would keep it, so
/// here there is none.
pub fn drop_frees_everything<R: Runtime>() {
    let server = Server::start::<R>();
    let (host, a, b, port, owned) = everything::<R>(&server);
    a.off("e");
    let mut events = b.events();
    drop((host, a));
    disconnected::<R>(&mut events);
    until_free(port);
    until("handlers are gone", || Arc::strong_count(&owned) == 1);
}

/// A client whose mesh goes on can be closed: the links stay.
pub fn links_outlive_the_client<R: Runtime>() {
    let server = Server::start::<R>();
    let (host, joiner) = (client::<R>(server.address()), client::<R>(server.address()));
    let (a, b) = (mesh::<R>(), mesh::<R>());
    let pool = host.create().unwrap();
    a.connect_to_pool(&host, &pool).unwrap();
    b.connect_to_pool(&joiner, &joiner.join(pool.id()).unwrap()).unwrap();
    let peer = a.accept().unwrap();
    host.close();
    drop((host, joiner));
    pause(PING_TIMEOUT);
    let mut events = b.events();
    peer.send(b"n", super::numbered(7, 4)).unwrap();
    super::expect_numbers::<R>(&mut events, 7..8);
}
