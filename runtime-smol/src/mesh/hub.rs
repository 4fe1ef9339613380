//! What a mesh's handles and its tasks share: the machine, and what it asks for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use event_listener::Event as Signal;
use poolmesh_proto::driver::{HandedOut, Handlers, Lookup, Peers, Severity};
use poolmesh_proto::wire::{Frames, canonical};
use poolmesh_proto::{
    CloseReason, ConnectId, ConnectReport, DialId, Fault, Instant, Link, MeshConfig, MeshEvent, MeshOutput,
    PeerId, Side,
};
use poolmesh_sockets::tcp::{self, HeldPort};
use smol::future::{FutureExt, yield_now};
use smol::{Async, Task, Timer};
use socket2::SockRef;

use crate::clock::Clock;
use crate::events::{Event, Feed};
use crate::link::{Owner, Peer};
use crate::sockets;

/// How long `close` waits for links beyond their own deadline.
const GRACE: Duration = Duration::from_secs(1);

/// After so many events of one peer its task lets others go on.
const TURN: usize = 256;

pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) config: MeshConfig,
    pub(super) state: Mutex<State>,
    /// A call has its report, a peer was accepted or is gone, the mesh is closed.
    pub(super) changed: Signal,
    /// The keeper of the time is to look at the deadline anew.
    pub(super) hurry: Signal,
    pub(super) feed: Arc<Feed>,
    pub(super) handlers: Handlers<Peer>,
}

pub(super) struct State {
    pub(super) machine: poolmesh_proto::Mesh,
    pub(super) deadline: Option<Instant>,
    pub(super) links: Peers<Peer>,
    /// Accepted and not asked for yet.
    pub(super) accepted: VecDeque<PeerId>,
    pub(super) reports: BTreeMap<ConnectId, ConnectReport>,
    pub(super) listener: Option<Listener>,
    /// The task of the listener that was there until the mesh was closed.
    pub(super) retired: Option<Task<()>>,
    /// Why it is not listening.
    pub(super) listen_error: Option<io::Error>,
    /// A socket that holds the port to listen on.
    pub(super) held: Option<HeldPort>,
    /// The attempts under way. One that is dropped is stopped.
    pub(super) dialing: BTreeMap<DialId, Task<()>>,
    pub(super) closed: bool,
}

/// A listening socket and its task.
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    socket: Arc<Async<TcpListener>>,
    task: Task<()>,
}

impl Listener {
    /// Stops listening. The socket is closed when the task is dropped.
    fn stop(self) -> Task<()> {
        // Some systems free the port at once by this.
        let _ = SockRef::from(self.socket.get_ref()).shutdown(Shutdown::Both);
        self.task
    }
}

impl State {
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

    /// The keeper of the machine's time. Ends when the mesh is closed and nothing is left to wait for.
    pub(super) async fn keep_time(self: Arc<Self>) {
        loop {
            let hurry = self.hurry.listen();
            let deadline = {
                let mut state = self.lock();
                state.machine.handle_timeout(self.clock.now());
                self.pump(&mut state);
                if state.closed {
                    return;
                }
                state.deadline
            };
            hurry.or(self.clock.reach(deadline)).await;
        }
    }

