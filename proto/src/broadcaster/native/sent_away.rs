//! Whom hosts send away while a pool's recovery lasts (PROTOCOL.md, section 7.2, rule 5): they have tickets.

use alloc::vec::Vec;

use super::lineage::is_later;
use crate::wire::native::{Member, State};

#[derive(Clone, Debug)]
pub(super) struct SentAway {
    /// The highest base in whose time somebody was.
    from: State,
    /// Each with the host that did it.
    all: Vec<(Member, Member)>,
}

impl SentAway {
    /// Nobody yet, in a pool that comes back as this says.
    pub(super) const fn none(base: State) -> Self {
        Self { from: base, all: Vec::new() }
    }

    pub(super) fn note(&mut self, member: Member, host: Member) {
        self.all.retain(|(other, _)| *other != member);
        self.all.push((member, host));
    }

    /// Whether this keeps a member's ticket out: all but those of later states, in which another is host.
    pub(super) fn bars(&self, member: Member, ticket: &State) -> bool {
        let by = self.all.iter().find(|(other, _)| *other == member).map(|(_, host)| *host);
        by.is_some_and(|host| host == ticket.host || !is_later(ticket, &self.from))
    }

    /// The pool comes back as this says. Answers who may come again.
    pub(super) fn rebase(&mut self, base: &State) -> Vec<Member> {
        if !is_later(base, &self.from) {
            return Vec::new();
        }
        self.from = *base;
        let free =
            self.all.iter().filter(|(_, host)| *host != base.host).map(|(member, _)| *member).collect();
        self.all.retain(|(_, host)| *host == base.host);
        free
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
