//! When pools end: a timer wheel.

use alloc::vec::Vec;
use core::time::Duration;

use super::chunks::Chunks;
use crate::Instant;

/// The buckets of a level: as many as a word has bits.
const BUCKETS: u64 = 64;

/// The chains of a bucket. All that is in a bucket is looked at together, and of millions of slots none is in a
/// processor's caches: to follow one chain would be to wait for memory slot by slot. Of so many it waits once.
const CHAINS: usize = 8;

/// No slot.
const NONE: u32 = u32::MAX;

/// What stands in a slot, as far as the wheel has to know it.
pub(super) trait Timed {
    /// Its deadline by now. It moves on with every ping, and nobody tells the wheel.
    fn ends(&self, timeout: Duration) -> Instant;

    /// Where the wheel keeps the next slot of the same bucket.
    fn next(&mut self) -> Option<&mut u32>;
}

/// Deadlines of slots. A slot stays in until its deadline has come.
///
/// A slot lies in the bucket of its deadline, and stays there while its deadline moves on: a ping costs the wheel nothing.
/// When time reaches the bucket, each of its slots is asked for its deadline again, and goes into the bucket of that. There
/// are levels of 64 buckets each, those of a level 64 times as long as those of the one below, and the shortest of a
/// microsecond; a slot goes into the shortest bucket that its deadline allows. So what is due comes out in order of time.
///
/// The wheel takes no memory but that of its levels. A slot is looked at about once a timeout, and once more on each lower
/// level when it ends. How long buckets are is chosen so that a timeout is 32 to 63 of one level: what has to be looked at
/// together is what was pinged within so short a time, so each look is paid for by a datagram.
#[derive(Debug)]
pub(super) struct Wheel {
    timeout: Duration,
    /// No deadline in the wheel was earlier when it was asked for, in microseconds.
    at: u64,
    /// No bucket with something in it begins earlier. The end of time if nothing is in the wheel.
    wakes: u64,
    /// From buckets of a microsecond to those of which there are no more than 64.
    levels: Vec<Level>,
    /// How many slots were looked at, taken round.
    looks: usize,
}

impl Wheel {
    /// At most 12 levels, of 2,064 bytes each.
    pub(super) fn new(timeout: Duration) -> Self {
        // The bucket that time is in is begun: at least one less than there are must be longer than a timeout.
        let fitting = u64::BITS - ((Instant::ZERO + timeout).as_micros() / (BUCKETS - 1)).leading_zeros();
        let bits = BUCKETS.ilog2();
        let shifts = (fitting % bits..u64::BITS).step_by(bits as usize);
        let levels = Some(0).into_iter().chain(shifts.filter(|shift| *shift > 0)).map(Level::new).collect();
        Self { timeout, at: 0, wakes: u64::MAX, levels, looks: 0 }
    }

    /// Takes in a slot that is not in the wheel.
    pub(super) fn set<T: Timed>(&mut self, slot: u32, slots: &mut Chunks<T>) {
        let Some(timed) = slots.get_mut(slot) else { return };
        let ends = timed.ends(self.timeout);
        let Some(next) = timed.next().filter(|_| ends != Instant::NEVER) else { return };
        // What is overdue is due now.
        let (at, ends) = (self.at, ends.as_micros().max(self.at));
        let near = |level: &&mut Level| (ends >> level.shift) - (at >> level.shift) < BUCKETS;
        if let Some(level) = self.levels.iter_mut().find(near) {
            let bucket = ends >> level.shift;
            self.wakes = self.wakes.min(bucket << level.shift);
            *next = level.push(bucket, slot);
        }
    }

    /// Whether something may have to be taken out or looked at: mostly not. To be asked whenever time has gone on.
    #[inline]
    pub(super) fn is_to_turn(&mut self, now: Instant) -> bool {
        let now = now.as_micros();
        if self.wakes > now {
            self.at = self.at.max(now);
        }
        self.wakes <= now
    }

