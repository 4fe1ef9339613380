//! What goes wrong in a world by the hand of whoever made it: programs, clocks, ways, connections.

use poolmesh_proto::BroadcasterConfig;

use super::app::App;
use super::core::{What, micros};
use super::machines::PeerConfig;
use super::node::{Kind, State};
use super::streams::DIALER;
use super::weather::{Lateness, Weather};
use super::world::{NatId, NodeId, World};

impl<A: App> World<A> {
    /// Kills a node's program. Its system closes what it held. With `dark` the whole machine loses power: nobody is
    /// told anything.
    pub fn crash(&mut self, node: NodeId, dark: bool) {
        let place = node.0;
        let Some(node) = self.known(node) else { return };
        if matches!(node.state, State::Crashed | State::Dark) {
            return;
        }
        node.state = if dark { State::Dark } else { State::Crashed };
        if !matches!(node.kind, Kind::Actor(_)) {
            node.kind = Kind::Nothing;
        }
        node.held.clear();
        node.unread.clear();
        node.wake = u64::MAX;
        (node.early, node.draining) = (false, false);
        self.core.say(|| format!("n{place} crashes{}", if dark { ", without power" } else { "" }));
        if let Some(host) = self.core.hosts.get_mut(place) {
            host.dark = dark;
        }
        for (id, side) in self.core.conns.held_by(place) {
            if dark {
                self.core.vanish(id, side);
            } else {
                self.core.close(id, side);
            }
        }
    }

    /// Starts a peer's program anew, with nothing but its address.
    pub fn restart(&mut self, node: NodeId, app: A, broadcaster: NodeId, config: PeerConfig) {
        let Some(own) = self.known(node).map(|node| node.own) else { return };
        let broadcaster = self.address_of_broadcaster(broadcaster);
        self.crash(node, false);
        let kind = self.program(node.0, own, app, broadcaster, &config);
        self.start(node, kind);
    }

    /// Starts a broadcaster anew: it has forgotten every pool. Its members bring them back if it has the secret that it had
    /// before; a config without one has a new one drawn, and then they are lost:
    ///
    /// ```
    /// # use std::time::Duration;
    /// use poolmesh_proto::wire::native::Secret;
    /// use poolmesh_proto::{BroadcasterConfig, ClientEvent, Outcome, PoolEnd, PoolEvent};
    /// use poolmesh_testkit::sim::{App, AppEvent, Context, PeerConfig, World};
    ///
    /// #[derive(Debug, Default)]
    /// struct Host {
    ///     restored: bool,
    ///     ended: Option<PoolEnd>,
    /// }
    ///
    /// impl App for Host {
    ///     fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
    ///         match event {
    ///             AppEvent::Started => { let _call = context.create(); }
    ///             AppEvent::Client(ClientEvent::Pool { event: PoolEvent::Restored, .. }) => self.restored = true,
    ///             AppEvent::Client(ClientEvent::PoolEnded { reason, .. }) => self.ended = Some(reason),
    ///             _ => {}
    ///         }
    ///     }
    /// }
    ///
    /// for secret in [Some(Secret::new([7; 32])), None] {
    ///     let mut config = BroadcasterConfig::default();
    ///     config.secret = secret.clone();
    ///     let mut world = World::new(1);
    ///     let server = world.broadcaster(config.clone());
    ///     let ann = world.peer(Host::default(), server, PeerConfig::default());
    ///     world.run_for(Duration::from_secs(5))?;
    ///     world.restart_broadcaster(server, config); // its key in a file, or none
    ///     world.run_for(Duration::from_secs(20))?;
    ///     let ann = world.app(ann).expect("she runs");
    ///     assert_eq!((ann.restored, ann.ended), match secret {
    ///         Some(_) => (true, None),
    ///         None => (false, Some(PoolEnd::Lost)),
    ///     });
    /// }
    /// # Ok::<(), poolmesh_testkit::sim::Violation>(())
    /// ```
    pub fn restart_broadcaster(&mut self, node: NodeId, config: BroadcasterConfig) {
        self.address_of_broadcaster(node);
        self.crash(node, false);
        let kind = self.server(node.0, config);
        self.start(node, kind);
    }

    /// Lets an actor go on that crashed or is frozen.
    pub fn restart_actor(&mut self, node: NodeId) {
        let Some(entry) = self.known(node) else { return };
        match (&entry.kind, entry.state) {
            (Kind::Actor(_), State::Running) => {}
            (Kind::Actor(_), State::Frozen) => self.thaw(node),
            (Kind::Actor(_), State::Crashed | State::Dark) => {
                let kind = std::mem::replace(&mut entry.kind, Kind::Nothing);
                self.start(node, kind);
            }
            (Kind::Server(_) | Kind::Peer(_) | Kind::Nothing, _) => {
                self.core.violated(format_args!("misuse: {node} is no actor"));
            }
        }
    }

    fn start(&mut self, node: NodeId, kind: Kind<A>) {
        let (place, now) = (node.0, self.core.now);
        self.core.say(|| format!("n{place} starts"));
        if let Some(host) = self.core.hosts.get_mut(place) {
            host.dark = false;
        }
        if let Some(entry) = self.nodes.get_mut(place) {
            entry.kind = kind;
            entry.state = State::Running;
            if entry.clock.is_stopped() {
                // It was frozen when it crashed.
                entry.clock.resume(now);
            }
        }
        self.drain(place, false);
    }

    /// Stops a node's program where it stands, as SIGSTOP does. `clock`: its clock stands still, too, as that of a
    /// virtual machine does.
    pub fn freeze(&mut self, node: NodeId, clock: bool) {
        let now = self.core.now;
        let Some(entry) = self.known(node).filter(|node| node.runs()) else { return };
        entry.state = State::Frozen;
        if clock {
            entry.clock.stop(now);
        }
        self.core.say(|| format!("{node} freezes"));
    }

