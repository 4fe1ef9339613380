//! Somebody, or the broadcaster, is away for a while or for good.

use std::time::Duration;

use poolmesh_proto::wire::native::{LeaveReason, Refusal};
use poolmesh_proto::{Outcome, PoolEnd, PoolEvent};

use super::super::agree::{SOON, demand};
use super::super::lobby::Lobby;
use super::super::meeting::{Met, greet, linked};
use super::{a_ping, all_told_left, is_refused};
use crate::sim::{NodeId, Violation};

/// V3, M5: a host that falls silent is followed by the member of the lowest number, in the next term, and all know it within
/// the timeout and an interval. When the old one is back it is nobody's host.
pub(super) fn host_falls_silent(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let (Some(before), Some(host)) = (lobby.now_agreed(met)?, lobby.host(met)) else { return Ok(()) };
    let saved = lobby.saved(met, host);
    let dark = lobby.rng.chance(500_000);
    let frozen = lobby.rng.chance(300_000);
    if frozen {
        lobby.world.freeze(host, false);
    } else {
        lobby.world.crash(host, dark);
    }
    let others = Lobby::others(met, &[host]);
    let within = lobby.timeout() + lobby.interval();
    let heir = before.members.iter().copied().find(|member| *member != before.host);
    let term = before.term.get() + 1;
    lobby.until_agreed(within, "V3: a host fell silent", met.pool, &others, |_, agreed| {
        Some(agreed.host) == heir && agreed.term.get() == term && !agreed.members.contains(&before.host)
    })?;
    all_told_left(lobby, &others, before.host, LeaveReason::TimedOut)?;
    for node in &others {
        let told = lobby.player(*node).map(|player| player.meeting().told.clone()).unwrap_or_default();
        let hosts: Vec<&PoolEvent> =
            told.iter().filter(|event| matches!(event, PoolEvent::Host { .. })).collect();
        let right = matches!(hosts[..], [PoolEvent::Host { member, .. }] if Some(*member) == heir);
        demand(lobby, right, || format!("M5: {node} was told {hosts:?}, where {heir:?} is host"))?;
    }
    if frozen {
        lobby.world.thaw(host);
        let time = a_ping(lobby) + SOON;
        lobby.world.run_for(time)?;
        let ended = lobby.ended(host);
        return demand(lobby, ended == Some(PoolEnd::Forgotten), || {
            format!("V3: the old host {host} was told {ended:?}")
        });
    }
    lobby.restart_peer(host);
    if let Some(saved) = saved {
        let outcome = lobby.ask(host, |context| context.resume(&saved))?;
        demand(lobby, is_refused(outcome.as_ref(), Refusal::Stale), || {
            format!("M3: {outcome:?} came of the old ticket of {host}")
        })?;
    }
    let pool = met.pool;
    lobby.ask(host, |context| context.join_with(pool, b"back"))?;
    lobby.until_agreed(SOON, "V3: the old host is back", pool, &met.members, |_, agreed| {
        Some(agreed.host) == heir && agreed.term.get() == term
    })?;
    Ok(())
}

/// V3: a broadcaster that comes back with its key has its pools again within two intervals: the id, the members under their
/// numbers, the host, the term. Links have not noticed.
pub(super) fn comes_back_with_key(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    let links = lobby.all_links(met);
    let dark = lobby.rng.chance(500_000);
    lobby.world.crash(met.home, dark);
    // Where there is another, members turn to it when they have missed three answers.
    let most = if lobby.broadcasters.len() < 2 { 20_000 } else { 1_500 };
    let away = Duration::from_millis(lobby.rng.range(0, most));
    lobby.world.run_for(away)?;
    lobby.restart_broadcaster(met.home, true);
    let within = lobby.interval() * 2;
    let same = |agreed: &super::Agreed| {
        (&agreed.members, agreed.host, agreed.term, &agreed.spec)
            == (&before.members, before.host, before.term, &before.spec)
    };
    lobby.until_agreed(within, "V3: a broadcaster is back", met.pool, &met.members, |_, agreed| {
        agreed.epoch.era() != before.epoch.era() && same(agreed)
    })?;
    untouched(lobby, met, &links)?;
    let time = lobby.timeout() + lobby.interval();
    lobby.world.run_for(time)?;
    let still = lobby.now_agreed(met)?;
    demand(lobby, still.as_ref().is_some_and(same), || format!("V3: {still:?} is left of {before:?}"))?;
    greet(lobby, met)
}

