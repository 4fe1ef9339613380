//! Many seeds, on all processors.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{process, thread};

use poolmesh_testkit::patience::now;
use poolmesh_testkit::sim::WorldStats;
use poolmesh_testkit::simulate::{Keep, Tally, run};

use crate::{Cli, describe, failed, share};

/// What all threads add to.
#[derive(Debug)]
struct Total {
    next: AtomicU64,
    stats: Mutex<WorldStats>,
    /// What came of calls, by how many datagrams were lost.
    tallies: Mutex<BTreeMap<u32, Tally>>,
    violations: AtomicU64,
    /// The lowest seed that failed and how, if seeds stop there.
    first: Mutex<Option<(u64, String)>>,
    finished: AtomicU64,
    /// The sum of what each seed adds.
    hash: AtomicU64,
    over: AtomicBool,
    /// Whether it was asked to stop.
    asked: AtomicBool,
}

/// The status of a program that was interrupted before its end.
const INTERRUPTED: i32 = 130;

/// From so many calls on it is judged how many of them had an answer.
const COUNTED: u64 = 100_000;
/// At least so many must have one.
const ANSWERED: f64 = 0.999;

pub(crate) fn many(cli: &Cli) -> io::Result<bool> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let jobs = cli.jobs.map_or(processors, usize::from);
    let total = Arc::new(Total {
        next: AtomicU64::new(0),
        stats: Mutex::new(WorldStats::default()),
        tallies: Mutex::default(),
        violations: AtomicU64::new(0),
        first: Mutex::new(None),
        finished: AtomicU64::new(0),
        hash: AtomicU64::new(0),
        over: AtomicBool::new(false),
        asked: AtomicBool::new(false),
    });
    let (stopped, count) = (Arc::clone(&total), cli.count());
    // Those that were begun come to their end, unless it is asked for again.
    let stop = move || {
        if stopped.asked.swap(true, Ordering::Relaxed) {
            process::exit(INTERRUPTED);
        }
        stopped.next.store(count, Ordering::Relaxed);
    };
    ctrlc::set_handler(stop).map_err(io::Error::other)?;
    let watch = now();
    thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, || work(cli, &total)).ok();
        // Those that the system doesn't start leave the work to the others.
        let workers: Vec<_> = (1..jobs).filter_map(spawn).collect();
        let shown = thread::Builder::new().spawn_scoped(scope, || show(cli, &total, &watch));
        work(cli, &total);
        for worker in workers {
            // A run catches its panics.
            let _ = worker.join();
        }
        total.over.store(true, Ordering::Release);
        if let Ok(shown) = shown {
            shown.thread().unpark();
        }
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
        let report = run(&options, Keep::default());
        *total.stats.lock().unwrap_or_else(PoisonError::into_inner) += report.stats;
        let mut tallies = total.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        report.tallies.iter().for_each(|(loss, tally)| *tallies.entry(*loss).or_default() += *tally);
        drop(tallies);
        total.hash.fetch_add(share(&report), Ordering::Relaxed);
        if let Some(what) = report.violation.as_ref().map(describe) {
            total.violations.fetch_add(1, Ordering::Relaxed);
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
    let finished = total.finished.load(Ordering::Relaxed);
    let hours = (finished * u64::from(cli.hours)) as f64;
    let stats = *total.stats.lock().unwrap_or_else(PoisonError::into_inner);
    let events = stats.events;
    let violations = total.violations.load(Ordering::Relaxed);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "seeds {}..{}, {} nodes, faults: {}, attackers: {}, dialect: {}",
        cli.seeds.start,
        cli.seeds.start + finished,
        cli.nodes,
        cli.faults,
        cli.attackers,
        cli.dialect
    )?;
    writeln!(
        out,
        "{hours:.0} simulated hours in {seconds:.1} s with {jobs} at a time: {:.0} hours a second",
        hours / seconds
    )?;
    writeln!(
        out,
        "{:.0} times real time, {:.0} for each of them",
        hours * 3_600.0 / seconds,
        hours * 3_600.0 / seconds / jobs as f64
    )?;
    writeln!(
        out,
        "{events} events, {:.0} a second, {:.0} an hour",
        events as f64 / seconds,
        events as f64 / hours.max(1.0)
    )?;
    writeln!(out, "{stats}")?;
    let mut enough = true;
    for (loss, tally) in total.tallies.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let Tally { made, answered, .. } = tally;
        let share = *answered as f64 / (*made).max(1) as f64;
        enough &= *made < COUNTED || share >= ANSWERED;
        let (loss, share) = (f64::from(*loss) / 10_000.0, 100.0 * share);
        writeln!(
            out,
            "calls where {loss} % is lost: {made}, of which {answered} had an answer: {share:.4} %"
        )?;
    }
    writeln!(out, "violations: {violations}")?;
    writeln!(out, "hash: {:016x}", total.hash.load(Ordering::Relaxed))?;
    Ok(violations == 0 && enough)
}
