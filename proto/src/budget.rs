//! Memory that several links share.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that several links may queue together. Clones share it; taking and giving back are single
/// atomic operations, so links on different threads don't wait for each other.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { shared: Arc::new(Shared { limit, used: AtomicUsize::new(0) }) }
    }

    /// Bytes in use. With links on other threads it is out of date when it is read.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// The most that can be in use, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// Whether `bytes` more would fit now.
    pub(crate) fn has(&self, bytes: usize) -> bool {
        self.used().checked_add(bytes).is_some_and(|used| used <= self.shared.limit)
    }

    /// Takes `bytes`, all or none.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.shared.limit);
        self.shared.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back what was taken.
    pub(crate) fn give(&self, bytes: usize) {
        self.shared.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_all_or_nothing() {
        let budget = Budget::new(10);
        let clone = budget.clone();
        assert!(budget.take(6));
        assert!(!clone.take(5) && clone.take(4));
        assert!(!budget.has(1) && !budget.take(usize::MAX));
        clone.give(10);
        assert_eq!(budget.used(), 0);
    }
}
