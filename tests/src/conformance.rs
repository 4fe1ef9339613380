//! What every runtime must do, as scenarios over [`Runtime`].
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    reason = "tests: a panic is how they fail, and they name what they look for"
)]

pub mod astray;
pub mod calls;
pub mod closing;
pub mod connecting;
pub mod dialects;
pub mod gop2p;
pub mod handlers;
pub mod hosting;
pub mod hosts;
pub mod listing;
pub mod lossy;
pub mod meshing;
pub mod orders;
pub mod outage;
pub mod pressure;
pub mod returning;
pub mod rosters;
pub mod sending;
pub mod together;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::driver::{Event, PoolNews};
use poolmesh_proto::wire::Dialect;
use poolmesh_proto::{
    BroadcasterConfig, ClientConfig, CloseReason, MeshConfig, Message, PoolEnd, PoolEvent, PoolId,
};

use crate::patience::{now, until};
use crate::proxy::{Fate, Proxy};
use crate::runtime::{Client, Events, Mesh, Peer, PoolEvents, Runtime, Serving};

/// How long a pool lives without a ping in these tests: short, and long enough for a busy machine.
pub const PING_TIMEOUT: Duration = Duration::from_millis(600);

/// How long a member of a pool of the native dialect may be silent.
pub const TIMEOUT: Duration = Duration::from_millis(1_200);

/// A broadcaster that can be stopped and started again.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    config: BroadcasterConfig,
    serving: Option<Serving>,
}

impl Server {
    /// Starts a broadcaster on a free port.
    #[must_use]
    pub fn start<R: Runtime>() -> Self {
        Self::start_at::<R>("127.0.0.1:0".parse().unwrap())
    }

    /// Starts a broadcaster at `address`.
    #[must_use]
    pub fn start_at<R: Runtime>(address: SocketAddr) -> Self {
        Self::start_with::<R>(address, broadcaster_config::<R>())
    }

