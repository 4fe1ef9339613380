//! When pools may end: a timer wheel.

use alloc::collections::BTreeSet;
use core::time::Duration;

use super::chunks::Chunks;
use crate::Instant;

/// The buckets of one turn.
const BUCKETS: usize = 64;

/// No slot.
const NONE: u32 = u32::MAX;

/// What stands in a slot, as far as the wheel has to know it.
pub(super) trait Timed {
    /// Its deadline by now. It moves on with every ping, and nobody tells the wheel.
    fn ends(&self, timeout: Duration) -> Instant;

    /// Where the wheel keeps the next slot of the same bucket.
    fn next(&mut self) -> Option<&mut u32>;
}

/// Deadlines that lie at most one timeout ahead, of slots that are taken out only when they have come.
///
/// A slot goes into the bucket of its deadline and stays there while its deadline moves on. When time reaches the bucket,
/// each of its slots is asked for its deadline again, and goes into a later bucket, or among the near ones, which are in
/// order. So a ping costs the wheel nothing, and a slot is looked at about once a timeout.
#[derive(Debug)]
pub(super) struct Wheel {
    timeout: Duration,
    /// How long a bucket is, in microseconds.
    width: u64,
    /// The bucket that time is in, counted from the beginning of time.
    at: u64,
    /// The first slot of each bucket, which are chained.
    buckets: [u32; BUCKETS],
    near: BTreeSet<(Instant, u32)>,
}

impl Wheel {
    pub(super) fn new(timeout: Duration) -> Self {
        // The bucket that time is in, and the one that a timeout from now ends in, may be begun: two more than a timeout
        // has.
        let micros = u64::try_from(timeout.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let width = micros.div_ceil(BUCKETS as u64 - 2).max(1);
        Self { timeout, width, at: 0, buckets: [NONE; BUCKETS], near: BTreeSet::new() }
    }

    /// Takes in a slot that is not in the wheel.
    pub(super) fn set<T: Timed>(&mut self, slot: u32, slots: &mut Chunks<T>) {
        let Some(timed) = slots.get_mut(slot) else { return };
        let ends = timed.ends(self.timeout);
        let bucket = ends.as_micros() / self.width;
        if ends == Instant::NEVER {
            // It is never looked at.
        } else if bucket <= self.at {
            self.near.insert((ends, slot));
        } else {
            // None lies farther ahead; if one did, it would be looked at early.
            let bucket = bucket.min(self.at + BUCKETS as u64 - 1);
            if let (Some(first), Some(next)) = (self.bucket(bucket), timed.next()) {
                *next = core::mem::replace(first, slot);
            }
        }
    }

    /// Moves on to `now`: what may be due then is near.
    pub(super) fn turn<T: Timed>(&mut self, now: Instant, slots: &mut Chunks<T>) {
        let to = now.as_micros() / self.width;
        if to <= self.at {
            return;
        }
        let first = self.at + 1;
        self.at = to;
        for bucket in (first..=to).take(BUCKETS) {
            let mut slot = self.bucket(bucket).map_or(NONE, |first| core::mem::replace(first, NONE));
            while let Some(next) = slots.get_mut(slot).and_then(|timed| timed.next().copied()) {
                self.set(slot, slots);
                slot = next;
            }
        }
    }

    fn bucket(&mut self, number: u64) -> Option<&mut u32> {
        self.buckets.get_mut((number % BUCKETS as u64) as usize)
    }

    /// Takes out the slot whose deadline was the earliest, if that has come. It may have moved on.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let (at, slot) = *self.near.first()?;
        if !at.is_due(now) {
            return None;
        }
        self.near.pop_first();
        Some(slot)
    }

