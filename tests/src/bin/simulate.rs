//! Runs lobbies in virtual time, seed after seed, and says what did not hold.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal, Write};
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use poolmesh_proto::trace::{Digest, Entry, Recorder};
use poolmesh_testkit::patience::now;
use poolmesh_testkit::sim::WorldStats;
use poolmesh_testkit::simulate::{Faults, Keep, Options, Report, run};
use poolmesh_testkit::trace;

/// Runs whole lobbies of poolmesh in virtual time: a broadcaster or two, peers with random programs, and everything that
/// can go wrong. From each seed follows one run, the same on every machine and in every build.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Cli {
    /// The seeds to run, the last one not included
    #[arg(long, value_name = "FROM..TO", default_value = "0..100", value_parser = seeds)]
    seeds: Range<u64>,

    /// Virtual hours of each seed
    #[arg(long, value_name = "H", default_value_t = 1)]
    hours: u32,

    /// Broadcasters, peers and foreign peers together, at least 3
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(3..=10_000))]
    nodes: u64,

    /// What goes wrong: all, none, or some of network, spoil, streams, partitions, crashes, freezes, clocks, driver,
    /// with commas between them
    #[arg(long, value_name = "NAME", default_value = "all")]
    faults: Faults,

    /// Attackers beside the nodes
    #[arg(long, value_name = "N", default_value_t = 1)]
    attackers: usize,

    /// Seeds that run at the same time [default: one for each processor]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

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
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "hours", "nodes", "faults", "attackers", "jobs", "stop", "record"])]
    replay: Option<PathBuf>,
}

impl Cli {
    fn options(&self, seed: u64) -> Options {
        Options {
            seed,
            hours: self.hours,
            nodes: usize::try_from(self.nodes).unwrap_or(usize::MAX),
            attackers: self.attackers,
            faults: self.faults,
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
    let single = cli.trace || cli.record.is_some();
    if single && cli.count() != 1 {
        let _ = writeln!(io::stderr(), "simulate: --trace and --record are for a single seed: --seeds 7..8");
        return ExitCode::FAILURE;
    }
    said(if single { one(&cli) } else { many(&cli) })
}

/// How the program ends.
fn said(done: io::Result<bool>) -> ExitCode {
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
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
            writeln!(stdout, "{}: as it was: {:?}", file.display(), replayed.summary)?;
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
fn write_record(file: &Path, trace: &[Entry]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.display()));
    let mut out = io::BufWriter::new(File::create(file).map_err(named)?);
    let mut recorder = Recorder::new();
    for entry in trace {
        recorder.record(entry.program, entry.now, &entry.input);
        if recorder.waiting() > 1 << 16 {
            out.write_all(&recorder.take()).map_err(named)?;
        }
    }
    out.write_all(&recorder.take()).map_err(named)?;
    out.flush().map_err(named)
}

/// What a seed came to, a panic included.
fn attempt(options: &Options, keep: Keep) -> Result<Report, String> {
    panic::catch_unwind(AssertUnwindSafe(|| run(options, keep))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        format!("D2: panic: {}", text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?"))
    })
}

/// One seed, with all that is to be seen of it.
fn one(cli: &Cli) -> io::Result<bool> {
    let options = cli.options(cli.seeds.start);
    let log = cli.trace.then(|| Box::new(io::BufWriter::new(io::stdout())) as Box<dyn Write>);
    let report = match attempt(&options, Keep { log, trace: cli.record.is_some() }) {
        Ok(report) => report,
        Err(what) => {
            failed(&options, &what)?;
            return Ok(false);
        }
    };
    if let Some(file) = &cli.record {
        write_record(file, &report.trace)?;
    }
    if let Some(violation) = &report.violation {
        failed(&options, &violation.to_string())?;
        return Ok(false);
    }
    writeln!(io::stdout(), "seed {}: {:016x}, {:?}", options.seed, report.fingerprint, report.stats)?;
    Ok(true)
}

fn failed(options: &Options, what: &str) -> io::Result<()> {
    let Options { seed, hours, nodes, attackers, faults } = options;
    let mut out = io::stdout().lock();
    writeln!(out, "\nseed {seed} FAILED {what}\n  {options:?}")?;
    writeln!(
        out,
        "  cargo run --release -p poolmesh-testkit --bin simulate -- --seeds {seed}..{} --hours {hours} --nodes {nodes} --faults {faults} --attackers {attackers} --trace",
        seed + 1
    )
}

/// What all threads add to.
#[derive(Debug)]
struct Total {
    next: AtomicU64,
    stats: Mutex<WorldStats>,
    violations: AtomicU64,
    /// The lowest seed that failed and how, if seeds stop there.
    first: Mutex<Option<(u64, String)>>,
    finished: AtomicU64,
    prints: Mutex<Vec<u64>>,
    over: AtomicBool,
}

fn many(cli: &Cli) -> io::Result<bool> {
    let count = cli.count();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let jobs = cli.jobs.unwrap_or(processors).max(1);
    let prints = vec![0; usize::try_from(count).map_err(io::Error::other)?];
    let total = Total {
        next: AtomicU64::new(0),
        stats: Mutex::new(WorldStats::default()),
        violations: AtomicU64::new(0),
        first: Mutex::new(None),
        finished: AtomicU64::new(0),
        prints: Mutex::new(prints),
        over: AtomicBool::new(false),
    };
    let watch = now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| work(cli, &total))).collect();
        let shown = scope.spawn(|| show(cli, &total, &watch));
        for worker in workers {
            // It catches the panics of what it runs.
            let _ = worker.join();
        }
        total.over.store(true, Ordering::Release);
        shown.thread().unpark();
    });
    if let Some((seed, what)) = total.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
        failed(&cli.options(seed), &what)?;
    }
    summary(cli, &total, &watch, jobs)
}

