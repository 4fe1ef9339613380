//! A whole lobby in one process: a broadcaster, and peers on both runtimes that find each other and talk.
//!
//! `cargo run --release --example demo`

#![expect(clippy::wildcard_enum_match_arm, reason = "a program takes the events it knows")]

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use poolmesh_proto::{BroadcasterConfig, BroadcasterEvent, Packet, PoolId, PoolInfo};
use smol::block_on;

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(3);
const PING_TIMEOUT: Duration = Duration::from_millis(500);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What somebody sees.
#[derive(Debug, PartialEq)]
enum Sight {
    Linked,
    Heard(String),
    Left(String),
    Ended(PoolId),
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linked => f.write_str("a link stands"),
            Self::Heard(text) => write!(f, "hears \"{text}\""),
            Self::Left(reason) => write!(f, "a link has ended: {reason}"),
            Self::Ended(pool) => write!(f, "pool {pool} has ended"),
        }
    }
}

type Sightings = Sender<(&'static str, Sight)>;

/// A peer over blocking sockets.
struct Blocking {
    name: &'static str,
    client: poolmesh_std::Client,
    mesh: poolmesh_std::Mesh,
}

/// A peer over smol: the same, with `.await`.
struct Smol {
    name: &'static str,
    client: poolmesh_smol::Client,
    mesh: poolmesh_smol::Mesh,
}

impl Blocking {
    fn start(name: &'static str, broadcaster: &str, sightings: Sightings) -> Outcome<Self> {
        use poolmesh_std::{Client, Event, Mesh};

        let (client, mesh) = (Client::connect(broadcaster)?, Mesh::new());
        let events = mesh.events();
        thread::spawn(move || {
            for event in events {
                let sight = match event {
                    Event::Connected(_) => Sight::Linked,
                    Event::Received(_, event) => {
                        Sight::Heard(event.reader().string().unwrap_or("?").to_owned())
                    }
                    Event::Disconnected(_, reason) => Sight::Left(reason.to_string()),
                    _ => continue,
                };
                if sightings.send((name, sight)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { name, client, mesh })
    }

    fn enter(&self, pool: &PoolInfo) -> Outcome<()> {
        let report = self.mesh.connect_to_pool(&self.client, pool)?;
        entered(self.name, "std", pool, report.connected.len());
        Ok(())
    }
}

impl Smol {
    async fn start(name: &'static str, broadcaster: &str, sightings: Sightings) -> Outcome<Self> {
        use poolmesh_smol::{Client, Event, Mesh};

        let (client, mesh) = (Client::connect(broadcaster).await?, Mesh::new());
        let mut events = mesh.events();
        smol::spawn(async move {
            while let Some(event) = events.next().await {
                let sight = match event {
                    Event::Connected(_) => Sight::Linked,
                    Event::Received(_, event) => {
                        Sight::Heard(event.reader().string().unwrap_or("?").to_owned())
                    }
                    Event::Disconnected(_, reason) => Sight::Left(reason.to_string()),
                    _ => continue,
                };
                if sightings.send((name, sight)).is_err() {
                    return;
                }
            }
        })
        .detach();
        Ok(Self { name, client, mesh })
    }

    async fn enter(&self, pool: &PoolInfo) -> Outcome<()> {
        let report = self.mesh.connect_to_pool(&self.client, pool).await?;
        entered(self.name, "smol", pool, report.connected.len());
        Ok(())
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let (sightings, seen) = mpsc::channel();

    let mut config = BroadcasterConfig::default().with_classic();
    config.ping_timeout = PING_TIMEOUT;
    let server = poolmesh_std::BroadcasterServer::bind("127.0.0.1:0".parse()?, config)?;
    let (broadcaster, stopper) = (server.local_addr().to_string(), server.stopper());
    println!("a broadcaster serves at {broadcaster}");
    let serving = thread::spawn({
        let sightings = sightings.clone();
        move || {
            server.run(|event| {
                if let BroadcasterEvent::PoolEnded { pool, .. } = event {
                    let _ = sightings.send(("broadcaster", Sight::Ended(pool)));
                }
            })
        }
    });

    println!("\n-- ann hosts a pool, bob, cleo and dan join it");
    let ann = Blocking::start("ann", &broadcaster, sightings.clone())?;
    let pool = ann.client.create()?;
    ann.enter(&pool)?;
    let bob = block_on(Smol::start("bob", &broadcaster, sightings.clone()))?;
    let listed = block_on(bob.client.list())?;
    println!("bob (smol) is told of {} pool: {}", listed.len(), pool.id());
    let first = *listed.first().ok_or("no pool is listed")?;
    block_on(async { bob.enter(&bob.client.join(first).await?).await })?;
    let cleo = Blocking::start("cleo", &broadcaster, sightings.clone())?;
    cleo.enter(&cleo.client.join(pool.id())?)?;
    let dan = block_on(Smol::start("dan", &broadcaster, sightings))?;
    block_on(async { dan.enter(&dan.client.join(pool.id()).await?).await })?;
    expect(&seen, 12, |sight| *sight == Sight::Linked)?;

    println!("\n-- everyone says hello to all");
    for peer in [&ann, &cleo] {
        peer.mesh.send_to_all("msg", Packet::new().string(format!("hello from {}", peer.name)));
    }
    for peer in [&bob, &dan] {
        peer.mesh.send_to_all("msg", Packet::new().string(format!("hello from {}", peer.name)));
    }
    expect(&seen, 12, |sight| matches!(sight, Sight::Heard(_)))?;

    println!("\n-- dan leaves");
    block_on(dan.mesh.close());
    expect(&seen, 6, |sight| matches!(sight, Sight::Left(_)))?;

    println!("\n-- ann, the host, leaves: her pool dies when its last ping is {PING_TIMEOUT:?} old");
    ann.mesh.close();
    ann.client.close();
    expect(&seen, 5, |sight| matches!(sight, Sight::Left(_)) || *sight == Sight::Ended(pool.id()))?;
    let left = cleo.client.list()?;
    println!("cleo (std) is told of {} pools", left.len());
    if !left.is_empty() {
        return Err("a pool without a host is still there".into());
    }
    match cleo.client.join(pool.id()) {
        Err(refusal) => println!("cleo (std) asks for it again: {refusal}"),
        Ok(_) => return Err("a dead pool was joined".into()),
    }

    println!("\n-- bob and cleo are linked still");
    bob.mesh.send_to_all("msg", Packet::new().string("just us two"));
    expect(&seen, 1, |sight| *sight == Sight::Heard("just us two".into()))?;

    cleo.mesh.close();
    block_on(bob.mesh.close());
    stopper.stop();
    serving.join().map_err(|_| "the broadcaster has failed")??;
    println!("\ndone");
    Ok(())
}

fn entered(name: &str, runtime: &str, pool: &PoolInfo, links: usize) {
    let role = if pool.is_host() { "hosts" } else { "joins" };
    println!("{name} ({runtime}) {role} the pool as {} and opens {links} links", pool.you());
}

/// Prints what is seen until `count` sights are as they should be.
fn expect(
    seen: &Receiver<(&'static str, Sight)>,
    count: usize,
    wanted: impl Fn(&Sight) -> bool,
) -> Outcome<()> {
    for got in 0..count {
        let waiting = || format!("saw only {got} of {count} things in {PATIENCE:?}");
        let (who, sight) = seen.recv_timeout(PATIENCE).map_err(|_| waiting())?;
        println!("   {who}: {sight}");
        if !wanted(&sight) {
            return Err(format!("{who} saw something else than expected: {sight}").into());
        }
    }
    Ok(())
}
