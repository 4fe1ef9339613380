//! Somebody has something done.

use poolmesh_proto::wire::native::{LeaveReason, Refusal, Seats};
use poolmesh_proto::{Outcome, PoolEnd, PoolEvent};

use super::super::agree::demand;
use super::super::lobby::Lobby;
use super::super::meeting::Met;
use super::{AT_ONCE, all_told_left, is_refused};
use crate::sim::{NodeId, Violation};

/// Some member that is not host.
pub(super) fn guest(lobby: &mut Lobby, met: &Met) -> Option<NodeId> {
    let host = lobby.host(met)?;
    let others = Lobby::others(met, &[host]);
    if others.is_empty() { None } else { Some(*lobby.rng.pick(&others)) }
}

/// M2: the host sends a member away, who doesn't come back by what it has kept; nobody else may.
pub(super) fn kick(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let (Some(host), Some(guest)) = (lobby.host(met), guest(lobby, met)) else { return Ok(()) };
    let (Some(number), Some(saved)) = (lobby.number(met, guest), lobby.saved(met, guest)) else {
        return Ok(());
    };
    let pool = met.pool;
    lobby.done(host, |context| context.kick(pool, number))?;
    let others = Lobby::others(met, &[guest]);
    let gone = |lobby: &Lobby, agreed: &super::Agreed| {
        lobby.ended(guest).is_some() && !agreed.members.contains(&number)
    };
    lobby.until_agreed(AT_ONCE, "M2: a member was sent away", pool, &others, gone)?;
    all_told_left(lobby, &others, number, LeaveReason::Kicked)?;
    let ended = lobby.ended(guest);
    demand(lobby, ended == Some(PoolEnd::Kicked), || {
        format!("M2: {guest} was told {ended:?}, and sent away")
    })?;
    let outcome = lobby.ask(guest, |context| context.resume(&saved))?;
    demand(lobby, is_refused(outcome.as_ref(), Refusal::Stale), || {
        format!("M3: {outcome:?} came of an old ticket")
    })?;
    // Nor when the broadcaster has forgotten it.
    lobby.restart_broadcaster(met.home, true);
    lobby.with(guest, |player, context| player.call(context, |context| context.resume(&saved)));
    let within = lobby.interval() * 4;
    lobby.world.run_for(within)?;
    lobby.until_agreed(AT_ONCE, "M3: who was sent away", pool, &others, gone)?;
    let there = lobby.membership(guest, pool).is_some();
    demand(lobby, !there, || format!("M3: {guest} is back by an old ticket"))
}

/// M5: the host makes another member host, in the next term.
pub(super) fn hand_over(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    let (Some(host), Some(guest)) = (lobby.host(met), guest(lobby, met)) else { return Ok(()) };
    let Some(number) = lobby.number(met, guest) else { return Ok(()) };
    let pool = met.pool;
    lobby.done(host, |context| context.hand_over(pool, number))?;
    let term = before.term.get() + 1;
    lobby.until_agreed(AT_ONCE, "M5: another was made host", pool, &met.members, |_, agreed| {
        (agreed.host, agreed.term.get()) == (number, term) && agreed.members == before.members
    })?;
    // The old one may no longer.
    lobby.with(host, |player, context| player.call(context, |context| context.hand_over(pool, before.host)));
    let failed = lobby.player(host).and_then(|player| player.meeting().failed.clone());
    demand(lobby, failed.is_some(), || format!("M5: {host} is host no longer, and may make one"))
}

/// A pool that is locked lets nobody in, until it is open again.
pub(super) fn lock(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let (Some(host), Some(guest)) = (lobby.host(met), guest(lobby, met)) else { return Ok(()) };
    let pool = met.pool;
    lobby.done(guest, |context| context.leave(pool))?;
    lobby.done(host, |context| context.lock(pool, true))?;
    let others = Lobby::others(met, &[guest]);
    lobby.until_agreed(AT_ONCE, "a pool was locked", pool, &others, |_, agreed| {
        agreed.spec.as_spec().locked()
    })?;
    let outcome = lobby.ask(guest, |context| context.join_with(pool, b""))?;
    demand(lobby, is_refused(outcome.as_ref(), Refusal::Locked), || {
        format!("{outcome:?} came of a locked pool")
    })?;
    lobby.done(host, |context| context.lock(pool, false))?;
    let outcome = lobby.ask(guest, |context| context.join_with(pool, b""))?;
    demand(lobby, matches!(outcome, Some(Outcome::Joined(_))), || {
        format!("{outcome:?} came of an open pool")
    })?;
    lobby.until_agreed(AT_ONCE, "a pool was opened", pool, &met.members, |_, agreed| {
        !agreed.spec.as_spec().locked()
    })?;
    Ok(())
}

