//! What one end of a connection has sent and received.

use core::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{CloseReason, Fault, Instant, Message};

/// What a frame adds to its payload, in bytes: two lengths and a name of one byte.
pub(super) const NAME: usize = 9;

/// Every payload is a beginning of this: nothing has to be made, and a shift is seen.
pub(super) static PAYLOADS: [u8; 24_000] = payloads();

const fn payloads() -> [u8; 24_000] {
    let mut bytes = [0; 24_000];
    let mut state = 1u32;
    let mut at = 0;
    while at < bytes.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        #[expect(clippy::indexing_slicing, reason = "a constant has no iterators")]
        {
            bytes[at] = (state >> 24) as u8;
        }
        at += 1;
    }
    bytes
}

/// From this size on a payload is handed over by itself.
const BY_REFERENCE: usize = 16 * 1_024;

/// What the connection holds at most, in bytes, before a further chunk.
const PIPE: usize = 24_000;

/// A driver that tells so late that a time is over has stood still.
const STALL: Duration = Duration::from_millis(100);

/// Events that follow each other sooner than this are a stream.
const STREAM: Duration = Duration::from_micros(50);

/// One end: its application, and what it has written into the connection.
#[derive(Debug)]
pub(super) struct End {
    /// Its driver reads in place, takes together what came together, and writes vectored.
    pub(super) together: bool,
    /// The lengths of the payloads of all events that were accepted.
    lens: Vec<usize>,
    /// Which frame is written next, and how much of it is.
    writing: (usize, usize),
    /// Bytes written, the chunk in flight among them, and bytes the connection has brought to the other end.
    written: usize,
    carried: usize,
    pub(super) in_flight: usize,
    /// Of what counts as written, what the connection has not taken: the driver writes it first.
    pub(super) kept: usize,
    /// When an event last went past the queue, or had its turn, if nothing was heard since.
    urgent_at: Option<Instant>,
    pub(super) finished: bool,
    /// A send was refused, and no `Writable` came since.
    pub(super) refused: bool,
    /// Bytes that came in, events that came out, and the bytes of their frames.
    came: usize,
    taken: usize,
    taken_bytes: usize,
    pub(super) longest_chunk: usize,
    /// Bytes that came in since there was no event, if none was polled since.
    pub(super) waiting: Option<usize>,
    heard: Instant,
    /// When a frame that is not whole was looked at first.
    begun: Option<Instant>,
    /// The same, or when its time was given again at the latest, and whether it surely was.
    again: Option<Instant>,
    given_again: bool,
    /// The driver was late for a silence since.
    excused: bool,
    /// Since when its time is over at the latest.
    over: Option<Instant>,
    /// The application has an event in hand: silence is not the peer's.
    pub(super) holding: bool,
    pub(super) latest: Instant,
    /// Bytes came in that nobody sent.
    pub(super) spoiled: bool,
    pub(super) eof: bool,
    pub(super) failed: bool,
    /// The peer's end came first: nothing more is written.
    pub(super) ending: bool,
    pub(super) closed: bool,
    /// It was open when it was closed.
    pub(super) closing: bool,
    pub(super) ended: Option<CloseReason>,
}

impl End {
    /// Takes memory for `most` events, and no more later.
    pub(super) fn new(most: usize, together: bool) -> Self {
        Self {
            together,
            lens: Vec::with_capacity(most),
            writing: (0, 0),
            written: 0,
            carried: 0,
            in_flight: 0,
            kept: 0,
            urgent_at: None,
            finished: false,
            refused: false,
            came: 0,
            taken: 0,
            taken_bytes: 0,
            longest_chunk: 0,
            waiting: Some(0),
            heard: Instant::ZERO,
            begun: None,
            again: None,
            given_again: false,
            excused: false,
            over: None,
            holding: false,
            latest: Instant::ZERO,
            spoiled: false,
            eof: false,
            failed: false,
            ending: false,
            closed: false,
            closing: false,
            ended: None,
        }
    }

    /// It is told the time.
    pub(super) fn now(&mut self, now: Instant) {
        self.latest = self.latest.max(now);
        if self.holding {
            self.heard = self.latest;
        }
    }

    /// It is closed: what was received and not taken is dropped.
    pub(super) fn close(&mut self, open: bool) {
        self.closed = true;
        self.closing |= open;
        if open {
            self.came = self.taken_bytes;
            self.longest_chunk = 0;
        }
    }

    /// The name of the next event.
    pub(super) fn next_name(&self) -> u8 {
        name(self.lens.len())
    }

    pub(super) fn sent(&mut self, len: usize) {
        self.lens.push(len);
    }

