//! Pools in the order of their ids, for lists that go on where the one before ended.

use alloc::vec::Vec;

use crate::broadcaster::chunks::Chunks;

/// No place.
const NONE: u32 = u32::MAX;

/// How many are in a bucket on average before another is made.
const FILLED: u64 = 2;

/// Places of pools, in buckets by the first bits of their ids, about two in each: to add one costs about as much whether
/// there are few or millions, and takes six bytes.
///
/// This is linear hashing (Litwin 1980) by the bits of the id as they are, the first bit last: ids are random. So each
/// bucket is a range of ids, and the ranges are in order. One bucket is split, or two are joined, when a pool comes or goes.
#[derive(Debug, Default)]
pub(super) struct ById {
    /// The first place of each bucket. There may be some unused behind.
    heads: Chunks<u32>,
    /// By place, the next of the same bucket.
    next: Chunks<u32>,
    buckets: u64,
    count: u64,
}

/// The first bits of an id, which say in which bucket it is.
fn front(id: &[u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Buckets: how many bits all of them go by, and how many of them are split, so that they and their others go by one more.
#[derive(Clone, Copy)]
struct Split {
    bits: u32,
    split: u64,
}

impl Split {
    fn of(buckets: u64) -> Self {
        let buckets = buckets.max(1);
        let bits = buckets.ilog2();
        Self { bits, split: buckets - (1 << bits) }
    }

    /// The bucket of what begins so, and how many bits it goes by.
    fn bucket(self, front: u64) -> (u64, u32) {
        let hash = front.reverse_bits();
        let low = |bits: u32| hash & !(u64::MAX << bits);
        let bucket = low(self.bits);
        if bucket < self.split { (low(self.bits + 1), self.bits + 1) } else { (bucket, self.bits) }
    }
}

impl ById {
    fn head(&mut self, bucket: u64) -> Option<&mut u32> {
        self.heads.get_mut(u32::try_from(bucket).ok()?)
    }

    fn push(&mut self, place: u32, bucket: u64) {
        let Some(head) = self.head(bucket) else { return };
        let behind = core::mem::replace(head, place);
        if let Some(next) = self.next.get_mut(place) {
            *next = behind;
        }
    }

    /// Takes in the place of a pool. `id` says which pool is at a place.
    pub(super) fn add<'a>(&mut self, place: u32, id: impl Fn(u32) -> Option<&'a [u8; 16]>) {
        while self.next.next_place().is_some_and(|next| next <= place) {
            self.next.push(NONE);
        }
        self.count += 1;
        if self.count > self.buckets * FILLED {
            self.grow(&id);
        }
        if let Some(id) = id(place) {
            self.push(place, Split::of(self.buckets).bucket(front(id)).0);
        }
    }

    /// Takes out the place of a pool.
    pub(super) fn remove(&mut self, place: u32, id: &[u8; 16]) {
        let (bucket, _) = Split::of(self.buckets).bucket(front(id));
        let Some(behind) = self.next.get(place).copied() else { return };
        let Some(head) = self.head(bucket) else { return };
        if *head == place {
            *head = behind;
        } else {
            let mut before = *head;
            while let Some(next) = self.next.get_mut(before) {
                if *next == place {
                    *next = behind;
                    break;
                }
                before = *next;
            }
        }
        self.count -= 1;
        // Lists look at every bucket: of those there are few if there are few pools.
        for _ in 0..4 {
            if self.count < self.buckets / 2 {
                self.shrink();
            }
        }
    }

    /// Splits a bucket.
    fn grow<'a>(&mut self, id: impl Fn(u32) -> Option<&'a [u8; 16]>) {
        let last = self.buckets;
        if self.heads.next_place().is_some_and(|next| u64::from(next) == last) {
            self.heads.push(NONE);
        }
        self.buckets += 1;
        if last == 0 {
            return;
        }
        let first = last - (1 << last.ilog2());
        let split = Split::of(self.buckets);
        let mut rest = self.head(first).map_or(NONE, |head| core::mem::replace(head, NONE));
        while let Some(next) = self.next.get(rest).copied() {
            let place = core::mem::replace(&mut rest, next);
            if let Some(id) = id(place) {
                self.push(place, split.bucket(front(id)).0);
            }
        }
    }

    /// Joins the last bucket with the one that it was split off.
    fn shrink(&mut self) {
        let last = self.buckets - 1;
        let Some(bits) = last.checked_ilog2() else { return };
        let mut rest = self.head(last).map_or(NONE, |head| core::mem::replace(head, NONE));
        while let Some(next) = self.next.get(rest).copied() {
            self.push(core::mem::replace(&mut rest, next), last - (1 << bits));
        }
        self.buckets = last;
    }

    /// Places of pools with ids greater than this, in their order, a bucket at a time: calls `take` for each bucket with what
    /// is in it and the last id that could be, until it says no or there are no more buckets.
    pub(super) fn after<'a>(
        &self,
        after: &[u8; 16],
        id: impl Fn(u32) -> Option<&'a [u8; 16]>,
        mut take: impl FnMut(&[(&'a [u8; 16], u32)], u128) -> bool,
    ) {
        let split = Split::of(self.buckets);
        let mut from = front(after);
        let mut some = Vec::new();
        loop {
            let (bucket, bits) = split.bucket(from);
            some.clear();
            let mut place = u32::try_from(bucket).ok().and_then(|bucket| self.heads.get(bucket)).copied();
            while let Some((at, id)) = place.and_then(|at| Some((at, id(at)?))) {
                if id > after {
                    some.push((id, at));
                }
                place = self.next.get(at).copied();
            }
            some.sort_unstable();
            // The bits behind those that the bucket goes by.
            let behind = u64::MAX.checked_shr(bits).unwrap_or(0);
            let last = from | behind;
            if !take(&some, u128::from(last) << 64 | u128::from(u64::MAX)) {
                return;
            }
            match last.checked_add(1) {
                Some(next) => from = next,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    /// Ids that look random and are the same each time.
    fn id(number: u32) -> [u8; 16] {
        let mixed = (u128::from(number) + 1).wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55);
        (mixed ^ mixed.rotate_left(64)).to_be_bytes()
    }

    #[test]
    fn all_are_there_in_order_whatever_comes_and_goes() {
        let ids: Vec<[u8; 16]> = (0..3_000).map(id).collect();
        let of = |place: u32| ids.get(place as usize);
        let mut by_id = ById::default();
        let mut there = BTreeMap::new();
        let check = |by_id: &ById, there: &BTreeMap<[u8; 16], u32>| {
            let starts = [[0; 16], [u8::MAX; 16], ids[7], ids[900]];
            for after in starts {
                let mut seen = Vec::new();
                let mut ends = Vec::new();
                by_id.after(&after, of, |some, last| {
                    assert!(some.iter().all(|(id, _)| u128::from_be_bytes(**id) <= last));
                    seen.extend(some.iter().map(|(id, place)| (**id, *place)));
                    ends.push(last);
                    true
                });
                let expected: Vec<_> = there.iter().map(|(id, place)| (*id, *place)).collect();
                let expected: Vec<_> = expected.into_iter().filter(|(id, _)| *id > after).collect();
                assert_eq!(seen, expected);
                assert!(ends.is_sorted_by(|one, other| one < other) && ends.last() == Some(&u128::MAX));
            }
        };
        check(&by_id, &there);
        for step in 0..6_000u32 {
            // First they grow in number, then they dwindle.
            let place = step.wrapping_mul(2_654_435_761) % 3_000;
            let goes = if step < 3_000 { step % 5 == 4 } else { step % 5 != 4 };
            if goes {
                if there.remove(&ids[place as usize]).is_some() {
                    by_id.remove(place, &ids[place as usize]);
                }
            } else if there.insert(ids[place as usize], place).is_none() {
                by_id.add(place, of);
            }
            if step % 250 == 0 {
                check(&by_id, &there);
            }
        }
        check(&by_id, &there);
        assert_eq!((by_id.count, by_id.buckets <= 2 * by_id.count + 4), (there.len() as u64, true));
        for (id, place) in there {
            by_id.remove(place, &id);
        }
        assert!(by_id.buckets <= 4);
    }

    #[test]
    fn buckets_hold_about_two_each() {
        let ids: Vec<[u8; 16]> = (0..1_000).map(id).collect();
        let mut by_id = ById::default();
        for place in 0..1_000 {
            by_id.add(place, |place| ids.get(place as usize));
        }
        let mut longest = 0;
        by_id.after(
            &[0; 16],
            |place| ids.get(place as usize),
            |some, _| {
                longest = longest.max(some.len());
                true
            },
        );
        assert!(longest < 16, "{longest}");
    }
}
