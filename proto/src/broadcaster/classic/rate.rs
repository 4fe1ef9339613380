//! How often a source is answered.

use core::net::IpAddr;

use crate::Instant;
use crate::broadcaster::rates::{Pace, Rates, Spent};
use crate::broadcaster::sources::Source;
use crate::broadcaster::{BroadcasterConfig, RandomSource};
use crate::wire::native::Key;

/// What sources were answered.
#[derive(Debug)]
pub(super) struct AnswerRate {
    pace: Pace,
    /// What all of them were answered together.
    all: Spent,
    /// From when on that was more than one may be answered. Before, nobody can have been answered too often, and no memory
    /// and no randomness is needed.
    by_source: Option<Rates>,
}

impl AnswerRate {
    pub(super) fn new(config: &BroadcasterConfig) -> Self {
        let pace = Pace::new(config.classic_answers_per_second, config.classic_answers_in_a_row);
        Self { pace, all: 0, by_source: None }
    }

    /// Takes one answer to a source, and says whether it may be.
    #[inline]
    pub(super) fn take(
        &mut self,
        config: &BroadcasterConfig,
        ip: IpAddr,
        now: Instant,
        random: &mut impl RandomSource,
    ) -> bool {
        if self.by_source.is_none() && self.pace.take(&mut self.all, now) {
            return true;
        }
        let mut key = || Key::new(random.next_u128().to_le_bytes());
        let rates = self.by_source.get_or_insert_with(|| Rates::new(config.limits.sources, key()));
        rates.of(Source::of(ip)).is_some_and(|asked| self.pace.take(&mut asked.spent, now))
    }
}
