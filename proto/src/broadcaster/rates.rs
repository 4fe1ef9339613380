//! How often a source may ask, in memory of a fixed size.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::sources::Source;
use crate::Instant;
use crate::wire::native::{Key, tag};

/// So many a second, and so many at once.
///
/// Each one is paid for by a step of time, and time can be spent before it has come, as far as those at once go: the
/// generic cell rate algorithm (ITU-T I.371).
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// What one takes, in microseconds.
    step: u64,
    /// How far ahead time may be spent before the last one at once, in microseconds; none if none may come.
    ahead: Option<u64>,
}

/// Until when time is spent, in microseconds.
pub(super) type Spent = u64;

impl Pace {
    pub(super) fn new(per_second: u32, in_a_row: u32) -> Self {
        let step = 1_000_000_u64.checked_div(per_second.into()).unwrap_or(1 << 50);
        Self { step, ahead: in_a_row.checked_sub(1).map(|more| step.saturating_mul(more.into())) }
    }

    /// Takes one, and says whether it may be.
    #[inline]
    pub(super) fn take(&self, spent: &mut Spent, now: Instant) -> bool {
        let from = (*spent).max(now.as_micros());
        let may = self.ahead.is_some_and(|ahead| from - now.as_micros() <= ahead);
        if may {
            *spent = from.saturating_add(self.step);
        }
        may
    }

    /// How long it takes until one may be again.
    pub(super) fn wait(&self, spent: Spent, now: Instant) -> Duration {
        let free = spent.saturating_sub(self.ahead.unwrap_or(0));
        Duration::from_micros(free.saturating_sub(now.as_micros()))
    }
}

/// What a place of the table holds: what the sources asked that lead there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) spent: Spent,
    /// How many were beyond the rate, since the last that was answered.
    pub(super) beyond: u32,
    /// How many wrong codes there were since then.
    pub(super) wrong: u32,
    pub(super) wrong_since: Instant,
}

/// The table has so many places at most: they are taken at once.
const MOST: usize = 1 << 20;

/// The table.
#[derive(Debug)]
pub(super) struct Rates {
    key: Key,
    places: Vec<Asked>,
}

impl Rates {
    /// At least one place, and at most [`MOST`]. The key says which sources share one.
    pub(super) fn new(places: usize, key: Key) -> Self {
        Self { key, places: vec![Asked::default(); places.clamp(1, MOST)] }
    }

    /// The place of a source.
    #[inline]
    pub(super) fn of(&mut self, source: Source) -> Option<&mut Asked> {
        let drawn = u64::from_le_bytes(tag(&self.key, &source.bytes()));
        let place = drawn.checked_rem(self.places.len() as u64)?;
        self.places.get_mut(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_never_larger_than_it_may_be() {
        let key = Key::ZERO;
        let places = [0, 1, 7, MOST, MOST + 1, usize::MAX].map(|places| Rates::new(places, key).places.len());
        assert_eq!(places, [1, 1, 7, MOST, MOST, MOST]);
    }

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let pace = Pace::new(50, 200);
        let mut spent = 0;
        let mut taken = |from: u64, to: u64| {
            (from..to).step_by(1_000).filter(|now| pace.take(&mut spent, Instant::from_micros(*now))).count()
        };
        assert_eq!(taken(10_000_000, 11_000_000), 200 + 49);
        assert_eq!(taken(11_000_000, 13_000_000), 100);
        assert_eq!(taken(20_000_000, 20_100_000), 100, "as many as there were steps of a millisecond");
    }

    #[test]
    fn after_the_wait_one_may_be() {
        let pace = Pace::new(50, 3);
        let mut spent = 0;
        let now = Instant::from_micros(5);
        while pace.take(&mut spent, now) {}
        let wait = pace.wait(spent, now);
        assert_eq!(wait, Duration::from_millis(20));
        assert!(!pace.take(&mut spent, now + (wait - Duration::from_micros(1))));
        assert!(pace.take(&mut spent, now + wait));
    }

    #[test]
    fn none_at_once_is_none_and_none_a_second_is_once() {
        let mut spent = 0;
        assert!(!Pace::new(50, 0).take(&mut spent, Instant::from_micros(1 << 40)));
        let once = Pace::new(0, 2);
        let taken = (0..9).filter(|at| once.take(&mut spent, Instant::from_micros(at << 40))).count();
        assert_eq!(taken, 2);
    }

    #[test]
    fn sources_are_spread_by_the_key() {
        let places = |key: u8| -> Vec<usize> {
            let mut rates = Rates::new(64, Key::new([key; 16]));
            let first = rates.places.as_ptr() as usize;
            (0..100u8)
                .map(|last| {
                    let place: *const Asked = rates.of(Source::of([192, 0, 2, last].into())).unwrap();
                    (place as usize - first) / size_of::<Asked>()
                })
                .collect()
        };
        let (one, other) = (places(1), places(2));
        assert_eq!(one, places(1));
        assert_ne!(one, other);
        assert!(one.iter().copied().collect::<BTreeSet<_>>().len() > 32);
        assert_eq!(size_of::<Asked>(), 24);
    }
}
