//! Nodes that speak for themselves, in bytes: foreign implementations, attackers.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use poolmesh_proto::{Instant, Write};

use super::address::Addr;
use super::core::Core;
use super::rng::Rng;
use super::streams::{ConnId, Piece, Role};

/// A node without machines: whatever it says on the wire, it says itself. What it does is its own affair, and nothing
/// that it does may hurt the others beyond what the wire's lack of proofs allows.
pub trait Actor: fmt::Debug {
    /// When it wants to be woken next, by its clock.
    fn deadline(&self) -> Option<Instant>;

    /// The time of [`deadline`](Self::deadline) has come, or a little before.
    fn wake(&mut self, wire: &mut Wire<'_>);

    /// A datagram came.
    fn datagram(&mut self, wire: &mut Wire<'_>, from: SocketAddr, datagram: &Bytes) {
        let _ = (wire, from, datagram);
    }

    /// Whether it accepts connections at this port.
    fn listens(&self, port: u16) -> bool {
        let _ = port;
        false
    }

    /// A connection stands: one that came in, or one that was dialed.
    fn connected(&mut self, wire: &mut Wire<'_>, conn: ConnId) {
        let _ = (wire, conn);
    }

    /// Bytes came over a connection; none at its end.
    fn received(&mut self, wire: &mut Wire<'_>, conn: ConnId, bytes: Option<Bytes>) {
        let _ = (wire, conn, bytes);
    }

    /// A connection is no more, or never was.
    fn broken(&mut self, wire: &mut Wire<'_>, conn: ConnId) {
        let _ = (wire, conn);
    }
}

/// What an [`Actor`] acts through: the bare network.
#[derive(Debug)]
pub struct Wire<'a> {
    pub(super) core: &'a mut Core,
    pub(super) place: usize,
    pub(super) own: Addr,
    pub(super) now: Instant,
}

impl Wire<'_> {
    /// The time by this node's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The node's own address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.own.to_socket()
    }

    /// Chance that follows from the world's seed.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.core.rng
    }

    /// Sends a datagram from the node's own address.
    pub fn send(&mut self, to: SocketAddr, datagram: Bytes) {
        if let Some(to) = Addr::of(to) {
            self.core.send_datagram(self.place, self.own, to, datagram, false);
        }
    }

    /// Sends a datagram that seems to come from `from`.
    pub fn forge(&mut self, from: SocketAddr, to: SocketAddr, datagram: Bytes) {
        if let (Some(from), Some(to)) = (Addr::of(from), Addr::of(to)) {
            self.core.send_datagram(self.place, from, to, datagram, true);
        }
    }

    /// Some datagram that was overheard at a place that [is tapped](super::World::tap): from where, to where, and what it
    /// was. None if there was none.
    pub fn overheard(&mut self) -> Option<(SocketAddr, SocketAddr, Bytes)> {
        let place = self.core.rng.index(self.core.overheard.len());
        let (from, to, datagram) = self.core.overheard.get(place)?;
        Some((from.to_socket(), to.to_socket(), datagram.clone()))
    }

    /// Opens a connection. [`Actor::connected`] or [`Actor::broken`] follows.
    pub fn dial(&mut self, to: SocketAddr) -> Option<ConnId> {
        Addr::of(to).map(|to| self.core.dial(self.place, Role::Raw, to))
    }

    /// Writes to a connection. What its buffers don't hold is lost.
    pub fn write(&mut self, conn: ConnId, bytes: Bytes) {
        if let Some(side) = self.side(conn) {
            self.core.write(conn, side, Write::Bytes(bytes));
        }
    }

    /// Lets go of a connection.
    pub fn close(&mut self, conn: ConnId) {
        if let Some(side) = self.side(conn) {
            self.core.close(conn, side);
        }
    }

    fn side(&self, conn: ConnId) -> Option<usize> {
        let ends = &self.core.conns.get(conn)?.ends;
        ends.iter().position(|end| end.node == self.place && end.open)
    }
}

/// Reads all that has arrived for an actor.
pub(super) fn read(actor: &mut dyn Actor, wire: &mut Wire<'_>, conn: ConnId, from: usize) {
    loop {
        let Some(end) = wire.core.conns.end_mut(conn, from) else { return };
        let Some(piece) = end.arrived.pop_front() else { break };
        match piece {
            Piece::Bytes(bytes) => {
                end.held = end.held.saturating_sub(bytes.len());
                actor.received(wire, conn, Some(bytes));
            }
            Piece::Fin => actor.received(wire, conn, None),
        }
    }
    wire.core.unblock(conn, from);
}