    /// Events accepted in all.
    pub(super) fn frames(&self) -> usize {
        self.lens.len()
    }

    /// Bytes accepted in all.
    pub(super) fn accepted(&self) -> usize {
        self.lens.iter().map(|len| NAME + len).sum()
    }

    /// The longest frame accepted.
    pub(super) fn longest(&self) -> usize {
        self.lens.iter().map(|len| NAME + len).max().unwrap_or(0)
    }

    pub(super) fn queued(&self) -> usize {
        self.accepted() - self.written + self.in_flight
    }

    pub(super) fn is_written(&self) -> bool {
        self.written == self.accepted()
    }

    pub(super) fn is_carried(&self) -> bool {
        self.written - self.kept == self.carried
    }

    /// Whether the connection takes another chunk.
    pub(super) fn has_room(&self) -> bool {
        self.written - self.kept - self.carried < PIPE
    }

    /// Whether an event that finds nothing else waiting is written at once.
    pub(super) fn is_urgent(&mut self, now: Instant) -> bool {
        let urgent = self.urgent_at.is_none_or(|at| (at + STREAM).is_due(now));
        self.urgent_at = if urgent { Some(now) } else { self.urgent_at };
        urgent
    }

    pub(super) fn finish(&mut self) {
        assert!(!self.finished && self.closed, "finish comes once, after a close");
        assert!(self.is_written(), "all is written before");
        self.finished = true;
        self.in_flight = 0;
    }

    /// A chunk is written: the next frames, none in two chunks but a long one, which may have its payload apart. What is
    /// written together ends with a frame.
    pub(super) fn write(&mut self, chunk: &[u8], pack: usize) {
        assert!(!self.finished && self.ended.is_none() && !chunk.is_empty());
        let mut rest = chunk;
        let mut frames = 0;
        while !rest.is_empty() {
            let (at, done) = self.writing;
            let Some(len) = self.lens.get(at).copied() else { panic!("more than was sent") };
            let header = header(at, len);
            let head = header.get(done..).unwrap_or_default();
            let payload = PAYLOADS.get(done.saturating_sub(NAME)..len).unwrap_or_default();
            let now = rest.len().min(head.len() + payload.len());
            let (part, behind) = rest.split_at(now);
            let (part_head, part_payload) = part.split_at(now.min(head.len()));
            assert!(
                head.starts_with(part_head) && payload.starts_with(part_payload),
                "frame {at} is another"
            );
            rest = behind;
            frames += 1;
            self.writing = if done + now == NAME + len { (at + 1, 0) } else { (at, done + now) };
        }
        let (at, done) = self.writing;
        let apart = |at: usize| self.lens.get(at).copied().filter(|len| *len >= BY_REFERENCE);
        assert!(
            done == 0 || (!self.together && done == NAME && apart(at).is_some()),
            "a frame in two writes"
        );
        // The payload comes along, however long, so that a frame ends the write.
        let last = if self.together { apart(at.saturating_sub(1)).unwrap_or(0) } else { 0 };
        assert!(frames == 1 || chunk.len() - last <= pack, "packed too much");
        self.written += chunk.len();
        self.in_flight = chunk.len();
    }

    /// Takes up to `most` bytes off the connection, for the other end.
    pub(super) fn carry(&mut self, most: usize) -> Bytes {
        let len = most.min(self.written - self.kept - self.carried);
        let mut bytes = Vec::with_capacity(len);
        let (mut skip, mut at) = (self.carried, 0);
        while bytes.len() < len {
            let Some(payload) = self.lens.get(at).copied() else { break };
            let header = header(at, payload);
            for part in [&header[..], PAYLOADS.get(..payload).unwrap_or_default()] {
                let part = part.get(skip.min(part.len())..).map_or(part, |rest| {
                    skip -= part.len() - rest.len();
                    rest
                });
                bytes.extend_from_slice(part.get(..part.len().min(len - bytes.len())).unwrap_or_default());
            }
            at += 1;
        }
        self.carried += len;
        bytes.into()
    }

    /// Bytes came in. They are dropped if the link is not open.
    pub(super) fn received(&mut self, len: usize, open: bool) {
        if open {
            self.heard = self.latest;
            self.urgent_at = None;
            self.came += len;
            self.longest_chunk = self.longest_chunk.max(len);
            self.waiting = self.waiting.map(|waiting| waiting + len);
        }
    }

