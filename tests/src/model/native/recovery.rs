//! How a pool comes back (PROTOCOL.md, section 7.2, from 4 on).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{
    EndReason, Epoch, LeaveReason, Member, PoolUuid, State as TicketState, Ticket,
};

use super::due::Due;
use super::ended::{ERAS, Early, Past};
use super::line::{Content, Line};
use super::state::{Recovery, Stage, State};

/// Whether an era that was brought back from another at that epoch, with so many, went on longer than what is known of that one.
pub(super) fn outlives((base, came): (Epoch, u16), other: &TicketState) -> bool {
    let nothing_newer = other.epoch.number() <= base.number();
    let most = came >= 2 && came > other.count.get() / 2;
    nothing_newer || most && other.purged <= base.number()
}

pub(super) fn brought_back(state: &TicketState) -> Option<(Epoch, u16)> {
    state.base.map(|base| (base, state.came))
}

/// How two eras compare that are not brought back one from the other.
pub(super) fn compare_eras(
    (one, generation): (Option<(Epoch, u16)>, u32),
    (other, its): (Option<(Epoch, u16)>, u32),
) -> Ordering {
    match (one, other) {
        (Some((one, came)), Some((other, as_many))) if one.era() == other.era() => {
            one.number().cmp(&other.number()).then(came.cmp(&as_many)).then(generation.cmp(&its))
        }
        _ => {
            let most = |base: Option<(Epoch, u16)>| base.map_or(0, |(_, came)| came);
            generation.cmp(&its).then(most(one).cmp(&most(other)))
        }
    }
}

/// Whether the first of two tickets is the base, rather than the second (rule 5).
pub(super) fn counts_before(one: &Ticket, other: &Ticket) -> bool {
    let (one, other) = (&one.state, &other.state);
    let (mine, theirs) = (one.epoch, other.epoch);
    match (brought_back(one), brought_back(other)) {
        _ if mine.era() == theirs.era() => mine.number() > theirs.number(),
        (Some(base), _) if base.0.era() == theirs.era() => outlives(base, other),
        (_, Some(base)) if base.0.era() == mine.era() => !outlives(base, one),
        (base, their) => compare_eras((base, one.generation), (their, other.generation))
            .then(mine.number().cmp(&theirs.number()))
            .is_gt(),
    }
}

/// By what somebody has come: the epoch of his ticket; none if he joined.
pub(super) type Come = Option<Epoch>;

pub(super) fn come(ticket: &Ticket) -> Come {
    Some(ticket.state.epoch)
}

/// Whether who has come so stays out.
pub(super) fn stays_out(come: Come, base: &Ticket) -> bool {
    let Some(epoch) = come else { return true };
    let state = &base.state;
    if epoch.era() == state.epoch.era() {
        epoch.number() < state.purged
    } else {
        // Who was in the roster that the era began with, and nobody was sent away since.
        state.base != Some(epoch) || state.purged > 0
    }
}

impl Recovery {
    /// Whether a ticket can bring nobody back.
    pub(super) fn is_out(&self, ticket: &Ticket) -> bool {
        let low = self.base.as_ref().filter(|_| !self.is_higher(ticket));
        self.kicked.bars(ticket) || low.is_some_and(|base| stays_out(come(ticket), &base.0))
    }

    /// The recovery before, if that era is one of its.
    fn before(&self, epoch: Epoch) -> Option<&Early> {
        self.before.as_deref().filter(|before| before.era(epoch.era()).is_some())
    }

    /// Whether it is a higher base than there is. An era that ended in the recovery before is to others where it came from.
    pub(super) fn is_higher(&self, ticket: &Ticket) -> bool {
        let Some(base) = &self.base else { return true };
        match self.before(base.0.state.epoch) {
            Some(before) if self.before(ticket.state.epoch).is_none() => counts_before(ticket, &before.base),
            _ => counts_before(ticket, &base.0),
        }
    }

    /// What is known of it if its pool ends, which was last published so.
    pub(super) fn early(&self, last: Past, came: u16) -> Option<Box<Early>> {
        let base = self.base.as_ref()?.0;
        let before = self.before(base.state.epoch);
        let mut eras = before.map_or(Vec::new(), |before| before.eras.clone());
        let own = last.base == base.state.epoch;
        let came = own.then_some((last.base, came));
        eras.extend(Some(last).filter(|_| own));
        eras.drain(..eras.len().saturating_sub(ERAS));
        let base = before.map_or(base, |before| before.base);
        Some(Box::new(Early { base, until: self.until, kicked: self.kicked.clone(), eras, came }))
    }

    /// Somebody is a member no longer.
    pub(super) fn has_left(&mut self, member: Member) {
        let base = self.base.as_ref().map(|base| base.0.state.epoch);
        self.come.retain(|other, by| *other != member || by.is_some() && *by == base);
    }

