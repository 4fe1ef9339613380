//! What a mesh and its links live through: calls, dials of any fate, strangers, and reports about things long gone.

mod model;

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{
    CloseReason, ConnectError, DialId, Fault, Instant, LinkEvent, Links, LinksOutput, Mesh, MeshConfig,
    MeshEvent, MeshOutput, PeerId, PoolInfo, Side, Write,
};

use crate::clock::Clock;
use crate::input::Input;
use crate::memory::Live;
use crate::twins::Twins;
use model::{Addresses, Model};

/// Operations of one input, at most.
const MOST_STEPS: usize = 64;

/// What is taken beside the bytes of events, in bytes: a link, an address that is dialed, a call with a report, an
/// output that waits, and the least that the collections take.
const LINK: usize = 4 * 1_024;
const DIAL: usize = 1_024;
const CALL: usize = 2 * 1_024;
const OUTPUT: usize = 512;
const OWN: usize = 12 * 1_024;

/// What a frame adds to its payload here, in bytes: two lengths and a name of one byte.
const NAME: usize = 9;

static PAYLOAD: [u8; 256] = [7; 256];

/// Does what the bytes say, sometimes to two meshes. Every call has one report, in time, with a fate for each address
/// it named; who came is gone once, and nobody else; dials, links, queues and memory stay within their limits;
/// deadlines lie ahead after a drain; the same inputs give the same outputs.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..MOST_STEPS {
        if input.is_empty() || world.model.is_full() {
            break;
        }
        world.step(&mut input);
        world.check_counts();
    }
    world.finish();
}

/// A mesh and the links it has handed out.
struct Program {
    mesh: Mesh,
    links: Links,
}

/// A program, its connections, and what it was told.
struct World {
    program: Twins<Program>,
    config: MeshConfig,
    model: Model,
    clock: Clock,
    deadlines: [Option<Instant>; 2],
    /// Operations since nothing waited to be polled.
    undrained: usize,
    closed: bool,
    live: Live,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let (config, twice) = config(input);
        let model = Model::new();
        let live = Live::start();
        let program = Twins::new(|| Program { mesh: Mesh::new(config.clone()), links: Links::new() }, twice);
        Self {
            program,
            config,
            model,
            clock: Clock::default(),
            deadlines: [None; 2],
            undrained: 0,
            closed: false,
            live,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        self.undrained += 1;
        let now = self.clock.now();
        match input.u8() % 32 {
            0..=2 => self.connect(Addresses(input.u8())),
            3 => self.enter(Addresses(input.u8())),
            4 => self.cancel(input.u8()),
            5 => self.listen(input.u8()),
            6..=8 => self.dialed(input.u8()),
            9..=11 => {
                if let Some(dial) = self.model.dial(input.u8()) {
                    self.model.dial_over(dial);
                    self.program.act(|it| it.mesh.handle_dial_failed(now, dial, Fault::Refused));
                }
            }
            12 | 13 => self.accepted(input.u8()),
            14 => self.clock.micros(input),
            15 => self.clock.millis(input),
            16 => {
                let next = self.deadlines.into_iter().flatten().min();
                self.clock.go_to(next.unwrap_or_default().max(self.clock.shown()));
            }
            17 => self.program.act(|it| {
                it.mesh.handle_timeout(now);
                it.links.handle_timeout(now);
            }),
            18 | 19 => self.settle(),
            20 => drop(self.drain()),
            21 => {
                let _ = (self.poll_mesh(), self.poll_links());
            }
            22 => self.send_to_all(usize::from(input.u8())),
            23 => self.rare(input),
            choice => {
                if let Some(peer) = self.model.peer(input.u8()) {
                    self.act_on(peer, choice, now, input);
                }
            }
        }
    }

