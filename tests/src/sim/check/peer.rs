//! What must hold of a peer: its calls, its links, what it believes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::trace::Polled;
use poolmesh_proto::wire::{Dialect, Request};
use poolmesh_proto::{
    CallError, CallId, Client, ClientEvent, ConnectError, ConnectId, DialId, Instant, LinkEvent, Links, Mesh,
    MeshEvent, PeerId, PoolId, SendError, Side, Transmit, Write,
};

use super::calls::CallCheck;
use super::dials::DialCheck;
use super::links::LinkCheck;
use super::native::{Asked, Book, NativeCalls};
use crate::sim::machines::PeerConfig;

/// Follows a client, as the dialect has it.
#[derive(Debug)]
enum Calls {
    Classic(Box<CallCheck>),
    Native(Box<NativeCalls>),
}

/// Follows a peer's machines from outside.
#[derive(Debug)]
pub(in crate::sim) struct PeerCheck {
    max_links: usize,
    /// The latest times that client, mesh and links were told.
    latest: [Instant; 3],
    /// The latest times that they knew at the first input since the last drain.
    first: [Option<Instant>; 3],
    calls: Calls,
    connects: BTreeSet<ConnectId>,
    dials: DialCheck,
    links: LinkCheck,
    /// The links that were told of, and not their end.
    live: BTreeMap<PeerId, (SocketAddr, Side)>,
    newest: Option<PeerId>,
    closed: bool,
}

impl PeerCheck {
    pub(in crate::sim) fn new(config: &PeerConfig, broadcaster: SocketAddr) -> Self {
        Self {
            max_links: config.mesh.max_links,
            latest: [Instant::ZERO; 3],
            first: [None; 3],
            calls: match config.client.dialect {
                Dialect::Classic => Calls::Classic(Box::new(CallCheck::new(&config.client, broadcaster))),
                Dialect::Native | _ => Calls::Native(Box::new(NativeCalls::new(&config.client, broadcaster))),
            },
            connects: BTreeSet::new(),
            dials: DialCheck::new(&config.mesh),
            links: LinkCheck::new(&config.mesh),
            live: BTreeMap::new(),
            newest: None,
            closed: false,
        }
    }

    pub(in crate::sim) fn tell(&mut self, machine: Polled, now: Instant) {
        let place = match machine {
            Polled::Broadcaster | Polled::Client => 0,
            Polled::Mesh => 1,
            Polled::Links => 2,
        };
        if let (Some(latest), Some(first)) = (self.latest.get_mut(place), self.first.get_mut(place)) {
            *latest = now.max(*latest);
            first.get_or_insert(*latest);
            if let Polled::Links = machine {
                self.links.told(*latest, now == *latest);
            }
        }
        if place == 0 {
            match &mut self.calls {
                Calls::Classic(calls) => calls.tell(),
                Calls::Native(calls) => calls.tell(),
            }
        }
    }

    /// Whether the client waits for a time that has come, because a call was made after it was told the time that ends at
    /// once.
    pub(in crate::sim) fn client_is_due_next(&self) -> bool {
        let (_, now) = self.client_time();
        match &self.calls {
            Calls::Classic(calls) => calls.is_due_next(now),
            Calls::Native(calls) => calls.is_due_next(now),
        }
    }

    /// Of client, mesh and links.
    pub(in crate::sim) fn latest(&self) -> [Instant; 3] {
        self.latest
    }

    /// When the client has decided what it says now: the earliest and the latest time.
    fn client_time(&self) -> (Instant, Instant) {
        let ([latest, ..], [first, ..]) = (self.latest, self.first);
        (first.unwrap_or(latest), latest)
    }

    /// The same of the mesh.
    fn mesh_time(&self) -> (Instant, Instant) {
        let ([_, latest, _], [_, first, _]) = (self.latest, self.first);
        (first.unwrap_or(latest), latest)
    }

    fn links_time(&self) -> Instant {
        let [.., latest] = self.latest;
        latest
    }

    /// A datagram came that is not what an honest node has sent.
    pub(in crate::sim) fn doubtful(&mut self, from: SocketAddr) {
        // In the native dialect nobody is misled by what others say.
        if let Calls::Classic(calls) = &mut self.calls {
            calls.doubtful(from);
        }
    }

