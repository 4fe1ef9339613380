//! poolmesh proto
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;
mod broadcaster;
mod client;
mod deadlines;
mod log;
mod output;
mod packet;
mod time;
pub mod wire;
pub use broadcaster::{Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, RandomSource};
pub use client::{CallError, CallId, Client, ClientConfig, ClientEvent, ClientStats, Outcome};
pub use output::{Machine, Output, Transmit};
pub use packet::{AmbiguousArray, Packet, PacketError, PacketReader};
pub use time::Instant;
pub use wire::{InvalidPoolId, PoolId, PoolInfo};
