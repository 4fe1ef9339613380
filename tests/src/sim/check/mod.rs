//! What must hold at every moment, and is looked at after every event.
//!
//! The names in the messages (P1, G2, …) are those of the invariants in the module's documentation.

mod calls;
mod dials;
mod frames;
mod links;
mod native;
mod peer;
mod server;

pub(super) use native::{Asked, Book, Order};
pub(super) use peer::PeerCheck;
pub(super) use server::ServerCheck;
