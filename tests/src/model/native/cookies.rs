//! Which cookies were given to whom.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::Instant;
use poolmesh_proto::wire::native::Cookie;

/// So long a cookie is good, at least and at most.
const GOOD: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(120));

/// The cookies that a broadcaster gave, and who has proven its address by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Cookies {
    given: BTreeMap<SocketAddr, BTreeMap<u64, (Instant, Instant)>>,
}

impl Cookies {
    /// One was given.
    pub(super) fn give(&mut self, to: SocketAddr, cookie: Cookie, now: Instant) {
        let given = self.given.entry(to).or_default();
        given.retain(|_, (_, last)| !(*last + GOOD.1).is_due(now));
        given.entry(cookie.get()).or_insert((now, now)).1 = now;
    }

    /// Whether one is good: for certain, for certain not, or maybe (none).
    pub(super) fn is_good(&self, from: SocketAddr, cookie: Option<Cookie>, now: Instant) -> Option<bool> {
        let given = cookie.and_then(|cookie| self.given.get(&from)?.get(&cookie.get()));
        let Some((first, last)) = given else { return Some(false) };
        if (*first + GOOD.1).is_due(now) {
            // The key it was made with is older than that.
            return Some(false);
        }
        if !(*last + GOOD.0).is_due(now) { Some(true) } else { None }
    }
}
