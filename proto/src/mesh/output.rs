//! What a mesh says to its driver and its application.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

#[cfg(doc)]
use super::Mesh;
#[cfg(doc)]
use crate::Link;
use crate::{CloseReason, Fault, Instant};

/// Names one link of one [`Mesh`]. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub(crate) u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Names one attempt at a connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(crate) u64);

/// Names one call of [`Mesh::connect`] or [`Mesh::enter`]. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectId(pub(crate) u64);

/// Who opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// It was dialed from here. Its address is the one that was dialed.
    Dialed,
    /// It was accepted. On the classic wire its address names nobody: peers dial from any port.
    Accepted,
}

/// Why a peer can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialFailure {
    /// Every attempt failed.
    Failed {
        /// How the last one did.
        fault: Fault,
        /// How many were made.
        attempts: u32,
    },
    /// There are as many links as allowed.
    TooManyLinks,
    /// A pool lists more peers than may be dialed at a time.
    TooManyDials,
    /// The mesh was closed.
    Closed,
}

impl fmt::Display for DialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { fault, attempts: 1 } => write!(f, "{fault}"),
            Self::Failed { fault, attempts } => write!(f, "{fault} ({attempts} attempts)"),
            Self::TooManyLinks => f.write_str("as many links as allowed"),
            Self::TooManyDials => f.write_str("as many peers being dialed as allowed"),
            Self::Closed => f.write_str("mesh closed"),
        }
    }
}

impl core::error::Error for DialFailure {}

/// What became of a call of [`Mesh::connect`] or [`Mesh::enter`]. That some failed is no failure of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectReport {
    /// The call.
    pub id: ConnectId,
    /// Whom a link was opened to, or stood already.
    pub connected: Vec<(SocketAddr, PeerId)>,
    /// Who can't be reached, and why.
    pub failed: Vec<(SocketAddr, DialFailure)>,
}

/// What a [`Mesh`] tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MeshEvent {
    /// A link to a peer stands.
    PeerConnected {
        /// The link.
        peer: PeerId,
        /// Where the peer is.
        address: SocketAddr,
        /// Who opened it.
        side: Side,
    },
    /// A link has ended.
    PeerGone {
        /// The link.
        peer: PeerId,
        /// Where the peer was.
        address: SocketAddr,
        /// Why. Only the link itself decides that: no event of a peer can look like it.
        reason: CloseReason,
    },
    /// A peer that was to be dialed can't be reached.
    PeerUnreachable {
        /// Where it should be.
        address: SocketAddr,
        /// Why not.
        failure: DialFailure,
    },
    /// Every address of a call is connected or given up.
    Settled(ConnectReport),
    /// The mesh accepts links.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// The mesh can't accept links there.
    ListenFailed {
        /// Where.
        address: SocketAddr,
        /// Why not.
        fault: Fault,
    },
}

/// One thing to do for the driver of a [`Mesh`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "dropping an output loses a connection or an event"]
pub enum MeshOutput {
    /// Open a connection, and report with [`Mesh::handle_dialed`] or [`Mesh::handle_dial_failed`].
    Dial {
        /// Names the attempt.
        dial: DialId,
        /// Where to.
        address: SocketAddr,
        /// After this time it has failed.
        timeout: Duration,
    },
    /// The attempt's result is not wanted any more: stop it if that is possible.
    Abandon {
        /// The attempt.
        dial: DialId,
    },
    /// Accept connections here, and no more where it was before. Report with [`Mesh::handle_listening`] or
    /// [`Mesh::handle_listen_failed`], then each connection with [`Mesh::handle_accepted`].
    Listen {
        /// Where; port 0 is any.
        address: SocketAddr,
    },
    /// Accept no more.
    StopListening,
    /// Call [`Link::close`] on this link.
    Close {
        /// The link.
        peer: PeerId,
    },
    /// Tell the application.
    Event(MeshEvent),
    /// Nothing is left to do until the next input, or until this deadline if there is one.
    Wait(Option<Instant>),
}

/// Why a mesh can't connect. Always the caller's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// More addresses would be dialed than allowed at a time.
    TooManyDials {
        /// How many.
        limit: usize,
    },
    /// The mesh was closed.
    Closed,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyDials { limit } => {
                write!(f, "more than {limit} addresses at a time: wait until some are connected")
            }
            Self::Closed => f.write_str("the mesh was closed"),
        }
    }
}

impl core::error::Error for ConnectError {}

/// What a [`Mesh`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeshStats {
    /// Attempts at a connection made.
    pub dials: u64,
    /// Links opened from here.
    pub dialed: u64,
    /// Links accepted.
    pub accepted: u64,
    /// Connections refused because there were as many links, or as many untold ones, as allowed.
    pub refused: u64,
    /// Links ended.
    pub gone: u64,
}
