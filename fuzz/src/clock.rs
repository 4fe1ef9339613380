//! What a driver's clock shows.

use core::time::Duration;

use poolmesh_proto::Instant;

use crate::input::Input;

/// A clock that goes on as the input says, jumps, and may run backwards.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    shown: Instant,
    latest: Instant,
}

impl Clock {
    /// What it shows now, which is then handed in.
    pub(crate) fn now(&mut self) -> Instant {
        self.latest = self.latest.max(self.shown);
        self.shown
    }

    /// What it shows.
    pub(crate) fn shown(&self) -> Instant {
        self.shown
    }

    /// The latest time that was handed in: what the machine goes by.
    pub(crate) fn latest(&self) -> Instant {
        self.latest
    }

    /// Goes on by up to a quarter of a second.
    pub(crate) fn millis(&mut self, input: &mut Input<'_>) {
        self.shown = self.shown + Duration::from_millis(input.u8().into());
    }

    /// Goes on by up to 65 ms, in microseconds.
    pub(crate) fn micros(&mut self, input: &mut Input<'_>) {
        self.shown = self.shown + Duration::from_micros(input.u16().into());
    }

    /// Goes straight to a deadline.
    pub(crate) fn go_to(&mut self, at: Instant) {
        self.shown = at;
    }

    /// Early, or close to the end of time.
    pub(crate) fn jump(&mut self, input: &mut Input<'_>) {
        let (late, micros) = (input.u8() % 2 == 1, u64::from(input.u16()));
        self.shown = Instant::from_micros(if late { u64::MAX - micros } else { micros });
    }
}
