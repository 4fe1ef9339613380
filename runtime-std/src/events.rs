//! The stream of events of a mesh.

use std::sync::{Arc, PoisonError};

use poolmesh_proto::MeshConfig;
use poolmesh_proto::driver::{self, Inbox};

use crate::Peer;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What happens in a mesh.
pub type Event = driver::Event<Peer>;

/// The events of a mesh as an iterator. It ends when the mesh is closed.
///
/// As long as one exists, received events without a handler wait here, within the bounds of [`MeshConfig`]; then the
/// peers that send are no longer read from, and so slowed down. Several share the events: each goes to one of them.
#[derive(Debug)]
pub struct Events {
    feed: Arc<Feed<Peer>>,
}

impl Events {
    pub(crate) fn new(feed: Arc<Feed<Peer>>) -> Self {
        feed.add_reader();
        Self { feed }
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.feed.try_next()
    }
}

impl Iterator for Events {
    type Item = Event;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Event> {
        self.feed.next()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.feed.remove_reader();
    }
}

/// The queue behind [`Events`].
#[derive(Debug)]
pub(crate) struct Feed<P> {
    queue: Mutex<Queue<P>>,
    filled: Condvar,
    emptied: Condvar,
}

/// The inbox, and who waits. To wake nobody costs a system call, too.
#[derive(Debug)]
struct Queue<P> {
    inbox: Inbox<P>,
    /// Readers that wait for an event.
    wait_for_event: usize,
    /// Links that wait for room.
    wait_for_room: usize,
}

impl<P> Feed<P> {
    pub(crate) fn new(config: &MeshConfig) -> Self {
        let queue = Queue { inbox: Inbox::new(config), wait_for_event: 0, wait_for_room: 0 };
        Self { queue: Mutex::new(queue), filled: Condvar::new(), emptied: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<P>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_reader(&self) {
        self.lock().inbox.add_reader();
    }

    pub(crate) fn remove_reader(&self) {
        self.lock().inbox.remove_reader();
        self.emptied.notify_all();
    }

    /// Tells of something that is bounded elsewhere, without waiting.
    pub(crate) fn tell(&self, event: driver::Event<P>) {
        self.put(&mut self.lock(), event);
    }

    /// Hands over what a peer sent, once there is room.
    pub(crate) fn deliver(&self, event: driver::Event<P>) {
        self.put(&mut self.wait_for_room(), event);
    }

    fn put(&self, queue: &mut Queue<P>, event: driver::Event<P>) {
        queue.inbox.put(event);
        if queue.wait_for_event > 0 {
            self.filled.notify_one();
        }
    }

    /// Waits until the application keeps up.
    pub(crate) fn wait_until_roomy(&self) {
        drop(self.wait_for_room());
    }

    fn wait_for_room(&self) -> MutexGuard<'_, Queue<P>> {
        let mut queue = self.lock();
        while !queue.inbox.has_room() {
            queue.wait_for_room += 1;
            queue = self.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.wait_for_room -= 1;
        }
        queue
    }

    /// From now on nothing waits for room.
    pub(crate) fn close(&self) {
        self.lock().inbox.close();
        self.emptied.notify_all();
    }

    /// No event follows.
    pub(crate) fn end(&self) {
        self.lock().inbox.end();
        self.filled.notify_all();
    }

    /// Takes the next event, if there is one already.
    fn try_next(&self) -> Option<driver::Event<P>> {
        self.take(&mut self.lock())
    }

    /// Waits for the next event; none at the end.
    pub(crate) fn next(&self) -> Option<driver::Event<P>> {
        let mut queue = self.lock();
        loop {
            if let Some(event) = self.take(&mut queue) {
                return Some(event);
            }
            if queue.inbox.is_ended() {
                return None;
            }
            queue.wait_for_event += 1;
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.wait_for_event -= 1;
        }
    }

    fn take(&self, queue: &mut Queue<P>) -> Option<driver::Event<P>> {
        let event = queue.inbox.take()?;
        if queue.wait_for_room > 0 {
            self.emptied.notify_all();
        }
        Some(event)
    }
}
