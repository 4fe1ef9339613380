//! What can go wrong when connecting, for the person who reads it.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::{error, fmt};
use std::io;

use crate::{ConnectError, ConnectReport, DialFailure};

/// What became of connecting to a pool. `P` is the runtime's handle of a peer.
#[derive(Debug)]
pub struct PoolReport<P> {
    /// To whom a link was opened.
    pub connected: Vec<P>,
    /// Who can't be reached, and why.
    pub failed: Vec<(SocketAddr, DialFailure)>,
    /// Where links are accepted, or why they are not: then those who join later can't reach this peer.
    pub listening: io::Result<SocketAddr>,
}

/// Why there is no link.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectFailed {
    /// The call could not be made, which is the caller's doing.
    Misuse(ConnectError),
    /// The name has no address.
    Resolve(io::Error),
    /// Nobody can be reached there.
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why not.
        failure: DialFailure,
    },
    /// The link was opened, and has ended already.
    Gone {
        /// Where.
        address: SocketAddr,
    },
}

impl ConnectFailed {
    /// Why a call that dialed `address` alone has no link to show.
    #[must_use]
    pub fn of(report: &ConnectReport, address: SocketAddr) -> Self {
        match report.failed.first() {
            Some((address, failure)) => Self::Unreachable { address: *address, failure: *failure },
            None => Self::Gone { address },
        }
    }
}

impl fmt::Display for ConnectFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(error) => write!(f, "{error}"),
            Self::Resolve(error) => write!(f, "{error}"),
            Self::Unreachable { address, failure } => write!(f, "peer {address} can't be reached: {failure}"),
            Self::Gone { address } => write!(f, "peer {address} has closed the link at once"),
        }
    }
}

impl error::Error for ConnectFailed {}

impl From<ConnectError> for ConnectFailed {
    fn from(error: ConnectError) -> Self {
        Self::Misuse(error)
    }
}
