//! Which cookies were given to whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::Instant;
use poolmesh_proto::wire::native::Cookie;

/// So long a cookie is good, at least and at most.
const GOOD: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(120));

/// The cookies that a broadcaster gave, and who has proven its address by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Cookies {
    /// When each was given, first and last.
    given: BTreeMap<SocketAddr, BTreeMap<u64, (Instant, Instant)>>,
    /// Those that were taken to be good no longer.
    bad: BTreeSet<(SocketAddr, u64)>,
}

impl Cookies {
    /// One was given.
    pub(super) fn give(&mut self, to: SocketAddr, cookie: Cookie, now: Instant) {
        let given = self.given.entry(to).or_default();
        given.retain(|_, (_, last)| !(*last + GOOD.1).is_due(now));
        let (_, last) = given.entry(cookie.get()).or_insert((now, now));
        *last = now.max(*last);
        self.bad.remove(&(to, cookie.get()));
    }

    /// It is taken to be good no longer: nor is it from now on.
    pub(super) fn spoil(&mut self, from: SocketAddr, cookie: Option<Cookie>) {
        self.bad.extend(cookie.map(|cookie| (from, cookie.get())));
    }

    /// Whether one is good: for certain, for certain not, or maybe (none).
    pub(super) fn is_good(&self, from: SocketAddr, cookie: Option<Cookie>, now: Instant) -> Option<bool> {
        let given = cookie.and_then(|cookie| self.given.get(&from)?.get(&cookie.get()));
        let Some((first, last)) = given else { return Some(false) };
        let bad = cookie.is_some_and(|cookie| self.bad.contains(&(from, cookie.get())));
        if bad || (*first + GOOD.1).is_due(now) {
            // The key it was made with is older than that.
            return Some(false);
        }
        if !(*last + GOOD.0).is_due(now) { Some(true) } else { None }
    }
}
