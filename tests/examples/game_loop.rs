//! The machines in a game's loop: one thread, non-blocking sockets, 60 ticks a second, no runtime.
//!
//! `cargo run --release --example game_loop` plays alone for three seconds: two players and a broadcaster, all in one
//! thread. `… --example game_loop -- ADDR [CODE]` plays one of a pool for a minute, whose code the one who made it is told.
//!
//! How the machines are driven is in `tests/src/driver/event_loop.rs`; here is what a game does with that.

#![expect(
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "an example takes the events it knows, and its own slices"
)]

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use poolmesh_proto::driver::{Event, PoolNews};
use poolmesh_proto::trace::Order;
use poolmesh_proto::wire::native::{PoolCode, PoolSpec, Seats};
use poolmesh_proto::{BroadcasterConfig, CallFailed, ClientConfig, MeshConfig, Packet, PoolEvent, PoolId};
use poolmesh_testkit::driver::{EventLoop, ServerLoop, Settings, System, Told};

const USAGE: &str = "\
Usage: game_loop                  plays alone, for three seconds
       game_loop ADDR:PORT        makes a pool at that broadcaster, and plays in it for a minute
       game_loop ADDR:PORT CODE   joins the pool of that code, and plays in it for a minute";

const TICK: Duration = Duration::from_nanos(1_000_000_000 / 60);
/// How many ticks a game lasts that is played alone.
const ALONE: u64 = 180;
/// How many ticks it lasts with others: a minute, so that they find the time to come.
const WITH_OTHERS: u64 = 3_600;

/// A player: its program, and what the game knows of it.
struct Player {
    name: String,
    program: EventLoop<System>,
    pool: Option<PoolId>,
    code: Option<PoolCode>,
    failed: Option<CallFailed>,
    heard: u64,
}

impl Player {
    fn new(name: &str, network: System, broadcaster: SocketAddr) -> io::Result<Self> {
        let (client, mesh) = (ClientConfig::default(), MeshConfig::default());
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let program = EventLoop::start(network, Settings { client, mesh, broadcaster, seed })?;
        Ok(Self { name: name.into(), program, pool: None, code: None, failed: None, heard: 0 })
    }

    /// One tick: send what is to go out, take in what has come, play. Nothing in it waits.
    fn tick(&mut self, frame: u64) {
        self.program.send_to_all("pos", Packet::new().u64(frame).u32(3).u32(4));
        // When it would have to be called again is of no concern: the next tick comes anyway.
        let _ = self.program.turn();
        while let Some(told) = self.program.next_told() {
            match told {
                Told::Pool(pool) => {
                    (self.pool, self.code) = (Some(pool.id()), pool.code());
                    let code = self.code.map(|code| code.to_string()).unwrap_or_default();
                    println!(
                        "{}: in pool {} of code {code}, with {} others",
                        self.name,
                        pool.id(),
                        pool.others().count()
                    );
                    if let Err(error) = self.program.enter(&pool) {
                        println!("{}: {error}", self.name);
                    }
                }
                Told::Failed(failed) => self.failed = Some(failed),
                Told::News(PoolNews::Event { event: PoolEvent::Joined(member), .. }) => {
                    println!("{}: {} comes", self.name, String::from_utf8_lossy(&member.about));
                }
                Told::News(PoolNews::Event { event: PoolEvent::Host { you: true, .. }, .. }) => {
                    println!("{}: I am host now", self.name);
                }
                Told::Mesh(Event::Received(_, event)) if event.is("pos") => {
                    self.heard += u64::from(event.reader().u64().is_ok());
                }
                Told::Mesh(Event::Connected(peer)) => println!("{}: + {peer}", self.name),
                Told::Mesh(Event::Disconnected(peer, reason)) => println!("{}: - {peer} {reason}", self.name),
                other => println!("{}: {other:?}", self.name),
            }
        }
    }
}

fn main() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("game_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the game's tick")]
fn play() -> Result<(), Box<dyn Error>> {
    let epoch = std::time::Instant::now();
    let network = System::start();

    let mut arguments = std::env::args_os().skip(1).filter_map(|argument| argument.into_string().ok());
    let mut broadcaster = None;
    let mut players = Vec::new();
    if let Some(address) = arguments.next() {
        if address == "--help" {
            println!("{USAGE}");
            return Ok(());
        }
        let address =
            address.parse().map_err(|_| format!("{address}: not a broadcaster's address\n{USAGE}"))?;
        players.push(Player::new("me", network, address)?);
    } else {
        let random = || {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the system has a random source");
            u128::from_le_bytes(bytes)
        };
        let server =
            ServerLoop::bind(network, ([127, 0, 0, 1], 0).into(), BroadcasterConfig::default(), random)?;
        for name in ["ann", "bob"] {
            players.push(Player::new(name, network, server.local_addr())?);
        }
        broadcaster = Some(server);
    }
    match arguments.next() {
        Some(code) => players[0].program.join_with(code.parse::<PoolCode>()?, b"me")?,
        None => {
            let spec = PoolSpec::new(Seats::new(4).ok_or("no seats")?).named("a game")?;
            let name = players[0].name.clone();
            players[0].program.create_with(&spec, name.as_bytes())?;
        }
    }

    let ticks = if broadcaster.is_some() { ALONE } else { WITH_OTHERS };
    for frame in 0..ticks {
        for player in &mut players {
            player.tick(frame);
            if let Some(failed) = player.failed.take() {
                return Err(failed.into());
            }
        }
        if let Some(server) = &mut broadcaster {
            let _ = server.turn(|event| println!("broadcaster: {event:?}"));
            match (frame, players[0].pool, players[0].code) {
                (30, _, Some(code)) => players[1].program.join_with(code, b"bob")?,
                (120, Some(pool), _) => {
                    let bob = players[1].program.membership(pool).map(|known| known.me());
                    players[0].program.order(pool, Order::HandOver(bob.ok_or("bob isn't there")?))?;
                }
                _ => {}
            }
        }
        std::thread::sleep(TICK.saturating_sub(epoch.elapsed().saturating_sub(TICK * frame as u32)));
    }
    for player in &mut players {
        println!("{}: heard {} positions", player.name, player.heard);
        player.program.close();
    }
    for frame in 0..30 {
        players.iter_mut().for_each(|player| player.tick(frame));
    }
    Ok(())
}
