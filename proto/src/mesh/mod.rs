//! The mesh: whom to dial, whom to accept, who is who, what broke and why.

mod config;
mod connects;
mod dials;
mod output;
#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use config::MeshConfig;
pub use output::{
    ConnectError, ConnectId, ConnectReport, DialFailure, DialId, MeshEvent, MeshOutput, MeshStats, PeerId,
    Side,
};

use crate::log::debug;
use crate::wire::canonical;
use crate::{Budget, CloseReason, Fault, Instant, Link, PoolInfo};
use connects::Connects;
use dials::{Dials, Next};

/// What a call of [`Mesh::connect`] comes to.
#[derive(Debug, Default)]
struct Plan {
    waiting: BTreeSet<SocketAddr>,
    connected: Vec<(SocketAddr, PeerId)>,
    failed: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    side: Side,
}

/// The peers of a program as a machine: it decides, the [`Link`]s it hands out carry.
///
/// A link's bytes don't pass through here: only its opening and its end do. So a driver can give each link a lock and
/// a thread of its own, or keep all of them in a [`Links`](crate::Links) beside the mesh.
///
/// Inputs may come in any order, reports about things long forgotten among them; time may run backwards. Poll
/// [`poll_output`](Self::poll_output) until it answers [`MeshOutput::Wait`].
#[derive(Debug)]
pub struct Mesh {
    config: MeshConfig,
    now: Instant,
    budget: Budget,
    dials: Dials,
    connects: Connects,
    peers: BTreeMap<PeerId, Peer>,
    /// The links opened from here, by the address that was dialed.
    dialed: BTreeMap<SocketAddr, PeerId>,
    next_peer: u64,
    listening: Option<SocketAddr>,
    /// Accepted links of which nobody was told yet.
    untold: usize,
    outputs: VecDeque<MeshOutput>,
    closed: bool,
    stats: MeshStats,
}

impl Mesh {
    /// A mesh without peers.
    #[must_use]
    pub fn new(config: MeshConfig) -> Self {
        Self {
            now: Instant::ZERO,
            budget: Budget::new(config.max_queued_total),
            dials: Dials::new(),
            connects: Connects::new(),
            peers: BTreeMap::new(),
            dialed: BTreeMap::new(),
            next_peer: 0,
            listening: None,
            untold: 0,
            outputs: VecDeque::new(),
            closed: false,
            stats: MeshStats::default(),
            config,
        }
    }

    /// Connects to a pool that this program has created or joined: listens on the port number by which the
    /// broadcaster knows it, on all interfaces, and dials whom [`PoolInfo::to_dial`] names: in the classic dialect everyone
    /// listed but itself, in the native one the members that were there before it. Those that come later dial it.
    ///
    /// Peers beyond [`MeshConfig::max_dials`] are reported as failed. The TCP port of that number had better be free: a
    /// driver finds a number that is free for both when it opens its UDP socket.
    ///
    /// Links that stand are no reason not to dial, if they were accepted: those come from ports that no list names. Whoever
    /// enters another pool with the same peers, as after its host was replaced, has two links to some: disconnect them
    /// before, or have peers tell each other who they are and keep one.
    ///
    /// # Errors
    /// If the mesh was closed, or as many calls as addresses allowed are under way.
    pub fn enter(&mut self, now: Instant, pool: &PoolInfo) -> Result<ConnectId, ConnectError> {
        self.ensure_open()?;
        let any: IpAddr = match pool.you().ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.advance(now);
        let mut plan = self.plan(pool.to_dial())?;
        self.shorten(&mut plan);
        self.listen(SocketAddr::new(any, pool.you().port()))?;
        Ok(self.carry_out(plan))
    }

