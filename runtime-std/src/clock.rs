//! The one place that reads the clock.

use std::time::Duration;

use poolmesh_proto::Instant;

/// A monotonic clock with an epoch of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    #[cfg_attr(all(test, poolmesh_loom), expect(dead_code, reason = "a model has a time of its own"))]
    epoch: std::time::Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the adapter's clock")]
    pub(crate) fn start() -> Self {
        Self { epoch: std::time::Instant::now() }
    }

    #[cfg(not(all(test, poolmesh_loom)))]
    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    /// In a model of the threads, its time.
    #[cfg(all(test, poolmesh_loom))]
    pub(crate) fn now(&self) -> Instant {
        crate::model::now()
    }

    /// How long until `deadline`: zero if it has passed.
    pub(crate) fn until(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.now())
    }
}
