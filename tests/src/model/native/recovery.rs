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

/// Whether who has come with a ticket stays out.
fn stays_out(ticket: &Ticket, base: &Ticket) -> bool {
    let (own, base) = (&ticket.state, &base.state);
    own.generation < base.generation
        || own.epoch.era() == base.epoch.era() && own.epoch.number() < base.purged
}

impl Recovery {
    /// Whether a ticket can bring nobody back.
    pub(super) fn is_out(&self, ticket: &Ticket) -> bool {
        self.kicked.contains(&ticket.member)
            || self.base.as_ref().is_some_and(|base| stays_out(ticket, &base.0))
    }
}

impl State {
    /// Somebody has come into a pool whose recovery lasts.
    pub(super) fn came(&mut self, id: PoolUuid, name: u64) {
        let Some(place) = self.places.get(&name).cloned() else { return };
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let (Some(recovery), Some(own)) = (&mut pool.recovery, &place.ticket) else { return };
        recovery.came.push(name);
        let higher = recovery.base.as_ref().is_none_or(|base| rank(&own.0) > rank(&base.0));
        if higher {
            recovery.base = Some(own.clone());
            pool.stage = Stage::Gathering;
        }
        let out = recovery.base.as_ref().is_some_and(|base| stays_out(&own.0, &base.0));
        match &mut pool.stage {
            Stage::Gathering => {
                self.send_out(id);
                self.gather(id, false);
            }
            Stage::Live(line) if out || line.now().members.contains_key(&place.member) => self.over(id, name),
            Stage::Live(line) => {
                let mut content = line.now().clone();
                content.members.insert(place.member, (place.address, place.about.clone()));
                line.happens(content, Vec::new(), (false, false));
                let index = line.index();
                if let Some(place) = self.places.get_mut(&name) {
                    place.knows = index;
                }
            }
            Stage::Offered(_) => {}
        }
    }

    /// A session is over, of which nobody is told.
    fn over(&mut self, id: PoolUuid, name: u64) {
        self.gone.extend(self.places.remove(&name));
        if let Some(recovery) = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut()) {
            recovery.came.retain(|other| *other != name);
        }
    }

    /// Those who stay out, and those whose number another has who came before.
    fn send_out(&mut self, id: PoolUuid) {
        let Some(Recovery { base: Some(base), came, .. }) =
            self.pools.get(&id).and_then(|pool| pool.recovery.clone())
        else {
            return;
        };
        let mut members: Vec<Member> = Vec::new();
        for name in came {
            let Some(place) = self.places.get(&name) else { continue };
            let old = place.ticket.as_ref().is_some_and(|own| stays_out(&own.0, &base.0));
            if old || members.contains(&place.member) {
                self.over(id, name);
            } else {
                members.push(place.member);
            }
        }
    }

    /// Publishes the pool if enough have come, or if that is all.
    fn gather(&mut self, id: PoolUuid, all: bool) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        let Some(Recovery { base: Some(base), came, .. }) = pool.recovery.clone() else { return };
        let (ticket, spec) = *base;
        if !all && came.len() < usize::from(ticket.state.count.get()) {
            return;
        }
        let mut members: BTreeMap<Member, (SocketAddr, Vec<u8>)> = BTreeMap::new();
        for place in came.iter().filter_map(|name| self.places.get(name)) {
            members.insert(place.member, (place.address, place.about.clone()));
        }
        let hosted = members.contains_key(&ticket.state.host);
        let heir = members.keys().next().copied();
        let Some(host) = (if hosted { Some(ticket.state.host) } else { heir }) else {
            return self.ends(id, None);
        };
        if !hosted && spec.as_spec().ends_with_host() {
            return self.ends(id, None);
        }
        let term = ticket.state.term.get() + u32::from(!hosted);
        let given = ticket.state.next.get() - 1;
        let content = Content { spec, host, members };
        let line = Line::new(content, ticket.state.generation + 1, term, given);
        for (_, place) in self.places.iter_mut().filter(|(name, _)| came.contains(name)) {
            (place.knows, place.heard, place.untold) = (0, 0, true);
        }
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.stage = Stage::Live(line);
        }
    }

    /// A recovery is over.
    pub(super) fn recovered(&mut self, id: PoolUuid) {
        let gathers = self.pools.get(&id).is_some_and(|pool| matches!(pool.stage, Stage::Gathering));
        if gathers {
            self.gather(id, true);
        }
        let gathers = self.pools.get(&id).is_some_and(|pool| matches!(pool.stage, Stage::Gathering));
        if gathers {
            self.ends(id, None);
        }
        if let Some(pool) = self.pools.get_mut(&id) {
            pool.recovery = None;
        }
    }
}
