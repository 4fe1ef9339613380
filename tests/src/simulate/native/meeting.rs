//! All meet in a new pool.

use std::collections::BTreeSet;
use std::time::Duration;

use poolmesh_proto::wire::native::{Address, Epoch, Member, PoolSpec, Term};
use poolmesh_proto::{ListFilter, Membership, Outcome, PoolId};

use super::agree::{SOON, demand};
use super::lobby::Lobby;
use crate::sim::{NodeId, Violation};

/// Within this time whoever is asked to has met the others.
const MEET: Duration = Duration::from_secs(3);

/// A pool in which all are that can be.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) pool: PoolId,
    /// Its broadcaster.
    pub(super) home: NodeId,
    /// In the order in which they came; the host first.
    pub(super) members: Vec<NodeId>,
}

impl Lobby {
    /// What a node knows of a pool.
    pub(super) fn membership(&self, node: NodeId, pool: PoolId) -> Option<&Membership> {
        let (client, ..) = self.world.machines(node)?;
        client.membership(&pool)
    }

    /// What all of these agree about: epoch, host, term, and who is in the pool. None if they don't agree.
    pub(super) fn agreed(&self, pool: PoolId, nodes: &[NodeId]) -> Option<Agreed> {
        let mut all = nodes.iter().map(|node| self.membership(*node, pool).map(Agreed::of));
        let first = all.next()??;
        all.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// Lets time pass until these agree, and `holds`.
    pub(super) fn until_agreed(
        &mut self,
        within: Duration,
        what: &str,
        pool: PoolId,
        nodes: &[NodeId],
        mut holds: impl FnMut(&Self, &Agreed) -> bool,
    ) -> Result<Duration, Violation> {
        let start = self.world.now();
        let end = start + within;
        loop {
            let agreed = self.agreed(pool, nodes);
            let now = self.world.now();
            if agreed.as_ref().is_some_and(|agreed| holds(self, agreed)) {
                return Ok(now.saturating_sub(start));
            }
            if now >= end {
                let known: Vec<Option<Agreed>> =
                    nodes.iter().map(|node| self.membership(*node, pool).map(Agreed::of)).collect();
                demand(self, false, || format!("{what}: {known:?} of {nodes:?} after {within:?}"))?;
                return Ok(within);
            }
            let wait = Duration::from_millis(20).min(end.saturating_sub(now));
            self.world.run_for(wait)?;
        }
    }
}

/// What members agree about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) epoch: Epoch,
    pub(super) host: Member,
    pub(super) term: Term,
    pub(super) members: Vec<Member>,
    pub(super) spec: PoolSpec,
}

impl Agreed {
    fn of(membership: &Membership) -> Self {
        Self {
            epoch: membership.epoch(),
            host: membership.host(),
            term: membership.term(),
            members: membership.members().iter().map(|member| member.number).collect(),
            spec: membership.spec().clone(),
        }
    }
}

/// V7: a pool can be made, found and joined, whatever an attacker does. All know the same of it, and are linked, each pair
/// once.
pub(super) fn meet(lobby: &mut Lobby) -> Result<Option<Met>, Violation> {
    let first = lobby.broadcasters.first().copied();
    let mut members: Vec<NodeId> =
        lobby.peers.iter().filter(|peer| Some(peer.home) == first).map(|peer| peer.node).collect();
    if members.is_empty() {
        return Ok(None);
    }
    let first = lobby.rng.index(members.len());
    members.swap(0, first);
    let Some((host, others)) = members.split_first() else { return Ok(None) };
    let (host, others) = (*host, others.to_vec());
    let mut spec = PoolSpec::default().named("meeting").unwrap_or_default();
    if lobby.rng.chance(500_000) {
        // Whoever makes it may be behind others, then.
        let all = lobby.addresses(&lobby.broadcasters).into_iter().filter_map(Address::new);
        spec = spec.with_broadcasters(&all.collect::<Vec<_>>()).unwrap_or_default();
    }
    lobby.with(host, |player, context| player.call(context, |context| context.create_with(&spec, b"host")));
    let info = answer(lobby, host)?;
    let (Some(info), Some(code)) = (info.as_ref(), info.as_ref().and_then(|info| info.code())) else {
        return Ok(None);
    };
    let pool = info.id();
    // Its client has asked the one that has answered it last.
    let at = lobby.membership(host, pool).map(Membership::broadcaster);
    let home = lobby.broadcasters.iter().find(|node| lobby.world.address(**node) == at).copied();
    let Some(home) = home else { return Ok(None) };
    listed(lobby, host, pool)?;
    let one_by_one = lobby.rng.chance(500_000);
    for (number, node) in others.iter().enumerate() {
        lobby.with(*node, |player, context| {
            player.call(context, |context| {
                if number % 2 == 0 {
                    context.join_with(pool, b"guest")
                } else {
                    context.join_with(code, b"by code")
                }
            });
        });
        if one_by_one {
            lobby.world.run_for(Duration::from_millis(300))?;
        }
    }
    for node in &others {
        answer(lobby, *node)?;
    }
    let count = members.len();
    lobby.until_agreed(SOON, "V1: a meeting", pool, &members, |_, agreed| agreed.members.len() == count)?;
    let met = Met { pool, home, members };
    // Some dial one at a time, and find out late that nobody behind a NAT is reached.
    let hidden = lobby.peers.iter().filter(|peer| peer.hidden).count() as u32;
    lobby.world.run_for(MEET + lobby.setup.peer.mesh.dial_deadline * hidden)?;
    linked(lobby, &met)?;
    greet(lobby, &met)?;
    Ok(Some(met))
}

