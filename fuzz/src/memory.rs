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
