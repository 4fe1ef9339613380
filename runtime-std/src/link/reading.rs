//! The thread of a link that reads, and hands out what came.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::panic;
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;
use poolmesh_proto::{CloseReason, Fault, Instant, LinkEvents};
use poolmesh_sockets::tcp;

use super::{Owner, Peer, State};
use crate::sockets::{self, ReadTimeout};

impl Peer {
    /// Reads until the end. Should a handler panic, the link ends, so that the mesh doesn't wait for it.
    pub(super) fn read(&self, stream: &TcpStream, owner: &Arc<impl Owner>) {
        let reading = panic::AssertUnwindSafe(|| self.read_on(stream, owner));
        if let Err(payload) = panic::catch_unwind(reading) {
            let reason = CloseReason::Failed(Fault::HandlerPanicked);
            self.shared.abandon();
            self.end(stream, owner, reason);
            panic::resume_unwind(payload);
        }
    }

    /// Hands events out, then reads on.
    fn read_on(&self, stream: &TcpStream, owner: &Arc<impl Owner>) {
        let shared = &self.shared;
        let mut buffer = BytesMut::new();
        let mut timeout = ReadTimeout::default();
        let mut events = shared.lock().link.poll_events();
        loop {
            match events {
                Some(LinkEvents::Received(frames)) => owner.received(self, &frames),
                Some(LinkEvents::Closed(reason)) => return self.end(stream, owner, reason),
                Some(LinkEvents::Writable) => shared.wake_senders(&shared.lock()),
                Some(_) => {}
                None => {
                    events = self.wait_and_read(stream, &mut buffer, &mut timeout);
                    continue;
                }
            }
            let mut state = shared.lock();
            state.link.handle_timeout(shared.clock.now());
            events = state.link.poll_events();
        }
    }

    /// There is no event: reads once, or waits if nothing is to be read any more.
    fn wait_and_read(
        &self,
        stream: &TcpStream,
        buffer: &mut BytesMut,
        timeout: &mut ReadTimeout,
    ) -> Option<LinkEvents> {
        let shared = &self.shared;
        let mut state = shared.lock();
        let interest = state.link.interest();
        if !interest.read {
            // The peer has closed, and the last of ours is being written.
            return shared.wait_for_room(state, interest.deadline).link.poll_events();
        }
        state.link.make_room(buffer);
        drop(state);
        let wait = interest.deadline.map(|deadline| shared.clock.until(deadline));
        let read = timeout.set(stream, wait).and_then(|()| tcp::read(stream, buffer));
        let now = shared.clock.now();
        let mut state = shared.lock();
        self.take_in(&mut state, now, read, buffer);
        if !state.link.is_open() {
            shared.wake_writer(&state);
        }
        state.link.poll_events()
    }

    fn take_in(&self, state: &mut State, now: Instant, read: io::Result<usize>, buffer: &mut BytesMut) {
        match read {
            Ok(0) => state.link.handle_eof(now),
            Ok(_) => state.link.handle_read(now, buffer),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if sockets::timed_out(&error) => state.link.handle_timeout(now),
            Err(error) => state.link.handle_failure(now, Fault::from(&error)),
        }
    }

    fn end(&self, stream: &TcpStream, owner: &Arc<impl Owner>, reason: CloseReason) {
        // That the connection is gone already is no harm.
        let _ = stream.shutdown(Shutdown::Both);
        let mut state = self.shared.lock();
        // The threads alone hold it now.
        state.stream = None;
        self.shared.wake_all(&state);
        drop(state);
        let mut ending = self.shared.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if ending.reason.is_some() {
            return;
        }
        ending.reason = Some(reason);
        let handlers = std::mem::take(&mut ending.handlers);
        drop(ending);
        owner.ended(self, reason);
        for handler in handlers {
            handler(self, reason);
        }
        // They may hold this very peer.
        self.shared.handlers.clear();
    }
}