    /// Lets a frozen node go on.
    pub fn thaw(&mut self, node: NodeId) {
        let place = node.0;
        let now = self.core.now;
        let Some(entry) = self.nodes.get_mut(place).filter(|node| node.state == State::Frozen) else {
            return;
        };
        entry.state = State::Running;
        entry.clock.resume(now);
        entry.wake = u64::MAX;
        let held = std::mem::take(&mut entry.held);
        self.core.say(|| format!("{node} goes on"));
        if entry.draining {
            self.core.queue.push(now, What::Drain { node: place });
        }
        for what in held {
            self.core.queue.push(now, what);
        }
        self.plan(place);
    }

    /// Has a node's clock gain so many microseconds in a million; it loses them if negative.
    pub fn drift(&mut self, node: NodeId, ppm: i32) {
        let now = self.core.now;
        if let Some(entry) = self.known(node) {
            entry.clock.set_drift(now, ppm);
            self.replan(node);
        }
    }

    /// Has a node's clock jump so many microseconds ahead, or back if negative.
    pub fn jump(&mut self, node: NodeId, micros: i64) {
        let now = self.core.now;
        if let Some(entry) = self.known(node) {
            entry.clock.jump(now, micros);
            self.core.say(|| format!("the clock of {node} jumps by {micros} µs"));
            self.replan(node);
        }
    }

    fn replan(&mut self, node: NodeId) {
        if let Some(entry) = self.nodes.get_mut(node.0).filter(|node| node.runs()) {
            entry.wake = u64::MAX;
            self.plan(node.0);
        }
    }

    /// Nothing of `from` reaches `to`, or does so again. Streams need both directions.
    pub fn block(&mut self, from: NodeId, to: NodeId, blocked: bool) {
        self.core.set_blocked(from.0, to.0, blocked);
    }

    /// Cuts these nodes off from all others, in both directions.
    pub fn isolate(&mut self, nodes: &[NodeId]) {
        for there in 0..self.nodes.len() {
            for node in nodes.iter().filter(|_| !nodes.contains(&NodeId(there))) {
                self.core.set_blocked(node.0, there, true);
                self.core.set_blocked(there, node.0, true);
            }
        }
    }

    /// Everyone reaches everyone again.
    pub fn heal(&mut self) {
        for row in &mut self.core.blocked {
            row.fill(false);
        }
    }

    /// Has a NAT forget its mappings: whoever is behind it has another address from then on, as when a phone goes from one
    /// network to the next. A member of the native dialect stays who it was:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use poolmesh_proto::{BroadcasterConfig, ClientEvent, Outcome, PoolId};
    /// # use poolmesh_testkit::sim::{App, AppEvent, Context, NatConfig, PeerConfig, World};
    /// # #[derive(Debug, Default)]
    /// # struct Host { pool: Option<PoolId> }
    /// # impl App for Host {
    /// #     fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
    /// #         match event {
    /// #             AppEvent::Started => { let _call = context.create(); }
    /// #             AppEvent::Client(ClientEvent::Finished { outcome: Outcome::Created(pool), .. }) => self.pool = Some(pool.id()),
    /// #             _ => {}
    /// #         }
    /// #     }
    /// # }
    /// let mut world = World::new(1);
    /// let server = world.broadcaster(BroadcasterConfig::default());
    /// let nat = world.nat(NatConfig::default());
    /// let ann = world.peer_behind(nat, Host::default(), server, PeerConfig::default());
    /// world.run_for(Duration::from_secs(5))?;
    /// let before = world.native_pools(server);
    /// world.flush(nat);
    /// world.run_for(Duration::from_secs(5))?; // her next ping comes from there
    /// let after = world.native_pools(server);
    /// assert!(before[0].0 == after[0].0 && before[0].1 != after[0].1, "the pool is the same, her address is not");
    /// let pool = world.app(ann).and_then(|ann| ann.pool).expect("she hosts");
    /// let known = world.machines(ann).and_then(|(client, ..)| client.membership(&pool));
    /// assert!(known.is_some_and(|known| known.is_host() && known.you() == after[0].1[0]));
    /// # Ok::<(), poolmesh_testkit::sim::Violation>(())
    /// ```
    pub fn flush(&mut self, nat: NatId) {
        if let Some(nat) = self.core.nats.get_mut(nat.0) {
            nat.flush();
        }
    }

    /// Cuts connections by chance, so many in a million.
    pub fn cut_some(&mut self, ppm: u32) {
        for place in 0..self.nodes.len() {
            for (id, side) in self.core.conns.held_by(place) {
                if side == DIALER && self.core.rng.chance(ppm) {
                    self.core.cut(id);
                }
            }
        }
    }

    /// Has loops that stand still between an input and its outputs go on.
    pub fn catch_up(&mut self) {
        for place in 0..self.nodes.len() {
            self.late_drain(place);
        }
    }

    /// The storm is over: fair weather, whole loops, no partition, no replay of what was sent before. Crashed nodes stay
    /// down. Clocks no longer drift; those that had jumped back show the latest time again that their machines were told,
    /// behind which no machine goes: until then it would stand still.
    pub fn calm(&mut self) {
        self.core.say(|| "calm".to_owned());
        self.core.weather = Weather::calm();
        self.core.storm += 1;
        self.core.end_bursts();
        self.heal();
        let now = self.core.now;
        for place in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(place) else { return };
            node.lateness = Lateness::none();
            node.clock.set_drift(now, 0);
            let ahead = node.latest().saturating_duration_since(node.clock.show(now));
            node.clock.jump(now, micros(ahead) as i64);
            self.replan(NodeId(place));
        }
    }
}
