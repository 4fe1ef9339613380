//! A driver in one thread: client, mesh and links in an event loop, over any [`Network`].

mod pools;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, Bytes};
use poolmesh_proto::driver::{Event, Inbox, PoolInbox, Severity};
use poolmesh_proto::trace::Input;
use poolmesh_proto::{
    Client, ConnectError, DialId, Fault, Instant, Link, LinkEvent, Links, LinksOutput, Machine, Mesh,
    MeshOutput, PeerId, PoolId, SendError, Write,
};

use super::{Network, Settings, Told, drain, mesh_event, receive};

/// What is read from a connection at a time, in bytes.
const READ: usize = 16 * 1_024;
/// How many datagrams or connections are taken at a time, before the others get their turn.
const BATCH: usize = 64;
/// How often a turn looks again for more, before the program gets its turn.
const ROUNDS: usize = 16;

/// A connection, and the write that is not done.
struct Connection<S> {
    stream: S,
    writing: Option<Write>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// Links still end.
    Asked,
    /// All has ended.
    Ended,
    /// And the program knows.
    Told,
}

/// The machines of a program and their sockets, driven by whoever calls [`turn`](Self::turn): a game loop at each of
/// its ticks, another as soon as a socket is ready or the time has come that the last turn named.
///
/// Nothing in it waits. What happens is asked for with [`next_told`](Self::next_told); for who doesn't ask, no more is
/// read than [`MeshConfig`](poolmesh_proto::MeshConfig) allows to wait.
pub struct EventLoop<N: Network> {
    network: N,
    udp: N::Udp,
    client: Client,
    mesh: Mesh,
    links: Links,
    listener: Option<N::Listener>,
    dials: BTreeMap<DialId, N::Stream>,
    connections: BTreeMap<PeerId, Connection<N::Stream>>,
    buffer: Vec<u8>,
    max_datagram: usize,
    /// Until then nothing is received or accepted: it would fail again at once.
    paused: Option<Instant>,
    answers: VecDeque<Told>,
    news: PoolInbox,
    inbox: Inbox<PeerId>,
    /// The pools that the mesh has entered.
    entered: BTreeSet<PoolId>,
    closing: Closing,
}

impl<N: Network> fmt::Debug for EventLoop<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, mesh, links, .. } = self;
        f.debug_struct("EventLoop")
            .field("client", client)
            .field("mesh", mesh)
            .field("links", links)
            .finish_non_exhaustive()
    }
}

impl<N: Network> EventLoop<N> {
    /// Opens the client's socket. Sends nothing yet.
    ///
    /// # Errors
    /// If no socket can be opened.
    pub fn start(network: N, settings: Settings) -> io::Result<Self> {
        let Settings { client, mesh, broadcaster, seed } = settings;
        let any =
            if broadcaster.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut inbox = Inbox::new(&mesh);
        inbox.add_reader();
        let mut news = PoolInbox::new(&client);
        news.add_reader();
        Ok(Self {
            udp: network.open(SocketAddr::new(any, 0))?,
            network,
            max_datagram: client.max_datagram,
            client: Client::new(client, broadcaster, seed),
            mesh: Mesh::new(mesh),
            links: Links::new(),
            listener: None,
            dials: BTreeMap::new(),
            connections: BTreeMap::new(),
            buffer: Vec::new(),
            paused: None,
            answers: VecDeque::new(),
            news,
            inbox,
            entered: BTreeSet::new(),
            closing: Closing::No,
        })
    }

    /// As [`Mesh::connect`].
    ///
    /// # Errors
    /// As that.
    pub fn connect(&mut self, address: SocketAddr) -> Result<(), ConnectError> {
        self.network.note(|| Input::Connect(vec![address]));
        self.mesh.connect(self.network.now(), [address]).map(drop)
    }

    /// As [`Mesh::listen`].
    ///
    /// # Errors
    /// As that.
    pub fn listen(&mut self, address: SocketAddr) -> Result<(), ConnectError> {
        self.network.note(|| Input::Listen(address));
        self.mesh.listen(address)
    }

    /// As [`Links::send`].
    ///
    /// # Errors
    /// As that.
    pub fn send(&mut self, peer: PeerId, name: &str, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let payload = payload.into();
        self.network.note(|| {
            let name = Bytes::copy_from_slice(name.as_bytes());
            Input::Send { peer, name, payload: payload.clone() }
        });
        self.links.send(peer, name, payload)
    }

    /// As [`Links::send_to_all`].
    pub fn send_to_all(&mut self, name: &str, payload: impl Into<Bytes>) -> Vec<(PeerId, SendError)> {
        let payload = payload.into();
        self.network.note(|| {
            let name = Bytes::copy_from_slice(name.as_bytes());
            Input::SendToAll { name, payload: payload.clone() }
        });
        self.links.send_to_all(name, payload)
    }

    /// As [`Mesh::disconnect`].
    pub fn disconnect(&mut self, peer: PeerId) -> bool {
        self.network.note(|| Input::Disconnect(peer));
        self.mesh.disconnect(peer)
    }

