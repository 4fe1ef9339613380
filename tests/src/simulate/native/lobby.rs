//! The nodes of an hour of the native dialect.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::BroadcasterConfig;
use poolmesh_proto::wire::native::Secret;

use super::attacker::Attacker;
use super::player::{Disk, Player, PlayerSetup};
use super::setup::Setup;
use crate::sim::{App, AppEvent, Context, NatId, NodeId, Rng, State, World};
use crate::simulate::chaos::Chaos;
use crate::simulate::options::{Faults, Options};
use crate::simulate::storm::Stage;

/// A program of either dialect.
#[derive(Debug)]
pub(in crate::simulate) enum Program {
    Native(Box<Player>),
    Classic(Box<Chaos>),
}

impl Program {
    pub(super) fn player(&self) -> Option<&Player> {
        match self {
            Self::Native(player) => Some(player),
            Self::Classic(_) => None,
        }
    }

    pub(super) fn player_mut(&mut self) -> Option<&mut Player> {
        match self {
            Self::Native(player) => Some(player),
            Self::Classic(_) => None,
        }
    }
}

impl App for Program {
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
        match self {
            Self::Native(player) => player.handle(event, context),
            Self::Classic(chaos) => chaos.handle(event, context),
        }
    }
}

/// A peer of the native dialect.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    /// Whom it asks first.
    pub(super) home: NodeId,
    pub(super) disk: Disk,
    /// Whether it is behind a NAT.
    pub(super) hidden: bool,
}

/// A world with everyone in it.
#[derive(Debug)]
pub(in crate::simulate) struct Lobby {
    pub(super) options: Options,
    pub(super) setup: Setup,
    pub(in crate::simulate) world: World<Program>,
    /// The chance of what happens to the world, apart from the chance in it.
    pub(super) rng: Rng,
    pub(super) broadcasters: Vec<NodeId>,
    /// The secret that each has now.
    pub(super) secrets: Vec<[u8; 32]>,
    pub(super) peers: Vec<Peer>,
    pub(super) classic: Vec<(NodeId, NodeId)>,
    pub(super) nats: Vec<NatId>,
    /// Whether attackers come into pools.
    pub(super) comes_in: Rc<Cell<bool>>,
    /// Programs act by themselves.
    acting: bool,
}

impl Lobby {
    /// Everyone there is, none of whom has run yet. `prepare` is handed the empty world.
    pub(in crate::simulate) fn new(
        options: &Options,
        both: bool,
        prepare: impl FnOnce(&mut World<Program>),
    ) -> Self {
        let mut rng = Rng::new(options.seed);
        let setup = Setup::draw(options, both, &mut rng);
        let mut world = World::new(rng.u64());
        prepare(&mut world);
        let secret = rng.secret();
        let mut lobby = Self {
            options: options.clone(),
            secrets: vec![secret; setup.broadcasters],
            setup,
            world,
            rng,
            broadcasters: Vec::new(),
            peers: Vec::new(),
            classic: Vec::new(),
            nats: Vec::new(),
            comes_in: Rc::new(Cell::new(true)),
            acting: true,
        };
        for number in 0..lobby.setup.broadcasters {
            let config = lobby.config(number);
            let node = lobby.world.broadcaster(config);
            lobby.broadcasters.push(node);
        }
        lobby.add_peers();
        lobby.add_others();
        lobby
    }

    fn config(&self, number: usize) -> BroadcasterConfig {
        let mut config = self.setup.broadcaster.clone();
        config.secret = self.secrets.get(number).copied().map(Secret::new);
        config
    }

    fn add_peers(&mut self) {
        let count = self.options.nodes.max(3) - self.setup.broadcasters - self.setup.classic;
        if self.setup.behind > 0 {
            self.nats.push(self.world.nat(self.setup.nat));
        }
        for number in 0..count {
            // Mostly all begin with the same.
            let home =
                if self.rng.chance(800_000) { self.broadcasters.first() } else { self.broadcasters.last() };
            let Some(home) = home.copied() else { return };
            let disk = Disk::default();
            let program = self.program(&disk);
            let config = self.peer_config(home);
            let hidden = number < self.setup.behind;
            let node = match self.nats.first().filter(|_| hidden) {
                Some(nat) => self.world.peer_behind(*nat, program, home, config),
                None => self.world.peer(program, home, config),
            };
            self.peers.push(Peer { node, home, disk, hidden });
        }
    }

    /// The settings of a peer that asks one broadcaster first, and then the others.
    fn peer_config(&self, home: NodeId) -> crate::sim::PeerConfig {
        let mut config = self.setup.peer.clone();
        let others = self.broadcasters.iter().filter(|other| **other != home);
        config.client.broadcasters = others.filter_map(|other| self.world.address(*other)).collect();
        config
    }

    fn program(&self, disk: &Disk) -> Program {
        Program::Native(Box::new(Player::new(PlayerSetup {
            every: self.setup.act_every,
            disk: Rc::clone(disk),
            broadcasters: self.addresses(&self.broadcasters),
            acts: self.acting,
        })))
    }

