//! The link: frames to and from one peer, over one connection.

mod batch;
mod config;
mod encoded;
mod output;
mod queue;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;

use core::time::Duration;

pub use batch::Batch;
pub use config::LinkConfig;
pub use encoded::Encoded;
pub use output::{
    Chunks, CloseReason, Interest, LinkEvent, LinkEvents, LinkStats, SendError, Turn, Write, WriteKind,
};

use crate::wire::FrameReader;
use crate::{Budget, Fault, Instant};
use queue::SendQueue;

/// A driver that tells so late that a peer's time is over has stood still. A shorter stall can't be told from none, so
/// there is as much time for a second look at what may wait to be read.
const STALL: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The peer has closed its half, or the connection is broken: what was received is still handed out.
    Ending(CloseReason),
    /// Closed here: what is queued is still written until the deadline, then the peer is waited for.
    Closing {
        until: Instant,
        /// Whether the driver was told to close the writing half: all is written.
        finished: bool,
        /// Whether the peer has closed its half.
        eof: bool,
    },
    /// The end has come; whether it has been told.
    Ended(CloseReason, bool),
}

/// One peer's connection as a stream machine.
///
/// A byte stream pushes back, so each direction has a poll of its own. In: [`handle_bytes`](Self::handle_bytes),
/// [`handle_eof`](Self::handle_eof), [`handle_failure`](Self::handle_failure),
/// [`handle_timeout`](Self::handle_timeout). Out: [`poll_event`](Self::poll_event), and
/// [`poll_transmit`](Self::poll_transmit), which is asked when the chunk before is written. What is wanted next
/// says [`interest`](Self::interest). Any inputs in any order are harmless, as is time that runs backwards.
///
/// Events are cut from the received bytes when they are polled, so what nobody polls is never parsed, and while
/// `max_received` bytes wait, the link asks for no more: a peer that sends faster than the application takes is slowed
/// down by the connection itself. Bytes handed in all the same are kept.
///
/// There is a quicker way in each direction, for drivers whose links say much: [`make_room`](Self::make_room) and
/// [`handle_read`](Self::handle_read) read in place, [`poll_events`](Self::poll_events) hands out together what came
/// together, [`poll_chunks`](Self::poll_chunks) has it written by one vectored call, and a [`batch`](Self::batch) packs what
/// is sent. Who drives a link from several threads asks [`turn`](Self::turn) who is to write.
///
/// After the end, the driver drops the connection. A link that ends by itself (idle, a frame too long or too slow) does
/// so without waiting for the peer.
///
/// A stall of the driver is not the peer's silence: what the link waits for may lie in the socket. So a link whose time
/// is over, as idle or too slow, ends only if 100 ms later there is nothing new. If it is told 100 ms late or later that
/// the time is over, the driver has stood still, and once a frame the link gives its peer the whole time again.
///
/// ```
/// use bytes::Bytes;
/// use poolmesh_proto::{Instant, Link, LinkConfig, LinkEvent, Packet, Write};
///
/// let now = Instant::ZERO;
/// let (mut ann, mut bob) = (Link::new(LinkConfig::default(), now), Link::new(LinkConfig::default(), now));
/// ann.send("msg", Packet::new().string("hello"))?;
/// while let Some(Write::Bytes(bytes)) = ann.poll_transmit() {
///     bob.handle_bytes(now, bytes); // a real driver writes them to a socket
/// }
/// let Some(LinkEvent::Received(event)) = bob.poll_event() else { panic!() };
/// assert!(event.is("msg"));
/// assert_eq!(event.reader().string(), Ok("hello"));
/// # Ok::<(), poolmesh_proto::SendError>(())
/// ```
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    now: Instant,
    heard: Instant,
    state: State,
    reader: FrameReader,
    /// When the frame that is not whole yet was begun.
    begun: Option<Instant>,
    /// Whether the driver has stood still, and the peer was given its time again, since a frame began or ended.
    stood_still: bool,
    /// When a link whose time is over ends, if nothing comes.
    second_look: Option<Instant>,
    queue: SendQueue,
    refused: Option<Refused>,
    /// When an event was last to be written at once, if nothing was heard since.
    urgent_at: Option<Instant>,
    /// How the last event or batch was taken.
    taken: Taken,
    /// Whether the application has an event in hand, and has not asked for the next.
    holding: bool,
    stats: LinkStats,
}

/// A frame that did not fit.
#[derive(Clone, Copy, Debug)]
struct Refused {
    len: usize,
    /// When to look again, if what is missing is memory shared with others.
    retry: Option<Instant>,
}

/// How an event or a batch was taken that was to be sent.
#[derive(Clone, Copy, Debug)]
enum Taken {
    /// Something else waited to be written.
    Behind,
    /// An event, while nothing waited.
    Event,
    /// A batch, while nothing waited.
    Batch,
}

impl Link {
    /// A link over a connection that stands.
    #[must_use]
    pub fn new(config: LinkConfig, now: Instant) -> Self {
        Self::with_budget(config, now, Budget::new(usize::MAX))
    }

    /// A link that shares the memory for what it queues with others.
    #[must_use]
    pub fn with_budget(config: LinkConfig, now: Instant, budget: Budget) -> Self {
        Self {
            now,
            heard: now,
            state: State::Open,
            reader: FrameReader::new(config.max_frame),
            begun: None,
            stood_still: false,
            second_look: None,
            queue: SendQueue::new(config.pack, budget),
            refused: None,
            urgent_at: None,
            taken: Taken::Behind,
            holding: false,
            stats: LinkStats::default(),
            config,
        }
    }

