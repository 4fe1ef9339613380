//! Events on their way to the application.

use alloc::collections::VecDeque;

use super::Event;
use crate::MeshConfig;

/// The events that wait for an application to take them, bounded in number and bytes.
///
/// Without a reader nothing is kept: an application may do with handlers alone. A driver asks
/// [`has_room`](Self::has_room) before it hands over what a peer sent, and before it accepts a connection.
#[derive(Debug)]
pub struct Inbox<P> {
    queue: VecDeque<Event<P>>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
    readers: usize,
    closed: bool,
    ended: bool,
}

impl<P> Inbox<P> {
    /// An inbox with the bounds of `config`.
    #[must_use]
    pub fn new(config: &MeshConfig) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            max_events: config.max_waiting_events,
            max_bytes: config.max_waiting_bytes,
            readers: 0,
            closed: false,
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
            self.bytes = 0;
        }
    }

    /// Whether there is room for what a peer sent, or it is not kept anyway.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.readers == 0 || self.closed || self.queue.len() < self.max_events && self.bytes < self.max_bytes
    }

    /// Puts in an event. Those a peer sent are to be put in when there is room, and are dropped once the mesh is
    /// being closed; those of connections are bounded by what causes them.
    pub fn put(&mut self, mut event: Event<P>) {
        if let (Event::Received(_, message), false) = (&mut event, self.queue.is_empty()) {
            // It will wait: what it keeps alive is to be what is counted.
            message.detach();
        }
        if self.readers > 0 && !(self.closed && matches!(event, Event::Received(..))) {
            self.bytes += size(&event);
            self.queue.push_back(event);
        }
    }

    /// Takes out the next event.
    pub fn take(&mut self) -> Option<Event<P>> {
        let event = self.queue.pop_front()?;
        self.bytes -= size(&event);
        Some(event)
    }

    /// The mesh is being closed: nothing waits for room any more.
    pub fn close(&mut self) {
        self.closed = true;
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

fn size<P>(event: &Event<P>) -> usize {
    match event {
        Event::Received(_, message) => message.name().len() + message.payload().len(),
        Event::Connected(_)
        | Event::Disconnected(..)
        | Event::Unreachable(..)
        | Event::Listening(_)
        | Event::ListenFailed(..) => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{CloseReason, Message};

    fn received(len: usize) -> Event<()> {
        Event::Received((), Message::new(Bytes::from(alloc::vec![0; len]), 0))
    }

    fn inbox() -> Inbox<()> {
        let config = MeshConfig { max_waiting_events: 2, max_waiting_bytes: 100, ..MeshConfig::default() };
        Inbox::new(&config)
    }

    #[test]
    fn is_full_by_number_or_by_bytes() {
        let mut inbox = inbox();
        inbox.add_reader();
        inbox.put(received(99));
        assert!(inbox.has_room());
        inbox.put(received(1));
        assert!(!inbox.has_room());
        inbox.take();
        inbox.put(received(0));
        assert!(!inbox.has_room(), "two events");
        inbox.take();
        inbox.take();
        inbox.put(received(100));
        assert!(!inbox.has_room(), "a hundred bytes");
        inbox.take();
        assert!(inbox.has_room(), "taken, they don't count");
    }

    #[test]
    fn what_waits_keeps_no_chunk_alive() {
        let chunk = Bytes::from(alloc::vec![0; 64 * 1_024]);
        let mut inbox = inbox();
        inbox.add_reader();
        for _ in 0..2 {
            inbox.put(Event::Received((), Message::new(chunk.slice(100..120), 0)));
        }
        let within = |event: Option<Event<()>>| match event {
            Some(Event::Received((), message)) => chunk.as_ptr_range().contains(&message.payload().as_ptr()),
            other => panic!("{other:?}"),
        };
        assert!(within(inbox.take()), "taken at once, it is not copied");
        assert!(!within(inbox.take()), "having waited, it is");
    }

    #[test]
    fn without_a_reader_nothing_is_kept_and_nothing_waits() {
        let mut inbox = inbox();
        inbox.put(received(1_000));
        assert!(inbox.has_room() && inbox.take().is_none());
        inbox.add_reader();
        inbox.put(received(1_000));
        assert!(!inbox.has_room());
        inbox.remove_reader();
        assert!(inbox.has_room() && inbox.take().is_none());
    }

    #[test]
    fn closing_still_tells_of_connections() {
        let mut inbox = inbox();
        inbox.add_reader();
        inbox.put(received(100));
        assert!(!inbox.has_room() && inbox.take().is_some());
        inbox.close();
        inbox.put(received(1));
        inbox.put(Event::Disconnected((), CloseReason::Local));
        assert!(matches!(inbox.take(), Some(Event::Disconnected(..))));
        assert!(inbox.take().is_none());
        for _ in 0..9 {
            inbox.put(Event::Disconnected((), CloseReason::Local));
        }
        assert!(inbox.has_room(), "nothing waits for room any more");
        assert!(!inbox.is_ended());
        inbox.end();
        assert!(inbox.is_ended());
    }
}
