//! The broadcaster is killed under programs that are linked with each other: no link may notice.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::resource::{Resource, getrlimit};

use super::promises::last_in_time;
use super::seconds;
use super::target::{Flags, Outage, Target};
use crate::Fallible;
use crate::clock::now;
use crate::linked::{Order, Tally, Told};
use crate::quantiles::Times;
use crate::verdict::Verdict;

const INTERVAL: Duration = Duration::from_secs(3);
/// So long it may take until all are linked, or all has been counted.
const LONG_PATIENCE: Duration = Duration::from_secs(300);
/// What a process has open besides.
const OTHER_FILES: u64 = 100;

/// Kills the broadcaster under pools of programs that are all linked with each other, and starts it again
///
/// These are programs over poolmesh-smol, several pools in a process.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Pools
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pools: usize,

    /// Members of each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=64))]
    size: u16,

    /// How often each says something on all its links, in seconds
    #[arg(long, value_name = "S", default_value = "3", value_parser = seconds)]
    every: Duration,

    /// How long they stay before, in seconds
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,

    /// How long the broadcaster is away, in seconds
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds)]
    away: Duration,

    #[command(flatten)]
    target: Flags,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let mut target = Target::start(&options.target)?;
    let mut crews = Crews::start(options)?;
    crews.tell(Order::Link)?;
    crews.wait_for_all(&Told::Linked)?;
    println!(
        "{} pools of {} in {} processes, all linked",
        options.pools,
        options.size,
        crews.processes.len()
    );
    crews.look_on(options.seconds)?;

    crews.tell(Order::Watch)?;
    let outage = target.outage(|| crews.look_on(options.away))?;
    let back = crews.wait_for_pools(options.pools, outage)?;
    // Once more over every link, with the broadcaster as it is now.
    crews.look_on(options.every)?;
    let gone_on = outage.killed.elapsed();
    let tally = crews.count()?;

    let mut verdict = Verdict::default();
    println!("pools back: {back}");
    verdict.check(
        back.count() == options.pools,
        format_args!("{} of {} pools are back", back.count(), options.pools),
    );
    last_in_time(&back, Outage::bound(INTERVAL), &mut verdict);
    let members = options.pools as u64 * u64::from(options.size);
    let ends = members * u64::from(options.size - 1);
    verdict.check(
        (tally.ends, tally.lost, tally.made_anew) == (ends, 0, 0),
        format_args!(
            "{} of {} links stand after {gone_on:.1?}; {} ends were lost, {} made anew",
            tally.ends / 2,
            ends / 2,
            tally.lost,
            tally.made_anew
        ),
    );
    verdict.check(
        tally.carried == ends,
        format_args!("{} of {ends} directions of links carried something since the kill", tally.carried),
    );
    let (sent, received) = (tally.sent, tally.received);
    verdict.check(
        sent == received && (tally.unsent, tally.out_of_turn) == (0, 0),
        format_args!(
            "{received} of {sent} events came over the links; {} found no room, {} came out of turn",
            tally.unsent, tally.out_of_turn
        ),
    );
    verdict.check(
        tally.changed == 0,
        format_args!(
            "{} of {members} members know another id, roster, host or term than before",
            tally.changed
        ),
    );
    let expected = tally.restored == members && tally.other == 0;
    verdict.check(
        // Who is away for long may be said to be.
        expected && (tally.unreachable == 0 || options.away > INTERVAL),
        format_args!(
            "of {members} members {} were told that the pool is back, {} that it was unreachable; {} were told anything else",
            tally.restored, tally.unreachable, tally.other
        ),
    );
    target.end(verdict)
}

/// The processes in which the programs are.
#[derive(Debug)]
struct Crews {
    processes: Vec<Child>,
    told: Receiver<(Instant, Fallible<Told>)>,
}

impl Crews {
    /// Starts as many processes as their files demand, at least two if there are two pools, and waits until all have their
    /// ports: ports of links must not take them.
    fn start(options: &Options) -> Fallible<Self> {
        let size = u64::from(options.size);
        let files = getrlimit(Resource::RLIMIT_NOFILE)?.1.saturating_sub(OTHER_FILES);
        // Two sockets and the ends of the links of each.
        let most = usize::try_from(files / (size * (size + 1))).unwrap_or(usize::MAX);
        let processes = options.pools.div_ceil(most.max(1)).max(2).min(options.pools);
        let (teller, told) = mpsc::channel();
        let mut crews = Self { processes: Vec::new(), told };
        for nth in 0..processes {
            let pools = options.pools / processes + usize::from(nth < options.pools % processes);
            let mut child = Command::new(std::env::current_exe()?)
                .arg("linked")
                .args(["--at", &options.target.at.to_string(), "--pools", &pools.to_string()])
                .args(["--size", &size.to_string(), "--every", &options.every.as_secs().to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let lines = child.stdout.take().map(BufReader::new).ok_or("a process says nothing")?.lines();
            crews.processes.push(child);
            let teller = teller.clone();
            thread::spawn(move || {
                for line in lines {
                    let told = line.map_err(Into::into).and_then(|line| line.parse());
                    if teller.send((now(), told)).is_err() {
                        return;
                    }
                }
                let _ = teller.send((now(), Err("a process has ended".into())));
            });
        }
        crews.wait_for_all(&Told::Open)?;
        Ok(crews)
    }

    fn tell(&mut self, order: Order) -> Fallible<()> {
        for process in &mut self.processes {
            writeln!(process.stdin.as_mut().ok_or("a process doesn't listen")?, "{order}")?;
        }
        Ok(())
    }

    /// The next that is told until then, and when.
    fn next(&self, until: Instant) -> Fallible<Option<(Instant, Told)>> {
        match self.told.recv_timeout(until.saturating_duration_since(now())) {
            Ok((at, told)) => Ok(Some((at, told?))),
            Err(_) => Ok(None),
        }
    }

    /// Lets time pass, in which nothing should be told.
    fn look_on(&self, time: Duration) -> Fallible<()> {
        match self.next(now() + time)? {
            None => Ok(()),
            Some((_, told)) => Err(format!("too early: {told:?}").into()),
        }
    }

    fn wait_for_all(&self, wanted: &Told) -> Fallible<()> {
        let deadline = now() + LONG_PATIENCE;
        for _ in &self.processes {
            match self.next(deadline)? {
                Some((_, told)) if told == *wanted => {}
                other => return Err(format!("{other:?}, where {wanted:?} was to come").into()),
            }
        }
        Ok(())
    }

    /// When the pools were back, after the broadcaster was.
    fn wait_for_pools(&self, pools: usize, outage: Outage) -> Fallible<Times> {
        let mut back = Times::default();
        while back.count() < pools {
            match self.next(outage.deadline())? {
                Some((at, Told::Back)) => back.add(at.saturating_duration_since(outage.over)),
                None => break,
                other => return Err(format!("{other:?}, where pools were to come back").into()),
            }
        }
        Ok(back)
    }

    fn count(&mut self) -> Fallible<Tally> {
        self.tell(Order::Count)?;
        let (mut all, mut left) = (Tally::default(), self.processes.len());
        while left > 0 {
            match self.next(now() + LONG_PATIENCE)? {
                Some((_, Told::Counted(tally))) => {
                    all += tally;
                    left -= 1;
                }
                // Too late for what it says to be right, but it is said.
                Some((_, Told::Back)) => {}
                other => return Err(format!("{other:?}, where a count was to come").into()),
            }
        }
        Ok(all)
    }
}

impl Drop for Crews {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
