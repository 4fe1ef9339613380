//! Time as an input: a point in time is a number the driver hands in.

use core::ops::Add;
use core::time::Duration;

/// A point in time: microseconds since an epoch of the driver's choosing.
///
/// There is no `now()` and no subtraction that could go negative. A driver takes one monotonic reading at its
/// start as the epoch and hands in the microseconds since. 64 bits of microseconds last 584,000 years.
///
/// [`Instant::NEVER`] is the last representable instant and is never reached: a deadline that saturates there
/// doesn't fire.
///
/// ```
/// use core::time::Duration;
/// use poolmesh_proto::Instant;
///
/// let start = Instant::from_micros(5);
/// assert_eq!(start + Duration::from_millis(1), Instant::from_micros(1_005));
/// assert_eq!(start.saturating_duration_since(Instant::from_micros(9)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The driver's epoch.
    pub const ZERO: Self = Self(0);

    /// The end of time, which no deadline reaches.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `micros` microseconds after the driver's epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the driver's epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is, or zero if it is not after it.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Whether a deadline set here has been reached at `now`. Never true for [`Instant::NEVER`].
    #[must_use]
    pub const fn is_due(self, now: Self) -> bool {
        self.0 <= now.0 && self.0 != u64::MAX
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::NEVER`]. A part of a microsecond is rounded up, so that a wait never ends early.
    fn add(self, duration: Duration) -> Self {
        let whole = duration.as_secs().saturating_mul(1_000_000);
        let part = duration.subsec_nanos().div_ceil(1_000);
        Self(self.0.saturating_add(whole).saturating_add(part.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addition_saturates_and_rounds_up() {
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::NEVER);
        assert_eq!(Instant::from_micros(u64::MAX - 1) + Duration::from_secs(1), Instant::NEVER);
        assert_eq!(Instant::ZERO + Duration::from_nanos(1), Instant::from_micros(1));
    }

    #[test]
    fn never_is_not_due() {
        assert!(!Instant::NEVER.is_due(Instant::NEVER));
        assert!(Instant::from_micros(7).is_due(Instant::from_micros(7)));
        assert!(!Instant::from_micros(8).is_due(Instant::from_micros(7)));
    }
}
