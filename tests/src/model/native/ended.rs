//! What is remembered of pools that have ended, and of whom their hosts had sent away (PROTOCOL.md, section 7.2, 3 to 5).

use poolmesh_proto::Instant;
use poolmesh_proto::wire::native::{Epoch, Member, PoolUuid, State as TicketState, Ticket};

use super::recovery::{brought_back, come, compare_eras, counts_before, outlives, stays_out};

/// What is known of a pool that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) era: Option<u64>,
    pub(super) generation: u32,
    /// From which epoch it was brought back, and how many came.
    pub(super) base: Option<(Epoch, u16)>,
    /// If the last member fell silent: the number of the epoch at the latest kick.
    pub(super) silent: Option<u32>,
    /// If tickets held still.
    pub(super) early: Option<Box<Early>>,
}

/// So many eras that ended in a recovery are remembered.
pub(super) const ERAS: usize = 16;

/// A recovery that lasted when its pool ended.
#[derive(Clone, Debug)]
pub(super) struct Early {
    /// What the pool was brought back from, not counting eras that ended in it.
    pub(super) base: Ticket,
    pub(super) until: Instant,
    pub(super) kicked: Kicked,
    /// The eras that ended in it, the latest [`ERAS`].
    pub(super) eras: Vec<Past>,
    /// From which epoch the last was brought back, with how many.
    pub(super) came: Option<(Epoch, u16)>,
}

/// An era that ended in a recovery, of that generation and from that epoch.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) era: Option<u64>,
    pub(super) generation: u32,
    pub(super) base: Epoch,
    /// As of a pool that has ended.
    pub(super) silent: Option<u32>,
}

impl Early {
    pub(super) fn era(&self, era: u64) -> Option<&Past> {
        self.eras.iter().find(|past| past.era == Some(era))
    }

    /// It is told of one of its eras.
    pub(super) fn learns(&mut self, said: &TicketState) {
        let own = |past: &&mut Past| (said.generation, said.base) == (past.generation, Some(past.base));
        self.eras.iter_mut().filter(own).for_each(|past| past.era = Some(said.epoch.era()));
    }
}

/// Whom hosts have sent away who came by a ticket.
#[derive(Clone, Debug, Default)]
pub(super) struct Kicked {
    /// With the epoch by which they came, and the host that did it.
    members: Vec<(Member, Epoch, Member)>,
    /// The highest base since.
    since: Option<Ticket>,
}

impl Kicked {
    pub(super) fn add(&mut self, (member, by): (Member, Epoch), host: Member, base: &Ticket) {
        self.members.retain(|(other, ..)| *other != member);
        self.members.push((member, by, host));
        self.since.get_or_insert(*base);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether one of them is none by this ticket: it is by later ones in which another is host.
    pub(super) fn bars(&self, ticket: &Ticket) -> bool {
        let by = self.members.iter().find(|(member, ..)| *member == ticket.member).map(|(.., by)| *by);
        let later = self.since.as_ref().is_none_or(|since| counts_before(ticket, since));
        by.is_some_and(|by| !later || by == ticket.state.host)
    }

    /// Another base. Answers those who may come by it.
    pub(super) fn rebase(&mut self, base: &Ticket) -> Vec<Member> {
        let later = self.since.as_ref().is_some_and(|since| counts_before(base, since));
        if later {
            self.since = Some(*base);
        }
        let state = &base.state;
        // Of other eras the numbers are others'.
        let of_it = |by: &Epoch| {
            by.era() == state.epoch.era() || state.base.is_some_and(|base| base.era() == by.era())
        };
        let stays = |(_, by, host): &(Member, Epoch, Member)| of_it(by) && (*host == state.host || !later);
        let (stay, free) = self.members.iter().partition::<Vec<_>, _>(|it| stays(it));
        self.members = stay;
        free.into_iter().map(|(member, ..)| member).collect()
    }
}

/// The latest pools that have ended, in that order.
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
        self.pools.retain(|(id, _)| *id != pool);
        self.pools.push((pool, ended));
        if self.pools.len() > self.most {
            self.pools.remove(0);
        }
    }

    /// It is told of a pool that has ended.
    pub(super) fn learns(&mut self, pool: PoolUuid, said: &TicketState) {
        let made =
            |ended: &Ended| (said.generation, said.base) == (ended.generation, ended.base.map(|base| base.0));
        if let Some((_, ended)) = self.pools.iter_mut().find(|(id, ended)| *id == pool && made(ended)) {
            ended.era = Some(said.epoch.era());
        }
        let ended = self.pools.iter_mut().find(|(id, _)| *id == pool).map(|(_, ended)| ended);
        if let Some(early) = ended.and_then(|ended| ended.early.as_mut()) {
            early.learns(said);
        }
    }

    pub(super) fn knows(&self, pool: PoolUuid) -> bool {
        self.pools.iter().any(|(id, _)| *id == pool)
    }

    /// The highest generation of a pool that a ticket may bring back. `own`: the ticket's era began here.
    pub(super) fn allows(&self, whole: &Ticket, own: bool, now: Instant) -> Option<u32> {
        let ticket = &whole.state;
        let Some((_, ended)) = self.pools.iter().find(|(id, _)| *id == whole.pool) else {
            return (!own).then_some(0);
        };
        let epoch = ticket.epoch;
        let is_of = |era: u64| ended.era == Some(era);
        let from = ended.base.filter(|(base, _)| base.era() == epoch.era());
        let early = ended.early.as_ref().filter(|early| now < early.until);
        let holds = if is_of(epoch.era()) {
            ended.silent.is_some_and(|purged| purged <= epoch.number())
        } else if let Some((early, past)) = early.and_then(|early| Some((early, early.era(epoch.era())?))) {
            past.silent.is_some_and(|purged| purged <= epoch.number()) && !early.kicked.bars(whole)
        } else if own && from.is_none() {
            // What is published here now.
            false
        } else if let Some(early) = early {
            // Who was on the way may come as if it lasted still.
            let is_in = counts_before(whole, &early.base) || !stays_out(come(whole), &early.base);
            is_in && !early.kicked.bars(whole)
        } else if let Some(base) = from {
            // Who was there when it began here may not have heard so.
            let was_there = ended.silent == Some(0) && base.0 == epoch;
            was_there || !outlives(base, ticket)
        } else if let Some(base) = ticket.base.filter(|base| is_of(base.era())) {
            ended.silent.is_some_and(|purged| purged <= base.number())
        } else {
            compare_eras((brought_back(ticket), ticket.generation), (ended.base, ended.generation)).is_gt()
        };
        holds.then_some(ended.generation)
    }

    /// The recovery in which a pool ended, if that would last still.
    pub(super) fn early(&self, pool: PoolUuid, now: Instant) -> Option<Box<Early>> {
        let (_, ended) = self.pools.iter().find(|(id, _)| *id == pool)?;
        ended.early.clone().filter(|early| now < early.until)
    }
}