    /// What concerns one link.
    fn act_on(&mut self, peer: PeerId, choice: u8, now: Instant, input: &mut Input<'_>) {
        match choice {
            24 | 25 => {
                let len = usize::from(input.u8());
                let payload = PAYLOAD.get(..len).unwrap_or_default();
                if self.program.act(|it| it.links.send(peer, "e", payload)).is_ok() {
                    self.model.of(peer).accepted += NAME + len;
                }
            }
            26 => {
                let len = usize::from(input.u8() % 48);
                let bytes = Bytes::copy_from_slice(input.bytes(len));
                if self.program.links.get(peer).is_some() {
                    self.model.of(peer).came += bytes.len();
                }
                self.program.act(|it| it.links.handle_bytes(now, peer, bytes.clone()));
            }
            27 => self.program.act(|it| it.links.handle_eof(now, peer)),
            28 => self.program.act(|it| it.links.handle_failure(now, peer, Fault::Reset)),
            29 => {
                let known = self.program.mesh.peers().any(|(other, _)| other == peer);
                assert_eq!(self.program.act(|it| it.mesh.disconnect(peer)), known);
            }
            _ => {
                self.model.of(peer).writing = false;
                self.program.act(|it| it.links.handle_written(peer));
            }
        }
    }

    /// What ends most of what there is, or makes little sense.
    fn rare(&mut self, input: &mut Input<'_>) {
        let now = self.clock.now();
        match input.u8() {
            0 => {
                self.closed = true;
                self.program.act(|it| it.mesh.close());
            }
            1..=15 => self.clock.jump(input),
            // A report of an end that the link did not tell.
            16..=127 => {
                if let Some(peer) = self.model.peer(input.u8()) {
                    self.model.link_ended(peer);
                    self.program.act(|it| it.mesh.handle_closed(now, peer, CloseReason::Remote));
                }
            }
            _ => {
                let at = Addresses::any(input.u8());
                self.program.act(|it| {
                    it.mesh.handle_listening(at);
                    it.mesh.handle_listen_failed(at, Fault::AddressInUse);
                });
            }
        }
    }

    fn connect(&mut self, to: Addresses) {
        let now = self.clock.now();
        match self.program.act(|it| it.mesh.connect(now, to.iter())) {
            Ok(call) => {
                assert!(!self.closed);
                self.model.called(call, to);
            }
            Err(ConnectError::TooManyDials { limit }) => assert_eq!(limit, self.config.max_dials),
            Err(error) => assert!(error == ConnectError::Closed && self.closed),
        }
    }

    fn enter(&mut self, peers: Addresses) {
        let now = self.clock.now();
        let you = Addresses::any(0);
        let pool = PoolInfo::new("p".parse().expect("a letter is an id"), you, you, peers.iter());
        match self.program.act(|it| it.mesh.enter(now, &pool)) {
            Ok(call) => self.model.called(call, peers.without(you)),
            Err(ConnectError::TooManyDials { limit }) => assert_eq!(limit, self.config.max_dials),
            Err(error) => assert!(error == ConnectError::Closed && self.closed),
        }
    }

    fn cancel(&mut self, choice: u8) {
        if let Some(call) = self.model.call(choice) {
            self.program.act(|it| it.mesh.cancel(call));
            self.model.cancelled(call);
        }
    }

    fn listen(&mut self, choice: u8) {
        let at = Addresses::any(choice);
        let listens = self.program.act(|it| it.mesh.listen(at));
        assert_eq!(listens.is_err(), self.closed);
    }

    fn dialed(&mut self, choice: u8) {
        let Some(dial) = self.model.dial(choice) else { return };
        let now = self.clock.now();
        let wanted = self.model.dial_over(dial);
        let peer = self.program.act(|it| {
            let (peer, link) = it.mesh.handle_dialed(now, dial)?;
            it.links.insert(peer, link);
            Some(peer)
        });
        if let Some(peer) = peer {
            assert!(wanted && !self.closed, "the attempt is over");
            self.model.handed_out(peer, Side::Dialed);
        }
    }

    fn accepted(&mut self, choice: u8) {
        let now = self.clock.now();
        let from = Addresses::any(choice);
        let peer = self.program.act(|it| {
            let (peer, link) = it.mesh.handle_accepted(now, from)?;
            it.links.insert(peer, link);
            Some(peer)
        });
        if let Some(peer) = peer {
            assert!(!self.closed && self.model.untold_accepts() < self.config.max_pending_accepts);
            self.model.handed_out(peer, Side::Accepted);
        }
    }

    fn send_to_all(&mut self, len: usize) {
        let payload = PAYLOAD.get(..len).unwrap_or_default();
        let failed = self.program.act(|it| it.links.send_to_all("e", payload));
        for peer in self.program.links.peers() {
            if failed.iter().all(|(failed, _)| *failed != peer) {
                self.model.of(peer).accepted += NAME + len;
            }
        }
    }

