//! A flood alone: what it draws, and what it leaves behind.

use std::thread;
use std::time::Duration;

use clap::Args;

use super::seconds;
use super::target::{Flags, Target};
use crate::Fallible;
use crate::flood::{Flood, Plan, ratios};
use crate::server::MemoryWatch;
use crate::verdict::Verdict;

/// So much more memory a flood may take, in KiB.
const MOST_MEMORY: u64 = 1_024;
const LOOK: Duration = Duration::from_millis(50);

/// Sends forged datagrams from all over the network, and counts what they draw
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Datagrams a second
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    rate: u32,

    /// For how many seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    seconds: Duration,

    #[command(flatten)]
    target: Flags,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let target = Target::start(&options.target)?;
    let plan =
        Plan { to: options.target.at, rate: options.rate, time: options.seconds, seed: options.target.seed };
    let (mut memory, before) = (MemoryWatch::new(&target.server)?, target.server.counters()?);
    let flood = Flood::start(plan, target.enclosure)?;
    while !flood.is_over() {
        memory.look(&target.server);
        thread::park_timeout(LOOK);
    }
    let report = flood.finish()?;
    let counted = target.server.counters()?.since(&before);
    let mut verdict = Verdict::default();
    report.tell(&plan, &mut verdict);
    println!("kernel: {counted:?}");
    let (out, into) = ((counted.sent, counted.sent_bytes), (report.sent, report.sent_bytes));
    ratios("at its interface", out, into, &mut verdict);
    let growth = memory.growth();
    verdict.check(growth <= MOST_MEMORY, format_args!("its memory grew by {growth} KiB"));
    target.end(verdict)
}
