//! What the machines of one program are told, as values.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::wire::native::{Member, PoolSpec};
use crate::{
    BroadcasterConfig, CallError, CallId, Client, ClientConfig, CloseReason, ConnectId, DialId, Door, Fault,
    Instant, ListFilter, MeshConfig, PeerId, PoolId, PoolInfo, Saved,
};

/// One entry of a trace: which program was told what, and when by its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which program, where a trace holds those of several.
    pub program: u32,
    /// The time that was handed in. It may run backwards. Inputs that take no time repeat the latest.
    pub now: Instant,
    /// What it was told.
    pub input: Input,
}

/// One input of a program's machines: a [`Broadcaster`](crate::Broadcaster), or a [`Client`](crate::Client), a
/// [`Mesh`](crate::Mesh) and its [`Links`](crate::Links).
///
/// Together with their times they determine all that the machines do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The program starts, anew if it did before: what it had is gone.
    Start(Start),
    /// How many outputs were polled at this point, and what they were.
    Polled {
        /// The machine that was polled.
        machine: Polled,
        /// How many outputs, the final `Wait` among them.
        outputs: u32,
        /// What they were, in one number: see [`Digest`](super::Digest).
        digest: u64,
    },
    /// Random bits that the input before it has drawn.
    Drawn(u128),

    /// To broadcaster or client: a datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Its bytes.
        datagram: Bytes,
    },
    /// To broadcaster or client: what time it is.
    Timeout,

    /// To the client: [`list`](crate::Client::list).
    List,
    /// To the client: [`create`](crate::Client::create).
    Create,
    /// To the client: [`join`](crate::Client::join).
    Join(PoolId),
    /// To the client: [`cancel`](crate::Client::cancel).
    Cancel(CallId),
    /// To the client: [`release`](crate::Client::release).
    Release(PoolId),
    /// To the client: [`close`](crate::Client::close).
    CloseClient,
    /// To the client: [`list_with`](crate::Client::list_with).
    ListWith(ListFilter),
    /// To the client: [`create_with`](crate::Client::create_with).
    CreateWith(Box<PoolSpec>, Bytes),
    /// To the client: [`join_with`](crate::Client::join_with).
    JoinWith(Door, Bytes),
    /// To the client: [`resume`](crate::Client::resume).
    Resume(Box<Saved>),
    /// To the client: something to be done in a pool.
    Order(PoolId, Order),

    /// To the mesh: what time it is.
    MeshTimeout,
    /// To the mesh: [`enter`](crate::Mesh::enter).
    Enter(PoolInfo),
    /// To the mesh: [`connect`](crate::Mesh::connect).
    Connect(Vec<SocketAddr>),
    /// To the mesh: [`cancel`](crate::Mesh::cancel).
    CancelConnect(ConnectId),
    /// To the mesh: [`meet`](crate::Mesh::meet).
    Meet(SocketAddr),
    /// To the mesh: [`listen`](crate::Mesh::listen).
    Listen(SocketAddr),
    /// To the mesh: [`disconnect`](crate::Mesh::disconnect).
    Disconnect(PeerId),
    /// To the mesh: [`close`](crate::Mesh::close).
    CloseMesh,
    /// To the mesh: [`handle_dialed`](crate::Mesh::handle_dialed). The link it hands out goes to the links.
    Dialed(DialId),
    /// To the mesh: [`handle_dial_failed`](crate::Mesh::handle_dial_failed).
    DialFailed(DialId, Fault),
    /// To the mesh: [`handle_accepted`](crate::Mesh::handle_accepted). The link it hands out goes to the links.
    Accepted(SocketAddr),
    /// To the mesh: [`handle_closed`](crate::Mesh::handle_closed).
    LinkClosed(PeerId, CloseReason),
    /// To the mesh: [`handle_listening`](crate::Mesh::handle_listening).
    Listening(SocketAddr),
    /// To the mesh: [`handle_listen_failed`](crate::Mesh::handle_listen_failed).
    ListenFailed(SocketAddr, Fault),

    /// To the links: what time it is.
    LinksTimeout,
    /// To the links: [`send`](crate::Links::send).
    Send {
        /// To whom.
        peer: PeerId,
        /// The event's name.
        name: Bytes,
        /// Its payload.
        payload: Bytes,
    },
    /// To the links: [`send_to_all`](crate::Links::send_to_all).
    SendToAll {
        /// The event's name.
        name: Bytes,
        /// Its payload.
        payload: Bytes,
    },
    /// To the links: [`close`](crate::Links::close).
    CloseLink(PeerId),
    /// To the links: [`handle_bytes`](crate::Links::handle_bytes).
    Bytes(PeerId, Bytes),
    /// To the links: [`handle_eof`](crate::Links::handle_eof).
    Eof(PeerId),
    /// To the links: [`handle_failure`](crate::Links::handle_failure).
    Failure(PeerId, Fault),
    /// To the links: [`handle_written`](crate::Links::handle_written).
    Written(PeerId),
}

/// What a client is told to have done in a pool, by the method of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// [`leave`](crate::Client::leave)
    Leave,
    /// [`close_pool`](crate::Client::close_pool)
    Close,
    /// [`kick`](crate::Client::kick)
    Kick(Member),
    /// [`hand_over`](crate::Client::hand_over)
    HandOver(Member),
    /// [`change`](crate::Client::change)
    Change(Box<PoolSpec>),
    /// [`lock`](crate::Client::lock)
    Lock(bool),
    /// [`set_about`](crate::Client::set_about)
    SetAbout(Bytes),
}

impl Order {
    /// Tells a client.
    ///
    /// # Errors
    /// As the method.
    pub fn give(&self, client: &mut Client, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        match self {
            Self::Leave => client.leave(now, pool),
            Self::Close => client.close_pool(now, pool),
            Self::Kick(member) => client.kick(now, pool, *member),
            Self::HandOver(member) => client.hand_over(now, pool, *member),
            Self::Change(spec) => client.change(now, pool, spec),
            Self::Lock(locked) => client.lock(now, pool, *locked),
            Self::SetAbout(about) => client.set_about(now, pool, about),
        }
    }
}

/// What a program is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// A broadcaster.
    Broadcaster(Box<BroadcasterConfig>),
    /// A client of the broadcaster at that address, a mesh and its links.
    Peer(Box<PeerStart>),
}

/// What a peer is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStart {
    /// The client's settings.
    pub client: ClientConfig,
    /// Where its broadcaster is.
    pub broadcaster: SocketAddr,
    /// The settings of mesh and links.
    pub mesh: MeshConfig,
    /// The client's randomness.
    pub seed: [u8; 32],
}

/// Which machine of a program was polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Polled {
    /// The broadcaster.
    Broadcaster,
    /// The client.
    Client,
    /// The mesh.
    Mesh,
    /// The links.
    Links,
}
