//! Honest clients, and a flood beside them if that is wanted.

use std::time::Duration;

use clap::Args;

use super::seconds;
use super::target::{Flags, Target};
use crate::Fallible;
use crate::client::PATIENCE;
use crate::flood::{self, Flood};
use crate::party::{self, Plan};
use crate::server::MemoryWatch;
use crate::verdict::Verdict;

/// Of a thousand attempts so many must succeed.
const LEAST_ADMITTED: f64 = 999.0;
/// A call ends when its time is over; this is for the loop to notice.
const SLACK: Duration = Duration::from_millis(250);

/// Has honest clients create pools, join them, agree on who is there, and leave
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Creates and joins a second
    #[arg(long, value_name = "N", default_value_t = 200)]
    rate: u32,

    /// For how many seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    seconds: Duration,

    /// Members of a pool
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    size: u16,

    /// Within how many seconds all must know of all; by default three intervals
    #[arg(long, value_name = "S", default_value = "9", value_parser = seconds)]
    agree_within: Duration,

    /// Forged datagrams a second meanwhile
    #[arg(long, value_name = "N", default_value_t = 0)]
    flood: u32,

    #[command(flatten)]
    target: Flags,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let target = Target::start(&options.target)?;
    let mut crowd = target.crowd()?;
    let (mut memory, before) = (MemoryWatch::new(&target.server)?, target.server.counters()?);
    let Options { rate, seconds: time, size, agree_within, flood, .. } = *options;
    let plan = flood::Plan { to: options.target.at, rate: flood, time, seed: options.target.seed };
    let flood = if flood > 0 { Some(Flood::start(plan, target.enclosure)?) } else { None };
    let is_over = || {
        memory.look(&target.server);
        flood.as_ref().is_some_and(Flood::is_over)
    };
    let report = party::run(&mut crowd, Plan { rate, size, time, agree_within }, is_over)?;
    let mut verdict = Verdict::default();
    if let Some(flood) = flood {
        flood.finish()?.tell(&plan, &mut verdict);
    }
    println!("{report}");
    println!("kernel: {:?}", target.server.counters()?.since(&before));
    memory.growth();
    let admitted = report.admitted_per_mille();
    verdict.check(admitted >= LEAST_ADMITTED, format_args!("{admitted:.2} of a thousand attempts succeeded"));
    let longest = report.admitted.most();
    verdict.check(longest <= PATIENCE + SLACK, format_args!("each attempt ended within {longest:.1?}"));
    verdict.check(report.lost == 0, format_args!("{} places were lost", report.lost));
    verdict.check(report.disagreed == 0, format_args!("{} rosters didn't agree in time", report.disagreed));
    println!("{}", crowd.longest_pause());
    target.end(verdict)
}
