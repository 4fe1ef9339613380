//! A growing list that never moves what is in it.

use alloc::vec::Vec;

/// Items are taken from memory so many at a time: to grow copies none, and at most one chunk is unused.
const CHUNK: usize = 512;

/// Items by their place, which is a number of 32 bits.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T> Chunks<T> {
    /// The place of the next item, or none if there are no more numbers.
    pub(super) fn next_place(&self) -> Option<u32> {
        let Some(last) = self.chunks.last() else { return Some(0) };
        u32::try_from((self.chunks.len() - 1) * CHUNK + last.len()).ok().filter(|place| *place != u32::MAX)
    }

    /// Puts an item into that place, if there is one.
    pub(super) fn push(&mut self, item: T) {
        if self.next_place().is_none() {
            return;
        }
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(item),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
    }

    pub(super) fn get(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        let place = place as usize;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_where_they_were_put() {
        let mut chunks = Chunks::default();
        for item in 0..3 * CHUNK as u32 + 1 {
            assert_eq!((chunks.get(item), chunks.next_place()), (None, Some(item)));
            chunks.push(item);
        }
        for item in 0..3 * CHUNK as u32 + 1 {
            assert_eq!(chunks.get(item), Some(&item));
            *chunks.get_mut(item).unwrap() += 1;
            assert_eq!(chunks.get(item), Some(&(item + 1)));
        }
        assert_eq!(chunks.get(u32::MAX), None);
        assert!(chunks.chunks.iter().all(|chunk| chunk.capacity() == CHUNK));
    }
}
