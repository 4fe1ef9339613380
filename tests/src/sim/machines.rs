//! The machines of one peer, every input of which is checked and can be written down.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use bytes::Bytes;
use poolmesh_proto::trace::{Digested, Input, PeerStart, Polled, Start};
use poolmesh_proto::wire::Dialect;
use poolmesh_proto::{
    CallError, CallId, Client, ClientConfig, CloseReason, ConnectError, ConnectId, DialId, Fault, Instant,
    Link, Links, Machine, Mesh, MeshConfig, PeerId, PoolId, PoolInfo, SendError, Write,
};

use super::address::Addr;
use super::check::{Asked, PeerCheck};
use super::core::Core;
use super::fingerprint::of_event;
use super::streams::{ConnId, Side};

/// What a peer is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerConfig {
    /// The client's settings.
    pub client: ClientConfig,
    /// The settings of mesh and links.
    pub mesh: MeshConfig,
}

impl PeerConfig {
    /// The settings of a peer whose client speaks the classic dialect.
    #[must_use]
    pub fn classic() -> Self {
        Self { client: ClientConfig::classic(), mesh: MeshConfig::default() }
    }
}

#[derive(Debug)]
pub(super) struct Machines {
    place: usize,
    pub(super) own: Addr,
    pub(super) client: Client,
    pub(super) mesh: Mesh,
    pub(super) links: Links,
    pub(super) check: PeerCheck,
    /// The connection of each link.
    pub(super) ends: BTreeMap<PeerId, (ConnId, Side)>,
    /// The connection of each dial.
    pub(super) dials: BTreeMap<DialId, ConnId>,
    pub(super) listening: Option<u16>,
    timers: BinaryHeap<Reverse<(Instant, u64, u64)>>,
    timers_set: u64,
    /// Something was told to a machine since the last drain.
    pub(super) told: bool,
    /// Events that its program was told since the drain began.
    pub(super) events: u32,
}

impl Machines {
    pub(super) fn new(
        core: &mut Core,
        place: usize,
        own: Addr,
        broadcaster: Addr,
        config: &PeerConfig,
    ) -> Self {
        let PeerConfig { client, mesh } = config.clone();
        let broadcaster = broadcaster.to_socket();
        // A client of the classic dialect draws nothing.
        let drawn = [0; 2].map(|none| match client.dialect {
            Dialect::Classic => none,
            Dialect::Native | _ => core.rng.u128(),
        });
        let mut seed = [0; 32];
        seed.iter_mut()
            .zip(drawn.iter().flat_map(|drawn| drawn.to_le_bytes()))
            .for_each(|(to, from)| *to = from);
        if let Some(tape) = &mut core.tape {
            let start = PeerStart { client: client.clone(), broadcaster, mesh: mesh.clone(), seed };
            tape.note(place, Instant::ZERO, Input::Start(Start::Peer(Box::new(start))));
        }
        Self {
            place,
            own,
            check: PeerCheck::new(config, broadcaster),
            client: Client::new(client, broadcaster, seed),
            mesh: Mesh::new(mesh),
            links: Links::new(),
            ends: BTreeMap::new(),
            dials: BTreeMap::new(),
            listening: None,
            timers: BinaryHeap::new(),
            timers_set: 0,
            told: true,
            events: 0,
        }
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.own.to_socket()
    }

    pub(super) fn peers(&self) -> Vec<(PeerId, SocketAddr)> {
        self.mesh.peers().collect()
    }

    pub(super) fn set_timer(&mut self, at: Instant, number: u64) {
        self.timers_set += 1;
        self.timers.push(Reverse((at, self.timers_set, number)));
    }

