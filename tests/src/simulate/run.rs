//! One seed from its beginning to its end: storms, and after each what must have become of everything.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use poolmesh_proto::PoolId;
use poolmesh_proto::trace::Entry;

use super::chaos::Chaos;
use super::lobby::Lobby;
use super::native::{self, Tally};
use super::options::{Options, Speech};
use super::storm::Storm;
use crate::sim::{App, NodeId, Violation, World, WorldStats};

/// Storms an hour.
const STORMS: u32 = 4;
/// How long each is.
const STORM: Duration = Duration::from_secs(12 * 60);
/// How long each calm is.
const CALM: Duration = Duration::from_secs(3 * 60);
/// Within this time after the storm whatever was under way has come to its end: the longest a call, a dial and a close
/// may take by the settings that are drawn, the longest a system waits until it sends again.
const REST: Duration = Duration::from_secs(60);
/// Within this time those who are asked to meet have met.
const MEET: Duration = Duration::from_secs(5);
/// An answer of the classic wire names so many peers for certain: 1,024 bytes, of which an address takes 21 at the most.
const NAMED: usize = 44;

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it was run with.
    pub options: Options,
    /// Everything that happened, in one number.
    pub fingerprint: u64,
    /// What happened, counted.
    pub stats: WorldStats,
    /// What came of calls where datagrams were only lost, doubled and reordered, in the native dialect: by how many were
    /// lost, in a million.
    pub tallies: BTreeMap<u32, Tally>,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// Every input of every machine, if that was asked for.
    pub trace: Vec<Entry>,
}

/// What is kept of a run beside its report.
#[derive(Default)]
pub struct Keep {
    /// A line for each thing that happens goes here.
    pub log: Option<Box<dyn io::Write>>,
    /// Every input of every machine is written down.
    pub trace: bool,
}

impl Keep {
    fn prepare<A: App>(self, world: &mut World<A>) {
        if self.trace {
            world.record();
        }
        if let Some(log) = self.log {
            world.log_to(log);
        }
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("log", &self.log.is_some()).field("trace", &self.trace).finish()
    }
}

/// Runs a seed. That something panics is a violation, too (D2).
#[must_use]
pub fn run(options: &Options, keep: Keep) -> Report {
    let mut report = Report {
        options: options.clone(),
        fingerprint: 0,
        stats: WorldStats::default(),
        tallies: BTreeMap::new(),
        violation: None,
        trace: Vec::new(),
    };
    let mut tallies = BTreeMap::new();
    match options.dialect {
        Speech::Classic => {
            let make = || Lobby::new(options, |world| keep.prepare(world));
            watch(&mut report, make, live, |lobby| &mut lobby.world);
        }
        Speech::Native | Speech::Both => {
            let both = options.dialect == Speech::Both;
            let make = || native::Lobby::new(options, both, |world| keep.prepare(world));
            let live = |lobby: &mut native::Lobby| native::live(lobby, &mut tallies);
            watch(&mut report, make, live, |lobby| &mut lobby.world);
        }
    }
    Report { tallies, ..report }
}

/// Makes a lobby and has it live. What panics is looked at no more, but for what was counted and written down until then.
fn watch<L, A: App>(
    report: &mut Report,
    make: impl FnOnce() -> L,
    live: impl FnOnce(&mut L) -> Result<(), Violation>,
    world: impl Fn(&mut L) -> &mut World<A>,
) {
    match panic::catch_unwind(AssertUnwindSafe(make)) {
        Ok(mut lobby) => {
            let lived = panic::catch_unwind(AssertUnwindSafe(|| live(&mut lobby)));
            let world = world(&mut lobby);
            let panicked = |panic| Err(panicked(world.seed(), world.now(), panic));
            report.violation = lived.unwrap_or_else(panicked).err();
            report.fingerprint = world.fingerprint();
            report.stats = world.stats();
            report.trace = world.take_record();
        }
        Err(panic) => report.violation = Some(panicked(report.options.seed, Duration::ZERO, panic)),
    }
}

