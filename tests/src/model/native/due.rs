//! What a broadcaster has to say still.

use std::net::SocketAddr;

use poolmesh_proto::Instant;
use poolmesh_proto::wire::native::{EndReason, Handle, Key, Member, PoolUuid, Refusal, Session, Tx};

use super::lists::Expected;
use super::state::Place;

/// One datagram that is due, or may come.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// An answer to a request, tagged with this key.
    Answer { to: SocketAddr, tx: Tx, key: Key, what: Answer, must: bool },
    /// Something to a member.
    Notice { to: SocketAddr, place: (Handle, Session, Key), what: Notice, must: bool },
    /// Something to whom can't be verified.
    /// `made`: when a cookie was made for it, if it has one.
    Challenge { to: SocketAddr, handle: Handle, count: u32, made: Option<Instant> },
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// As it was made at that time.
    Cookie(Instant),
    /// One of these codes.
    Refused(Vec<Refusal>),
    /// The offer of this place.
    Joined(u64),
    Pools(Box<Expected>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Pong(u32),
    /// Either: what is latest is not settled.
    PongOrPage(u32, PoolUuid, usize),
    /// A page from that member on, of a step not before that.
    Page(u32, PoolUuid, Option<Member>, usize),
    /// The same refusals that have a wait are the same.
    Done(u32, Result<(), Refusal>),
    Ended(EndReason),
}

impl Due {
    pub(super) fn ended(place: &Place, reason: EndReason) -> Self {
        Self::notice(place, Notice::Ended(reason))
    }

    pub(super) fn notice(place: &Place, what: Notice) -> Self {
        let nobody = (Handle(0), Session(0), Key::ZERO);
        Self::Notice { to: place.address, place: place.told.unwrap_or(nobody), what, must: true }
    }

    /// It may be left out.
    pub(super) fn may(&mut self) {
        match self {
            Self::Answer { must, .. } | Self::Notice { must, .. } => *must = false,
            Self::Challenge { .. } => {}
        }
    }

    pub(super) fn is_must(&self) -> bool {
        match self {
            Self::Answer { must, .. } | Self::Notice { must, .. } => *must,
            Self::Challenge { .. } => true,
        }
    }
}
