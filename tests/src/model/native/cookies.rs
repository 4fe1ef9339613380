//! Which cookies were given to whom, and which are good.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::Instant;
use poolmesh_proto::wire::native::Cookie;

/// How often a broadcaster changes the key of its cookies, in microseconds.
const PERIOD: u64 = 60_000_000;

/// A part of a period, without its end.
type Part = (u64, u64);

/// The cookies that a broadcaster gave.
///
/// When in a minute it changes its key is its own affair. So whether a cookie is good that was given between one minute and
/// two ago is known only as far as was seen of others.
#[derive(Clone, Debug)]
pub(super) struct Cookies {
    /// When each was given, last.
    given: BTreeMap<SocketAddr, BTreeMap<u64, Instant>>,
    /// When in a period the key may change.
    turns: Vec<Part>,
}

impl Default for Cookies {
    fn default() -> Self {
        Self { given: BTreeMap::new(), turns: vec![(0, PERIOD)] }
    }
}

/// From then on, for so long, as parts of a period.
fn parts(from: u64, length: u64) -> Vec<Part> {
    let (from, length) = (from % PERIOD, length.min(PERIOD));
    let over = (from + length).saturating_sub(PERIOD);
    [(from, (from + length).min(PERIOD)), (0, over)].into_iter().filter(|(from, to)| from < to).collect()
}

/// What is in both.
fn both(these: &[Part], those: &[Part]) -> Vec<Part> {
    let cut = |one: &Part, other: &Part| (one.0.max(other.0), one.1.min(other.1));
    let all = these.iter().flat_map(|one| those.iter().map(move |other| cut(one, other)));
    all.filter(|(from, to)| from < to).collect()
}

impl Cookies {
    /// One was made at that time, and given.
    pub(super) fn give(&mut self, to: SocketAddr, cookie: Cookie, now: Instant) {
        let given = self.given.entry(to).or_default();
        given.retain(|_, last| now.as_micros() < last.as_micros() + 2 * PERIOD);
        let last = given.entry(cookie.get()).or_insert(now);
        *last = now.max(*last);
    }

    /// When the key must change for a cookie to be good that was given so long ago, of those that may be.
    fn good(&self, given: Instant, now: Instant) -> Vec<Part> {
        let age = now.as_micros().saturating_sub(given.as_micros());
        match age {
            0..PERIOD => self.turns.clone(),
            PERIOD.. if age < 2 * PERIOD => {
                // It changed once since, not twice: not in so much of the time before the cookie was given.
                let spare = 2 * PERIOD - age;
                let from = given.as_micros() + PERIOD * 2 - spare + 1;
                both(&self.turns, &parts(from, spare))
            }
            _ => Vec::new(),
        }
    }

    /// Whether one is good: for certain, for certain not, or maybe (none).
    pub(super) fn is_good(&self, from: SocketAddr, cookie: Option<Cookie>, now: Instant) -> Option<bool> {
        let given = cookie.and_then(|cookie| self.given.get(&from)?.get(&cookie.get()));
        let Some(given) = given else { return Some(false) };
        let good = self.good(*given, now);
        let length = |parts: &[Part]| parts.iter().map(|(from, to)| to - from).sum::<u64>();
        match length(&good) {
            0 => Some(false),
            part if part == length(&self.turns) => Some(true),
            _ => None,
        }
    }

    /// One is taken to be good, or not.
    pub(super) fn take(&mut self, from: SocketAddr, cookie: Option<Cookie>, now: Instant, is_good: bool) {
        let given = cookie.and_then(|cookie| self.given.get(&from)?.get(&cookie.get()));
        let Some(given) = given else { return };
        let good = self.good(*given, now);
        if is_good {
            self.turns = good;
            return;
        }
        for (from, to) in good {
            self.turns = both(&self.turns, &[(0, from), (to, PERIOD)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn what_was_seen_of_one_is_known_of_others() {
        let (ann, bob) = (([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into());
        let cookie = |number| Cookie::new(number).unwrap();
        let at = |seconds: u64| Instant::from_micros(seconds * SECOND);
        let mut cookies = Cookies::default();
        cookies.give(ann, cookie(1), at(100));
        cookies.give(bob, cookie(2), at(110));
        let good =
            |cookies: &Cookies, who, number, seconds| cookies.is_good(who, Some(cookie(number)), at(seconds));
        assert_eq!(good(&cookies, ann, 1, 159), Some(true));
        assert_eq!(good(&cookies, ann, 1, 180), None);
        assert_eq!(good(&cookies, ann, 1, 220), Some(false));
        assert_eq!(good(&cookies, ann, 2, 120), Some(false), "that is another's");
        // The key changed by 160 and will by 220, so not from 180 to 200, nor at 120 to 140.
        let mut is = cookies.clone();
        is.take(ann, Some(cookie(1)), at(180), true);
        assert_eq!(good(&is, ann, 1, 179), Some(true));
        for turn in 0..60 {
            let changes = |from: u64, to: u64| (from + 1..=to).filter(|second| second % 60 == turn).count();
            let mut known = cookies.clone();
            known.take(ann, Some(cookie(1)), at(180), changes(100, 180) < 2);
            let said = good(&known, bob, 2, 190);
            assert!(said.is_none_or(|said| said == (changes(110, 190) < 2)), "{turn}: {said:?}");
            assert!(known.turns.iter().any(|(from, to)| (*from..*to).contains(&(turn * SECOND))), "{turn}");
        }
    }
}
