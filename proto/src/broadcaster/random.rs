//! Randomness as an input.

/// Where injected randomness comes from.
///
/// A driver gives a cryptographic source, so that ids can't be guessed or made to repeat; a test gives a counter or
/// a seeded generator. Any `FnMut() -> u128` is one.
pub trait RandomSource {
    /// The next 128 random bits.
    fn next_u128(&mut self) -> u128;
}

impl<F: FnMut() -> u128> RandomSource for F {
    fn next_u128(&mut self) -> u128 {
        self()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_function_is_a_random_source() {
        let mut bits = 5;
        let mut random = move || core::mem::replace(&mut bits, 7);
        assert_eq!([random.next_u128(), random.next_u128()], [5, 7]);
    }
}
