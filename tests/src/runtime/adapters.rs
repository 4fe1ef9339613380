//! The runtimes as the tests see them. That one text does for both shows that only the `.await`s differ.

use std::convert::identity;
use std::io;
use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use poolmesh_proto::driver::{ConnectFailed, Event, PoolNews, PoolReport};
use poolmesh_proto::wire::Dialect;
use poolmesh_proto::wire::native::{Member, PoolCode, PoolSpec};
use poolmesh_proto::{
    BroadcasterConfig, BroadcasterStats, CallFailed, ClientConfig, ClientStats, CloseReason, Door, LinkStats,
    ListFilter, Membership, MeshConfig, MeshStats, MessageRef, Payload, PeerId, PoolId, PoolInfo,
    PoolListing, PoolPage, Saved, SendError, Side,
};
use smol::block_on;

use crate::runtime::{self, Serving};

/// `poolmesh-std`. Its broadcaster serves in so many threads. The suite has it speak the native dialect, or the classic one.
#[derive(Debug)]
pub enum Std<const THREADS: usize = 1, const CLASSIC: bool = false> {}

/// `poolmesh-smol`, each call awaited by a thread that does nothing else. Its broadcaster serves in so many threads. The suite has it speak the native dialect, or the classic one.
#[derive(Debug)]
pub enum Smol<const THREADS: usize = 1, const CLASSIC: bool = false> {}

/// [`Std`], with a broadcaster in four threads.
pub type StdInFour = Std<4>;

/// [`Smol`], with a broadcaster in four threads.
pub type SmolInFour = Smol<4>;

/// [`Std`] in the classic dialect.
pub type ClassicStd = Std<1, true>;

/// [`Smol`] in the classic dialect.
pub type ClassicSmol = Smol<1, true>;

/// [`StdInFour`] in the classic dialect.
pub type ClassicStdInFour = Std<4, true>;

/// [`SmolInFour`] in the classic dialect.
pub type ClassicSmolInFour = Smol<4, true>;

/// Runs each server on a thread of its own. What all did; an error is of any of them.
fn in_threads<S: Send>(
    servers: Vec<S>,
    run: impl Fn(S) -> io::Result<BroadcasterStats> + Sync,
) -> io::Result<BroadcasterStats> {
    thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = servers.into_iter().map(|server| scope.spawn(move || run(server))).collect();
        let end = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(end).sum()
    })
}

