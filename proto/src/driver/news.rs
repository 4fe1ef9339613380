//! What happens in the pools of a client, on its way to the application.

use alloc::collections::{BTreeSet, VecDeque};
use core::net::SocketAddr;

use crate::{Client, ClientConfig, ClientEvent, PoolEnd, PoolEvent, PoolId, PoolInfo};

/// What happens in the pools of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolNews {
    /// Something is new in a pool that the client is a member of.
    Event {
        /// The pool.
        pool: PoolId,
        /// What is new.
        event: PoolEvent,
    },
    /// The client is no longer in a pool; in the classic dialect, a hosted pool has ended.
    Ended {
        /// The pool.
        pool: PoolId,
        /// Why.
        reason: PoolEnd,
    },
}

impl PoolNews {
    /// What an event of the machine tells of a pool; none if it tells of a call.
    #[must_use]
    pub fn of(event: ClientEvent) -> Option<Self> {
        match event {
            ClientEvent::Pool { pool, event } => Some(Self::Event { pool, event }),
            ClientEvent::PoolEnded { pool, reason } => Some(Self::Ended { pool, reason }),
            ClientEvent::Finished { .. } => None,
        }
    }

    /// Whom a mesh that has entered the pool is to dial now: a member that came, of a lower number than the client's own,
    /// for numbers are given with the offer of a place and some take theirs later. Whoever has a higher one dials us.
    #[must_use]
    pub fn to_dial(&self, client: &Client) -> Option<SocketAddr> {
        let Self::Event { pool, event: PoolEvent::Joined(member) } = self else { return None };
        let me = client.membership(pool)?.me();
        (member.number < me).then_some(member.address)
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        match self {
            Self::Event { pool, .. } | Self::Ended { pool, .. } => *pool,
        }
    }
}

/// The pool that a mesh is to enter: `pool`, as the client knows it by now. Who came since is dialed by
/// [`PoolNews::to_dial`].
#[must_use]
pub fn to_enter(client: &Client, pool: &PoolInfo) -> PoolInfo {
    match client.membership(&pool.id()) {
        Some(membership) if pool.has_returned() => membership.info().returned(),
        Some(membership) => membership.info(),
        None => pool.clone(),
    }
}

/// The news that wait for an application to take them: at most [`ClientConfig::max_events`].
///
/// Without a reader nothing is kept. What is too much is not told, but that it was is: [`PoolEvent::Missed`], once a pool.
/// Ends are told in any case, in place of older news if need be.
#[derive(Debug)]
pub struct PoolInbox {
    queue: VecDeque<PoolNews>,
    /// The pools of which something was not told.
    missed: BTreeSet<PoolId>,
    limit: usize,
    readers: usize,
    ended: bool,
}

impl PoolInbox {
    /// An inbox with the bounds of `config`.
    #[must_use]
    pub fn new(config: &ClientConfig) -> Self {
        Self {
            queue: VecDeque::new(),
            missed: BTreeSet::new(),
            limit: config.max_events.max(1),
            readers: 0,
            ended: false,
        }
    }

    /// A reader comes.
    pub fn add_reader(&mut self) {
        self.readers += 1;
    }

    /// A reader goes. What waits goes with the last one.
    pub fn remove_reader(&mut self) {
        self.readers = self.readers.saturating_sub(1);
        if self.readers == 0 {
            self.queue.clear();
            self.missed.clear();
        }
    }

    /// Puts in what is new.
    pub fn put(&mut self, news: PoolNews) {
        if self.readers == 0 {
            return;
        }
        if self.queue.len() < self.limit {
            return self.queue.push_back(news);
        }
        match news {
            PoolNews::Event { pool, .. } => self.miss(pool),
            PoolNews::Ended { pool, .. } => {
                self.missed.remove(&pool);
                if let Some(older) = self.queue.pop_front() {
                    self.miss(older.pool());
                }
                self.queue.push_back(news);
            }
        }
    }

    fn miss(&mut self, pool: PoolId) {
        if self.missed.len() < self.limit {
            self.missed.insert(pool);
        }
    }

    /// Takes out the next news.
    pub fn take(&mut self) -> Option<PoolNews> {
        let missed = |pool| PoolNews::Event { pool, event: PoolEvent::Missed };
        self.queue.pop_front().or_else(|| self.missed.pop_first().map(missed))
    }

    /// Nothing follows.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing follows what waits.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn inbox(max_events: usize) -> PoolInbox {
        PoolInbox::new(&ClientConfig { max_events, ..ClientConfig::default() })
    }

    fn spec(pool: &str) -> PoolNews {
        PoolNews::Event { pool: pool.parse().unwrap(), event: PoolEvent::Spec }
    }

    fn missed(pool: &str) -> PoolNews {
        PoolNews::Event { pool: pool.parse().unwrap(), event: PoolEvent::Missed }
    }

    fn ended(pool: &str) -> PoolNews {
        PoolNews::Ended { pool: pool.parse().unwrap(), reason: PoolEnd::Closed }
    }

    fn all(inbox: &mut PoolInbox) -> Vec<PoolNews> {
        core::iter::from_fn(|| inbox.take()).collect()
    }

    #[test]
    fn what_is_too_much_is_told_to_be_missed_once_a_pool() {
        let mut inbox = inbox(2);
        inbox.add_reader();
        for pool in ["a", "b", "b", "a", "b"] {
            inbox.put(spec(pool));
        }
        assert_eq!(all(&mut inbox), [spec("a"), spec("b"), missed("a"), missed("b")]);
        inbox.put(spec("a"));
        assert_eq!(all(&mut inbox), [spec("a")], "there is room again");
    }

    #[test]
    fn an_end_is_told_though_there_is_no_room() {
        let mut inbox = inbox(2);
        inbox.add_reader();
        for news in [spec("a"), spec("b"), spec("b"), ended("b")] {
            inbox.put(news);
        }
        assert_eq!(all(&mut inbox), [spec("b"), ended("b"), missed("a")]);
    }

    #[test]
    fn without_a_reader_nothing_is_kept() {
        let mut inbox = inbox(1);
        inbox.put(ended("a"));
        assert_eq!(inbox.take(), None);
        inbox.add_reader();
        inbox.put(spec("a"));
        inbox.put(spec("a"));
        inbox.remove_reader();
        inbox.add_reader();
        assert_eq!(inbox.take(), None);
        assert!(!inbox.is_ended());
        inbox.end();
        assert!(inbox.is_ended());
    }

    #[test]
    fn news_are_of_pools() {
        let pool: PoolId = "a".parse().unwrap();
        let (event, reason) = (PoolEvent::Spec, PoolEnd::Closed);
        assert_eq!(PoolNews::of(ClientEvent::Pool { pool, event }), Some(spec("a")));
        assert_eq!(PoolNews::of(ClientEvent::PoolEnded { pool, reason }), Some(ended("a")));
        let call = crate::CallId(0);
        assert_eq!(PoolNews::of(ClientEvent::Finished { call, outcome: crate::Outcome::Done }), None);
        assert_eq!((spec("a").pool(), ended("a").pool()), (pool, pool));
    }
}
