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
}
