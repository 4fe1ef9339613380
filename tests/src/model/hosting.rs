//! When a client pings its pools, looked up in when it pinged before and when it was warned.

use poolmesh_proto::{CallId, ClientConfig, Instant, PoolId};

use super::client::SHORTEST;

/// Of so many pools that a client was told it hosts it knows the answers again.
const REMEMBERED: usize = 64;

/// A pool that a call has made.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) pool: PoolId,
    pub(super) call: CallId,
    signs: Vec<Sign>,
    /// Whether it ended, was released or forgotten.
    pub(super) over: bool,
}

#[derive(Clone, Copy, Debug)]
enum Sign {
    Pinged(Instant),
    /// A notice said that some pool has ended.
    Warned(Instant),
}

/// Every pool that a client ever hosted, in the order in which it was told so.
#[derive(Debug, Default)]
pub(super) struct Hosting(Vec<Hosted>);

impl Hosting {
    pub(super) fn add(&mut self, pool: PoolId, call: CallId) {
        self.0.push(Hosted { pool, call, signs: Vec::new(), over: false });
    }

    pub(super) fn pools(&self) -> Vec<PoolId> {
        self.0.iter().filter(|hosted| !hosted.over).map(|hosted| hosted.pool).collect()
    }

    /// Whether an answer that makes `pool` the client's own has been seen already, as far as is remembered.
    pub(super) fn knows(&self, pool: PoolId) -> bool {
        let latest = self.0.iter().rev().take(REMEMBERED).any(|hosted| hosted.pool == pool);
        latest || self.pools().contains(&pool)
    }

    /// Ends what `matches`. Whether anything did.
    pub(super) fn end(&mut self, matches: impl Fn(&Hosted) -> bool) -> bool {
        let mut any = false;
        for hosted in self.0.iter_mut().filter(|hosted| !hosted.over && matches(hosted)) {
            hosted.over = true;
            any = true;
        }
        any
    }

    /// A notice says that a pool has ended, but not which.
    pub(super) fn warn(&mut self, now: Instant) {
        for hosted in &mut self.0 {
            hosted.signs.push(Sign::Warned(now));
        }
    }

    /// Pings what is due, and says what was.
    pub(super) fn ping(&mut self, now: Instant, config: &ClientConfig) -> Vec<PoolId> {
        let due = self.0.iter_mut().filter(|hosted| !hosted.over && hosted.due(now, config).is_due(now));
        due.map(|hosted| {
            hosted.signs.push(Sign::Pinged(now));
            hosted.pool
        })
        .collect()
    }

    /// When the next ping is due.
    pub(super) fn deadline(&self, now: Instant, config: &ClientConfig) -> Option<Instant> {
        self.0.iter().filter(|hosted| !hosted.over).map(|hosted| hosted.due(now, config)).min()
    }
}

impl Hosted {
    /// The first ping is due at once. The next an interval later, or earlier after a warning: at once, but not within
    /// a quarter of the interval.
    fn due(&self, now: Instant, config: &ClientConfig) -> Instant {
        let mut due = now;
        for (place, sign) in self.signs.iter().enumerate() {
            let last = self.signs.iter().take(place).rev().find_map(|sign| match sign {
                Sign::Pinged(at) => Some(*at),
                Sign::Warned(_) => None,
            });
            due = match sign {
                Sign::Pinged(at) => *at + config.ping_interval.max(SHORTEST),
                Sign::Warned(at) => {
                    due.min(last.map_or(*at, |last| last + config.ping_interval / 4).max(*at))
                }
            };
        }
        due
    }
}