    /// Closes the link: what is queued is still written, what the peer still sends is dropped.
    /// [`LinkEvent::Closed`] follows, within [`LinkConfig::close_timeout`].
    pub fn close(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.state == State::Open {
            let until = self.now + self.config.close_timeout;
            self.state = State::Closing { until, finished: false, eof: false };
            self.reader.clear();
        }
        self.tick(now);
    }

    /// The peer has closed its writing half.
    pub fn handle_eof(&mut self, now: Instant) {
        self.end_after(CloseReason::Remote);
        self.tick(now);
        match &mut self.state {
            State::Closing { finished: true, .. } => self.end_here(),
            State::Closing { eof, .. } => *eof = true,
            State::Open | State::Ending(_) | State::Ended(..) => {}
        }
    }

    /// The connection is broken.
    pub fn handle_failure(&mut self, now: Instant, fault: Fault) {
        self.end_after(CloseReason::Failed(fault));
        self.tick(now);
        if let State::Closing { .. } = self.state {
            self.end_here();
        }
    }

    /// The peer has ended an open link: that comes before its time is looked at, like bytes do.
    fn end_after(&mut self, reason: CloseReason) {
        if self.state == State::Open {
            self.state = State::Ending(reason);
        }
    }

    /// Says what time it is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
    }

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        match self.state {
            State::Closing { until, .. } if until.is_due(self.now) => self.end_here(),
            State::Open => self.end_if_overdue(),
            State::Closing { .. } | State::Ending(_) | State::Ended(..) => {}
        }
        self.arm_retry();
    }

    /// When the frame that is not whole yet has to be.
    fn whole_by(&self) -> Option<Instant> {
        Some(self.begun? + self.config.frame_timeout?)
    }

    /// When the peer has been silent for too long.
    fn idle_at(&self) -> Option<Instant> {
        Some(self.heard + self.config.idle_timeout?)
    }

    /// Ends the link if its peer is idle or too slow.
    fn end_if_overdue(&mut self) {
        if self.holding || self.reader.waiting() > 0 {
            // It is not the peer that is idle, and what waits to be looked at may be the rest of its frame.
            self.heard = self.now;
            return;
        }
        let [idle, slow] = [self.idle_at(), self.whole_by()].map(|at| at.filter(|at| at.is_due(self.now)));
        let Some(due) = idle.into_iter().chain(slow).min() else {
            self.second_look = None;
            return;
        };
        match self.second_look {
            None if !self.stood_still && (due + STALL).is_due(self.now) => {
                self.stood_still = true;
                self.heard = self.now;
                self.begun = self.begun.map(|_| self.now);
            }
            None => self.second_look = Some(self.now + STALL),
            Some(at) if !at.is_due(self.now) => {}
            Some(_) if idle.is_some() => self.end(CloseReason::Idle),
            Some(_) => self.end(CloseReason::FrameTooSlow { bytes: self.reader.unfinished() }),
        }
    }

    /// The end of a link that was closed here.
    fn end_here(&mut self) {
        let bytes = self.queue.clear();
        self.end(if bytes == 0 { CloseReason::Local } else { CloseReason::Unwritten { bytes } });
    }

    fn end(&mut self, reason: CloseReason) {
        self.queue.clear();
        self.reader.clear();
        self.refused = None;
        self.state = State::Ended(reason, false);
    }

    /// What the link waits for.
    #[must_use]
    pub fn interest(&self) -> Interest {
        let write = self.queue.has_next() || matches!(self.state, State::Closing { finished: false, .. });
        match self.state {
            State::Open => Interest {
                deadline: if self.has_event() { Some(Instant::ZERO) } else { self.open_deadline() },
                read: self.reader.waiting() < self.config.max_received.max(1),
                write,
            },
            State::Closing { until, eof, .. } => {
                Interest { deadline: Some(until).filter(|at| *at != Instant::NEVER), read: !eof, write }
            }
            State::Ending(_) | State::Ended(_, false) => {
                Interest { deadline: Some(Instant::ZERO), read: false, write: false }
            }
            State::Ended(_, true) => Interest { deadline: None, read: false, write: false },
        }
    }

    /// Whether an event may wait to be polled.
    pub(crate) fn has_event(&self) -> bool {
        match self.state {
            State::Open => self.reader.waiting() > 0 || self.writable(),
            State::Ending(_) | State::Ended(_, false) => true,
            State::Closing { .. } | State::Ended(_, true) => false,
        }
    }

    fn open_deadline(&self) -> Option<Instant> {
        let idle = self.idle_at().filter(|_| !self.holding);
        let over = self.second_look.or_else(|| idle.into_iter().chain(self.whole_by()).min());
        let retry = self.refused.filter(|refused| self.roomy(*refused)).and_then(|refused| refused.retry);
        [over, retry].into_iter().flatten().filter(|at| *at != Instant::NEVER).min()
    }

    /// Whether the link has ended: nothing can be sent, and the connection can be dropped. Events may still wait.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended(..))
    }

    /// Whether events can be sent: it neither has ended nor is about to.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Bytes that wait to be written, or are being written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.queued()
    }

    /// What was sent, received and skipped so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.stats
    }
}
