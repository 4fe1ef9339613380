//! What only threads can do.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use poolmesh_std::{Client, Event, Mesh};
use poolmesh_testkit::conformance::{Server, client_config, pressure};
use poolmesh_testkit::patience::{PATIENCE, guarded, until};
use poolmesh_testkit::runtime::Std;

fn linked() -> (Mesh, Mesh) {
    let (a, b) = (Mesh::new(), Mesh::new());
    a.connect_to_peer(b.listen_on("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
    until("it is accepted", || b.peers().len() == 1);
    (a, b)
}

#[test]
fn a_handler_may_block() {
    guarded(pressure::a_handler_that_takes_its_time::<Std>);
}

#[test]
fn events_are_an_iterator_that_ends_with_the_mesh() {
    guarded(|| {
        let (a, b) = linked();
        let events = b.events();
        let count =
            thread::spawn(move || events.filter(|event| matches!(event, Event::Received(..))).count());
        for _ in 0..100 {
            assert!(a.send_to_all("e", "").is_empty());
        }
        until("all have come", || b.peers()[0].stats().received == 100);
        a.close();
        until("the link has ended", || b.peers().is_empty());
        b.close();
        assert_eq!(count.join().unwrap(), 100);
    });
}

/// `close` waits for the links, and a handler is what a link waits for.
#[test]
fn a_handler_may_close_its_mesh() {
    guarded(|| {
        let (a, b) = linked();
        let (tell, told) = mpsc::channel();
        b.on("close", {
            let mesh = b.clone();
            move |_, _| {
                mesh.close();
                tell.send(()).unwrap();
            }
        });
        a.send_to_all("close", "");
        assert_eq!(told.recv_timeout(PATIENCE), Ok(()));
        until("the link has ended", || a.peers().is_empty() && b.peers().is_empty());
    });
}

/// Two handlers that close each other's mesh, at the same time.
#[test]
fn handlers_may_close_each_others_mesh() {
    guarded(|| {
        let (a, b) = linked();
        let (tell, told) = mpsc::channel();
        for (here, there) in [(&a, &b), (&b, &a)] {
            let (there, tell) = (there.clone(), tell.clone());
            here.on("close", move |_, _| {
                there.close();
                tell.send(()).unwrap();
            });
        }
        a.send_to_all("close", "");
        b.send_to_all("close", "");
        // The second may find its link closed before the event was read.
        assert_eq!(told.recv_timeout(PATIENCE), Ok(()));
        until("the links have ended", || a.peers().is_empty() && b.peers().is_empty());
    });
}

/// Handles may be used and dropped anywhere; here a blocked `send` is freed by another thread.
#[test]
fn a_handler_that_sends_to_one_who_sends() {
    guarded(|| {
        let (a, b) = linked();
        // Each answers everything, with more than the connection holds: both wait for each other at last.
        for mesh in [&a, &b] {
            mesh.on("echo", |peer, message| {
                for _ in 0..2 {
                    if peer.send("echo", message.payload()).is_err() {
                        return;
                    }
                }
            });
        }
        a.send_to_all("echo", vec![0; 100_000]);
        let queued = || a.peers().iter().chain(&b.peers()).map(|peer| peer.queued()).max();
        until("they wait for each other", || queued() > Some(900_000));
        let closing = thread::spawn(move || a.close());
        until("it has ended", || closing.is_finished());
        until("on both sides", || b.peers().is_empty());
        b.close();
        poolmesh_testkit::patience::pause(Duration::from_millis(10));
    });
}

/// Events of pools are an iterator that ends with the client; several share them.
#[test]
fn events_of_pools_are_an_iterator() {
    guarded(|| {
        let server = Server::start::<Std>();
        let connect = || Client::connect_with(server.address(), client_config::<Std>()).unwrap();
        let (host, guest) = (connect(), connect());
        let events = [host.events(), host.events()];
        let pool = host.create().unwrap().id();
        let counts = events.map(|events| thread::spawn(move || events.count()));
        for _ in 0..5 {
            guest.join(pool).unwrap();
            guest.leave(pool).unwrap();
        }
        until("all are gone", || host.membership(pool).is_some_and(|known| known.epoch().number() >= 11));
        host.close();
        assert_eq!(counts.map(|count| count.join().unwrap()).iter().sum::<usize>(), 10);
    });
}
