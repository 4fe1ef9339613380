//! What a mesh's handles and its threads share: the machine, and what it asks for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use poolmesh_proto::driver::{HandedOut, Handlers, Lookup, Peers, Severity};
use poolmesh_proto::wire::{Frames, canonical};
use poolmesh_proto::{
    CloseReason, ConnectId, ConnectReport, DialId, Fault, Instant, Link, MeshConfig, MeshEvent, MeshOutput,
    PeerId, Side,
};
use poolmesh_sockets::tcp::{self, HeldPort};
use socket2::SockRef;

use crate::clock::Clock;
use crate::events::{Event, Feed};
use crate::link::{Owner, Peer};
use crate::sockets;

/// How long `close` waits for links beyond their own deadline.
const GRACE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread hands out events of a link, which therefore can't end before the thread goes on.
    static HANDING_OUT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) config: MeshConfig,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) feed: Arc<Feed<Peer>>,
    pub(super) handlers: Handlers<Peer>,
}

pub(super) struct State {
    pub(super) machine: poolmesh_proto::Mesh,
    pub(super) deadline: Option<Instant>,
    /// Whether a thread keeps it.
    pub(super) kept: bool,
    pub(super) links: Peers<Peer>,
    /// Accepted and not asked for yet.
    pub(super) accepted: VecDeque<PeerId>,
    pub(super) reports: BTreeMap<ConnectId, ConnectReport>,
    pub(super) listener: Option<Listener>,
    /// The threads of former listeners.
    pub(super) retired: Vec<JoinHandle<()>>,
    /// Why it is not listening.
    pub(super) listen_error: Option<io::Error>,
    /// A socket that holds the port to listen on.
    pub(super) held: Option<HeldPort>,
    pub(super) closed: bool,
}

/// A listening socket and its thread.
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    socket: Arc<TcpListener>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Stops listening. The thread ends soon after.
    fn stop(self) -> JoinHandle<()> {
        self.stop.store(true, Ordering::Release);
        // Some systems wake the thread out of `accept` by this, and free the port at once.
        if SockRef::from(&*self.socket).shutdown(Shutdown::Both).is_err() {
            // On the others a connection does. If none can be made, the thread is not waiting, or wakes with the next.
            let _ = TcpStream::connect_timeout(&sockets::loopback(self.local), GRACE);
        }
        self.thread
    }
}

impl State {
    fn stop_listening(&mut self) {
        self.retired.extend(self.listener.take().map(Listener::stop));
    }

