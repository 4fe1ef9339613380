//! How a pool comes back (PROTOCOL.md, section 7.2, from 4 on).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{
    EndReason, Epoch, LeaveReason, Member, PoolUuid, State as TicketState, Ticket,
};

use super::due::Due;
use super::line::{Content, Line};
use super::state::{Recovery, Stage, State};

/// Whether the first of two tickets is the base, rather than the second (rule 5).
fn counts_before(one: &Ticket, other: &Ticket) -> bool {
    let (one, other) = (&one.state, &other.state);
    let (mine, theirs) = (one.epoch, other.epoch);
    match (one.base, other.base) {
        _ if mine.era() == theirs.era() => mine.number() > theirs.number(),
        (Some(base), _) if base.era() == theirs.era() => theirs.number() <= base.number(),
        (_, Some(base)) if base.era() == mine.era() => mine.number() > base.number(),
        (Some(base), Some(their)) if base.era() == their.era() && base.number() != their.number() => {
            base.number() > their.number()
        }
        (Some(base), Some(their)) if base.era() == their.era() && one.count != other.count => {
            one.count > other.count
        }
        (Some(base), Some(their)) if base.era() == their.era() => mine.number() > theirs.number(),
        _ if one.generation != other.generation => one.generation > other.generation,
        _ => mine.number() > theirs.number(),
    }
}

/// By what somebody has come: the epoch of his ticket; none if he joined.
pub(super) type Come = Option<Epoch>;

fn come(ticket: &Ticket) -> Come {
    Some(ticket.state.epoch)
}

/// Whether who has come so stays out.
fn stays_out(come: Come, base: &Ticket) -> bool {
    let Some(epoch) = come else { return true };
    let state = &base.state;
    if epoch.era() == state.epoch.era() {
        epoch.number() < state.purged
    } else {
        // Who was in the roster that the era began with, and nobody was sent away since.
        state.base != Some(epoch) || state.purged > 0
    }
}

/// What is known of a pool that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) era: Option<u64>,
    pub(super) generation: u32,
    pub(super) base: Option<Epoch>,
    /// If the last member fell silent: the number of the epoch at the latest kick.
    pub(super) silent: Option<u32>,
}

/// The latest pools that have ended, in the order in which they did so first.
#[derive(Clone, Debug)]
pub(super) struct Over {
    most: usize,
    pools: Vec<(PoolUuid, Ended)>,
}

impl Over {
    pub(super) fn new(most: usize) -> Self {
        Self { most, pools: Vec::new() }
    }

    pub(super) fn note(&mut self, pool: PoolUuid, ended: Ended) {
        match self.pools.iter_mut().find(|(id, _)| *id == pool) {
            Some((_, known)) => *known = ended,
            None => self.pools.push((pool, ended)),
        }
        if self.pools.len() > self.most {
            self.pools.remove(0);
        }
    }

    /// It is told of a pool that has ended.
    pub(super) fn learns(&mut self, pool: PoolUuid, said: &TicketState) {
        let made = |ended: &Ended| (said.generation, said.base) == (ended.generation, ended.base);
        if let Some((_, ended)) = self.pools.iter_mut().find(|(id, ended)| *id == pool && made(ended)) {
            ended.era = Some(said.epoch.era());
        }
    }

    /// The highest generation of a pool that a ticket may bring back. `own`: the ticket's era began here.
    pub(super) fn allows(&self, pool: PoolUuid, ticket: &TicketState, own: bool) -> Option<u32> {
        let Some((_, ended)) = self.pools.iter().find(|(id, _)| *id == pool) else {
            return (!own).then_some(0);
        };
        let epoch = ticket.epoch;
        let holds = if ended.era == Some(epoch.era()) {
            ended.silent.is_some_and(|purged| purged <= epoch.number())
        } else if let Some(base) = ended.base.filter(|base| base.era() == epoch.era()) {
            // Who was there when it began here may not have heard so.
            let was_there = ended.silent == Some(0) && base == epoch;
            base.number() < epoch.number() || was_there
        } else {
            ended.generation < ticket.generation
        };
        holds.then_some(ended.generation)
    }
}