    /// Ends everything: [`Told::Closed`] follows when the links have ended.
    pub fn close(&mut self) {
        self.network.note(|| Input::CloseMesh);
        self.mesh.close();
        self.network.note(|| Input::CloseClient);
        self.client.close();
        self.inbox.close();
        if self.closing == Closing::No {
            self.closing = Closing::Asked;
        }
    }

    /// What has happened, in its order. After [`Told::Closed`] nothing follows.
    pub fn next_told(&mut self) -> Option<Told> {
        if let Some(told) = self.answers.pop_front() {
            return Some(told);
        }
        if let Some(news) = self.news.take() {
            return Some(Told::News(news));
        }
        if let Some(event) = self.inbox.take() {
            return Some(Told::Mesh(event));
        }
        (self.closing == Closing::Ended).then(|| {
            self.closing = Closing::Told;
            Told::Closed
        })
    }

    /// Takes in what has come, carries out what the machines say, and answers when to be called again, if no socket is
    /// ready before. What was asked of the program since the last turn goes out in this one.
    pub fn turn(&mut self) -> Option<Instant> {
        for _ in 0..ROUNDS {
            let moved = self.take_in();
            let wake = self.carry_out();
            if !moved {
                return wake.into_iter().chain(self.paused).min();
            }
        }
        Some(self.network.now())
    }

    /// Looks once at every socket that is of interest. Whether there was anything.
    fn take_in(&mut self) -> bool {
        let now = self.network.now();
        if self.paused.is_some_and(|until| until.is_due(now)) {
            self.paused = None;
        }
        let mut moved = false;
        if self.paused.is_none() {
            let received =
                receive(&self.network, &self.udp, &mut self.client, &mut self.buffer, self.max_datagram);
            moved |= self.go_on(received);
            let accepted = self.accept();
            moved |= self.go_on(accepted);
        }
        moved |= self.dialed();
        for peer in self.links.peers().collect::<Vec<_>>() {
            moved |= self.read(peer);
            moved |= self.write_on(peer);
        }
        moved
    }

    /// What becomes of a socket's error: a pause.
    fn go_on(&mut self, taken: io::Result<bool>) -> bool {
        taken.unwrap_or_else(|_| {
            self.paused = Some(self.network.now() + Severity::PAUSE);
            false
        })
    }

