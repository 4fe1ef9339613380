//! Runs lobbies in virtual time, seed after seed, and says what did not hold.

mod many;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use poolmesh_proto::trace::{Digest, Entry};
use poolmesh_testkit::sim::Violation;
use poolmesh_testkit::simulate::{Faults, Keep, MAX_NODES, Options, Report, Speech, run};
use poolmesh_testkit::trace;

/// Runs whole lobbies of poolmesh in virtual time: a broadcaster or two, peers with random programs, and everything that
/// can go wrong. From each seed follows one run, the same on every machine and in every build: so is the hash of all
/// that happened in it, and the hash of several seeds.
///
/// Faults: network (datagrams and pieces of streams late, lost, doubled, old ones again), spoil (bits flipped, datagrams
/// cut), streams (connections cut, small pieces and buffers, slow readers), partitions (no way in one or both
/// directions), crashes (of programs and of whole machines, and new starts), freezes (programs that stand still), clocks
/// (that drift and jump), driver (loops that are late, early, or tell a time twice).
///
/// Ctrl-C stops it after the seeds that are running, a second one at once. It ends with status 0 if everything held, with
/// 1 if not, and with 2 if it was asked for what can't be.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Cli {
    /// The seeds to run, the last one not included; or a single seed, as in --seeds 7
    #[arg(long, value_name = "FROM..TO", default_value = "0..100", value_parser = seeds)]
    seeds: Range<u64>,

    /// Virtual hours of each seed
    #[arg(long, value_name = "H", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    hours: u32,

    /// Broadcasters, peers and foreign peers together, from 3 to 128. Time grows with their square
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(3..=MAX_NODES as u64))]
    nodes: u64,

    /// What goes wrong: all, none, or some of them with commas between: network, spoil, streams, partitions, crashes,
    /// freezes, clocks, driver
    #[arg(long, value_name = "NAME", default_value = "all")]
    faults: Faults,

    /// Attackers beside the nodes, at most 128
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=MAX_NODES as u64))]
    attackers: u64,

    /// What they speak: native, classic, or both: some peers the one and some the other, at the same broadcasters
    #[arg(long, value_name = "NAME", default_value = "native")]
    dialect: Speech,

    /// Seeds that run at the same time, at most 1024 [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    jobs: Option<u16>,

    /// Stop at the first seed that fails, which is the lowest
    #[arg(long)]
    stop: bool,

    /// Print a line for each thing that happens; for a single seed
    #[arg(long)]
    trace: bool,

    /// Write every input of every machine to this file; for a single seed
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Play a file that --record or `poolmesh-broadcaster --record` has written against the machines of this build, and
    /// compare all that they say; with --trace print each input and output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "hours", "nodes", "faults", "attackers", "dialect", "jobs", "stop", "record"])]
    replay: Option<PathBuf>,
}

impl Cli {
    fn options(&self, seed: u64) -> Options {
        Options {
            seed,
            hours: self.hours,
            nodes: usize::try_from(self.nodes).unwrap_or(usize::MAX),
            attackers: usize::try_from(self.attackers).unwrap_or(usize::MAX),
            faults: self.faults,
            dialect: self.dialect,
        }
    }

    fn count(&self) -> u64 {
        self.seeds.end - self.seeds.start
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => number(text)?..number(text)?.saturating_add(1),
    };
    if range.is_empty() { Err("there is no seed in that range".to_owned()) } else { Ok(range) }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(file) = &cli.replay {
        return said(play(file, cli.trace));
    }
    match is_single(&cli) {
        Ok(true) => said(one(&cli)),
        Ok(false) => said(many::many(&cli)),
        Err(misuse) => misuse.exit(),
    }
}

/// Whether all is to be seen of one seed.
fn is_single(cli: &Cli) -> Result<bool, clap::Error> {
    let single = cli.trace || cli.record.is_some();
    if single && cli.count() != 1 {
        let what = "--trace and --record are for a single seed: --seeds 7";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, what));
    }
    Ok(single)
}

