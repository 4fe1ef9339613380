//! Byte streams between nodes: what both systems hold, what is under way, what was sent and not yet seen to arrive.

use std::collections::VecDeque;

use bytes::Bytes;
use poolmesh_proto::{DialId, PeerId, Write};

use super::address::Addr;

/// Names a connection. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId {
    pub(super) slot: u32,
    pub(super) turn: u32,
}

/// Which end of a connection: 0 dialed, 1 accepted.
pub(super) type Side = usize;

pub(super) const DIALER: Side = 0;
pub(super) const ACCEPTOR: Side = 1;

/// What an end of a connection is to the program that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nobody's yet, or no more.
    None,
    /// It is being dialed for a mesh.
    Dialing(DialId),
    /// A mesh's link.
    Link(PeerId),
    /// An actor's, who deals in bytes.
    Raw,
}

#[derive(Clone, Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    Fin,
}

/// One end, and what goes from it to the other.
#[derive(Debug)]
pub(super) struct End {
    pub(super) node: usize,
    pub(super) role: Role,
    /// The program holds its socket.
    pub(super) open: bool,
    /// Taken by the system and not arrived, in order, each with the time from which it can be there.
    pub(super) under_way: VecDeque<(u64, Piece)>,
    /// Whether something is planned for the first of those.
    pub(super) moving: bool,
    /// Arrived at the other system, and not read there.
    pub(super) arrived: VecDeque<Piece>,
    /// Bytes of both.
    pub(super) held: usize,
    /// A write that found no room. The sender is told when it is done.
    pub(super) blocked: Option<Write>,
    pub(super) finished: bool,
    /// The connection is broken in this direction: what is written is lost.
    pub(super) dead: bool,
    /// Since when the first piece could not get through.
    pub(super) stuck: Option<u64>,
    /// The reader at the other end does something else until then.
    pub(super) paused: u64,
    /// Fingerprints of the events that were sent and not yet received.
    pub(super) sent: VecDeque<u64>,
    /// Bits were flipped: what arrives is not what was sent.
    pub(super) spoiled: bool,
    /// The link said that everything was written before it ended.
    pub(super) ended_well: bool,
    /// A link's end, whose events are followed; not one of an actor's.
    pub(super) honest: bool,
}

impl End {
    pub(super) const fn new(node: usize, role: Role) -> Self {
        Self {
            honest: !matches!(role, Role::Raw),
            node,
            role,
            open: true,
            under_way: VecDeque::new(),
            moving: false,
            arrived: VecDeque::new(),
            held: 0,
            blocked: None,
            finished: false,
            dead: false,
            stuck: None,
            paused: 0,
            sent: VecDeque::new(),
            spoiled: false,
            ended_well: false,
        }
    }

    /// Nothing goes from it any more, and what has not arrived never does.
    pub(super) fn stop(&mut self) {
        self.dead = true;
        self.under_way.clear();
    }

    /// The same, and what has arrived is not read any more.
    pub(super) fn silence(&mut self) {
        self.dead = true;
        self.under_way.clear();
        self.arrived.clear();
        self.blocked = None;
        self.held = 0;
    }
}

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) turn: u32,
    /// Where the dialer wants to go.
    pub(super) target: Addr,
    /// As whom the acceptor sees the dialer.
    pub(super) seen_as: Addr,
    pub(super) ends: [End; 2],
    pub(super) established: bool,
    pub(super) attempts: u32,
}

/// All connections of a world.
#[derive(Debug, Default)]
pub(super) struct Conns {
    slots: Vec<Option<Conn>>,
    turns: Vec<u32>,
    free: Vec<u32>,
}

impl Conns {
    pub(super) fn insert(&mut self, from: usize, role: Role, target: Addr, seen_as: Addr) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.turns.push(0);
            self.slots.len() as u32 - 1
        });
        let turn = self.turns.get(slot as usize).copied().unwrap_or_default();
        let mut acceptor = End::new(usize::MAX, Role::None);
        acceptor.open = false;
        let ends = [End::new(from, role), acceptor];
        let conn = Conn { turn, target, seen_as, ends, established: false, attempts: 0 };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(conn);
        }
        ConnId { slot, turn }
    }

    pub(super) fn get(&self, id: ConnId) -> Option<&Conn> {
        self.slots.get(id.slot as usize)?.as_ref().filter(|conn| conn.turn == id.turn)
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.slots.get_mut(id.slot as usize)?.as_mut().filter(|conn| conn.turn == id.turn)
    }

    pub(super) fn end(&self, id: ConnId, side: Side) -> Option<&End> {
        self.get(id)?.ends.get(side)
    }

    pub(super) fn end_mut(&mut self, id: ConnId, side: Side) -> Option<&mut End> {
        self.get_mut(id)?.ends.get_mut(side)
    }

    /// Forgets the connection if nobody holds it and nothing of it is under way.
    pub(super) fn tidy(&mut self, id: ConnId) {
        let Some(conn) = self.get(id) else { return };
        let over = conn.ends.iter().all(|end| !end.open && end.under_way.is_empty() && !end.moving);
        if over {
            if let Some(slot) = self.slots.get_mut(id.slot as usize) {
                *slot = None;
            }
            if let Some(turn) = self.turns.get_mut(id.slot as usize) {
                *turn = turn.wrapping_add(1);
            }
            self.free.push(id.slot);
        }
    }

    /// The ends that a node's program holds.
    pub(super) fn held_by(&self, node: usize) -> Vec<(ConnId, Side)> {
        let all = self.slots.iter().enumerate().filter_map(|(slot, conn)| Some((slot, conn.as_ref()?)));
        let ends = all.flat_map(|(slot, conn)| {
            let id = ConnId { slot: slot as u32, turn: conn.turn };
            conn.ends.iter().enumerate().map(move |(side, end)| (id, side, end))
        });
        ends.filter(|(_, _, end)| end.open && end.node == node).map(|(id, side, _)| (id, side)).collect()
    }
}