/// What the host decides and what a member says of itself all know at once.
pub(super) fn say(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    let (Some(host), Some(guest)) = (lobby.host(met), guest(lobby, met)) else { return Ok(()) };
    let pool = met.pool;
    let seats = Seats::new(lobby.rng.range(1, 1_000) as u16).unwrap_or(Seats::DEFAULT);
    let spec = before.spec.with_seats(seats).named("another").unwrap_or_default();
    let about = lobby.rng.u64().to_le_bytes();
    lobby.done(host, |context| context.change(pool, &spec))?;
    lobby.done(guest, |context| context.set_about(pool, &about))?;
    let number = lobby.number(met, guest);
    let said = |lobby: &Lobby, node| {
        let member = lobby.membership(node, pool).and_then(|own| own.member(number?));
        member.is_some_and(|member| member.about == about[..])
    };
    lobby.until_agreed(AT_ONCE, "V1: something else was said", pool, &met.members, |lobby, agreed| {
        agreed.spec == spec && met.members.iter().all(|node| said(lobby, *node))
    })?;
    Ok(())
}

/// The host ends the pool.
pub(super) fn close(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(host) = lobby.host(met) else { return Ok(()) };
    let pool = met.pool;
    let outcome = lobby.ask(host, |context| context.close_pool(pool))?;
    // The answer to a ping that says that the pool is gone may overtake that.
    let done = outcome == Some(Outcome::Done) || is_refused(outcome.as_ref(), Refusal::Stale);
    demand(lobby, done, || format!("V2: {outcome:?} came of closing {pool}"))?;
    closed(lobby, met, host)
}

/// All but one are told that the pool is over, and it is.
fn closed(lobby: &mut Lobby, met: &Met, by: NodeId) -> Result<(), Violation> {
    lobby.world.run_for(AT_ONCE)?;
    for node in Lobby::others(met, &[by]) {
        let ended = lobby.ended(node);
        demand(lobby, ended == Some(PoolEnd::Closed), || {
            format!("V4: {node} was told {ended:?} of a pool that ended")
        })?;
    }
    let there = lobby.world.native_pools(met.home).iter().any(|(pool, _)| *pool == met.pool);
    demand(lobby, !there, || format!("V4: {} is there still", met.pool))
}

/// M2, M3: who leaves is gone at once for all, by its own word, and no old datagram brings it back.
pub(super) fn leave(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    let node = *lobby.rng.pick(&met.members);
    let (Some(number), Some(saved)) = (lobby.number(met, node), lobby.saved(met, node)) else {
        return Ok(());
    };
    let pool = met.pool;
    match lobby.rng.below(3) {
        0 => lobby.done(node, |context| context.leave(pool))?,
        1 => _ = lobby.with(node, |_, context| context.release(pool)),
        _ => _ = lobby.with(node, |_, context| context.close()),
    }
    let others = Lobby::others(met, &[node]);
    lobby.until_agreed(AT_ONCE, "M2: a member left", pool, &others, |_, agreed| {
        let heir = before.members.iter().copied().find(|member| *member != number);
        let host = if before.host == number { heir } else { Some(before.host) };
        !agreed.members.contains(&number) && Some(agreed.host) == host
    })?;
    all_told_left(lobby, &others, number, LeaveReason::Left)?;
    let old: Vec<_> =
        others.iter().filter_map(|other| lobby.membership(*other, pool).map(|own| own.epoch())).collect();
    lobby.restart_peer(node);
    let outcome = lobby.ask(node, |context| context.resume(&saved))?;
    demand(lobby, is_refused(outcome.as_ref(), Refusal::Stale), || {
        format!("M3: {outcome:?} came of an old ticket")
    })?;
    let time = lobby.timeout();
    lobby.world.run_for(time)?;
    let new: Vec<_> =
        others.iter().filter_map(|other| lobby.membership(*other, pool).map(|own| own.epoch())).collect();
    demand(lobby, old == new, || format!("M3: something happened to {pool} when {node} had left"))
}

/// A pool that ends with its host does.
pub(super) fn end_with_host(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    let Some(host) = lobby.host(met) else { return Ok(()) };
    let pool = met.pool;
    let spec = before.spec.ending_with_host(true);
    lobby.done(host, |context| context.change(pool, &spec))?;
    lobby
        .until_agreed(AT_ONCE, "the spec was changed", pool, &met.members, |_, agreed| agreed.spec == spec)?;
    let told = lobby.player(host).is_some_and(|player| player.meeting().told.contains(&PoolEvent::Spec));
    demand(lobby, told, || format!("V1: {host} was not told of the spec"))?;
    lobby.done(host, |context| context.leave(pool))?;
    closed(lobby, met, host)
}
