//! What must hold of a peer: its calls, its links, what it believes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::trace::Polled;
use poolmesh_proto::{
    CallError, CallId, ClientEvent, ConnectError, ConnectId, DialId, Instant, Mesh, MeshEvent, Outcome,
    PeerId, PoolId, Side,
};

use crate::sim::machines::PeerConfig;

#[derive(Debug)]
struct Call {
    deadline: Instant,
    join: Option<PoolId>,
}

/// Follows a peer's machines from outside.
#[derive(Debug)]
pub(in crate::sim) struct PeerCheck {
    call_timeout: Duration,
    max_links: usize,
    max_dialing: usize,
    broadcaster: SocketAddr,
    /// The latest times that client, mesh and links were told.
    latest: [Instant; 3],
    calls: BTreeMap<CallId, Call>,
    connects: BTreeSet<ConnectId>,
    dialing: BTreeSet<DialId>,
    /// The links that were told of, and not their end.
    live: BTreeMap<PeerId, (SocketAddr, Side)>,
    newest: Option<PeerId>,
    /// Something that no broadcaster has said came in its name.
    misled: bool,
}

impl PeerCheck {
    pub(in crate::sim) fn new(config: &PeerConfig, broadcaster: SocketAddr) -> Self {
        Self {
            call_timeout: config.client.call_timeout,
            max_links: config.mesh.max_links,
            max_dialing: config.mesh.max_dialing.max(1),
            broadcaster,
            latest: [Instant::ZERO; 3],
            calls: BTreeMap::new(),
            connects: BTreeSet::new(),
            dialing: BTreeSet::new(),
            live: BTreeMap::new(),
            newest: None,
            misled: false,
        }
    }

    pub(in crate::sim) fn tell(&mut self, machine: Polled, now: Instant) {
        let place = match machine {
            Polled::Broadcaster | Polled::Client => 0,
            Polled::Mesh => 1,
            Polled::Links => 2,
        };
        if let Some(latest) = self.latest.get_mut(place) {
            *latest = now.max(*latest);
        }
    }

    /// Of client, mesh and links.
    pub(in crate::sim) fn latest(&self) -> [Instant; 3] {
        self.latest
    }

    fn client_time(&self) -> Instant {
        let [client, ..] = self.latest;
        client
    }

    /// A datagram came that is not what an honest node has sent.
    pub(in crate::sim) fn doubtful(&mut self, from: SocketAddr) {
        self.misled |= from == self.broadcaster;
    }

    pub(in crate::sim) fn called(
        &mut self,
        call: Result<CallId, CallError>,
        join: Option<PoolId>,
    ) -> Result<CallId, CallError> {
        let id = call?;
        let deadline = self.client_time() + self.call_timeout;
        self.calls.insert(id, Call { deadline, join });
        Ok(id)
    }

    pub(in crate::sim) fn cancelled(&mut self, call: CallId) {
        self.calls.remove(&call);
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

    pub(in crate::sim) fn dial_ended(&mut self, dial: DialId) {
        self.dialing.remove(&dial);
    }

    pub(in crate::sim) fn dials(&mut self, dial: DialId) -> Result<(), String> {
        if !self.dialing.insert(dial) {
            return Err(format!("{dial:?} was dialed twice"));
        }
        if self.dialing.len() > self.max_dialing {
            return Err(format!("P3: {} dials at a time", self.dialing.len()));
        }
        Ok(())
    }

    /// Looks at what the client tells. `issued`: the pools that broadcasters have made.
    pub(in crate::sim) fn client_event(
        &mut self,
        event: &ClientEvent,
        issued: &BTreeSet<PoolId>,
    ) -> Result<(), String> {
        let ClientEvent::Finished { call, outcome } = event else { return Ok(()) };
        let Some(Call { join, .. }) = self.calls.remove(call) else {
            return Err(format!("V2: {call:?} ended twice, or was never made: {outcome:?}"));
        };
        let known = |pool: &PoolId| self.misled || issued.contains(pool);
        match outcome {
            Outcome::Created(info) => {
                if !known(&info.id()) {
                    return Err(format!("M4: created {}, which nobody has made", info.id()));
                }
                if !info.is_host() {
                    return Err(format!("created {} without being its host", info.id()));
                }
            }
            Outcome::Joined(info) => {
                if join != Some(info.id()) {
                    return Err(format!("joined {} where {join:?} was asked for", info.id()));
                }
                if !known(&info.id()) {
                    return Err(format!("M4: joined {}, which nobody has made", info.id()));
                }
            }
            Outcome::Listed(pools) => {
                if let Some(pool) = pools.iter().find(|pool| !known(pool)) {
                    return Err(format!("M4: shown {pool}, which nobody has made"));
                }
            }
            Outcome::Refused(_) | Outcome::TimedOut { .. } | Outcome::Closed | _ => {}
        }
        Ok(())
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
                self.newest = Some(*peer);
                self.live.insert(*peer, (*address, *side));
                if self.live.len() > self.max_links {
                    return Err(format!("P3: {} links", self.live.len()));
                }
            }
            MeshEvent::PeerGone { peer, .. } if self.live.remove(peer).is_none() => {
                return Err(format!("L5: {peer} is gone twice, or was never there"));
            }
            MeshEvent::Settled(report) if !self.connects.remove(&report.id) => {
                return Err(format!("V2: {:?} settled twice, or was never asked for", report.id));
            }
            MeshEvent::PeerGone { .. }
            | MeshEvent::Settled(_)
            | MeshEvent::PeerUnreachable { .. }
            | MeshEvent::Listening { .. }
            | MeshEvent::ListenFailed { .. }
            | _ => {}
        }
        Ok(())
    }

    /// An event of a link: none comes before it is told of, none after its end.
    pub(in crate::sim) fn link_event(&self, peer: PeerId) -> Result<(), String> {
        if self.live.contains_key(&peer) {
            Ok(())
        } else {
            Err(format!("L5: an event of {peer}, which is not there"))
        }
    }

    /// Everything was drained.
    pub(in crate::sim) fn drained(&self, mesh: &Mesh) -> Result<(), String> {
        if let Some((call, _)) = self.calls.iter().find(|(_, call)| call.deadline.is_due(self.client_time()))
        {
            return Err(format!("V2: {call:?} goes on after its deadline"));
        }
        let links = mesh.peers().count();
        if links != self.live.len() {
            return Err(format!("P3: the mesh counts {links} links where there are {}", self.live.len()));
        }
        Ok(())
    }

    /// How many calls and connects wait for their end.
    pub(in crate::sim) fn pending(&self) -> usize {
        self.calls.len() + self.connects.len() + self.dialing.len()
    }
}