    /// When to look again: no deadline is earlier. It may be that none is due then.
    pub(super) fn earliest(&self) -> Option<Instant> {
        if let Some((at, _)) = self.near.first() {
            return Some(*at);
        }
        let ahead = (self.at..).skip(1).take(BUCKETS);
        let filled = |bucket: &u64| {
            self.buckets.get((bucket % BUCKETS as u64) as usize).is_some_and(|first| *first != NONE)
        };
        let begins = |bucket: u64| Instant::from_micros(bucket.saturating_mul(self.width));
        ahead.into_iter().find(filled).map(begins).filter(|at| *at != Instant::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    struct Item {
        begun: Instant,
        next: u32,
    }

    impl Timed for Item {
        fn ends(&self, timeout: Duration) -> Instant {
            self.begun + timeout
        }

        fn next(&mut self) -> Option<&mut u32> {
            Some(&mut self.next)
        }
    }

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    struct Clockwork {
        wheel: Wheel,
        slots: Chunks<Item>,
        now: u64,
    }

    impl Clockwork {
        fn new(timeout: u64) -> Self {
            Self { wheel: Wheel::new(Duration::from_micros(timeout)), slots: Chunks::default(), now: 0 }
        }

        fn add(&mut self) -> u32 {
            let slot = self.slots.next_place().unwrap();
            self.slots.push(Item { begun: at(self.now), next: NONE });
            self.wheel.set(slot, &mut self.slots);
            slot
        }

        /// Lets time pass, and answers who has ended.
        fn go(&mut self, to: u64) -> Vec<u32> {
            self.now = self.now.max(to);
            let now = at(self.now);
            self.wheel.turn(now, &mut self.slots);
            let mut ended = Vec::new();
            while let Some(slot) = self.wheel.pop_due(now) {
                if self.slots.get(slot).unwrap().ends(self.wheel.timeout).is_due(now) {
                    ended.push(slot);
                } else {
                    self.wheel.set(slot, &mut self.slots);
                }
            }
            ended
        }
    }

    #[test]
    fn each_ends_at_its_time_whatever_the_timeout_is() {
        for timeout in [0, 1, 61, 62, 63, 64, 1_000, 999_999, 1_000_000] {
            let mut clock = Clockwork::new(timeout);
            let begins = [0, 0, 1, 2, 7, timeout / 64, timeout / 3, timeout / 2, 3 * timeout];
            let mut begins: Vec<u64> = begins.into();
            begins.sort_unstable();
            let mut ends: Vec<(u64, u32)> = Vec::new();
            let mut coming = begins.iter().copied().peekable();
            loop {
                let wakes = clock.wheel.earliest().map(Instant::as_micros);
                let now = coming.peek().copied().into_iter().chain(wakes).min();
                let Some(now) = now else { break };
                ends.extend(clock.go(now).into_iter().map(|slot| (now, slot)));
                if coming.next_if_eq(&now).is_some() {
                    clock.add();
                }
            }
            let due = (0..).zip(&begins).map(|(slot, begin)| (begin + timeout, slot));
            assert!(due.eq(ends.iter().copied()), "timeout {timeout}: {ends:?}");
        }
    }

    #[test]
    fn what_is_pinged_is_looked_at_once_a_timeout_and_lives() {
        let mut clock = Clockwork::new(1_000_000);
        let slot = clock.add();
        let mut looks = 0;
        while clock.now < 60_000_000 {
            let wakes = clock.wheel.earliest().unwrap().as_micros();
            let ping = clock.now + 200_000;
            if ping < wakes {
                clock.now = ping;
                clock.slots.get_mut(slot).unwrap().begun = at(ping);
            } else {
                looks += 1;
                assert_eq!(clock.go(wakes), []);
            }
        }
        assert!((50..=90).contains(&looks), "{looks} times a minute");
        let last = clock.slots.get(slot).unwrap().begun.as_micros();
        assert_eq!(clock.go(last + 999_999), []);
        assert_eq!(clock.go(last + 1_000_000), [slot]);
    }

    #[test]
    fn time_may_jump_over_several_turns() {
        let mut clock = Clockwork::new(1_000);
        let all: Vec<u32> = (0..500)
            .map(|micros| {
                clock.go(micros);
                clock.add()
            })
            .collect();
        assert_eq!(clock.go(u64::MAX), all);
        assert_eq!((clock.wheel.earliest(), clock.go(u64::MAX)), (None, Vec::new()));
    }

    #[test]
    fn the_end_of_time_is_no_deadline() {
        let mut clock = Clockwork::new(u64::MAX);
        clock.add();
        assert_eq!((clock.wheel.earliest(), clock.go(u64::MAX)), (None, Vec::new()));
    }
}