    /// A broadcaster has answered, and the client has seen it.
    pub(in crate::sim) fn answered(
        &self,
        from: SocketAddr,
        datagram: &[u8],
        client: &Client,
    ) -> Result<(), String> {
        match &self.calls {
            Calls::Classic(calls) => calls.answered(from, datagram, client),
            Calls::Native(_) => Ok(()),
        }
    }

    pub(in crate::sim) fn called(
        &mut self,
        call: Result<CallId, CallError>,
        asked: Asked,
    ) -> Result<CallId, CallError> {
        let (_, now) = self.client_time();
        match &mut self.calls {
            Calls::Classic(calls) => match asked {
                Asked::List => calls.called(call, Request::List, now),
                Asked::Create => calls.called(call, Request::Create, now),
                Asked::Join(Some(pool)) => calls.called(call, Request::Join(pool), now),
                Asked::Join(None) | Asked::Resume(_) | Asked::Order(..) => call,
            },
            Calls::Native(calls) => calls.called(call, asked, now),
        }
    }

    pub(in crate::sim) fn cancelled(&mut self, call: CallId) {
        match &mut self.calls {
            Calls::Classic(calls) => calls.cancelled(call),
            Calls::Native(calls) => calls.cancelled(call),
        }
    }

    pub(in crate::sim) fn released(&mut self, pool: PoolId) {
        if let Calls::Native(calls) = &mut self.calls {
            calls.released(pool);
        }
    }

    pub(in crate::sim) fn connecting(
        &mut self,
        call: Result<ConnectId, ConnectError>,
    ) -> Result<ConnectId, ConnectError> {
        let id = call?;
        self.connects.insert(id);
        Ok(id)
    }

    pub(in crate::sim) fn cancelled_connect(&mut self, call: ConnectId) {
        self.connects.remove(&call);
    }

    pub(in crate::sim) fn closed(&mut self) {
        self.closed = true;
        if let Calls::Native(calls) = &mut self.calls {
            calls.closed();
        }
    }

    pub(in crate::sim) fn client_transmit(&mut self, transmit: &Transmit, book: &Book) -> Result<(), String> {
        let (first, latest) = self.client_time();
        match &mut self.calls {
            Calls::Classic(calls) => calls.transmit(transmit, first, latest),
            Calls::Native(calls) => calls.transmit(transmit, (first, latest), book),
        }
    }

    /// Looks at what the client tells. `issued`: the pools that broadcasters have made.
    pub(in crate::sim) fn client_event(
        &mut self,
        event: &ClientEvent,
        issued: &BTreeSet<PoolId>,
    ) -> Result<(), String> {
        match &mut self.calls {
            Calls::Classic(calls) => calls.event(event, issued),
            Calls::Native(calls) => calls.event(event, issued),
        }
    }

    pub(in crate::sim) fn dials(
        &mut self,
        dial: DialId,
        address: SocketAddr,
        timeout: Duration,
    ) -> Result<(), String> {
        let (first, latest) = self.mesh_time();
        self.dials.begins(dial, address, timeout, first, latest)
    }

    pub(in crate::sim) fn dialed(&mut self, dial: DialId) {
        self.dials.succeeded(dial);
    }

    pub(in crate::sim) fn dial_failed(&mut self, dial: DialId) {
        let (first, _) = self.mesh_time();
        self.dials.failed(dial, first);
    }

    pub(in crate::sim) fn abandoned(&mut self, dial: DialId) -> Result<(), String> {
        let (first, latest) = self.mesh_time();
        self.dials.abandoned(dial, first, latest, self.closed)
    }

    /// A mesh has handed out a link.
    pub(in crate::sim) fn opened(&mut self, peer: PeerId) -> Result<(), String> {
        let (_, now) = self.mesh_time();
        self.links.opened(peer, now);
        if self.closed { Err(format!("L5: {peer} was taken in after the mesh was closed")) } else { Ok(()) }
    }

