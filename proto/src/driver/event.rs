//! What happens in a mesh, with the runtime's own handle of a peer.

use core::net::SocketAddr;

use crate::{CloseReason, DialFailure, Fault, Message};

/// What happens in a mesh. `P` is the runtime's handle of a peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<P> {
    /// A link to a peer stands, dialed or accepted.
    Connected(P),
    /// A peer sent an event for which no handler is set.
    Received(P, Message),
    /// A link has ended. No event of a peer can look like this.
    Disconnected(P, CloseReason),
    /// A peer can't be reached.
    Unreachable(SocketAddr, DialFailure),
    /// Links are accepted at this address.
    Listening(SocketAddr),
    /// No links can be accepted at this address.
    ListenFailed(SocketAddr, Fault),
}
