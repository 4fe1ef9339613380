//! The mesh and its links under any inputs.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use poolmesh_proto::wire::canonical;
use poolmesh_proto::{
    CloseReason, ConnectId, DialId, Fault, Instant, LinkConfig, LinkEvent, Links, LinksOutput, Mesh,
    MeshConfig, MeshEvent, MeshOutput, Packet, PeerId, PoolInfo, Write,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{address, calm, config, has_a_future, wild};

#[derive(Clone, Debug)]
enum Op {
    Connect(Instant, Vec<SocketAddr>),
    Enter(Instant, Vec<SocketAddr>),
    Cancel(usize),
    Listen(SocketAddr),
    /// About the attempt that was asked for as the so-many-th, the peer that was handed out so.
    Dialed(Instant, usize),
    DialFailed(Instant, usize),
    Accepted(Instant, SocketAddr),
    Disconnect(usize),
    /// A report about a link that did not say so itself, or said so before.
    Closed(Instant, usize),
    Send(usize, usize),
    SendToAll(usize),
    Bytes(Instant, usize, Vec<u8>),
    Eof(Instant, usize),
    Failure(Instant, usize),
    Written(usize),
    Timeout(Instant),
    PollOnce,
    Drain,
    Settle(Instant),
    Close,
}

fn ops(time: &BoxedStrategy<Instant>) -> impl Strategy<Value = Vec<Op>> + use<> {
    let at = || time.clone();
    let index = || 0..12usize;
    let op = prop_oneof![
        6 => (at(), vec(address(), 0..5)).prop_map(|(now, to)| Op::Connect(now, to)),
        1 => (at(), vec(address(), 0..5)).prop_map(|(now, to)| Op::Enter(now, to)),
        1 => index().prop_map(Op::Cancel),
        1 => address().prop_map(Op::Listen),
        8 => (at(), index()).prop_map(|(now, at)| Op::Dialed(now, at)),
        6 => (at(), index()).prop_map(|(now, at)| Op::DialFailed(now, at)),
        5 => (at(), address()).prop_map(|(now, from)| Op::Accepted(now, from)),
        1 => index().prop_map(Op::Disconnect),
        1 => (at(), index()).prop_map(|(now, at)| Op::Closed(now, at)),
        6 => (index(), 0..200usize).prop_map(|(at, len)| Op::Send(at, len)),
        2 => (0..200usize).prop_map(Op::SendToAll),
        2 => (at(), index(), vec(any::<u8>(), 0..40)).prop_map(|(now, at, bytes)| Op::Bytes(now, at, bytes)),
        2 => (at(), index()).prop_map(|(now, at)| Op::Eof(now, at)),
        1 => (at(), index()).prop_map(|(now, at)| Op::Failure(now, at)),
        5 => index().prop_map(Op::Written),
        4 => at().prop_map(Op::Timeout),
        4 => Just(Op::PollOnce),
        4 => Just(Op::Drain),
        6 => at().prop_map(Op::Settle),
    ];
    let closed = prop_oneof![4 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    (vec(op, 0..90), closed).prop_map(|(mut ops, closed)| {
        if let Some(at) = closed {
            ops.insert(at.index(ops.len() + 1), Op::Close);
        }
        ops
    })
}

fn settings() -> impl Strategy<Value = MeshConfig> {
    let millis = |range| Strategy::prop_map(range, Duration::from_millis);
    let bounds = (0..5usize, 0..4usize, 0..4usize, 0..8usize);
    let times = (millis(1..3_000u64), 0..4u32, millis(1..500u64), millis(1..6_000u64));
    (bounds, times, any::<bool>()).prop_map(|((links, accepts, dialing, dials), times, idles)| {
        let mut config = MeshConfig::default();
        config.link = LinkConfig::default();
        config.link.max_queued = 500;
        config.link.max_frame = 300;
        config.link.idle_timeout = idles.then_some(Duration::from_secs(1));
        // Ample: what links do that share too little memory is seen without a mesh.
        config.max_queued_total = 20_000;
        (config.max_links, config.max_pending_accepts) = (links, accepts);
        (config.max_dialing, config.max_dials) = (dialing, dials);
        (config.dial_timeout, config.dial_attempts, config.dial_backoff, config.dial_deadline) = times;
        config
    })
}

/// A program around a mesh: its connections, and what it was told.
struct Program {
    mesh: Mesh,
    links: Links,
    config: MeshConfig,
    latest: Instant,
    /// The latest time the mesh was told, and whether it is told that in place of an earlier one.
    mesh_latest: Instant,
    forwards: bool,
    /// All attempts and all links, in order.
    dials: Vec<DialId>,
    handed_out: Vec<PeerId>,
    under_way: BTreeSet<DialId>,
    /// The calls without a report: whom each named, and which links had ended before it.
    pending: BTreeMap<ConnectId, (BTreeSet<SocketAddr>, BTreeSet<PeerId>)>,
    ended: BTreeSet<PeerId>,
    calls: Vec<ConnectId>,
    told: BTreeSet<PeerId>,
    gone: BTreeSet<PeerId>,
    /// By link: what was accepted for sending, what was written, and whether a write is not done.
    accepted: BTreeMap<PeerId, Vec<u8>>,
    written: BTreeMap<PeerId, Vec<u8>>,
    writing: BTreeSet<PeerId>,
    log: Vec<MeshOutput>,
    links_log: Vec<LinksOutput>,
}

fn frame(len: usize) -> Vec<u8> {
    let body = Packet::new().string("event").bytes(&vec![7; len]).freeze();
    Packet::new().string(body).freeze().to_vec()
}

impl Program {
    fn new(config: &MeshConfig, forwards: bool) -> Self {
        Self {
            mesh: Mesh::new(config.clone()),
            links: Links::new(),
            config: config.clone(),
            latest: Instant::ZERO,
            mesh_latest: Instant::ZERO,
            forwards,
            dials: Vec::new(),
            handed_out: Vec::new(),
            under_way: BTreeSet::new(),
            pending: BTreeMap::new(),
            ended: BTreeSet::new(),
            calls: Vec::new(),
            told: BTreeSet::new(),
            gone: BTreeSet::new(),
            accepted: BTreeMap::new(),
            written: BTreeMap::new(),
            writing: BTreeSet::new(),
            log: Vec::new(),
            links_log: Vec::new(),
        }
    }

    fn now(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        now
    }

    fn mesh_now(&mut self, now: Instant) -> Instant {
        self.now(now);
        self.mesh_latest = self.mesh_latest.max(now);
        if self.forwards { self.mesh_latest } else { now }
    }

    fn act(&mut self, op: &Op) {
        match op {
            Op::Connect(now, to) => {
                let now = self.mesh_now(*now);
                let call = self.mesh.connect(now, to.iter().copied());
                self.called(call.ok(), to.iter().copied().map(canonical).collect());
            }
            Op::Enter(now, peers) => {
                let now = self.mesh_now(*now);
                let you = "192.0.2.1:1".parse().unwrap();
                let pool = PoolInfo::new("p".parse().unwrap(), you, you, peers.iter().copied());
                let call = self.mesh.enter(now, &pool);
                self.called(call.ok(), pool.others().collect());
            }
            Op::Cancel(at) => {
                self.drain();
                if let Some(call) = self.calls.get(*at) {
                    self.mesh.cancel(*call);
                    self.pending.remove(call);
                }
            }
            Op::Listen(at) => drop(self.mesh.listen(*at)),
            Op::Dialed(now, at) => {
                let Some(dial) = self.dials.get(*at).copied() else { return };
                let now = self.mesh_now(*now);
                self.under_way.remove(&dial);
                let link = self.mesh.handle_dialed(now, dial);
                self.handed_out(link);
            }
            Op::DialFailed(now, at) => {
                let Some(dial) = self.dials.get(*at).copied() else { return };
                let now = self.mesh_now(*now);
                self.under_way.remove(&dial);
                self.mesh.handle_dial_failed(now, dial, Fault::Refused);
            }
            Op::Accepted(now, from) => {
                let now = self.mesh_now(*now);
                let link = self.mesh.handle_accepted(now, *from);
                self.handed_out(link);
            }
            Op::Closed(now, at) => {
                let Some(peer) = self.handed_out.get(*at).copied() else { return };
                let now = self.mesh_now(*now);
                self.ended.insert(peer);
                self.mesh.handle_closed(now, peer, CloseReason::Remote);
            }
            Op::Timeout(now) => {
                let mesh_now = self.mesh_now(*now);
                self.mesh.handle_timeout(mesh_now);
                self.links.handle_timeout(*now);
            }
            Op::PollOnce => {
                let _ = (self.poll_mesh(), self.poll_links());
            }
            Op::Drain => drop(self.drain()),
            Op::Settle(now) => {
                self.settle(*now);
            }
            Op::Close => self.mesh.close(),
            Op::SendToAll(len) => {
                let peers: BTreeSet<PeerId> = self.links.peers().collect();
                let failed = self.links.send_to_all("event", vec![7; *len]);
                let failed: BTreeSet<PeerId> = failed.into_iter().map(|(peer, _)| peer).collect();
                for peer in peers.difference(&failed) {
                    self.accepted.entry(*peer).or_default().extend(frame(*len));
                }
            }
            Op::Send(at, _)
            | Op::Bytes(_, at, _)
            | Op::Eof(_, at)
            | Op::Failure(_, at)
            | Op::Written(at)
            | Op::Disconnect(at) => {
                if let Some(peer) = self.handed_out.get(*at).copied() {
                    self.act_on(peer, op);
                }
            }
        }
        assert!(self.mesh.peers().count() <= self.config.max_links);
        assert!(self.mesh.queued() <= self.config.max_queued_total);
        assert!(self.under_way.len() <= self.config.max_dialing.max(1));
    }

    fn act_on(&mut self, peer: PeerId, op: &Op) {
        match op {
            Op::Send(_, len) => {
                let sent = self.links.send(peer, "event", vec![7; *len]);
                let accepted = self.accepted.entry(peer).or_default();
                accepted.extend(sent.map_or_else(|_| Vec::new(), |()| frame(*len)));
            }
            Op::Bytes(now, _, bytes) => {
                let now = self.now(*now);
                self.links.handle_bytes(now, peer, bytes.clone().into());
            }
            Op::Eof(now, _) => {
                let now = self.now(*now);
                self.links.handle_eof(now, peer);
            }
            Op::Failure(now, _) => {
                let now = self.now(*now);
                self.links.handle_failure(now, peer, Fault::Reset);
            }
            Op::Written(_) => {
                self.writing.remove(&peer);
                self.links.handle_written(peer);
            }
            Op::Disconnect(_) => {
                let known = self.mesh.peers().any(|(other, _)| other == peer);
                assert_eq!(self.mesh.disconnect(peer), known);
            }
            _ => {}
        }
    }

    fn called(&mut self, call: Option<ConnectId>, to: BTreeSet<SocketAddr>) {
        let Some(call) = call else { return };
        assert!(!self.calls.contains(&call));
        self.calls.push(call);
        self.pending.insert(call, (to, self.ended.clone()));
    }

    fn handed_out(&mut self, link: Option<(PeerId, poolmesh_proto::Link)>) {
        let Some((peer, link)) = link else { return };
        assert!(!self.handed_out.contains(&peer), "{peer} is named twice");
        self.handed_out.push(peer);
        self.links.insert(peer, link);
    }

    /// Does one thing that the mesh says, or returns its deadline.
    fn poll_mesh(&mut self) -> Result<(), Option<Instant>> {
        let output = self.mesh.poll_output();
        match &output {
            MeshOutput::Wait(deadline) => return Err(*deadline),
            MeshOutput::Dial { dial, timeout, .. } => {
                assert!(!self.dials.contains(dial), "{dial:?} is named twice");
                assert!(*timeout <= self.config.dial_timeout);
                self.dials.push(*dial);
                self.under_way.insert(*dial);
            }
            MeshOutput::Abandon { dial } => drop(self.under_way.remove(dial)),
            MeshOutput::Close { peer } => self.links.close(self.latest, *peer),
            MeshOutput::Event(event) => self.told(event),
            _ => {}
        }
        self.log.push(output);
        Ok(())
    }

    fn told(&mut self, event: &MeshEvent) {
        match event {
            MeshEvent::PeerConnected { peer, .. } => {
                assert!(self.handed_out.contains(peer) && self.told.insert(*peer), "{peer} connected twice");
            }
            MeshEvent::PeerGone { peer, .. } => {
                assert!(self.told.contains(peer), "{peer} is gone before it came");
                assert!(self.gone.insert(*peer), "{peer} is gone twice");
            }
            MeshEvent::Settled(report) => {
                let Some((named, ended)) = self.pending.remove(&report.id) else {
                    panic!("{:?} was not under way", report.id)
                };
                let stale = report.connected.iter().find(|(_, peer)| ended.contains(peer));
                assert_eq!(stale, None, "a link that had ended is dialed again");
                let connected = report.connected.iter().map(|(address, _)| *address);
                let failed = report.failed.iter().map(|(address, _)| *address);
                let all: Vec<SocketAddr> = connected.chain(failed).collect();
                let each: BTreeSet<SocketAddr> = all.iter().copied().collect();
                assert_eq!(each.len(), all.len(), "each once");
                assert_eq!(named, each, "all it named have a fate");
            }
            _ => {}
        }
    }

    fn poll_links(&mut self) -> Result<(), Option<Instant>> {
        let output = self.links.poll_output();
        match &output {
            LinksOutput::Wait(deadline) => return Err(*deadline),
            LinksOutput::Write { peer, write } => {
                assert!(self.writing.insert(*peer), "the write before is not done");
                if let Write::Bytes(bytes) = write {
                    let written = self.written.entry(*peer).or_default();
                    written.extend_from_slice(bytes);
                    let accepted = self.accepted.get(peer).map_or(&[][..], |bytes| bytes);
                    assert!(accepted.starts_with(written), "whole frames in order");
                }
            }
            LinksOutput::Event { peer, event } => {
                if let LinkEvent::Closed(reason) = event {
                    assert!(self.links.get(*peer).is_none(), "an ended link is gone");
                    self.ended.insert(*peer);
                    let now = self.mesh_now(self.latest);
                    self.mesh.handle_closed(now, *peer, *reason);
                }
            }
        }
        self.links_log.push(output);
        Ok(())
    }

    /// Does everything that mesh and links say, and returns their deadlines.
    fn drain(&mut self) -> [Option<Instant>; 2] {
        loop {
            let mesh = loop {
                if let Err(deadline) = self.poll_mesh() {
                    break deadline;
                }
            };
            let before = self.links_log.len();
            let links = loop {
                if let Err(deadline) = self.poll_links() {
                    break deadline;
                }
            };
            if self.links_log.len() == before {
                return [mesh, links];
            }
        }
    }

    fn settle(&mut self, now: Instant) -> Option<Instant> {
        let now = self.mesh_now(now);
        self.mesh.handle_timeout(now);
        // Each has seen the times of its own inputs only.
        let latest = self.mesh_now(self.latest);
        self.mesh.handle_timeout(latest);
        self.links.handle_timeout(self.latest);
        let [mesh, links] = self.drain();
        assert!(mesh.is_none_or(|at| at > self.latest), "{mesh:?} is not after {:?}", self.latest);
        assert!(links.is_none_or(|at| at > self.latest), "{links:?} is not after {:?}", self.latest);
        let before = (self.log.len(), self.links_log.len());
        assert_eq!(self.drain(), [mesh, links]);
        assert_eq!((self.log.len(), self.links_log.len()), before, "a second drain yields nothing");
        [mesh, links].into_iter().flatten().min()
    }
}

fn run(config: &MeshConfig, ops: &[Op], forwards: bool) -> (Vec<MeshOutput>, Vec<LinksOutput>) {
    let mut program = Program::new(config, forwards);
    for op in ops {
        program.act(op);
    }
    if has_a_future(program.latest) {
        // Nobody reports on anything any more: every call ends by the mesh's own deadlines.
        let mut rounds = 0;
        while let Some(deadline) = program.settle(program.latest) {
            if program.pending.is_empty() {
                break;
            }
            program.latest = deadline;
            rounds += 1;
            assert!(rounds < 1_000, "it gets nowhere");
        }
        assert_eq!(program.pending, BTreeMap::new(), "every call has its report");
        program.mesh.close();
        for peer in program.handed_out.clone() {
            // One that was reported as closed without being so is the driver's to close.
            program.links.close(program.latest, peer);
        }
        for _ in 0..2 {
            program.settle(program.latest);
            program.latest = program.latest + config.link.close_timeout;
        }
        program.settle(program.latest);
        assert_eq!(program.gone, program.told, "closing ends every link, and says so");
        assert_eq!((program.mesh.peers().count(), program.mesh.queued()), (0, 0));
    }
    (program.log, program.links_log)
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn any_inputs_break_no_invariant_and_the_same_inputs_give_the_same_outputs(
        config in settings(), ops in prop_oneof![2 => ops(&calm()), 1 => ops(&wild())]
    ) {
        let outputs = run(&config, &ops, false);
        prop_assert_eq!(&outputs, &run(&config, &ops, false));
        prop_assert_eq!(&outputs, &run(&config, &ops, true), "an earlier time is taken as the latest");
    }
    #[test]
    fn an_attempt_has_its_whole_timeout_and_the_next_waits_twice_as_long(
        timeout in 10..400u64, backoff in 1..200u64, fails in vec(prop_oneof![Just(None), (0..10u64).prop_map(Some)], 5)
    ) {
        let mut config = MeshConfig::default();
        config.dial_timeout = Duration::from_millis(timeout);
        config.dial_backoff = Duration::from_millis(backoff);
        config.dial_deadline = Duration::from_secs(3_600);
        let mut mesh = Mesh::new(config.clone());
        let mut now = Instant::ZERO;
        mesh.connect(now, ["192.0.2.1:1".parse().unwrap()]).unwrap();
        let mut expected = now;
        let mut pause = config.dial_backoff;
        let mut made = 0;
        loop {
            match mesh.poll_output() {
                MeshOutput::Dial { dial, .. } => {
                    prop_assert_eq!(now, expected, "attempt {}", made);
                    let after = fails[made].map_or(config.dial_timeout, Duration::from_millis);
                    expected = now + after + pause;
                    pause *= 2;
                    if fails[made].is_some() {
                        now = now + after;
                        mesh.handle_dial_failed(now, dial, Fault::Refused);
                    }
                    made += 1;
                }
                MeshOutput::Wait(Some(deadline)) => {
                    now = deadline;
                    mesh.handle_timeout(now);
                }
                MeshOutput::Wait(None) => break,
                _ => {}
            }
        }
        prop_assert_eq!(made, 5);
    }
}