    pub(in crate::sim) fn mesh_event(&mut self, event: &MeshEvent) -> Result<(), String> {
        match event {
            MeshEvent::PeerConnected { peer, address, side } => {
                if self.newest.is_some_and(|newest| newest >= *peer) {
                    return Err(format!("L1: {peer} is no new name"));
                }
                let twice =
                    |other: &(SocketAddr, Side)| *side == Side::Dialed && *other == (*address, Side::Dialed);
                if self.live.values().any(twice) {
                    return Err(format!("L1: {address} was dialed twice"));
                }
                self.dials.settled(*address);
                self.newest = Some(*peer);
                self.live.insert(*peer, (*address, *side));
                if self.live.len() > self.max_links {
                    return Err(format!("P3: {} links", self.live.len()));
                }
            }
            MeshEvent::PeerUnreachable { address, .. } => self.dials.settled(*address),
            MeshEvent::PeerGone { peer, .. } if self.live.remove(peer).is_none() => {
                return Err(format!("L5: {peer} is gone twice, or was never there"));
            }
            MeshEvent::Settled(report) if !self.connects.remove(&report.id) => {
                return Err(format!("V2: {:?} settled twice, or was never asked for", report.id));
            }
            MeshEvent::PeerGone { .. }
            | MeshEvent::Settled(_)
            | MeshEvent::Listening { .. }
            | MeshEvent::ListenFailed { .. }
            | _ => {}
        }
        Ok(())
    }

    /// Bytes are handed to a link.
    pub(in crate::sim) fn bytes(
        &mut self,
        links: &Links,
        peer: PeerId,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), String> {
        let latest = self.links_time();
        self.links.bytes(links, peer, bytes, now, latest)
    }

    /// What became of an event, its name and payload of `len` bytes, where `queued` waited before.
    pub(in crate::sim) fn sent(
        &mut self,
        peer: PeerId,
        len: usize,
        queued: usize,
        mesh: &Mesh,
        result: Result<(), SendError>,
    ) -> Result<(), String> {
        self.links.sent(peer, len, queued, mesh, result)
    }

    pub(in crate::sim) fn writes(&mut self, peer: PeerId, write: &Write) -> Result<(), String> {
        self.links.writes(peer, write)
    }

    pub(in crate::sim) fn written(&mut self, peer: PeerId) {
        self.links.written(peer);
    }

    /// An event of a link: none comes before it is told of, none after its end.
    pub(in crate::sim) fn link_event(&mut self, peer: PeerId, event: &LinkEvent) -> Result<(), String> {
        if !self.live.contains_key(&peer) {
            return Err(format!("L5: an event of {peer}, which is not there"));
        }
        // A link begins with the time of the mesh, which may be later than what links were told: one without any time for
        // silence ends there.
        let (_, begun) = self.mesh_time();
        self.links.event(peer, event, self.links_time().max(begun))
    }

    /// Everything was drained. `timeout`: the machines were told the time before.
    pub(in crate::sim) fn drained(
        &mut self,
        (client_machine, mesh, links): (&Client, &Mesh, &Links),
        book: &mut Book,
        deadlines: [Option<Instant>; 3],
        listens: bool,
        timeout: bool,
    ) -> Result<(), String> {
        self.first = [None; 3];
        let [client, dials, _] = deadlines;
        let ((_, client_time), (_, mesh_time), links_time) =
            (self.client_time(), self.mesh_time(), self.links_time());
        match &mut self.calls {
            Calls::Classic(calls) => calls.drained(client_time, client, self.closed)?,
            Calls::Native(calls) => {
                calls.drained(client_time, client, self.closed, client_machine, book)?;
            }
        }
        self.dials.drained(mesh_time, dials, self.closed)?;
        self.links.drained(links, mesh, links_time, timeout)?;
        let count = mesh.peers().count();
        if count != self.live.len() {
            return Err(format!("P3: the mesh counts {count} links where there are {}", self.live.len()));
        }
        if self.closed && listens {
            return Err("V2: it listens after it was closed".to_owned());
        }
        Ok(())
    }

    /// How many calls, connects and dials wait for their end.
    pub(in crate::sim) fn pending(&self) -> usize {
        let calls = match &self.calls {
            Calls::Classic(calls) => calls.len(),
            Calls::Native(calls) => calls.len(),
        };
        calls + self.connects.len() + self.dials.len()
    }
}