/// `$done` turns what a call gives into its result; `$next` and `$next_news` are streams', or iterators'.
macro_rules! view {
    ($runtime:ident, $lib:ident, $done:path, $next:path, $next_news:path) => {
        impl<const THREADS: usize, const CLASSIC: bool> runtime::Runtime for $runtime<THREADS, CLASSIC> {
            type Client = $lib::Client;
            type Mesh = $lib::Mesh;
            type Peer = $lib::Peer;
            type Events = $lib::Events;

            const DIALECT: Dialect = if CLASSIC { Dialect::Classic } else { Dialect::Native };

            fn serve(address: SocketAddr, config: BroadcasterConfig) -> io::Result<Serving> {
                let servers = $lib::BroadcasterServer::bind_shards(address, &config, THREADS)?;
                let first = servers.first().ok_or(io::ErrorKind::InvalidInput)?;
                let (local, stopper) = (first.local_addr(), first.stopper());
                let thread = thread::Builder::new().name("broadcaster".into());
                let thread = thread.spawn(move || in_threads(servers, |server| $done(server.run(|_| {}))))?;
                Ok(Serving { local, stop: Box::new(move || stopper.stop()), thread })
            }
        }

        impl runtime::Client for $lib::Client {
            type Events = $lib::PoolEvents;

            fn connect_with(broadcaster: &str, config: ClientConfig) -> io::Result<Self> {
                $done(Self::connect_with(broadcaster, config))
            }
            fn list(&self) -> Result<Vec<PoolListing>, CallFailed> {
                $done(Self::list(self))
            }
            fn list_with(&self, filter: &ListFilter) -> Result<PoolPage, CallFailed> {
                $done(Self::list_with(self, filter))
            }
            fn create(&self) -> Result<PoolInfo, CallFailed> {
                $done(Self::create(self))
            }
            fn create_with(&self, spec: &PoolSpec, about: &[u8]) -> Result<PoolInfo, CallFailed> {
                $done(Self::create_with(self, spec, about))
            }
            fn join(&self, pool: PoolId) -> Result<PoolInfo, CallFailed> {
                $done(Self::join(self, pool))
            }
            fn join_with(&self, door: impl Into<Door>, about: &[u8]) -> Result<PoolInfo, CallFailed> {
                $done(Self::join_with(self, door, about))
            }
            fn join_by_code(&self, code: PoolCode) -> Result<PoolInfo, CallFailed> {
                $done(Self::join_by_code(self, code))
            }
            fn resume(&self, saved: &Saved) -> Result<PoolInfo, CallFailed> {
                $done(Self::resume(self, saved))
            }
            fn leave(&self, pool: PoolId) -> Result<(), CallFailed> {
                $done(Self::leave(self, pool))
            }
            fn close_pool(&self, pool: PoolId) -> Result<(), CallFailed> {
                $done(Self::close_pool(self, pool))
            }
            fn kick(&self, pool: PoolId, member: Member) -> Result<(), CallFailed> {
                $done(Self::kick(self, pool, member))
            }
            fn hand_over(&self, pool: PoolId, member: Member) -> Result<(), CallFailed> {
                $done(Self::hand_over(self, pool, member))
            }
            fn change(&self, pool: PoolId, spec: &PoolSpec) -> Result<(), CallFailed> {
                $done(Self::change(self, pool, spec))
            }
            fn lock(&self, pool: PoolId, locked: bool) -> Result<(), CallFailed> {
                $done(Self::lock(self, pool, locked))
            }
            fn set_about(&self, pool: PoolId, about: &[u8]) -> Result<(), CallFailed> {
                $done(Self::set_about(self, pool, about))
            }
            fn membership(&self, pool: PoolId) -> Option<Membership> {
                Self::membership(self, pool)
            }
            fn latest_spec(&self, pool: PoolId) -> Option<PoolSpec> {
                Self::latest_spec(self, pool)
            }
            fn pools(&self) -> Vec<PoolId> {
                Self::pools(self)
            }
            fn events(&self) -> $lib::PoolEvents {
                Self::events(self)
            }
            fn release(&self, pool: PoolId) -> bool {
                Self::release(self, pool)
            }
            fn broadcaster(&self) -> SocketAddr {
                Self::broadcaster(self)
            }
            fn local_addr(&self) -> SocketAddr {
                Self::local_addr(self)
            }
            fn stats(&self) -> ClientStats {
                Self::stats(self)
            }
            fn close(&self) {
                $done(Self::close(self));
            }
        }

        impl runtime::PoolEvents for $lib::PoolEvents {
            fn next(&mut self) -> Option<PoolNews> {
                $done($next_news(self))
            }
            fn try_next(&mut self) -> Option<PoolNews> {
                Self::try_next(self)
            }
        }

        impl<const THREADS: usize, const CLASSIC: bool> runtime::Mesh<$runtime<THREADS, CLASSIC>>
            for $lib::Mesh
        {
            fn with_config(config: MeshConfig) -> Self {
                Self::with_config(config)
            }
            fn listen(&self, port: u16) -> io::Result<SocketAddr> {
                $done(Self::listen(self, port))
            }
            fn listen_on(&self, address: SocketAddr) -> io::Result<SocketAddr> {
                $done(Self::listen_on(self, address))
            }
            fn connect_to_peer(&self, address: &str) -> Result<$lib::Peer, ConnectFailed> {
                $done(Self::connect_to_peer(self, address))
            }
            fn connect_to_pool(
                &self,
                client: &$lib::Client,
                pool: &PoolInfo,
            ) -> Result<PoolReport<$lib::Peer>, ConnectFailed> {
                $done(Self::connect_to_pool(self, client, pool))
            }
            fn accept(&self) -> Option<$lib::Peer> {
                $done(Self::accept(self))
            }
            fn events(&self) -> $lib::Events {
                Self::events(self)
            }
            fn on(&self, name: &str, handler: impl Fn(&$lib::Peer, MessageRef<'_>) + Send + Sync + 'static) {
                Self::on(self, name, handler);
            }
            fn off(&self, name: &str) {
                Self::off(self, name);
            }
            fn peers(&self) -> Vec<$lib::Peer> {
                Self::peers(self)
            }
            fn send_to_all<'a>(
                &self,
                name: &[u8],
                payload: impl Into<Payload<'a>>,
            ) -> Vec<($lib::Peer, SendError)> {
                Self::send_to_all(self, name, payload)
            }
            fn stats(&self) -> MeshStats {
                Self::stats(self)
            }
            fn close(&self) {
                $done(Self::close(self));
            }
        }

        impl runtime::Peer for $lib::Peer {
            fn id(&self) -> PeerId {
                Self::id(self)
            }
            fn address(&self) -> SocketAddr {
                Self::address(self)
            }
            fn side(&self) -> Side {
                Self::side(self)
            }
            fn is_connected(&self) -> bool {
                Self::is_connected(self)
            }
            fn queued(&self) -> usize {
                Self::queued(self)
            }
            fn stats(&self) -> LinkStats {
                Self::stats(self)
            }
            fn send<'a>(&self, name: &[u8], payload: impl Into<Payload<'a>>) -> Result<(), SendError> {
                $done(Self::send(self, name, payload))
            }
            fn try_send<'a>(&self, name: &[u8], payload: impl Into<Payload<'a>>) -> Result<(), SendError> {
                Self::try_send(self, name, payload)
            }
            fn send_in_a_batch(
                &self,
                name: &[u8],
                payloads: impl IntoIterator<Item = Bytes>,
                flush: bool,
            ) -> Result<(), SendError> {
                let mut batch = self.batch();
                for payload in payloads {
                    $done(batch.send(name, payload))?;
                }
                if flush { $done(batch.flush()) } else { Ok(()) }
            }
            fn on(&self, name: &str, handler: impl Fn(&Self, MessageRef<'_>) + Send + Sync + 'static) {
                Self::on(self, name, handler);
            }
            fn off(&self, name: &str) {
                Self::off(self, name);
            }
            fn on_disconnect(&self, handler: impl FnOnce(&Self, CloseReason) + Send + 'static) {
                Self::on_disconnect(self, handler);
            }
            fn disconnect(&self) {
                Self::disconnect(self);
            }
        }

        impl<const THREADS: usize, const CLASSIC: bool> runtime::Events<$runtime<THREADS, CLASSIC>>
            for $lib::Events
        {
            fn next(&mut self) -> Option<Event<$lib::Peer>> {
                $done($next(self))
            }
            fn try_next(&mut self) -> Option<Event<$lib::Peer>> {
                Self::try_next(self)
            }
        }
    };
}

view!(Std, poolmesh_std, identity, Iterator::next, Iterator::next);
view!(Smol, poolmesh_smol, block_on, poolmesh_smol::Events::next, poolmesh_smol::PoolEvents::next);
