//! How streams flow: dials, writes, pieces, ends.

use bytes::Bytes;
use poolmesh_proto::{Fault, Write};

use super::address::{self, Addr, Place};
use super::core::{Core, What, micros};
use super::streams::{ACCEPTOR, ConnId, DIALER, End, Piece, Role, Side};

/// What became of the first piece that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It is on its way still, or nobody is there.
    No,
    /// It lies at the other end, to be read.
    Arrived,
    /// The sender's system gave the connection up.
    GivenUp,
}

/// Pieces of one write at the most.
const PIECES: usize = 16;

impl Core {
    /// Begins to dial.
    pub(super) fn dial(&mut self, node: usize, role: Role, target: Addr) -> ConnId {
        let Some(host) = self.hosts.get(node) else {
            return self.conns.insert(node, role, target, target);
        };
        let ip = host.nat.and_then(|nat| self.nats.get(nat)).map_or(host.ip, super::nat::Nat::ip);
        let seen_as = Addr::new(ip, self.rng.range(32_768, 60_999) as u16);
        let id = self.conns.insert(node, role, target, seen_as);
        let at = self.now + self.travel();
        self.queue.push(at, What::Syn(id));
        self.stats.connections += 1;
        id
    }

    /// The node that a dial leads to, if it can be reached now.
    pub(super) fn dialed_node(&self, id: ConnId) -> Option<usize> {
        let conn = self.conns.get(id)?;
        let from = conn.ends.first()?.node;
        let node = match address::place(conn.target.ip) {
            Place::Node(node) => node,
            Place::Behind(nat, number) if self.hosts.get(from)?.nat == Some(nat) => {
                *self.nats.get(nat)?.members.get(number)?
            }
            // Nobody behind a NAT can be dialed from outside.
            Place::Behind(..) | Place::Nat(_) | Place::Nowhere => return None,
        };
        let reached = !self.is_dark(node) && !self.is_blocked(from, node) && !self.is_blocked(node, from);
        // A NATed node is known inside only.
        let inside = self
            .hosts
            .get(node)?
            .nat
            .is_none_or(|nat| self.hosts.get(from).and_then(|host| host.nat) == Some(nat));
        (reached && inside).then_some(node)
    }

    /// Sends the first packet of a dial again, later each time.
    pub(super) fn redial(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let wait = 1_000_000 << conn.attempts.min(5);
        conn.attempts += 1;
        if conn.attempts < 7 {
            self.queue.push(self.now + wait, What::Syn(id));
        } else {
            self.reset(id, DIALER);
        }
    }

    /// Whether what is written was taken at once; if not, [`What::Written`] follows.
    pub(super) fn write(&mut self, id: ConnId, side: Side, write: Write) -> bool {
        let buffer = self.weather.streams.buffer;
        let Some(end) = self.conns.end_mut(id, side) else { return true };
        match write {
            Write::Finish => self.finish(id, side),
            Write::Bytes(bytes) if end.held == 0 || end.held + bytes.len() <= buffer => {
                self.take(id, side, bytes);
            }
            Write::Bytes(_) => {
                end.blocked = Some(write);
                return false;
            }
        }
        true
    }

    /// What was blocked is taken if there is room now.
    pub(super) fn unblock(&mut self, id: ConnId, side: Side) {
        let Some(end) = self.conns.end_mut(id, side) else { return };
        let Some(write) = end.blocked.take() else { return };
        if self.write(id, side, write) {
            let at = self.now + self.travel();
            self.queue.push(at, What::Written(id, side));
        }
    }