    /// Takes out a slot whose deadline has come, the earliest first.
    pub(super) fn pop_due<T: Timed>(&mut self, now: Instant, slots: &mut Chunks<T>) -> Option<u32> {
        while self.wakes <= now.as_micros() {
            let Some((begins, level)) = self.next_bucket() else {
                self.wakes = u64::MAX;
                break;
            };
            self.wakes = begins;
            if begins > now.as_micros() {
                break;
            }
            self.at = begins;
            while let Some(slot) = self.take(begins, level, slots) {
                if slots.get(slot)?.ends(self.timeout).as_micros() <= begins {
                    return Some(slot);
                }
                self.set(slot, slots);
            }
        }
        self.at = self.at.max(now.as_micros());
        None
    }

    /// Takes a slot out of the bucket of a level that begins then, if there is one in it.
    fn take<T: Timed>(&mut self, begins: u64, level: usize, slots: &mut Chunks<T>) -> Option<u32> {
        let level = self.levels.get_mut(level)?;
        let bucket = begins >> level.shift;
        let chains = level.first.get_mut((bucket % BUCKETS) as usize)?;
        for _ in 0..CHAINS {
            let chain = self.looks % CHAINS;
            self.looks = self.looks.wrapping_add(1);
            if chain == 0 {
                // The next of each chain, at once.
                let read =
                    |slot: &u32| slots.get(*slot).map_or(0, |timed| timed.ends(Duration::ZERO).as_micros());
                core::hint::black_box(chains.iter().fold(0, |all, slot| all ^ read(slot)));
            }
            let first = chains.get_mut(chain)?;
            if *first != NONE {
                let slot = *first;
                *first = slots.get_mut(slot)?.next().map_or(NONE, |next| *next);
                return Some(slot);
            }
        }
        level.filled &= !(1 << (bucket % BUCKETS));
        None
    }

    /// When to look again: no deadline is earlier. It may be that none is due then.
    #[inline]
    pub(super) fn earliest(&self) -> Option<Instant> {
        Some(Instant::from_micros(self.wakes)).filter(|at| *at != Instant::NEVER)
    }

    /// When the earliest bucket with something in it begins, and its level.
    fn next_bucket(&self) -> Option<(u64, usize)> {
        let levels = self.levels.iter().enumerate();
        levels.filter_map(|(place, level)| Some((level.next(self.at)?, place))).min()
    }
}

/// Buckets of the same length. All that have something in them are among the 64 that begin with the one that time is in.
#[derive(Debug)]
struct Level {
    /// A bucket is two to the power of so many microseconds long.
    shift: u32,
    /// A bit for each bucket with something in it.
    filled: u64,
    /// The first slot of each chain of each bucket.
    first: [[u32; CHAINS]; BUCKETS as usize],
}

impl Level {
    fn new(shift: u32) -> Self {
        Self { shift, filled: 0, first: [[NONE; CHAINS]; BUCKETS as usize] }
    }

    /// Puts a slot into a bucket, and returns which is behind it.
    fn push(&mut self, bucket: u64, slot: u32) -> u32 {
        let place = bucket % BUCKETS;
        self.filled |= 1 << place;
        let chain =
            self.first.get_mut(place as usize).and_then(|chains| chains.get_mut(slot as usize % CHAINS));
        chain.map_or(NONE, |first| core::mem::replace(first, slot))
    }

    /// When the earliest bucket with something in it begins; it is the one of `at` or one of the 63 behind it.
    fn next(&self, at: u64) -> Option<u64> {
        let now = at >> self.shift;
        let ahead = self.filled.rotate_right((now % BUCKETS) as u32).trailing_zeros();
        (self.filled != 0).then(|| (now + u64::from(ahead)) << self.shift)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
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

        fn at(&self) -> Instant {
            at(self.now)
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
            core::iter::from_fn(|| self.wheel.pop_due(at(self.now), &mut self.slots)).collect()
        }
    }

