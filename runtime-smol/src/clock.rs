//! The one place that reads the clock, and waits for it.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use poolmesh_proto::Instant;
use smol::Timer;

/// A monotonic clock with an epoch of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the adapter's clock")]
    pub(crate) fn start() -> Self {
        Self { epoch: std::time::Instant::now() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    /// How long until `deadline`: zero if it has passed.
    pub(crate) fn until(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.now())
    }

    /// Waits until `deadline`; for ever if there is none.
    pub(crate) async fn reach(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => drop(Timer::after(self.until(deadline)).await),
            None => smol::future::pending().await,
        }
    }
}

/// An alarm that stays set from wait to wait: to set one wakes the reactor, which costs more than a batch's answers.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: Timer,
    /// When it goes off; never if there is no such time.
    set: Option<Instant>,
}

impl Alarm {
    /// One that doesn't go off.
    pub(crate) fn unset() -> Self {
        Self { timer: Timer::never(), set: None }
    }

    /// Has it go off at `deadline` at the latest. It still goes off at an earlier time that it was set to, so
    /// that whoever waits has to look what is due.
    pub(crate) fn set(&mut self, clock: &Clock, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.set.is_none_or(|set| deadline < set) {
            self.timer.set_after(clock.until(deadline));
            self.set = Some(deadline);
        }
    }

    /// Whether it goes off, which it does once.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let rung = Pin::new(&mut self.timer).poll(context);
        rung.map(|_| self.set = None)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn an_alarm_is_moved_only_to_earlier_times_and_goes_off_once() {
        let (clock, mut alarm) = (Clock::start(), Alarm::unset());
        let goes_off = |alarm: &mut Alarm| alarm.poll(&mut Context::from_waker(Waker::noop())).is_ready();
        let soon = clock.now() + HOUR;
        assert!(!goes_off(&mut alarm));
        alarm.set(&clock, Some(soon));
        for deadline in [Some(soon + HOUR), None, Some(soon)] {
            alarm.set(&clock, deadline);
            assert_eq!(alarm.set, Some(soon), "set to {deadline:?}");
            assert!(!goes_off(&mut alarm));
        }
        alarm.set(&clock, Some(Instant::ZERO));
        assert!(goes_off(&mut alarm));
        assert!(!goes_off(&mut alarm));
        alarm.set(&clock, Some(soon + HOUR));
        assert_eq!(alarm.set, Some(soon + HOUR), "what has gone off is set anew");
    }
}
