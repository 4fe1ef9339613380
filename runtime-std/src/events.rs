//! The stream of events of a mesh.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use poolmesh_proto::MeshConfig;
use poolmesh_proto::driver::{self, Inbox};

use crate::Peer;

/// What happens in a mesh.
pub type Event = driver::Event<Peer>;

/// The events of a mesh as an iterator. It ends when the mesh is closed.
///
/// As long as one exists, received events without a handler wait here, within the bounds of [`MeshConfig`]; then the
/// peers that send are no longer read from, and so slowed down. Several share the events: each goes to one of them.
#[derive(Debug)]
pub struct Events {
    feed: Arc<Feed>,
}

impl Events {
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        feed.lock().add_reader();
        Self { feed }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.feed.take(&mut self.feed.lock())
    }
}

impl Iterator for Events {
    type Item = Event;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Event> {
        let mut inbox = self.feed.lock();
        loop {
            if let Some(event) = self.feed.take(&mut inbox) {
                return Some(event);
            }
            if inbox.is_ended() {
                return None;
            }
            inbox = self.feed.filled.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.feed.lock().remove_reader();
        self.feed.emptied.notify_all();
    }
}

/// The queue behind [`Events`].
#[derive(Debug)]
pub(crate) struct Feed {
    inbox: Mutex<Inbox<Peer>>,
    filled: Condvar,
    emptied: Condvar,
}

impl Feed {
    pub(crate) fn new(config: &MeshConfig) -> Self {
        Self { inbox: Mutex::new(Inbox::new(config)), filled: Condvar::new(), emptied: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox<Peer>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of something that is bounded elsewhere, without waiting.
    pub(crate) fn tell(&self, event: Event) {
        self.lock().put(event);
        self.filled.notify_one();
    }

    /// Hands over what a peer sent, once there is room.
    pub(crate) fn deliver(&self, event: Event) {
        self.wait_for_room().put(event);
        self.filled.notify_one();
    }

    /// Waits until the application keeps up.
    pub(crate) fn wait_until_roomy(&self) {
        drop(self.wait_for_room());
    }

    fn wait_for_room(&self) -> MutexGuard<'_, Inbox<Peer>> {
        let mut inbox = self.lock();
        while !inbox.has_room() {
            inbox = self.emptied.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox
    }

    /// From now on nothing waits for room.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.emptied.notify_all();
    }

    /// No event follows.
    pub(crate) fn end(&self) {
        self.lock().end();
        self.filled.notify_all();
    }

    fn take(&self, inbox: &mut Inbox<Peer>) -> Option<Event> {
        let event = inbox.take()?;
        self.emptied.notify_all();
        Some(event)
    }
}
