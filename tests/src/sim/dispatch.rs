//! What happens next: each thing goes to the node that it concerns.

use poolmesh_proto::trace::Input;
use poolmesh_proto::{Fault, Machine};

use super::actor::{self, Wire};
use super::address::{self, Addr, Place};
use super::app::App;
use super::core::{Core, Datagram, What};
use super::drive::{drain_peer, drain_server, note_drawn, read};
use super::flow::Moved;
use super::node::{Kind, Node, State};
use super::streams::{ACCEPTOR, ConnId, DIALER, Role, Side};
use super::world::World;

/// Datagrams that a frozen node's system keeps for it.
const KEPT: usize = 256;

impl<A: App> World<A> {
    /// Lets one thing happen.
    pub(super) fn dispatch(&mut self, what: What) {
        self.core.stats.events += 1;
        let (kind, node) = match &what {
            What::Datagram(_) => (0, 0),
            What::Wake { node } => (1, *node),
            What::Drain { node } => (2, *node),
            What::Syn(id) => (3, id.slot as usize),
            What::Answer(id, _) => (4, id.slot as usize),
            What::Move(id, side) => (5 + side, id.slot as usize),
            What::Resume(id, side) => (7 + side, id.slot as usize),
            What::Written(id, side) => (9 + side, id.slot as usize),
            What::Break(id, side, _) => (11 + side, id.slot as usize),
        };
        let now = self.core.now;
        self.core.print.number(now << 4 ^ kind as u64 ^ (node as u64) << 48);
        match what {
            What::Datagram(datagram) => self.datagram(datagram),
            What::Wake { node } => self.wake(node),
            What::Drain { node } => self.late_drain(node),
            What::Syn(id) => self.syn(id),
            What::Answer(id, accepted) => self.answer(id, accepted),
            What::Move(id, side) => match self.core.move_piece(id, side) {
                Moved::Arrived => self.arrived(id, side),
                Moved::GivenUp => self.break_end(id, side, Fault::TimedOut),
                Moved::No => {}
            },
            What::Resume(id, side) => self.read(id, side),
            What::Written(id, side) => self.written(id, side),
            What::Break(id, side, fault) => self.break_end(id, side, fault),
        }
    }

    /// Keeps what concerns a frozen node until it goes on. Answers the rest.
    fn hold(&mut self, place: usize, what: What) -> Option<What> {
        let node = self.nodes.get_mut(place)?;
        match node.state {
            State::Running => Some(what),
            State::Frozen => {
                if node.held.len() < KEPT || !matches!(what, What::Datagram(_)) {
                    node.held.push_back(what);
                }
                None
            }
            State::Crashed | State::Dark => None,
        }
    }

    /// The node and its inner address behind an outer one.
    fn destination(&mut self, to: Addr, from: Addr) -> Option<(usize, Addr)> {
        match address::place(to.ip) {
            Place::Node(node) => Some((node, to)),
            Place::Nat(nat) => {
                let now = self.core.now;
                let nat = self.core.nats.get_mut(nat)?;
                let sender_is_inside = from.ip == nat.ip();
                if sender_is_inside && !nat.config.hairpin {
                    return None;
                }
                let inside = nat.inbound(now, to.port, from)?;
                let Place::Behind(_, number) = address::place(inside.ip) else { return None };
                Some((*nat.members.get(number)?, inside))
            }
            Place::Behind(..) | Place::Nowhere => None,
        }
    }

    fn datagram(&mut self, datagram: Datagram) {
        if datagram.replay_of.is_some_and(|storm| storm != self.core.storm) {
            return;
        }
        let Some((place, to)) = self.destination(datagram.to, datagram.from) else { return };
        if self.core.is_blocked(datagram.origin, place) || self.core.is_dark(place) {
            self.core.stats.lost += 1;
            return;
        }
        let Some(What::Datagram(datagram)) = self.hold(place, What::Datagram(datagram)) else { return };
        let Some(node) = self.nodes.get_mut(place) else { return };
        if to.port != node.own.port {
            return;
        }
        let core = &mut self.core;
        let now = node.clock.show(core.now);
        let from = datagram.from.to_socket();
        let payload = datagram.payload;
        match &mut node.kind {
            Kind::Server(server) => {
                if let Some(tape) = &mut core.tape {
                    tape.note(place, now, Input::Datagram { from, datagram: payload.clone() });
                }
                server.check.datagram(now, from, &payload, &core.book);
                server.machine.handle_datagram(now, from, &payload);
                note_drawn(core, place, now, server);
            }
            Kind::Peer(peer) => {
                peer.machines.datagram(core, now, from, &payload, datagram.doubtful);
            }
            Kind::Actor(actor) => {
                actor.datagram(&mut Wire { core, place, own: node.own, now }, from, &payload);
            }
            Kind::Nothing => return,
        }
        self.settle(place, false);
    }

