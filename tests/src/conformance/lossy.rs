//! Datagrams that are lost, doubled, late or forged.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use poolmesh_proto::CallFailed;

use super::{PING_TIMEOUT, Server, client, client_config, client_with, ids};
use crate::patience::{throughout, until};
use crate::proxy::{Fate, Proxy, Way};
use crate::runtime::{Client, Runtime};

const CREATE: u8 = 0;
const LIST: u8 = 2;
/// The request, and the answer to it and to create.
const JOIN: u8 = 3;

/// Gives the first `count` datagrams of that kind that fate, lets all others pass.
fn first(count: usize, way: Way, kind: u8, fate: Fate) -> impl FnMut(Way, &[u8]) -> Fate + Send + 'static {
    let mut left = count;
    move |at, datagram| {
        if left > 0 && (at, datagram.first()) == (way, Some(&kind)) {
            left -= 1;
            fate
        } else {
            Fate::Pass
        }
    }
}

/// List and join get through, whichever of the first datagrams are lost.
pub fn list_and_join_are_sent_again<R: Runtime>() {
    let server = Server::start::<R>();
    let pool = client::<R>(server.address());
    let created = pool.create().unwrap().id();
    let mut seen = BTreeMap::new();
    let proxy = Proxy::new(server.address(), move |way, datagram| {
        let count = seen.entry((way == Way::Up, datagram.first().copied())).or_insert(0);
        *count += 1;
        if *count <= 2 { Fate::Drop } else { Fate::Pass }
    });
    let client = client::<R>(proxy.address());
    assert_eq!(ids(&client), [created]);
    assert_eq!(client.join(created).unwrap().you(), proxy.seen_as());
    assert_eq!(client.stats().resent, 8, "two requests and two answers lost, twice");
}