    fn accept(&mut self) -> io::Result<bool> {
        for count in 0..BATCH {
            // While the application does not keep up, connections wait with the system.
            let Some(listener) = self.listener.as_ref().filter(|_| self.inbox.has_room()) else {
                return Ok(count > 0);
            };
            match self.network.accept(listener) {
                Ok((stream, from)) => {
                    self.network.note(|| Input::Accepted(from));
                    let link = self.mesh.handle_accepted(self.network.now(), from);
                    self.open(link, stream);
                    self.drain_mesh();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count > 0),
                Err(error) if Severity::of(&error) == Severity::Harmless => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn dialed(&mut self) -> bool {
        let done: Vec<_> = self
            .dials
            .iter()
            .filter_map(|(dial, stream)| {
                self.network
                    .is_dialed(stream)
                    .map(|done| done.then_some(*dial))
                    .map_err(|error| (*dial, error))
                    .transpose()
            })
            .collect();
        let moved = !done.is_empty();
        for dialed in done {
            match dialed {
                Ok(dial) => {
                    let Some(stream) = self.dials.remove(&dial) else { continue };
                    self.network.note(|| Input::Dialed(dial));
                    let link = self.mesh.handle_dialed(self.network.now(), dial);
                    self.open(link, stream);
                }
                Err((dial, error)) => {
                    self.dials.remove(&dial);
                    self.dial_failed(dial, Fault::from(&error));
                }
            }
        }
        moved
    }

    fn dial_failed(&mut self, dial: DialId, fault: Fault) {
        self.network.note(|| Input::DialFailed(dial, fault));
        self.mesh.handle_dial_failed(self.network.now(), dial, fault);
    }

    /// Keeps the connection of a link. One without a link is dropped.
    fn open(&mut self, link: Option<(PeerId, Link)>, stream: N::Stream) {
        if let Some((peer, link)) = link {
            self.links.insert(peer, link);
            self.connections.insert(peer, Connection { stream, writing: None });
        }
    }

    /// Reads once, if that is wanted.
    fn read(&mut self, peer: PeerId) -> bool {
        let Some(connection) = self.connections.get(&peer) else { return false };
        if !self.links.wants_read(peer) {
            return false;
        }
        let now = self.network.now();
        if !self.inbox.has_room() {
            // It is not the peer that is silent.
            self.links.handle_bytes(now, peer, Bytes::new());
            return false;
        }
        self.buffer.resize(READ.max(self.buffer.len()), 0);
        match self.network.read(&connection.stream, &mut self.buffer) {
            Ok(0) => {
                self.network.note(|| Input::Eof(peer));
                self.links.handle_eof(now, peer);
            }
            Ok(len) => {
                let bytes = Bytes::copy_from_slice(self.buffer.get(..len).unwrap_or_default());
                self.network.note(|| Input::Bytes(peer, bytes.clone()));
                self.links.handle_bytes(now, peer, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => self.fail(peer, &error),
        }
        // Now, so that the inbox knows what it holds before the next one is read.
        self.drain_links();
        true
    }

    fn fail(&mut self, peer: PeerId, error: &io::Error) {
        let fault = Fault::from(error);
        self.network.note(|| Input::Failure(peer, fault));
        self.links.handle_failure(self.network.now(), peer, fault);
    }

    /// Goes on with a write as far as the connection takes it.
    fn write_on(&mut self, peer: PeerId) -> bool {
        let mut moved = false;
        loop {
            let Some(Connection { stream, writing }) = self.connections.get_mut(&peer) else { return moved };
            let written = match writing {
                None => return moved,
                Some(Write::Finish) => self.network.finish(stream).map(|()| true),
                Some(Write::Bytes(bytes)) => self.network.write(stream, bytes).map(|len| {
                    bytes.advance(len);
                    bytes.is_empty()
                }),
            };
            match written {
                Ok(false) => {}
                Ok(true) => {
                    *writing = None;
                    self.network.note(|| Input::Written(peer));
                    self.links.handle_written(peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return moved,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    *writing = None;
                    self.fail(peer, &error);
                }
            }
            moved = true;
        }
    }

    /// Does what the machines say until all of them wait, and answers for what.
    fn carry_out(&mut self) -> Option<Instant> {
        let now = self.network.now();
        self.client.handle_timeout(now);
        self.mesh.handle_timeout(now);
        self.links.handle_timeout(now);
        let (answers, mut news) = (&mut self.answers, Vec::new());
        let client = drain(&self.network, &self.udp, &mut self.client, |event| match Told::of(event) {
            Some(Told::News(new)) => news.push(new),
            told => answers.extend(told),
        });
        news.into_iter().for_each(|news| self.follow(news));
        loop {
            // The mesh may have links closed, and is told when they have ended.
            let (ended, links) = self.drain_links();
            let (acted, mesh) = self.drain_mesh();
            if !ended && !acted {
                if self.closing == Closing::Asked && self.connections.is_empty() && self.dials.is_empty() {
                    self.closing = Closing::Ended;
                }
                return [client, links, mesh].into_iter().flatten().min();
            }
        }
    }

    /// Whether a link has ended, and the deadline.
    fn drain_links(&mut self) -> (bool, Option<Instant>) {
        let mut ended = false;
        loop {
            match self.links.poll_output() {
                LinksOutput::Write { peer, write } => {
                    if let Some(connection) = self.connections.get_mut(&peer) {
                        connection.writing = Some(write);
                    }
                    self.write_on(peer);
                }
                LinksOutput::Event { peer, event: LinkEvent::Received(message) } => {
                    self.inbox.put(Event::Received(peer, message));
                }
                LinksOutput::Event { peer, event: LinkEvent::Closed(reason) } => {
                    ended = true;
                    // Dropped, and so closed.
                    self.connections.remove(&peer);
                    self.network.note(|| Input::LinkClosed(peer, reason));
                    self.mesh.handle_closed(self.network.now(), peer, reason);
                }
                LinksOutput::Event { .. } => {}
                LinksOutput::Wait(deadline) => return (ended, deadline),
            }
        }
    }

    /// Whether the mesh had anything to say, and the deadline.
    fn drain_mesh(&mut self) -> (bool, Option<Instant>) {
        let mut acted = false;
        loop {
            match self.mesh.poll_output() {
                MeshOutput::Dial { dial, address, .. } => match self.network.dial(address) {
                    Ok(stream) => drop(self.dials.insert(dial, stream)),
                    Err(error) => self.dial_failed(dial, Fault::from(&error)),
                },
                MeshOutput::Abandon { dial } => drop(self.dials.remove(&dial)),
                MeshOutput::Listen { address } => self.listen_at(address),
                MeshOutput::StopListening => self.listener = None,
                MeshOutput::Close { peer } => {
                    self.network.note(|| Input::CloseLink(peer));
                    self.links.close(self.network.now(), peer);
                }
                MeshOutput::Event(event) => drop(mesh_event(event).map(|event| self.inbox.put(event))),
                MeshOutput::Wait(deadline) => return (acted, deadline),
            }
            acted = true;
        }
    }

    fn listen_at(&mut self, address: SocketAddr) {
        // The port of the one before may be the one that is asked for.
        self.listener = None;
        match self.network.listen(address) {
            Ok((listener, local)) => {
                self.listener = Some(listener);
                self.network.note(|| Input::Listening(local));
                self.mesh.handle_listening(local);
            }
            Err(error) => {
                let fault = Fault::from(&error);
                self.network.note(|| Input::ListenFailed(address, fault));
                self.mesh.handle_listen_failed(address, fault);
            }
        }
    }
}
