//! A blocking view of a runtime, for tests that are written once and run on each.

mod adapters;

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use bytes::Bytes;
use poolmesh_proto::driver::{ConnectFailed, Event, PoolNews, PoolReport};
use poolmesh_proto::wire::Dialect;
use poolmesh_proto::wire::native::{Member, PoolCode, PoolSpec};
use poolmesh_proto::{
    BroadcasterConfig, BroadcasterStats, CallFailed, ClientConfig, ClientStats, CloseReason, Door, LinkStats,
    ListFilter, Membership, MeshConfig, MeshStats, MessageRef, Payload, PeerId, PoolId, PoolInfo,
    PoolListing, PoolPage, Saved, SendError, Side,
};

pub use adapters::{
    ClassicSmol, ClassicSmolInFour, ClassicStd, ClassicStdInFour, Smol, SmolInFour, Std, StdInFour,
};

/// A runtime: what its types are, and how it serves.
pub trait Runtime: Sized + Debug + 'static {
    /// The client of a broadcaster.
    type Client: Client;
    /// The peers of a program.
    type Mesh: Mesh<Self>;
    /// A link.
    type Peer: Peer;
    /// The events of a mesh.
    type Events: Events<Self>;

    /// What the suite has its clients and broadcasters speak.
    const DIALECT: Dialect;

    /// Opens a broadcaster's socket and serves in the background.
    ///
    /// # Errors
    /// If the address can't be had.
    fn serve(address: SocketAddr, config: BroadcasterConfig) -> io::Result<Serving>;
}

/// A broadcaster that serves in the background.
pub struct Serving {
    /// Where.
    pub local: SocketAddr,
    /// Has it stop.
    pub stop: Box<dyn FnOnce() + Send>,
    /// Ends when it has stopped.
    pub thread: JoinHandle<io::Result<BroadcasterStats>>,
}

impl Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("local", &self.local).finish_non_exhaustive()
    }
}

/// The client of a broadcaster.
#[expect(missing_docs, clippy::missing_errors_doc, reason = "each method is the runtimes' own of that name")]
pub trait Client: Clone + Debug + Send + Sync + 'static {
    type Events: PoolEvents;

    fn connect_with(broadcaster: &str, config: ClientConfig) -> io::Result<Self>;
    fn list(&self) -> Result<Vec<PoolListing>, CallFailed>;
    fn list_with(&self, filter: &ListFilter) -> Result<PoolPage, CallFailed>;
    fn create(&self) -> Result<PoolInfo, CallFailed>;
    fn create_with(&self, spec: &PoolSpec, about: &[u8]) -> Result<PoolInfo, CallFailed>;
    fn join(&self, pool: PoolId) -> Result<PoolInfo, CallFailed>;
    fn join_with(&self, door: impl Into<Door>, about: &[u8]) -> Result<PoolInfo, CallFailed>;
    fn join_by_code(&self, code: PoolCode) -> Result<PoolInfo, CallFailed>;
    fn resume(&self, saved: &Saved) -> Result<PoolInfo, CallFailed>;
    fn leave(&self, pool: PoolId) -> Result<(), CallFailed>;
    fn close_pool(&self, pool: PoolId) -> Result<(), CallFailed>;
    fn kick(&self, pool: PoolId, member: Member) -> Result<(), CallFailed>;
    fn hand_over(&self, pool: PoolId, member: Member) -> Result<(), CallFailed>;
    fn change(&self, pool: PoolId, spec: &PoolSpec) -> Result<(), CallFailed>;
    fn lock(&self, pool: PoolId, locked: bool) -> Result<(), CallFailed>;
    fn set_about(&self, pool: PoolId, about: &[u8]) -> Result<(), CallFailed>;
    fn membership(&self, pool: PoolId) -> Option<Membership>;
    fn latest_spec(&self, pool: PoolId) -> Option<PoolSpec>;
    fn pools(&self) -> Vec<PoolId>;
    fn events(&self) -> Self::Events;
    fn release(&self, pool: PoolId) -> bool;
    fn broadcaster(&self) -> SocketAddr;
    fn local_addr(&self) -> SocketAddr;
    fn stats(&self) -> ClientStats;
    fn close(&self);
}

/// What happens in the pools of a client.
pub trait PoolEvents: Debug + Send + 'static {
    /// Waits for the next event; none when the client is closed.
    fn next(&mut self) -> Option<PoolNews>;
    /// The next event if there is one already.
    fn try_next(&mut self) -> Option<PoolNews>;
}

/// The peers of a program.
#[expect(missing_docs, clippy::missing_errors_doc, reason = "each method is the runtimes' own of that name")]
pub trait Mesh<R: Runtime>: Clone + Debug + Send + Sync + 'static {
    fn with_config(config: MeshConfig) -> Self;
    fn listen(&self, port: u16) -> io::Result<SocketAddr>;
    fn listen_on(&self, address: SocketAddr) -> io::Result<SocketAddr>;
    fn connect_to_peer(&self, address: &str) -> Result<R::Peer, ConnectFailed>;
    fn connect_to_pool(
        &self,
        client: &R::Client,
        pool: &PoolInfo,
    ) -> Result<PoolReport<R::Peer>, ConnectFailed>;
    fn accept(&self) -> Option<R::Peer>;
    fn events(&self) -> R::Events;
    fn on(&self, name: &str, handler: impl Fn(&R::Peer, MessageRef<'_>) + Send + Sync + 'static);
    fn off(&self, name: &str);
    fn peers(&self) -> Vec<R::Peer>;
    fn send_to_all<'a>(&self, name: &[u8], payload: impl Into<Payload<'a>>) -> Vec<(R::Peer, SendError)>;
    fn stats(&self) -> MeshStats;
    fn close(&self);
}

/// A link.
#[expect(missing_docs, clippy::missing_errors_doc, reason = "each method is the runtimes' own of that name")]
pub trait Peer: Clone + Debug + Send + Sync + 'static {
    fn id(&self) -> PeerId;
    fn address(&self) -> SocketAddr;
    fn side(&self) -> Side;
    fn is_connected(&self) -> bool;
    fn queued(&self) -> usize;
    fn stats(&self) -> LinkStats;
    fn send<'a>(&self, name: &[u8], payload: impl Into<Payload<'a>>) -> Result<(), SendError>;
    fn try_send<'a>(&self, name: &[u8], payload: impl Into<Payload<'a>>) -> Result<(), SendError>;
    /// Sends events in a batch, and flushes it, or leaves that to its drop.
    fn send_in_a_batch(
        &self,
        name: &[u8],
        payloads: impl IntoIterator<Item = Bytes>,
        flush: bool,
    ) -> Result<(), SendError>;
    fn on(&self, name: &str, handler: impl Fn(&Self, MessageRef<'_>) + Send + Sync + 'static);
    fn off(&self, name: &str);
    fn on_disconnect(&self, handler: impl FnOnce(&Self, CloseReason) + Send + 'static);
    fn disconnect(&self);
}

/// The events of a mesh.
pub trait Events<R: Runtime>: Debug + Send + 'static {
    /// Waits for the next event; none when the mesh is closed.
    fn next(&mut self) -> Option<Event<R::Peer>>;
    /// The next event if there is one already.
    fn try_next(&mut self) -> Option<Event<R::Peer>>;
}