fn panicked(seed: u64, at: Duration, panic: Box<dyn Any + Send>) -> Violation {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
    Violation { seed, at, what: format!("D2: panic: {text}") }
}

fn live(lobby: &mut Lobby) -> Result<(), Violation> {
    for _ in 0..lobby.options.hours.saturating_mul(STORMS) {
        let end = lobby.world.now() + STORM + CALM;
        Storm::new(lobby, STORM).rage(lobby)?;
        lobby.calm();
        rest(lobby)?;
        meet(lobby)?;
        lobby.world.run_for(end.saturating_sub(lobby.world.now()))?;
        lobby.forges.set(true);
        for node in peers(lobby) {
            lobby.world.with(node, Chaos::resume);
        }
    }
    Ok(())
}

fn peers(lobby: &Lobby) -> Vec<NodeId> {
    lobby.peers.iter().map(|(node, _)| *node).collect()
}

fn demand(lobby: &mut Lobby, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if !holds {
        let what = what();
        lobby.world.fail(what);
        return lobby.world.run_for(Duration::ZERO);
    }
    Ok(())
}

/// Everyone lets go of everything. What was under way ends, nothing is left.
fn rest(lobby: &mut Lobby) -> Result<(), Violation> {
    for node in peers(lobby) {
        lobby.world.with(node, Chaos::rest);
    }
    // A pool of which the answer came late was not released with the others.
    lobby.world.run_for(REST)?;
    for node in peers(lobby) {
        lobby.world.with(node, Chaos::rest);
    }
    let quiet = lobby.setup.broadcaster.ping_timeout + Duration::from_secs(2);
    lobby.world.run_for(quiet)?;
    for node in peers(lobby) {
        let pending = lobby.world.pending(node);
        demand(lobby, pending == 0, || format!("V2: {pending} calls and dials of {node} don't end"))?;
        let (links, queued) = (lobby.world.honest_links(node), lobby.world.queued(node));
        demand(lobby, links.is_empty(), || format!("V6: {node} has links to {links:?} still"))?;
        demand(lobby, queued == 0, || format!("V6: {queued} bytes are left in the queues of {node}"))?;
    }
    for broadcaster in lobby.broadcasters.clone() {
        let mut left = lobby.world.hosts(broadcaster);
        left.retain(|(_, host)| peers(lobby).iter().any(|node| lobby.world.address(*node) == Some(*host)));
        demand(lobby, left.is_empty(), || {
            format!("V4: {broadcaster} has pools whose hosts are gone: {left:?}")
        })?;
    }
    Ok(())
}

/// All peers of one broadcaster meet in a new pool, and all hear from all.
fn meet(lobby: &mut Lobby) -> Result<(), Violation> {
    let home = *lobby.rng.pick(&lobby.broadcasters);
    let mut members: Vec<NodeId> =
        lobby.peers.iter().filter(|(_, of)| *of == home).map(|(node, _)| *node).collect();
    if members.is_empty() {
        return Ok(());
    }
    let host = members.remove(lobby.rng.index(members.len()));
    lobby.world.with(host, Chaos::look);
    lobby.world.run_for(Duration::from_secs(1))?;
    let meeting = lobby.world.app(host).map(|app| app.meeting().clone()).unwrap_or_default();
    demand(lobby, meeting.listed.is_some(), || {
        format!("V2: {host} was shown no pools: {:?}", meeting.failed)
    })?;
    lobby.world.with(host, Chaos::host);
    lobby.world.run_for(MEET)?;
    let Some(pool) = joined(lobby, host)? else { return Ok(()) };
    let one_by_one = lobby.rng.chance(500_000);
    for node in &members {
        lobby.world.with(*node, |app, context| app.meet(context, pool));
        if one_by_one {
            lobby.world.run_for(Duration::from_secs(1))?;
        }
    }
    lobby.world.run_for(MEET)?;
    for node in &members {
        joined(lobby, *node)?;
    }
    members.push(host);
    let acquainted = acquainted(lobby, &members);
    linked(lobby, &members, &acquainted, one_by_one)?;
    greet(lobby, &members, &acquainted)?;
    lives(lobby, home, host, pool)
}

