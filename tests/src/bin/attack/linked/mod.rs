//! Programs that are linked with each other, several pools of them in one process: what `attack links` starts, and tells
//! what to do by lines.

mod account;
mod program;
mod words;

use std::io::stdin;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use poolmesh_smol::PoolId;

use crate::Fallible;
use crate::clock::now;
use crate::enclosure::Enclosure;
use account::Pool;
use program::Program;
pub(crate) use words::{Order, Tally, Told};

/// So many pools are linked at a time.
const AT_A_TIME: usize = 16;
/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(20);
/// So long all may take to know of all, or what was sent to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs programs that are linked with each other, as `attack links` says by lines
#[derive(Args, Debug)]
pub(crate) struct Options {
    #[arg(long)]
    at: SocketAddrV4,
    #[arg(long)]
    pools: usize,
    #[arg(long)]
    size: u16,
    /// In seconds
    #[arg(long)]
    every: u64,
}

/// Does what it is told until there is nobody to tell it.
pub(crate) fn run(options: &Options) -> Fallible<()> {
    Enclosure::check()?;
    let pools: Vec<Vec<Program>> = smol::block_on(async {
        let mut pools = Vec::new();
        for _ in 0..options.pools {
            let pool = Arc::new(Pool::new(options.size));
            let mut programs = Vec::new();
            for _ in 0..options.size {
                programs.push(Program::open(options.at, Arc::clone(&pool)).await?);
            }
            pools.push(programs);
        }
        Fallible::Ok(pools)
    })?;
    println!("{}", Told::Open);
    for line in stdin().lines() {
        match line?.parse()? {
            Order::Link => {
                smol::block_on(link(&pools))?;
                let every = Duration::from_secs(options.every);
                let members = options.pools * usize::from(options.size);
                for (nth, program) in pools.iter().flatten().enumerate() {
                    // One after the other.
                    let first = every.mul_f64(nth as f64 / members as f64);
                    program.speak(first, every);
                }
                println!("{}", Told::Linked);
            }
            Order::Watch => pools.iter().flatten().for_each(Program::watch),
            Order::Count => println!("{}", Told::Counted(smol::block_on(count(&pools)))),
        }
    }
    Ok(())
}

/// Links the members of each pool with each other, and waits until all know of all.
async fn link(pools: &[Vec<Program>]) -> Fallible<()> {
    for some in pools.chunks(AT_A_TIME) {
        let entering: Vec<_> = some.iter().map(|pool| smol::spawn(enter(pool.clone()))).collect();
        for entered in entering {
            entered.await?;
        }
    }
    for pool in pools {
        let others = pool.len() - 1;
        wait("a link", || {
            pool.iter().all(|program| program.links() == others && program.knows() == pool.len())
        })
        .await?;
    }
    Ok(())
}

/// One after the other.
async fn enter(pool: Vec<Program>) -> Fallible<()> {
    let mut made: Option<PoolId> = None;
    for program in pool {
        made = Some(program.enter(made).await?);
    }
    Ok(())
}

/// Has all be silent, waits until what they said has come, and counts.
async fn count(pools: &[Vec<Program>]) -> Tally {
    pools.iter().flatten().for_each(Program::be_silent);
    smol::Timer::after(LOOK).await; // who is about to say something says it
    let all = || {
        let mut all = Tally::default();
        pools.iter().flatten().for_each(|program| all += program.tally());
        all
    };
    // If it doesn't come, the count says so.
    let _ = wait("what was said", || {
        let all = all();
        all.sent == all.received
    })
    .await;
    all()
}

async fn wait(what: &str, holds: impl Fn() -> bool) -> Fallible<()> {
    let deadline = now() + PATIENCE;
    while !holds() {
        if now() > deadline {
            return Err(format!("{what}: not within {PATIENCE:?}").into());
        }
        smol::Timer::after(LOOK).await;
    }
    Ok(())
}
