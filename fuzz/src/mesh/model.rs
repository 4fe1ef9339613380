//! What a mesh owes its application, kept as plainly as can be.

use core::net::SocketAddr;

use poolmesh_proto::wire::canonical;
use poolmesh_proto::{ConnectId, ConnectReport, DialId, PeerId, Side};

use super::{Dial, MOST_STEPS, addresses};

/// Attempts and links that are kept track of, at most.
const MOST: usize = 8 * MOST_STEPS;

/// Some of the few addresses, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addresses(pub(super) u8);

impl Addresses {
    /// One address.
    pub(super) fn any(choice: u8) -> SocketAddr {
        let place = usize::from(choice) % 8;
        addresses().get(place).copied().expect("there are eight")
    }

    pub(super) fn iter(self) -> impl Iterator<Item = SocketAddr> {
        (0..8).filter(move |bit| self.0 >> bit & 1 == 1).map(Self::any)
    }

    pub(super) fn without(self, you: SocketAddr) -> Self {
        let place = addresses().iter().position(|address| *address == you);
        Self(self.0 & !place.map_or(0, |place| 1 << place))
    }

    /// The same ones, each by its one name.
    fn canonical(self) -> Self {
        self.iter().fold(Self(0), |all, address| all.and(canonical(address)))
    }

    fn and(self, address: SocketAddr) -> Self {
        let place = addresses().iter().position(|other| *other == address);
        Self(self.0 | 1 << place.expect("an address that was named"))
    }

    fn has(self, address: SocketAddr) -> bool {
        self.and(address) == self
    }
}

#[derive(Debug)]
struct Call {
    id: ConnectId,
    named: Addresses,
    /// When it was made, counted in things that happened.
    made: usize,
    pending: bool,
}

/// What is known of one link.
#[derive(Debug)]
pub(super) struct Peer {
    id: PeerId,
    side: Side,
    told: bool,
    gone: bool,
    /// When its end was reported to the mesh, counted in things that happened.
    ended: Option<usize>,
    pub(super) accepted: usize,
    written: usize,
    /// A write was handed out and is not done.
    pub(super) writing: bool,
    finished: bool,
    /// Bytes that came in.
    pub(super) came: usize,
}

impl Peer {
    /// A write of so many bytes, or the end of writing.
    pub(super) fn writes(&mut self, len: Option<usize>) {
        assert!(!self.writing, "the write before is not done");
        assert!(!self.finished, "finish comes once, at the end");
        self.writing = true;
        self.written += len.unwrap_or(0);
        self.finished = len.is_none();
        assert!(self.written <= self.accepted && (!self.finished || self.written == self.accepted));
    }
}

#[derive(Debug)]
pub(super) struct Model {
    happened: usize,
    calls: Vec<Call>,
    dials: Vec<Dial>,
    peers: Vec<Peer>,
}

impl Model {
    /// Takes memory for all there may be, and no more later.
    pub(super) fn new() -> Self {
        Self {
            happened: 0,
            calls: Vec::with_capacity(MOST_STEPS),
            dials: Vec::with_capacity(2 * MOST),
            peers: Vec::with_capacity(MOST_STEPS),
        }
    }

    /// Whether there is no room for what another operation may bring.
    pub(super) fn is_full(&self) -> bool {
        self.dials.len() >= MOST
    }

    pub(super) fn called(&mut self, id: ConnectId, named: Addresses) {
        assert!(self.calls.iter().all(|call| call.id != id), "{id:?} is named twice");
        self.calls.push(Call { id, named: named.canonical(), made: self.happened, pending: true });
    }

    /// One of the calls, the latest first.
    pub(super) fn call(&self, choice: u8) -> Option<ConnectId> {
        let back = usize::from(choice).checked_rem(self.calls.len())?;
        self.calls.iter().rev().nth(back).map(|call| call.id)
    }

    pub(super) fn cancelled(&mut self, id: ConnectId) {
        self.calls.iter_mut().filter(|call| call.id == id).for_each(|call| call.pending = false);
    }

    /// How many calls have no report.
    pub(super) fn pending(&self) -> usize {
        self.calls.iter().filter(|call| call.pending).count()
    }