/// The pool that a node should be in by now.
fn joined(lobby: &mut Lobby, node: NodeId) -> Result<Option<PoolId>, Violation> {
    let meeting = lobby.world.app(node).map(|app| app.meeting().clone()).unwrap_or_default();
    let pool = meeting.pool.as_ref().map(poolmesh_proto::PoolInfo::id);
    demand(lobby, pool.is_some(), || format!("V2: {node} got no pool: {:?}", meeting.failed))?;
    Ok(pool)
}

/// The pairs that are to be linked: all, or if an answer can't name so many, those of which one was named to the other.
fn acquainted(lobby: &Lobby, members: &[NodeId]) -> BTreeSet<(NodeId, NodeId)> {
    let all = lobby.options.nodes + lobby.options.attackers <= NAMED;
    let names = |node: NodeId, other: NodeId| {
        let pool = lobby.world.app(node).and_then(|app| app.meeting().pool.as_ref());
        let address = lobby.world.address(other);
        pool.is_some_and(|pool| pool.peers().iter().any(|peer| Some(*peer) == address))
    };
    let mut pairs = BTreeSet::new();
    for node in members {
        for other in members.iter().filter(|other| *other != node) {
            if all || names(*node, *other) || names(*other, *node) {
                pairs.insert((*node, *other));
            }
        }
    }
    pairs
}

/// Each pair is linked: once if they came one by one, else at most twice, for two who come at once may dial each other.
fn linked(
    lobby: &mut Lobby,
    members: &[NodeId],
    acquainted: &BTreeSet<(NodeId, NodeId)>,
    one_by_one: bool,
) -> Result<(), Violation> {
    for node in members {
        let links = lobby.world.honest_links(*node);
        for other in members.iter().filter(|other| *other != node) {
            let count = links.iter().filter(|link| *link == other).count();
            let least = usize::from(acquainted.contains(&(*node, *other)));
            let most = if one_by_one { 1 } else { 2 };
            demand(lobby, (least..=most).contains(&count), || {
                format!("V5: {node} has {count} links to {other}")
            })?;
        }
    }
    Ok(())
}

/// What each says all hear.
fn greet(
    lobby: &mut Lobby,
    members: &[NodeId],
    acquainted: &BTreeSet<(NodeId, NodeId)>,
) -> Result<(), Violation> {
    let base = lobby.rng.u64() >> 8;
    for (number, node) in members.iter().enumerate() {
        lobby.world.with(*node, |app, context| app.greet(context, base + number as u64));
    }
    lobby.world.run_for(MEET)?;
    for node in members {
        let others = members.iter().enumerate().filter(|(_, other)| acquainted.contains(&(*node, **other)));
        let expected: BTreeSet<u64> = others.map(|(other, _)| base + other as u64).collect();
        let meeting = lobby.world.app(*node).map(|app| app.meeting().clone()).unwrap_or_default();
        demand(lobby, meeting.greeted.is_superset(&expected), || {
            format!("V6: {node} heard {} of {}: {:?}", meeting.greeted.len(), expected.len(), meeting.failed)
        })?;
        let queued = lobby.world.queued(*node);
        demand(lobby, queued == 0, || format!("V6: {queued} bytes are left in the queues of {node}"))?;
    }
    Ok(())
}

/// A pool that is pinged lives.
fn lives(lobby: &mut Lobby, home: NodeId, host: NodeId, pool: PoolId) -> Result<(), Violation> {
    let timeout = lobby.setup.broadcaster.ping_timeout;
    lobby.world.run_for(timeout + Duration::from_secs(1))?;
    let address = lobby.world.address(host);
    let there = lobby.world.hosts(home).iter().any(|(id, by)| *id == pool && Some(*by) == address);
    demand(lobby, there, || format!("G2: the pool {pool} of {host} is gone, which was pinged"))
}
