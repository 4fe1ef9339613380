//! The machines in an event loop of your own: one thread, non-blocking sockets, 60 ticks a second, no runtime.
//!
//! `cargo run --release --example game_loop` plays alone: two players and a
//! broadcaster, all in one thread. `… --example game_loop -- ADDR [POOL]` plays one of a pool.

#![expect(
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "an example takes the events it knows, and its own slices"
)]

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use bytes::{Buf, Bytes};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, Client, ClientConfig, ClientEvent, DialId, Fault, Instant, LinkEvent,
    Links, LinksOutput, Machine, Mesh, MeshConfig, MeshEvent, MeshOutput, Outcome, Output, Packet, PeerId,
    PoolId, Write,
};
use socket2::{Domain, Socket, Type};

const TICK: Duration = Duration::from_nanos(1_000_000_000 / 60);
/// How many ticks a game lasts.
const TICKS: u64 = 180;

/// A player: the machines, and the sockets that this loop looks after.
struct Player {
    name: String,
    udp: UdpSocket,
    client: Client,
    mesh: Mesh,
    links: Links,
    listener: Option<TcpListener>,
    dials: BTreeMap<DialId, Socket>,
    streams: BTreeMap<PeerId, (TcpStream, Option<Write>)>,
    pool: Option<PoolId>,
    heard: u64,
}

impl Player {
    fn new(name: &str, broadcaster: SocketAddr) -> io::Result<Self> {
        let any = if broadcaster.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let udp = UdpSocket::bind(any)?;
        udp.set_nonblocking(true)?;
        Ok(Self {
            name: name.into(),
            udp,
            client: Client::new(ClientConfig::default(), broadcaster),
            mesh: Mesh::new(MeshConfig::default()),
            links: Links::new(),
            listener: None,
            dials: BTreeMap::new(),
            streams: BTreeMap::new(),
            pool: None,
            heard: 0,
        })
    }

    /// One tick: take in what has come, play, send what is to go out. Nothing in it waits.
    fn tick(&mut self, now: Instant, frame: u64) {
        drive_datagrams(&mut self.client, &self.udp, now, |event| match event {
            ClientEvent::Finished { outcome: Outcome::Created(pool) | Outcome::Joined(pool), .. } => {
                println!("{}: in pool {}", self.name, pool.id());
                self.pool = Some(pool.id());
                if let Err(error) = self.mesh.enter(now, &pool) {
                    println!("{}: {error}", self.name);
                }
            }
            other => println!("{}: {other:?}", self.name),
        });
        self.receive(now);
        self.links.send_to_all("pos", Packet::new().u64(frame).u32(3).u32(4));
        self.drive_mesh(now);
        self.drive_links(now);
    }

    /// Connections that came or were dialed, and bytes on those that stand.
    fn receive(&mut self, now: Instant) {
        while let Some(Ok((stream, from))) = self.listener.as_ref().map(TcpListener::accept) {
            let link = self.mesh.handle_accepted(now, from);
            self.open(link, stream);
        }
        for (dial, socket) in std::mem::take(&mut self.dials) {
            if let Ok(Some(error)) = socket.take_error() {
                self.mesh.handle_dial_failed(now, dial, Fault::from(&error));
            } else if socket.peer_addr().is_ok() {
                let link = self.mesh.handle_dialed(now, dial);
                self.open(link, socket.into());
            } else {
                self.dials.insert(dial, socket); // under way
            }
        }
        let mut buffer = [0; 16 * 1_024];
        for (peer, (stream, _)) in &mut self.streams {
            while self.links.wants_read(*peer) {
                match stream.read(&mut buffer) {
                    Ok(0) => self.links.handle_eof(now, *peer),
                    Ok(len) => self.links.handle_bytes(now, *peer, Bytes::copy_from_slice(&buffer[..len])),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => self.links.handle_failure(now, *peer, Fault::from(&error)),
                }
            }
        }
    }

    fn open(&mut self, link: Option<(PeerId, poolmesh_proto::Link)>, stream: TcpStream) {
        if let (Some((peer, link)), Ok(())) = (link, stream.set_nonblocking(true)) {
            let _ = stream.set_nodelay(true);
            self.links.insert(peer, link);
            self.streams.insert(peer, (stream, None));
        }
    }

    fn drive_mesh(&mut self, now: Instant) {
        self.mesh.handle_timeout(now);
        loop {
            match self.mesh.poll_output() {
                MeshOutput::Dial { dial, address, .. } => match dial_without_waiting(address) {
                    Ok(socket) => drop(self.dials.insert(dial, socket)),
                    Err(error) => self.mesh.handle_dial_failed(now, dial, Fault::from(&error)),
                },
                MeshOutput::Abandon { dial } => drop(self.dials.remove(&dial)),
                MeshOutput::Listen { address } => {
                    let bound = TcpListener::bind(address)
                        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
                    match bound {
                        Ok(listener) => {
                            self.mesh.handle_listening(listener.local_addr().unwrap_or(address));
                            self.listener = Some(listener);
                        }
                        Err(error) => self.mesh.handle_listen_failed(address, Fault::from(&error)),
                    }
                }
                MeshOutput::StopListening => self.listener = None,
                MeshOutput::Close { peer } => self.links.close(now, peer),
                MeshOutput::Event(MeshEvent::PeerConnected { address, .. }) => {
                    println!("{}: + {address}", self.name);
                }
                MeshOutput::Event(MeshEvent::PeerGone { address, reason, .. }) => {
                    println!("{}: - {address} {reason}", self.name);
                }
                MeshOutput::Wait(_) => return, // the next tick comes anyway
                _ => {}
            }
        }
    }