    /// Bytes that came in and were not looked at, if that is known. What is read in place is looked at as far as it is no
    /// whole frame.
    pub(super) fn unseen(&self, other: &Self) -> Option<usize> {
        if !self.together {
            return self.waiting;
        }
        let whole = other.lens.iter().scan(0, |end, len| {
            *end += NAME + len;
            Some(*end)
        });
        let whole = whole.take_while(|end| *end <= self.came).last().unwrap_or(0);
        (!self.spoiled).then(|| whole.saturating_sub(self.taken_bytes))
    }

    /// No event was there: all that came in was looked at.
    pub(super) fn nothing(&mut self) {
        self.waiting = Some(0);
        if self.came > self.taken_bytes {
            if self.begun.is_none() {
                (self.again, self.given_again, self.excused) = (Some(self.latest), false, false);
                self.over = None;
            }
            self.begun.get_or_insert(self.latest);
        }
    }

    /// Bytes that came in and were not taken as events, those of skipped frames among them.
    pub(super) fn held(&self) -> usize {
        self.came - self.taken_bytes.min(self.came)
    }

    /// An event came out: the next that the other end sent.
    pub(super) fn take(&mut self, message: &Message, other: &Self) {
        if !self.spoiled {
            let len = other.lens.get(self.taken).copied();
            assert!(len.is_some(), "more than was sent");
            assert_eq!(message.name(), [name(self.taken)], "in order, none lost");
            assert_eq!(Some(message.payload()), len.and_then(|len| PAYLOADS.get(..len)));
        }
        (self.begun, self.again) = (None, None);
        (self.given_again, self.excused, self.over) = (false, false, None);
        self.taken += 1;
        self.taken_bytes += 8 + message.name().len() + message.payload().len();
        assert!(self.taken_bytes <= self.came, "before it came");
    }

    /// Whether a frame that is not whole has had its time.
    fn is_too_slow(&self, timeout: Option<Duration>) -> bool {
        !self.spoiled && self.is_due(self.begun, timeout, Duration::ZERO)
    }

    /// It was told nothing but the time. Is that late for a silence, a frame has its time again, too.
    pub(super) fn told(&mut self, idle: Option<Duration>) {
        if self.is_due(Some(self.heard), idle, STALL) {
            self.excused = true;
            self.again = self.again.and(Some(self.latest));
        }
    }

    /// At rest it has not outlived the time of a frame, which it gives again, once, if it is told late, but for a second
    /// look.
    pub(super) fn at_rest(&mut self, slow: Option<Duration>) {
        if self.spoiled || !self.is_due(self.again, slow, Duration::ZERO) {
            self.over = None;
        } else if !self.given_again && (self.excused || self.is_due(self.begun, slow, STALL)) {
            (self.again, self.given_again, self.over) = (Some(self.latest), true, None);
        } else {
            let over = *self.over.get_or_insert(self.latest);
            assert!(!(over + STALL).is_due(self.latest), "a frame takes too long");
        }
    }

    fn is_due(&self, since: Option<Instant>, timeout: Option<Duration>, after: Duration) -> bool {
        since.zip(timeout).is_some_and(|(since, timeout)| (since + timeout + after).is_due(self.latest))
    }

    /// The end has come, for a reason that is true.
    pub(super) fn end(
        &mut self,
        reason: CloseReason,
        other: &Self,
        idle: Option<Duration>,
        slow: Option<Duration>,
    ) {
        self.ended = Some(reason);
        let due = |after| (self.heard + after).is_due(self.latest);
        let whole = self.came == self.taken_bytes;
        match reason {
            CloseReason::Local => assert!(self.closed && self.is_written()),
            CloseReason::Unwritten { bytes } => assert!(self.closed && bytes == self.queued()),
            CloseReason::Remote => assert!(self.eof && (whole || self.spoiled)),
            CloseReason::CutShort => {
                assert!(self.eof && (!whole || self.spoiled));
                assert!(self.spoiled || self.taken < other.lens.len());
            }
            CloseReason::FrameTooLong { .. } => assert!(self.spoiled),
            CloseReason::FrameTooSlow { bytes } => {
                assert!(bytes > 0 && slow.is_some());
                assert!(self.spoiled || (self.is_too_slow(slow) && bytes == self.held()));
            }
            CloseReason::Idle => assert!(idle.is_some_and(due)),
            CloseReason::Failed(fault) => assert!(self.failed && fault == Fault::Reset),
            other => panic!("{other:?} is not known here"),
        }
    }
}

fn name(at: usize) -> u8 {
    (at % 251) as u8
}

fn header(at: usize, len: usize) -> [u8; NAME] {
    let [a, b, c, d] = ((len + NAME - 4) as u32).to_le_bytes();
    [a, b, c, d, 1, 0, 0, 0, name(at)]
}