    fn is_complete(&self) -> bool {
        self.base.as_ref().is_some_and(|base| {
            let state = &base.0.state;
            self.come.len() >= usize::from(state.count.get()) && self.come.contains_key(&state.host)
        })
    }

    /// Who knew the pool as it is brought back.
    fn knew(&self) -> impl Iterator<Item = Member> + '_ {
        let base = self.base.as_ref().map(|base| base.0.state.epoch);
        self.come.iter().filter(move |(_, come)| come.is_some() && **come == base).map(|(member, _)| *member)
    }

    fn came(&self) -> u16 {
        let before = self.base.as_ref().and_then(|base| brought_back(&base.0.state));
        let own = self.base.as_ref().map(|base| base.0.state.epoch);
        let same = self.before.as_ref().and_then(|it| it.came).filter(|(base, _)| own == Some(*base));
        let came = (self.knew().count() as u16).max(same.map_or(0, |(_, came)| came));
        before.map_or(came, |(_, before)| came.min(before))
    }
}

impl State {
    /// Somebody comes by a ticket into a pool whose recovery lasts. Whether he may.
    pub(super) fn came(&mut self, id: PoolUuid, name: u64) -> bool {
        let Some(place) = self.places.get(&name).cloned() else { return false };
        let recovery = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut());
        let taken = |other: &super::state::Place| {
            other.pool == id
                && other.member == place.member
                && other.offered.is_none()
                && other.tx != place.tx
        };
        let is_taken = self.places.values().any(taken);
        let Some((recovery, own)) = recovery
            .zip(place.ticket.clone())
            .filter(|(recovery, own)| !recovery.is_out(&own.0) && (!is_taken || recovery.is_higher(&own.0)))
        else {
            self.void(name);
            return false;
        };
        let higher = recovery.is_higher(&own.0);
        let by = come(&own.0);
        // At each address one is.
        let others = self.names(|other| {
            other.pool == id
                && other.address == place.address
                && other.offered.is_none()
                && other.tx != place.tx
        });
        if higher {
            // What was is no more, so nobody's leaving ends it. But it is told.
            for other in &others {
                let ended = self.places.get(other).map(|place| Due::ended(place, EndReason::Replaced));
                self.due.extend(ended);
            }
            self.rebase(id, own, name);
            others.into_iter().for_each(|other| self.leaves(other, LeaveReason::Replaced));
            // Who has the number stays no longer, be it that he came by a lower ticket of the same member.
            let is = |other: &super::state::Place| {
                other.pool == id
                    && other.member == place.member
                    && other.offered.is_none()
                    && other.tx != place.tx
            };
            for other in self.names(is) {
                let ended = self.places.get(&other).map(|place| Due::ended(place, EndReason::Replaced));
                self.due.extend(ended);
                self.leaves(other, LeaveReason::Replaced);
            }
            self.comes_by(id, place.member, by);
        } else if let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) {
            let mut content = line.now().clone();
            content.members.insert(place.member, (place.address, place.about));
            line.happens(content, Vec::new(), (false, false));
            let index = line.index();
            let came = self.comes_by(id, place.member, by);
            if let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) {
                line.set_came(came);
            }
            if let Some(place) = self.places.get_mut(&name) {
                place.knows = index;
            }
            others.into_iter().for_each(|other| self.replaced(other));
            return true;
        } else {
            self.comes_by(id, place.member, by);
            others.into_iter().for_each(|other| self.replaced(other));
        }
        let recovery = self.pools.get(&id).and_then(|pool| pool.recovery.as_ref());
        if recovery.is_some_and(|it| it.is_complete() || it.publish.is_none()) {
            self.publish(id);
        }
        true
    }

    /// A member has come by that. Answers how many have who knew the pool as it is brought back.
    fn comes_by(&mut self, id: PoolUuid, member: Member, by: Come) -> u16 {
        let Some(recovery) = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut()) else {
            return 0;
        };
        recovery.come.insert(member, by);
        recovery.came()
    }

    /// The names of all places that are so.
    pub(super) fn names(&self, is: impl Fn(&super::state::Place) -> bool) -> Vec<u64> {
        self.places.iter().filter(|(_, place)| is(place)).map(|(name, _)| *name).collect()
    }

    /// Another ticket is the base, from which nothing is published until the pool is back.
    fn rebase(&mut self, id: PoolUuid, base: Box<(Ticket, poolmesh_proto::wire::native::PoolSpec)>, by: u64) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        if let Stage::Live(line) = std::mem::replace(&mut pool.stage, Stage::Gathering) {
            if let Some(published) = &mut pool.published {
                (published.era, published.came) = (line.era(), line.came());
            }
            self.past.push((id, line));
        }
        let now = self.now;
        let wait = self.limits.interval * super::TWO;
        let at = self.places.get(&by).map(|place| place.address);
        let is_there = |place: &&super::state::Place| {
            place.pool == id && place.offered.is_none() && Some(place.address) != at
        };
        let there: Vec<Member> = self.places.values().filter(is_there).map(|place| place.member).collect();
        let Some(recovery) = &mut pool.recovery else { return };
        let out: Vec<Member> = recovery
            .come
            .iter()
            .filter(|(_, come)| stays_out(**come, &base.0))
            .map(|(member, _)| *member)
            .collect();
        recovery.come.retain(|member, _| !out.contains(member));
        // Nor has come who has left, but by just this epoch.
        let own = Some(base.0.state.epoch);
        recovery.come.retain(|member, by| *by == own || there.contains(member));
        recovery.publish = Some((now + wait).min(recovery.until));
        // Whom another host has sent away may come by this ticket.
        let free = recovery.kicked.rebase(&base.0);
        recovery.come.retain(|member, _| !free.contains(member));
        recovery.base = Some(base);
        // Nobody joins meanwhile, and of those who stay out nobody is told so.
        let over = self.names(|place| {
            place.pool == id
                && (place.keeps_seat()
                    || place.seated
                    || place.offered.is_none() && out.contains(&place.member))
        });
        for name in over.into_iter().filter(|name| *name != by) {
            self.void(name);
            // An offer to come back falls with its member.
            let back = self.names(|place| place.pool == id && place.before == Some(name));
            back.into_iter().for_each(|name| self.void(name));
        }
    }

    /// The pool is there again, with those who have come and are there still.
    fn publish(&mut self, id: PoolUuid) {
        let Some(recovery) = self.pools.get(&id).and_then(|pool| pool.recovery.clone()) else { return };
        let Some((ticket, spec)) = recovery.base.map(|base| *base) else { return };
        let there: BTreeMap<Member, (SocketAddr, Vec<u8>)> = self
            .places
            .values()
            .filter(|place| place.pool == id && place.offered.is_none())
            .map(|place| (place.member, (place.address, place.about.clone())))
            .collect();
        let hosted = there.contains_key(&ticket.state.host);
        // Who may have left before is host only if nobody else is there.
        let knew = self.pools.get(&id).and_then(|pool| pool.recovery.as_ref());
        let knew: Vec<Member> = knew.map(|recovery| recovery.knew().collect()).unwrap_or_default();
        let heir = there.keys().find(|member| knew.contains(member)).or_else(|| there.keys().next());
        let host = if hosted { Some(ticket.state.host) } else { heir.copied() };
        let base = ticket.state.epoch;
        let generation = recovery.generation.max(ticket.state.generation) + 1;
        let came = self.pools.get(&id).and_then(|pool| pool.recovery.as_ref()).map_or(0, Recovery::came);
        let published = super::state::Published { era: None, generation, base, came };
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.published = Some(published);
        }
        let Some(host) = host.filter(|_| hosted || !spec.as_spec().ends_with_host()) else {
            return self.ends(id, None);
        };
        let term = ticket.state.term.get() + u32::from(!hosted);
        let purged = u32::from(!recovery.kicked.is_empty());
        let content = Content { spec, host, members: there };
        let line =
            Line::new(content, (generation, Some((base, came))), (term, purged), ticket.state.next.get() - 1);
        for place in self.places.values_mut().filter(|place| place.pool == id && place.offered.is_none()) {
            (place.knows, place.heard, place.untold) = (0, 0, true);
        }
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.stage = Stage::Live(line);
            if let Some(recovery) = &mut pool.recovery {
                recovery.generation = generation;
            }
        }
    }

    /// Who hasn't come by now isn't waited for any more.
    pub(super) fn waited(&mut self, id: PoolUuid) {
        if let Some(recovery) = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut()) {
            recovery.publish = None;
        }
        let gathers = self.pools.get(&id).is_some_and(|pool| matches!(pool.stage, Stage::Gathering));
        if gathers && self.places.values().any(|place| place.pool == id && place.offered.is_none()) {
            self.publish(id);
        }
    }

    /// A recovery is over.
    pub(super) fn recovered(&mut self, id: PoolUuid) {
        if self.pools.get(&id).is_some_and(|pool| matches!(pool.stage, Stage::Gathering)) {
            self.ends(id, None);
        }
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.recovery = None;
        }
        let offers =
            self.names(|place| place.pool == id && place.offered.is_some() && place.ticket.is_some());
        offers.into_iter().for_each(|name| self.void(name));
    }
}
