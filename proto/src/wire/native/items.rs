//! Lists in a datagram.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use nom::bytes::complete::take;

use super::field::{Field, Parsed, Put};

/// The items of a list, as they stand in a datagram. They were checked when it was read, so each one is there.
pub struct Items<'a, T> {
    rest: &'a [u8],
    left: u8,
    of: PhantomData<fn() -> T>,
}

impl<'a, T: Field<'a>> Items<'a, T> {
    /// `items = so many × item`
    pub(super) fn read(count: u8, input: &'a [u8]) -> Parsed<'a, Self> {
        let mut rest = input;
        for _ in 0..count {
            rest = T::read(rest)?.0;
        }
        let (rest, items) = take(input.len() - rest.len())(input)?;
        Ok((rest, Self::checked(items, count)))
    }

    /// Writes what is left of them, and not how many they are.
    pub(super) fn write(&self, out: &mut impl Put) {
        out.put(self.rest);
    }
}

impl<'a, T> Items<'a, T> {
    /// Items that were read or written before: so many, and nothing behind them.
    pub(super) const fn checked(items: &'a [u8], count: u8) -> Self {
        Self { rest: items, left: count, of: PhantomData }
    }

    /// How many are left, as it is written.
    pub(super) const fn count_byte(&self) -> u8 {
        self.left
    }
}

impl<'a, T: Field<'a>> Iterator for Items<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let (rest, item) = T::read(self.rest).ok()?;
        self.rest = rest;
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl<'a, T: Field<'a>> ExactSizeIterator for Items<'a, T> {}

impl<'a, T: Field<'a>> FusedIterator for Items<'a, T> {}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

/// A list is some bytes that are looked at: copying it copies no items.
impl<T> Copy for Items<'_, T> {}

/// A value has one form in bytes, so lists that differ in bytes differ.
impl<T> PartialEq for Items<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.left == other.left && self.rest == other.rest
    }
}

impl<T> Eq for Items<'_, T> {}

impl<'a, T: Field<'a> + fmt::Debug> fmt::Debug for Items<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use super::*;

    #[test]
    fn items_are_counted_as_they_are_taken() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        let (rest, items) = Items::<Member>::read(2, &bytes).unwrap();
        assert_eq!((rest, items.len()), (&bytes[8..], 2));
        assert_eq!(alloc::format!("{items:?}"), "[Member(1), Member(2)]");
        assert_ne!(items, Items::read(2, &bytes[4..]).unwrap().1, "as many, and others");
        let mut left = items;
        assert_eq!((left.next(), left.len()), (Member::new(1), 1));
        assert_ne!(left, items);
        assert_eq!((left.next(), left.len()), (Member::new(2), 0));
        assert_eq!((left.next(), left.len(), items.len()), (None, 0, 2));
    }
}