/// What came of the latest call of a node, which must be a pool.
pub(super) fn answer(lobby: &mut Lobby, node: NodeId) -> Result<Option<poolmesh_proto::PoolInfo>, Violation> {
    lobby.world.run_until(MEET, |world| {
        let player = world.app(node).and_then(super::lobby::Program::player);
        player.is_none_or(|player| player.meeting().outcome.is_some() || player.meeting().failed.is_some())
    })?;
    let meeting = lobby.player(node).map(|player| player.meeting().clone()).unwrap_or_default();
    match meeting.outcome {
        Some(Outcome::Created(info) | Outcome::Joined(info)) => Ok(Some(info)),
        outcome => {
            demand(lobby, false, || format!("V7: {node} got no pool: {outcome:?}, {:?}", meeting.failed))?;
            Ok(None)
        }
    }
}

/// A pool that is not hidden is listed.
fn listed(lobby: &mut Lobby, node: NodeId, pool: PoolId) -> Result<(), Violation> {
    let filter = ListFilter { prefix: "meet".to_owned(), ..ListFilter::default() };
    lobby.with(node, |player, context| player.call(context, |context| context.list_with(&filter)));
    lobby.world.run_for(SOON)?;
    let outcome = lobby.player(node).and_then(|player| player.meeting().outcome.clone());
    let named = match &outcome {
        Some(Outcome::Listed(page)) => page.ids().any(|id| id == pool),
        _ => false,
    };
    demand(lobby, named, || format!("V7: {node} was shown {outcome:?}, and not {pool}"))
}

/// Of two members the one of the higher number dials the other, so that one link comes of it; whoever is behind a NAT can't
/// be dialed.
pub(super) fn linked(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let hidden: BTreeSet<NodeId> =
        lobby.peers.iter().filter(|peer| peer.hidden).map(|peer| peer.node).collect();
    for node in &met.members {
        let links = lobby.world.honest_links(*node);
        for other in met.members.iter().filter(|other| *other != node) {
            let number = |node| lobby.membership(node, met.pool).map(Membership::me);
            let dialed = if number(*node) > number(*other) { other } else { node };
            let due = usize::from(!hidden.contains(dialed));
            let count = links.iter().filter(|link| *link == other).count();
            demand(lobby, count == due, || {
                format!("L1: {node} has {count} links to {other}, where {due} is due")
            })?;
        }
    }
    Ok(())
}

/// What each says all hear to whom it has a link.
pub(super) fn greet(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let base = lobby.rng.u64() >> 8;
    for (number, node) in met.members.iter().enumerate() {
        lobby.with(*node, |player, context| player.greet(context, base + number as u64));
    }
    lobby.world.run_for(SOON)?;
    for node in &met.members {
        let links = lobby.world.honest_links(*node);
        let others = met.members.iter().enumerate().filter(|(_, other)| links.contains(other));
        let due: BTreeSet<u64> = others.map(|(other, _)| base + other as u64).collect();
        let heard = lobby.player(*node).map(|player| player.meeting().greeted.clone()).unwrap_or_default();
        demand(lobby, heard.is_superset(&due), || {
            format!("V6: {node} heard {} of {}", heard.len(), due.len())
        })?;
    }
    Ok(())
}