/// Links don't depend on a broadcaster, and nobody was told that the pool is over.
fn untouched(lobby: &mut Lobby, met: &Met, links: &[Vec<NodeId>]) -> Result<(), Violation> {
    let now = lobby.all_links(met);
    demand(lobby, now == links, || format!("L1: links were {links:?}, and are {now:?}"))?;
    for node in &met.members {
        let ended = lobby.ended(*node);
        demand(lobby, ended.is_none(), || format!("V3: {node} was told {ended:?}"))?;
    }
    linked(lobby, met)
}

/// V3: without the key no ticket is taken. Members are told so, and the pool's id is nobody's to take.
pub(super) fn comes_back_without_key(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let links = lobby.all_links(met);
    for node in lobby.broadcasters.clone() {
        lobby.world.crash(node, false);
    }
    let away = Duration::from_millis(lobby.rng.range(0, 5_000));
    lobby.world.run_for(away)?;
    for node in lobby.broadcasters.clone() {
        lobby.restart_broadcaster(node, false);
    }
    // A ping, or what is left of a round and the wait behind it; then each broadcaster in turn.
    let within = a_ping(lobby) * 2 + Duration::from_secs(6);
    lobby.world.run_for(within)?;
    for node in &met.members {
        let ended = lobby.ended(*node);
        demand(lobby, ended == Some(PoolEnd::Lost), || {
            format!("V3: {node} was told {ended:?}, and no key was kept")
        })?;
    }
    let now = lobby.all_links(met);
    demand(lobby, now == links, || format!("L1: links were {links:?}, and are {now:?}"))?;
    let there = lobby.world.native_pools(met.home).iter().any(|(pool, _)| *pool == met.pool);
    demand(lobby, !there, || format!("V3: {} was taken", met.pool))?;
    let Some(node) = met.members.last().copied() else { return Ok(()) };
    let pool = met.pool;
    let outcome = lobby.ask(node, |context| context.join_with(pool, b""))?;
    demand(lobby, is_refused(outcome.as_ref(), Refusal::NoSuchPool), || {
        format!("V3: {outcome:?} came of joining {pool}")
    })
}

/// V3: when a broadcaster is gone for good, the pool goes on at the next that its members share.
pub(super) fn another_takes_over(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    if lobby.broadcasters.len() < 2 {
        return Ok(());
    }
    let links = lobby.all_links(met);
    lobby.world.crash(met.home, true);
    // Three pings that are not answered, its own broadcaster asked once more, and the other one's cookie and ticket.
    let within = a_ping(lobby) + Duration::from_millis(3_750) + Duration::from_secs(2) + SOON * 2;
    lobby.until_agreed(within, "V3: another broadcaster", met.pool, &met.members, |_, agreed| {
        agreed.epoch.era() != before.epoch.era()
            && (&agreed.members, agreed.host, agreed.term) == (&before.members, before.host, before.term)
    })?;
    untouched(lobby, met, &links)?;
    let after = lobby.now_agreed(met)?;
    lobby.restart_broadcaster(met.home, true);
    let time = lobby.timeout() * 2;
    lobby.world.run_for(time)?;
    let still = lobby.now_agreed(met)?;
    demand(lobby, still == after, || format!("V3: {still:?} came of {after:?} when the first was back"))?;
    untouched(lobby, met, &links)
}

