//! What a link's handles and the two halves of its task share.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::{Event as Signal, EventListener};
use poolmesh_proto::driver::Handlers;
use poolmesh_proto::{
    Chunks, CloseReason, Encoded, Fault, Instant, Link, PeerId, SendError, Side, Turn, WriteKind,
};
use smol::Async;

use super::{OnDisconnect, Peer};
use crate::clock::Clock;

pub(super) struct Shared {
    pub(super) id: PeerId,
    pub(super) address: SocketAddr,
    pub(super) side: Side,
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// There may be something to write, or the end has come.
    pub(super) work: Signal,
    /// There may be room for more.
    pub(super) room: Signal,
    /// Whether the link was closed here.
    closed: AtomicBool,
    pub(super) handlers: Handlers<Peer>,
    pub(super) ending: Mutex<Ending>,
}

/// What the lock is for.
pub(super) struct State {
    pub(super) link: Link,
    /// The connection, while there is one.
    pub(super) stream: Option<Arc<Async<TcpStream>>>,
    /// What a sender has begun to write, and could not end.
    pub(super) unwritten: Chunks,
}

#[derive(Default)]
pub(super) struct Ending {
    pub(super) reason: Option<CloseReason>,
    pub(super) handlers: Vec<OnDisconnect>,
}

impl Shared {
    pub(super) fn new(id: PeerId, link: Link, address: SocketAddr, side: Side, clock: Clock) -> Self {
        Self {
            id,
            address,
            side,
            clock,
            state: Mutex::new(State { link, stream: None, unwritten: Chunks::default() }),
            work: Signal::new(),
            room: Signal::new(),
            closed: AtomicBool::new(false),
            handlers: Handlers::new(),
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

    /// Queues an event or many, and writes them if that is the sender's.
    pub(super) fn send(
        &self,
        send: impl FnOnce(&mut Link) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let mut state = self.lock();
        let result = send(&mut state.link);
        self.take_turn(state);
        result
    }

    /// The same; if there is no room, what tells that there may be. To listen takes memory: most of the time there is room.
    pub(super) fn send_or_listen(
        &self,
        send: impl FnOnce(&mut Link) -> Result<(), SendError>,
    ) -> Result<Result<(), SendError>, EventListener> {
        let mut state = self.lock();
        let result = send(&mut state.link);
        // From before anything can change.
        let room = (result == Err(SendError::Full)).then(|| self.room.listen());
        self.take_turn(state);
        room.map_or(Ok(result), Err)
    }

    /// Sends an event that was encoded for many, at about `now`.
    pub(super) fn send_encoded(&self, now: Instant, event: &Encoded) -> Result<(), SendError> {
        let mut state = self.lock();
        let State { link, stream, unwritten } = &mut *state;
        let result = link.send_encoded(now, event);
        let wake = if let Ok(true) = result {
            // An error is one that the writer will meet, too.
            let write = |stream: &Arc<Async<TcpStream>>| stream.get_ref().write(event.bytes()).unwrap_or(0);
            let written = stream.as_ref().map_or(0, write);
            if written == event.len() {
                link.handle_written();
            } else {
                *unwritten = event.rest(written);
            }
            written < event.len()
        } else {
            link.turn(|| now) == Turn::Writer
        };
        drop(state);
        if wake {
            self.work.notify(1);
        }
        result.map(drop)
    }

    /// Writes what was just queued, or has it written.
    fn take_turn(&self, mut state: MutexGuard<'_, State>) {
        let wake = match state.link.turn(|| self.clock.now()) {
            Turn::Sender => !state.write_at_once(),
            Turn::Writer => true,
            Turn::Nobody => false,
        };
        drop(state);
        if wake {
            self.work.notify(1);
        }
    }
}

impl State {
    /// Writes what is queued, as much as the connection takes without waiting. The rest is the writer's. Whether there is
    /// none.
    fn write_at_once(&mut self) -> bool {
        let Some(stream) = &self.stream else { return false };
        while let Some(WriteKind::Chunks) = self.link.poll_chunks(&mut self.unwritten) {
            // An error is one that the writer will meet, too.
            let written = self.unwritten.write_to(stream.get_ref()).unwrap_or(0);
            self.unwritten.advance(written);
            if !self.unwritten.is_empty() {
                return false;
            }
        }
        true
    }
}
