//! A pool comes back more than once, and not by everybody's latest ticket: one line of its eras goes on, and no other.

use std::time::Duration;

use poolmesh_proto::wire::native::{Member, Refusal};
use poolmesh_proto::{Outcome, Refusal as Refused, Saved};

use super::super::agree::{SOON, demand};
use super::super::lobby::Lobby;
use super::super::meeting::Met;
use super::orders::guest;
use super::{Agreed, a_ping, is_refused};
use crate::sim::{NodeId, Violation};

/// After this time somebody who is new to a broadcaster was mostly offered a place, and has not taken it: a cookie comes and goes
/// before.
const OFFERED: Duration = Duration::from_millis(38);

/// No call lasts longer.
const CALL: Duration = Duration::from_secs(8);

/// A pool as it was at first.
struct Old {
    was: Agreed,
    numbers: Vec<(NodeId, Member)>,
    host: NodeId,
    /// Who has an old ticket, and is not host.
    node: NodeId,
    number: Member,
    saved: Saved,
}

fn old(lobby: &mut Lobby, met: &Met) -> Result<Option<Old>, Violation> {
    let (Some(was), Some(host)) = (lobby.now_agreed(met)?, lobby.host(met)) else { return Ok(None) };
    let Some(node) = guest(lobby, met) else { return Ok(None) };
    let numbers: Vec<_> =
        met.members.iter().filter_map(|node| Some((*node, lobby.number(met, *node)?))).collect();
    let (number, saved) = (lobby.number(met, node), lobby.saved(met, node));
    Ok(number.zip(saved).map(|(number, saved)| Old { was, numbers, host, node, number, saved }))
}

/// M3: somebody has a ticket of what a pool was before it was brought back, and is the first when that happens again. It is
/// no base, whether it was published meanwhile or not. It is in if nothing has happened since but that the pool was brought
/// back; whoever joined what it had brought back is out.
pub(super) fn old_ticket_comes_first(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(old) = old(lobby, met)? else { return Ok(()) };
    let (was, host) = (&old.was, old.host);
    let (pool, others) = (met.pool, Lobby::others(met, &[old.node]));
    let changed = lobby.rng.chance(300_000);
    if changed {
        lobby.done(host, |context| context.set_about(pool, b"later"))?;
    }
    lobby.restart_broadcaster(met.home, true);
    let within = lobby.interval() * 2;
    lobby.until_agreed(within, "V3: a broadcaster is back", pool, &met.members, |_, agreed| {
        agreed.epoch.era() != was.epoch.era() && agreed.members == was.members
    })?;
    let kicked = lobby.rng.chance(300_000);
    if kicked {
        let number = old.number;
        lobby.done(host, |context| context.kick(pool, number))?;
        lobby.until_agreed(SOON, "M2: a member was sent away", pool, &others, |lobby, agreed| {
            lobby.ended(old.node).is_some() && !agreed.members.contains(&number)
        })?;
        // Nor does it come back while tickets hold.
        let outcome = lobby.ask(old.node, |context| context.resume(&old.saved))?;
        demand(lobby, is_refused(outcome.as_ref(), Refusal::Stale), || {
            format!("M3: {outcome:?} came of a ticket of {}, which was sent away", old.node)
        })?;
    }
    // Nobody else comes before what it brings back is published, and joined by one who has lost what it had.
    let published = lobby.rng.chance(500_000);
    let joins = others.iter().copied().find(|node| *node != host).filter(|_| published);
    let stay: Vec<NodeId> = others.iter().copied().filter(|node| Some(*node) != joins).collect();
    let joined = joins.and_then(|node| lobby.number(met, node));
    stay.iter().filter(|_| published).for_each(|node| lobby.world.freeze(*node, false));
    joins.iter().chain([&old.node]).for_each(|node| lobby.world.crash(*node, false));
    lobby.restart_broadcaster(met.home, true);
    comes_back(lobby, &old, &old.saved)?;
    if published {
        let time = alone(lobby);
        lobby.world.run_for(time)?;
    }
    // Of several broadcasters it would turn to the next meanwhile.
    let late = lobby.broadcasters.len() < 2 && lobby.rng.chance(500_000);
    if let Some(node) = joins {
        lobby.restart_peer(node);
        if late {
            // It is offered a place, and takes it when that is void.
            lobby.with(node, |player, context| {
                player.call(context, |context| context.join_with(pool, b"new"));
            });
            lobby.world.run_for(OFFERED)?;
            lobby.world.freeze(node, false);
        } else {
            lobby.ask(node, |context| context.join_with(pool, b"new"))?;
        }
    }
    stay.iter().filter(|_| published).for_each(|node| lobby.world.thaw(*node));
    if let Some(node) = joins.filter(|_| late) {
        lobby.world.run_for(SOON * 2)?;
        lobby.world.thaw(node);
        // It is let in when the pool is back, if its call lasts so long.
        lobby.world.run_for(CALL)?;
        lobby.with(node, |_, context| context.release(pool));
    }
    let out: Vec<Member> = joined.into_iter().chain(Some(old.number).filter(|_| changed || kicked)).collect();
    // What comes so late is published with its first member, who may not be the host.
    let host = (was.host, was.term.get());
    goes_on(lobby, met, &old, &out, Some(host).filter(|_| !published))
}