    fn add_others(&mut self) {
        for _ in 0..self.setup.classic {
            let Some(home) = self.broadcasters.first().copied() else { return };
            let node = self.world.peer(self.chaos(), home, self.setup.classic_peer.clone());
            self.classic.push((node, home));
        }
        let broadcasters = self.addresses(&self.broadcasters);
        let peers: Vec<NodeId> = self.peers.iter().map(|peer| peer.node).collect();
        let victims = self.addresses(&peers);
        for node in self.broadcasters.iter().chain(&peers) {
            if self.rng.chance(500_000) {
                self.world.tap(*node);
            }
        }
        for _ in 0..self.options.attackers {
            let comes_in = Rc::clone(&self.comes_in);
            let every = self.setup.strike_every;
            self.world.actor(Attacker::new(every, broadcasters.clone(), victims.clone(), comes_in));
        }
    }

    fn chaos(&self) -> Program {
        Program::Classic(Box::new(Chaos::new(
            self.setup.act_every,
            Bytes::from_static(&[7; 100]),
            Vec::new(),
        )))
    }

    pub(super) fn addresses(&self, nodes: &[NodeId]) -> Vec<SocketAddr> {
        nodes.iter().filter_map(|node| self.world.address(*node)).collect()
    }

    pub(super) fn interval(&self) -> Duration {
        self.setup.broadcaster.limits.interval
    }

    pub(super) fn timeout(&self) -> Duration {
        self.setup.broadcaster.limits.timeout
    }

    /// Starts a broadcaster anew. Without its key it makes another.
    pub(super) fn restart_broadcaster(&mut self, node: NodeId, key: bool) {
        let Some(number) = self.broadcasters.iter().position(|other| *other == node) else { return };
        if !key {
            let secret = self.rng.secret();
            if let Some(place) = self.secrets.get_mut(number) {
                *place = secret;
            }
        }
        let config = self.config(number);
        self.world.restart_broadcaster(node, config);
    }

    /// All broadcasters have one secret again.
    pub(super) fn share_secret(&mut self) {
        let Some(first) = self.secrets.first().copied() else { return };
        for number in 1..self.secrets.len() {
            let Some(secret) = self.secrets.get_mut(number).filter(|secret| **secret != first) else {
                continue;
            };
            *secret = first;
            if let Some(node) = self.broadcasters.get(number).copied() {
                self.restart_broadcaster(node, true);
            }
        }
    }

    /// Starts a program anew, with what is on its disk.
    pub(super) fn restart_peer(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.iter().find(|peer| peer.node == node).cloned() {
            let program = self.program(&peer.disk);
            let config = self.peer_config(peer.home);
            self.world.restart(node, program, peer.home, config);
        } else if let Some((_, home)) = self.classic.iter().find(|(peer, _)| *peer == node).copied() {
            let program = self.chaos();
            self.world.restart(node, program, home, self.setup.classic_peer.clone());
        }
    }

    /// Does something with the program of every peer of the native dialect that runs.
    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Player, &mut Context<'_>)) {
        for node in self.peers.iter().map(|peer| peer.node).collect::<Vec<_>>() {
            self.with(node, &mut act);
        }
    }

    /// Does something with one program.
    pub(super) fn with<T>(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Player, &mut Context<'_>) -> T,
    ) -> Option<T> {
        self.world.with(node, |program, context| program.player_mut().map(|player| act(player, context)))?
    }

    pub(super) fn player(&self, node: NodeId) -> Option<&Player> {
        self.world.app(node).and_then(Program::player)
    }

    /// Programs act by themselves, or no longer.
    pub(super) fn act(&mut self, acting: bool) {
        self.acting = acting;
        self.each(
            |player, context| if acting { player.resume(context) } else { player.rest(context, false) },
        );
        for (node, _) in self.classic.clone() {
            self.world.with(node, |program, context| match program {
                Program::Classic(chaos) if acting => chaos.resume(context),
                Program::Classic(chaos) => chaos.rest(context),
                Program::Native(_) => {}
            });
        }
    }

    /// Ends every fault: fair weather, everyone up, every clock right.
    pub(super) fn calm(&mut self) {
        self.comes_in.set(false);
        self.world.calm();
        for node in self.everyone() {
            match self.world.state(node) {
                Some(State::Crashed | State::Dark) => self.restart(node),
                Some(State::Frozen) => self.world.thaw(node),
                Some(State::Running) | None => {}
            }
            if self.player(node).is_some_and(Player::is_closed) {
                self.restart_peer(node);
            }
            let closed = match self.world.app(node) {
                Some(Program::Classic(chaos)) => chaos.is_closed(),
                Some(Program::Native(_)) | None => false,
            };
            if closed {
                self.restart_peer(node);
            }
        }
        self.world.catch_up();
    }

    /// All but attackers.
    fn everyone(&self) -> Vec<NodeId> {
        let peers = self.peers.iter().map(|peer| peer.node).chain(self.classic.iter().map(|(node, _)| *node));
        self.broadcasters.iter().copied().chain(peers).collect()
    }
}

impl Stage for Lobby {
    type Program = Program;

    const KINDS: u64 = 12;

    fn world(&mut self) -> &mut World<Program> {
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
        let all = self.everyone();
        *self.rng.pick(&all)
    }

    fn restart(&mut self, node: NodeId) {
        if self.broadcasters.contains(&node) {
            let key = !self.rng.chance(self.setup.keyless);
            self.restart_broadcaster(node, key);
        } else {
            self.restart_peer(node);
        }
    }

    fn strike(&mut self) {
        for nat in self.nats.clone() {
            self.world.flush(nat);
        }
    }
}
