//! What is new in a pool, until its members are told.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Native;
use super::desk::Desk;
use super::places::{NONE, Place, Places};
use super::pools::{Phase, Pool};
use crate::Transmit;
use crate::wire::native::field::{Field as _, Put};
use crate::wire::native::{
    Change, ChangedWriter, Handle, MAX_DATAGRAM, Member, Seal, Seats, State, Term, Ticket,
};

/// The sets of changes that a pool keeps: a member that is behind by more learns what it missed by a page.
const MOST_SETS: usize = 8;

/// What of a datagram is left for changes, in bytes: not the type, the handle, the state, the count and the tag.
const ROOM: usize = MAX_DATAGRAM - (2 + 4 + State::LEN + 1 + 8);

/// Changes as they are written, told together.
#[derive(Debug, Default)]
pub(super) struct Changes {
    bytes: Vec<u8>,
    count: u8,
    /// Whether the spec is among them.
    spec: bool,
}

impl Put for Changes {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

impl Changes {
    /// Adds one. What happens at one time fits a datagram.
    pub(super) fn push(&mut self, change: &Change<'_>) {
        change.write(self);
        self.count = self.count.saturating_add(1);
        self.spec |= matches!(change, Change::Spec(_));
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.spec) = (0, false);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn fits(&self, more: &Self) -> bool {
        self.bytes.len() + more.bytes.len() <= ROOM && self.count.checked_add(more.count).is_some()
    }

    fn append(&mut self, more: &Self) {
        self.bytes.extend_from_slice(&more.bytes);
        self.count = self.count.saturating_add(more.count);
    }

    fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        let mut rest = &self.bytes[..];
        core::iter::from_fn(move || {
            let (behind, change) = Change::read(rest).ok()?;
            rest = behind;
            Some(change)
        })
    }
}

/// What is told by one epoch.
#[derive(Debug)]
struct Set {
    /// What holds then, without a seal.
    state: State,
    changes: Changes,
}

/// What a pool's members are still to be told.
#[derive(Debug)]
pub(super) struct News {
    /// In the order of their epochs, which follow each other.
    sets: VecDeque<Set>,
    /// Who is told the first of them next.
    cursor: u32,
}

impl News {
    /// What it takes, in bytes.
    fn size(&self) -> usize {
        let changes: usize = self.sets.iter().map(|set| set.changes.bytes.capacity()).sum();
        size_of::<Self>() + self.sets.capacity() * size_of::<Set>() + changes
    }

    /// A member leaves the roster, and this one stands behind it.
    pub(super) fn skip(&mut self, member: u32, next: u32) {
        if self.cursor == member {
            self.cursor = next;
        }
    }
}

impl Pool {
    /// What holds, without a seal; none if it has no epoch or no host.
    pub(super) fn state(&self, places: &Places) -> Option<State> {
        Some(State {
            epoch: self.epoch()?,
            generation: self.generation,
            base: self.base,
            came: self.came,
            term: Term::new(self.term)?,
            host: places.get(self.host)?.member()?,
            next: Member::new(self.next)?,
            purged: self.purged,
            count: Seats::new(self.count)?,
            seal: Seal::new([0; 16]),
        })
    }
}

impl Native {
    /// The state as this member is told it.
    pub(super) fn sealed(&self, pool: &Pool, place: &Place, state: State) -> Option<State> {
        let ticket = Ticket {
            application: pool.application,
            pool: pool.id,
            code: pool.code,
            member: place.member()?,
            session: place.session,
            state,
        };
        Some(State { seal: self.keys.seal(&ticket, &pool.spec.as_spec()), ..state })
    }

