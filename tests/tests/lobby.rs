//! A whole lobby in one thread and in made-up time: a broadcaster, clients, their meshes and links. No socket, no sleep.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it looks for"
)]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, Client, ClientConfig, ClientEvent, CloseReason, DialId, Fault, Instant,
    LinkEvent, Links, LinksOutput, Machine, Mesh, MeshConfig, MeshEvent, MeshOutput, Outcome, Output, Packet,
    PeerId, PoolId, PoolInfo, RandomSource, Write,
};

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 100], 6_969);

fn address(node: usize) -> SocketAddr {
    ([192, 0, 2, 1], 5_000 + node as u16).into()
}

/// A program: the machines of one peer, and what they have told.
struct Node {
    client: Client,
    mesh: Mesh,
    links: Links,
    listening: bool,
    /// To whom each link leads: the node, and the link's name there.
    ends: BTreeMap<PeerId, (usize, PeerId)>,
    pool: Option<PoolInfo>,
    log: Vec<String>,
}

/// What is on its way.
enum Travel {
    ToServer(usize, Bytes),
    ToClient(usize, Bytes),
    Dial(usize, DialId, SocketAddr),
    Bytes(usize, PeerId, Bytes),
    Eof(usize, PeerId),
}

struct World<R> {
    now: Instant,
    broadcaster: Broadcaster<R>,
    nodes: Vec<Node>,
    network: VecDeque<Travel>,
    /// Datagrams to the server that are lost, of those to come.
    lose: usize,
}

fn world(nodes: usize) -> World<impl RandomSource> {
    let mut ids = 0u128;
    let random = move || {
        ids += 1;
        ids
    };
    let node = || Node {
        client: Client::new(ClientConfig::default(), SERVER.into()),
        mesh: Mesh::new(MeshConfig::default()),
        links: Links::new(),
        listening: false,
        ends: BTreeMap::new(),
        pool: None,
        log: Vec::new(),
    };
    World {
        now: Instant::ZERO,
        broadcaster: Broadcaster::new(BroadcasterConfig::default(), random),
        nodes: (0..nodes).map(|_| node()).collect(),
        network: VecDeque::new(),
        lose: 0,
    }
}

impl<R: RandomSource> World<R> {
    /// Lets everything happen that is due until `end`, straight from one deadline to the next.
    fn run_until(&mut self, end: Instant) {
        loop {
            let wake = self.settle();
            self.now = wake.filter(|wake| *wake < end).unwrap_or(end);
            if self.now == end {
                return;
            }
            self.broadcaster.handle_timeout(self.now);
            for node in &mut self.nodes {
                node.client.handle_timeout(self.now);
                node.mesh.handle_timeout(self.now);
                node.links.handle_timeout(self.now);
            }
        }
    }

    /// Drains every machine and carries what they say, until nothing moves. Answers the earliest deadline.
    fn settle(&mut self) -> Option<Instant> {
        loop {
            let mut wake = self.drain_broadcaster();
            for place in 0..self.nodes.len() {
                for deadline in [self.drain_client(place), self.drain_mesh(place), self.drain_links(place)] {
                    wake = wake.into_iter().chain(deadline).min();
                }
            }
            let Some(travel) = self.network.pop_front() else { return wake };
            self.arrive(travel);
        }
    }

