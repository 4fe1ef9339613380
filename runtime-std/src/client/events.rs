//! What happens in the pools of a client, as an iterator.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use poolmesh_proto::ClientConfig;
use poolmesh_proto::driver::{PoolInbox, PoolNews};

/// What happens in the pools of a client, as an iterator. It ends when the client is closed.
///
/// As long as one exists, up to [`ClientConfig::max_events`] events wait here. Of what is more than that,
/// [`PoolEvent::Missed`](crate::PoolEvent::Missed) tells that it was: then look at the roster. Several share the events:
/// each goes to one of them.
#[derive(Debug)]
pub struct PoolEvents {
    feed: Arc<PoolFeed>,
}

impl PoolEvents {
    pub(super) fn new(feed: Arc<PoolFeed>) -> Self {
        feed.lock().add_reader();
        Self { feed }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<PoolNews> {
        self.feed.lock().take()
    }
}

impl Iterator for PoolEvents {
    type Item = PoolNews;

    /// Waits for the next event.
    fn next(&mut self) -> Option<PoolNews> {
        let mut inbox = self.feed.lock();
        loop {
            if let Some(news) = inbox.take() {
                return Some(news);
            }
            if inbox.is_ended() {
                return None;
            }
            inbox = self.feed.filled.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for PoolEvents {
    fn drop(&mut self) {
        self.feed.lock().remove_reader();
    }
}

/// The queue behind [`PoolEvents`].
#[derive(Debug)]
pub(super) struct PoolFeed {
    inbox: Mutex<PoolInbox>,
    filled: Condvar,
}

impl PoolFeed {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self { inbox: Mutex::new(PoolInbox::new(config)), filled: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, PoolInbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, news: PoolNews) {
        self.lock().put(news);
        self.filled.notify_one();
    }

    /// No event follows.
    pub(super) fn end(&self) {
        self.lock().end();
        self.filled.notify_all();
    }
}
