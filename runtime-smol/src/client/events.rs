//! What happens in the pools of a client, as a stream.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use event_listener::{Event as Signal, EventListener};
use poolmesh_proto::ClientConfig;
use poolmesh_proto::driver::{PoolInbox, PoolNews};
use smol::stream::{Stream, StreamExt};

/// What happens in the pools of a client, as a stream. It ends when the client is closed.
///
/// As long as one exists, up to [`ClientConfig::max_events`] events wait here. Of what is more than that,
/// [`PoolEvent::Missed`](crate::PoolEvent::Missed) tells that it was: then look at the roster. Several share the events:
/// each goes to one of them.
#[derive(Debug)]
pub struct PoolEvents {
    feed: Arc<PoolFeed>,
    filled: Option<EventListener>,
}

impl PoolEvents {
    pub(super) fn new(feed: Arc<PoolFeed>) -> Self {
        feed.lock().add_reader();
        Self { feed, filled: None }
    }

    /// Waits for the next event; none when the client is closed. A future that is dropped takes no event with it.
    pub async fn next(&mut self) -> Option<PoolNews> {
        StreamExt::next(self).await
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<PoolNews> {
        self.feed.lock().take()
    }
}

impl Stream for PoolEvents {
    type Item = PoolNews;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PoolNews>> {
        loop {
            {
                let mut inbox = self.feed.lock();
                if let Some(news) = inbox.take() {
                    return Poll::Ready(Some(news));
                }
                if inbox.is_ended() {
                    return Poll::Ready(None);
                }
            }
            // Listen first, look again, then wait: what comes in between is not missed.
            let Some(filled) = &mut self.filled else {
                self.filled = Some(self.feed.filled.listen());
                continue;
            };
            if Pin::new(filled).poll(context).is_pending() {
                return Poll::Pending;
            }
            self.filled = None;
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
    filled: Signal,
}

impl PoolFeed {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self { inbox: Mutex::new(PoolInbox::new(config)), filled: Signal::new() }
    }

    fn lock(&self) -> MutexGuard<'_, PoolInbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, news: PoolNews) {
        self.lock().put(news);
        self.filled.notify(usize::MAX);
    }

    /// No event follows.
    pub(super) fn end(&self) {
        self.lock().end();
        self.filled.notify(usize::MAX);
    }
}