    /// Numbers that look random and are the same each time.
    fn numbers() -> impl FnMut(u64) -> u64 {
        let mut state = 1u64;
        move |end| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        }
    }

    #[test]
    fn each_ends_when_its_last_ping_runs_out_and_in_this_order() {
        let mut number = numbers();
        for timeout in [0, 1, 2, 62, 63, 64, 126, 127, 4_095, 1_000_000, 1 << 40] {
            let mut clock = Clockwork::new(timeout);
            let mut living: Vec<u32> = Vec::new();
            let mut begin = 0;
            for _ in 0..2_000 {
                match number(4) {
                    0 => living.push(clock.add()),
                    1 if !living.is_empty() => {
                        let pinged = living[number(living.len() as u64) as usize];
                        clock.slots.get_mut(pinged).unwrap().begun = at(clock.now);
                    }
                    _ => {}
                }
                // Most steps are short, some longer than all buckets together.
                let longest = timeout / [1, 16, 64, 1_024][number(4) as usize];
                let step = number(longest + 2) * (1 + number(40) / 39);
                let to = match (number(3), clock.wheel.earliest()) {
                    (0, Some(wakes)) => wakes.as_micros(),
                    _ => clock.now + step,
                };
                let ends = |slot: &u32| clock.slots.get(*slot).unwrap().ends(clock.wheel.timeout);
                let mut due: Vec<Instant> =
                    living.iter().map(ends).filter(|ends| ends.is_due(at(to))).collect();
                due.sort_unstable();
                let ended = clock.go(to);
                let ends = |slot: &u32| clock.slots.get(*slot).unwrap().ends(clock.wheel.timeout);
                assert!(ended.iter().map(ends).eq(due), "timeout {timeout}, {begin} to {to}: {ended:?}");
                living.retain(|slot| !ended.contains(slot));
                let next = living.iter().map(ends).min();
                let wakes = clock.wheel.earliest();
                assert!(
                    wakes <= next
                        && wakes.is_some() == next.is_some()
                        && wakes.is_none_or(|at| at > clock.at())
                );
                begin = to;
            }
            assert!(clock.slots.next_place() > Some(300) && living.len() < 500);
        }
    }

    #[test]
    fn a_slot_that_ends_is_looked_at_once_a_level() {
        let mut clock = Clockwork::new(1_000_000);
        let _warm = clock.go(5_555_555);
        let slot = clock.add();
        for wake in 1.. {
            let wakes = clock.wheel.earliest().unwrap().as_micros();
            if clock.go(wakes) == [slot] {
                assert_eq!(wakes, 6_555_555);
                return assert!(wake <= 4, "{wake} times");
            }
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
        for timeout in [0, 1, 5, 1_000, u64::MAX - 10, u64::MAX] {
            let mut clock = Clockwork::new(timeout);
            assert_eq!(clock.go(u64::MAX - 6), []);
            let last = clock.add();
            let ends = at(u64::MAX - 6) + clock.wheel.timeout;
            assert_eq!(clock.wheel.earliest().is_some(), ends != Instant::NEVER);
            assert_eq!(clock.go(u64::MAX - 1), if ends == Instant::NEVER { vec![] } else { vec![last] });
            clock.add();
            assert_eq!(clock.go(u64::MAX), if timeout == 0 { vec![last + 1] } else { vec![] });
            clock.add();
            assert_eq!((clock.wheel.earliest(), clock.go(u64::MAX)), (None, Vec::new()));
        }
    }

    #[test]
    fn a_clock_that_was_not_looked_at_does_no_harm() {
        for late_by in [0, 1, 1_000_000, 1 << 40, 1 << 62] {
            let mut clock = Clockwork::new(1_000);
            let early = clock.add();
            // Nothing is taken out meanwhile, as when there is no room for what it would cause.
            clock.now = 1_000 + late_by;
            let late = clock.add();
            assert_eq!(clock.go(1_999 + late_by), [early]);
            assert_eq!(clock.go(2_000 + late_by), [late]);
        }
    }
}