    pub(super) fn forget_timers(&mut self, number: u64) {
        self.timers.retain(|Reverse((_, _, other))| *other != number);
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(super) fn due_timer(&mut self, now: Instant) -> Option<u64> {
        self.next_timer().filter(|at| *at <= now)?;
        self.timers.pop().map(|Reverse((_, _, number))| number)
    }

    fn check_that(&self, core: &mut Core, holds: Result<(), String>) {
        if let Err(what) = holds {
            core.violated(format_args!("{what} (n{})", self.place));
        }
    }

    /// Writes an input down that takes no time.
    fn note_timeless(&mut self, core: &mut Core, now: Instant, input: impl FnOnce() -> Input) {
        self.told = true;
        if let Some(tape) = &mut core.tape {
            tape.note(self.place, now, input());
        }
    }

    /// Writes an input down, if inputs are, and notes its time.
    fn note(&mut self, core: &mut Core, machine: Polled, now: Instant, input: impl FnOnce() -> Input) {
        self.check.tell(machine, now);
        self.note_timeless(core, now, input);
    }

    pub(super) fn note_polled(&self, core: &mut Core, now: Instant, machine: Polled, output: &impl Digested) {
        if let Some(tape) = &mut core.tape {
            tape.polled(self.place, now, machine, output);
        }
    }

    /// `doubtful`: it is not what an honest node has sent.
    pub(super) fn datagram(
        &mut self,
        core: &mut Core,
        now: Instant,
        from: SocketAddr,
        datagram: &Bytes,
        doubtful: bool,
    ) {
        self.note(core, Polled::Client, now, || Input::Datagram { from, datagram: datagram.clone() });
        if doubtful {
            self.check.doubtful(from);
        }
        self.client.handle_datagram(now, from, datagram);
        let checked = if doubtful { Ok(()) } else { self.check.answered(from, datagram, &self.client) };
        self.check_that(core, checked);
    }

    pub(super) fn client_timeout(&mut self, core: &mut Core, now: Instant) {
        self.note(core, Polled::Client, now, || Input::Timeout);
        self.client.handle_timeout(now);
    }

    pub(super) fn mesh_timeout(&mut self, core: &mut Core, now: Instant) {
        self.note(core, Polled::Mesh, now, || Input::MeshTimeout);
        self.mesh.handle_timeout(now);
    }

    pub(super) fn links_timeout(&mut self, core: &mut Core, now: Instant) {
        self.note(core, Polled::Links, now, || Input::LinksTimeout);
        self.links.handle_timeout(now);
    }

    pub(super) fn list(&mut self, core: &mut Core, now: Instant) -> Result<CallId, CallError> {
        self.note(core, Polled::Client, now, || Input::List);
        let call = self.client.list(now);
        self.check.called(call, Asked::List)
    }

    pub(super) fn create(&mut self, core: &mut Core, now: Instant) -> Result<CallId, CallError> {
        self.note(core, Polled::Client, now, || Input::Create);
        let call = self.client.create(now);
        self.check.called(call, Asked::Create)
    }

    pub(super) fn join(&mut self, core: &mut Core, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.note(core, Polled::Client, now, || Input::Join(pool));
        let call = self.client.join(now, pool);
        self.check.called(call, Asked::Join(Some(pool)))
    }

    pub(super) fn cancel(&mut self, core: &mut Core, now: Instant, call: CallId) {
        self.note_timeless(core, now, || Input::Cancel(call));
        self.client.cancel(call);
        self.check.cancelled(call);
    }

    pub(super) fn release(&mut self, core: &mut Core, now: Instant, pool: PoolId) -> bool {
        self.note_timeless(core, now, || Input::Release(pool));
        self.check.released(pool);
        self.client.release(pool)
    }

    pub(super) fn enter(
        &mut self,
        core: &mut Core,
        now: Instant,
        pool: &PoolInfo,
    ) -> Result<ConnectId, ConnectError> {
        self.note(core, Polled::Mesh, now, || Input::Enter(pool.clone()));
        let call = self.mesh.enter(now, pool);
        self.check.connecting(call)
    }

    pub(super) fn connect(
        &mut self,
        core: &mut Core,
        now: Instant,
        addresses: Vec<SocketAddr>,
    ) -> Result<ConnectId, ConnectError> {
        self.note(core, Polled::Mesh, now, || Input::Connect(addresses.clone()));
        let call = self.mesh.connect(now, addresses);
        self.check.connecting(call)
    }

    pub(super) fn cancel_connect(&mut self, core: &mut Core, now: Instant, call: ConnectId) {
        self.note_timeless(core, now, || Input::CancelConnect(call));
        self.mesh.cancel(call);
        self.check.cancelled_connect(call);
    }

    pub(super) fn listen(
        &mut self,
        core: &mut Core,
        now: Instant,
        address: SocketAddr,
    ) -> Result<(), ConnectError> {
        self.note_timeless(core, now, || Input::Listen(address));
        self.mesh.listen(address)
    }

    pub(super) fn disconnect(&mut self, core: &mut Core, now: Instant, peer: PeerId) -> bool {
        self.note_timeless(core, now, || Input::Disconnect(peer));
        self.mesh.disconnect(peer)
    }

    pub(super) fn close(&mut self, core: &mut Core, now: Instant) {
        self.note_timeless(core, now, || Input::CloseClient);
        self.client.close();
        self.note_timeless(core, now, || Input::CloseMesh);
        self.mesh.close();
        self.check.closed();
    }

    pub(super) fn send(
        &mut self,
        core: &mut Core,
        now: Instant,
        peer: PeerId,
        name: &[u8],
        payload: Bytes,
    ) -> Result<(), SendError> {
        self.note_timeless(core, now, || Input::Send {
            peer,
            name: Bytes::copy_from_slice(name),
            payload: payload.clone(),
        });
        let print = of_event(name, &payload);
        let len = name.len() + payload.len();
        let queued = self.links.get(peer).map_or(0, Link::queued);
        let result = self.links.send(peer, name, payload);
        let checked = self.check.sent(peer, len, queued, &self.mesh, result);
        self.check_that(core, checked);
        result?;
        if let Some((conn, side)) = self.ends.get(&peer) {
            if let Some(end) = core.conns.end_mut(*conn, *side) {
                end.sent.push_back(print);
            }
        }
        Ok(())
    }

    /// A dial has succeeded. Answers the peer, if it is wanted still.
    pub(super) fn dialed(&mut self, core: &mut Core, now: Instant, dial: DialId) -> Option<PeerId> {
        self.note(core, Polled::Mesh, now, || Input::Dialed(dial));
        self.dials.remove(&dial);
        self.check.dialed(dial);
        let linked = self.mesh.handle_dialed(now, dial);
        self.insert(core, linked)
    }

    pub(super) fn dial_failed(&mut self, core: &mut Core, now: Instant, dial: DialId, fault: Fault) {
        self.note(core, Polled::Mesh, now, || Input::DialFailed(dial, fault));
        self.dials.remove(&dial);
        self.check.dial_failed(dial);
        self.mesh.handle_dial_failed(now, dial, fault);
    }

    pub(super) fn accepted(&mut self, core: &mut Core, now: Instant, from: SocketAddr) -> Option<PeerId> {
        self.note(core, Polled::Mesh, now, || Input::Accepted(from));
        let linked = self.mesh.handle_accepted(now, from);
        self.insert(core, linked)
    }

    fn insert(&mut self, core: &mut Core, linked: Option<(PeerId, Link)>) -> Option<PeerId> {
        let (peer, link) = linked?;
        let checked = self.check.opened(peer);
        self.check_that(core, checked);
        self.links.insert(peer, link);
        Some(peer)
    }

    pub(super) fn link_closed(&mut self, core: &mut Core, now: Instant, peer: PeerId, reason: CloseReason) {
        self.note(core, Polled::Mesh, now, || Input::LinkClosed(peer, reason));
        self.mesh.handle_closed(now, peer, reason);
    }

    pub(super) fn listens(&mut self, core: &mut Core, now: Instant, address: SocketAddr) {
        self.note_timeless(core, now, || Input::Listening(address));
        self.mesh.handle_listening(address);
    }

    pub(super) fn bytes(&mut self, core: &mut Core, now: Instant, peer: PeerId, bytes: Bytes) {
        self.note(core, Polled::Links, now, || Input::Bytes(peer, bytes.clone()));
        let checked = self.check.bytes(&self.links, peer, &bytes, now);
        self.check_that(core, checked);
        self.links.handle_bytes(now, peer, bytes);
    }

    pub(super) fn eof(&mut self, core: &mut Core, now: Instant, peer: PeerId) {
        self.note(core, Polled::Links, now, || Input::Eof(peer));
        self.links.handle_eof(now, peer);
    }

    pub(super) fn failure(&mut self, core: &mut Core, now: Instant, peer: PeerId, fault: Fault) {
        self.note(core, Polled::Links, now, || Input::Failure(peer, fault));
        self.links.handle_failure(now, peer, fault);
    }

    pub(super) fn written(&mut self, core: &mut Core, now: Instant, peer: PeerId) {
        self.note_timeless(core, now, || Input::Written(peer));
        self.check.written(peer);
        self.links.handle_written(peer);
    }

    pub(super) fn close_link(&mut self, core: &mut Core, now: Instant, peer: PeerId) {
        self.note(core, Polled::Links, now, || Input::CloseLink(peer));
        self.links.close(now, peer);
    }

    /// A call that only the native dialect has.
    pub(super) fn native(
        &mut self,
        core: &mut Core,
        now: Instant,
        asked: Asked,
        input: impl FnOnce() -> Input,
        call: impl FnOnce(&mut Client) -> Result<CallId, CallError>,
    ) -> Result<CallId, CallError> {
        self.note(core, Polled::Client, now, input);
        let call = call(&mut self.client);
        self.check.called(call, asked)
    }

    /// Hands what a link wants written to its connection. Whether it was taken at once.
    pub(super) fn write(&self, core: &mut Core, peer: PeerId, write: Write) -> bool {
        match self.ends.get(&peer) {
            Some((conn, side)) => core.write(*conn, *side, write),
            None => true,
        }
    }
}
