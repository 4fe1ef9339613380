//! How a link takes what is to be sent, and hands it out to be written.

use core::mem;
use core::time::Duration;

use super::{Batch, Chunks, Encoded, Link, Refused, SendError, State, Taken, Turn, Write, WriteKind};
use crate::wire::HEADER_LEN;
use crate::{Instant, Payload};

/// How soon a link looks again whether the memory it shares with others has room for a frame that was refused.
const BUDGET_RETRY: Duration = Duration::from_millis(20);

/// Events that follow each other sooner than this are a stream.
const STREAM: Duration = Duration::from_micros(50);

impl Link {
    /// Queues an event, all or nothing.
    ///
    /// # Errors
    /// If there is no room, the event is too long, or the link is closed.
    #[inline]
    pub fn send<'a>(
        &mut self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'a>>,
    ) -> Result<(), SendError> {
        self.begin(Taken::Event);
        self.queue_frame(name.as_ref(), &payload.into())
    }

    /// Notes how what is sent next is taken, if nothing waits to be written, and whether that is so.
    #[inline]
    fn begin(&mut self, taken: Taken) -> bool {
        let idle = self.queue.queued() == 0;
        self.taken = if idle { taken } else { Taken::Behind };
        idle
    }

    #[inline]
    fn queue_frame(&mut self, name: &[u8], payload: &Payload<'_>) -> Result<(), SendError> {
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        let body = name.len().saturating_add(payload.len()).saturating_add(HEADER_LEN / 2);
        let max = self.longest_body();
        if body > max {
            return Err(SendError::TooLong { len: body, max });
        }
        let len = body + HEADER_LEN / 2;
        if !self.room_for(len) || !self.queue.push(name, payload) {
            return Err(self.refuse(len));
        }
        self.stats.sent += 1;
        Ok(())
    }

    /// The longest body that can be sent, in bytes.
    fn longest_body(&self) -> usize {
        let longest = self.queue.longest().saturating_sub(HEADER_LEN / 2);
        self.config.max_frame.min(u32::MAX as usize).min(longest)
    }

    #[cold]
    fn refuse(&mut self, len: usize) -> SendError {
        self.stats.full += 1;
        self.refused = Some(Refused { len, retry: None });
        self.arm_retry();
        SendError::Full
    }

    /// An empty batch of events for this link: see [`send_batch`](Self::send_batch).
    pub fn batch(&self) -> Batch {
        Batch::new(self.longest_body(), self.config.pack.min(self.config.max_queued))
    }

    /// Queues all events of a batch, or none, and empties it. One look at the bounds for all of them, and where links are
    /// shared between threads one lock.
    ///
    /// # Errors
    /// If there is no room, or the link is closed. Then the batch is as it was.
    pub fn send_batch(&mut self, batch: &mut Batch) -> Result<(), SendError> {
        self.begin(Taken::Batch);
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        let len = batch.len();
        if len == 0 {
            self.taken = Taken::Behind;
            return Ok(());
        }
        if !self.room_for(len) || !self.queue.pay(len) {
            return Err(self.refuse(len));
        }
        self.stats.sent += batch.events();
        self.queue.push_paid(batch.take());
        Ok(())
    }

    /// Sends an event that was encoded for many links, all or nothing. If nothing else waits and it is to be written
    /// at once, as [`turn`](Self::turn) would say, it is not queued but handed out: true, and as if
    /// [`poll_transmit`](Self::poll_transmit) had returned it, [`Encoded::bytes`] is what to write now.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_encoded(&mut self, now: Instant, event: &Encoded) -> Result<bool, SendError> {
        let idle = self.begin(Taken::Event);
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        let (len, max) = (event.len(), self.longest_body());
        if len > max.saturating_add(HEADER_LEN / 2) {
            return Err(SendError::TooLong { len: len - HEADER_LEN / 2, max });
        }
        if !self.room_for(len) || !self.queue.pay(len) {
            return Err(self.refuse(len));
        }
        self.stats.sent += 1;
        let at_once = idle && self.is_urgent(now);
        if at_once {
            self.queue.hand_out(len);
        } else {
            self.queue.push_encoded(event.bytes());
        }
        Ok(at_once)
    }

    /// What was handed out to be written is written, and nothing more is asked for yet.
    pub fn handle_written(&mut self) {
        self.queue.settle();
        self.arm_retry();
    }

    /// Who is to write what was just sent, or refused; asked again, nobody. Of what is sent while nothing else waits, that is the sender: a
    /// writer would have to be woken. But an event that follows another within 50 µs, and nothing was heard since, may
    /// be one of many, which better go into one write.
    ///
    /// `now` is asked for only if it makes a difference: to read a clock takes longer than the rest.
    pub fn turn(&mut self, now: impl FnOnce() -> Instant) -> Turn {
        match mem::replace(&mut self.taken, Taken::Behind) {
            Taken::Behind => Turn::Nobody,
            // It was refused.
            Taken::Batch | Taken::Event if self.queue.queued() == 0 => Turn::Writer,
            Taken::Batch => Turn::Sender,
            Taken::Event => {
                if self.is_urgent(now()) {
                    Turn::Sender
                } else {
                    Turn::Writer
                }
            }
        }
    }

    /// How far the link has been sent to: the bytes that were queued so far, in all.
    #[must_use]
    pub fn sent_until(&self) -> u64 {
        self.queue.gone() + self.queue.queued() as u64
    }

    /// Whether a batch is to be sent now, and not when more is written: what the connection doesn't take yet would fill
    /// the caches, and gain nothing. So it waits until all is written that was queued [before](Self::sent_until) its sender
    /// came, but not for what others queue since. A link that is closed says so to whoever sends.
    #[must_use]
    pub fn wants_batch(&self, before: u64) -> bool {
        self.queue.gone() >= before || self.state != State::Open
    }

    /// Whether an event that was queued while nothing else waited is to be written by whoever has queued it, at once:
    /// unless the link has said so less than 50 µs ago and heard nothing since, for then more of the same may come,
    /// which better goes into one write.
    pub(super) fn is_urgent(&mut self, now: Instant) -> bool {
        let again = self.urgent_at.is_some_and(|at| !(at + STREAM).is_due(now));
        if !again {
            self.urgent_at = Some(now);
        }
        !again
    }

    /// Whether the link's own bound lets `len` bytes in. A frame longer than the bound goes alone.
    fn room_for(&self, len: usize) -> bool {
        let queued = self.queue.queued();
        queued == 0 || queued.saturating_add(len) <= self.config.max_queued
    }

    /// Whether a frame that was refused would find room now. Below half of the bound, not at each byte.
    pub(super) fn writable(&self) -> bool {
        self.refused.is_some_and(|refused| self.roomy(refused) && self.queue.budget_has(refused.len))
    }

    pub(super) fn roomy(&self, refused: Refused) -> bool {
        let queued = self.queue.queued();
        queued == 0 || queued <= self.config.max_queued / 2 && self.room_for(refused.len)
    }

    /// Sees to it that a frame refused for want of shared memory is thought of again: nothing on this link would
    /// tell that others have given some back.
    pub(super) fn arm_retry(&mut self) {
        let Some(refused) = self.refused else { return };
        if !self.roomy(refused) || self.queue.budget_has(refused.len) {
            return;
        }
        if refused.retry.is_none_or(|at| at.is_due(self.now)) {
            self.refused = Some(Refused { retry: Some(self.now + BUDGET_RETRY), ..refused });
        }
    }

    /// The next thing to write. To ask for it is to say that the one before has been done.
    pub fn poll_transmit(&mut self) -> Option<Write> {
        if let State::Ended(..) | State::Ending(_) = self.state {
            return None;
        }
        let chunk = self.queue.next();
        self.arm_retry();
        if let Some(chunk) = chunk {
            return Some(Write::Bytes(chunk));
        }
        self.all_written().then_some(Write::Finish)
    }

    /// As [`poll_transmit`](Self::poll_transmit), as much as goes into one vectored write: as many pieces as
    /// [`LinkConfig::pack`](super::LinkConfig::pack) lets, up to the end of a frame. They replace what `chunks` held.
    pub fn poll_chunks(&mut self, chunks: &mut Chunks) -> Option<WriteKind> {
        if let State::Ended(..) | State::Ending(_) = self.state {
            chunks.clear();
            return None;
        }
        let some = self.queue.next_chunks(chunks);
        self.arm_retry();
        if some {
            return Some(WriteKind::Chunks);
        }
        self.all_written().then_some(WriteKind::Finish)
    }

    /// What is queued is written. Whether the writing half is to be closed now.
    fn all_written(&mut self) -> bool {
        match &mut self.state {
            State::Closing { eof: true, .. } => {
                self.end_here();
                false
            }
            State::Closing { finished, .. } if !*finished => {
                *finished = true;
                true
            }
            State::Open | State::Closing { .. } | State::Ending(_) | State::Ended(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::*;
    use crate::{Budget, LinkConfig};

    /// A whole frame.
    const MSG: &[u8] = b"\x07\0\0\0\x03\0\0\0msg";

    #[test]
    fn an_event_is_urgent_unless_one_was_just_before_and_nothing_came() {
        let micros = |micros| Instant::ZERO + Duration::from_micros(micros);
        let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
        assert!(link.is_urgent(micros(1_000)));
        assert!(
            !link.is_urgent(micros(1_001)) && !link.is_urgent(micros(1_049)),
            "more of the same may come"
        );
        assert!(link.is_urgent(micros(1_050)) && !link.is_urgent(micros(1_060)));
        link.handle_bytes(micros(1_061), Bytes::from_static(MSG));
        assert!(link.is_urgent(micros(1_062)), "an answer");
        let mut buffer = BytesMut::from(MSG);
        link.handle_read(micros(1_063), &mut buffer);
        assert!(link.is_urgent(micros(1_064)) && !link.is_urgent(micros(1_065)));
    }

    #[test]
    fn what_is_sent_while_nothing_waits_is_the_senders_to_write() {
        let micros = |micros| Instant::ZERO + Duration::from_micros(micros);
        let mut link = Link::with_budget(LinkConfig::default(), Instant::ZERO, Budget::new(30));
        let mut batch = link.batch();
        assert!(link.wants_batch(link.sent_until()));
        link.send("e", &[0; 10]).unwrap();
        assert_eq!((link.turn(|| micros(1_000)), link.wants_batch(link.sent_until())), (Turn::Sender, false));
        assert_eq!(link.turn(|| panic!("no clock is read")), Turn::Nobody, "it was said");
        assert_eq!(link.send("e", &[0; 10]), Err(SendError::Full));
        assert_eq!(link.turn(|| panic!("no clock is read")), Turn::Nobody, "of what is behind others");
        while link.poll_transmit().is_some() {}
        link.send("e", &[0; 10]).unwrap();
        assert_eq!(link.turn(|| micros(1_001)), Turn::Writer, "of what may be one of many");
        while link.poll_transmit().is_some() {}
        let _ = batch.push("e", &[0; 10]);
        link.send_batch(&mut batch).unwrap();
        assert_eq!(link.turn(|| panic!("no clock is read")), Turn::Sender, "of many at once");
        let _ = batch.push("e", &[]);
        link.send_batch(&mut batch).unwrap();
        assert_eq!(link.turn(|| panic!("no clock is read")), Turn::Nobody);
        while link.poll_transmit().is_some() {}
        assert!(link.send("e", &[0; 30]).is_err());
        assert_eq!(link.turn(|| panic!("no clock is read")), Turn::Writer, "there may be a new deadline");
        let _ = link.send("e", &[]);
        link.close(Instant::ZERO);
        assert!(link.queued() > 0 && link.wants_batch(u64::MAX), "to be told that it is closed");
    }

    #[test]
    fn a_batch_waits_for_what_was_sent_before_and_not_for_what_is_sent_since() {
        let mut link = Link::new(LinkConfig { pack: 19, ..LinkConfig::default() }, Instant::ZERO);
        link.send("e", &[0; 10]).unwrap();
        let before = link.sent_until();
        assert_eq!((before, link.wants_batch(before)), (19, false));
        let _ = link.poll_transmit();
        link.send("e", &[0; 10]).unwrap();
        assert!(!link.wants_batch(before), "it is being written");
        let _ = link.poll_transmit();
        link.send("e", &[0; 10]).unwrap();
        assert_eq!((link.wants_batch(before), link.queued(), link.sent_until()), (true, 38, 57));
    }
}
