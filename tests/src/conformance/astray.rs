//! Datagrams of the native dialect that are lost, doubled, late or forged.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use poolmesh_proto::CallFailed;

use super::{Server, TIMEOUT, client, client_config, client_with, ids};
use crate::patience::{throughout, until};
use crate::proxy::{Fate, Proxy, Way};
use crate::runtime::{Client, Runtime};

/// Of each type and way the first two datagrams are lost: calls get through, orders and pings, too.
pub fn everything_is_sent_again<R: Runtime>() {
    let server = Server::start::<R>();
    let mut seen = BTreeMap::new();
    let proxy = Proxy::new(server.address(), move |way, datagram| {
        let count = seen.entry((way == Way::Up, datagram.get(1).copied())).or_insert(0);
        *count += 1;
        if *count <= 2 { Fate::Drop } else { Fate::Pass }
    });
    let mut config = client_config::<R>();
    config.call_timeout = Duration::from_secs(20);
    let host = client_with::<R>(proxy.address(), config);
    let pool = host.create().unwrap();
    assert_eq!(pool.you(), proxy.seen_as());
    host.set_about(pool.id(), b"here").unwrap();
    assert_eq!(ids(&host), [pool.id()], "one pool was made, however often it was asked for");
    assert!(host.stats().resent > 0);
    host.leave(pool.id()).unwrap();
    until("it is gone", || ids(&host).is_empty());
}

/// Every datagram arrives twice, each way: nothing is done twice.
pub fn doubled_datagrams<R: Runtime>() {
    let server = Server::start::<R>();
    let proxy = Proxy::new(server.address(), |_, _| Fate::Twice);
    let twice = client::<R>(proxy.address());
    let guest = client::<R>(server.address());
    for _ in 0..20 {
        assert!(twice.list().is_ok());
    }
    let pool = twice.create().unwrap().id();
    assert_eq!(ids(&guest), [pool]);
    let me = guest.join(pool).unwrap().me().unwrap();
    assert_eq!(me.get(), 2);
    twice.hand_over(pool, me).unwrap();
    until("the other is host", || guest.membership(pool).unwrap().is_host());
    throughout(TIMEOUT, "once", || guest.membership(pool).unwrap().term().get() == 2);
    assert_eq!(guest.membership(pool).unwrap().members().len(), 2);
}

/// What was sent before a member left comes again when it has left, and when it has come back: it changes nothing.
pub fn late_datagrams<R: Runtime>() {
    let server = Server::start::<R>();
    let host = client::<R>(server.address());
    let pool = host.create().unwrap().id();
    // All that goes up is kept, and comes once more when it is let go.
    let proxy = Proxy::new(server.address(), |way, _| if way == Way::Up { Fate::Echo } else { Fate::Pass });
    let guest = client::<R>(proxy.address());
    let first = guest.join(pool).unwrap().me();
    guest.set_about(pool, b"first").unwrap();
    guest.leave(pool).unwrap();
    let second = guest.join_with(pool, b"second").unwrap().me().unwrap();
    assert!(Some(second) > first);
    proxy.release();
    throughout(TIMEOUT, "it stays as it is", || {
        host.membership(pool).is_some_and(|known| {
            let members = known.members();
            members.len() <= 2
                && members.last().is_some_and(|last| last.number == second || members.len() == 1)
        }) && guest.membership(pool).is_some_and(|known| known.members().len() == 2)
    });
    assert_eq!(host.membership(pool).unwrap().members()[1].about, "second");
}

/// What comes from another address than the broadcaster's, or was not made for the one who asks, is no answer.
pub fn answers_from_strangers<R: Runtime>() {
    let broadcaster = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = client::<R>(broadcaster.local_addr().unwrap());
    let outcome = Arc::new(Mutex::new(None));
    let call = thread::spawn({
        let (client, outcome) = (client.clone(), Arc::clone(&outcome));
        move || *outcome.lock().unwrap() = Some(client.list())
    });
    let (_, from) = broadcaster.recv_from(&mut [0; 1_500]).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for forged in [&b"\xa1\x82"[..], &[0xa1; 40], b"", b"\x02\x06\0\0\0forged"] {
        stranger.send_to(forged, from).unwrap();
        broadcaster.send_to(forged, from).unwrap();
    }
    until("they were looked at", || client.stats().foreign >= 4 && client.stats().spoiled >= 3);
    assert!(!call.is_finished());
    client.close();
    call.join().unwrap();
    assert_eq!(outcome.lock().unwrap().take(), Some(Err(CallFailed::Closed)));
}
