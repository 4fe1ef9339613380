//! Clients and broadcasters in a network whose time is made up.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use poolmesh_proto::wire::native::{Epoch, Member, PoolSpec, Secret, Term};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, CallError, CallId, Client, ClientConfig, ClientEvent, Instant, Machine,
    Membership, Outcome, Output, PoolEnd, PoolEvent, PoolId, PoolInfo, PoolMember,
};

/// How often members ping by default, and how long they may be silent.
pub(crate) const INTERVAL: Duration = Duration::from_secs(3);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Numbers that look random and are the same each time.
#[derive(Clone, Debug)]
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn source(&mut self) -> Random {
        let mut numbers = Self(self.next() << 20 | 1);
        Box::new(move || (0..4).fold(0, |all, _| all << 32 | u128::from(numbers.next())))
    }
}

type Random = Box<dyn FnMut() -> u128>;

/// A broadcaster, which may be dead.
struct Server {
    address: SocketAddr,
    machine: Option<Broadcaster<Random>>,
    wake: Option<Instant>,
}

/// A client, and what it was told.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    wake: Option<Instant>,
    alive: bool,
    pub(crate) outcomes: BTreeMap<CallId, Outcome>,
    pub(crate) news: Vec<(PoolId, PoolEvent)>,
    pub(crate) ended: Vec<(PoolId, PoolEnd)>,
    /// When it sent something.
    pub(crate) sent: Vec<Instant>,
}

/// What holds with an epoch, and must be the same for all who know it.
type Known = (PoolSpec, Member, Vec<PoolMember>);

pub(crate) struct World {
    pub(crate) now: Instant,
    numbers: Numbers,
    /// Of a thousand datagrams so many are lost, or come twice.
    pub(crate) loss: u64,
    pub(crate) doubled: u64,
    /// How long a datagram takes, in milliseconds: from the first to the second number.
    pub(crate) delay: (u64, u64),
    /// Pairs between which nothing passes.
    pub(crate) blocked: Vec<(SocketAddr, SocketAddr)>,
    on_way: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Bytes)>,
    sequence: u64,
    servers: Vec<Server>,
    pub(crate) nodes: Vec<Node>,
    known: BTreeMap<(PoolId, u64, u32), Known>,
    hosts: BTreeMap<(PoolId, u64, Term), Member>,
}

pub(crate) fn secret() -> Secret {
    Secret::new([7; 32])
}

/// A broadcaster with a secret that others may have, too.
pub(crate) fn with_secret() -> BroadcasterConfig {
    let mut config = BroadcasterConfig::default();
    config.secret = Some(secret());
    config
}

