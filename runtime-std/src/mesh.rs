//! The peers of a program: dialing and accepting threads around the mesh machine.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::driver::{ConnectFailed, Handlers, Severity};
use poolmesh_proto::{
    CloseReason, ConnectError, ConnectId, ConnectReport, DialId, Fault, Instant, Link, MeshConfig, MeshEvent,
    MeshOutput, MeshStats, Message, PeerId, PoolInfo, SendError, Side,
};
use socket2::Socket;

use crate::clock::Clock;
use crate::events::{Event, Events, Feed};
use crate::link::{Owner, Peer};
use crate::{Client, PoolReport, sockets};

/// How long `close` waits for links beyond their own deadline.
const GRACE: Duration = Duration::from_secs(1);

thread_local! {
    /// Whether this thread hands out events of a link, which therefore can't end before the thread goes on.
    static HANDING_OUT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The peers of a program, and the links to them. Clones are the same mesh.
///
/// gop2p: `p2p.CreateHandle`. What peers send goes to the handler for the event's name, of the peer or else of the
/// mesh; without one to [`Events`], and without those nowhere: that is no error. It is closed when the last clone is
/// dropped.
///
/// ```no_run
/// use poolmesh_std::{Client, Mesh, Packet};
///
/// let client = Client::connect("127.0.0.1:6969")?;
/// let mesh = Mesh::new();
/// mesh.on("msg", |peer, event| println!("{}: {:?}", peer.address(), event.reader().string()));
/// let pool = client.join("306c97f9-4b65-451f-a914-68a573d71508".parse()?)?;
/// let report = mesh.connect_to_pool(&client, &pool)?;
/// println!("{} connected, {} not", report.connected.len(), report.failed.len());
/// mesh.send_to_all("msg", Packet::new().string("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mesh {
    handle: Arc<Handle>,
}

/// Closes the mesh when the last clone goes; its threads hold only what is shared.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    config: MeshConfig,
    state: Mutex<State>,
    changed: Condvar,
    feed: Arc<Feed>,
    handlers: Handlers<Peer>,
}

#[derive(Debug)]
struct State {
    machine: poolmesh_proto::Mesh,
    deadline: Option<Instant>,
    links: BTreeMap<PeerId, Peer>,
    /// Accepted and not asked for yet.
    accepted: VecDeque<PeerId>,
    reports: BTreeMap<ConnectId, ConnectReport>,
    listener: Option<Listener>,
    /// Why it is not listening.
    listen_error: Option<io::Error>,
    /// A socket that holds the port to listen on.
    held: Option<Socket>,
    closed: bool,
}

/// A listening socket and the word for its thread to end.
#[derive(Debug)]
struct Listener {
    local: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread out of `accept`. If it can't be reached, it is not waiting there.
        let _ = TcpStream::connect_timeout(&sockets::loopback(self.local), GRACE);
    }
}

impl Default for Mesh {
    fn default() -> Self {
        Self::new()
    }
}