    pub(super) fn listening(&mut self) -> io::Result<SocketAddr> {
        match (&self.listener, self.listen_error.take()) {
            (_, Some(error)) => Err(error),
            (Some(listener), None) => Ok(listener.local),
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is left in order whoever panics: its methods don't.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change or for the machine's deadline, which it then keeps.
    pub(super) fn wait<'a>(self: &'a Arc<Self>, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut state = match state.deadline {
            Some(deadline) => {
                let waited = self.changed.wait_timeout(state, self.clock.until(deadline));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        let now = self.clock.now();
        if state.deadline.is_some_and(|deadline| deadline <= now) {
            state.machine.handle_timeout(now);
            self.pump(&mut state);
        }
        state
    }

    /// Keeps the machine's time as long as anybody is dialed.
    fn keep_time(self: Arc<Self>) {
        let mut state = self.lock();
        while state.deadline.is_some() && !state.closed {
            state = self.wait(state);
        }
        state.kept = false;
    }

    /// Does what the machine says until it waits.
    pub(super) fn pump(self: &Arc<Self>, state: &mut State) {
        loop {
            match state.machine.poll_output() {
                MeshOutput::Dial { dial, address, timeout } => self.dial(state, dial, address, timeout),
                MeshOutput::Listen { address } => self.listen(state, address),
                MeshOutput::StopListening => state.stop_listening(),
                MeshOutput::Close { peer } => {
                    if let Some(peer) = state.links.get(&peer) {
                        peer.disconnect();
                    }
                }
                MeshOutput::Event(event) => self.tell(state, event),
                MeshOutput::Wait(deadline) => {
                    if deadline != state.deadline {
                        state.deadline = deadline;
                        // Whoever waits for the old one is to wait for this one.
                        self.changed.notify_all();
                    }
                    return;
                }
                // A blocking connect can't be stopped; it ends by its own timeout, and its result is not wanted.
                MeshOutput::Abandon { .. } => {}
            }
        }
    }

    fn tell(&self, state: &mut State, event: MeshEvent) {
        match event {
            MeshEvent::PeerConnected { peer, side, .. } => {
                if side == Side::Accepted {
                    state.accepted.push_back(peer);
                }
                if let Some(peer) = state.links.get(&peer) {
                    self.feed.tell(Event::Connected(peer.clone()));
                }
            }
            MeshEvent::PeerGone { peer, reason, .. } => {
                state.accepted.retain(|accepted| *accepted != peer);
                if let Some(peer) = state.links.remove(&peer) {
                    self.feed.tell(Event::Disconnected(peer, reason));
                }
            }
            MeshEvent::PeerUnreachable { address, failure } => {
                self.feed.tell(Event::Unreachable(address, failure));
            }
            MeshEvent::Listening { address } => self.feed.tell(Event::Listening(address)),
            MeshEvent::ListenFailed { address, fault } => self.feed.tell(Event::ListenFailed(address, fault)),
            MeshEvent::Settled(report) => drop(state.reports.insert(report.id, report)),
            _ => {}
        }
        self.changed.notify_all();
    }

    /// Has a thread make one attempt at a connection.
    fn dial(self: &Arc<Self>, state: &mut State, dial: DialId, address: SocketAddr, timeout: Duration) {
        let shared = Arc::clone(self);
        let attempt = move || {
            // Zero is an error to the system.
            let timeout = timeout.max(Duration::from_millis(1));
            let stream = TcpStream::connect_timeout(&address, timeout);
            shared.dialed(dial, address, stream);
        };
        if let Err(error) = thread::Builder::new().name("poolmesh-dial".into()).spawn(attempt) {
            state.machine.handle_dial_failed(self.clock.now(), dial, Fault::from(&error));
        }
    }

    fn dialed(self: &Arc<Self>, dial: DialId, address: SocketAddr, stream: io::Result<TcpStream>) {
        let prepared = stream.and_then(|stream| sockets::prepare(&stream).map(|()| stream));
        let mut state = self.lock();
        match prepared {
            Ok(stream) => {
                let link = state.machine.handle_dialed(self.clock.now(), dial);
                self.open(state, link, address, Side::Dialed, stream);
            }
            Err(error) => {
                state.machine.handle_dial_failed(self.clock.now(), dial, Fault::from(&error));
                self.pump(&mut state);
            }
        }
    }

    /// Starts a link that the machine has handed out; without one the connection is dropped.
    fn open(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        link: Option<(PeerId, Link)>,
        address: SocketAddr,
        side: Side,
        stream: TcpStream,
    ) {
        let peer = link.map(|link| Peer::new(link, address, side, self.clock));
        if let Some(peer) = &peer {
            state.links.insert(peer.id(), peer.clone());
        }
        // Tells of the peer before its first event can come.
        self.pump(&mut state);
        drop(state);
        if let Some(peer) = peer {
            peer.start(stream, self);
        }
    }

    fn listen(self: &Arc<Self>, state: &mut State, address: SocketAddr) {
        state.stop_listening();
        state.listen_error = None;
        let stop = Arc::new(AtomicBool::new(false));
        let opened = tcp::listen(address, state.held.take()).and_then(|listener| {
            let local = listener.local_addr()?;
            let socket = Arc::new(listener);
            let accept = {
                let (shared, socket, stop) = (Arc::clone(self), Arc::clone(&socket), Arc::clone(&stop));
                move || shared.accept(&socket, &stop)
            };
            let thread = thread::Builder::new().name("poolmesh-accept".into()).spawn(accept)?;
            Ok(Listener { local, socket, stop, thread })
        });
        match opened {
            Ok(listener) => {
                state.machine.handle_listening(listener.local);
                state.listener = Some(listener);
            }
            Err(error) => {
                let fault = Fault::from(&error);
                let described = format!("can't accept links at {address}: {error}");
                state.listen_error = Some(io::Error::new(error.kind(), described));
                state.machine.handle_listen_failed(address, fault);
            }
        }
    }

    /// The accepting thread.
    fn accept(self: &Arc<Self>, listener: &TcpListener, stop: &AtomicBool) {
        loop {
            // While the application does not keep up, connections wait with the system.
            self.feed.wait_until_roomy();
            let accepted = listener.accept();
            if stop.load(Ordering::Acquire) {
                return;
            }
            match accepted {
                Ok((stream, from)) => {
                    if sockets::prepare(&stream).is_ok() {
                        let mut state = self.lock();
                        let link = state.machine.handle_accepted(self.clock.now(), from);
                        self.open(state, link, canonical(from), Side::Accepted, stream);
                    }
                }
                Err(error) => match Severity::of(&error) {
                    Severity::Harmless => {}
                    // Too many open files, say: those who wait in the queue are still there when some are closed.
                    Severity::Pause => thread::park_timeout(Severity::PAUSE),
                    Severity::Fatal => return,
                },
            }
        }
    }

    pub(super) fn close(self: &Arc<Self>) {
        // Nobody waits for the application any more.
        self.feed.close();
        let mut state = self.lock();
        state.closed = true;
        state.held = None;
        state.machine.close();
        self.pump(&mut state);
        self.changed.notify_all();
        let patience = self.clock.now() + self.config.link.close_timeout + GRACE;
        while !state.links.is_empty() && !HANDING_OUT.get() {
            let left = self.clock.until(patience);
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let retired = std::mem::take(&mut state.retired);
        drop(state);
        for accepting in retired {
            if !HANDING_OUT.get() {
                // It ends as soon as it has seen the word to stop.
                let _ = accepting.join();
            }
        }
        // They may hold this very mesh.
        self.handlers.clear();
        self.feed.end();
    }
}

/// What has a mesh dial those who come into a pool, as long as the mesh is there.
pub(crate) struct Dialer(pub(super) Weak<Shared>);

impl Dialer {
    pub(crate) fn dial(&self, address: SocketAddr) {
        let Some(shared) = self.0.upgrade() else { return };
        let mut state = shared.lock();
        state.machine.meet(shared.clock.now(), address);
        shared.pump(&mut state);
        // Nobody waits for this in a call, and so keeps the machine's time.
        if state.deadline.is_some() && !state.kept {
            let keeper = thread::Builder::new().name("poolmesh-meet".into());
            let keep = Arc::clone(&shared);
            state.kept = keeper.spawn(move || keep.keep_time()).is_ok();
        }
    }
}

impl Owner for Shared {
    fn received(self: &Arc<Self>, peer: &Peer, frames: &Frames) {
        let mut handlers = Lookup::new(peer.handlers(), &self.handlers);
        let mut events = frames.iter();
        HANDING_OUT.set(true);
        loop {
            match handlers.hand_out(peer, &mut events, usize::MAX, || peer.is_receiving()) {
                HandedOut::Unhandled(event) => {
                    self.feed.deliver(Event::Received(peer.clone(), event.to_message()));
                }
                HandedOut::Some => {}
                HandedOut::All => break,
            }
        }
        HANDING_OUT.set(false);
    }

    fn ended(self: &Arc<Self>, peer: &Peer, reason: CloseReason) {
        let mut state = self.lock();
        state.machine.handle_closed(self.clock.now(), peer.id(), reason);
        self.pump(&mut state);
    }
}
