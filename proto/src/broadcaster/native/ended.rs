//! Pools that were here and are no more: what of their tickets still holds (PROTOCOL.md, section 7.2).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::lineage::{Base, Rank};
use super::recovery::is_of_another;
use super::sent_away::SentAway;
use crate::Instant;
use crate::wire::native::{Application, PoolUuid, State, Ticket};

type Name = (Application, PoolUuid);

/// A pool as it was when it ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) era: u64,
    pub(super) generation: u32,
    /// From which epoch it was brought back into that era, if it was.
    pub(super) base: Option<Base>,
    /// If its last member fell silent, which may be for want of a line, or because this broadcaster stood still: the number of
    /// the epoch at the latest kick, up to which tickets of the era don't hold.
    pub(super) silent: Option<u32>,
    /// If its recovery lasted still: others were on their way, and may have known the pool better than who ended it.
    pub(super) early: Option<Box<Early>>,
}

/// A recovery that lasted when its pool ended.
#[derive(Clone, Debug)]
pub(super) struct Early {
    /// What the pool was brought back from at first.
    pub(super) base: State,
    /// Until when it would have lasted.
    pub(super) until: Instant,
    pub(super) away: Option<SentAway>,
    /// The eras that were published in it of this base, one after the other has ended, and which of their tickets hold: see
    /// [`Ended::silent`].
    pub(super) eras: Vec<(u64, Option<u32>)>,
    /// How many had come from which epoch.
    pub(super) came: Option<Base>,
}

impl Ended {
    /// Whether a ticket may bring the pool back. `began_here`: its era did. The era that is published here now is none that can
    /// be brought back.
    fn allows(&self, ticket: &Ticket, began_here: bool, now: Instant) -> bool {
        let (member, ticket) = (ticket.member, &ticket.state);
        let era = ticket.epoch.era();
        let silent = |silent: Option<u32>| silent.is_some_and(|purged| ticket.epoch.number() >= purged);
        if era == self.era {
            return silent(self.silent);
        }
        let is_away = |early: &Early| early.away.as_ref().is_some_and(|away| away.bars(member, ticket));
        let before =
            self.early(now).and_then(|early| Some((early, early.eras.iter().find(|(of, _)| *of == era)?)));
        if let Some((early, (_, ended))) = before {
            return silent(*ended) && !is_away(early);
        }
        let from = self.base.filter(|base| base.epoch.era() == ticket.epoch.era());
        if began_here && from.is_none() {
            return false;
        }
        if let Some(early) = self.early(now) {
            return !is_away(early) && !is_of_another(ticket, &early.base);
        }
        match from {
            // It went on elsewhere when it had come here. Or nobody who was there when it came heard so, before all fell
            // silent, and nobody was sent away.
            Some(base) => {
                let was_there = self.silent == Some(0) && ticket.epoch == base.epoch;
                was_there || !base.goes_on_behind(ticket)
            }
            None => self.is_passed_by(ticket),
        }
    }

    /// The recovery in which it ended, if that would last still.
    fn early(&self, now: Instant) -> Option<&Early> {
        self.early.as_deref().filter(|early| !early.until.is_due(now))
    }

    /// Whether an era that began elsewhere goes on where this one has ended.
    fn is_passed_by(&self, ticket: &State) -> bool {
        let from = Base::of(ticket);
        if let Some(base) = from.filter(|base| base.epoch.era() == self.era) {
            // What ended here by its host, or because all had left, has ended elsewhere, too.
            return self.silent.is_some_and(|purged| base.epoch.number() >= purged);
        }
        let own = Rank::of(self.base, self.generation);
        Rank::of(from, ticket.generation).is_higher(&own) == Some(true)
    }
}

/// So many are kept at least, however few pools there may be.
const LEAST: usize = 1_024;

/// The latest of them.
#[derive(Debug)]
pub(super) struct Memory {
    /// How many are kept.
    most: usize,
    /// With the turn in which each ended last.
    all: BTreeMap<Name, (u64, Ended)>,
    order: BTreeMap<u64, Name>,
    turn: u64,
}

impl Memory {
    /// Of a broadcaster that may have so many pools.
    pub(super) fn new(pools: usize) -> Self {
        Self { most: pools.max(LEAST), all: BTreeMap::new(), order: BTreeMap::new(), turn: 0 }
    }

    /// A pool has ended.
    pub(super) fn note(&mut self, name: Name, ended: Ended) {
        self.turn += 1;
        if let Some((before, _)) = self.all.insert(name, (self.turn, ended)) {
            self.order.remove(&before);
        }
        self.order.insert(self.turn, name);
        if self.order.len() > self.most {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.all.remove(&oldest);
            }
        }
    }

    /// Whether it is remembered.
    pub(super) fn knows(&self, name: Name) -> bool {
        self.all.contains_key(&name)
    }

    /// Whether a ticket may bring this pool back, and the highest generation that it had here. `began_here`: the ticket's era did.
    pub(super) fn allows(&self, ticket: &Ticket, began_here: bool, now: Instant) -> Option<u32> {
        match self.all.get(&(ticket.application, ticket.pool)) {
            Some((_, ended)) if ended.allows(ticket, began_here, now) => Some(ended.generation),
            None if !began_here => Some(0),
            Some(_) | None => None,
        }
    }

    /// The recovery in which the pool ended, if that would last still.
    pub(super) fn early(&self, name: Name, now: Instant) -> Option<&Early> {
        self.all.get(&name)?.1.early(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept() {
        let name = |number: usize| (Application::POOLMESH, PoolUuid::new((number as u128).to_be_bytes()));
        let ended = Ended { era: 7, generation: 3, base: None, silent: None, early: None };
        for (pools, kept) in [(0, LEAST), (LEAST + 1, LEAST + 1)] {
            let mut memory = Memory::new(pools);
            for number in 0..=kept {
                memory.note(name(number), ended.clone());
                memory.note(name(number), ended.clone());
            }
            assert_eq!((memory.all.len(), memory.order.len()), (kept, kept));
            assert!(!memory.all.contains_key(&name(0)) && memory.all.contains_key(&name(1)));
            // One that ends again is the latest.
            memory.note(name(1), ended.clone());
            memory.note(name(0), ended.clone());
            assert!(!memory.all.contains_key(&name(2)) && memory.all.contains_key(&name(1)));
            // What `Limits` states: a map's node may be half full.
            assert!(2 * size_of::<(Name, (u64, Ended))>() + 2 * size_of::<(u64, Name)>() <= 300);
            assert!(size_of::<Early>() <= 350);
        }
    }
}
