//! What poolmesh costs, beside yardsticks measured in the same run.

#[cfg(not(target_os = "linux"))]
compile_error!("the benchmarks measure by calls that only Linux has");

mod broadcaster;
mod cli;
mod clock;
mod contest;
mod fanout;
mod link;
mod load;
mod parse;
mod pools;
mod rtt;
mod side;
mod stats;
mod svg;
mod table;
mod yardstick;

use std::alloc::System;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use cli::{Cli, Command};

/// Counts. It adds some nanoseconds to each allocation, and nothing to what allocates nothing.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What can fail for any reason, which is then said.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            contest::progress("");
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Fallible<()> {
    let (rows, options, sizes) = match cli.command {
        Command::Side { role } => return role.play(),
        Command::Broadcaster(options) => (broadcaster::run(&options)?, options, None),
        Command::Link(options) => (link::run(&options)?, options, Some(fanout::CURVES)),
        Command::Rtt(options) => (rtt::run(&options)?, options, None),
        Command::Parse(options) => (parse::run(&options)?, options, None),
        Command::Pools(options) => (pools::run(&options)?, options, Some(pools::CURVES)),
    };
    if let Some(file) = &options.svg {
        let chart = sizes.and_then(|chart| chart.of(&rows)).ok_or("nothing was measured that grows")?;
        fs::write(file, chart)?;
    }
    if options.json {
        println!("{:#}", table::json(&rows));
    } else {
        print!("{}", table::table(&rows));
    }
    Ok(())
}