    /// A call has its report: a fate for each address it named, and no link that had ended before.
    pub(super) fn settled(&mut self, report: &ConnectReport) {
        let Some(call) = self.calls.iter_mut().find(|call| call.id == report.id && call.pending) else {
            panic!("{:?} was not under way", report.id)
        };
        call.pending = false;
        let mut fates = Addresses(0);
        for (address, peer) in &report.connected {
            let ended = self.peers.iter().find(|other| other.id == *peer).and_then(|peer| peer.ended);
            assert!(ended.is_none_or(|ended| ended > call.made), "a link that had ended is dialed again");
            assert!(!fates.has(*address), "{address} has two fates");
            fates = fates.and(*address);
        }
        for (address, _) in &report.failed {
            assert!(!fates.has(*address), "{address} has two fates");
            fates = fates.and(*address);
        }
        assert_eq!(fates, call.named, "all it named have a fate");
    }

    /// The mesh has an address dialed.
    pub(super) fn dials(&mut self, id: DialId, address: SocketAddr) {
        let same = |dial: &Dial| dial.id == id || (dial.under_way && dial.address == address);
        assert!(!self.dials.iter().any(same), "{address} is dialed twice");
        self.dials.push(Dial { id, address, under_way: true });
    }

    /// One of the attempts, the latest first.
    pub(super) fn dial(&self, choice: u8) -> Option<DialId> {
        let back = usize::from(choice).checked_rem(self.dials.len())?;
        self.dials.iter().rev().nth(back).map(|dial| dial.id)
    }

    /// An attempt is over. Whether it was under way.
    pub(super) fn dial_over(&mut self, id: DialId) -> bool {
        let dial = self.dials.iter_mut().find(|dial| dial.id == id && dial.under_way);
        dial.map(|dial| dial.under_way = false).is_some()
    }

    pub(super) fn under_way(&self) -> usize {
        self.dials.iter().filter(|dial| dial.under_way).count()
    }

    pub(super) fn handed_out(&mut self, id: PeerId, side: Side) {
        assert!(self.peers.iter().all(|peer| peer.id != id), "{id} is named twice");
        self.peers.push(Peer {
            id,
            side,
            told: false,
            gone: false,
            ended: None,
            accepted: 0,
            written: 0,
            writing: false,
            finished: false,
            came: 0,
        });
    }

    pub(super) fn handed_out_count(&self) -> usize {
        self.peers.len()
    }

    /// The link that was handed out as the so-many-th, if its end was reported.
    pub(super) fn ended_at(&self, place: usize) -> Option<PeerId> {
        self.peers.get(place).filter(|peer| peer.ended.is_some()).map(|peer| peer.id)
    }

    /// Whether a write of that link is not done.
    pub(super) fn is_writing(&self, id: PeerId) -> bool {
        self.peers.iter().any(|peer| peer.id == id && peer.writing)
    }

    /// One of the links, the latest first.
    pub(super) fn peer(&self, choice: u8) -> Option<PeerId> {
        let back = usize::from(choice).checked_rem(self.peers.len())?;
        self.peers.iter().rev().nth(back).map(|peer| peer.id)
    }

    pub(super) fn of(&mut self, id: PeerId) -> &mut Peer {
        self.peers.iter_mut().find(|peer| peer.id == id).expect("it was handed out")
    }

    /// Accepted links of which nobody was told.
    pub(super) fn untold_accepts(&self) -> usize {
        self.peers.iter().filter(|peer| peer.side == Side::Accepted && !peer.told).count()
    }

    pub(super) fn connected(&mut self, id: PeerId, side: Side) {
        let peer = self.of(id);
        assert!(!peer.told && peer.side == side, "{id} connected twice");
        peer.told = true;
    }

    pub(super) fn gone(&mut self, id: PeerId) {
        let peer = self.of(id);
        assert!(peer.told && !peer.gone, "{id} is gone before it came, or twice");
        assert!(peer.ended.is_some(), "{id} is gone, but has not ended");
        peer.gone = true;
    }

    /// The mesh is told of the end of a link.
    pub(super) fn link_ended(&mut self, id: PeerId) {
        self.happened += 1;
        let now = self.happened;
        self.of(id).ended.get_or_insert(now);
    }

    /// Bytes that came in on links that stand.
    pub(super) fn came(&self) -> usize {
        self.peers.iter().map(|peer| peer.came).sum()
    }

    /// After a close whoever came is gone.
    pub(super) fn check_all_gone(&self) {
        let here = self.peers.iter().find(|peer| peer.told != peer.gone);
        assert!(here.is_none(), "{here:?} is still here");
    }
}