impl Recovery {
    /// Whether a ticket can bring nobody back.
    pub(super) fn is_out(&self, ticket: &Ticket) -> bool {
        let out = |base: &Ticket| !counts_before(ticket, base) && stays_out(come(ticket), base);
        let out = self.base.as_ref().is_some_and(|base| out(&base.0));
        out || self.kicked.contains(&ticket.member)
    }

    fn is_complete(&self) -> bool {
        let count = self.base.as_ref().map(|base| usize::from(base.0.state.count.get()));
        count.is_some_and(|count| self.come.len() >= count)
    }
}

impl State {
    /// Somebody comes by a ticket into a pool whose recovery lasts. Whether he may.
    pub(super) fn came(&mut self, id: PoolUuid, name: u64) -> bool {
        let Some(place) = self.places.get(&name).cloned() else { return false };
        let recovery = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut());
        let Some((recovery, own)) =
            recovery.zip(place.ticket.clone()).filter(|(recovery, own)| !recovery.is_out(&own.0))
        else {
            self.void(name);
            return false;
        };
        recovery.come.insert(place.member, come(&own.0));
        let higher = recovery.base.as_ref().is_none_or(|base| counts_before(&own.0, &base.0));
        // Of each number one comes, and at each address one is.
        let offers = self.names(|other| {
            other.pool == id
                && other.member == place.member
                && other.offered.is_some()
                && other.tx != place.tx
        });
        offers.into_iter().for_each(|other| self.void(other));
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
            self.rebase(id, own);
            others.into_iter().for_each(|other| self.leaves(other, LeaveReason::Replaced));
        } else if let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) {
            let mut content = line.now().clone();
            content.members.insert(place.member, (place.address, place.about));
            line.happens(content, Vec::new(), (false, false));
            let index = line.index();
            if let Some(place) = self.places.get_mut(&name) {
                place.knows = index;
            }
            others.into_iter().for_each(|other| self.replaced(other));
            return true;
        } else {
            others.into_iter().for_each(|other| self.replaced(other));
        }
        let recovery = self.pools.get(&id).and_then(|pool| pool.recovery.as_ref());
        if recovery.is_some_and(|it| it.is_complete() || it.publish.is_none()) {
            self.publish(id);
        }
        true
    }

    /// The names of all places that are so.
    pub(super) fn names(&self, is: impl Fn(&super::state::Place) -> bool) -> Vec<u64> {
        self.places.iter().filter(|(_, place)| is(place)).map(|(name, _)| *name).collect()
    }

    /// Another ticket is the base, from which nothing is published until the pool is back.
    fn rebase(&mut self, id: PoolUuid, base: Box<(Ticket, poolmesh_proto::wire::native::PoolSpec)>) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        if let Stage::Live(line) = std::mem::replace(&mut pool.stage, Stage::Gathering) {
            self.past.push((id, line));
        }
        let Some(recovery) = &mut pool.recovery else { return };
        let out: Vec<Member> = recovery
            .come
            .iter()
            .filter(|(_, come)| stays_out(**come, &base.0))
            .map(|(member, _)| *member)
            .collect();
        recovery.come.retain(|member, _| !out.contains(member));
        recovery.base = Some(base);
        // Nobody joins meanwhile, and of those who stay out nobody is told so.
        let over = self.names(|place| {
            place.pool == id
                && (place.keeps_seat()
                    || place.seated
                    || place.offered.is_none() && out.contains(&place.member))
        });
        for name in over {
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
        let heir = there.keys().next().copied();
        let host = if hosted { Some(ticket.state.host) } else { heir };
        let Some(host) = host.filter(|_| hosted || !spec.as_spec().ends_with_host()) else {
            if let Some(pool) = self.pools.get_mut(&id) {
                let generation = recovery.generation.max(ticket.state.generation) + 1;
                pool.published = Some((generation, ticket.state.epoch));
            }
            return self.ends(id, None);
        };
        let term = ticket.state.term.get() + u32::from(!hosted);
        let content = Content { spec, host, members: there };
        let generation = recovery.generation.max(ticket.state.generation) + 1;
        let base = ticket.state.epoch;
        let line = Line::new(content, (generation, Some(base)), term, ticket.state.next.get() - 1);
        for place in self.places.values_mut().filter(|place| place.pool == id && place.offered.is_none()) {
            (place.knows, place.heard, place.untold) = (0, 0, true);
        }
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.stage = Stage::Live(line);
            pool.published = Some((generation, base));
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
