//! What one end of a connection takes, gives and says, looked up in what went through it.

use std::time::Duration;

use poolmesh_proto::{
    CloseReason, Fault, Instant, Interest, LinkConfig, LinkEvent, LinkStats, SendError, Write,
};

use super::frames::{self, Frame, Tail};
use super::{Kind, Verdict, Wrong, check};

/// From this size on a payload may be a write of its own.
const LARGE: usize = 16 * 1_024;

/// A driver that tells so late that a time is over has stood still.
const STALL: Duration = Duration::from_millis(100);

/// What one link takes, gives and says.
///
/// Tell it everything that the implementation is told, and everything that it says. A link that shares memory with
/// others is more than this model knows of.
#[derive(Debug)]
pub struct LinkModel {
    config: LinkConfig,
    now: Instant,
    /// When the peer was heard last.
    heard: Instant,
    /// Whether the application has an event in hand.
    holding: bool,
    /// The frames that were taken to be sent.
    sent: Vec<Vec<u8>>,
    /// How many of their bytes were handed out to be written, and how many of those are known to be written.
    handed_out: usize,
    written: usize,
    full: u64,
    /// The length of the frame that was refused last, until the application was told that there is room.
    refused: Option<usize>,
    /// Every byte that came while the link was open.
    stream: Vec<u8>,
    /// How many events were told, and up to which byte the stream has been looked at.
    told: usize,
    looked_at: usize,
    /// When a frame was seen first that is not whole yet.
    begun: Option<Instant>,
    /// Whether the peer was given its time again, because the driver stood still, since a frame began or ended.
    given_again: bool,
    /// When a link whose time is over ends.
    second_look: Option<Instant>,
    /// The peer's half is closed, or the connection broken.
    ending: Option<CloseReason>,
    closing: Option<Closing>,
    ended: Option<CloseReason>,
    end_told: bool,
}

/// What happened since the link was closed here.
#[derive(Clone, Copy, Debug)]
struct Closing {
    until: Instant,
    finished: bool,
    eof: bool,
}

impl LinkModel {
    /// A link over a connection that stands.
    #[must_use]
    pub fn new(config: LinkConfig, now: Instant) -> Self {
        Self {
            config,
            now,
            heard: now,
            holding: false,
            sent: Vec::new(),
            handed_out: 0,
            written: 0,
            full: 0,
            refused: None,
            stream: Vec::new(),
            told: 0,
            looked_at: 0,
            begun: None,
            given_again: false,
            second_look: None,
            ending: None,
            closing: None,
            ended: None,
            end_told: false,
        }
    }

