//! Who asks how often.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use poolmesh_proto::{Instant, Limits};

use super::state::source;

/// So many asks in a row, and so many more each second: time that can be saved up, and spent on asks.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    since: Instant,
    /// In microseconds.
    left: u64,
}

/// How often somebody may ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// What one ask takes, in whole microseconds.
    step: u64,
    row: u64,
}

impl Pace {
    pub(super) fn new(second: u32, row: u32) -> Self {
        let step = 1_000_000_u64.checked_div(second.into()).unwrap_or(AGE);
        Self { step, row: row.into() }
    }

    const fn most(self) -> u64 {
        self.step.saturating_mul(self.row)
    }
}

/// Longer than any run, in microseconds.
const AGE: u64 = 1 << 50;

impl Bucket {
    pub(super) const fn full(now: Instant, pace: Pace) -> Self {
        Self { since: now, left: pace.most() }
    }

    fn gain(&mut self, now: Instant, pace: Pace) {
        let passed = now.saturating_duration_since(self.since).as_micros();
        let gained = u64::try_from(passed).unwrap_or(u64::MAX);
        self.since = now.max(self.since);
        self.left = self.left.saturating_add(gained).min(pace.most());
    }

    /// Whether one more is within it.
    pub(super) fn may_take(&mut self, now: Instant, pace: Pace) -> bool {
        self.gain(now, pace);
        pace.row > 0 && self.left >= pace.step
    }

    /// What is left is no more than what is left of another.
    pub(super) fn keep_least(&mut self, mut other: Self, now: Instant, pace: Pace) {
        self.gain(now, pace);
        other.gain(now, pace);
        self.left = self.left.min(other.left);
    }

    pub(super) fn take(&mut self, pace: Pace) {
        self.left = self.left.saturating_sub(pace.step);
    }
}

/// From so many places on it is taken that no two sources share one.
const MANY: usize = 1 << 18;

/// The rates of all sources.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    pace: Pace,
    codes: usize,
    /// In how many places they are kept.
    places: usize,
    of: BTreeMap<IpAddr, Bucket>,
    /// As if all sources shared one place.
    all: Bucket,
    wrong: BTreeMap<IpAddr, Wrong>,
    /// Of all sources.
    all_wrong: Wrong,
    /// How often sources were beyond their rates, and how often they were told so.
    beyond: u64,
    told: u64,
}

impl Rates {
    pub(super) fn new(limits: &Limits) -> Self {
        let pace = Pace::new(limits.requests_per_second, limits.requests_in_a_row);
        Self {
            pace,
            codes: limits.wrong_codes_per_minute as usize,
            places: limits.sources,
            of: BTreeMap::new(),
            all: Bucket::full(Instant::ZERO, pace),
            wrong: BTreeMap::new(),
            all_wrong: Wrong::default(),
            beyond: 0,
            told: 0,
        }
    }

    /// Whether it is within somebody's rate to ask: for certain, for certain not, or maybe (none).
    pub(super) fn may_ask(&mut self, from: SocketAddr, now: Instant) -> Option<bool> {
        let pace = self.pace;
        let own = self.of.entry(source(from)).or_insert_with(|| Bucket::full(now, pace));
        let own = own.may_take(now, pace);
        let all = self.all.may_take(now, pace);
        match (self.places, own, all) {
            (1, _, all) => Some(all),
            (MANY.., own, _) => Some(own),
            // Who shares a place with whom is not known.
            (_, _, true) => Some(true),
            (_, false, _) => Some(false),
            (_, true, false) => None,
        }
    }

    /// Somebody asks, and is let in or not.
    pub(super) fn asks(&mut self, from: SocketAddr, within: bool) {
        if !within {
            self.beyond += 1;
            return;
        }
        self.all.take(self.pace);
        if let Some(own) = self.of.get_mut(&source(from)) {
            own.take(self.pace);
        }
    }

    /// Somebody is told that he asked too often: of ten times once.
    pub(super) fn tell(&mut self) -> Result<(), String> {
        self.told += 1;
        if self.told * 10 > self.beyond {
            return Err(format!("A1: {} of {} were told that they ask too often", self.told, self.beyond));
        }
        Ok(())
    }

    /// Somebody asked for a code of no pool.
    pub(super) fn wrong_code(&mut self, from: SocketAddr, now: Instant) {
        self.all_wrong.note(now);
        self.wrong.entry(source(from)).or_default().note(now);
    }

    /// Whether somebody may ask for codes: for certain, for certain not, or maybe.
    pub(super) fn codes(&self, from: SocketAddr, now: Instant) -> Option<bool> {
        let beyond = |wrong: &Wrong| wrong.in_minute(now) >= self.codes;
        let own = self.wrong.get(&source(from));
        match self.places {
            1 => Some(!beyond(&self.all_wrong)),
            MANY.. => Some(!own.is_some_and(beyond)),
            // Who shares a minute with whom is not known: it may have begun by a code of another's.
            _ if own.map_or(0, |own| own.lately(now)) >= 2 * self.codes => Some(false),
            _ if self.all_wrong.lately(now) < self.codes => Some(true),
            _ => None,
        }
    }
}

/// Wrong codes. A minute begins with the first, and the next one with the first behind it.
#[derive(Clone, Debug, Default)]
struct Wrong {
    begin: Instant,
    count: usize,
    /// Those of a minute back from now.
    latest: Vec<Instant>,
}

impl Wrong {
    fn note(&mut self, now: Instant) {
        self.latest.retain(|at| !(*at + MINUTE).is_due(now));
        self.latest.push(now);
        if self.in_minute(now) == 0 {
            (self.begin, self.count) = (now, 0);
        }
        self.count += 1;
    }

    fn in_minute(&self, now: Instant) -> usize {
        if (self.begin + MINUTE).is_due(now) { 0 } else { self.count }
    }

    fn lately(&self, now: Instant) -> usize {
        self.latest.iter().filter(|at| !(**at + MINUTE).is_due(now)).count()
    }
}

/// For how long wrong codes are counted.
const MINUTE: Duration = Duration::from_secs(60);