fn server_address(number: usize) -> SocketAddr {
    ([192, 0, 2, 200 + u8::try_from(number).unwrap()], 6_969).into()
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::from_micros(1_000_000),
            numbers: Numbers(seed),
            loss: 0,
            doubled: 0,
            delay: (20, 20),
            blocked: Vec::new(),
            on_way: BTreeMap::new(),
            sequence: 0,
            servers: Vec::new(),
            nodes: Vec::new(),
            known: BTreeMap::new(),
            hosts: BTreeMap::new(),
        }
    }

    /// A new broadcaster.
    pub(crate) fn serve(&mut self, config: &BroadcasterConfig) -> SocketAddr {
        let address = server_address(self.servers.len());
        self.servers.push(Server { address, machine: None, wake: None });
        self.start(address, config);
        address
    }

    /// Starts a broadcaster again: it knows nothing but its settings.
    pub(crate) fn start(&mut self, address: SocketAddr, config: &BroadcasterConfig) {
        let random = self.numbers.source();
        let server = self.servers.iter_mut().find(|server| server.address == address).unwrap();
        server.machine = Some(Broadcaster::new(config.clone(), random));
        server.wake = None;
    }

    pub(crate) fn kill(&mut self, address: SocketAddr) {
        let server = self.servers.iter_mut().find(|server| server.address == address).unwrap();
        (server.machine, server.wake) = (None, None);
    }

    pub(crate) fn server(&self, address: SocketAddr) -> &Broadcaster<Random> {
        self.servers.iter().find(|server| server.address == address).unwrap().machine.as_ref().unwrap()
    }

    /// A new client, of these broadcasters.
    pub(crate) fn join_in(&mut self, servers: &[SocketAddr]) -> usize {
        let mut config = ClientConfig::default();
        config.broadcasters = servers[1..].to_vec();
        let number = u32::try_from(self.nodes.len()).unwrap();
        let [_, _, high, low] = number.to_be_bytes();
        let mut seed = [0; 32];
        seed.chunks_mut(4)
            .for_each(|chunk| chunk.copy_from_slice(&(self.numbers.next() as u32).to_le_bytes()));
        self.nodes.push(Node {
            address: ([10, 0, high, low], 5_000).into(),
            client: Client::new(config, servers[0], seed),
            wake: None,
            alive: true,
            outcomes: BTreeMap::new(),
            news: Vec::new(),
            ended: Vec::new(),
            sent: Vec::new(),
        });
        self.nodes.len() - 1
    }

    /// A client is gone, and says nothing of it.
    pub(crate) fn kill_client(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.nodes[node].wake = None;
    }

    /// A client is at another address, as when its NAT has forgotten it.
    pub(crate) fn rebind(&mut self, node: usize, port: u16) {
        self.nodes[node].address.set_port(port);
    }

    pub(crate) fn call(
        &mut self,
        node: usize,
        make: impl FnOnce(&mut Client, Instant) -> Result<CallId, CallError>,
    ) -> CallId {
        let now = self.now;
        let call = make(&mut self.nodes[node].client, now).unwrap();
        self.drain_client(node);
        call
    }

    /// Makes a call and waits for its outcome.
    pub(crate) fn outcome(
        &mut self,
        node: usize,
        make: impl FnOnce(&mut Client, Instant) -> Result<CallId, CallError>,
    ) -> Outcome {
        let call = self.call(node, make);
        let end = self.now + Duration::from_secs(9);
        loop {
            if let Some(outcome) = self.nodes[node].outcomes.remove(&call) {
                return outcome;
            }
            assert!(self.now < end && self.step(end), "each call has its outcome in time");
        }
    }

    pub(crate) fn pool(
        &mut self,
        node: usize,
        make: impl FnOnce(&mut Client, Instant) -> Result<CallId, CallError>,
    ) -> PoolInfo {
        match self.outcome(node, make) {
            Outcome::Created(info) | Outcome::Joined(info) => info,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn done(
        &mut self,
        node: usize,
        make: impl FnOnce(&mut Client, Instant) -> Result<CallId, CallError>,
    ) {
        assert_eq!(self.outcome(node, make), Outcome::Done);
    }

    pub(crate) fn membership(&self, node: usize, pool: PoolId) -> &Membership {
        self.nodes[node].client.membership(&pool).unwrap_or_else(|| panic!("{node} is in the pool"))
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Lets time pass until something holds; how much has passed.
    pub(crate) fn run_until(&mut self, most: Duration, holds: impl Fn(&Self) -> bool) -> Duration {
        let (start, end) = (self.now, self.now + most);
        while !holds(self) {
            assert!(self.step(end), "it doesn't hold after {most:?}");
        }
        self.now.saturating_duration_since(start)
    }

    /// Does the next thing that happens up to `end`. Whether there was one; if not it is `end`.
    fn step(&mut self, end: Instant) -> bool {
        let arrives = self.on_way.first_key_value().map(|((at, _), _)| *at);
        let server = self.servers.iter().filter_map(|server| server.wake).min();
        let client = self.nodes.iter().filter_map(|node| node.wake).min();
        let Some(next) = [arrives, server, client].into_iter().flatten().min().filter(|next| *next <= end)
        else {
            self.now = end;
            return false;
        };
        self.now = self.now.max(next);
        if arrives == Some(next) {
            if let Some((_, (from, to, datagram))) = self.on_way.pop_first() {
                self.arrive(from, to, &datagram);
            }
        } else if server == Some(next) {
            let place = self.servers.iter().position(|server| server.wake == Some(next)).unwrap();
            let now = self.now;
            self.servers[place].machine.as_mut().unwrap().handle_timeout(now);
            self.drain_server(place);
        } else {
            let place = self.nodes.iter().position(|node| node.wake == Some(next)).unwrap();
            let now = self.now;
            self.nodes[place].client.handle_timeout(now);
            self.drain_client(place);
            assert!(self.nodes[place].wake.is_none_or(|wake| wake > now), "a deadline lies ahead");
        }
        true
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let now = self.now;
        if let Some(place) = self.servers.iter().position(|server| server.address == to) {
            if let Some(machine) = &mut self.servers[place].machine {
                machine.handle_datagram(now, from, datagram);
                self.drain_server(place);
            }
        } else if let Some(place) = self.nodes.iter().position(|node| node.address == to && node.alive) {
            self.nodes[place].client.handle_datagram(now, from, datagram);
            self.drain_client(place);
        }
    }

    fn transmit(&mut self, from: SocketAddr, to: SocketAddr, datagram: &Bytes) {
        let blocked = self.blocked.iter().any(|pair| *pair == (from, to) || *pair == (to, from));
        let copies = 1 + u64::from(self.numbers.below(1_000) < self.doubled);
        for _ in 0..copies {
            if blocked || self.numbers.below(1_000) < self.loss {
                continue;
            }
            let (least, most) = self.delay;
            let delay = Duration::from_millis(least + self.numbers.below(most - least + 1));
            self.sequence += 1;
            self.on_way.insert((self.now + delay, self.sequence), (from, to, datagram.clone()));
        }
    }

    fn drain_server(&mut self, place: usize) {
        loop {
            let server = &mut self.servers[place];
            let from = server.address;
            match server.machine.as_mut().unwrap().poll_output() {
                Output::Transmit(transmit) => self.transmit(from, transmit.destination, &transmit.payload),
                Output::Event(_) => {}
                Output::Wait(wake) => {
                    server.wake = wake;
                    return;
                }
            }
        }
    }

    pub(crate) fn drain_client(&mut self, place: usize) {
        loop {
            let now = self.now;
            let node = &mut self.nodes[place];
            let from = node.address;
            match node.client.poll_output() {
                Output::Transmit(transmit) => {
                    node.sent.push(now);
                    self.transmit(from, transmit.destination, &transmit.payload);
                }
                Output::Event(ClientEvent::Finished { call, outcome }) => {
                    assert_eq!(node.outcomes.insert(call, outcome), None, "a call has one outcome");
                }
                Output::Event(ClientEvent::PoolEnded { pool, reason }) => node.ended.push((pool, reason)),
                Output::Event(ClientEvent::Pool { pool, event }) => node.news.push((pool, event)),
                Output::Event(other) => panic!("{other:?}"),
                Output::Wait(wake) => {
                    node.wake = wake;
                    break;
                }
            }
        }
        self.check(place);
    }

    /// Equal epochs mean equal rosters, equal specs, and the same host; in an era a term has one host.
    fn check(&mut self, place: usize) {
        let client = &self.nodes[place].client;
        for membership in client.pools().filter_map(|pool| client.membership(&pool)) {
            let (id, epoch) = (membership.id(), membership.epoch());
            let known = self.known.entry((id, epoch.era(), epoch.number())).or_insert_with(|| {
                (membership.spec().clone(), membership.host(), membership.members().to_vec())
            });
            assert_eq!((&known.0, known.1), (membership.spec(), membership.host()), "{epoch:?}");
            assert_eq!(known.2, membership.members(), "{epoch:?}");
            let host =
                *self.hosts.entry((id, epoch.era(), membership.term())).or_insert_with(|| membership.host());
            assert_eq!(host, membership.host(), "one host a term");
            assert!(membership.members().is_sorted_by_key(|member| member.number));
        }
    }

    /// Who is in the pool and lives.
    pub(crate) fn members(&self, pool: PoolId) -> Vec<usize> {
        let is_in =
            |node: &&usize| self.nodes[**node].client.membership(&pool).is_some() && self.nodes[**node].alive;
        (0..self.nodes.len()).collect::<Vec<_>>().iter().filter(is_in).copied().collect()
    }

    /// Whether all these know the same epoch of the pool, and its members are they.
    pub(crate) fn agree(&self, pool: PoolId, nodes: &[usize]) -> bool {
        let mut addresses: Vec<_> = nodes.iter().map(|node| self.nodes[*node].address).collect();
        addresses.sort();
        let known = |node: &usize| {
            let membership = self.nodes[*node].client.membership(&pool)?;
            let mut all: Vec<_> = membership.members().iter().map(|member| member.address).collect();
            all.sort();
            (all == addresses).then(|| membership.epoch())
        };
        let epochs: Vec<Option<Epoch>> = nodes.iter().map(known).collect();
        epochs.iter().all(|epoch| epoch.is_some() && *epoch == epochs[0])
    }

    /// The most that a client has sent in any second since `since`.
    pub(crate) fn most_in_a_second(&self, node: usize, since: Instant) -> usize {
        let sent: Vec<_> = self.nodes[node].sent.iter().filter(|at| **at >= since).collect();
        let within = |first: &Instant| {
            sent.iter().filter(|at| ***at >= *first && ***at < *first + Duration::from_secs(1)).count()
        };
        sent.iter().map(|first| within(first)).max().unwrap_or(0)
    }
}
