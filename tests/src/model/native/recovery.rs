//! How a pool comes back (PROTOCOL.md, section 7.2, from 4 on).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{Member, PoolUuid, Ticket};

use super::line::{Content, Line};
use super::state::{Recovery, Stage, State};

/// What makes one ticket count before another.
fn rank(ticket: &Ticket) -> (u32, u32) {
    (ticket.state.generation, ticket.state.epoch.number())
}

/// By what somebody has come: the generation, era and number of his ticket, or of the roster that he joined.
pub(super) type Come = (u32, Option<(u64, u32)>);

fn come(ticket: &Ticket) -> Come {
    (ticket.state.generation, Some((ticket.state.epoch.era(), ticket.state.epoch.number())))
}

/// Whether who has come so stays out.
fn stays_out((generation, epoch): Come, base: &Ticket) -> bool {
    let state = &base.state;
    let purged = epoch.is_some_and(|(era, number)| era == state.epoch.era() && number < state.purged);
    generation < state.generation || purged
}

impl Recovery {
    /// Whether a ticket can bring nobody back.
    pub(super) fn is_out(&self, ticket: &Ticket) -> bool {
        let out = self.base.as_ref().is_some_and(|base| stays_out(come(ticket), &base.0));
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
        let higher = recovery.base.as_ref().is_none_or(|base| rank(&own.0) > rank(&base.0));
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
            // What was is no more, so nobody's leaving ends it.
            self.rebase(id, own);
            others.into_iter().for_each(|other| self.replaced(other));
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
        pool.stage = Stage::Gathering;
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
            return self.ends(id, None);
        };
        let term = ticket.state.term.get() + u32::from(!hosted);
        let content = Content { spec, host, members: there };
        let generation = recovery.generation.max(ticket.state.generation) + 1;
        let line = Line::new(content, generation, term, ticket.state.next.get() - 1);
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