/// M3: a pool is brought back by one of its members alone, and without it by the others, or has gone on without it before:
/// what they have is the pool when all meet, and what the one has only if nothing has happened to the others' since.
pub(super) fn branches_meet(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(old) = old(lobby, met)? else { return Ok(()) };
    let (was, host) = (&old.was, old.host);
    let (pool, others) = (met.pool, Lobby::others(met, &[old.node]));
    lobby.world.crash(old.node, false);
    let changed = lobby.rng.chance(500_000);
    if changed {
        lobby.done(host, |context| context.set_about(pool, b"later"))?;
        lobby.until_agreed(SOON, "P5: a member says something", pool, &others, |_, agreed| {
            agreed.epoch != was.epoch
        })?;
    }
    others.iter().for_each(|node| lobby.world.freeze(*node, false));
    lobby.restart_broadcaster(met.home, true);
    comes_back(lobby, &old, &old.saved)?;
    let time = alone(lobby);
    lobby.world.run_for(time)?;
    let is_alone = lobby.agreed(pool, &[old.node]).is_some_and(|alone| alone.members == [old.number]);
    demand(lobby, is_alone, || format!("V3: {} has not brought {pool} back alone", old.node))?;
    for say in 0..lobby.rng.below(5) {
        lobby.done(old.node, |context| context.set_about(pool, &say.to_le_bytes()))?;
    }
    let Some(branch) = lobby.saved(met, old.node) else { return Ok(()) };
    lobby.world.crash(old.node, false);
    // Of two branches from one epoch the one of more members goes on.
    let twice = others.len() > 1 && lobby.rng.chance(500_000);
    if twice {
        lobby.restart_broadcaster(met.home, true);
        others.iter().for_each(|node| lobby.world.thaw(*node));
        let within = lobby.interval() * 2 + a_ping(lobby) + SOON;
        lobby.until_agreed(within, "V3: a broadcaster is back", pool, &others, |_, agreed| {
            agreed.epoch.era() != was.epoch.era() && agreed.members.len() == others.len()
        })?;
        others.iter().for_each(|node| lobby.world.freeze(*node, false));
    }
    lobby.restart_broadcaster(met.home, true);
    if lobby.rng.chance(500_000) {
        comes_back(lobby, &old, &branch)?;
        others.iter().for_each(|node| lobby.world.thaw(*node));
    } else {
        others.iter().for_each(|node| lobby.world.thaw(*node));
        lobby.world.run_for(SOON)?;
        comes_back(lobby, &old, &branch)?;
    }
    if changed || twice {
        return goes_on(lobby, met, &old, &[old.number], Some((was.host, was.term.get())));
    }
    // It became host where nobody else was.
    goes_on(lobby, met, &old, &[], Some((old.number, was.term.get() + 1)))
}

/// So long nobody else is waited for by a pool to which one comes: a place is taken within a second and a half of when it was
/// offered.
fn alone(lobby: &Lobby) -> Duration {
    lobby.interval() * 2 + Duration::from_millis(1_500) + SOON
}

/// The program starts again, and comes back by this ticket.
fn comes_back(lobby: &mut Lobby, old: &Old, by: &Saved) -> Result<(), Violation> {
    lobby.restart_peer(old.node);
    lobby.with(old.node, |player, context| player.call(context, |context| context.resume(by)));
    lobby.world.run_for(Duration::from_millis(300))
}

/// The pool is what it was, but for these members, who learn it, and has this host in this term.
fn goes_on(
    lobby: &mut Lobby,
    met: &Met,
    old: &Old,
    out: &[Member],
    host: Option<(Member, u32)>,
) -> Result<(), Violation> {
    let mut due = old.was.members.clone();
    due.retain(|member| !out.contains(member));
    let (gone, stay): (Vec<_>, Vec<_>) = old.numbers.iter().partition(|(_, number)| out.contains(number));
    let stay: Vec<NodeId> = stay.into_iter().map(|(node, _)| node).collect();
    let within = lobby.interval() * 2 + a_ping(lobby) + SOON * 2;
    lobby.until_agreed(within, "M3: a pool goes on", met.pool, &stay, |_, agreed| {
        let hosted = host.is_none_or(|host| host == (agreed.host, agreed.term.get()));
        hosted && (&agreed.members, &agreed.spec) == (&due, &old.was.spec)
    })?;
    // They may have agreed so before they came back; who is out learns it by a ping behind that.
    let time = lobby.interval() * 2 + a_ping(lobby) + SOON;
    lobby.world.run_for(time)?;
    for (node, _) in gone {
        let there = lobby.membership(node, met.pool).is_some();
        demand(lobby, !there, || format!("M3: {node} is in {} still", met.pool))?;
        let outcome = lobby.player(node).and_then(|player| player.meeting().outcome.clone());
        // It was in until it was seen that others were in another line. Who joined may have waited for them in vain.
        let right = match outcome {
            Some(Outcome::Joined(_)) => true,
            Some(
                Outcome::TimedOut { .. } | Outcome::Refused(Refused::Native(Refusal::Recovering { .. })),
            ) => node != old.node,
            _ => is_refused(outcome.as_ref(), Refusal::Stale),
        };
        demand(lobby, right, || format!("M3: {outcome:?} came of an old ticket of {node}"))?;
    }
    Ok(())
}
