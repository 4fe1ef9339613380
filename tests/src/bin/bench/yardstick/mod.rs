//! What ours is held against: the same work done by the shortest loops over bare sockets.
//!
//! As tight as they can be made, for a weak yardstick is a lie: every buffer is used again, nothing is allocated, no clock
//! is read.

pub(crate) mod codec;
pub(crate) mod frames;
#[cfg(feature = "bench-peers")]
pub(crate) mod peers;
pub(crate) mod rtt;
pub(crate) mod tcp;
pub(crate) mod udp;
mod uring;