    /// Whether events can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ending.is_none() && self.closing.is_none() && self.ended.is_none()
    }

    /// Whether the link has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The latest time that was told.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Bytes that wait to be written, or are being written.
    #[must_use]
    pub fn queued(&self) -> usize {
        if self.is_ended() { 0 } else { self.outgoing().len() - self.written }
    }

    fn outgoing(&self) -> Vec<u8> {
        self.sent.concat()
    }

    /// The implementation was asked to send an event, and answered `result`.
    ///
    /// # Errors
    /// If it should have answered otherwise.
    pub fn send(&mut self, name: &[u8], payload: &[u8], result: Result<(), SendError>) -> Verdict<Kind> {
        let frame = frames::event(name, payload);
        let (body, most) = (frame.len() - 4, self.config.max_frame);
        let fits = self.fits(frame.len());
        let due = if !self.is_open() {
            Err(SendError::Closed)
        } else if body > most {
            Err(SendError::TooLong { len: body, max: most })
        } else if !fits {
            Err(SendError::Full)
        } else {
            Ok(())
        };
        check(result == due, || format!("sent {} bytes: {result:?}, but due was {due:?}", frame.len()))?;
        match due {
            Ok(()) => {
                self.sent.push(frame);
                Ok("sent")
            }
            Err(SendError::Full) => {
                self.full += 1;
                self.refused = Some(frame.len());
                Ok("full")
            }
            Err(SendError::TooLong { .. }) => Ok("too long"),
            Err(_) => Ok("closed"),
        }
    }

    /// A frame goes alone, or together with others up to the bound.
    fn fits(&self, len: usize) -> bool {
        self.queued() == 0 || self.queued() + len <= self.config.max_queued
    }

    /// What was refused fits, and at least half of the bound is free.
    fn is_writable(&self) -> bool {
        let half = self.queued() == 0 || self.queued() <= self.config.max_queued / 2;
        self.is_open() && half && self.refused.is_some_and(|len| self.fits(len))
    }

    /// The implementation was closed.
    pub fn close(&mut self, now: Instant) {
        if self.is_open() {
            let until = self.now.max(now) + self.config.close_timeout;
            self.closing = Some(Closing { until, finished: false, eof: false });
        }
        self.handle_timeout(now);
    }

    /// The implementation was told the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.closing.is_some_and(|closing| closing.until.is_due(self.now)) {
            self.end_here();
        }
        if self.is_open() {
            self.end_if_overdue();
        }
    }

    /// When the frame that was begun has to be whole.
    fn whole_by(&self) -> Option<Instant> {
        Some(self.begun? + self.config.frame_timeout?)
    }

    fn end_if_overdue(&mut self) {
        // An application that has an event in hand, or has not looked at what came, is what is slow.
        if self.holding || self.looked_at < self.stream.len() {
            self.heard = self.now;
            return;
        }
        let idle = self.idle_at().is_some_and(|at| at.is_due(self.now));
        let slow = self.whole_by().is_some_and(|at| at.is_due(self.now));
        let late = |at: Option<Instant>| at.is_some_and(|at| (at + STALL).is_due(self.now));
        if !idle && !slow {
            self.second_look = None;
        } else if let Some(at) = self.second_look {
            if at.is_due(self.now) {
                self.end_as_overdue(idle);
            }
        } else if !(late(self.idle_at()) || late(self.whole_by())) || self.given_again {
            self.second_look = Some(self.now + STALL);
        } else {
            self.given_again = true;
            self.heard = self.now;
            self.begun = self.begun.and(Some(self.now));
        }
    }

    fn end_as_overdue(&mut self, idle: bool) {
        if idle {
            self.ended = Some(CloseReason::Idle);
        } else {
            let (pieces, _) = frames::cut(&self.stream, self.config.max_frame);
            let bytes = self.stream.len() - pieces.last().map_or(0, |piece| piece.end);
            self.ended = Some(CloseReason::FrameTooSlow { bytes });
        }
    }

    fn idle_at(&self) -> Option<Instant> {
        self.config.idle_timeout.map(|timeout| self.heard + timeout)
    }

    fn end_here(&mut self) {
        if !self.is_ended() {
            let bytes = self.queued();
            self.ended = Some(if bytes == 0 { CloseReason::Local } else { CloseReason::Unwritten { bytes } });
        }
    }

    /// The implementation was given bytes.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        self.heard = self.now.max(now);
        if self.is_open() {
            self.stream.extend_from_slice(bytes);
        }
        if bytes.is_empty() {
            self.begun = self.begun.and(Some(self.heard));
        }
        self.handle_timeout(now);
    }

    /// The implementation was told that the peer has closed its half.
    pub fn handle_eof(&mut self, now: Instant) {
        if self.is_open() {
            self.ending = Some(CloseReason::Remote);
        }
        self.handle_timeout(now);
        let finished = self.closing.is_some_and(|closing| closing.finished);
        match &mut self.closing {
            Some(_) if finished => self.end_here(),
            Some(closing) => closing.eof = true,
            None => {}
        }
    }

    /// The implementation was told that the connection is broken.
    pub fn handle_failure(&mut self, now: Instant, fault: Fault) {
        if self.is_open() {
            self.ending = Some(CloseReason::Failed(fault));
        }
        self.handle_timeout(now);
        if self.closing.is_some() {
            self.end_here();
        }
    }

    /// The implementation was asked for an event, and gave this.
    ///
    /// # Errors
    /// If it should have given something else.
    pub fn gave(&mut self, event: Option<&LinkEvent>) -> Verdict<Kind> {
        self.holding = false;
        let due = self.next_event();
        let right = match (&due, event) {
            (Some(Next::Event(name, payload)), Some(LinkEvent::Received(message))) => {
                message.name() == name && message.payload() == payload
            }
            (Some(Next::Writable), Some(LinkEvent::Writable)) | (None, None) => true,
            (Some(Next::Closed(reason)), Some(LinkEvent::Closed(told))) => reason == told,
            _ => false,
        };
        check(right, || format!("{event:?}, but due was {due:?}"))?;
        Ok(match due {
            Some(Next::Event(..)) => "received",
            Some(Next::Writable) => "writable",
            Some(Next::Closed(reason)) => kind(reason),
            None => "no event",
        })
    }

    /// The next event, with everything that comes of asking for it.
    fn next_event(&mut self) -> Option<Next> {
        if self.is_writable() {
            self.refused = None;
            return Some(Next::Writable);
        }
        if self.ended.is_none() && self.closing.is_none() {
            let (pieces, tail) = frames::cut(&self.stream, self.config.max_frame);
            let whole = pieces.last().map_or(0, |piece| piece.end);
            let events = pieces.into_iter().filter_map(|piece| match piece.frame {
                Frame::Event(name, payload) => Some((name, payload, piece.end)),
                Frame::Empty | Frame::Malformed => None,
            });
            if let Some((name, payload, end)) = events.skip(self.told).take(1).next() {
                self.told += 1;
                self.looked_at = end;
                self.begun = None;
                self.given_again = false;
                self.second_look = None;
                self.holding = true;
                return Some(Next::Event(name, payload));
            }
            if whole > self.looked_at {
                self.begun = None;
                self.given_again = false;
                self.second_look = None;
            }
            if tail == Tail::Begun && self.begun.is_none() {
                self.begun = Some(self.now);
                self.given_again = false;
            }
            self.looked_at = self.stream.len();
            self.ended = match (tail, self.ending) {
                (Tail::TooLong(len), _) => Some(CloseReason::FrameTooLong { len }),
                (Tail::Begun, Some(CloseReason::Remote)) => Some(CloseReason::CutShort),
                (Tail::Nothing | Tail::Begun, ending) => ending,
            };
            if self.is_open() {
                self.end_if_overdue();
            }
        }
        if self.end_told {
            return None;
        }
        self.end_told = self.is_ended();
        self.ended.map(Next::Closed)
    }

    /// The implementation was asked for the next thing to write, and gave this.
    ///
    /// # Errors
    /// If it should have given something else.
    pub fn wrote(&mut self, write: Option<&Write>) -> Verdict<Kind> {
        let wrong = |due: &str| Err(Wrong(format!("{write:?}, but due was {due}")));
        if self.is_ended() || self.ending.is_some() {
            return if write.is_none() {
                Ok("nothing after the end")
            } else {
                wrong("nothing, after the end")
            };
        }
        self.written = self.handed_out;
        let outgoing = self.outgoing();
        let rest = outgoing.get(self.handed_out..).unwrap_or_default();
        if !rest.is_empty() {
            return match write {
                Some(Write::Bytes(bytes)) if !bytes.is_empty() && rest.starts_with(bytes) => {
                    self.handed(bytes.len())
                }
                _ => wrong("the next bytes of what was sent"),
            };
        }
        let eof = self.closing.is_some_and(|closing| closing.eof);
        match (&mut self.closing, write) {
            (Some(_), None) if eof => {
                self.end_here();
                Ok("nothing, both have closed")
            }
            (Some(closing), Some(Write::Finish)) if !eof && !closing.finished => {
                closing.finished = true;
                Ok("finish")
            }
            (Some(closing), None) if !eof && closing.finished => Ok("nothing after finish"),
            (None, None) => Ok("nothing to write"),
            _ => wrong("something else"),
        }
    }

    /// So many bytes were handed out to be written. A write is whole frames up to the size to pack, or a single one;
    /// only a large payload goes by itself.
    fn handed(&mut self, len: usize) -> Verdict<Kind> {
        let start = self.handed_out;
        self.handed_out += len;
        let (mut at, mut frames) = (0, 0);
        let mut split = false;
        for frame in &self.sent {
            let (begins, ends) = (at, at + frame.len());
            at = ends;
            frames += usize::from(begins < self.handed_out && start < ends);
            let cuts = |place: usize| begins < place && place < ends;
            split |= (cuts(start) || cuts(self.handed_out)) && frame.len() < LARGE;
        }
        check(!split, || format!("a write of {len} bytes splits a frame"))?;
        check(frames == 1 || len <= self.config.pack, || {
            format!("a write of {len} bytes packs {frames} frames, over {} bytes", self.config.pack)
        })?;
        Ok(if frames == 1 { "write of one frame" } else { "write of several frames" })
    }

    /// What the implementation waits for.
    #[must_use]
    pub fn interest(&self) -> Interest {
        let waiting = self.stream.len() - self.looked_at;
        let left = self.outgoing().len() > self.handed_out;
        let at_once = Some(Instant::ZERO);
        let no_end = |at: &Instant| *at != Instant::NEVER;
        if self.end_told {
            return Interest { deadline: None, read: false, write: false };
        }
        if self.is_ended() || self.ending.is_some() {
            return Interest { deadline: at_once, read: false, write: false };
        }
        if let Some(closing) = self.closing {
            let deadline = Some(closing.until).filter(no_end);
            return Interest { deadline, read: !closing.eof, write: left || !closing.finished };
        }
        let idle = self.idle_at().filter(|_| !self.holding).filter(no_end);
        let silent_until = match self.second_look {
            None => [idle, self.whole_by().filter(no_end)].into_iter().flatten().min(),
            look => look.filter(no_end),
        };
        let deadline = if waiting > 0 || self.is_writable() { at_once } else { silent_until };
        Interest { deadline, read: waiting < self.config.max_received.max(1), write: left }
    }

    /// What was sent, received and skipped so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        let (pieces, _) = frames::cut(&self.stream, self.config.max_frame);
        let passed = |frame: Frame| {
            pieces.iter().filter(|piece| piece.frame == frame && piece.end <= self.looked_at).count() as u64
        };
        let mut stats = LinkStats::default();
        stats.received = self.told as u64;
        stats.sent = self.sent.len() as u64;
        stats.full = self.full;
        stats.empty = passed(Frame::Empty);
        stats.malformed = passed(Frame::Malformed);
        stats
    }
}

/// What is told next.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Next {
    Event(Vec<u8>, Vec<u8>),
    Writable,
    Closed(CloseReason),
}

fn kind(reason: CloseReason) -> Kind {
    match reason {
        CloseReason::Local => "closed: local",
        CloseReason::Unwritten { .. } => "closed: unwritten",
        CloseReason::Remote => "closed: remote",
        CloseReason::CutShort => "closed: cut short",
        CloseReason::FrameTooLong { .. } => "closed: frame too long",
        CloseReason::FrameTooSlow { .. } => "closed: frame too slow",
        CloseReason::Idle => "closed: idle",
        CloseReason::Failed(_) => "closed: failed",
        _ => "closed: otherwise",
    }
}
