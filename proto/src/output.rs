//! What a datagram machine tells its driver to do.

use alloc::collections::VecDeque;
use core::fmt::Debug;
use core::net::SocketAddr;

use bytes::Bytes;

use crate::Instant;

/// A datagram machine as its driver sees it: the [`Broadcaster`](crate::Broadcaster) and the
/// [`Client`](crate::Client).
///
/// The methods are of two kinds. Inputs (`handle_*`) may be called at any time, in any order and number, with any
/// bytes: they return nothing, because nothing that comes from the network is the caller's fault. The output
/// ([`poll_output`](Self::poll_output)) is to be called until it answers [`Output::Wait`]; only that answer carries
/// the next deadline, so a driver can't sleep on something it has not sent yet.
///
/// A timeout that is handled early, late or twice is harmless, and so is a time that runs backwards: a machine
/// never goes back behind the latest time it was told.
pub trait Machine {
    /// What it tells the application.
    type Event: Debug;

    /// Takes in one datagram that came from `from`.
    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]);

    /// Says what time it is; due at the deadline of the last [`Output::Wait`].
    fn handle_timeout(&mut self, now: Instant);

    /// The next thing to do. Call it until it answers [`Output::Wait`].
    fn poll_output(&mut self) -> Output<Self::Event>;

    /// Gets ready for datagrams that are handed in next, of any kind: for a driver that has several at hand. It changes
    /// nothing but how long they take. A machine that gains nothing by it does nothing.
    fn look_ahead<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>)
    where
        Self: Sized,
    {
        let _ = datagrams;
    }
}

/// One thing to do for a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "dropping an output loses a datagram or an event"]
pub enum Output<E> {
    /// Send this datagram.
    Transmit(Transmit),
    /// Tell the application.
    Event(E),
    /// Nothing is left to do until the next input, or until this deadline if there is one. After
    /// [`handle_timeout`](Machine::handle_timeout) and a drain, it lies after the time handed in.
    Wait(Option<Instant>),
}

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Transmit {
    /// Where to.
    pub destination: SocketAddr,
    /// The whole datagram. It may share memory with others that were made at the same time.
    pub payload: Bytes,
}

/// The queue between a machine's inputs and `poll_output`: in order, datagrams bounded.
///
/// Events always enter: each machine bounds their number by what causes them.
#[derive(Debug)]
pub(crate) struct Outbox<E> {
    /// What waits is kept as it is polled: it is copied once less.
    queue: VecDeque<Output<E>>,
    datagrams: usize,
    limit: usize,
    dropped: u64,
}

impl<E> Outbox<E> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), datagrams: 0, limit, dropped: 0 }
    }

    /// Whether another datagram finds room.
    pub(crate) fn has_room(&self) -> bool {
        self.datagrams < self.limit
    }

    /// Queues a datagram, or drops and counts it if the queue is full.
    pub(crate) fn transmit(&mut self, destination: SocketAddr, payload: Bytes) {
        if self.has_room() {
            self.datagrams += 1;
            self.queue.push_back(Output::Transmit(Transmit { destination, payload }));
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub(crate) fn event(&mut self, event: E) {
        self.queue.push_back(Output::Event(event));
    }

    /// Queues an event that tells, and may be missed: dropped and counted if outputs pile up.
    pub(crate) fn tell(&mut self, event: E) {
        if self.queue.len() < self.limit.saturating_mul(2) {
            self.event(event);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Output<E>> {
        let output = self.queue.pop_front();
        self.datagrams -= usize::from(matches!(output, Some(Output::Transmit(_))));
        output
    }

    /// The events that wait to be polled, with their places in the queue.
    pub(crate) fn events(&self) -> impl Iterator<Item = (usize, &E)> {
        self.queue.iter().enumerate().filter_map(|(place, queued)| match queued {
            Output::Event(event) => Some((place, event)),
            Output::Transmit(_) | Output::Wait(_) => None,
        })
    }

    /// Takes back the event at that place.
    pub(crate) fn take_back_at(&mut self, place: usize) -> Option<E> {
        self.queue.get(place).filter(|queued| matches!(queued, Output::Event(_)))?;
        match self.queue.remove(place)? {
            Output::Event(event) => Some(event),
            Output::Transmit(_) | Output::Wait(_) => None,
        }
    }

    /// Takes back the first event that `matches`.
    pub(crate) fn take_back(&mut self, matches: impl Fn(&E) -> bool) -> Option<E> {
        let place = self.events().find(|(_, event)| matches(event)).map(|(place, _)| place)?;
        self.take_back_at(place)
    }

    /// How many outputs wait to be polled.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Outputs dropped because nobody drained the queue.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
