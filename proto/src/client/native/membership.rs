//! What a member knows of its pool.

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::super::Saved;
use crate::wire::PoolMember;
use crate::wire::native::{Application, Epoch, Member, PoolCode, PoolSpec, Term, Ticket};
use crate::{PoolId, PoolInfo};

/// What a client knows of a pool that it is a member of.
///
/// Members whose epochs are equal know the same spec, the same members and the same host.
#[derive(Clone, Debug)]
pub struct Membership {
    pub(super) id: PoolId,
    /// Which broadcaster said it.
    pub(super) broadcaster: SocketAddr,
    pub(super) ticket: Ticket,
    pub(super) spec: PoolSpec,
    pub(super) about: Bytes,
    pub(super) you: SocketAddr,
    /// In the order of their numbers.
    pub(super) members: Vec<PoolMember>,
}

impl Membership {
    /// The pool's id.
    #[must_use]
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// The pool's code, which a person can read out.
    #[must_use]
    pub fn code(&self) -> PoolCode {
        self.ticket.code
    }

    /// Who the client is in the pool.
    #[must_use]
    pub fn me(&self) -> Member {
        self.ticket.member
    }

    /// Whether the client is the host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.host() == self.me()
    }

    /// Who is host.
    #[must_use]
    pub fn host(&self) -> Member {
        self.ticket.state.host
    }

    /// How many hosts the pool has had, this one included.
    #[must_use]
    pub fn term(&self) -> Term {
        self.ticket.state.term
    }

    /// Which state of the pool it is.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.ticket.state.epoch
    }

    /// What the host decides about the pool.
    #[must_use]
    pub fn spec(&self) -> &PoolSpec {
        &self.spec
    }

    /// The client's UDP address, as the broadcaster sees it.
    #[must_use]
    pub fn you(&self) -> SocketAddr {
        self.member(self.me()).map_or(self.you, |me| me.address)
    }

    /// The members, in the order of their numbers, which is that of their coming.
    #[must_use]
    pub fn members(&self) -> &[PoolMember] {
        &self.members
    }

    /// The member of that number.
    #[must_use]
    pub fn member(&self, number: Member) -> Option<&PoolMember> {
        let place = self.members.binary_search_by_key(&number, |member| member.number).ok()?;
        self.members.get(place)
    }

    /// The broadcaster that has the pool.
    #[must_use]
    pub fn broadcaster(&self) -> SocketAddr {
        self.broadcaster
    }

    /// What to keep to come back as the same member when the program starts again. It changes with everything that changes in
    /// the pool, and with its session: save it when you have come into the pool, and behind each
    /// [`PoolEvent`](crate::PoolEvent) of it, `Restored` among them. [`Saved`] says how long it is good.
    ///
    /// It serves after a crash, a kill or a `process::exit`: a client that is closed leaves its pools, and so does one of a
    /// runtime that is dropped.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            broadcaster: self.broadcaster,
            ticket: self.ticket,
            spec: self.spec.clone(),
            about: self.about.clone(),
        }
    }

    pub(super) fn application(&self) -> Application {
        self.ticket.application
    }

    /// The pool as a mesh wants to know it: whom to dial.
    #[must_use]
    pub fn info(&self) -> PoolInfo {
        PoolInfo::of_members(self.id, self.code(), self.me(), self.host(), self.you(), self.members.clone())
    }
}
