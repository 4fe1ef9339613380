//! The world: nodes, what is between them, and the hand that moves both.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use poolmesh_proto::trace::{Entry, Input, Start};
use poolmesh_proto::wire::native::{Epoch, Secret};
use poolmesh_proto::{BroadcasterConfig, BroadcasterStats, Client, Instant, Links, Mesh, PoolId};

use super::actor::Actor;
use super::address::{self, Addr};
use super::app::{App, Context};
use super::core::{Core, WorldStats};
use super::machines::{Machines, PeerConfig};
use super::nat::{Nat, NatConfig};
use super::node::{Kind, Node, Peer, Server, State};
use super::rng::Rng;
use super::streams::{ConnId, Side};
use super::tape::Tape;
use super::weather::{Lateness, Weather};
use crate::model::NativeModel;
use crate::trace;

/// The port of every broadcaster.
const BROADCASTER_PORT: u16 = 6_969;
/// The port of the first other node; each has one of its own.
const PEER_PORT: u16 = 5_000;

const fn peer_port(place: usize) -> u16 {
    PEER_PORT + (place % 1_000) as u16
}

/// Names a node of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) usize);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Names a NAT of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(pub(super) usize);

/// Something did not hold that must always hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The world's seed.
    pub seed: u64,
    /// When, in true time since the world's beginning.
    pub at: Duration,
    /// What, beginning with the name of the invariant.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} at {:?}: {}", self.seed, self.at, self.what)
    }
}

impl std::error::Error for Violation {}

/// Broadcasters, peers with programs of the type `A`, and others, in virtual time. See the [module](super).
///
/// Misuse, such as a node of another world, is a [`Violation`], too.
#[derive(Debug)]
pub struct World<A> {
    pub(super) core: Core,
    pub(super) nodes: Vec<Node<A>>,
}

