//! What every driver must do, as checks that any driver can be put to.
//!
//! A driver is the loop that carries a machine's outputs to sockets and clocks, and what comes from them back. Whoever
//! writes one implements [`Driver`], some twelve methods, and [`Subject`], one, and calls [`prove`]. A runtime that has
//! implemented [`Runtime`](crate::runtime::Runtime) for the conformance suite has done so already: prove
//! [`OnRuntime`].
//!
//! The suite plays the world: a broadcaster and peers that say, cut, delay and refuse exactly what a check wants. There
//! are two worlds. [`Loopback`] is made of real sockets, for drivers that own theirs, and of real time. [`Scripted`]
//! sockets and a scripted clock are for drivers that are generic over [`Network`]: no time passes, everything is
//! exact, each call is recorded, and what no real socket does on demand happens (a write that takes seven bytes, an
//! `accept` without files, a dial that stands too late).
//!
//! [`EventLoop`] is a whole driver in one thread, to use or to learn from. The page
//! [`WRITE-YOUR-DRIVER.md`](page) says in plain words what the checks hold a driver to.

mod checks;
mod datagrams;
mod event_loop;
mod loopback;
mod network;
mod on_runtime;
mod proof;
mod recording;
mod scripted;
mod stage;
mod subjects;
mod system;
mod world;

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use poolmesh_proto::driver::{Event, PoolNews};
use poolmesh_proto::{
    BroadcasterConfig, CallFailed, ClientConfig, ClientEvent, Instant, MeshConfig, MeshEvent, Outcome,
    PeerId, PoolId, PoolInfo, SendError,
};

pub use datagrams::{ServerLoop, drain, receive};
pub use event_loop::EventLoop;
pub use loopback::Loopback;
pub use network::Network;
pub use on_runtime::OnRuntime;
pub use proof::{Failure, check_names, failures, prove, story};
pub use recording::Recording;
pub use scripted::{Scripted, ScriptedSocket};
pub use subjects::{OnLoopback, OnScript};
pub use system::System;
pub use world::{Heard, SocketId, World};

#[doc = include_str!("../WRITE-YOUR-DRIVER.md")]
pub mod page {}

/// What a program is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The client's settings.
    pub client: ClientConfig,
    /// The settings of mesh and links.
    pub mesh: MeshConfig,
    /// Where the client's broadcaster is.
    pub broadcaster: SocketAddr,
    /// The client's randomness: of its own for each program. A real one draws it from the system.
    pub seed: [u8; 32],
}

/// What a program is told by its driver.
#[derive(Debug)]
pub enum Told {
    /// The answer to list.
    Listed(Vec<PoolId>),
    /// The answer to create or join.
    Pool(PoolInfo),
    /// A call has no answer, and why.
    Failed(CallFailed),
    /// An order is carried out.
    Done,
    /// What happens in the pools that the program is in.
    News(PoolNews),
    /// What happens to the links.
    Mesh(Event<PeerId>),
    /// The program was closed, and all of it has ended. The last word.
    Closed,
}

impl Told {
    /// What a client's machine tells, for its program.
    #[must_use]
    pub fn of(event: ClientEvent) -> Option<Self> {
        let ClientEvent::Finished { outcome, .. } = event else {
            return PoolNews::of(event).map(Self::News);
        };
        if let Outcome::Listed(pools) = &outcome {
            return Some(Self::Listed(pools.ids().collect()));
        }
        if outcome == Outcome::Done {
            return Some(Self::Done);
        }
        Some(outcome.into_pool().map_or_else(Self::Failed, Self::Pool))
    }
}

/// What a mesh's machine tells, for its program. That a call has its report is not among it: each of its addresses has been
/// told of.
#[must_use]
pub fn mesh_event(event: MeshEvent) -> Option<Event<PeerId>> {
    match event {
        MeshEvent::PeerConnected { peer, .. } => Some(Event::Connected(peer)),
        MeshEvent::PeerGone { peer, reason, .. } => Some(Event::Disconnected(peer, reason)),
        MeshEvent::PeerUnreachable { address, failure } => Some(Event::Unreachable(address, failure)),
        MeshEvent::Listening { address } => Some(Event::Listening(address)),
        MeshEvent::ListenFailed { address, fault } => Some(Event::ListenFailed(address, fault)),
        MeshEvent::Settled(_) | _ => None,
    }
}

/// What a driver says when it gives its thread back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has done all there was to do. It would sleep now until a socket is ready, the program wants something, or
    /// this time has come.
    Asleep(Option<Instant>),
    /// It has threads of its own, and needs no turns.
    ByItself,
}

/// A program's driver: client, mesh and links on their way to sockets.
///
/// What is asked of it may be carried out at once, or with the next turn. No method waits; what comes of a call is told
/// by [`next`](Self::next).
pub trait Driver {
    /// Asks for the pools there are.
    fn list(&mut self);
    /// Asks for a new pool.
    fn create(&mut self);
    /// Asks to become a peer of a pool.
    fn join(&mut self, pool: PoolId);
    /// Accepts links at `address`, and no more where it did before.
    fn listen(&mut self, address: SocketAddr);
    /// Opens a link to `address`.
    fn connect(&mut self, address: SocketAddr);
    /// Sends an event to a peer, if there is room for it.
    ///
    /// # Errors
    /// If there is none, or no such link any more.
    fn send(&mut self, peer: PeerId, name: &str, payload: Bytes) -> Result<(), SendError>;
    /// Closes a link.
    fn disconnect(&mut self, peer: PeerId);
    /// Closes everything: [`Told::Closed`] follows when all has ended.
    fn close(&mut self);
    /// The next thing the program is told, if there is one. Who doesn't ask doesn't keep up: then the driver reads no
    /// more, within the bounds of [`MeshConfig`].
    fn next(&mut self) -> Option<Told>;
    /// Gives the driver the thread, until it has nothing more to do.
    fn turn(&mut self) -> Turn;
}

/// A broadcaster's driver. It stops when it is dropped.
pub trait Server {
    /// Where it serves.
    fn address(&self) -> SocketAddr;
    /// As [`Driver::turn`].
    fn turn(&mut self) -> Turn;
}

/// What is put to the proof: how to start one more program, in a world of its own.
pub trait Subject: Send + Sync + 'static {
    /// What its sockets and its clock are: [`Loopback`] or [`Scripted`].
    type World: World + Default + 'static;

    /// Starts a program.
    ///
    /// # Errors
    /// If it can't be.
    fn start(&self, world: &Self::World, settings: Settings) -> io::Result<Box<dyn Driver>>;

    /// Starts a broadcaster on a free port of 127.0.0.1; none if this driver drives no broadcasters, which spares it their
    /// checks.
    ///
    /// # Errors
    /// If it can't be.
    fn serve(&self, world: &Self::World, config: BroadcasterConfig) -> io::Result<Option<Box<dyn Server>>> {
        let _ = (world, config);
        Ok(None)
    }
}