    fn drive_links(&mut self, now: Instant) {
        self.links.handle_timeout(now);
        for (peer, (stream, writing)) in &mut self.streams {
            write_on(now, *peer, stream, writing, &mut self.links);
        }
        loop {
            match self.links.poll_output() {
                LinksOutput::Write { peer, write } => {
                    let Some((stream, writing)) = self.streams.get_mut(&peer) else { continue };
                    *writing = Some(write);
                    write_on(now, peer, stream, writing, &mut self.links);
                }
                LinksOutput::Event { event: LinkEvent::Received(event), .. } if event.is("pos") => {
                    self.heard += u64::from(event.reader().u64().is_ok());
                }
                LinksOutput::Event { peer, event: LinkEvent::Closed(reason) } => {
                    self.streams.remove(&peer);
                    self.mesh.handle_closed(now, peer, reason);
                }
                LinksOutput::Event { .. } => {}
                LinksOutput::Wait(_) => return,
            }
        }
    }
}

/// Goes on with a write as far as the connection takes it.
fn write_on(
    now: Instant,
    peer: PeerId,
    stream: &mut TcpStream,
    writing: &mut Option<Write>,
    links: &mut Links,
) {
    while let Some(write) = writing {
        let written = match write {
            Write::Finish => stream.shutdown(Shutdown::Write).map(|()| 0),
            Write::Bytes(bytes) => stream.write(bytes).map(|len| {
                bytes.advance(len);
                bytes.len()
            }),
        };
        match written {
            Ok(0) => {
                *writing = None;
                links.handle_written(peer);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                *writing = None;
                links.handle_failure(now, peer, Fault::from(&error));
            }
        }
    }
}

/// The loop of every datagram machine.
fn drive_datagrams<M: Machine>(
    machine: &mut M,
    udp: &UdpSocket,
    now: Instant,
    mut tell: impl FnMut(M::Event),
) {
    let mut buffer = [0; 2_048];
    while let Ok((len, from)) = udp.recv_from(&mut buffer) {
        machine.handle_datagram(now, from, &buffer[..len]);
    }
    machine.handle_timeout(now);
    loop {
        match machine.poll_output() {
            Output::Transmit(transmit) => drop(udp.send_to(&transmit.payload, transmit.destination)),
            Output::Event(event) => tell(event),
            Output::Wait(_) => return,
        }
    }
}

fn dial_without_waiting(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error)
            if error.kind() != io::ErrorKind::WouldBlock && error.raw_os_error() != Some(IN_PROGRESS) =>
        {
            Err(error)
        }
        _ => Ok(socket),
    }
}

/// EINPROGRESS, which has no kind of its own.
const IN_PROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };

#[expect(clippy::disallowed_methods, reason = "the loop's clock and its tick")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let epoch = std::time::Instant::now();
    let now = || Instant::ZERO + epoch.elapsed();

    let mut arguments = std::env::args_os().skip(1).filter_map(|argument| argument.into_string().ok());
    let mut broadcaster = None;
    let mut players = Vec::new();
    if let Some(address) = arguments.next() {
        players.push(Player::new("me", address.parse()?)?);
    } else {
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        udp.set_nonblocking(true)?;
        for name in ["ann", "bob"] {
            players.push(Player::new(name, udp.local_addr()?)?);
        }
        let mut ids = 0; // a real one draws from the system's random source
        broadcaster = Some((
            Broadcaster::new(BroadcasterConfig::default(), move || {
                ids += 1;
                ids
            }),
            udp,
        ));
    }
    match arguments.next() {
        Some(pool) => players[0].client.join(now(), pool.parse()?)?,
        None => players[0].client.create(now())?,
    };

    for frame in 0..TICKS {
        for player in &mut players {
            player.tick(now(), frame);
        }
        if let Some((machine, udp)) = &mut broadcaster {
            drive_datagrams(machine, udp, now(), |event| println!("broadcaster: {event:?}"));
            if let (30, Some(pool)) = (frame, players[0].pool) {
                players[1].client.join(now(), pool)?;
            }
        }
        std::thread::sleep(TICK.saturating_sub(epoch.elapsed().saturating_sub(TICK * frame as u32)));
    }
    for player in &mut players {
        println!("{}: heard {} positions", player.name, player.heard);
        player.mesh.close();
        player.client.close();
    }
    for frame in 0..30 {
        players.iter_mut().for_each(|player| player.tick(now(), frame));
    }
    Ok(())
}
