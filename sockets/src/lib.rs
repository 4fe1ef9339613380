//! The sockets of poolmesh's runtimes: what is the same whoever drives them.
//!
//! [`udp`] receives and sends datagrams in batches, for loops that serve; [`tcp`] finds the port that a peer is reached at,
//! and reads into memory that nobody has to clear first. Nothing here knows the protocol, starts a thread, or waits but
//! where it says so: it serves any event loop.

pub mod tcp;
pub mod udp;
