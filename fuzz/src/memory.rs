//! Memory, as the allocator counts it.

use stats_alloc::INSTRUMENTED_SYSTEM;

/// Bytes allocated and not given back since a point in time, in the whole process. A target that asks reserves what
/// it needs for itself before, so that what is counted is the machine's.
///
/// It stays at zero in a program whose allocator is not [`INSTRUMENTED_SYSTEM`].
#[derive(Debug)]
pub(crate) struct Live(usize);

impl Live {
    pub(crate) fn start() -> Self {
        Self(Self::total())
    }

    pub(crate) fn bytes(&self) -> usize {
        Self::total().saturating_sub(self.0)
    }

    /// # Panics
    /// If more than `most` bytes are in use.
    pub(crate) fn check(&self, most: usize) {
        let bytes = self.bytes();
        assert!(bytes <= most, "{bytes} bytes in use, {most} are stated");
    }

    fn total() -> usize {
        let stats = INSTRUMENTED_SYSTEM.stats();
        stats.bytes_allocated.wrapping_sub(stats.bytes_deallocated)
    }
}

/// How often something was allocated or made larger so far, in the whole process. It stays at zero where [`Live`] does.
pub(crate) fn allocations() -> usize {
    let stats = INSTRUMENTED_SYSTEM.stats();
    stats.allocations + stats.reallocations
}

/// Bytes that something keeps: what is allocated and given back while it runs, whatever happens between.
#[derive(Debug, Default)]
pub(crate) struct Meter(usize);

impl Meter {
    pub(crate) fn run<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let before = Live::total();
        let result = act();
        self.0 = self.0.wrapping_add(Live::total()).wrapping_sub(before);
        result
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0
    }

    /// # Panics
    /// If more than `most` bytes are kept.
    pub(crate) fn check(&self, most: usize) {
        assert!(self.bytes() <= most, "{} bytes are kept, {most} are stated", self.bytes());
    }
}
