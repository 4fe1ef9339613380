//! poolmesh over smol: async sockets and tasks.
//!
//! A **broadcaster** (a small UDP server) creates and lists **pools**, and admits who wants to join; the **members** of a
//! pool know who is there and who is **host**, and talk to each other directly, over links that carry named events. The protocol
//! lives in [`proto`] as pure state machines; this crate owns the sockets, the clock and the tasks, and decides nothing.
//!
//! ```no_run
//! use poolmesh_smol::{Client, Mesh, Packet};
//!
//! # smol::block_on(async {
//! let client = Client::connect("127.0.0.1:6969").await?;
//! let mesh = Mesh::new();
//! mesh.on("msg", |peer, event| println!("{}: {:?}", peer.address(), event.reader().string()));
//! let pool = client.create().await?; // and stay in it, until `leave`
//! println!("code {}", pool.code().ok_or("a classic pool has none")?);
//! mesh.connect_to_pool(&client, &pool).await?;
//! mesh.accept().await.unwrap().send("msg", Packet::new().string("welcome")).await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) });
//! ```
//!
//! [`Client::create_with`] says what the pool is ([`PoolSpec`]), [`Client::join_by_code`] takes the code that somebody read out,
//! [`Client::events`] tells who comes, goes and is host, [`Client::membership`] all that is known at any time. Several
//! broadcasters that stand in for each other are [`ClientConfig::broadcasters`]. Why a call failed is [`CallFailed`], of which
//! [`CallFailed::native_refusal`], [`CallFailed::is_full`] and [`CallFailed::is_not_host`] ask what programs want to know.
//!
//! # Coming from gop2p
//!
//! Its programs are reached in the classic dialect: [`Client::connect_with`] and [`ClientConfig::classic`], at a broadcaster of
//! [`BroadcasterConfig::with_classic`]. Programs of this crate among themselves need neither.
//!
//! | gop2p | here |
//! | --- | --- |
//! | `broadcast.CreateHandle`, `Connect(host, port)` | [`Client::connect`] |
//! | `GetPoolIDs`, `CreatePool`, `JoinPool` | [`Client::list`], [`Client::create`], [`Client::join`]: each ends by its deadline |
//! | `Ping(ctx, ticks)`, to be called by the host | by itself, as often as the broadcaster says, until [`Client::leave`]; in the classic dialect every [`ClientConfig::ping_interval`], until [`Client::release`] |
//! | `Close` | [`Client::close`], [`Mesh::close`], or dropping the last clone |
//! | `p2p.CreateHandle` | [`Mesh::new`] |
//! | `ConnectToPeer`, `ConnectToPool` | [`Mesh::connect_to_peer`], [`Mesh::connect_to_pool`]: who can't be reached is in the report |
//! | `Listen(port)`, `Accept` | [`Mesh::listen`] ([`Mesh::connect_to_pool`] does it), [`Mesh::accept`] or [`Event::Connected`] |
//! | `HandlePeerIO` | not needed: I/O runs from the start |
//! | `Peer.Send(event, packet)` | [`Peer::send`] waits for room, [`Peer::try_send`] doesn't; written at once, no ticks |
//! | `Peer.On(event, handler)` | [`Peer::on`], and [`Mesh::on`] for all peers |
//! | `Disconnect` | [`Peer::disconnect`], which does close the connection |
//! | the `disconnected` event | [`Peer::on_disconnect`], [`Event::Disconnected`]: with a reason, and no peer can forge it |
//! | the reader, which loses its place when a frame comes in pieces | towards gop2p peers set [`LinkConfig::pack`] to 1: a write for each event, and keep events small |
//! | (none) | [`Client::leave`], `kick`, `lock`, `hand_over` and more, [`Client::events`], [`Client::resume`]: in the native dialect |
//! | (none) | [`Mesh::events`], a `Stream`; [`Peer::sink`], a `Sink` |
//!
//! # What the tasks run
//!
//! A client has one task. A mesh has one that keeps its time, one that accepts while it listens, one for each connection
//! it is dialing, and one for each link, which reads and writes side by side. They run on smol's global executor
//! (`SMOL_THREADS` sets its threads). A future that is dropped loses no event and breaks nothing.
//!
//! # Errors of the network
//!
//! A closed port that a datagram met, an interrupted call, too many open files, a connection that died before it was
//! accepted: none of them ends anything, and after those that would come again at once there is a pause. A peer that
//! does not read costs its bound of memory ([`LinkConfig::max_queued`]) and nobody else's time; an application that
//! does not take its events slows down those who send them.

mod client;
mod clock;
mod events;
mod link;
mod member;
mod mesh;
mod server;
mod sink;
mod sockets;

pub use bytes::Bytes;
pub use client::{Client, PoolEvents};
pub use events::{Event, Events};
pub use link::{Peer, SendBatch};
pub use mesh::Mesh;
pub use poolmesh_proto as proto;
pub use poolmesh_proto::driver::{ConnectFailed, PoolNews};
#[cfg(feature = "record")]
pub use poolmesh_proto::trace::RecordLimits;
pub use poolmesh_proto::wire::Words;
pub use poolmesh_proto::wire::native::{
    Address, Application, Epoch, InvalidApplication, InvalidPoolCode, InvalidSpec, LeaveReason, Member,
    PoolCode, PoolSpec, Refusal as NativeRefusal, Seats, Secret, Term, UnknownCode,
};
pub use poolmesh_proto::{
    AmbiguousArray, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, CallError, CallFailed,
    ClientConfig, ClientStats, CloseReason, ConnectError, Cursor, DialFailure, Door, Fault, InvalidPoolId,
    InvalidSaved, Limits, LinkConfig, LinkStats, ListFilter, Membership, MeshConfig, MeshStats, Message,
    MessageRef, Packet, PacketError, PacketReader, Payload, PeerId, PoolEnd, PoolEvent, PoolId, PoolInfo,
    PoolListing, PoolMember, PoolPage, Refusal, Saved, SendError, Side,
};
pub use poolmesh_sockets::udp::{Meter, SocketStats};
pub use server::{BroadcasterServer, Stopper};
pub use sink::EventSink;
pub use sockets::resolve;

/// What became of connecting to a pool.
pub type PoolReport = proto::driver::PoolReport<Peer>;
