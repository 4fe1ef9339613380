//! What comes of calls.

use core::net::SocketAddr;

use super::PoolPage;
use crate::PoolInfo;
use crate::wire::Refusal;

/// Names one call of one [`Client`](super::Client). Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(crate) u64);

/// How a call ended. Every call has exactly one.
///
/// [`into_list`](Self::into_list), [`into_pool`](Self::into_pool) and [`into_done`](Self::into_done) have it as a result, with why it
/// failed as a [`CallFailed`](super::CallFailed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// To create: you host this pool now, until you leave it or it ends. In the classic dialect it is pinged until
    /// [`release`](super::Client::release) or its end.
    Created(PoolInfo),
    /// To join and resume: you are in the pool.
    Joined(PoolInfo),
    /// To list: some of the pools there are.
    Listed(PoolPage),
    /// To an order: it is carried out.
    Done,
    /// The broadcaster refused.
    Refused(Refusal),
    /// No answer came in time.
    TimedOut {
        /// Who was asked last.
        broadcaster: SocketAddr,
        /// How often the request was sent. In the native dialect, with what was sent to come into the pool that it has led to;
        /// to resume, with what was sent to find a broadcaster that has it.
        sent: u32,
    },
    /// The client was closed.
    Closed,
}