impl<A: App> World<A> {
    /// An empty world in which all chance follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { core: Core::new(seed), nodes: Vec::new() }
    }

    /// Adds a broadcaster. One without a secret gets a new one, with each start.
    pub fn broadcaster(&mut self, config: BroadcasterConfig) -> NodeId {
        let own = Addr::new(address::of_node(self.nodes.len()), BROADCASTER_PORT);
        let kind = self.server(self.nodes.len(), config);
        self.add(own, None, kind)
    }

    pub(super) fn server(&mut self, place: usize, mut config: BroadcasterConfig) -> Kind<A> {
        let rng = self.core.rng.fork();
        // One that it drew by itself the model would not know.
        config.secret.get_or_insert_with(|| Secret::new(rng.clone().secret()));
        if let Some(tape) = &mut self.core.tape {
            tape.note(place, Instant::ZERO, Input::Start(Start::Broadcaster(Box::new(config.clone()))));
        }
        let own = Addr::new(address::of_node(place), BROADCASTER_PORT).to_socket();
        Kind::Server(Box::new(Server::new(config, own, rng)))
    }

    /// Adds a peer that knows that broadcaster.
    pub fn peer(&mut self, app: A, broadcaster: NodeId, config: PeerConfig) -> NodeId {
        let own = Addr::new(address::of_node(self.nodes.len()), peer_port(self.nodes.len()));
        self.add_peer(own, None, app, broadcaster, config)
    }

    /// Adds a peer behind a NAT.
    pub fn peer_behind(&mut self, nat: NatId, app: A, broadcaster: NodeId, config: PeerConfig) -> NodeId {
        let place = self.nodes.len();
        let number = self.core.nats.get_mut(nat.0).map_or(0, |nat| {
            nat.members.push(place);
            nat.members.len() - 1
        });
        let own = Addr::new(address::behind(nat.0, number), peer_port(place));
        self.add_peer(own, Some(nat.0), app, broadcaster, config)
    }

    fn add_peer(
        &mut self,
        own: Addr,
        nat: Option<usize>,
        app: A,
        broadcaster: NodeId,
        config: PeerConfig,
    ) -> NodeId {
        let broadcaster = self.address_of_broadcaster(broadcaster);
        let kind = self.program(self.nodes.len(), own, app, broadcaster, &config);
        self.add(own, nat, kind)
    }

    pub(super) fn program(
        &mut self,
        place: usize,
        own: Addr,
        app: A,
        broadcaster: Addr,
        config: &PeerConfig,
    ) -> Kind<A> {
        let machines = Machines::new(&mut self.core, place, own, broadcaster, config);
        let deadlines = [None; 3];
        Kind::Peer(Box::new(Peer { machines, app, deadlines, started: false }))
    }

    /// A node that should be there.
    pub(super) fn known(&mut self, node: NodeId) -> Option<&mut Node<A>> {
        if self.nodes.get(node.0).is_none() {
            self.core.violated(format_args!("misuse: there is no {node} in this world"));
        }
        self.nodes.get_mut(node.0)
    }

    pub(super) fn address_of_broadcaster(&mut self, node: NodeId) -> Addr {
        let own = self.known(node).map_or(Addr::new(0, 0), |node| node.own);
        if own.port != BROADCASTER_PORT {
            self.core.violated(format_args!("misuse: {node} is no broadcaster"));
        }
        own
    }

    /// Adds a node that speaks for itself.
    pub fn actor(&mut self, actor: impl Actor + 'static) -> NodeId {
        let own = Addr::new(address::of_node(self.nodes.len()), peer_port(self.nodes.len()));
        self.add(own, None, Kind::Actor(Box::new(actor)))
    }

    /// Has [`Wire::overheard`](super::Wire::overheard) tell of what the node sends, and of what is sent to it.
    pub fn tap(&mut self, node: NodeId) {
        if let Some(host) = self.core.hosts.get_mut(node.0) {
            host.tapped = true;
        }
    }

    /// Adds a NAT, for [`peer_behind`](Self::peer_behind).
    pub fn nat(&mut self, config: NatConfig) -> NatId {
        let number = self.core.nats.len();
        self.core.nats.push(Nat::new(number, config));
        NatId(number)
    }

    fn add(&mut self, own: Addr, nat: Option<usize>, kind: Kind<A>) -> NodeId {
        let place = self.nodes.len();
        self.core.add_host(own.ip, nat);
        self.nodes.push(Node::new(own, kind));
        self.drain(place, false);
        NodeId(place)
    }

    /// Lets time pass, and everything happen that happens meanwhile. No world gets older than 146,000 years: then no time
    /// passes any more.
    ///
    /// # Errors
    /// If something did not hold that must. The world stands still from then on.
    pub fn run_for(&mut self, time: Duration) -> Result<(), Violation> {
        let end = self.core.after(time);
        while self.core.violation.is_none() {
            let Some((at, what)) = self.core.queue.pop(end) else {
                self.core.now = end;
                return Ok(());
            };
            self.core.now = at;
            self.dispatch(what);
        }
        self.violation().map_or(Ok(()), Err)
    }

    /// What did not hold, if anything did not.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        let what = self.core.violation.clone()?;
        Some(Violation { seed: self.core.seed, at: Duration::from_micros(self.core.now), what })
    }

    /// As [`run_for`](Self::run_for), but ends as soon as `holds`, which is asked after every event. Whether it came to hold.
    /// What must hold at every moment can be looked at here as well: say so with [`Context::fail`], or panic.
    ///
    /// # Errors
    /// As there.
    pub fn run_until(
        &mut self,
        at_most: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<bool, Violation> {
        let end = self.core.after(at_most);
        loop {
            self.violation().map_or(Ok(()), Err)?;
            if holds(self) {
                return Ok(true);
            }
            let Some((at, what)) = self.core.queue.pop(end) else {
                self.core.now = end;
                return Ok(false);
            };
            self.core.now = at;
            self.dispatch(what);
        }
    }

    /// Lets a test say that something does not hold: the next [`run_for`](Self::run_for) answers it, and every one after.
    /// The first one counts. A program says it with [`Context::fail`].
    pub fn fail(&mut self, what: impl fmt::Display) {
        self.core.violated(what);
    }

    /// The seed it was made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.core.seed
    }

    /// True time since the world's beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.core.now)
    }

    /// One number for everything that has happened. The same seed and the same calls bring the same, in every build and
    /// on every machine.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.core.print.get()
    }

    /// What has happened, counted.
    #[must_use]
    pub fn stats(&self) -> WorldStats {
        self.core.stats
    }

    /// The world's source of chance.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.core.rng
    }

    /// Has a line written for each thing that happens.
    pub fn log_to(&mut self, log: Box<dyn io::Write>) {
        self.core.log = Some(log);
    }

    /// Writes down every input of every machine from now on. It must be called before the first node is added: a trace
    /// that doesn't have the beginning can't be played.
    pub fn record(&mut self) {
        if !self.nodes.is_empty() {
            self.core.violated("misuse: World::record after a node was added");
        }
        self.core.tape = Some(Tape::default());
    }

    /// Writes what was written down to a file, which `simulate --replay` plays. A recording ends so.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_record(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        trace::write(&self.take_record(), &mut file)?;
        file.flush()
    }

    /// What was written down. A recording ends so.
    pub fn take_record(&mut self) -> Vec<Entry> {
        self.core.tape.take().map_or_else(Vec::new, Tape::into_entries)
    }

    /// The network's weather, to be changed.
    pub fn weather(&mut self) -> &mut Weather {
        &mut self.core.weather
    }

    /// How well a node's loop drives its machines, to be changed. None for no such node.
    pub fn lateness(&mut self, node: NodeId) -> Option<&mut Lateness> {
        self.nodes.get_mut(node.0).map(|node| &mut node.lateness)
    }

    /// Where a node is; behind a NAT its inner address.
    #[must_use]
    pub fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.nodes.get(node.0).map(|node| node.own.to_socket())
    }

    /// Whether a node runs.
    #[must_use]
    pub fn state(&self, node: NodeId) -> Option<State> {
        self.nodes.get(node.0).map(|node| node.state)
    }

    /// A peer's program, none while it is down.
    #[must_use]
    pub fn app(&self, node: NodeId) -> Option<&A> {
        self.nodes.get(node.0)?.peer().map(|peer| &peer.app)
    }

    /// A peer's machines, to look at.
    #[must_use]
    pub fn machines(&self, node: NodeId) -> Option<(&Client, &Mesh, &Links)> {
        let machines = &self.nodes.get(node.0)?.peer()?.machines;
        Some((&machines.client, &machines.mesh, &machines.links))
    }

    /// What a broadcaster counts, and how many pools it has.
    #[must_use]
    pub fn broadcaster_stats(&self, node: NodeId) -> Option<(BroadcasterStats, usize)> {
        let server = self.nodes.get(node.0)?.server()?;
        Some((server.machine.stats(), server.machine.pool_count()))
    }

    /// The pools of the native dialect that a broadcaster must have by all that it was told and has said, and where their
    /// members are.
    #[must_use]
    pub fn native_pools(&self, node: NodeId) -> Vec<(PoolId, Vec<SocketAddr>)> {
        let pools = self.native(node).map_or_else(Vec::new, NativeModel::pools);
        pools.into_iter().map(|(pool, _, members)| (pool, members)).collect()
    }

    /// The epoch of a pool of the native dialect at a broadcaster, if it has one there.
    #[must_use]
    pub fn native_epoch(&self, node: NodeId, pool: PoolId) -> Option<Epoch> {
        let pools = self.native(node)?.pools();
        pools.into_iter().find(|(id, ..)| *id == pool).and_then(|(_, epoch, _)| epoch)
    }

    /// How many pools of the native dialect a broadcaster has.
    #[must_use]
    pub fn native_pool_count(&self, node: NodeId) -> usize {
        self.native(node).map_or(0, |model| model.pools().len())
    }

    fn native(&self, node: NodeId) -> Option<&NativeModel> {
        self.nodes.get(node.0).and_then(Node::server).and_then(|server| server.check.native())
    }

    /// How many calls, connects and dials of a peer wait for their end.
    #[must_use]
    pub fn pending(&self, node: NodeId) -> usize {
        self.nodes.get(node.0).and_then(Node::peer).map_or(0, |peer| peer.machines.check.pending())
    }

    /// Bytes that wait in the queues of a peer's links.
    #[must_use]
    pub fn queued(&self, node: NodeId) -> usize {
        self.nodes.get(node.0).and_then(Node::peer).map_or(0, |peer| peer.machines.mesh.queued())
    }

    /// The peers that a peer has links to, once for each link. Links to actors don't count.
    #[must_use]
    pub fn honest_links(&self, node: NodeId) -> Vec<NodeId> {
        let Some(peer) = self.nodes.get(node.0).and_then(Node::peer) else { return Vec::new() };
        let there = |(conn, side): &(ConnId, Side)| self.core.conns.end(*conn, 1 - side);
        let honest = peer.machines.ends.values().filter_map(there).filter(|end| end.honest);
        honest.map(|end| NodeId(end.node)).collect()
    }

    /// The pools that a broadcaster must have by all that it was told, and who hosts each.
    #[must_use]
    pub fn hosts(&self, node: NodeId) -> Vec<(PoolId, SocketAddr)> {
        self.nodes
            .get(node.0)
            .and_then(Node::server)
            .map_or_else(Vec::new, |server| server.check.pools().collect())
    }

    /// Lets a peer's program do something between two events. None if it doesn't run.
    pub fn with<T>(&mut self, node: NodeId, act: impl FnOnce(&mut A, &mut Context<'_>) -> T) -> Option<T> {
        let place = node.0;
        let node = self.nodes.get_mut(place).filter(|node| node.runs())?;
        let now = node.clock.show(self.core.now);
        let Kind::Peer(peer) = &mut node.kind else { return None };
        let acting = self.core.acting(place);
        let mut context = Context { machines: &mut peer.machines, core: &mut self.core, now };
        let result = act(&mut peer.app, &mut context);
        drop(acting);
        self.drain(place, false);
        Some(result)
    }
}
