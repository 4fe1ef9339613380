//! How long things took.

use std::fmt;
use std::time::Duration;

/// Times that are shown by their quantiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn most(&self) -> Duration {
        self.0.iter().max().copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    /// By nearest rank, in milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.0.clone();
        times.sort_unstable();
        for (per_mille, name) in
            [(500, "half"), (900, "90 %"), (990, "99 %"), (999, "99.9 %"), (1_000, "all")]
        {
            let rank = (times.len() * per_mille).div_ceil(1_000);
            let time = times.get(rank.saturating_sub(1)).copied().unwrap_or_default();
            let comma = if per_mille == 1_000 { "" } else { ", " };
            write!(f, "{name} within {:.1} ms{comma}", time.as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let mut times = Times::default();
        assert_eq!((times.count(), times.most()), (0, Duration::ZERO));
        (1..=1_000).rev().for_each(|time| times.add(Duration::from_millis(time)));
        let expected = "half within 500.0 ms, 90 % within 900.0 ms, 99 % within 990.0 ms, 99.9 % within 999.0 ms, \
                        all within 1000.0 ms";
        assert_eq!(times.to_string(), expected);
        assert_eq!((times.count(), times.most()), (1_000, Duration::from_secs(1)));
    }
}
