//! What many rounds come to.

/// The middle of what was measured, and the half around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quartiles {
    pub(crate) lower: f64,
    pub(crate) median: f64,
    pub(crate) upper: f64,
}

impl Quartiles {
    /// Of some values in any order, between two neighbours in proportion; none of none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |quarter: usize| {
            let place = (values.len().checked_sub(1)? * quarter) as f64 / 4.0;
            let low = *values.get(place.floor() as usize)?;
            let high = *values.get(place.ceil() as usize)?;
            Some(low + (high - low) * place.fract())
        };
        Some(Self { lower: at(1)?, median: at(2)?, upper: at(3)? })
    }
}

/// The value below or at which `percent` of the values are, by nearest rank. Sorts them; none of none.
pub(crate) fn percentile(values: &mut [u64], percent: usize) -> Option<u64> {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let of = |values: &[f64]| {
            Quartiles::of(values.iter().copied()).map(|all| (all.lower, all.median, all.upper))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some((3.0, 3.0, 3.0)));
        assert_eq!(of(&[4.0, 2.0]), Some((2.5, 3.0, 3.5)));
        assert_eq!(of(&[9.0, 1.0, 5.0, 3.0, 7.0]), Some((3.0, 5.0, 7.0)));
        assert_eq!(of(&[40.0, 10.0, 30.0, 20.0]), Some((17.5, 25.0, 32.5)));
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert_eq!(percentile(&mut [], 50), None);
        assert_eq!(percentile(&mut [7], 99), Some(7));
        let mut hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&mut hundred, percent)), [50, 99, 100].map(Some));
        assert_eq!(percentile(&mut (1..=200).collect::<Vec<_>>(), 99), Some(198));
        assert_eq!(percentile(&mut [1, 2, 3, 1_000], 99), Some(1_000));
        assert_eq!(percentile(&mut [1, 2, 3, 1_000], 75), Some(3));
    }
}
