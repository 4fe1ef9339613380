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
mod native;
mod parse;
mod pools;
mod rtt;
mod side;
mod stats;
mod svg;
mod table;
mod threads;
mod yardstick;

use std::alloc::System;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use cli::{Cli, Command, Options};
use table::Row;

/// Counts. It adds some nanoseconds to each allocation, and nothing to what allocates nothing.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What can fail for any reason, which is then said.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What measures all that was asked for.
type Bench = fn(&Options) -> Fallible<Vec<Row>>;

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
    let (measure, options, chart): (Bench, _, _) = match cli.command {
        Command::Side { role } => return role.play(),
        Command::Broadcaster(options) => (broadcaster::run, options, None),
        Command::Link(options) => (link::run, options, Some(fanout::CURVES)),
        Command::Rtt(options) => (rtt::run, options, None),
        Command::Parse(options) => (parse::run, options, None),
        Command::Pools(options) => (pools::run, options, Some(pools::CURVES)),
    };
    if options.svg.is_some() && chart.is_none() {
        return Err("nothing of that grows: there are curves of link and of pools".into());
    }
    let rows = measure(&options)?;
    if rows.is_empty() {
        return Err(options.nothing());
    }
    if let (Some(file), Some(chart)) = (&options.svg, chart) {
        let image = chart.of(&rows).ok_or("of what grows not two sizes were measured")?;
        fs::write(file, image)?;
    }
    if options.json {
        println!("{:#}", table::json(&rows));
    } else {
        print!("{}", table::table(&rows));
    }
    Ok(())
}