    fn take(&mut self, id: ConnId, side: Side, mut bytes: Bytes) {
        if self.conns.end(id, side).is_none_or(|end| end.dead) {
            return;
        }
        let weather = &self.weather.streams;
        let (most, bandwidth, loss) = (weather.max_piece.max(1), weather.bandwidth.max(1), weather.loss);
        let least = bytes.len() / PIECES;
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let len = if most < bytes.len() || self.rng.chance(200_000) {
                (1 + self.rng.index(most.min(bytes.len()))).max(least)
            } else {
                bytes.len()
            };
            let piece = bytes.split_to(len.min(bytes.len()));
            let mut wait = self.travel();
            if self.rng.chance(loss) {
                wait += 2 * micros(self.weather.delay) + 200_000;
            }
            pieces.push((wait, piece));
        }
        let now = self.now;
        let Some(end) = self.conns.end_mut(id, side) else { return };
        let mut before = end.under_way.back().map_or(0, |(at, _)| *at);
        for (wait, piece) in pieces {
            // What is sent takes its time after what was sent before.
            let at = (now + wait).max(before + piece.len() as u64 * 1_000_000 / bandwidth);
            before = at;
            end.held += piece.len();
            end.under_way.push_back((at, Piece::Bytes(piece)));
        }
        self.plan(id, side);
    }

    fn finish(&mut self, id: ConnId, side: Side) {
        let at = self.now + self.travel();
        let Some(end) = self.conns.end_mut(id, side) else { return };
        if !std::mem::replace(&mut end.finished, true) && !end.dead {
            let at = end.under_way.back().map_or(at, |(before, _)| at.max(*before));
            end.under_way.push_back((at, Piece::Fin));
            self.plan(id, side);
        }
    }

    fn plan(&mut self, id: ConnId, side: Side) {
        let now = self.now;
        let Some(end) = self.conns.end_mut(id, side) else { return };
        if let (false, Some((at, _))) = (end.moving, end.under_way.front()) {
            let at = (*at).max(now);
            end.moving = true;
            self.queue.push(at, What::Move(id, side));
        }
    }

    /// Moves the first piece that is under way from `side`.
    pub(super) fn move_piece(&mut self, id: ConnId, side: Side) -> Moved {
        let moved = self.try_move(id, side);
        self.conns.tidy(id);
        moved
    }

    fn try_move(&mut self, id: ConnId, side: Side) -> Moved {
        let Some(end) = self.conns.end_mut(id, side) else { return Moved::No };
        end.moving = false;
        let from = end.node;
        let Some(there) = self.conns.end(id, 1 - side) else { return Moved::No };
        let (to, listens) = (there.node, there.open);
        if self.is_dark(to) || self.is_blocked(from, to) || self.is_blocked(to, from) {
            return self.stick(id, side);
        }
        let cut = self.rng.chance(self.weather.streams.cut);
        let corrupt = self.rng.chance(self.weather.streams.corrupt);
        let Some(end) = self.conns.end_mut(id, side) else { return Moved::No };
        end.stuck = None;
        let Some((_, mut piece)) = end.under_way.pop_front() else { return Moved::No };
        if !listens {
            // Nobody is there any more: the system there says so, if there is anything left to say it to.
            end.silence();
            if let Piece::Bytes(_) = piece {
                self.reset(id, side);
            }
            return Moved::No;
        }
        if let (true, Piece::Bytes(bytes)) = (corrupt, &piece) {
            let flipped = self.flip(bytes);
            piece = Piece::Bytes(flipped);
            self.spoil(id, side);
        }
        if let (true, Piece::Bytes(bytes)) = (cut, &mut piece) {
            let len = self.rng.index(bytes.len());
            bytes.truncate(len);
            self.cut(id);
        }
        if let Some(end) = self.conns.end_mut(id, side) {
            end.arrived.push_back(piece);
        }
        self.plan(id, side);
        Moved::Arrived
    }

    /// The way is blocked: the system tries again, until it gives up.
    fn stick(&mut self, id: ConnId, side: Side) -> Moved {
        let (now, give_up) = (self.now, micros(self.weather.streams.give_up));
        let Some(end) = self.conns.end_mut(id, side) else { return Moved::No };
        let since = now - *end.stuck.get_or_insert(now);
        if since >= give_up {
            end.silence();
            return Moved::GivenUp;
        }
        end.moving = true;
        self.queue.push(now + since.clamp(200_000, 10_000_000), What::Move(id, side));
        Moved::No
    }

    fn spoil(&mut self, id: ConnId, side: Side) {
        if let Some(end) = self.conns.end_mut(id, side) {
            end.spoiled = true;
        }
    }

    /// Breaks a connection: both ends learn it.
    pub(super) fn cut(&mut self, id: ConnId) {
        self.stats.broken += 1;
        for side in [DIALER, ACCEPTOR] {
            if let Some(end) = self.conns.end_mut(id, side) {
                end.stop();
            }
            self.reset(id, side);
        }
    }

    /// Tells an end that the connection is broken, after what has arrived.
    pub(super) fn reset(&mut self, id: ConnId, side: Side) {
        let at = self.now + self.travel();
        self.queue.push(at, What::Break(id, side, Fault::Reset));
    }

    /// The program lets go of its socket. What it has written still arrives; if it leaves something unread, the other end
    /// is told that the connection is broken.
    pub(super) fn close(&mut self, id: ConnId, side: Side) {
        let Some(end) = self.conns.end_mut(id, side) else { return };
        if !std::mem::replace(&mut end.open, false) {
            return;
        }
        end.role = Role::None;
        end.blocked = None;
        let established = self.conns.get(id).is_some_and(|conn| conn.established);
        if let (true, Some(other)) = (established, self.conns.end_mut(id, 1 - side)) {
            let unread = !other.arrived.is_empty();
            other.arrived.clear();
            other.held = 0;
            if unread {
                if let Some(end) = self.conns.end_mut(id, side) {
                    end.stop();
                }
                self.reset(id, 1 - side);
            } else {
                self.finish(id, side);
            }
        }
        self.conns.tidy(id);
    }

    /// The end vanishes without a word, as at a power failure.
    pub(super) fn vanish(&mut self, id: ConnId, side: Side) {
        if let Some(other) = self.conns.end_mut(id, 1 - side) {
            other.arrived.clear();
        }
        let Some(end) = self.conns.end_mut(id, side) else { return };
        end.open = false;
        end.role = Role::None;
        end.blocked = None;
        end.stop();
        self.conns.tidy(id);
    }

    /// The end that was dialed exists from now on.
    pub(super) fn establish(&mut self, id: ConnId, node: usize, role: Role) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.established = true;
            if let Some(end) = conn.ends.get_mut(ACCEPTOR) {
                *end = End::new(node, role);
            }
        }
    }
}