    /// Connects to peers by their addresses. One that is connected or being dialed already is not dialed twice.
    /// [`MeshEvent::Settled`] follows when every address has its fate.
    ///
    /// # Errors
    /// If more addresses would be dialed than allowed at a time, or the mesh was closed.
    pub fn connect(
        &mut self,
        now: Instant,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<ConnectId, ConnectError> {
        self.advance(now);
        let plan = self.plan(addresses)?;
        if self.excess(&plan) > 0 {
            return Err(ConnectError::TooManyDials { limit: self.config.max_dials });
        }
        Ok(self.carry_out(plan))
    }

    /// Dials one who came into a pool that was entered, and waits for that. No report follows; events tell what came of it.
    pub fn meet(&mut self, now: Instant, address: SocketAddr) {
        match self.connect(now, [address]) {
            Ok(call) => self.connects.remove(call),
            Err(ConnectError::TooManyDials { .. }) => {
                self.event(MeshEvent::PeerUnreachable { address, failure: DialFailure::TooManyDials });
            }
            Err(ConnectError::Closed) => {}
        }
    }

    /// Sorts addresses into those to dial and those connected already.
    fn plan(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> Result<Plan, ConnectError> {
        self.ensure_open()?;
        let limit = self.config.max_dials;
        if self.connects.len() >= limit {
            return Err(ConnectError::TooManyDials { limit });
        }
        let mut plan = Plan::default();
        for address in addresses.into_iter().map(canonical) {
            match self.dialed.get(&address) {
                Some(peer) if plan.connected.contains(&(address, *peer)) => {}
                Some(peer) => plan.connected.push((address, *peer)),
                None => drop(plan.waiting.insert(address)),
            }
        }
        Ok(plan)
    }

    /// How many of a plan's addresses are too many to be dialed.
    fn excess(&self, plan: &Plan) -> usize {
        let new = plan.waiting.iter().filter(|address| !self.dials.contains(address)).count();
        (self.dials.len() + new).saturating_sub(self.config.max_dials)
    }

    /// Takes what is too many out of a plan: whoever made a list that long, it was not the caller.
    fn shorten(&self, plan: &mut Plan) {
        for _ in 0..self.excess(plan) {
            let new = plan.waiting.iter().rev().find(|address| !self.dials.contains(address)).copied();
            plan.failed.extend(new.filter(|address| plan.waiting.remove(address)));
        }
    }

    fn carry_out(&mut self, mut plan: Plan) -> ConnectId {
        for address in &plan.waiting {
            self.dials.add(*address, &self.config);
        }
        let failed = plan.failed.iter().copied();
        plan.waiting.extend(failed);
        let call = self.connects.add(plan.waiting, plan.connected);
        for address in plan.failed {
            self.give_up(address, DialFailure::TooManyDials);
        }
        call
    }

    /// Forgets a call of [`connect`](Self::connect) or [`enter`](Self::enter): no report follows. What it has
    /// dialed is dialed on.
    pub fn cancel(&mut self, call: ConnectId) {
        self.connects.remove(call);
        self.outputs.retain(
            |output| !matches!(output, MeshOutput::Event(MeshEvent::Settled(report)) if report.id == call),
        );
    }

    /// Accepts links at `address`, and no more where it did before. Port 0 is any.
    ///
    /// # Errors
    /// If the mesh was closed.
    pub fn listen(&mut self, address: SocketAddr) -> Result<(), ConnectError> {
        self.ensure_open()?;
        if self.listening != Some(address) || address.port() == 0 {
            self.listening = Some(address);
            self.outputs.push_back(MeshOutput::Listen { address });
        }
        Ok(())
    }

    /// Has a link closed. Whether there is one of that name.
    pub fn disconnect(&mut self, peer: PeerId) -> bool {
        let known = self.peers.contains_key(&peer);
        if known {
            self.outputs.push_back(MeshOutput::Close { peer });
        }
        known
    }

    /// Accepts and dials no more, and has every link closed. [`MeshEvent::PeerGone`] follows for each.
    pub fn close(&mut self) {
        if self.closed {
            return;
        }
        self.closed = true;
        if self.listening.take().is_some() {
            self.outputs.push_back(MeshOutput::StopListening);
        }
        while let Some((address, attempt)) = self.dials.pop() {
            self.outputs.extend(attempt.map(|dial| MeshOutput::Abandon { dial }));
            self.give_up(address, DialFailure::Closed);
        }
        self.outputs.extend(self.peers.keys().map(|peer| MeshOutput::Close { peer: *peer }));
    }

    /// The connection that was to be dialed stands: its link, or none if it is not wanted any more; then drop the
    /// connection.
    #[must_use]
    pub fn handle_dialed(&mut self, now: Instant, dial: DialId) -> Option<(PeerId, Link)> {
        self.advance(now);
        let address = self.dials.succeed(dial)?;
        if self.peers.len() >= self.config.max_links {
            self.stats.refused += 1;
            self.give_up(address, DialFailure::TooManyLinks);
            return None;
        }
        let (peer, link) = self.add_peer(address, Side::Dialed);
        self.dialed.insert(address, peer);
        self.stats.dialed += 1;
        self.connects.settle(address, Ok(peer));
        Some((peer, link))
    }

    /// The connection that was to be dialed failed.
    pub fn handle_dial_failed(&mut self, now: Instant, dial: DialId, fault: Fault) {
        self.advance(now);
        self.fail(dial, fault);
    }

    /// A connection came in: its link, or none if it is refused; then drop the connection.
    #[must_use]
    pub fn handle_accepted(&mut self, now: Instant, from: SocketAddr) -> Option<(PeerId, Link)> {
        self.advance(now);
        let full =
            self.peers.len() >= self.config.max_links || self.untold >= self.config.max_pending_accepts;
        if self.closed || full {
            debug!(%from, closed = self.closed, "connection refused");
            self.stats.refused += 1;
            return None;
        }
        self.untold += 1;
        self.stats.accepted += 1;
        Some(self.add_peer(canonical(from), Side::Accepted))
    }

    /// A link has ended: it told [`LinkEvent::Closed`](crate::LinkEvent::Closed).
    pub fn handle_closed(&mut self, now: Instant, peer: PeerId, reason: CloseReason) {
        self.advance(now);
        let Some(Peer { address, side }) = self.peers.remove(&peer) else { return };
        if side == Side::Dialed {
            self.dialed.remove(&address);
        }
        debug!(%peer, %address, %reason, "peer gone");
        self.stats.gone += 1;
        self.event(MeshEvent::PeerGone { peer, address, reason });
    }

    /// Connections are accepted at `address`.
    pub fn handle_listening(&mut self, address: SocketAddr) {
        if !self.closed {
            self.event(MeshEvent::Listening { address });
        }
    }

    /// No connections can be accepted at `address`.
    pub fn handle_listen_failed(&mut self, address: SocketAddr, fault: Fault) {
        if self.listening == Some(address) {
            self.listening = None;
        }
        self.event(MeshEvent::ListenFailed { address, fault });
    }

    /// Says what time it is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// The next thing to do. Call it until it answers [`MeshOutput::Wait`].
    pub fn poll_output(&mut self) -> MeshOutput {
        if self.outputs.is_empty() {
            // Here and nowhere else, so that no input can make an address ready and leave it at that.
            self.work();
        }
        let Some(output) = self.outputs.pop_front() else { return MeshOutput::Wait(self.dials.earliest()) };
        if matches!(output, MeshOutput::Event(MeshEvent::PeerConnected { side: Side::Accepted, .. })) {
            self.untold = self.untold.saturating_sub(1);
        }
        output
    }

    /// The links there are, and where their peers are.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, SocketAddr)> + '_ {
        self.peers.iter().map(|(id, peer)| (*id, peer.address))
    }

    /// Bytes queued on all links together.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.budget.used()
    }

