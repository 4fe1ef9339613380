//! The pools of the native dialect, found by id and by code.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::news::News;
use super::places::NONE;
use super::recovery::Recovery;
use crate::PoolId;
use crate::broadcaster::RandomSource;
use crate::broadcaster::chunks::Chunks;
use crate::broadcaster::sources::{Source, Sources};
use crate::wire::native::{Application, Epoch, PoolCode, PoolSpec, PoolUuid};

/// How often a new code is drawn when it is in use, before a pool is refused.
const DRAWS: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Free,
    /// It is offered to its maker.
    New,
    Live,
    /// It is coming back: nothing is published yet.
    Recovering,
    /// It has ended, which is still to be told.
    Ended,
}

/// A pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) id: PoolUuid,
    pub(super) application: Application,
    pub(super) code: PoolCode,
    pub(super) spec: PoolSpec,
    /// Who made it or brought it back.
    pub(super) source: Source,
    pub(super) era: u64,
    /// Of the epoch.
    pub(super) number: u32,
    pub(super) generation: u32,
    /// From which epoch it was brought back into its era.
    pub(super) base: Option<Epoch>,
    /// As in [`State`](crate::wire::native::State).
    pub(super) came: u16,
    pub(super) term: u32,
    /// The number of the next member.
    pub(super) next: u32,
    pub(super) purged: u32,
    /// The place of the host.
    pub(super) host: u32,
    /// The first and the last of the roster, and the first offer.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) offers: u32,
    pub(super) news: Option<Box<News>>,
    /// While tickets hold.
    pub(super) recovery: Option<Box<Recovery>>,
    /// Members.
    pub(super) count: u16,
    /// Seats that are kept for who is offered a place.
    pub(super) kept: u16,
    pub(super) phase: Phase,
    /// Whether somebody was told what holds with this epoch.
    pub(super) shown: bool,
    /// Whether its last member fell silent.
    pub(super) silent: bool,
    /// Whether it stands in the queue of those that have news.
    pub(super) queued: bool,
}

impl Pool {
    pub(super) fn new(
        id: PoolUuid,
        application: Application,
        code: PoolCode,
        spec: PoolSpec,
        source: Source,
    ) -> Self {
        Self {
            id,
            application,
            code,
            spec,
            source,
            era: 0,
            number: 0,
            generation: 0,
            base: None,
            came: 0,
            term: 1,
            next: 1,
            purged: 0,
            host: NONE,
            first: NONE,
            last: NONE,
            offers: NONE,
            news: None,
            recovery: None,
            count: 0,
            kept: 0,
            phase: Phase::New,
            shown: false,
            silent: false,
            queued: false,
        }
    }

    /// As events name it.
    pub(super) fn name(&self) -> PoolId {
        self.id.into()
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        Epoch::new(self.era, self.number)
    }

    pub(super) fn free_seats(&self) -> u16 {
        self.spec.as_spec().seats().get().saturating_sub(self.count).saturating_sub(self.kept)
    }
}

/// All pools.
#[derive(Debug)]
pub(super) struct Pools {
    all: Chunks<Pool>,
    /// The first free place: a chain through `next`.
    free: u32,
    taken: usize,
    by_id: BTreeMap<(Application, PoolUuid), u32>,
    by_code: BTreeMap<PoolCode, u32>,
    sources: Sources,
}

impl Default for Pools {
    fn default() -> Self {
        Self {
            all: Chunks::default(),
            free: NONE,
            taken: 0,
            by_id: BTreeMap::new(),
            by_code: BTreeMap::new(),
            sources: Sources::default(),
        }
    }
}