/// M1: whoever gets another address is who it was.
pub(super) fn addresses_change(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    for nat in lobby.nats.clone() {
        lobby.world.flush(nat);
    }
    let within = a_ping(lobby) + SOON;
    lobby.world.run_for(within)?;
    let Some(after) = lobby.now_agreed(met)? else { return Ok(()) };
    let same = (after.members, after.host, after.term) == (before.members, before.host, before.term);
    demand(lobby, same, || "M1: somebody got another address, and is not who it was".to_owned())?;
    let hidden = lobby.peers.iter().filter(|peer| peer.hidden && met.members.contains(&peer.node)).count();
    let moved = after.epoch != before.epoch;
    demand(lobby, moved == (hidden > 0), || {
        format!(
            "M1: {hidden} got other addresses, and the roster {}",
            if moved { "changed" } else { "did not" }
        )
    })?;
    let time = lobby.timeout() + SOON;
    lobby.world.run_for(time)?;
    for node in &met.members {
        let left = lobby.told_left(*node);
        demand(lobby, left.is_empty(), || format!("M2: {node} was told {left:?}"))?;
    }
    Ok(())
}

/// A program that crashed comes back with what it kept, as the member that it was.
pub(super) fn program_comes_back(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let Some(before) = lobby.now_agreed(met)? else { return Ok(()) };
    let node = *lobby.rng.pick(&met.members);
    let (Some(saved), Some(number)) = (lobby.saved(met, node), lobby.number(met, node)) else {
        return Ok(());
    };
    lobby.world.crash(node, false);
    let half = u64::try_from(lobby.timeout().as_millis()).unwrap_or(0) / 2;
    let away = Duration::from_millis(lobby.rng.range(0, half));
    lobby.world.run_for(away)?;
    lobby.restart_peer(node);
    let outcome = lobby.ask(node, |context| context.resume(&saved))?;
    let back = match &outcome {
        Some(Outcome::Joined(info)) => info.me() == Some(number),
        _ => false,
    };
    demand(lobby, back, || format!("M3: {outcome:?} came of the ticket of {node}, which was {number}"))?;
    lobby.until_agreed(SOON, "a program came back", met.pool, &met.members, |_, agreed| {
        (&agreed.members, agreed.host, agreed.term) == (&before.members, before.host, before.term)
    })?;
    for other in Lobby::others(met, &[node]) {
        let left = lobby.told_left(other);
        demand(lobby, left.is_empty(), || format!("M2: {other} was told {left:?}"))?;
    }
    Ok(())
}

/// V4: a member that nobody hears is gone when its time is over, and learns it when it is back.
pub(super) fn member_is_cut_off(lobby: &mut Lobby, met: &Met) -> Result<(), Violation> {
    let node = *lobby.rng.pick(&met.members);
    let Some(number) = lobby.number(met, node) else { return Ok(()) };
    let others = Lobby::others(met, &[node]);
    lobby.world.isolate(&[node]);
    let within = lobby.timeout() + lobby.interval();
    lobby.until_agreed(within, "V4: a member was cut off", met.pool, &others, |_, agreed| {
        !agreed.members.contains(&number)
    })?;
    all_told_left(lobby, &others, number, LeaveReason::TimedOut)?;
    lobby.world.heal();
    // What is left of a round and the wait behind it; then the ticket, at each broadcaster.
    let within = a_ping(lobby) * 2 + Duration::from_secs(8);
    if lobby.broadcasters.len() < 2 {
        lobby.world.run_for(within)?;
        let ended = lobby.ended(node);
        return demand(lobby, ended == Some(PoolEnd::Forgotten), || {
            format!("V4: {node} was told {ended:?}, and is gone")
        });
    }
    // It may have brought the pool back elsewhere. Then it looks once in ten intervals whether the pool is here, too.
    let within = within + lobby.interval() * 2 + a_ping(lobby) * 10 + Duration::from_secs(8);
    let (end, pool) = (lobby.world.now() + within, met.pool);
    while lobby.ended(node).is_none() && lobby.agreed(pool, &met.members).is_none() {
        let now = lobby.world.now();
        demand(lobby, now < end, || {
            format!("V4: {node} is neither back in {pool} nor told that it is gone")
        })?;
        lobby.world.run_for(Duration::from_millis(100))?;
    }
    Ok(())
}
