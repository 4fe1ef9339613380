//! List, create and join.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use poolmesh_proto::wire::{Dialect, native};
use poolmesh_proto::{CallError, CallFailed, Refusal};

use super::{Server, client, client_config, client_with, ids};
use crate::patience::{PATIENCE, now, until};
use crate::runtime::{Client, PoolEvents, Runtime};

/// No pool has this id.
const UNKNOWN: &str = "11111111-2222-4333-8444-555555555555";

/// What is created is listed and can be joined, by more than one; joining twice is like joining once.
pub fn list_create_join<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, joiner) = (client::<A>(server.address()), client::<B>(server.address()));
    assert_eq!(ids(&joiner), []);
    let created = host.create().unwrap();
    assert_eq!(ids(&joiner), [created.id()]);
    let joined = joiner.join(created.id()).unwrap();
    assert_eq!((joined.id(), joined.host()), (created.id(), created.you()));
    assert!(!joined.is_host());
    assert_eq!(joined.others().collect::<Vec<_>>(), [created.you()]);
    assert_eq!(joiner.join(created.id()).unwrap().peers().len(), 2);
    // A host is a peer like any other, and knows soon who has come.
    until("the host knows of both", || host.join(created.id()).unwrap().peers().len() == 2);
}

/// Calls from many threads on one client: each gets an answer, and its own.
pub fn concurrent_calls<R: Runtime>() {
    let server = Server::start::<R>();
    let shared = client::<R>(server.address());
    let other = client::<R>(server.address()).create().map(|pool| pool.id());
    let callers = (0..8).map(|_| {
        let client = shared.clone();
        thread::spawn(move || {
            let created: Vec<_> = (0..4).map(|_| client.create().unwrap().id()).collect();
            for pool in &created {
                assert_eq!(client.join(*pool).unwrap().id(), *pool);
                assert!(ids(&client).contains(pool) || created.len() * 8 > 27);
                let unknown = UNKNOWN.parse().unwrap();
                assert!(matches!(client.join(unknown), Err(CallFailed::Refused(_))));
            }
            created
        })
    });
    let callers: Vec<_> = callers.collect();
    let all: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
    let mut distinct: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!((all.len(), distinct.len()), (32, 32), "no answer was given to two calls");
    assert!(distinct.insert(other.unwrap()));
}

/// A pool that doesn't exist: the broadcaster's refusal, in the classic dialect with the pool's name.
pub fn unknown_pool_is_refused_in_words<R: Runtime>() {
    let server = Server::start::<R>();
    let error = client::<R>(server.address()).join(UNKNOWN.parse().unwrap()).unwrap_err();
    let words = error.to_string();
    if R::DIALECT == Dialect::Classic {
        assert!(matches!(&error, CallFailed::Refused(Refusal::NoSuchPool(_))), "{error:?}");
        assert!(words.contains(UNKNOWN) && words.contains("doesn't exist"), "{words}");
    } else {
        assert_eq!(error, CallFailed::Refused(Refusal::Native(native::Refusal::NoSuchPool)));
        assert!(words.contains("there is no such pool"), "{words}");
    }
}

/// Without a broadcaster every call ends in time, and says whom it asked.
pub fn no_broadcaster<R: Runtime>() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), closed] {
        let mut config = client_config::<R>();
        config.call_timeout = Duration::from_millis(200);
        let client = client_with::<R>(address, config);
        let start = now();
        for failed in [
            client.list().map(drop).unwrap_err(),
            client.create().map(drop).unwrap_err(),
            client.join(UNKNOWN.parse().unwrap()).map(drop).unwrap_err(),
        ] {
            let CallFailed::TimedOut { broadcaster, sent } = failed else { panic!("{failed:?}") };
            assert!(broadcaster == address && (1..=4).contains(&sent), "{failed}");
            assert!(failed.to_string().contains(&address.to_string()), "{failed}");
        }
        assert!(start.elapsed() >= Duration::from_millis(600) && start.elapsed() < PATIENCE);
        if R::DIALECT == Dialect::Classic {
            assert_eq!(client.stats().sent, 7, "list and join at 0, 50 and 150 ms, create once");
        } else {
            // Each at 0, 50 and 125 ms, or somewhat earlier or later.
            assert!((6..=12).contains(&client.stats().sent), "{:?}", client.stats());
        }
    }
}

/// More calls, or more hosted pools, than allowed are the caller's mistake, and say so.
pub fn too_many<R: Runtime>() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = client_config::<R>();
    config.max_calls = 2;
    let stuck = client_with::<R>(silent.local_addr().unwrap(), config.clone());
    let calls = [stuck.clone(), stuck.clone()].map(|client| thread::spawn(move || client.create()));
    until("both are under way", || stuck.stats().sent >= 2);
    let misuse = stuck.list().unwrap_err();
    assert_eq!(misuse, CallFailed::Misuse(CallError::TooManyCalls { limit: 2 }));
    stuck.close();
    for call in calls {
        assert_eq!(call.join().unwrap().unwrap_err(), CallFailed::Closed);
    }

    let server = Server::start::<R>();
    config.max_pools = 1;
    let host = client_with::<R>(server.address(), config);
    let pool = host.create().unwrap().id();
    let misuse = host.create().unwrap_err();
    assert_eq!(misuse, CallFailed::Misuse(CallError::TooManyPools { limit: 1 }));
    assert!(host.release(pool));
    assert!(host.create().is_ok());
}

/// Closing ends the calls under way, and there are no others.
pub fn closing_ends_calls<R: Runtime>() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = client::<R>(silent.local_addr().unwrap());
    let under_way = thread::spawn({
        let client = client.clone();
        move || (client.list().unwrap_err(), client.events().next())
    });
    silent.recv(&mut [0; 64]).unwrap();
    client.close();
    assert_eq!(under_way.join().unwrap(), (CallFailed::Closed, None));
    assert_eq!(client.create().unwrap_err(), CallFailed::Closed);
    client.close();
}