/// How the program ends.
fn said(done: io::Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays a trace.
fn play(file: &Path, log: bool) -> io::Result<bool> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let input = BufReader::new(File::open(file).map_err(named)?);
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    match trace::replay(input, log.then_some(&mut stdout as &mut dyn Write)) {
        Ok(replayed) => {
            let (entries, programs, outputs) =
                (replayed.summary.entries, replayed.summary.programs, replayed.summary.outputs);
            writeln!(
                stdout,
                "{}: all as it was: entries {entries}, programs {programs}, outputs {outputs}",
                file.display()
            )?;
            if let Some(cut) = replayed.cut {
                writeln!(stdout, "it has no end: {cut}")?;
            }
            stdout.flush()?;
            Ok(true)
        }
        Err(failure) => {
            stdout.flush()?;
            Err(io::Error::other(format!("{}: {failure}", file.display())))
        }
    }
}

/// Writes all that was recorded to a file.
fn write_record(file: &Path, entries: &[Entry]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let mut out = io::BufWriter::new(File::create(file).map_err(named)?);
    trace::write(entries, &mut out).map_err(named)?;
    out.flush().map_err(named)
}

/// One seed, with all that is to be seen of it.
fn one(cli: &Cli) -> io::Result<bool> {
    let options = cli.options(cli.seeds.start);
    let log = cli.trace.then(|| Box::new(io::BufWriter::new(io::stdout())) as Box<dyn Write>);
    let report = run(&options, Keep { log, trace: cli.record.is_some() });
    if let Some(file) = &cli.record {
        write_record(file, &report.trace)?;
    }
    if let Some(violation) = &report.violation {
        failed(&options, &describe(violation))?;
        return Ok(false);
    }
    writeln!(io::stdout(), "{}\nviolations: 0\nhash: {:016x}", report.stats, share(&report))?;
    Ok(true)
}

/// A violation, without the seed of its world: that follows from the seed of the run.
fn describe(violation: &Violation) -> String {
    format!("at {:?}: {}", violation.at, violation.what)
}

/// What a seed adds to the hash of all.
fn share(report: &Report) -> u64 {
    let mut digest = Digest::new();
    digest.bytes(&report.options.seed.to_le_bytes());
    digest.bytes(&report.fingerprint.to_le_bytes());
    digest.get()
}

fn failed(options: &Options, what: &str) -> io::Result<()> {
    let Options { seed, hours, nodes, attackers, faults, dialect } = options;
    let mut out = io::stdout().lock();
    writeln!(out, "\nseed {seed} FAILED {what}")?;
    writeln!(
        out,
        "  cargo run --release -p poolmesh-testkit --bin simulate -- --seeds {seed} --hours {hours} --nodes {nodes} --faults {faults} --attackers {attackers} --dialect {dialect} --trace"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_run_is_refused() {
        let parse = |option: &str, value: &str| Cli::try_parse_from(["simulate", option, value]);
        for (option, values) in [
            ("--jobs", &["0", "1025", "100000"][..]),
            ("--hours", &["0", "4294967295"]),
            ("--nodes", &["2", "129"]),
            ("--attackers", &["129", "-1"]),
            ("--seeds", &["5..5", "6..5", "0..=5", ""]),
        ] {
            for value in values {
                let error = parse(option, value).unwrap_err();
                assert_eq!(error.exit_code(), 2, "{option} {value}");
            }
        }
        let traced = |seeds| Cli::try_parse_from(["simulate", "--trace", "--seeds", seeds]).unwrap();
        assert_eq!(is_single(&traced("0..2")).unwrap_err().exit_code(), 2);
        assert!(is_single(&traced("3")).unwrap() && !is_single(&parse("--seeds", "3").unwrap()).unwrap());
        assert_eq!(parse("--seeds", "3").unwrap().seeds, 3..4);
        assert_eq!(parse("--jobs", "1024").unwrap().jobs, Some(1_024));
    }
}