    /// What was noted as new holds with an epoch from now on: with the pool's, if nobody was told that yet, else with the
    /// next one. If members were sent away that is the latest that did so.
    pub(super) fn publish(&mut self, desk: &mut Desk<'_>, place: u32, kicked: bool) {
        let Some(pool) = self.pools.get_mut(place).filter(|pool| pool.phase == Phase::Live) else {
            return self.fresh.clear();
        };
        let before = pool.news.as_ref().map_or(0, |news| news.size());
        let mut news = pool.news.take().unwrap_or_default();
        let is_open = |set: &&mut Set| !pool.shown && set.state.epoch.number() == pool.number;
        let open = news.sets.back_mut().filter(is_open).filter(|set| set.changes.fits(&self.fresh));
        if open.is_none() {
            if pool.number == u32::MAX {
                // Tickets of the era before are those of a generation before.
                (pool.era, pool.generation) = (self.eras.next(), pool.generation.saturating_add(1));
                // Who was sent away stays so, by whatever it has.
                (pool.number, pool.purged) = (0, pool.purged.min(1));
                news.forget(desk, 0, pool.first);
            }
            pool.number += 1;
            pool.shown = false;
        }
        if kicked {
            pool.purged = pool.number;
        }
        let Some(state) = pool.state(&self.places) else { return self.fresh.clear() };
        // A seal is made with the spec that holds with its epoch: that of older ones is no longer there.
        let is_new = news.sets.back().is_none_or(|set| set.state.epoch != state.epoch);
        let most = if self.fresh.spec { 1 } else { MOST_SETS };
        news.forget(desk, most - usize::from(is_new), pool.first);
        match news.sets.back_mut().filter(|set| set.state.epoch == state.epoch) {
            Some(set) => {
                set.state = state;
                set.changes.append(&self.fresh);
            }
            None => {
                let mut changes = Changes::default();
                changes.bytes.reserve_exact(self.fresh.bytes.len());
                changes.append(&self.fresh);
                news.sets.push_back(Set { state, changes });
            }
        }
        self.fresh.clear();
        if before == 0 {
            news.cursor = pool.first;
        }
        self.news_size = self.news_size + news.size() - before;
        pool.news = Some(news);
        if !core::mem::replace(&mut pool.queued, true) {
            self.with_news.push_back(place);
        }
        while self.news_size > desk.most_news && self.drop_news(desk) {}
    }

    /// Drops the news of the pool whose turn is next: its members learn them by their next pings.
    fn drop_news(&mut self, desk: &mut Desk<'_>) -> bool {
        let Some(place) = self.with_news.pop_front() else { return false };
        if let Some(pool) = self.pools.get_mut(place) {
            pool.queued = false;
        }
        if let Some(news) = self.take_news(place) {
            desk.stats.changes_dropped += news.sets.len() as u64;
        }
        true
    }

    /// Nobody is to be told any more.
    pub(super) fn take_news(&mut self, place: u32) -> Option<Box<News>> {
        let news = self.pools.get_mut(place)?.news.take()?;
        self.news_size -= news.size();
        Some(news)
    }

    /// Tells the next member that is to be told something, if there is one, and answers who that is and what.
    pub(super) fn tell_next(&mut self, desk: &mut Desk<'_>) -> Option<Transmit> {
        loop {
            let turn = *self.with_news.front()?;
            let told = self.tell_one(desk, turn);
            let pool = self.pools.get_mut(turn)?;
            let goes_on = pool.news.is_some();
            if told.is_none() || !goes_on {
                // Others come first, if it has more.
                self.with_news.pop_front();
                pool.queued = goes_on;
                if goes_on {
                    self.with_news.push_back(turn);
                }
            }
            if told.is_some() {
                return told;
            }
        }
    }

    /// Tells the next member of a pool; none once all were told the first set.
    fn tell_one(&mut self, desk: &mut Desk<'_>, turn: u32) -> Option<Transmit> {
        let pool = self.pools.get(turn)?;
        let news = pool.news.as_ref()?;
        let (set, handle) = (news.sets.front()?, news.cursor);
        let Some(place) = self.places.get(handle) else {
            self.told_all(turn);
            return None;
        };
        let next = place.next;
        let state = self.sealed(pool, place, set.state);
        let told = state.zip(self.places.destination(handle)).map(|(state, destination)| {
            let payload = desk.answers.written(|out| {
                let mut writer = ChangedWriter::new(out, Handle(handle), &state);
                for change in set.changes.iter() {
                    // They were counted to fit.
                    let _fits = writer.push(&change);
                }
                writer.finish(&place.key);
            });
            Transmit { destination, payload }
        });
        let is_latest = set.state.epoch.number() == pool.number;
        let pool = self.pools.get_mut(turn)?;
        pool.shown |= is_latest;
        if let Some(news) = &mut pool.news {
            news.cursor = next;
        }
        told
    }

    /// All members were told the first set.
    fn told_all(&mut self, turn: u32) {
        let Some(pool) = self.pools.get_mut(turn) else { return };
        let Some(news) = &mut pool.news else { return };
        let before = news.size();
        news.sets.pop_front();
        news.cursor = pool.first;
        let left = if news.sets.is_empty() { 0 } else { news.size() };
        if left == 0 {
            pool.news = None;
        }
        self.news_size = self.news_size + left - before;
    }
}

impl Default for News {
    fn default() -> Self {
        Self { sets: VecDeque::new(), cursor: NONE }
    }
}

impl News {
    /// Keeps only so many sets, the latest. Who was told none of the others sees that one is missing.
    fn forget(&mut self, desk: &mut Desk<'_>, keep: usize, first: u32) {
        while self.sets.len() > keep {
            self.sets.pop_front();
            self.cursor = first;
            desk.stats.changes_dropped += 1;
        }
    }
}
