//! Whether all who are in a pool know the same of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::PoolId;
use poolmesh_proto::wire::native::Epoch;

use super::lobby::Lobby;
use crate::sim::{NodeId, State, Violation};

/// By so much a time may be missed: what is under way arrives, and what is said by it.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Something that must hold, or what is instead of it.
pub(super) fn demand(lobby: &mut Lobby, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if !holds {
        let what = what();
        lobby.world.fail(what);
        return lobby.world.run_for(Duration::ZERO);
    }
    Ok(())
}

/// The epochs that members know, by the pool and the broadcaster that has it.
type Known = BTreeMap<(PoolId, SocketAddr), Vec<(NodeId, Epoch)>>;

impl Lobby {
    fn known(&self) -> Known {
        let mut known = Known::new();
        for peer in &self.peers {
            if self.world.state(peer.node) != Some(State::Running) {
                continue;
            }
            let Some((client, ..)) = self.world.machines(peer.node) else { continue };
            for membership in client.pools().filter_map(|pool| client.membership(&pool)) {
                let place = (membership.id(), membership.broadcaster());
                known.entry(place).or_default().push((peer.node, membership.epoch()));
            }
        }
        known
    }

    /// Whether no broadcaster has a pool, and one can't take it for it has as many as it may: the others may have lost their key.
    fn is_kept_out(&self, pool: PoolId) -> bool {
        let is_full =
            |node: &NodeId| self.world.native_pool_count(*node) >= self.setup.broadcaster.limits.pools;
        let has = |node: &NodeId| self.world.native_epoch(*node, pool).is_some();
        !self.broadcasters.iter().any(has) && self.broadcasters.iter().any(is_full)
    }

    /// Where members don't know the same, or something else than their broadcaster does.
    pub(super) fn disagreement(&self) -> Option<String> {
        for ((pool, broadcaster), members) in self.known() {
            if self.is_kept_out(pool) {
                continue;
            }
            let first = members.first().map(|(_, epoch)| *epoch);
            if members.iter().any(|(_, epoch)| Some(*epoch) != first) {
                return Some(format!("{pool} at {broadcaster}: {members:?}"));
            }
            let node = self.broadcasters.iter().find(|node| self.world.address(**node) == Some(broadcaster));
            let there = node.and_then(|node| self.world.native_epoch(*node, pool));
            if there.is_some_and(|there| Some(there) != first) {
                return Some(format!("{pool} at {broadcaster}: {members:?}, and {there:?} there"));
            }
        }
        None
    }
}

/// V1: within three intervals of the last fault all who are alive know the same.
pub(super) fn agree(lobby: &mut Lobby) -> Result<(), Violation> {
    // A ping comes a quarter of an interval late by chance.
    let time = lobby.interval() * 3 + lobby.interval() / 4;
    lobby.world.run_for(time)?;
    let mut end = lobby.world.now() + SOON;
    loop {
        let Some(what) = lobby.disagreement() else { return Ok(()) };
        let now = lobby.world.now();
        demand(lobby, now < end, || format!("V1: not all know the same: {what}"))?;
        end = end.min(now + SOON);
        lobby.world.run_for(Duration::from_millis(50))?;
    }
}
