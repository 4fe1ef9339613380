//! An hour of the native dialect: storms, and after each what must have become of everything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::agree::{agree, demand};
use super::drills::drill;
use super::lobby::Lobby;
use super::meeting::meet;
use super::player::{Player, Tally};
use crate::sim::{NodeId, Violation, Weather};
use crate::simulate::storm::Storm;

/// Storms an hour.
const STORMS: u32 = 4;
/// How long each is.
const STORM: Duration = Duration::from_secs(10 * 60);
/// How long each calm is.
const CALM: Duration = Duration::from_secs(5 * 60);
/// How long calls are counted in it.
const CABLE: Duration = Duration::from_secs(30);

/// What came of calls, by how many datagrams were lost, in a million.
type Tallies = BTreeMap<u32, Tally>;

/// Lives through the hours that were asked for. `tallies`: what came of the calls that were counted.
pub(in crate::simulate) fn live(lobby: &mut Lobby, tallies: &mut Tallies) -> Result<(), Violation> {
    for _ in 0..lobby.options.hours.saturating_mul(STORMS) {
        let end = lobby.world.now() + STORM + CALM;
        Storm::new(lobby, STORM).rage(lobby)?;
        lobby.calm();
        lobby.act(false);
        agree(lobby)?;
        cable(lobby, tallies)?;
        rest(lobby)?;
        if let Some(met) = meet(lobby)? {
            drill(lobby, &met)?;
        }
        let over = lobby.world.now().saturating_sub(end);
        demand(lobby, over.is_zero(), || format!("misuse: a calm was {over:?} too long"))?;
        lobby.world.run_for(end.saturating_sub(lobby.world.now()))?;
        lobby.comes_in.set(true);
        lobby.act(true);
    }
    Ok(())
}

fn peers(lobby: &Lobby) -> Vec<NodeId> {
    lobby.peers.iter().map(|peer| peer.node).collect()
}

/// Where datagrams are only lost, doubled and reordered, all but a few calls have an answer.
fn cable(lobby: &mut Lobby, tallies: &mut Tallies) -> Result<(), Violation> {
    let rng = &mut lobby.rng;
    let weather = Weather {
        delay: Duration::from_millis(rng.range(1, 50)),
        spread: Duration::from_millis(rng.range(1, 30)),
        loss: *rng.pick(&[50_000, 200_000]),
        duplicate: 100_000,
        ..Weather::calm()
    };
    let loss = weather.loss;
    *lobby.world.weather() = weather;
    for node in peers(lobby) {
        lobby.with(node, |player, _| player.take_tally());
    }
    let end = lobby.world.now() + CABLE;
    while lobby.world.now() < end {
        let node = *lobby.rng.pick(&peers(lobby));
        lobby.with(node, Player::act_once);
        lobby.world.run_for(Duration::from_millis(200))?;
    }
    let time = all_have_ended(lobby);
    lobby.world.run_for(time)?;
    for node in peers(lobby) {
        let Some(own) = lobby.with(node, |player, _| player.take_tally()) else { continue };
        let ended = own.answered + own.timed_out;
        demand(lobby, own.made == ended, || {
            format!("V2: of {} calls of {node} {ended} have ended", own.made)
        })?;
        *tallies.entry(loss).or_default() += own;
    }
    *lobby.world.weather() = Weather::calm();
    // Who has closed everything can do nothing more.
    for node in peers(lobby) {
        if lobby.player(node).is_some_and(Player::is_closed) {
            lobby.restart_peer(node);
        }
    }
    Ok(())
}

/// After this time every call has its outcome: to resume takes twice as long as others may.
fn all_have_ended(lobby: &Lobby) -> Duration {
    lobby.setup.peer.client.call_timeout * 2
}

/// Everyone lets go of everything. What was under way ends, nothing is left.
fn rest(lobby: &mut Lobby) -> Result<(), Violation> {
    lobby.each(|player, context| player.rest(context, true));
    let time = all_have_ended(lobby) + Duration::from_secs(2);
    lobby.world.run_for(time)?;
    // A pool of which the answer came late was not left with the others.
    lobby.each(|player, context| player.rest(context, true));
    lobby.world.run_for(Duration::from_secs(2))?;
    for node in peers(lobby) {
        let pending = lobby.world.pending(node);
        demand(lobby, pending == 0, || format!("V2: {pending} calls and dials of {node} don't end"))?;
        let links = lobby.world.honest_links(node);
        demand(lobby, links.is_empty(), || format!("V6: {node} has links to {links:?} still"))?;
        let pools = lobby.world.machines(node).map(|(client, ..)| client.pools().count());
        demand(lobby, pools == Some(0), || format!("V4: {node} is in {pools:?} pools, and has left all"))?;
    }
    // Who said so is gone at once; whoever could not say it is gone when its time is over.
    lobby.world.run_for(lobby.timeout())?;
    for broadcaster in lobby.broadcasters.clone() {
        for (pool, members) in lobby.world.native_pools(broadcaster) {
            let honest = peers(lobby).into_iter().find(|node| {
                let address = lobby.world.address(*node);
                members.iter().any(|member| Some(*member) == address)
            });
            demand(lobby, honest.is_none(), || format!("V4: {honest:?} is in {pool} still"))?;
        }
    }
    lobby.share_secret();
    Ok(())
}
