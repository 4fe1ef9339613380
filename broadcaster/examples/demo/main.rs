//! A whole lobby on one machine: a broadcaster, and peers on both runtimes that meet, talk, and go on when the host dies, and
//! when the broadcaster does.
//!
//! `cargo run --release --example demo`

mod children;
mod peers;

use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use poolmesh_proto::{ClientConfig, Membership};
use smol::block_on;

use children::Child;
use peers::{Blocking, Smol};

/// How long anything may take that should happen soon.
const PATIENCE: Duration = Duration::from_secs(8);
/// How often members say that they are there, and how long they may be silent: less than half of what is the default. When a
/// broadcaster starts again it waits for them for two intervals, and they need a little more than two seconds.
const INTERVAL: Duration = Duration::from_millis(1_300);
const TIMEOUT: Duration = Duration::from_millis(2_600);

const USAGE: &str = "\
usage: demo

Plays a lobby on this machine, in about five seconds: a broadcaster, and peers on both runtimes that meet, talk, and go on when
the host is killed, and then the broadcaster. It takes no arguments.";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Who sees something, and what.
type Sight = (&'static str, String);
type Sightings = Sender<Sight>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ran = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // The programs that are to be killed are processes of their own.
        ["serve", address, key] => children::serve(address, key),
        ["host", broadcaster] => children::host(broadcaster, 3),
        [] => play(),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        other => Err(format!("no arguments {other:?}\n{USAGE}").into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play() -> Outcome<()> {
    let (sightings, seen) = mpsc::channel();
    let key = children::new_key()?;
    let (broadcaster, address) = Child::start(&["serve", "127.0.0.1:0", &key])?;
    println!("a broadcaster serves at {address}, in both dialects");

    println!("\n-- ann hosts a pool; bob finds it in a list, cleo has its code, dan its id");
    let (mut ann, said) = Child::start(&["host", &address])?;
    println!("ann (std) hosts pool {said}");
    let (id, code) = said.split_once(' ').ok_or("ann says something else")?;
    let bob = block_on(Smol::start("bob", &address, ClientConfig::default(), &sightings))?;
    let listed = block_on(bob.client.list())?;
    let [duel] = &listed[..] else { return Err("not one pool is listed".into()) };
    println!(
        "bob (smol) is told of \"{}\", with {} of {} seats free",
        duel.name(),
        duel.free(),
        duel.seats()
    );
    block_on(async { bob.enter(bob.client.join_with(duel.id(), b"bob").await?).await })?;
    let cleo = Blocking::start("cleo", &address, ClientConfig::default(), &sightings)?;
    cleo.enter(cleo.client.join_with(code.parse::<poolmesh_proto::wire::native::PoolCode>()?, b"cleo")?)?;
    let dan = block_on(Smol::start("dan", &address, ClientConfig::default(), &sightings))?;
    let pool = id.parse()?;
    block_on(async { dan.enter(dan.client.join_with(duel.id(), b"dan").await?).await })?;
    let mut expected: Vec<Sight> =
        [("bob", "cleo joins"), ("bob", "dan joins"), ("cleo", "dan joins")].map(told).into();
    for who in ["bob", "cleo", "dan"] {
        expected.extend([(); 3].map(|()| told((who, "a link stands"))));
    }
    expect(&seen, expected)?;

    println!("\n-- everyone says hello to all");
    ann.say("hello from ann")?;
    block_on(bob.say("hello from bob"));
    cleo.say("hello from cleo");
    block_on(dan.say("hello from dan"));
    expect(&seen, everyone_hears(&["ann", "bob", "cleo", "dan"], &["bob", "cleo", "dan"]))?;

    println!("\n-- eve and finn meet at the same broadcaster in the classic dialect");
    let eve = Blocking::start("eve", &address, ClientConfig::classic(), &sightings)?;
    let old = eve.client.create()?;
    eve.enter(old.clone())?;
    let finn = block_on(Smol::start("finn", &address, ClientConfig::classic(), &sightings))?;
    let offered = block_on(finn.client.list())?;
    if offered.iter().map(poolmesh_proto::PoolListing::id).ne([old.id()]) {
        return Err("finn is not offered eve's pool alone".into());
    }
    block_on(async { finn.enter(finn.client.join(old.id()).await?).await })?;
    expect(&seen, [("eve", "a link stands"), ("finn", "a link stands")].map(told).into())?;
    eve.say("hello from eve");
    expect(&seen, [told(("finn", "hears \"hello from eve\""))].into())?;
    println!("to bob (smol), {} pool is listed as classic", block_on(bob.classic_pools())?);
    block_on(finn.close());
    expect(&seen, [("eve", "a link has ended"), ("finn", "a link has ended")].map(told).into())?;
    eve.close();

    println!("\n-- ann, the host, is killed: play goes on, and bob, who was there next, is host");
    ann.kill()?;
    expect(&seen, ["bob", "cleo", "dan"].map(|who| told((who, "a link has ended"))).into())?;
    cleo.say("where is ann?");
    expect(&seen, ["bob", "dan"].map(|who| told((who, "hears \"where is ann?\""))).into())?;
    let news = ["ann has left: TimedOut", "#2 is host, in term 2"];
    expect(
        &seen,
        ["bob", "cleo", "dan"].iter().flat_map(|who| news.map(|news| told((who, news)))).collect(),
    )?;

    println!("\n-- the broadcaster is killed: play goes on");
    let before = summary(cleo.client.membership(pool))?;
    broadcaster.kill()?;
    block_on(dan.say("who needs it"));
    expect(&seen, ["bob", "cleo"].map(|who| told((who, "hears \"who needs it\""))).into())?;

    println!("\n-- it starts again, without memory, but with its key: the members bring the pool back");
    let (_broadcaster, _) = Child::start(&["serve", &address, &key])?;
    expect(&seen, ["bob", "cleo", "dan"].map(|who| told((who, "the pool is back"))).into())?;
    for membership in [
        block_on(async { bob.client.membership(pool) }),
        cleo.client.membership(pool),
        dan.client.membership(pool),
    ] {
        if summary(membership)? != before {
            return Err("it is not what it was".into());
        }
    }
    println!("it has its id, its members, its host and its term: {before}");
    let gus = Blocking::start("gus", &address, ClientConfig::default(), &sightings)?;
    gus.enter(gus.client.join_with(pool, b"gus")?)?;
    let mut expected: Vec<Sight> = ["bob", "cleo", "dan"].map(|who| told((who, "gus joins"))).into();
    expected.extend(["bob", "cleo", "dan", "gus", "gus", "gus"].map(|who| told((who, "a link stands"))));
    expect(&seen, expected)?;

    println!("\n-- cleo leaves, which is told at once");
    cleo.client.leave(pool)?;
    expect(&seen, ["bob", "dan", "gus"].map(|who| told((who, "cleo has left: Left"))).into())?;

    cleo.close();
    gus.close();
    block_on(async { (bob.close().await, dan.close().await) });
    println!("\ndone");
    Ok(())
}

fn told((who, what): (&'static str, &str)) -> Sight {
    (who, what.to_owned())
}

/// That each of `hearers` hears all others.
fn everyone_hears(speakers: &[&str], hearers: &[&'static str]) -> Vec<Sight> {
    let hears =
        |hearer: &'static str, speaker: &&str| told((hearer, &format!("hears \"hello from {speaker}\"")));
    let of = |hearer: &&'static str| {
        let hearer = *hearer;
        speakers.iter().filter(move |speaker| **speaker != hearer).map(move |speaker| hears(hearer, speaker))
    };
    hearers.iter().flat_map(of).collect()
}

/// What a pool is known by, whatever broadcaster has it.
fn summary(membership: Option<Membership>) -> Outcome<String> {
    let pool = membership.ok_or("no member any more")?;
    let members = pool
        .members()
        .iter()
        .map(|member| format!("#{} {}", member.number, String::from_utf8_lossy(&member.about)));
    Ok(format!(
        "{} {:?} host #{} term {}",
        pool.code(),
        members.collect::<Vec<_>>(),
        pool.host(),
        pool.term()
    ))
}

/// Prints what is seen until all that is expected was, in any order, and nothing else.
fn expect(seen: &Receiver<Sight>, mut expected: Vec<Sight>) -> Outcome<()> {
    while !expected.is_empty() {
        let sight =
            seen.recv_timeout(PATIENCE).map_err(|_| format!("not seen in {PATIENCE:?}: {expected:?}"))?;
        println!("   {}: {}", sight.0, sight.1);
        let place = expected.iter().position(|expected| *expected == sight);
        expected.swap_remove(place.ok_or_else(|| format!("seen in place of {expected:?}"))?);
    }
    Ok(())
}