/// Watches that there are never two pools at a time, until dropped.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl Watch {
    fn start<R: Runtime>(server: &Server) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = client::<R>(server.address());
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut most = 0;
                while !stop.load(Ordering::Acquire) {
                    most = most.max(client.list().unwrap().len());
                    crate::patience::pause(Duration::from_millis(5));
                }
                most
            }
        });
        Self { stop, thread: Some(thread) }
    }

    fn most(mut self) -> usize {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// The answer to create is lost: it is asked again when the first pool is gone, so there is one pool at a time, and
/// the one that counts is kept alive.
pub fn a_lost_answer_to_create<R: Runtime>() {
    let cases = [(Way::Down, JOIN), (Way::Up, CREATE)];
    let cases = cases.map(|(way, kind)| thread::spawn(move || lost_once::<R>(way, kind)));
    cases.into_iter().for_each(|case| case.join().unwrap());
}

fn lost_once<R: Runtime>(way: Way, kind: u8) {
    let server = Server::start::<R>();
    let watch = Watch::start::<R>(&server);
    let proxy = Proxy::new(server.address(), first(1, way, kind, Fate::Drop));
    let host = client::<R>(proxy.address());
    let pool = host.create().unwrap().id();
    assert_eq!(host.stats().resent, 1);
    let other = client::<R>(server.address());
    throughout(PING_TIMEOUT * 2, "the pool is there", || ids(&other) == [pool]);
    assert_eq!(watch.most(), 1, "pools at a time");
}

/// Every answer to create is lost: the call ends in time, and so does what it has made.
pub fn create_that_is_never_answered<R: Runtime>() {
    let server = Server::start::<R>();
    let watch = Watch::start::<R>(&server);
    let proxy = Proxy::new(server.address(), first(usize::MAX, Way::Down, JOIN, Fate::Drop));
    let mut config = client_config::<R>();
    config.call_timeout = Duration::from_millis(1_000);
    let host = client_with::<R>(proxy.address(), config);
    let Err(CallFailed::TimedOut { sent, .. }) = host.create() else { panic!("it was not answered") };
    assert_eq!(sent, 2);
    until("no pool is left", || ids(&client::<R>(server.address())).is_empty());
    assert_eq!(watch.most(), 1, "pools at a time");
}

/// Every datagram arrives twice, each way.
pub fn doubled_datagrams<R: Runtime>() {
    let server = Server::start::<R>();
    let proxy = Proxy::new(server.address(), |_, _| Fate::Twice);
    let client = client::<R>(proxy.address());
    for _ in 0..20 {
        assert!(client.list().is_ok());
    }
    let pool = client.create().unwrap();
    assert_eq!(client.join(pool.id()).unwrap(), pool);
    assert!(client.join("no-such-pool".parse().unwrap()).is_err());
    assert_eq!(client.join(pool.id()).unwrap(), pool);
    // The request's double has made a pool that nobody keeps alive.
    until("one pool is left", || ids(&client) == [pool.id()]);
    throughout(PING_TIMEOUT, "it stays", || ids(&client) == [pool.id()]);
}

/// Answers that come when the call has long had its own: they do nothing.
pub fn late_answers<R: Runtime>() {
    let server = Server::start::<R>();
    let proxy = Proxy::new(server.address(), first(1, Way::Down, JOIN, Fate::Hold));
    let host = client::<R>(proxy.address());
    let pool = host.create().unwrap().id();
    until("the first answer is held back", || proxy.held() == 1);
    proxy.release();
    until("it was ignored", || host.stats().unexpected == 1);
    throughout(PING_TIMEOUT * 2, "the second pool is the one", || ids(&host) == [pool]);
    assert!(!host.release("another".parse().unwrap()) && host.release(pool));

    let proxy = Proxy::new(server.address(), first(1, Way::Down, LIST, Fate::Hold));
    let client = client::<R>(proxy.address());
    client.list().unwrap();
    proxy.release();
    until("it was ignored", || client.stats().unexpected == 1);
    assert!(client.list().is_ok());
}

/// A late double of the answer to an earlier create is not the answer to the next one.
pub fn a_late_double_of_a_create<R: Runtime>() {
    let server = Server::start::<R>();
    let mut seen = BTreeMap::new();
    let proxy = Proxy::new(server.address(), move |way, datagram| {
        let kind = datagram.first().copied().unwrap_or_default();
        let count = seen.entry((way == Way::Up, kind)).or_insert(0);
        *count += 1;
        match (way, kind, *count) {
            (Way::Down, JOIN, 1) => Fate::Echo,
            // The second request goes astray, so that its call waits.
            (Way::Up, CREATE, 2) => Fate::Drop,
            _ => Fate::Pass,
        }
    });
    let host = client::<R>(proxy.address());
    let first = host.create().unwrap().id();
    let sent = host.stats().sent;
    let second = thread::spawn({
        let host = host.clone();
        move || host.create().unwrap().id()
    });
    until("it waits for its answer", || host.stats().sent > sent);
    proxy.release();
    let second = second.join().unwrap();
    assert_ne!(first, second);
    let mut both = vec![first, second];
    both.sort_unstable();
    let other = client::<R>(server.address());
    throughout(PING_TIMEOUT, "both live", || {
        let mut listed = ids(&other);
        listed.sort_unstable();
        listed == both
    });
}

/// What comes from another address than the broadcaster's is no answer, however it looks.
pub fn answers_from_strangers<R: Runtime>() {
    let broadcaster = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = client::<R>(broadcaster.local_addr().unwrap());
    let listed = Arc::new(Mutex::new(None));
    let call = thread::spawn({
        let (client, listed) = (client.clone(), Arc::clone(&listed));
        move || *listed.lock().unwrap() = Some(ids(&client))
    });
    let (_, from) = broadcaster.recv_from(&mut [0; 64]).unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for forged in [&b"\x02\x06\0\0\0forged"[..], b"\x04\x03\0\0\0bad", b"\x05", b"", b"\xff\xff"] {
        stranger.send_to(forged, from).unwrap();
    }
    // Nor does what is no answer count, whoever sends it.
    for spoiled in [&b"\x02\xff\xff\xff\xff"[..], b"\x63", b"\x02\x06\0"] {
        broadcaster.send_to(spoiled, from).unwrap();
    }
    until("the spoiled ones were looked at", || client.stats().spoiled == 3);
    assert!(!call.is_finished());
    broadcaster.send_to(b"\x02\x04\0\0\0real", from).unwrap();
    call.join().unwrap();
    assert_eq!(listed.lock().unwrap().take().unwrap(), ["real".parse().unwrap()]);
}
