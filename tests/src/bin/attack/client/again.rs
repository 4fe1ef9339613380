//! When to send again what has no answer (PROTOCOL.md, section 3.1).

use std::time::{Duration, Instant};

use poolmesh_testkit::sim::Rng;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(1);

/// When something is to be sent, first and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    pub(super) at: Instant,
    wait: Duration,
}

impl Again {
    /// At once.
    pub(super) fn from(now: Instant) -> Self {
        Self { at: now, wait: FIRST }
    }

    /// It is sent.
    pub(super) fn sent(&mut self, now: Instant, rng: &mut Rng) {
        self.at = now + jittered(self.wait, rng);
        self.wait = (self.wait * 3 / 2).min(LONGEST);
    }
}

/// This long, but for up to a quarter.
pub(super) fn jittered(wait: Duration, rng: &mut Rng) -> Duration {
    let quarter = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX) / 4;
    wait - wait / 4 + Duration::from_micros(rng.below(2 * quarter))
}

/// This long or 250 ms, and up to as much again: for who was told to wait.
pub(super) fn at_least(wait: u16, rng: &mut Rng) -> Duration {
    let wait = u64::from(wait).max(250);
    Duration::from_millis(wait + rng.below(wait))
}
