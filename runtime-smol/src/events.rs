//! The stream of events of a mesh.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use event_listener::{Event as Signal, EventListener};
use poolmesh_proto::MeshConfig;
use poolmesh_proto::driver::{self, Inbox};
use smol::stream::{Stream, StreamExt};

use crate::Peer;

/// What happens in a mesh.
pub type Event = driver::Event<Peer>;

/// The events of a mesh as a stream. It ends when the mesh is closed.
///
/// As long as one exists, received events without a handler wait here, within the bounds of [`MeshConfig`]; then the
/// peers that send are no longer read from, and so slowed down. Several share the events: each goes to one of them.
#[derive(Debug)]
pub struct Events {
    feed: Arc<Feed>,
    filled: Option<EventListener>,
}

impl Events {
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        feed.lock().add_reader();
        Self { feed, filled: None }
    }

    /// Waits for the next event; none when the mesh is closed. A future that is dropped takes no event with it.
    pub async fn next(&mut self) -> Option<Event> {
        StreamExt::next(self).await
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.feed.take(&mut self.feed.lock())
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            {
                let mut inbox = self.feed.lock();
                if let Some(event) = self.feed.take(&mut inbox) {
                    return Poll::Ready(Some(event));
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

impl Drop for Events {
    fn drop(&mut self) {
        self.feed.lock().remove_reader();
        self.feed.emptied.notify(usize::MAX);
    }
}

/// The queue behind [`Events`].
#[derive(Debug)]
pub(crate) struct Feed {
    inbox: Mutex<Inbox<Peer>>,
    filled: Signal,
    emptied: Signal,
}

impl Feed {
    pub(crate) fn new(config: &MeshConfig) -> Self {
        Self { inbox: Mutex::new(Inbox::new(config)), filled: Signal::new(), emptied: Signal::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox<Peer>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of something that is bounded elsewhere, without waiting.
    pub(crate) fn tell(&self, event: Event) {
        self.lock().put(event);
        self.filled.notify(usize::MAX);
    }

    /// Hands over what a peer sent, once there is room.
    pub(crate) async fn deliver(&self, event: Event) {
        self.when_roomy(|inbox| inbox.put(event)).await;
        self.filled.notify(usize::MAX);
    }

    /// Waits until the application keeps up.
    pub(crate) async fn wait_until_roomy(&self) {
        self.when_roomy(|_| {}).await;
    }

    async fn when_roomy(&self, act: impl FnOnce(&mut Inbox<Peer>)) {
        loop {
            let emptied = self.emptied.listen();
            {
                let mut inbox = self.lock();
                if inbox.has_room() {
                    return act(&mut inbox);
                }
            }
            emptied.await;
        }
    }

    /// From now on nothing waits for room.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.emptied.notify(usize::MAX);
    }

    /// No event follows.
    pub(crate) fn end(&self) {
        self.lock().end();
        self.filled.notify(usize::MAX);
    }

    fn take(&self, inbox: &mut Inbox<Peer>) -> Option<Event> {
        let event = inbox.take()?;
        self.emptied.notify(usize::MAX);
        Some(event)
    }
}