impl Mesh {
    /// A mesh without peers.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(MeshConfig::default())
    }

    /// A mesh without peers, with limits.
    #[must_use]
    pub fn with_config(config: MeshConfig) -> Self {
        let state = State {
            machine: poolmesh_proto::Mesh::new(config.clone()),
            deadline: None,
            links: BTreeMap::new(),
            accepted: VecDeque::new(),
            reports: BTreeMap::new(),
            listener: None,
            listen_error: None,
            held: None,
            closed: false,
        };
        let shared = Shared {
            clock: Clock::start(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            feed: Arc::new(Feed::new(&config)),
            handlers: Handlers::default(),
            config,
        };
        Self { handle: Arc::new(Handle { shared: Arc::new(shared) }) }
    }

    /// Accepts links at this TCP port on all IPv4 interfaces, and no more where it did before; port 0 picks a free
    /// one. gop2p: `Listen`.
    ///
    /// # Errors
    /// If the port can't be had, or the mesh was closed.
    pub fn listen(&self, port: u16) -> io::Result<SocketAddr> {
        self.listen_on((Ipv4Addr::UNSPECIFIED, port).into())
    }

    /// As [`listen`](Self::listen), at an address of choice.
    ///
    /// # Errors
    /// If the address can't be had, or the mesh was closed.
    pub fn listen_on(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let mut state = self.shared().lock();
        state.machine.listen(address).map_err(|error| io::Error::new(io::ErrorKind::NotConnected, error))?;
        self.shared().pump(&mut state);
        state.listening()
    }

    /// Opens a link to the peer at `address`. One that stands already is given again. gop2p: `ConnectToPeer`.
    ///
    /// # Errors
    /// If the peer can't be reached within the bounds of the config, or the mesh was closed.
    pub fn connect_to_peer(
        &self,
        address: impl ToSocketAddrs + std::fmt::Debug,
    ) -> Result<Peer, ConnectFailed> {
        let address = sockets::resolve(address).map_err(ConnectFailed::Resolve)?;
        let (report, peers) = self.connect(|machine, now| machine.connect(now, [address]))?;
        match (peers.into_iter().next(), report.failed.first()) {
            (Some(peer), _) => Ok(peer),
            (None, Some((address, failure))) => {
                Err(ConnectFailed::Unreachable { address: *address, failure: *failure })
            }
            (None, None) => Err(ConnectFailed::Gone { address }),
        }
    }

    /// Connects to a pool that `client` has created or joined: accepts links on the TCP port with the client's
    /// number, and dials every listed peer but itself. Returns when each is connected or given up; that some were
    /// is no error but in the report. gop2p: `ConnectToPool` and `Listen`.
    ///
    /// # Errors
    /// If the pool lists more peers than may be dialed at a time, or the mesh was closed.
    pub fn connect_to_pool(&self, client: &Client, pool: &PoolInfo) -> Result<PoolReport, ConnectFailed> {
        let held = client.take_held();
        if held.is_some() {
            self.shared().lock().held = held;
        }
        let (report, connected) = self.connect(|machine, now| machine.enter(now, pool))?;
        let listening = self.shared().lock().listening();
        Ok(PoolReport { connected, failed: report.failed, listening })
    }

    /// Waits for a peer that was accepted and is connected still; none if the mesh was closed. gop2p: `Accept`.
    /// The same peers come as [`Event::Connected`].
    #[must_use]
    pub fn accept(&self) -> Option<Peer> {
        let mut state = self.shared().lock();
        loop {
            if let Some(id) = state.accepted.pop_front() {
                if let Some(peer) = state.links.get(&id) {
                    return Some(peer.clone());
                }
            } else if state.closed {
                return None;
            } else {
                state = self.shared().wait(state);
            }
        }
    }

    /// The events of this mesh, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.shared().feed))
    }

    /// Has `handler` called with every event of that name from any peer, on the thread of the peer's link. Peers on
    /// different links are handled at the same time.
    pub fn on(&self, name: &str, handler: impl Fn(&Peer, Message) + Send + Sync + 'static) {
        self.shared().handlers.set(name, Arc::new(handler));
    }

    /// Takes the handler for that name away.
    pub fn off(&self, name: &str) {
        self.shared().handlers.remove(name);
    }

    /// The peers there are links to, longest connected first.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.shared().lock().links.values().cloned().collect()
    }

    /// Sends an event to every peer that has room for it, and says who has not. Never waits: one slow peer doesn't
    /// keep the others waiting.
    pub fn send_to_all(&self, name: impl AsRef<[u8]>, payload: impl Into<Bytes>) -> Vec<(Peer, SendError)> {
        let (name, payload) = (name.as_ref(), payload.into());
        let refused = |peer: Peer| peer.try_send(name, payload.clone()).err().map(|error| (peer, error));
        self.peers().into_iter().filter_map(refused).collect()
    }

    /// What was dialed, accepted and refused so far.
    #[must_use]
    pub fn stats(&self) -> MeshStats {
        self.shared().lock().machine.stats()
    }

    /// Accepts and dials no more and closes every link; waits until they have ended, which takes at most
    /// [`LinkConfig::close_timeout`] and a little. gop2p: `Close`.
    ///
    /// From within a handler it doesn't wait.
    ///
    /// [`LinkConfig::close_timeout`]: poolmesh_proto::LinkConfig::close_timeout
    pub fn close(&self) {
        self.shared().close();
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Makes a call and waits for its report. Whoever waits keeps the machine's time.
    fn connect(
        &self,
        make: impl FnOnce(&mut poolmesh_proto::Mesh, Instant) -> Result<ConnectId, ConnectError>,
    ) -> Result<(ConnectReport, Vec<Peer>), ConnectFailed> {
        let shared = self.shared();
        let mut state = shared.lock();
        let call = make(&mut state.machine, shared.clock.now())?;
        shared.pump(&mut state);
        loop {
            if let Some(report) = state.reports.remove(&call) {
                let peer = |(_, id): &(SocketAddr, PeerId)| state.links.get(id).cloned();
                let peers = report.connected.iter().filter_map(peer).collect();
                return Ok((report, peers));
            }
            state = shared.wait(state);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl State {
    fn listening(&mut self) -> io::Result<SocketAddr> {
        match (&self.listener, self.listen_error.take()) {
            (_, Some(error)) => Err(error),
            (Some(listener), None) => Ok(listener.local),
            (None, None) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is left in order whoever panics: its methods don't.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change or for the machine's deadline, which it then keeps.
    fn wait<'a>(self: &'a Arc<Self>, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
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

    /// Does what the machine says until it waits.
    fn pump(self: &Arc<Self>, state: &mut State) {
        loop {
            match state.machine.poll_output() {
                MeshOutput::Dial { dial, address, timeout } => self.dial(state, dial, address, timeout),
                MeshOutput::Listen { address } => self.listen(state, address),
                MeshOutput::StopListening => state.listener = None,
                MeshOutput::Close { peer } => {
                    if let Some(peer) = state.links.get(&peer) {
                        peer.disconnect();
                    }
                }
                MeshOutput::Event(event) => self.tell(state, event),
                MeshOutput::Wait(deadline) => {
                    state.deadline = deadline;
                    return;
                }
                // A blocking connect can't be stopped; it ends by its own timeout, and its result is not wanted.
                MeshOutput::Abandon { .. } => {}
                _ => {}
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
            MeshEvent::Connected(report) => drop(state.reports.insert(report.id, report)),
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
        let peer = link.map(|link| Peer::new(link, address, side, stream, self.clock));
        if let Some(peer) = &peer {
            state.links.insert(peer.id(), peer.clone());
        }
        // Tells of the peer before its first event can come.
        self.pump(&mut state);
        drop(state);
        if let Some(peer) = peer {
            peer.start(self);
        }
    }

    fn listen(self: &Arc<Self>, state: &mut State, address: SocketAddr) {
        state.listener = None;
        state.listen_error = None;
        let stop = Arc::new(AtomicBool::new(false));
        let opened = sockets::listen(address, state.held.take()).and_then(|listener| {
            let local = listener.local_addr()?;
            let (shared, stop) = (Arc::clone(self), Arc::clone(&stop));
            let accept = move || shared.accept(&listener, &stop);
            thread::Builder::new().name("poolmesh-accept".into()).spawn(accept)?;
            Ok(local)
        });
        match opened {
            Ok(local) => {
                state.listener = Some(Listener { local, stop });
                state.machine.handle_listening(local);
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
                        self.open(state, link, from, Side::Accepted, stream);
                    }
                }
                Err(error) if Severity::of(&error) == Severity::Harmless => {}
                // Too many open files, say: those who wait in the queue are still there when some are closed.
                Err(_) => thread::park_timeout(Severity::PAUSE),
            }
        }
    }

    fn close(self: &Arc<Self>) {
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
        drop(state);
        // They may hold this very mesh.
        self.handlers.clear();
        self.feed.end();
    }
}

impl Owner for Shared {
    fn received(self: &Arc<Self>, peer: &Peer, message: Message) {
        let handler = peer.handlers().get(message.name()).or_else(|| self.handlers.get(message.name()));
        match handler {
            Some(handler) => {
                HANDING_OUT.set(true);
                handler(peer, message);
                HANDING_OUT.set(false);
            }
            None => self.feed.deliver(Event::Received(peer.clone(), message)),
        }
    }

    fn ended(self: &Arc<Self>, peer: &Peer, reason: CloseReason) {
        let mut state = self.lock();
        state.machine.handle_closed(self.clock.now(), peer.id(), reason);
        self.pump(&mut state);
    }
}
