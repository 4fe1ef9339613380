//! The protocol of poolmesh as pure state machines: no socket, no clock, no thread, no random source.
//!
//! A **broadcaster** creates and lists **pools**, and admits who wants to join; the **members** of a pool know who is there and
//! who is **host**, and talk to each other directly, over links that carry named events.
//!
//! ```text
//!              datagrams                                     byte streams
//!   Client <---------------> Broadcaster              Link <--------------> Link
//!     |   create, list, join,                           ^
//!     |   ping; rosters, changes                        | hands out, learns the end of
//!     +--- PoolInfo: who is in the pool -------------> Mesh --- Dial, Listen, Close ---> driver
//! ```
//!
//! # Dialects
//!
//! By default both speak the **native** one. `PROTOCOL.md` of this crate specifies it: proof of address, rosters that all members
//! agree on, another host when one goes, and a way back after the broadcaster's death. What a client knows of a pool is
//! [`Membership`], what is new there [`PoolEvent`], what a broadcaster allows [`Limits`]. The **classic** one is the wire of
//! gop2p, byte for byte: [`BroadcasterConfig::with_classic`] has a broadcaster speak it, too, [`ClientConfig::classic`] is for a
//! client that does.
//!
//! # The loop
//!
//! [`Client`] and [`Broadcaster`] are [`Machine`]s: hand in what happened, then do what they say until they say
//! [`Output::Wait`]. A driver is that loop over a socket and a clock; here it is over two queues, and the time is
//! made up:
//!
//! ```
//! use core::net::SocketAddr;
//! use poolmesh_proto::{Broadcaster, BroadcasterConfig, Client, ClientConfig, ClientEvent};
//! use poolmesh_proto::{Instant, Machine, Outcome, Output};
//!
//! /// Does what a machine says: sends into `network`, collects events, and returns when to wake it.
//! fn drain<M: Machine>(machine: &mut M, network: &mut Vec<Vec<u8>>, events: &mut Vec<M::Event>) -> Option<Instant> {
//!     loop {
//!         match machine.poll_output() {
//!             Output::Transmit(datagram) => network.push(datagram.payload.to_vec()),
//!             Output::Event(event) => events.push(event),
//!             Output::Wait(deadline) => return deadline,
//!         }
//!     }
//! }
//!
//! let (server, me): (SocketAddr, SocketAddr) = ("192.0.2.1:6969".parse()?, "192.0.2.2:5000".parse()?);
//! let mut drawn = 0; // a real one draws from the system's random source, as the client's seed is
//! let mut broadcaster = Broadcaster::new(BroadcasterConfig::default(), move || { drawn += 1; drawn });
//! let mut client = Client::new(ClientConfig::default(), server, [7; 32]);
//! let (mut to_server, mut to_client, mut events) = (vec![], vec![], vec![]);
//!
//! let now = Instant::ZERO;
//! let call = client.create(now)?;
//! let mut wake = drain(&mut client, &mut to_server, &mut events);
//! assert!(wake.is_some(), "it will send again, or give up");
//! while !to_server.is_empty() { // the request, the same with a cookie, a ping that takes the place
//!     for datagram in to_server.drain(..) {
//!         broadcaster.handle_datagram(now, me, &datagram);
//!     }
//!     drain(&mut broadcaster, &mut to_client, &mut vec![]);
//!     for datagram in to_client.drain(..) {
//!         client.handle_datagram(now, server, &datagram);
//!     }
//!     wake = drain(&mut client, &mut to_server, &mut events);
//! }
//!
//! let [ClientEvent::Finished { call: of, outcome: Outcome::Created(pool) }] = &events[..] else { panic!() };
//! assert_eq!((*of, pool.host()), (call, me));
//! println!("code {}", pool.code().ok_or("a classic pool has none")?);
//! client.handle_timeout(wake.unwrap()); // virtual time: straight to the next ping
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a loop over real sockets has to do besides (how long a buffer, which errors are harmless, how to close) is in the
//! repository's `tests/WRITE-YOUR-DRIVER.md`, with a whole driver.
//!
//! [`Link`] has a poll for each direction, because a byte stream pushes back; its docs have an example. [`Mesh`]
//! says whom to dial and hands out the links. [`Links`] holds all links of a program that runs in one thread.
//!
//! # What is guaranteed
//!
//! - Inputs may come in any order and number before a drain. Early, late and repeated timeouts are harmless, and so
//!   is time that runs backwards.
//! - What comes from the network can't panic, can't become the caller's error, and can't make a machine allocate more
//!   than its config states. The caller's own misuse is a typed error of that call.
//! - The same inputs give the same outputs, bit for bit. Randomness and time are inputs.
//! - After [`Machine::handle_timeout`] and a drain the next deadline lies in the future. Each input first expires
//!   what is due, so a late ping revives nothing; what recurs is set anew from now, so a stall causes no burst.
//!
//! # What it does not do
//!
//! No encryption, no identities, no NAT traversal, no relay. The classic dialect has no proof of address, no leave and no notice
//! of who came: a pool's list of peers only grows.
//!
//! # Features
//!
//! None is on by default. `std` adds the module `driver`, what drivers over sockets have in common, and `Shard`,
//! a broadcaster in several threads; `trace` adds the
//! module `trace`, inputs as values that can be written to a file and played again; `tracing` logs through the crate
//! of that name. None changes what the machines do.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::alloc_instead_of_core, clippy::std_instead_of_alloc, clippy::std_instead_of_core)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod broadcaster;
mod budget;
mod client;
mod deadlines;
#[cfg(feature = "std")]
pub mod driver;
mod fault;
mod link;
mod links;
mod log;
mod mesh;
mod output;
mod packet;
mod payload;
#[cfg(test)]
mod texts;
mod time;
#[cfg(feature = "trace")]
pub mod trace;
pub mod wire;

pub use bytes::Bytes;

#[cfg(feature = "std")]
pub use broadcaster::Shard;
pub use broadcaster::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, Limits, RandomSource,
};
pub use budget::Budget;
pub use client::{
    CallError, CallFailed, CallId, Client, ClientConfig, ClientEvent, ClientStats, Cursor, Door,
    InvalidSaved, ListFilter, Membership, Outcome, PoolEnd, PoolEvent, PoolListing, PoolPage, Saved,
};
pub use fault::Fault;
pub use link::{
    Batch, Chunks, CloseReason, Encoded, Interest, Link, LinkConfig, LinkEvent, LinkEvents, LinkStats,
    SendError, Turn, Write, WriteKind,
};
pub use links::{Links, LinksOutput};
pub use mesh::{
    ConnectError, ConnectId, ConnectReport, DialFailure, DialId, Mesh, MeshConfig, MeshEvent, MeshOutput,
    MeshStats, PeerId, Side,
};
pub use output::{Machine, Output, Transmit};
pub use packet::{AmbiguousArray, Packet, PacketError, PacketReader};
pub use payload::Payload;
pub use time::Instant;
pub use wire::{InvalidPoolId, Message, MessageRef, PoolId, PoolInfo, PoolMember, Refusal};