    fn drain_broadcaster(&mut self) -> Option<Instant> {
        loop {
            match self.broadcaster.poll_output() {
                Output::Transmit(transmit) => {
                    let node = usize::from(transmit.destination.port() - 5_000);
                    self.network.push_back(Travel::ToClient(node, transmit.payload));
                }
                Output::Event(_) => {}
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    fn drain_client(&mut self, place: usize) -> Option<Instant> {
        let node = &mut self.nodes[place];
        loop {
            match node.client.poll_output() {
                Output::Transmit(_) if self.lose > 0 => self.lose -= 1,
                Output::Transmit(transmit) => {
                    self.network.push_back(Travel::ToServer(place, transmit.payload));
                }
                Output::Event(ClientEvent::Finished { outcome, .. }) => match outcome {
                    Outcome::Created(pool) | Outcome::Joined(pool) => {
                        node.mesh.enter(self.now, &pool).unwrap();
                        node.pool = Some(pool);
                    }
                    other => node.log.push(format!("{other:?}")),
                },
                Output::Event(event) => node.log.push(format!("{event:?}")),
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    fn drain_mesh(&mut self, place: usize) -> Option<Instant> {
        let node = &mut self.nodes[place];
        loop {
            match node.mesh.poll_output() {
                MeshOutput::Dial { dial, address, .. } => {
                    self.network.push_back(Travel::Dial(place, dial, address));
                }
                MeshOutput::Listen { address } => {
                    node.listening = true;
                    node.mesh.handle_listening(address);
                }
                MeshOutput::StopListening => node.listening = false,
                MeshOutput::Close { peer } => node.links.close(self.now, peer),
                MeshOutput::Event(MeshEvent::PeerGone { reason, .. }) => node.log.push(reason.to_string()),
                MeshOutput::Event(_) | MeshOutput::Abandon { .. } => {}
                MeshOutput::Wait(deadline) => return deadline,
            }
        }
    }

    fn drain_links(&mut self, place: usize) -> Option<Instant> {
        let node = &mut self.nodes[place];
        loop {
            match node.links.poll_output() {
                LinksOutput::Write { peer, write } => {
                    let (to, link) = node.ends[&peer];
                    self.network.push_back(match write {
                        Write::Bytes(bytes) => Travel::Bytes(to, link, bytes),
                        Write::Finish => Travel::Eof(to, link),
                    });
                    node.links.handle_written(peer);
                }
                LinksOutput::Event { event: LinkEvent::Received(event), .. } => {
                    node.log.push(event.reader().string().unwrap().to_owned());
                }
                LinksOutput::Event { peer, event: LinkEvent::Closed(reason) } => {
                    node.mesh.handle_closed(self.now, peer, reason);
                    // The connection is dropped, which the other end sees.
                    if let Some((to, link)) = node.ends.remove(&peer) {
                        self.network.push_back(Travel::Eof(to, link));
                    }
                }
                LinksOutput::Event { .. } => {}
                LinksOutput::Wait(deadline) => return deadline,
            }
        }
    }

    fn arrive(&mut self, travel: Travel) {
        let now = self.now;
        match travel {
            Travel::ToServer(from, datagram) => {
                self.broadcaster.handle_datagram(now, address(from), &datagram);
            }
            Travel::ToClient(to, datagram) => {
                self.nodes[to].client.handle_datagram(now, SERVER.into(), &datagram);
            }
            Travel::Bytes(to, link, bytes) => self.nodes[to].links.handle_bytes(now, link, bytes),
            Travel::Eof(to, link) => self.nodes[to].links.handle_eof(now, link),
            Travel::Dial(from, dial, target) => {
                let to = usize::from(target.port() - 5_000);
                if !self.nodes[to].listening {
                    return self.nodes[from].mesh.handle_dial_failed(now, dial, Fault::Refused);
                }
                let (here, link) = self.nodes[from].mesh.handle_dialed(now, dial).unwrap();
                self.nodes[from].links.insert(here, link);
                let port = 40_000 + self.nodes[to].ends.len() as u16;
                let (there, link) =
                    self.nodes[to].mesh.handle_accepted(now, ([192, 0, 2, 1], port).into()).unwrap();
                self.nodes[to].links.insert(there, link);
                self.nodes[from].ends.insert(here, (to, there));
                self.nodes[to].ends.insert(there, (from, here));
            }
        }
    }

    fn after(&self, millis: u64) -> Instant {
        self.now + Duration::from_millis(millis)
    }
}

/// The story; its whole log comes out, to be compared from run to run.
fn story() -> Vec<Vec<String>> {
    let mut world = world(4);
    world.nodes[0].client.create(Instant::ZERO).unwrap();
    world.run_until(world.after(10));
    let pool: PoolId = world.nodes[0].pool.as_ref().unwrap().id();

    world.lose = 1;
    for joiner in 1..4 {
        world.nodes[joiner].client.join(world.now, pool).unwrap();
    }
    world.run_until(world.after(1_000));
    for node in &world.nodes {
        // Who joins while others do may be dialed by them as well: the classic wire can't tell.
        assert!(node.links.peers().count() >= 3, "everyone is linked, the one whose join was lost as well");
    }

    let peers: Vec<PeerId> = world.nodes[1].links.peers().collect();
    world.nodes[1].links.send(peers[0], "msg", Packet::new().string("just you")).unwrap();
    assert_eq!(world.nodes[0].links.send_to_all("msg", Packet::new().string("hello")), []);
    world.run_until(world.after(1));
    for node in &world.nodes[1..] {
        assert!(node.log.iter().any(|line| line == "hello"));
    }

    world.run_until(world.after(3_600_000));
    assert_eq!(world.broadcaster.pool_count(), 1, "an hour of pings later");

    // The host falls silent: its pings are lost, its links stand.
    world.lose = usize::MAX;
    world.run_until(world.after(1_001));
    assert_eq!(world.broadcaster.pool_count(), 0);
    world.lose = 0;
    world.run_until(world.after(1_000));
    assert!(world.nodes[0].log.iter().any(|line| line.starts_with("PoolEnded")));
    world.nodes[3].client.join(world.now, pool).unwrap();
    world.nodes[0].mesh.close();
    world.run_until(world.after(2_000));
    assert!(world.nodes[3].log.iter().any(|line| line.starts_with("Refused(NoSuchPool")));
    for node in &world.nodes[1..] {
        assert!(node.log.contains(&CloseReason::Remote.to_string()), "the host has left");
    }
    assert_eq!(world.nodes[0].links.peers().count(), 0);
    world.nodes.into_iter().map(|node| node.log).collect()
}

#[test]
fn a_lobby_lives_for_an_hour_and_twice_the_same() {
    assert_eq!(story(), story());
}
