//! Pools that come back: by which ticket, and with whom (PROTOCOL.md, section 7.2).

use std::collections::BTreeMap;

use poolmesh_proto::wire::native::{Epoch, Member, News, Page, PageStart, PoolUuid, State};

/// A member that was told to be there for certain, or may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) pool: PoolUuid,
    pub(super) member: Member,
    /// What its ticket said; none if it has joined.
    pub(super) ticket: Option<State>,
    /// It is there, and nothing has ended its session but another ticket.
    pub(super) is_there: bool,
}

/// What was brought back by one broadcaster.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    /// The eras that pools were brought back into, and what their bases said.
    eras: BTreeMap<([u8; 16], u64), State>,
    /// The highest generations.
    generations: BTreeMap<[u8; 16], u32>,
}

impl Lineage {
    /// Something is told of a pool to which these have come with tickets.
    pub(super) fn told(&mut self, pool: PoolUuid, news: &News<'_>, came: &[Came]) {
        let (News::Page(Page { state, .. }) | News::Changed { state, .. }) = news else {
            return;
        };
        assert_eq!(state.base.is_none(), state.generation == 0, "{state:?}");
        let Some(base) = state.base else {
            // Its maker has made it anew, by the request that made it first.
            self.generations.remove(&pool.bytes());
            return;
        };
        let came: Vec<_> = came.iter().filter(|one| one.pool == pool).collect();
        let era = (pool.bytes(), state.epoch.era());
        let base = match self.eras.get(&era) {
            Some(base) => *base,
            None => {
                let of = came.iter().filter_map(|one| one.ticket).find(|ticket| ticket.epoch == base);
                let of = of.unwrap_or_else(|| panic!("{state:?} is of no ticket that came: {came:?}"));
                self.began(pool, state, &of, &came);
                self.eras.insert(era, of);
                of
            }
        };
        let News::Page(page) = news else { return };
        if state.epoch.number() == 1 && matches!(page.start, PageStart::First(_)) {
            // Who has joined the base's era here needs no ticket.
            let began_here = self.eras.contains_key(&(pool.bytes(), base.epoch.era()));
            for entry in page.entries {
                let is_in = |one: &Came| one.ticket.map_or(began_here, |ticket| is_in(&ticket, &base));
                let is_it = |one: &&Came| one.member == entry.member && is_in(one);
                assert!(came.iter().any(is_it), "{entry:?} of {state:?} has not come: {came:?}");
            }
        }
    }

    /// A pool is back.
    fn began(&mut self, pool: PoolUuid, state: &State, base: &State, came: &[&Came]) {
        let before = self.generations.insert(pool.bytes(), state.generation);
        let before = before.unwrap_or(0).max(base.generation);
        assert!(state.generation > before, "{state:?} of {base:?}, after generation {before}");
        if state.epoch.number() == 1 {
            let more = u32::from(state.host != base.host);
            assert_eq!(state.term.get(), base.term.get() + more, "{state:?} of {base:?}");
        }
        let epoch = |one: &Came| one.ticket.map(|ticket| ticket.epoch);
        for one in came.iter().filter(|one| one.is_there) {
            // Who comes twice has come by the first of its tickets.
            let twice = |other: &&&Came| other.member == one.member && epoch(other) != epoch(one);
            let is_later = one.ticket.is_some_and(|ticket| is_later(&ticket, base));
            // Of tickets of which each is higher than another (a branch of a branch is no longer known as one) the latest counts.
            let outdone = |ticket: &State| {
                came.iter().filter_map(|other| other.ticket).any(|other| self::is_later(&other, ticket))
            };
            let is_later =
                is_later && came.iter().find(twice).is_none() && !one.ticket.is_some_and(|it| outdone(&it));
            assert!(!is_later, "{one:?} is there, and {state:?} is of {base:?}");
        }
    }
}

/// Whether this ticket is the base rather than that one: the lines of 7.2, 5, one by one.
fn is_later(this: &State, that: &State) -> bool {
    let (era, other) = (this.epoch.era(), that.epoch.era());
    let (number, than) = (this.epoch.number(), that.epoch.number());
    let base_in = |state: &State, era| state.base.filter(|base| base.era() == era).map(Epoch::number);
    match (base_in(this, other), base_in(that, era)) {
        _ if era == other => number > than,
        (Some(base), _) => went_on(this, base, that),
        (None, Some(base)) => !went_on(that, base, this),
        (None, None) => {
            let of_one = |base: &Epoch| base_in(that, base.era());
            match this.base.and_then(|base| Some((base.number(), of_one(&base)?))) {
                Some((one, other)) => {
                    (one, this.came, this.generation, number) > (other, that.came, that.generation, than)
                }
                None => (this.generation, this.came, number) > (that.generation, that.came, than),
            }
        }
    }
}

/// Whether the pool went on in what was brought back from this number of the other's era.
fn went_on(back: &State, base: u32, from: &State) -> bool {
    let most = back.came >= 2 && u32::from(back.came) * 2 > u32::from(from.count.get());
    from.epoch.number() <= base || most && from.purged <= base
}

/// Whether who comes by this ticket is in a pool of this base.
pub(super) fn is_in(ticket: &State, base: &State) -> bool {
    let is_of_era = ticket.epoch.era() == base.epoch.era() && ticket.epoch.number() >= base.purged;
    is_of_era || base.purged == 0 && base.base == Some(ticket.epoch)
}
