//! What a link's handles and its two threads share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use poolmesh_proto::driver::Handlers;
use poolmesh_proto::{
    Batch, Chunks, CloseReason, Encoded, Fault, Instant, Link, Payload, PeerId, SendError, Side, Turn,
    WriteKind,
};

use super::{OnDisconnect, Peer};
use crate::clock::Clock;
use crate::sync::{
    Condvar, Connection, Mutex, MutexGuard, write_chunks_without_waiting, write_without_waiting,
};

pub(crate) struct Shared {
    pub(super) id: PeerId,
    pub(super) address: SocketAddr,
    pub(super) side: Side,
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// There may be something to write, or the end has come.
    work: Condvar,
    /// There may be room for more.
    room: Condvar,
    /// Whether the link was closed here.
    closed: AtomicBool,
    pub(super) handlers: Handlers<Peer>,
    pub(super) ending: Mutex<Ending>,
}

/// What the lock is for.
pub(crate) struct State {
    pub(super) link: Link,
    /// The connection, while there is one.
    pub(super) stream: Option<Arc<Connection>>,
    /// What a sender has begun to write, and could not end.
    unwritten: Chunks,
    /// Whether the writer waits for work. To wake nobody costs a system call, too.
    writer_waits: bool,
    /// How many wait for room.
    wait_for_room: usize,
}

#[derive(Default)]
pub(super) struct Ending {
    pub(super) reason: Option<CloseReason>,
    pub(super) handlers: Vec<OnDisconnect>,
}

impl Shared {
    pub(super) fn new(id: PeerId, link: Link, address: SocketAddr, side: Side, clock: Clock) -> Self {
        let state =
            State { link, stream: None, unwritten: Chunks::default(), writer_waits: false, wait_for_room: 0 };
        Self {
            id,
            address,
            side,
            clock,
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            closed: AtomicBool::new(false),
            handlers: Handlers::default(),
            ending: Mutex::default(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is left in order whoever panics: its methods don't.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is handed out, of what was received already either.
    pub(super) fn stop_receiving(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_receiving(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Ends the link, whatever it is about.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.link.handle_failure(self.clock.now(), Fault::HandlerPanicked);
        while state.link.poll_event().is_some() {}
    }

    /// Queues an event, and writes it if that is the sender's.
    pub(super) fn send(
        &self,
        state: &mut State,
        name: &[u8],
        payload: &Payload<'_>,
    ) -> Result<(), SendError> {
        let result = state.link.send(name, payload);
        self.take_turn(state);
        result
    }

    /// Sends an event that was encoded for many, at about `now`.
    pub(super) fn send_encoded(&self, now: Instant, event: &Encoded) -> Result<(), SendError> {
        let mut state = self.lock();
        let State { link, stream, unwritten, .. } = &mut *state;
        let result = link.send_encoded(now, event);
        if let Ok(true) = result {
            // An error is one that the writer will meet, too.
            let bytes = event.bytes();
            let written = stream.as_ref().map_or(0, |stream| write_without_waiting(stream, bytes));
            if written == bytes.len() {
                link.handle_written();
            } else {
                *unwritten = event.rest(written);
                self.wake_writer(&state);
            }
        } else if let Turn::Writer = link.turn(|| now) {
            self.wake_writer(&state);
        }
        result.map(drop)
    }

    /// Queues many events, and writes them if nothing else waits to be written.
    pub(super) fn send_batch(&self, state: &mut State, batch: &mut Batch) -> Result<(), SendError> {
        let result = state.link.send_batch(batch);
        self.take_turn(state);
        result
    }

    /// Writes what was just queued, or has it written.
    fn take_turn(&self, state: &mut State) {
        match state.link.turn(|| self.clock.now()) {
            Turn::Sender => self.write_at_once(state),
            Turn::Writer => self.wake_writer(state),
            Turn::Nobody => {}
        }
    }

    /// Writes what is queued, as much as the connection takes without waiting. The rest is the writer's.
    fn write_at_once(&self, state: &mut State) {
        let State { link, stream: Some(stream), unwritten, .. } = state else {
            return self.wake_writer(state);
        };
        while let Some(WriteKind::Chunks) = link.poll_chunks(unwritten) {
            // An error is one that the writer will meet, too.
            write_chunks_without_waiting(stream, unwritten);
            if !unwritten.is_empty() {
                return self.wake_writer(state);
            }
        }
    }

    /// There is something to write.
    pub(super) fn wake_writer(&self, state: &State) {
        if state.writer_waits {
            self.work.notify_one();
        }
    }

    /// There is room for more.
    pub(super) fn wake_senders(&self, state: &State) {
        if state.wait_for_room > 0 {
            self.room.notify_all();
        }
    }

    /// Something has changed for all.
    pub(super) fn wake_all(&self, state: &State) {
        self.wake_writer(state);
        self.wake_senders(state);
    }

    /// Waits until there may be room, or for `deadline`, which it then keeps.
    pub(super) fn wait_for_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        state.wait_for_room += 1;
        let mut state = self.wait(state, &self.room, deadline);
        state.wait_for_room -= 1;
        state
    }

    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        changed: &Condvar,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        let mut state = match deadline {
            Some(deadline) => {
                let waited = changed.wait_timeout(state, self.clock.until(deadline));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        state.link.handle_timeout(self.clock.now());
        state
    }

    /// Waits for the next thing to write, which says that the one before is done; none at the end.
    pub(crate) fn next_write(&self, chunks: &mut Chunks) -> Option<WriteKind> {
        let mut state = self.lock();
        loop {
            if !state.unwritten.is_empty() {
                *chunks = std::mem::take(&mut state.unwritten);
                return Some(WriteKind::Chunks);
            }
            let queued = state.link.queued();
            let write = state.link.poll_chunks(chunks);
            // Asking has made room; or others that share the memory have.
            let deadline = state.link.interest().deadline;
            if state.link.queued() < queued || deadline == Some(Instant::ZERO) {
                self.wake_senders(&state);
            }
            if write.is_some() || state.link.is_ended() {
                return write;
            }
            state.writer_waits = true;
            // Events are the reader's to poll; that some wait is no reason to look again.
            state = self.wait(state, &self.work, deadline.filter(|at| *at > Instant::ZERO));
            state.writer_waits = false;
        }
    }
}

/// What a model of the threads does in place of the reading thread, and of the start.
#[cfg(all(test, poolmesh_loom))]
impl Shared {
    /// Senders may write to this connection.
    pub(crate) fn connect(&self, connection: &Arc<Connection>) {
        self.lock().stream = Some(Arc::clone(connection));
    }

    /// Looks for an event.
    pub(crate) fn look(&self) {
        let mut state = self.lock();
        if let Some(poolmesh_proto::LinkEvent::Writable) = state.link.poll_event() {
            self.wake_senders(&state);
        }
    }

    /// The peer has closed, too.
    pub(crate) fn eof(&self) {
        let mut state = self.lock();
        state.link.handle_eof(self.clock.now());
        self.wake_writer(&state);
    }
}
