//! Whom hosts send away while a pool's recovery lasts (PROTOCOL.md, section 7.2, rule 5): they have tickets.

use alloc::vec::Vec;

use super::lineage::is_later;
use crate::wire::native::{Epoch, Member, Seats, State};

/// So many at most, the latest: as many as a pool may have members.
const MOST: usize = Seats::MAX as usize;

#[derive(Clone, Debug)]
pub(super) struct SentAway {
    /// The highest base in whose time somebody was.
    from: State,
    /// Each with the epoch that it came by, and the host that did it.
    all: Vec<(Member, Epoch, Member)>,
}

impl SentAway {
    /// Nobody yet, in a pool that comes back as this says.
    pub(super) const fn none(base: State) -> Self {
        Self { from: base, all: Vec::new() }
    }

    pub(super) fn note(&mut self, (member, by): (Member, Epoch), host: Member) {
        self.all.retain(|(other, ..)| *other != member);
        self.all.push((member, by, host));
        self.all.drain(..self.all.len().saturating_sub(MOST));
    }

    /// Whether this keeps a member's ticket out: all but those of later states, in which another is host.
    pub(super) fn bars(&self, member: Member, ticket: &State) -> bool {
        let by = self.all.iter().find(|(other, ..)| *other == member).map(|(.., host)| *host);
        by.is_some_and(|host| host == ticket.host || !is_later(ticket, &self.from))
    }

    /// The pool comes back as this says. Answers who may come again: whom another host has sent away, and those of eras that have
    /// nothing to do with it, for their numbers are others' there.
    pub(super) fn rebase(&mut self, base: &State) -> Vec<Member> {
        let is_later = is_later(base, &self.from);
        if is_later {
            self.from = *base;
        }
        let is_free = |(_, by, host): &(Member, Epoch, Member)| {
            let is_of_it = |epoch: Epoch| epoch.era() == by.era();
            is_later && *host != base.host || !is_of_it(base.epoch) && !base.base.is_some_and(is_of_it)
        };
        let free = self.all.iter().filter(|it| is_free(it)).map(|(member, ..)| *member).collect();
        self.all.retain(|it| !is_free(it));
        free
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
