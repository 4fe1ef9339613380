//! One deadline a key, and the earliest of them all.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::Instant;

/// A set of deadlines, at most one a key. Setting, clearing and firing cost O(log n).
///
/// What is touched often (a pinged pool) leaves its deadline alone, lets it fire early and sets it anew then.
#[derive(Debug, Clone)]
pub(crate) struct Deadlines<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Copy + Ord> Deadlines<K> {
    pub(crate) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets the deadline of `key`, in place of the one it had.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        if let Some(old) = self.by_key.insert(key, at) {
            self.by_time.remove(&(old, key));
        }
        self.by_time.insert((at, key));
    }

    pub(crate) fn clear(&mut self, key: K) {
        if let Some(old) = self.by_key.remove(&key) {
            self.by_time.remove(&(old, key));
        }
    }

    /// The earliest deadline, or none if none will ever fire.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at).filter(|at| *at != Instant::NEVER)
    }

    /// Removes and returns the key whose deadline is due and earliest.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = *self.by_time.first()?;
        if !at.is_due(now) {
            return None;
        }
        self.by_time.remove(&(at, key));
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn fires_in_order_of_time_and_only_when_due() {
        let mut deadlines = Deadlines::new();
        deadlines.set('b', at(20));
        deadlines.set('a', at(30));
        deadlines.set('a', at(10));
        assert_eq!(deadlines.earliest(), Some(at(10)));
        assert_eq!(deadlines.pop_due(at(9)), None);
        assert_eq!(deadlines.pop_due(at(25)), Some('a'));
        assert_eq!(deadlines.pop_due(at(25)), Some('b'));
        assert_eq!(deadlines.pop_due(at(25)), None);
        assert_eq!(deadlines.earliest(), None);
    }

    #[test]
    fn a_cleared_deadline_does_not_fire() {
        let mut deadlines = Deadlines::new();
        deadlines.set(1, at(5));
        deadlines.clear(1);
        assert_eq!(deadlines.pop_due(Instant::NEVER), None);
    }

    #[test]
    fn a_deadline_at_the_end_of_time_is_none() {
        let mut deadlines = Deadlines::new();
        deadlines.set(1, Instant::NEVER);
        assert_eq!(deadlines.earliest(), None);
        assert_eq!(deadlines.pop_due(Instant::NEVER), None);
    }
}
