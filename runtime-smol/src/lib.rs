//! poolmesh over smol: async sockets and tasks.

mod client;
mod clock;
mod events;
mod link;
mod mesh;
mod server;
mod sink;
mod sockets;

pub use client::Client;
pub use events::{Event, Events};
pub use link::Peer;
pub use mesh::Mesh;
pub use poolmesh_proto as proto;
pub use poolmesh_proto::driver::ConnectFailed;
pub use poolmesh_proto::{
    BroadcasterConfig, BroadcasterEvent, BroadcasterStats, CallFailed, ClientConfig, CloseReason,
    DialFailure, LinkConfig, MeshConfig, Message, Packet, PacketError, PacketReader, PeerId, PoolId,
    PoolInfo, SendError, Side,
};
pub use server::{BroadcasterServer, Stopper};
pub use sink::EventSink;

/// What became of connecting to a pool.
pub type PoolReport = proto::driver::PoolReport<Peer>;
