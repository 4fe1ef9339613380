//! Both dialects at one broadcaster.

use poolmesh_proto::driver::PoolNews;
use poolmesh_proto::wire::Dialect;
use poolmesh_proto::{CallError, CallFailed, ClientConfig, ListFilter};

use super::{Server, broadcaster_config, client, client_with, ids, mesh, numbered};
use crate::patience::until;
use crate::runtime::{Client, Mesh, Peer, PoolEvents, Runtime};

fn both<R: Runtime>() -> Server {
    let mut config = broadcaster_config::<R>();
    config.classic = true;
    Server::start_with::<R>("127.0.0.1:0".parse().unwrap(), config)
}

fn classic<R: Runtime>(server: &Server) -> R::Client {
    let mut config = ClientConfig::classic();
    config.ping_interval = super::PING_TIMEOUT / 12;
    client_with::<R>(server.address(), config)
}

/// Who speaks one dialect has nothing to do with who speaks the other: but that classic pools are listed to those who ask
/// for them.
pub fn side_by_side<A: Runtime, B: Runtime>() {
    let server = both::<A>();
    let (new, old) = (client::<A>(server.address()), classic::<B>(&server));
    let (new_pool, old_pool) = (new.create().unwrap(), old.create().unwrap());
    let (new_guest, old_guest) = (client::<B>(server.address()), classic::<A>(&server));
    assert_eq!((ids(&new_guest), ids(&old_guest)), (vec![new_pool.id()], vec![old_pool.id()]));
    let filter = ListFilter { classic: true, ..ListFilter::default() };
    let listed = new_guest.list_with(&filter).unwrap().pools;
    assert_eq!((listed.len(), listed[0].id(), listed[0].is_classic()), (1, old_pool.id(), true));
    assert!(old_guest.join(new_pool.id()).is_err() && new_guest.join(old_pool.id()).is_err());
    // Both kinds of pools live, and their members talk.
    let (a, b) = (mesh::<A>(), mesh::<B>());
    a.connect_to_pool(&new, &new_pool).unwrap();
    b.connect_to_pool(&new_guest, &new_guest.join(new_pool.id()).unwrap()).unwrap();
    let (c, d) = (mesh::<B>(), mesh::<A>());
    c.connect_to_pool(&old, &old_pool).unwrap();
    d.connect_to_pool(&old_guest, &old_guest.join(old_pool.id()).unwrap()).unwrap();
    b.peers()[0].send(b"n", numbered(1, 4)).unwrap();
    d.peers()[0].send(b"n", numbered(2, 4)).unwrap();
    until("both have come", || {
        a.peers().iter().any(|peer| peer.stats().received == 1)
            && c.peers().iter().any(|peer| peer.stats().received == 1)
    });
}

/// A broadcaster speaks the classic dialect only if it is told to.
pub fn the_classic_one_is_not_spoken_unasked<R: Runtime>() {
    let server = Server::start::<R>();
    let mut config = ClientConfig::classic();
    config.call_timeout = super::PING_TIMEOUT;
    let old = client_with::<R>(server.address(), config);
    assert!(matches!(old.list(), Err(CallFailed::TimedOut { .. })));
    assert!(client::<R>(server.address()).list().is_ok());
}

/// What a dialect doesn't have is the caller's mistake, and says so.
pub fn what_the_classic_one_lacks<R: Runtime>() {
    assert_eq!(R::DIALECT, Dialect::Native);
    let server = both::<R>();
    let old = classic::<R>(&server);
    let mut told = old.events();
    let pool = old.create().unwrap().id();
    let lacking = CallFailed::Misuse(CallError::NotInDialect);
    assert_eq!(old.create_with(&Default::default(), &[]).unwrap_err(), lacking);
    assert_eq!(old.leave(pool), Err(lacking.clone()));
    assert_eq!(old.lock(pool, true), Err(lacking));
    assert!(old.membership(pool).is_none() && old.pools() == [pool]);
    assert!(old.release(pool));
    old.close();
    assert!(!matches!(told.next(), Some(PoolNews::Event { .. })));
}