    /// What was dialed, accepted and refused so far.
    #[must_use]
    pub fn stats(&self) -> MeshStats {
        self.stats
    }

    fn ensure_open(&self) -> Result<(), ConnectError> {
        if self.closed { Err(ConnectError::Closed) } else { Ok(()) }
    }

    fn add_peer(&mut self, address: SocketAddr, side: Side) -> (PeerId, Link) {
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        self.peers.insert(peer, Peer { address, side });
        self.event(MeshEvent::PeerConnected { peer, address, side });
        (peer, Link::with_budget(self.config.link.clone(), self.now, self.budget.clone()))
    }

    fn event(&mut self, event: MeshEvent) {
        self.outputs.push_back(MeshOutput::Event(event));
    }

    fn fail(&mut self, dial: DialId, fault: Fault) {
        if let Some((address, failure)) = self.dials.fail(dial, self.now, fault, &self.config) {
            self.give_up(address, failure);
        }
    }

    fn give_up(&mut self, address: SocketAddr, failure: DialFailure) {
        debug!(%address, %failure, "peer unreachable");
        self.connects.settle(address, Err(failure));
        self.event(MeshEvent::PeerUnreachable { address, failure });
    }

    /// Moves on to `now`: attempts that took too long have failed.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(due) = self.dials.pop_due(self.now) {
            if let Some(dial) = due {
                self.outputs.push_back(MeshOutput::Abandon { dial });
                self.fail(dial, Fault::TimedOut);
            }
        }
    }

    /// Makes the attempts there is room for, and reports calls that wait for nothing any more.
    fn work(&mut self) {
        while let Some(next) = self.dials.next(self.now, &self.config) {
            match next {
                Next::Attempt { dial, address, timeout } => {
                    self.stats.dials += 1;
                    self.outputs.push_back(MeshOutput::Dial { dial, address, timeout });
                }
                Next::GiveUp(address, failure) => self.give_up(address, failure),
            }
        }
        while let Some(report) = self.connects.pop_settled() {
            self.event(MeshEvent::Settled(report));
        }
    }
}