    /// Does one thing that the mesh says. False if it waits.
    fn poll_mesh(&mut self) -> bool {
        let output = self.program.act(|it| it.mesh.poll_output());
        match output {
            MeshOutput::Wait(deadline) => {
                let [mesh, _] = &mut self.deadlines;
                *mesh = deadline;
                return false;
            }
            MeshOutput::Dial { dial, address, timeout } => {
                assert!(timeout <= self.config.dial_timeout.max(Duration::from_millis(1)));
                self.model.dials(dial, address);
            }
            MeshOutput::Abandon { dial } => drop(self.model.dial_over(dial)),
            MeshOutput::Close { peer } => {
                let now = self.clock.now();
                self.program.act(|it| it.links.close(now, peer));
            }
            MeshOutput::Event(event) => self.told(&event),
            MeshOutput::Listen { .. } | MeshOutput::StopListening => {}
        }
        true
    }

    fn told(&mut self, event: &MeshEvent) {
        match event {
            MeshEvent::PeerConnected { peer, side, .. } => self.model.connected(*peer, *side),
            MeshEvent::PeerGone { peer, .. } => self.model.gone(*peer),
            MeshEvent::Settled(report) => self.model.settled(report),
            MeshEvent::PeerUnreachable { .. }
            | MeshEvent::Listening { .. }
            | MeshEvent::ListenFailed { .. }
            | _ => {}
        }
    }

    /// Does one thing that the links say. False if they wait.
    fn poll_links(&mut self) -> bool {
        let output = self.program.act(|it| it.links.poll_output());
        match output {
            LinksOutput::Wait(deadline) => {
                let [_, links] = &mut self.deadlines;
                *links = deadline;
                return false;
            }
            LinksOutput::Write { peer, write } => self.model.of(peer).writes(match write {
                Write::Bytes(bytes) => Some(bytes.len()),
                Write::Finish => None,
            }),
            LinksOutput::Event { peer, event: LinkEvent::Closed(reason) } => {
                assert!(self.program.links.get(peer).is_none(), "an ended link is gone");
                self.model.link_ended(peer);
                self.model.of(peer).came = 0;
                let now = self.clock.now();
                self.program.act(|it| it.mesh.handle_closed(now, peer, reason));
            }
            LinksOutput::Event { .. } => {}
        }
        true
    }

    /// Does everything that mesh and links say. How much that was.
    fn drain(&mut self) -> usize {
        self.check_memory();
        let mut done = 0;
        loop {
            let before = done;
            while self.poll_mesh() {
                done += 1;
            }
            while self.poll_links() {
                done += 1;
            }
            if done == before {
                break;
            }
        }
        self.undrained = 0;
        let Program { links, .. } = &*self.program;
        let stuck = |peer| links.get(peer).is_some_and(|link| link.interest().write);
        assert!(
            !links.peers().any(|peer| !self.model.is_writing(peer) && stuck(peer)),
            "a write is not asked for"
        );
        let [mesh, deadline] = self.deadlines;
        let endless = self.clock.latest()
            + self.config.dial_deadline.max(self.config.dial_timeout)
            + Duration::from_millis(1)
            == Instant::NEVER;
        assert!(mesh.is_some() || self.model.pending() == 0 || endless, "a call is slept over");
        assert!(deadline.is_none() || links.peers().next().is_some(), "no links, and a deadline");
        done
    }

    /// Says what time it is, and drains: then all is at rest.
    fn settle(&mut self) {
        self.clock.now();
        let latest = self.clock.latest();
        self.program.act(|it| {
            it.mesh.handle_timeout(latest);
            it.links.handle_timeout(latest);
        });
        self.drain();
        let deadlines = self.deadlines;
        assert!(
            deadlines.into_iter().flatten().all(|at| at > latest),
            "{deadlines:?} are not after {latest:?}"
        );
        assert_eq!(self.drain(), 0, "a second drain yields nothing");
        assert_eq!(self.deadlines, deadlines);
    }

    fn check_counts(&self) {
        let Program { mesh, links } = &*self.program;
        assert!(mesh.peers().count() <= self.config.max_links);
        assert!(mesh.queued() <= self.config.max_queued_total);
        let queued = |peer| links.get(peer).map_or(0, poolmesh_proto::Link::queued);
        assert_eq!(mesh.queued(), links.peers().map(queued).sum::<usize>());
        assert!(self.model.under_way() <= self.config.max_dialing.max(1));
    }

