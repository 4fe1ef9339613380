//! What driver and world have in common.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use poolmesh_proto::Instant;

use super::{CALLS, CAPACITY};
use crate::driver::{Recording, SocketId};

/// Datagrams and who sent them.
type Inbox = VecDeque<(Vec<u8>, SocketAddr)>;

/// One socket, of the driver or of the world.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) address: Option<SocketAddr>,
    /// In the recording, if it is the driver's.
    pub(super) name: Option<String>,
    /// If it is one for datagrams.
    pub(super) datagrams: Option<Inbox>,
    /// If it is a port.
    pub(super) port: Option<Port>,
    /// If it is one end of a connection.
    pub(super) end: Option<End>,
}

/// What becomes of those who dial a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accept,
    Refuse,
    Silence,
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) answer: Answer,
    /// Connections that wait to be accepted.
    pub(super) waiting: VecDeque<SocketId>,
    /// Attempts that are not answered.
    pub(super) unanswered: Vec<SocketId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Dialing,
    Refused,
    Open,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) stage: Stage,
    pub(super) other: Option<SocketId>,
    /// What the other side has written.
    pub(super) incoming: VecDeque<u8>,
    pub(super) capacity: usize,
    /// The other side writes no more.
    pub(super) ended: bool,
    /// The connection is broken.
    pub(super) broken: bool,
    /// The other side is gone: what is written meets nobody.
    pub(super) gone: bool,
    /// The first read and the first write are interrupted, as they may be.
    pub(super) interrupted: [bool; 2],
}

impl End {
    pub(super) fn new(stage: Stage, other: Option<SocketId>) -> Self {
        Self {
            stage,
            other,
            incoming: VecDeque::new(),
            capacity: CAPACITY,
            ended: false,
            broken: false,
            gone: false,
            interrupted: [false; 2],
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) now: Instant,
    /// When the driver wants to be woken.
    pub(super) wake: Option<Instant>,
    /// Calls of the driver that did something.
    pub(super) moved: u64,
    /// Calls of the driver at this time.
    pub(super) calls: u64,
    pub(super) sockets: BTreeMap<SocketId, Slot>,
    next: usize,
    names: BTreeMap<&'static str, usize>,
    pub(super) recording: Recording,
    pub(super) receive_errors: VecDeque<ErrorKind>,
    pub(super) send_errors: VecDeque<ErrorKind>,
    pub(super) accept_errors: VecDeque<i32>,
    pub(super) accepts: u64,
}

impl State {
    pub(super) fn add(&mut self, slot: Slot) -> SocketId {
        let id = SocketId(self.next);
        self.next += 1;
        self.sockets.insert(id, slot);
        id
    }

    /// An address nobody has.
    pub(super) fn fresh_address(&self) -> SocketAddr {
        let port = u16::try_from(10_000 + self.next).expect("a check opens few sockets");
        ([127, 0, 0, 1], port).into()
    }

    /// A name for one more socket of the driver.
    pub(super) fn name(&mut self, kind: &'static str) -> String {
        let count = self.names.entry(kind).or_default();
        *count += 1;
        format!("{kind} {count}")
    }

    /// Counts a call of the driver.
    pub(super) fn called(&mut self) {
        self.calls += 1;
        assert!(self.calls < CALLS, "the driver turns in circles: {CALLS} calls and no time has passed");
    }

    /// Notes a call of the driver that did something.
    pub(super) fn did(&mut self, id: SocketId, call: String) {
        self.moved += 1;
        let (now, name) = (self.now, self.name_of(id));
        self.recording.call(now, &name, call);
    }

    /// Notes a call of the driver that moved bytes.
    pub(super) fn did_move(&mut self, id: SocketId, call: &str, bytes: usize) {
        self.moved += 1;
        let (now, name) = (self.now, self.name_of(id));
        self.recording.moved(now, &name, call, bytes);
    }

    fn name_of(&self, id: SocketId) -> String {
        self.sockets.get(&id).and_then(|slot| slot.name.clone()).unwrap_or_default()
    }

    /// The socket for datagrams at an address.
    pub(super) fn udp_at(&mut self, at: SocketAddr) -> Option<&mut Inbox> {
        let found = self.sockets.values_mut().find(|slot| {
            slot.datagrams.is_some() && slot.address.is_some_and(|address| address.port() == at.port())
        });
        found.and_then(|slot| slot.datagrams.as_mut())
    }

    /// The port at an address, all interfaces being the same here.
    pub(super) fn port_at(&self, at: SocketAddr) -> Option<SocketId> {
        let found = self.sockets.iter().find(|(_, slot)| {
            slot.port.is_some() && slot.address.is_some_and(|address| address.port() == at.port())
        });
        found.map(|(id, _)| *id)
    }

    pub(super) fn port_mut(&mut self, id: SocketId) -> Option<&mut Port> {
        self.sockets.get_mut(&id).and_then(|slot| slot.port.as_mut())
    }

    pub(super) fn end(&mut self, id: SocketId) -> io::Result<&mut End> {
        self.sockets
            .get_mut(&id)
            .and_then(|slot| slot.end.as_mut())
            .ok_or_else(|| ErrorKind::NotConnected.into())
    }

    pub(super) fn other(&self, id: SocketId) -> Option<SocketId> {
        self.sockets.get(&id)?.end.as_ref()?.other
    }

    /// The other side's end, if both are there.
    pub(super) fn other_end(&mut self, id: SocketId) -> Option<&mut End> {
        let other = self.other(id)?;
        self.sockets.get_mut(&other).and_then(|slot| slot.end.as_mut())
    }

    /// Joins a dialing end to one that waits at `port` to be accepted.
    pub(super) fn establish(&mut self, dialing: SocketId, port: SocketId) {
        let address = self.sockets.get(&dialing).and_then(|slot| slot.address);
        let end = End::new(Stage::Open, Some(dialing));
        let accepted = self.add(Slot { address, end: Some(end), ..Slot::default() });
        if let Ok(end) = self.end(dialing) {
            end.stage = Stage::Open;
            end.other = Some(accepted);
        }
        if let Some(port) = self.port_mut(port) {
            port.waiting.push_back(accepted);
        }
    }

    pub(super) fn answer_dials(&mut self, id: SocketId) {
        let Some(port) = self.port_mut(id) else { return };
        port.answer = Answer::Accept;
        for dialing in std::mem::take(&mut port.unanswered) {
            if self.sockets.contains_key(&dialing) {
                self.establish(dialing, id);
            }
        }
    }

    /// Closes a socket, of whatever kind.
    pub(super) fn close(&mut self, id: SocketId) {
        if self.sockets.get(&id).is_some_and(|slot| slot.name.is_some()) {
            self.did(id, "close".into());
        }
        if let Some(end) = self.other_end(id) {
            (end.ended, end.gone) = (true, true);
        }
        let Some(closed) = self.sockets.remove(&id) else { return };
        for waiting in closed.port.into_iter().flat_map(|port| port.waiting) {
            self.close(waiting);
        }
    }

    /// Breaks a connection off.
    pub(super) fn reset(&mut self, id: SocketId) {
        if let Some(end) = self.other_end(id) {
            end.incoming.clear();
            (end.broken, end.gone) = (true, true);
        }
        self.sockets.remove(&id);
    }
}