fn work(cli: &Cli, total: &Total) {
    loop {
        let place = total.next.fetch_add(1, Ordering::Relaxed);
        if place >= cli.count() {
            return;
        }
        let options = cli.options(cli.seeds.start + place);
        let attempt = attempt(&options, Keep::default());
        let failure = match &attempt {
            Ok(report) => report.violation.as_ref().map(ToString::to_string),
            Err(panic) => Some(panic.clone()),
        };
        match (failure, attempt) {
            (None, Ok(report)) => {
                *total.stats.lock().unwrap_or_else(PoisonError::into_inner) += report.stats;
                let mut prints = total.prints.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(print) = prints.get_mut(place as usize) {
                    *print = report.fingerprint;
                }
            }
            (what, _) => {
                total.violations.fetch_add(1, Ordering::Relaxed);
                let what = what.unwrap_or_default();
                if cli.stop {
                    // The seeds before it were all begun, and come to their end.
                    total.next.store(cli.count(), Ordering::Relaxed);
                    let mut first = total.first.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|(seed, _)| *seed > options.seed) {
                        *first = Some((options.seed, what));
                    }
                } else {
                    let _ = failed(&options, &what);
                }
            }
        }
        total.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// Shows how far it is, now and then.
fn show(cli: &Cli, total: &Total, watch: &Instant) {
    let every = if io::stderr().is_terminal() { Duration::from_secs(1) } else { Duration::from_secs(10) };
    while !total.over.load(Ordering::Acquire) {
        thread::park_timeout(every);
        let finished = total.finished.load(Ordering::Relaxed);
        let hours = finished * u64::from(cli.hours);
        let _ = writeln!(
            io::stderr(),
            "{finished} of {} seeds, {hours} hours in {:.0} s, {} violations",
            cli.count(),
            watch.elapsed().as_secs_f64(),
            total.violations.load(Ordering::Relaxed)
        );
    }
}

fn summary(cli: &Cli, total: &Total, watch: &Instant, jobs: usize) -> io::Result<bool> {
    let seconds = watch.elapsed().as_secs_f64().max(0.001);
    let hours = (total.finished.load(Ordering::Relaxed) * u64::from(cli.hours)) as f64;
    let stats = *total.stats.lock().unwrap_or_else(PoisonError::into_inner);
    let events = stats.events;
    let violations = total.violations.load(Ordering::Relaxed);
    let mut digest = Digest::new();
    for print in total.prints.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        digest.bytes(&print.to_le_bytes());
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "seeds {}..{}, {} nodes, faults {}, {} attackers",
        cli.seeds.start, cli.seeds.end, cli.nodes, cli.faults, cli.attackers
    )?;
    writeln!(
        out,
        "{hours} simulated hours in {seconds:.1} s on {jobs} threads: {:.0} hours a second",
        hours / seconds
    )?;
    writeln!(
        out,
        "{:.0} times real time, {:.0} for each thread",
        hours * 3_600.0 / seconds,
        hours * 3_600.0 / seconds / jobs as f64
    )?;
    writeln!(
        out,
        "{events} events, {:.0} a second, {:.0} an hour",
        events as f64 / seconds,
        events as f64 / hours
    )?;
    writeln!(out, "{stats:?}")?;
    writeln!(out, "violations: {violations}")?;
    writeln!(out, "hash: {:016x}", digest.get())?;
    Ok(violations == 0)
}