    /// Starts a broadcaster at `address`, with settings of its own.
    #[must_use]
    pub fn start_with<R: Runtime>(address: SocketAddr, config: BroadcasterConfig) -> Self {
        let serving = R::serve(address, config.clone()).unwrap();
        Self { address: serving.local, config, serving: Some(serving) }
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it, and waits until its socket is closed.
    pub fn stop(&mut self) {
        let Some(serving) = self.serving.take() else { return };
        (serving.stop)();
        // A datagram wakes it, so that no test waits until it looks up by itself.
        let waker = UdpSocket::bind((self.address.ip(), 0)).unwrap();
        waker.send_to(&[], self.address).unwrap();
        serving.thread.join().unwrap().unwrap();
    }

    /// Starts it again at the same address and with the same settings, without memory.
    pub fn restart<R: Runtime>(&mut self) {
        self.stop();
        self.serving = Some(R::serve(self.address, self.config.clone()).unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// A broadcaster's settings, in the dialect of the runtime.
#[must_use]
pub fn broadcaster_config<R: Runtime>() -> BroadcasterConfig {
    let mut config = BroadcasterConfig::default();
    config.ping_timeout = PING_TIMEOUT;
    config.classic = R::DIALECT == Dialect::Classic;
    (config.limits.interval, config.limits.timeout) = (Duration::from_millis(100), TIMEOUT);
    // All are at one address, and some ask again and again until something has happened.
    (config.limits.requests_per_second, config.limits.requests_in_a_row) = (1_000_000, 1_000_000);
    config
}

/// A client's settings to go with them.
#[must_use]
pub fn client_config<R: Runtime>() -> ClientConfig {
    let classic = R::DIALECT == Dialect::Classic;
    let mut config = if classic { ClientConfig::classic() } else { ClientConfig::default() };
    config.ping_interval = Duration::from_millis(50);
    config.resend_after = Duration::from_millis(50);
    config.recreate_after = Some(PING_TIMEOUT + Duration::from_millis(200));
    config
}

fn client<R: Runtime>(broadcaster: SocketAddr) -> R::Client {
    client_with::<R>(broadcaster, client_config::<R>())
}

fn client_with<R: Runtime>(broadcaster: SocketAddr, config: ClientConfig) -> R::Client {
    R::Client::connect_with(&broadcaster.to_string(), config).unwrap()
}

/// The ids of the pools there are.
#[must_use]
pub fn ids<C: Client>(client: &C) -> Vec<PoolId> {
    client.list().unwrap().iter().map(poolmesh_proto::PoolListing::id).collect()
}

/// Waits for the end of a pool: which, and why. What else happens in pools is passed over.
pub fn pool_ended<C: Client>(events: &mut C::Events) -> (PoolId, PoolEnd) {
    loop {
        match events.next() {
            Some(PoolNews::Ended { pool, reason }) => return (pool, reason),
            Some(_) => {}
            None => panic!("the events end"),
        }
    }
}

/// Waits for an event of a pool; what else happens is passed over.
fn news<R: Runtime, T>(
    events: &mut <R::Client as Client>::Events,
    wanted: impl Fn(PoolEvent) -> Option<T>,
) -> T {
    loop {
        match events.next() {
            Some(PoolNews::Event { event, .. }) => {
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
            Some(_) => {}
            None => panic!("the events end"),
        }
    }
}

/// Waits until this pool is over for the client, and says why.
fn ended<R: Runtime>(events: &mut <R::Client as Client>::Events, pool: PoolId) -> PoolEnd {
    let (ended, reason) = pool_ended::<R::Client>(events);
    assert_eq!(ended, pool);
    reason
}

/// Waits until all of these know the same state of a pool, and looks that it is the same to each.
fn agree<A: Client, B: Client>(pool: PoolId, some: &[&A], others: &[&B]) {
    let mut known = Vec::new();
    until("all have the same epoch", || {
        known = some.iter().map(|client| client.membership(pool)).collect();
        known.extend(others.iter().map(|client| client.membership(pool)));
        known.windows(2).all(|two| {
            matches!(two, [Some(one), Some(other)] if one.epoch() == other.epoch() && one.term() == other.term())
        })
    });
    let known: Vec<_> = known.into_iter().flatten().collect();
    for one in &known {
        let same = (one.members(), one.host(), one.spec(), one.code());
        assert_eq!(same, (known[0].members(), known[0].host(), known[0].spec(), known[0].code()));
    }
}

/// The way between a client and its broadcaster, to be cut.
#[derive(Debug)]
struct Cable {
    proxy: Proxy,
    cut: Arc<AtomicBool>,
}

impl Cable {
    fn new(server: &Server) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        let fate = {
            let cut = Arc::clone(&cut);
            move |_, _: &[u8]| if cut.load(Ordering::Acquire) { Fate::Drop } else { Fate::Pass }
        };
        Self { proxy: Proxy::new(server.address(), fate), cut }
    }

    /// From now on everything is lost.
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// From now on nothing is.
    fn mend(&self) {
        self.cut.store(false, Ordering::Release);
    }
}

/// A client whose way to the broadcaster can be cut.
fn cut_off<R: Runtime>(server: &Server) -> (R::Client, Cable) {
    let cable = Cable::new(server);
    (client::<R>(cable.proxy.address()), cable)
}

fn mesh<R: Runtime>() -> R::Mesh {
    R::Mesh::with_config(MeshConfig::default())
}

/// Two meshes with a link between them.
#[derive(Debug)]
struct Linked<A: Runtime, B: Runtime> {
    a: A::Mesh,
    b: B::Mesh,
    /// The link as `a` has it, which has dialed.
    to_b: A::Peer,
    /// The link as `b` has it.
    to_a: B::Peer,
}

fn linked<A: Runtime, B: Runtime>() -> Linked<A, B> {
    link::<A, B>(mesh::<A>(), mesh::<B>())
}

fn link<A: Runtime, B: Runtime>(a: A::Mesh, b: B::Mesh) -> Linked<A, B> {
    let at = b.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let to_b = a.connect_to_peer(&at.to_string()).unwrap();
    let to_a = b.accept().unwrap();
    Linked { a, b, to_b, to_a }
}

/// Waits for what a peer sends; events of connections are passed over.
fn received<R: Runtime>(events: &mut R::Events) -> (R::Peer, Message) {
    loop {
        match events.next() {
            Some(Event::Received(peer, message)) => return (peer, message),
            Some(_) => {}
            None => panic!("the events end"),
        }
    }
}

/// Waits for the end of a link; other events are passed over.
fn disconnected<R: Runtime>(events: &mut R::Events) -> (R::Peer, CloseReason) {
    loop {
        match events.next() {
            Some(Event::Disconnected(peer, reason)) => return (peer, reason),
            Some(_) => {}
            None => panic!("the events end"),
        }
    }
}

/// A payload that starts with a number and is `len` bytes long.
fn numbered(number: u32, len: usize) -> Bytes {
    let mut payload = vec![0xa5; len.max(4)];
    payload[..4].copy_from_slice(&number.to_le_bytes());
    payload.into()
}

fn number_of(payload: &[u8]) -> u32 {
    u32::from_le_bytes(payload[..4].try_into().unwrap())
}

/// Takes events numbered from `range` in order, from one peer.
fn expect_numbers<R: Runtime>(events: &mut R::Events, range: std::ops::Range<u32>) {
    for expected in range {
        assert_eq!(number_of(received::<R>(events).1.payload()), expected);
    }
}

/// Waits until the broadcaster lists `pool`, or no longer does.
fn until_listed<C: Client>(client: &C, pool: PoolId, listed: bool) {
    until("the list has changed", || ids(client).contains(&pool) == listed);
}

/// Fills a link until it takes no more, and says how many events were queued.
fn fill<P: Peer>(peer: &P, len: usize) -> u32 {
    let mut sent = 0;
    let mut since = now();
    // A moment without room is not the end: the system may still take what is queued, as it probes the peer.
    until("the link is full", || {
        while peer.try_send(b"n", numbered(sent, len)).is_ok() {
            (sent, since) = (sent + 1, now());
            assert!(sent < 1_000_000, "the link is never full");
        }
        since.elapsed() > Duration::from_millis(250)
    });
    sent
}
