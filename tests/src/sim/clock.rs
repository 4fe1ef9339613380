//! What time a node believes it is.

use poolmesh_proto::Instant;

use super::rng::MILLION;

/// A node's clock: it may be off, run fast or slow, stand still, and jump either way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// True time at which what follows was set.
    since: u64,
    /// What it showed then.
    shown: u64,
    /// What it gains in a million microseconds; negative if it loses.
    drift: i32,
    stopped: bool,
}

impl Clock {
    pub(super) const fn new(shown: u64) -> Self {
        Self { since: 0, shown, drift: 0, stopped: false }
    }

    /// What it shows at the true time `now`.
    pub(super) fn show(&self, now: u64) -> Instant {
        if self.stopped {
            return Instant::from_micros(self.shown);
        }
        let passed = now.saturating_sub(self.since);
        let shown = if self.drift == 0 { passed } else { scale(passed, self.speed(), MILLION.into()) };
        Instant::from_micros(self.shown.saturating_add(shown))
    }

    /// The first true time at which it shows `shown` or more; none if it never does as things are.
    pub(super) fn when(&self, shown: Instant) -> Option<u64> {
        let wait = shown.as_micros().saturating_sub(self.shown);
        if wait == 0 {
            return Some(self.since);
        }
        if self.stopped || shown == Instant::NEVER {
            return None;
        }
        let wait = if self.drift == 0 { wait } else { scale_up(wait, MILLION.into(), self.speed()) };
        self.since.checked_add(wait)
    }

    pub(super) fn set_drift(&mut self, now: u64, drift: i32) {
        self.rebase(now);
        self.drift = drift.clamp(-900_000, 900_000);
    }

    pub(super) fn stop(&mut self, now: u64) {
        self.rebase(now);
        self.stopped = true;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn resume(&mut self, now: u64) {
        self.rebase(now);
        self.stopped = false;
    }

    pub(super) fn jump(&mut self, now: u64, micros: i64) {
        self.rebase(now);
        self.shown = self.shown.saturating_add_signed(micros);
    }

    fn rebase(&mut self, now: u64) {
        self.shown = self.show(now).as_micros();
        self.since = now;
    }

    fn speed(&self) -> u64 {
        u64::from(MILLION).saturating_add_signed(self.drift.into())
    }
}

fn scale(value: u64, by: u64, of: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(by) / u128::from(of)).unwrap_or(u64::MAX)
}

fn scale_up(value: u64, by: u64, of: u64) -> u64 {
    u64::try_from((u128::from(value) * u128::from(by)).div_ceil(u128::from(of))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_the_first_time_it_shows_it() {
        for drift in [-100_000, -7, 0, 13, 100_000] {
            let mut clock = Clock::new(500);
            clock.set_drift(1_000, drift);
            for shown in [1_500, 1_501, 2_222, 1_000_003] {
                let at = clock.when(Instant::from_micros(shown)).unwrap();
                assert!(clock.show(at).as_micros() >= shown, "{drift} {shown}");
                assert!(at == 1_000 || clock.show(at - 1).as_micros() < shown, "{drift} {shown}");
            }
        }
    }

    #[test]
    fn it_stands_still_and_jumps() {
        let mut clock = Clock::new(0);
        clock.stop(10);
        assert_eq!(clock.show(99).as_micros(), 10);
        assert_eq!(clock.when(Instant::from_micros(11)), None);
        clock.resume(100);
        clock.jump(100, -4);
        assert_eq!(clock.show(101).as_micros(), 7);
        clock.jump(101, -1_000);
        assert_eq!(clock.show(101).as_micros(), 0);
    }
}