impl Pools {
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&Pool> {
        self.all.get(place)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Pool> {
        self.all.get_mut(place)
    }

    /// How many there are, those among them whose end is not told yet.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// How many can be found: they have not ended.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many were made by this source, or brought back.
    pub(super) fn of_source(&self, source: Source) -> usize {
        self.sources.count(source)
    }

    pub(super) fn find(&self, application: Application, id: PoolUuid) -> Option<u32> {
        self.by_id.get(&(application, id)).copied()
    }

    /// Whatever program it is of.
    pub(super) fn find_by_code(&self, code: PoolCode) -> Option<u32> {
        self.by_code.get(&code).copied()
    }

    /// Pools of an application with ids greater than this, in their order.
    pub(super) fn after(
        &self,
        application: Application,
        after: PoolUuid,
    ) -> impl Iterator<Item = (PoolUuid, &Pool)> {
        use core::ops::Bound::{Excluded, Included};
        let last = PoolUuid::new([u8::MAX; 16]);
        let begins = Excluded((application, after));
        // A range that begins behind its end is none.
        let range = (after < last).then(|| self.by_id.range((begins, Included((application, last)))));
        range.into_iter().flatten().filter_map(|((_, id), place)| Some((*id, self.get(*place)?)))
    }

    /// This code, or if it is in use or none another. None if there is none to be had.
    pub(super) fn unused_code(
        &self,
        code: Option<PoolCode>,
        random: &mut dyn RandomSource,
    ) -> Option<PoolCode> {
        let unused = |code: &PoolCode| !self.by_code.contains_key(code);
        let mut drawn = (0..DRAWS).filter_map(|_| PoolCode::new(random.next_u128() as u64 % PoolCode::END));
        code.filter(unused).or_else(|| drawn.find(unused))
    }

    /// Takes in a pool, whose code is unused.
    pub(super) fn make(&mut self, made: Pool) -> Option<u32> {
        let (key, code, source) = ((made.application, made.id), made.code, made.source);
        let place = match self.all.get_mut(self.free) {
            Some(free) => {
                let place = core::mem::replace(&mut self.free, free.next);
                // It may still stand in the queue.
                *free = Pool { queued: free.queued, ..made };
                place
            }
            None => {
                let place = self.all.next_place()?;
                self.all.push(made);
                place
            }
        };
        self.taken += 1;
        self.by_id.insert(key, place);
        self.by_code.insert(code, place);
        self.sources.add(source);
        Some(place)
    }

    /// Nobody finds it any more.
    pub(super) fn hide(&mut self, place: u32) {
        if let Some(pool) = self.all.get_mut(place) {
            pool.phase = Phase::Ended;
            self.by_id.remove(&(pool.application, pool.id));
            self.by_code.remove(&pool.code);
            self.sources.take(pool.source);
        }
    }

    /// Takes back the place of a pool that was hidden.
    pub(super) fn take_back(&mut self, place: u32) {
        if let Some(pool) = self.all.get_mut(place).filter(|pool| pool.phase == Phase::Ended) {
            pool.phase = Phase::Free;
            pool.spec = PoolSpec::default();
            (pool.news, pool.recovery) = (None, None);
            pool.next = core::mem::replace(&mut self.free, place);
            self.taken -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_had_once() {
        let mut pools = Pools::default();
        let [one, other] = [7, 8].map(|code| PoolCode::new(code).unwrap());
        let made = |code| {
            let source = Source::of([192, 0, 2, 1].into());
            Pool::new(PoolUuid::NIL, Application::POOLMESH, code, PoolSpec::default(), source)
        };
        assert_eq!(pools.unused_code(Some(one), &mut || 9), Some(one));
        pools.make(made(one)).unwrap();
        let mut drawn = [7u128, 7, 8].into_iter();
        assert_eq!(pools.unused_code(Some(one), &mut || drawn.next().unwrap()), Some(other));
        assert_eq!(pools.unused_code(None, &mut || 7), None, "a random source that is stuck");
        pools.hide(0);
        assert_eq!(pools.unused_code(Some(one), &mut || 9), Some(one));
    }

    #[test]
    fn a_pool_takes_192_bytes() {
        assert_eq!(size_of::<Pool>(), 192);
    }
}
