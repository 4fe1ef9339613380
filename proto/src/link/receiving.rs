//! How a link takes what has come, and hands it out.

use bytes::{Bytes, BytesMut};

use super::{CloseReason, Link, LinkEvent, LinkEvents, State};
use crate::Instant;
use crate::wire::{Frame, Frames, Message};

impl Link {
    /// Takes in bytes that came over the connection. Events are slices of them.
    ///
    /// None at all say that the connection wasn't read until now, for want of room at the driver's: neither silence nor
    /// slowness, which count anew from here.
    pub fn handle_bytes(&mut self, now: Instant, bytes: Bytes) {
        self.hear(now);
        if bytes.is_empty() {
            self.begun = self.begun.map(|_| self.heard);
        } else if self.state == State::Open {
            // As well: they may be the rest of a frame that is waited for.
            self.reader.push(bytes);
        }
        self.tick(now);
    }

    /// Makes room to read into, behind what `buffer` holds: see [`handle_read`](Self::handle_read).
    pub fn make_room(&mut self, buffer: &mut BytesMut) {
        self.reader.make_room(buffer);
    }

    /// Takes in what was read into `buffer`, at least a byte. It is another way than [`handle_bytes`](Self::handle_bytes),
    /// in which nothing is copied and, once it goes on, nothing allocated.
    ///
    /// The driver keeps one `buffer` for all of the link's life, empty at first. Before each read it has
    /// [`make_room`](Self::make_room) see to it that there is memory, then reads into the buffer's spare capacity
    /// (`BytesMut::spare_capacity_mut`, for io_uring or socket2's `recv`; `std::io::Read` takes memory that was written before:
    /// resize the buffer to its capacity, read, and truncate it). What
    /// is left in the buffer is the start of a frame, whose rest has to come this way, too: what is left counts as
    /// received with the bytes behind it, so bytes that come meanwhile by [`handle_bytes`](Self::handle_bytes) would
    /// stand before it. Events are slices of the buffer; while the application holds one, the link takes other memory:
    /// blocks of at most 256 KiB, or a frame, of which a quarter may lie idle.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use poolmesh_proto::{Instant, Link, LinkConfig, LinkEvents};
    ///
    /// let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
    /// let mut buffer = BytesMut::new();
    /// link.make_room(&mut buffer);
    /// buffer.extend_from_slice(b"\x09\0\0\0\x03\0\0\0msghi"); // a real driver reads
    /// link.handle_read(Instant::ZERO, &mut buffer);
    /// let Some(LinkEvents::Received(frames)) = link.poll_events() else { panic!() };
    /// for event in &frames {
    ///     assert_eq!((event.name(), event.payload()), (&b"msg"[..], &b"hi"[..]));
    /// }
    /// ```
    pub fn handle_read(&mut self, now: Instant, buffer: &mut BytesMut) {
        self.hear(now);
        if self.state == State::Open {
            self.reader.read_from(buffer);
        } else {
            buffer.clear();
        }
        self.tick(now);
        if self.state == State::Open && self.reader.waiting() == 0 {
            // What came is looked at already: there is nothing to poll for.
            self.frame_goes_on();
        }
    }

    /// The peer is alive. Before the time is looked at: after a stall of the driver, what waited proves it.
    fn hear(&mut self, now: Instant) {
        self.heard = self.now.max(now);
        self.urgent_at = None;
    }

    /// The next event, none if there is none now.
    ///
    /// An application that takes its time over an event doesn't make its peer idle: from then until the next is asked
    /// for, [`handle_timeout`](Self::handle_timeout) counts no silence. So a driver that waits for its application
    /// says what time it is before it asks again.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.poll(Self::next_message, LinkEvent::Received, LinkEvent::Writable, LinkEvent::Closed)
    }

    /// As [`poll_event`](Self::poll_event), and all events at once that came in one piece. Once the link is closed, the
    /// rest of them is to be dropped, like what the peer sends after.
    pub fn poll_events(&mut self) -> Option<LinkEvents> {
        self.poll(Self::next_frames, LinkEvents::Received, LinkEvents::Writable, LinkEvents::Closed)
    }

    #[inline]
    fn poll<T, E>(
        &mut self,
        next: impl FnOnce(&mut Self) -> Option<T>,
        received: impl FnOnce(T) -> E,
        writable: E,
        closed: impl FnOnce(CloseReason) -> E,
    ) -> Option<E> {
        self.holding = false;
        if let State::Open = self.state {
            if self.writable() {
                self.refused = None;
                return Some(writable);
            }
        }
        if let State::Open | State::Ending(_) = self.state {
            if let Some(item) = next(self) {
                self.holding = true;
                return Some(received(item));
            }
        }
        if let State::Open = self.state {
            self.end_if_overdue();
        }
        if let State::Ending(reason) = self.state {
            let within = reason == CloseReason::Remote && self.reader.unfinished() > 0;
            self.end(if within { CloseReason::CutShort } else { reason });
        }
        match self.state {
            State::Ended(reason, false) => {
                self.state = State::Ended(reason, true);
                Some(closed(reason))
            }
            State::Open | State::Closing { .. } | State::Ending(_) | State::Ended(..) => None,
        }
    }

    /// A frame has ended.
    fn frame_ended(&mut self) {
        (self.begun, self.stood_still, self.second_look) = (None, false, None);
    }

    /// There is no further whole frame.
    fn frame_goes_on(&mut self) {
        if self.reader.unfinished() > 0 && self.begun.is_none() {
            (self.begun, self.stood_still) = (Some(self.now), false);
        }
    }

    fn next_frames(&mut self) -> Option<Frames> {
        match self.reader.next_frames() {
            Ok(Some(frames)) => {
                self.frame_ended();
                self.stats.received += frames.messages() as u64;
                self.stats.empty += frames.empty() as u64;
                self.stats.malformed += frames.malformed() as u64;
                return Some(frames);
            }
            Ok(None) => self.frame_goes_on(),
            Err(error) => self.end(CloseReason::FrameTooLong { len: error.len }),
        }
        None
    }

    fn next_message(&mut self) -> Option<Message> {
        loop {
            let frame = self.reader.next_frame();
            if let Ok(Some(_)) = frame {
                self.frame_ended();
            }
            match frame {
                Ok(Some(Frame::Message(message))) => {
                    self.stats.received += 1;
                    return Some(message);
                }
                Ok(Some(Frame::Empty)) => self.stats.empty += 1,
                Ok(Some(Frame::Malformed)) => self.stats.malformed += 1,
                Ok(None) => {
                    self.frame_goes_on();
                    return None;
                }
                Err(error) => {
                    self.end(CloseReason::FrameTooLong { len: error.len });
                    return None;
                }
            }
        }
    }
}