    /// What is in use is what is queued and was received, and a little for each thing there is.
    fn check_memory(&self) {
        let Program { mesh, links } = &*self.program;
        let events = mesh.queued() + mesh.queued() / 8 + 2 * self.model.came();
        let entries =
            links.peers().count() * LINK + self.config.max_dials * DIAL + self.model.pending() * CALL;
        // An operation has few outputs, but for a close.
        let outputs = (10 * self.undrained + 4 * self.config.max_dials + 64) * OUTPUT;
        self.live.check(self.program.count() * (events + entries + outputs + OWN));
    }

    /// Nobody reports on anything any more: every call ends by the mesh's own deadlines, and closing ends every link.
    fn finish(&mut self) {
        self.settle();
        let attempts = (self.config.max_dials + 1) as u32;
        let longest = (self.config.dial_deadline + Duration::from_millis(2)).saturating_mul(attempts);
        let end = self.clock.latest() + longest;
        let mut rounds = 0;
        while self.model.pending() > 0 && end != Instant::NEVER {
            let [mesh, _] = self.deadlines;
            let next = mesh.expect("who waits for calls has a deadline");
            assert!(next <= end && rounds < 500, "it gets nowhere");
            self.clock.go_to(next);
            self.settle();
            rounds += 1;
        }
        self.program.act(|it| it.mesh.close());
        let now = self.clock.now();
        for place in 0..self.model.handed_out_count() {
            // One that was reported as closed without being so is the driver's to close.
            if let Some(peer) = self.model.ended_at(place) {
                self.program.act(|it| it.links.close(now, peer));
            }
        }
        self.settle();
        let over = self.clock.latest() + self.config.link.close_timeout;
        if over != Instant::NEVER {
            self.clock.go_to(over);
            self.settle();
            self.model.check_all_gone();
            assert_eq!(self.model.under_way(), 0, "what is not wanted is abandoned");
            assert_eq!((self.program.mesh.peers().count(), self.program.mesh.queued()), (0, 0));
            assert_eq!(self.program.links.peers().count(), 0);
        }
        self.check_memory();
    }
}

/// Small limits and short times, so that a few operations reach them, and whether there are two programs.
fn config(input: &mut Input<'_>) -> (MeshConfig, bool) {
    let mut config = MeshConfig::default();
    let millis = |input: &mut Input<'_>| Duration::from_millis(u64::from(input.u8()) * 4);
    let bits = input.u8();
    config.max_links = usize::from(bits % 8);
    config.max_pending_accepts = usize::from(input.u8() % 4);
    config.max_dialing = usize::from(input.u8() % 4);
    config.max_dials = usize::from(input.u8() % 8);
    config.dial_timeout = millis(input);
    config.dial_attempts = u32::from(input.u8() % 5);
    config.dial_backoff = millis(input);
    config.dial_deadline = millis(input);
    config.max_queued_total = usize::from(input.u8()) * 8 + 16;
    config.link.max_queued = usize::from(input.u8()) * 4;
    config.link.max_received = usize::from(input.u8());
    config.link.max_frame = 200;
    config.link.pack = 256;
    config.link.close_timeout = Duration::from_millis(100);
    config.link.frame_timeout = (bits & 0x10 != 0).then_some(Duration::from_millis(150));
    config.link.idle_timeout = (bits & 0x08 != 0).then_some(Duration::from_millis(200));
    (config, bits >= 0xf0)
}

/// Kept apart so that the list of a call's addresses is one byte of input.
fn addresses() -> [SocketAddr; 8] {
    [
        ([192, 0, 2, 1], 1).into(),
        ([192, 0, 2, 1], 2).into(),
        ([192, 0, 2, 2], 1).into(),
        ([192, 0, 2, 3], 1).into(),
        ([192, 0, 2, 4], 1).into(),
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 1).into(),
        // The third and the fourth as a socket of both families names them.
        ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0202], 1).into(),
        ([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0203], 1).into(),
    ]
}

/// An attempt that the mesh has asked for.
#[derive(Clone, Copy, Debug)]
struct Dial {
    id: DialId,
    address: SocketAddr,
    under_way: bool,
}
