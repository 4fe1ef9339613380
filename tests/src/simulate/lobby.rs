//! The nodes of one seed.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::attacker::Attacker;
use super::chaos::Chaos;
use super::foreign::Foreign;
use super::options::{Faults, Options, Setup};
use super::storm::Stage;
use crate::sim::{NodeId, Rng, State, World};
use bytes::Bytes;

/// How often an attacker strikes, on average.
pub const STRIKE_EVERY: Duration = Duration::from_secs(3);

/// A world with everyone in it.
#[derive(Debug)]
pub(super) struct Lobby {
    pub(super) options: Options,
    pub(super) setup: Setup,
    pub(super) world: World<Chaos>,
    /// The chance of what happens to the world, apart from the chance in it.
    pub(super) rng: Rng,
    pub(super) broadcasters: Vec<NodeId>,
    /// The peers, each with its broadcaster.
    pub(super) peers: Vec<(NodeId, NodeId)>,
    pub(super) foreign: Vec<NodeId>,
    /// The longest payload that is sent.
    payload: Bytes,
    /// Whether attackers forge addresses.
    pub(super) forges: Rc<Cell<bool>>,
}

impl Lobby {
    /// Everyone there is, none of whom has run yet. `prepare` is handed the empty world.
    pub(super) fn new(options: &Options, prepare: impl FnOnce(&mut World<Chaos>)) -> Self {
        let mut rng = Rng::new(options.seed);
        let setup = Setup::draw(options, &mut rng);
        let mut world = World::new(rng.u64());
        prepare(&mut world);
        let broadcasters: Vec<NodeId> =
            (0..setup.broadcasters).map(|_| world.broadcaster(setup.broadcaster.clone())).collect();
        let count = options.nodes.max(3) - setup.broadcasters - setup.foreign;
        let payload = (0..setup.longest as u32).flat_map(u32::to_le_bytes).take(setup.longest).collect();
        let mut lobby = Self {
            payload,
            options: options.clone(),
            setup,
            world,
            rng,
            broadcasters,
            peers: Vec::new(),
            foreign: Vec::new(),
            forges: Rc::new(Cell::new(true)),
        };
        for _ in 0..count {
            let home = *lobby.rng.pick(&lobby.broadcasters);
            let app = lobby.program();
            let node = lobby.world.peer(app, home, lobby.setup.peer.clone());
            lobby.peers.push((node, home));
        }
        lobby.add_others();
        lobby
    }

    fn add_others(&mut self) {
        let ping = self.setup.peer.client.ping_interval;
        for _ in 0..self.setup.foreign {
            let home = *self.rng.pick(&self.broadcasters);
            if let Some(home) = self.world.address(home) {
                self.foreign.push(self.world.actor(Foreign::new(ping, home)));
            }
        }
        let broadcasters = self.addresses(&self.broadcasters);
        let victims = self.addresses(&self.peers.iter().map(|(node, _)| *node).collect::<Vec<_>>());
        for _ in 0..self.options.attackers {
            let forges = Rc::clone(&self.forges);
            let (broadcasters, victims) = (broadcasters.clone(), victims.clone());
            let crowds = self.setup.crowds;
            self.world.actor(Attacker::new(STRIKE_EVERY, broadcasters, victims, forges, crowds));
        }
    }

    fn addresses(&self, nodes: &[NodeId]) -> Vec<SocketAddr> {
        nodes.iter().filter_map(|node| self.world.address(*node)).collect()
    }

    /// A program as it is at its start. It knows where a few others might be.
    fn program(&self) -> Chaos {
        let nodes: Vec<NodeId> = self.peers.iter().map(|(node, _)| *node).collect();
        let others = [self.addresses(&nodes), self.addresses(&self.foreign)].concat();
        Chaos::new(self.setup.act_every, self.payload.clone(), others)
    }

    /// Ends every fault: fair weather, everyone up, every clock right.
    pub(super) fn calm(&mut self) {
        self.forges.set(false);
        self.world.calm();
        let peers = self.peers.iter().map(|(node, _)| *node);
        let all: Vec<NodeId> =
            self.broadcasters.iter().copied().chain(peers).chain(self.foreign.iter().copied()).collect();
        for node in all {
            match self.world.state(node) {
                Some(State::Crashed | State::Dark) => self.restart(node),
                Some(State::Frozen) => self.world.thaw(node),
                Some(State::Running) | None => {}
            }
            if self.world.app(node).is_some_and(Chaos::is_closed) {
                self.restart(node);
            }
        }
    }
}

impl Stage for Lobby {
    type Program = Chaos;

    fn world(&mut self) -> &mut World<Chaos> {
        &mut self.world
    }

    fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    fn faults(&self) -> Faults {
        self.options.faults
    }

    fn fault_every(&self) -> Duration {
        self.setup.fault_every
    }

    fn some_node(&mut self) -> NodeId {
        let peers = self.peers.iter().map(|(node, _)| *node);
        let all: Vec<NodeId> =
            self.broadcasters.iter().copied().chain(peers).chain(self.foreign.iter().copied()).collect();
        *self.rng.pick(&all)
    }

    /// With nothing.
    fn restart(&mut self, node: NodeId) {
        if self.broadcasters.contains(&node) {
            self.world.restart_broadcaster(node, self.setup.broadcaster.clone());
        } else if let Some((_, home)) = self.peers.iter().find(|(peer, _)| *peer == node).copied() {
            let app = self.program();
            self.world.restart(node, app, home, self.setup.peer.clone());
        } else {
            self.world.restart_actor(node);
        }
    }
}