    fn wake(&mut self, place: usize) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        let core = &mut self.core;
        if node.wake != core.now || !node.runs() {
            return;
        }
        node.wake = u64::MAX;
        let early = std::mem::take(&mut node.early);
        let now = node.clock.show(core.now);
        let due = node.deadline().is_some_and(|at| at <= now);
        if !due && !early {
            return self.plan(place);
        }
        let times = 1 + u32::from(core.rng.chance(node.lateness.double_timeout));
        for _ in 0..times {
            match &mut node.kind {
                Kind::Server(server) => {
                    if let Some(tape) = &mut core.tape {
                        tape.note(place, now, Input::Timeout);
                    }
                    server.check.timeout(now);
                    server.machine.handle_timeout(now);
                }
                Kind::Peer(peer) => {
                    peer.machines.client_timeout(core, now);
                    peer.machines.mesh_timeout(core, now);
                    peer.machines.links_timeout(core, now);
                }
                Kind::Actor(actor) => actor.wake(&mut Wire { core, place, own: node.own, now }),
                Kind::Nothing => {}
            }
        }
        self.settle(place, true);
    }

    /// After an input: drains, now or later, and plans the next wake-up.
    pub(super) fn settle(&mut self, place: usize, timeout: bool) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        if node.draining {
            return;
        }
        if self.core.rng.chance(node.lateness.late_drain) {
            node.draining = true;
            let at = self.core.now + self.core.rng.exponential(node.lateness.late_by);
            return self.core.queue.push(at, What::Drain { node: place });
        }
        self.drain(place, timeout);
    }

    fn late_drain(&mut self, place: usize) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        if node.runs() && std::mem::take(&mut node.draining) {
            self.drain(place, false);
        }
    }

    pub(super) fn drain(&mut self, place: usize, timeout: bool) {
        let core = &mut self.core;
        let Some(node) = self.nodes.get_mut(place) else { return };
        let own = node.own;
        if let Kind::Server(server) = &mut node.kind {
            drain_server(core, place, own, server, timeout);
        }
        drain_peer(core, node, place, timeout);
        // What a full link has left unread may find room now.
        while !node.unread.is_empty() && reread(core, node) {
            drain_peer(core, node, place, false);
        }
        self.plan(place);
    }

    /// Sets the next wake-up by the node's deadline, its clock, and how well it is driven.
    pub(super) fn plan(&mut self, place: usize) {
        let core = &mut self.core;
        let Some(node) = self.nodes.get_mut(place) else { return };
        let Some(mut at) = node.deadline().and_then(|deadline| node.clock.when(deadline)) else {
            node.wake = u64::MAX;
            return;
        };
        at = at.max(core.now);
        if node.wake <= at && node.wake > core.now {
            // It comes a little early, looks, and goes back to sleep.
            return;
        }
        if core.rng.chance(node.lateness.late_timeout) {
            at = at.saturating_add(core.rng.exponential(node.lateness.late_by));
        } else if core.rng.chance(node.lateness.early_timeout) {
            at = core.now + core.rng.below(at - core.now);
            node.early = true;
        }
        // Time passes between two turns of a loop: no node stands still for ever.
        at = at.max(core.now + 1);
        node.wake = at;
        core.queue.push(at, What::Wake { node: place });
    }

    fn syn(&mut self, id: ConnId) {
        let Some((port, dialer_waits)) = self
            .core
            .conns
            .get(id)
            .map(|conn| (conn.target.port, conn.ends.first().is_some_and(|end| end.open)))
        else {
            return;
        };
        if !dialer_waits {
            return;
        }
        let Some(place) = self.core.dialed_node(id) else { return self.core.redial(id) };
        let at = self.core.now + self.core.travel();
        let listens = self.nodes.get(place).is_some_and(|node| node.listens(port));
        self.core.queue.push(at, What::Answer(id, listens));
        if listens {
            let raw = self.nodes.get(place).is_some_and(|node| matches!(node.kind, Kind::Actor(_)));
            self.core.establish(id, place, if raw { Role::Raw } else { Role::None });
            self.accept(place, id);
        }
    }

    /// A connection waits to be accepted.
    fn accept(&mut self, place: usize, id: ConnId) {
        // A system accepts for a frozen program: what is held is handed in later as if it arrived then.
        if self.hold(place, What::Resume(id, DIALER)).is_none() {
            return;
        }
        let core = &mut self.core;
        match self.nodes.get(place) {
            // So it does for one that is late, which may not want it any more by then.
            Some(node) if matches!(node.kind, Kind::Peer(_)) && core.rng.chance(node.lateness.late_drain) => {
                let at = core.now + core.rng.exponential(node.lateness.late_by);
                core.queue.push(at, What::Resume(id, DIALER));
            }
            Some(_) | None => self.take_in(place, id),
        }
    }

    /// The program takes a connection that its system has accepted.
    fn take_in(&mut self, place: usize, id: ConnId) {
        let core = &mut self.core;
        let Some(node) = self.nodes.get_mut(place) else { return };
        let Some(seen_as) = core.conns.get(id).map(|conn| conn.seen_as.to_socket()) else { return };
        let now = node.clock.show(core.now);
        match &mut node.kind {
            Kind::Peer(peer) => match peer.machines.accepted(core, now, seen_as) {
                Some(link) => {
                    peer.machines.ends.insert(link, (id, ACCEPTOR));
                    if let Some(end) = core.conns.end_mut(id, ACCEPTOR) {
                        end.role = Role::Link(link);
                    }
                }
                None => core.close(id, ACCEPTOR),
            },
            Kind::Actor(actor) => actor.connected(&mut Wire { core, place, own: node.own, now }, id),
            Kind::Server(_) | Kind::Nothing => core.close(id, ACCEPTOR),
        }
        self.settle(place, false);
    }

    fn answer(&mut self, id: ConnId, accepted: bool) {
        let Some((place, role, open)) = self.end(id, DIALER) else { return };
        if !open {
            return;
        }
        let Some(_) = self.hold(place, What::Answer(id, accepted)) else { return };
        let core = &mut self.core;
        let Some(node) = self.nodes.get_mut(place) else { return };
        let now = node.clock.show(core.now);
        match (&mut node.kind, role) {
            (Kind::Peer(peer), Role::Dialing(dial)) if accepted => {
                match peer.machines.dialed(core, now, dial) {
                    Some(link) => {
                        peer.machines.ends.insert(link, (id, DIALER));
                        if let Some(end) = core.conns.end_mut(id, DIALER) {
                            end.role = Role::Link(link);
                        }
                    }
                    None => core.close(id, DIALER),
                }
            }
            (Kind::Peer(peer), Role::Dialing(dial)) => {
                core.close(id, DIALER);
                peer.machines.dial_failed(core, now, dial, Fault::Refused);
            }
            (Kind::Actor(actor), Role::Raw) => {
                let wire = &mut Wire { core, place, own: node.own, now };
                if accepted {
                    actor.connected(wire, id)
                } else {
                    actor.broken(wire, id)
                }
                if !accepted {
                    core.close(id, DIALER);
                }
            }
            (Kind::Server(_) | Kind::Peer(_) | Kind::Actor(_) | Kind::Nothing, _) => core.close(id, DIALER),
        }
        self.settle(place, false);
        self.read(id, ACCEPTOR);
    }

    fn end(&self, id: ConnId, side: Side) -> Option<(usize, Role, bool)> {
        self.core.conns.end(id, side).map(|end| (end.node, end.role, end.open))
    }

    /// A piece has arrived from `side`: it is read, unless the reader does something else just now.
    fn arrived(&mut self, id: ConnId, side: Side) {
        let core = &mut self.core;
        if core.rng.chance(core.weather.streams.pause) {
            let until = core.now + core.rng.exponential(core.weather.streams.pause_length);
            if let Some(end) = core.conns.end_mut(id, side) {
                end.paused = end.paused.max(until);
                core.queue.push(end.paused, What::Resume(id, side));
            }
        }
        self.read(id, side);
    }

    /// Reads what has arrived from `side`.
    fn read(&mut self, id: ConnId, side: Side) {
        let Some((place, role, true)) = self.end(id, 1 - side) else { return };
        if self.hold(place, What::Resume(id, side)).is_none() {
            return;
        }
        let core = &mut self.core;
        let Some(node) = self.nodes.get_mut(place) else { return };
        let now = node.clock.show(core.now);
        match (&mut node.kind, role) {
            (Kind::Peer(peer), Role::Link(link)) => {
                if read(core, &mut peer.machines, now, link, id, side) && !node.unread.contains(&(id, side)) {
                    node.unread.push((id, side));
                }
            }
            (Kind::Actor(actor), Role::Raw) => {
                let wire = &mut Wire { core, place, own: node.own, now };
                actor::read(actor.as_mut(), wire, id, side);
            }
            // What a frozen program's system has accepted for it.
            (Kind::Peer(_), Role::None) if side == DIALER => return self.take_in(place, id),
            (Kind::Server(_) | Kind::Peer(_) | Kind::Actor(_) | Kind::Nothing, _) => return,
        }
        self.settle(place, false);
    }

    fn written(&mut self, id: ConnId, side: Side) {
        let Some((place, Role::Link(link), true)) = self.end(id, side) else { return };
        if self.hold(place, What::Written(id, side)).is_none() {
            return;
        }
        let core = &mut self.core;
        let Some(node) = self.nodes.get_mut(place) else { return };
        let now = node.clock.show(core.now);
        if let Some(peer) = node.peer_mut() {
            peer.machines.written(core, now, link);
        }
        self.settle(place, false);
    }

    /// An end learns that its connection is broken.
    fn break_end(&mut self, id: ConnId, side: Side, fault: Fault) {
        let Some((place, role, true)) = self.end(id, side) else { return };
        if self.hold(place, What::Break(id, side, fault)).is_none() {
            return;
        }
        let core = &mut self.core;
        if let Some(end) = core.conns.end_mut(id, side) {
            end.silence();
        }
        let Some(node) = self.nodes.get_mut(place) else { return };
        let now = node.clock.show(core.now);
        match (&mut node.kind, role) {
            (Kind::Peer(peer), Role::Link(link)) => peer.machines.failure(core, now, link, fault),
            (Kind::Peer(peer), Role::Dialing(dial)) => {
                core.close(id, side);
                peer.machines.dial_failed(core, now, dial, Fault::TimedOut);
            }
            (Kind::Actor(actor), Role::Raw) => {
                actor.broken(&mut Wire { core, place, own: node.own, now }, id);
                core.close(id, side);
            }
            (Kind::Server(_) | Kind::Peer(_) | Kind::Actor(_) | Kind::Nothing, _) => core.close(id, side),
        }
        self.settle(place, false);
    }
}

/// Reads once more what full links have left. Whether any took something.
fn reread<A: App>(core: &mut Core, node: &mut Node<A>) -> bool {
    let now = node.clock.show(core.now);
    let unread = std::mem::take(&mut node.unread);
    let mut left = Vec::new();
    let mut progress = false;
    for (id, side) in unread {
        let before = core.conns.end(id, side).map_or(0, |end| end.arrived.len());
        let Some(Role::Link(link)) = core.conns.end(id, 1 - side).filter(|end| end.open).map(|end| end.role)
        else {
            continue;
        };
        let Some(peer) = node.peer_mut() else { continue };
        if read(core, &mut peer.machines, now, link, id, side) {
            left.push((id, side));
        }
        progress |= core.conns.end(id, side).map_or(0, |end| end.arrived.len()) < before;
    }
    node.unread = left;
    progress
}
