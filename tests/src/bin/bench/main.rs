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
mod rtt;
mod side;
mod stats;
mod table;
mod yardstick;

use std::alloc::System;
use std::error::Error;
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
    let (rows, options) = match cli.command {
        Command::Side { role } => return role.play(),
        Command::Broadcaster { options, io } => (broadcaster::run(&options, io)?, options),
        Command::Link(options) => (link::run(&options)?, options),
        Command::Rtt(options) => (rtt::run(&options)?, options),
    };
    if options.json {
        println!("{:#}", table::json(&rows));
    } else {
        print!("{}", table::table(&rows));
    }
    Ok(())
}
