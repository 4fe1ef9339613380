//! What a client tells its application.

use super::{CallId, Outcome};
use crate::PoolId;
use crate::wire::PoolMember;
use crate::wire::native::{LeaveReason, Member, Term};

/// What a [`Client`](super::Client) tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A call has its outcome.
    Finished {
        /// The call.
        call: CallId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// The client is no longer in a pool; in the classic dialect, a hosted pool has ended.
    PoolEnded {
        /// The pool.
        pool: PoolId,
        /// Why.
        reason: PoolEnd,
    },
    /// Something is new in a pool that the client is a member of.
    Pool {
        /// The pool.
        pool: PoolId,
        /// What is new.
        event: PoolEvent,
    },
}

/// Why a client is no longer in a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PoolEnd {
    /// In the classic dialect: no ping came for the broadcaster's ping timeout.
    Quiet,
    /// The pool has ended: its host closed it, or left a pool that ends with its host.
    Closed,
    /// The host sent you away.
    Kicked,
    /// Somebody was admitted at your address.
    Replaced,
    /// The broadcaster no longer has you in the pool, such as when nothing was heard of you for too long; or the pool has
    /// ended meanwhile; or another program has come back as you, with the same [`Saved`](super::Saved).
    Forgotten,
    /// The broadcaster has lost the pool, and none of the pool's broadcasters can bring it back.
    Lost,
    /// You left.
    Left,
}

/// What is new in a pool. [`Client::membership`](super::Client::membership) holds what all of it comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolEvent {
    /// A member came.
    Joined(PoolMember),
    /// A member left.
    Left {
        /// Who it was.
        member: PoolMember,
        /// Why; none if it is only known that it is gone.
        reason: Option<LeaveReason>,
    },
    /// A member says something else of itself.
    About(PoolMember),
    /// A member is at another address. Links that stand are not touched by it.
    Moved(PoolMember),
    /// The host has decided something else about the pool.
    Spec,
    /// Another member is host, or one is host in a new term.
    Host {
        /// Who.
        member: Member,
        /// In which term: higher than that of any host before.
        term: Term,
        /// Whether it is you.
        you: bool,
    },
    /// The pool's broadcaster doesn't answer. Others are asked; links that stand are not touched by it.
    Unreachable,
    /// The pool's broadcaster is back, or another has the pool now. What has changed meanwhile is told behind this.
    Restored,
    /// More was new than [`ClientConfig::max_events`](super::ClientConfig::max_events) that nobody has polled: some was not
    /// told. Look at the roster.
    Missed,
}
