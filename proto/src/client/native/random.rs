//! Randomness out of a seed.

use core::time::Duration;

use super::super::SHORTEST;
use crate::wire::native::{Key, Tx, prf};

/// Numbers that nobody foresees who doesn't know the seed: the PRF of a counter, with one half of the seed over the other.
#[derive(Debug)]
pub(super) struct Random {
    keys: [Key; 2],
    drawn: u64,
}

impl Random {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let (first, second) = seed.split_at(16);
        let key = |half: &[u8]| Key::new(half.first_chunk().copied().unwrap_or_default());
        Self { keys: [key(first), key(second)], drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let [first, second] = &self.keys;
        let bytes = prf(second, &prf(first, &self.drawn.to_le_bytes()));
        u64::from_le_bytes(bytes.first_chunk().copied().unwrap_or_default())
    }

    /// What names a call.
    pub(super) fn tx(&mut self) -> Tx {
        loop {
            if let Some(tx) = Tx::new(self.next()) {
                return tx;
            }
        }
    }

    /// A wait that is shorter or longer by up to a quarter.
    pub(super) fn around(&mut self, wait: Duration) -> Duration {
        let quarter = wait / 4;
        (wait - quarter).saturating_add(self.up_to(quarter.saturating_mul(2))).max(SHORTEST)
    }

    /// A wait of at most so long.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.next() % micros.saturating_add(1).max(1))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn both_halves_of_the_seed_count_and_no_number_comes_twice() {
        let drawn = |seed| {
            let mut random = Random::new(seed);
            (0..1_000).map(|_| random.tx()).collect::<BTreeSet<_>>()
        };
        assert_eq!(drawn([7; 32]).len(), 1_000);
        assert_eq!(drawn([7; 32]), drawn([7; 32]));
        for half in [0, 16] {
            let mut seed = [7; 32];
            seed[half] ^= 1;
            assert!(drawn(seed).is_disjoint(&drawn([7; 32])));
        }
    }

    #[test]
    fn a_wait_differs_by_up_to_a_quarter() {
        let mut random = Random::new([7; 32]);
        let waits: Vec<_> =
            (0..1_000).map(|_| random.around(Duration::from_millis(1_000)).as_millis()).collect();
        assert!(waits.iter().all(|wait| (750..=1_250).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 800) && waits.iter().any(|wait| *wait > 1_200));
        assert_eq!(random.around(Duration::ZERO), SHORTEST);
        assert!(random.around(Duration::MAX) > Duration::from_secs(1 << 60));
        assert!((0..1_000).all(|_| random.up_to(Duration::from_micros(1)).as_micros() <= 1));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
    }

    use alloc::vec::Vec;
}
