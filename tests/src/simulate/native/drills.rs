//! What must come of one thing that happens to a pool in fair weather.

mod lineage;
mod orders;
mod outages;

use std::time::Duration;

use poolmesh_proto::wire::native::{LeaveReason, Member};
use poolmesh_proto::{Membership, Outcome, PoolEnd, PoolEvent, Refusal, Saved};

use super::agree::{SOON, demand};
use super::lobby::Lobby;
use super::meeting::{Agreed, Met};
use crate::sim::{NodeId, Violation};

/// Has one thing happen to a pool.
pub(super) fn drill(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    lobby.each(|player, _| player.forget_told());
    if met.members.len() < 2 {
        return Ok(());
    }
    match lobby.rng.below(16) {
        0 => outages::host_falls_silent(lobby, met),
        1 => outages::comes_back_with_key(lobby, met),
        2 => outages::comes_back_without_key(lobby, met),
        3 => outages::another_takes_over(lobby, met),
        4 => outages::addresses_change(lobby, met),
        5 => outages::program_comes_back(lobby, met),
        6 => outages::member_is_cut_off(lobby, met),
        7 => orders::kick(lobby, met),
        8 => orders::hand_over(lobby, met),
        9 => orders::lock(lobby, met),
        10 => orders::say(lobby, met),
        11 => orders::close(lobby, met),
        12 => orders::leave(lobby, met),
        13 => orders::end_with_host(lobby, met),
        14 => lineage::old_ticket_comes_first(lobby, met),
        _ => lineage::branches_meet(lobby, met),
    }
}

impl Lobby {
    /// The number that a node has in a pool.
    fn number(&self, met: &Met, node: NodeId) -> Option<Member> {
        self.membership(node, met.pool).map(Membership::me)
    }

    /// Who of the members is host.
    fn host(&self, met: &Met) -> Option<NodeId> {
        met.members
            .iter()
            .copied()
            .find(|node| self.membership(*node, met.pool).is_some_and(Membership::is_host))
    }

    fn now_agreed(&mut self, met: &Met) -> Result<Option<Agreed>, Violation> {
        let agreed = self.agreed(met.pool, &met.members);
        demand(self, agreed.is_some(), || format!("V1: not all know the same of {}", met.pool))?;
        Ok(agreed)
    }

    /// The links of all members, to be compared.
    fn all_links(&self, met: &Met) -> Vec<Vec<NodeId>> {
        met.members.iter().map(|node| self.world.honest_links(*node)).collect()
    }

    /// Has a node make a call, and answers what came of it.
    fn ask(
        &mut self,
        node: NodeId,
        call: impl FnOnce(&mut crate::sim::Context<'_>) -> super::player::Called,
    ) -> Result<Option<Outcome>, Violation> {
        self.with(node, |player, context| player.call(context, call));
        self.world.run_until(Duration::from_secs(17), |world| {
            let player = world.app(node).and_then(super::lobby::Program::player);
            player
                .is_none_or(|player| player.meeting().outcome.is_some() || player.meeting().failed.is_some())
        })?;
        let meeting = self.player(node).map(|player| player.meeting().clone()).unwrap_or_default();
        let failed = meeting.failed;
        demand(self, failed.is_none(), || format!("V2: {node} can't call: {failed:?}"))?;
        Ok(meeting.outcome)
    }

    /// Has a node make a call that must be carried out.
    fn done(
        &mut self,
        node: NodeId,
        call: impl FnOnce(&mut crate::sim::Context<'_>) -> super::player::Called,
    ) -> Result<(), Violation> {
        let outcome = self.ask(node, call)?;
        demand(self, outcome == Some(Outcome::Done), || format!("V2: {outcome:?} came of an order of {node}"))
    }

    fn saved(&self, met: &Met, node: NodeId) -> Option<Saved> {
        self.membership(node, met.pool).map(Membership::save)
    }

    fn ended(&self, node: NodeId) -> Option<PoolEnd> {
        self.player(node).and_then(|player| player.meeting().ended)
    }

    /// What was told of who left.
    fn told_left(&self, node: NodeId) -> Vec<(Member, Option<LeaveReason>)> {
        let told = self.player(node).map(|player| player.meeting().told.clone()).unwrap_or_default();
        told.into_iter()
            .filter_map(|event| {
                let PoolEvent::Left { member, reason } = event else { return None };
                Some((member.number, reason))
            })
            .collect()
    }

    /// All but these.
    fn others(met: &Met, out: &[NodeId]) -> Vec<NodeId> {
        met.members.iter().copied().filter(|node| !out.contains(node)).collect()
    }
}

/// Whether an outcome is this refusal of the native dialect.
fn is_refused(outcome: Option<&Outcome>, by: poolmesh_proto::wire::native::Refusal) -> bool {
    outcome == Some(&Outcome::Refused(Refusal::Native(by)))
}

/// So long a ping may be off: an interval, and the quarter by which it is late by chance.
fn a_ping(lobby: &Lobby) -> Duration {
    lobby.interval() + lobby.interval() / 4
}

/// Whether everybody has been told the same of who left, once. Who learnt it by a page doesn't know why.
fn all_told_left(
    lobby: &mut Lobby,
    nodes: &[NodeId],
    member: Member,
    reason: LeaveReason,
) -> Result<(), Violation> {
    for node in nodes {
        let told = lobby.told_left(*node);
        let right = told == [(member, Some(reason))] || told == [(member, None)];
        demand(lobby, right, || format!("M2: {node} was told {told:?}, where {member} left: {reason:?}"))?;
    }
    Ok(())
}

/// So much later than at once.
const AT_ONCE: Duration = SOON;
