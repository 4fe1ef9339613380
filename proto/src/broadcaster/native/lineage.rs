//! Which of two tickets of a pool knows it as it was later (PROTOCOL.md, section 7.2).

use crate::wire::native::{Epoch, State};

/// From where a pool was brought back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) epoch: Epoch,
    /// How many came with it: see [`State::came`].
    pub(super) came: u16,
}

impl Base {
    pub(super) fn of(state: &State) -> Option<Self> {
        Some(Self { epoch: state.base?, came: state.came })
    }

    /// Whether the pool went on here, rather than in the era that it was brought back from, of which this is known: that one has
    /// nothing newer, or more than half as many have come as its members are, not one alone, and nobody was sent away there since.
    pub(super) fn goes_on_behind(&self, from: &State) -> bool {
        let number = self.epoch.number();
        let most = self.came > 1 && 2 * u32::from(self.came) > u32::from(from.count.get());
        from.epoch.number() <= number || most && from.purged <= number
    }
}

/// What tells two eras apart of which neither was brought back from the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank {
    base: Option<Base>,
    generation: u32,
}

impl Rank {
    pub(super) const fn of(base: Option<Base>, generation: u32) -> Self {
        Self { base, generation }
    }

    /// Whether it is the higher one; none if they are alike.
    pub(super) fn is_higher(&self, than: &Self) -> Option<bool> {
        let order = match self.base.zip(than.base) {
            Some((one, other)) if one.epoch.era() == other.epoch.era() => {
                let generations = self.generation.cmp(&than.generation);
                (one.epoch.number(), one.came).cmp(&(other.epoch.number(), other.came)).then(generations)
            }
            // At one broadcaster what was published last in a recovery has the highest generation.
            _ => (self.generation, self.came()).cmp(&(than.generation, than.came())),
        };
        (!order.is_eq()).then(|| order.is_gt())
    }

    fn came(&self) -> u16 {
        self.base.map_or(0, |base| base.came)
    }
}

/// Whether a ticket is to be the base of a pool, rather than this one: whether the pool was so later.
pub(super) fn is_later(ticket: &State, than: &State) -> bool {
    let (one, other) = (ticket.epoch, than.epoch);
    let from = |state: &State, era: u64| Base::of(state).filter(|base| base.epoch.era() == era);
    if one.era() == other.era() {
        one.number() > other.number()
    } else if let Some(base) = from(ticket, other.era()) {
        base.goes_on_behind(than)
    } else if let Some(base) = from(than, one.era()) {
        !base.goes_on_behind(ticket)
    } else {
        let rank = |state: &State| Rank::of(Base::of(state), state.generation);
        rank(ticket).is_higher(&rank(than)).unwrap_or_else(|| one.number() > other.number())
    }
}