    /// Does what the machine says until it waits.
    pub(super) fn pump(self: &Arc<Self>, state: &mut State) {
        loop {
            match state.machine.poll_output() {
                MeshOutput::Dial { dial, address, timeout } => self.dial(state, dial, address, timeout),
                MeshOutput::Listen { address } => self.listen(state, address),
                MeshOutput::StopListening => state.retired = state.listener.take().map(Listener::stop),
                MeshOutput::Close { peer } => {
                    if let Some(peer) = state.links.get(&peer) {
                        peer.disconnect();
                    }
                }
                MeshOutput::Event(event) => self.tell(state, event),
                MeshOutput::Abandon { dial } => drop(state.dialing.remove(&dial)),
                MeshOutput::Wait(deadline) => {
                    if deadline != state.deadline {
                        state.deadline = deadline;
                        self.hurry.notify(usize::MAX);
                    }
                    return;
                }
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
        self.changed.notify(usize::MAX);
    }

    /// Has a task make one attempt at a connection.
    fn dial(self: &Arc<Self>, state: &mut State, dial: DialId, address: SocketAddr, timeout: Duration) {
        let shared = Arc::clone(self);
        let attempt = async move {
            let late = async {
                Timer::after(timeout).await;
                Err(io::ErrorKind::TimedOut.into())
            };
            let stream = Async::<TcpStream>::connect(address).or(late).await;
            shared.dialed(dial, address, stream);
        };
        state.dialing.insert(dial, smol::spawn(attempt));
    }

    fn dialed(self: &Arc<Self>, dial: DialId, address: SocketAddr, stream: io::Result<Async<TcpStream>>) {
        let prepared = stream.and_then(|stream| sockets::prepare(&stream).map(|()| stream));
        let mut state = self.lock();
        // Its own handle: dropping it would stop it here.
        if let Some(attempt) = state.dialing.remove(&dial) {
            attempt.detach();
        }
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
        stream: Async<TcpStream>,
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
        // The task of the one before is cancelled; only a close waits for that.
        drop(state.listener.take().map(Listener::stop));
        state.listen_error = None;
        let opened = tcp::listen(address, state.held.take()).and_then(|listener| {
            let local = listener.local_addr()?;
            let socket = Arc::new(Async::new(listener)?);
            let task = smol::spawn(Arc::clone(self).accept(Arc::clone(&socket)));
            Ok(Listener { local, socket, task })
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

    /// The accepting task.
    async fn accept(self: Arc<Self>, listener: Arc<Async<TcpListener>>) {
        loop {
            // While the application does not keep up, connections wait with the system.
            self.feed.wait_until_roomy().await;
            // Connections that come without end must not keep the rest waiting.
            yield_now().await;
            match listener.accept().await {
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
                    Severity::Pause => drop(Timer::after(Severity::PAUSE).await),
                    Severity::Fatal => return,
                },
            }
        }
    }

    pub(super) fn begin_close(self: &Arc<Self>) {
        // Nobody waits for the application any more.
        self.feed.close();
        let mut state = self.lock();
        state.closed = true;
        state.held = None;
        state.machine.close();
        self.pump(&mut state);
        self.end_if_empty(&state);
        self.changed.notify(usize::MAX);
        self.hurry.notify(usize::MAX);
    }

    /// A closed mesh without links has nothing more to tell.
    fn end_if_empty(&self, state: &State) {
        if state.closed && state.links.is_empty() {
            // They may hold this very mesh.
            self.handlers.clear();
            self.feed.end();
        }
    }

    pub(super) async fn wait_for_links(&self) {
        let retired = self.lock().retired.take();
        if let Some(accepting) = retired {
            accepting.cancel().await;
        }
        let patience = self.clock.now() + self.config.link.close_timeout + GRACE;
        loop {
            let changed = self.changed.listen();
            if self.lock().links.is_empty() || self.clock.until(patience).is_zero() {
                return self.feed.end();
            }
            changed.or(self.clock.reach(Some(patience))).await;
        }
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
        drop(state);
        shared.hurry.notify(1);
    }
}

impl Owner for Shared {
    async fn received(self: &Arc<Self>, peer: &Peer, frames: &Frames) {
        let mut handlers = Lookup::new(peer.handlers(), &self.handlers);
        let mut events = frames.iter();
        loop {
            match handlers.hand_out(peer, &mut events, TURN, || peer.is_receiving()) {
                HandedOut::Unhandled(event) => {
                    self.feed.deliver(Event::Received(peer.clone(), event.to_message())).await;
                }
                // A peer that sends without end must not keep the others of the executor waiting.
                HandedOut::Some => yield_now().await,
                HandedOut::All => break,
            }
        }
    }

    fn ended(self: &Arc<Self>, peer: &Peer, reason: CloseReason) {
        let mut state = self.lock();
        state.machine.handle_closed(self.clock.now(), peer.id(), reason);
        self.pump(&mut state);
        self.end_if_empty(&state);
    }
}
