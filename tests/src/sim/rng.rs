//! The one source of chance of a world.

use std::time::Duration;

use super::core::{LONGEST, micros};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// A million: what probabilities are counted in.
pub const MILLION: u32 = 1_000_000;

/// Numbers that follow from a seed: xoshiro256++. The same on every machine and in every build.
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The numbers of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// Another source that follows from this one and goes its own way.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.u64())
    }

    /// Any number.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Any 128 bits.
    pub fn u128(&mut self) -> u128 {
        u128::from(self.u64()) << 64 | u128::from(self.u64())
    }

    /// Any 32 bytes.
    pub fn secret(&mut self) -> [u8; 32] {
        let mut secret = [0; 32];
        let (one, other) = secret.split_at_mut(16);
        one.copy_from_slice(&self.u128().to_le_bytes());
        other.copy_from_slice(&self.u128().to_le_bytes());
        secret
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias is below one in 2^32 for what a simulation asks for.
        ((u128::from(self.u64()) * u128::from(end)) >> 64) as u64
    }

    /// A place in something of that length; 0 if it is empty.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number from `from` to `to`, both possible.
    pub fn range(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// True `ppm` times of a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(MILLION.into()) < ppm.into()
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let place = self.index(items.len());
        items.get(place).expect("there is something to pick from")
    }

    /// Microseconds that are spread like waits between chance events, `mean` on average, at most ten times that.
    pub fn exponential(&mut self, mean: Duration) -> u64 {
        // An integer logarithm: floating point may differ from machine to machine.
        let mean = micros(mean).min(LONGEST >> 4);
        let bits = self.u64() | 1;
        let whole = u64::from(bits.leading_zeros());
        // The bits behind the first one, as a fraction of 2^16, stand in for the logarithm's fraction.
        let fraction = 0xffff - (bits << whole << 1 >> 48);
        let halvings = (whole << 16) + fraction;
        // Times ln 2, in 2^-16.
        let scaled = (u128::from(mean) * u128::from(halvings) * 45_426) >> 32;
        u64::try_from(scaled).unwrap_or(u64::MAX).min(mean.saturating_mul(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_brings_the_same_numbers() {
        let numbers = |seed| {
            let mut rng = Rng::new(seed);
            [rng.u64(), rng.below(10), rng.range(5, 7)]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        // Known numbers: a change would make every recorded seed worthless.
        assert_eq!(Rng::new(0).u64(), 5_987_356_902_031_041_503);
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut rng = Rng::new(3);
        let drawn: Vec<u64> = (0..200).map(|_| rng.range(5, 7)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&5), Some(&7)));
        assert_eq!(rng.below(0), 0);
        assert!(!rng.chance(0));
        assert!(rng.chance(MILLION));
    }

    #[test]
    fn waits_have_the_mean_that_was_asked_for() {
        let mut rng = Rng::new(4);
        let sum: u64 = (0..100_000).map(|_| rng.exponential(Duration::from_millis(1))).sum();
        assert!((95_000_000..=105_000_000).contains(&sum), "{sum}");
    }
}
