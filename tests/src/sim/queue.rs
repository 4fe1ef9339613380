//! What is to happen, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things to come. What is due at the same time comes in the order it was put in.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    next: u64,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), next: 0 }
    }

    pub(super) fn push(&mut self, at: u64, what: T) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() as u32 - 1
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(what);
        }
        self.heap.push(Reverse((at, self.next, slot)));
        self.next += 1;
    }

    /// The next thing, if it is due by `end`.
    pub(super) fn pop(&mut self, end: u64) -> Option<(u64, T)> {
        let Reverse((at, _, _)) = self.heap.peek()?;
        if *at > end {
            return None;
        }
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let what = self.slots.get_mut(slot as usize)?.take()?;
        Some((at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_time_then_of_entry() {
        let mut queue = Queue::new();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            queue.push(at, what);
        }
        let mut all = Vec::new();
        while let Some((_, what)) = queue.pop(4) {
            all.push(what);
        }
        queue.push(4, 'x');
        while let Some((_, what)) = queue.pop(9) {
            all.push(what);
        }
        assert_eq!(all, ['a', 'b', 'x', 'c', 'd']);
    }
}
