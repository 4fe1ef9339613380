//! The broadcaster is killed and started again with its key: what its members see of it.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use super::promises::{last_in_time, no_place_lost};
use super::seconds;
use super::target::{Flags, Outage, Target};
use crate::Fallible;
use crate::client::{Event, Roster};
use crate::clock::now;
use crate::crowd::{Crowd, Who};
use crate::pools::{gather, go_on, rosters};
use crate::quantiles::Times;
use crate::verdict::Verdict;

/// What a client may send a second, on average at the peak.
const MOST_A_SECOND: f64 = 2.0;
const LOOK: Duration = Duration::from_millis(20);

/// Kills the broadcaster under many pools and starts it again
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Pools
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pools: usize,

    /// Members of each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_023))]
    size: u16,

    /// How long they stay before, in seconds: their pings spread
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
    let mut crowd = target.crowd()?;
    let pools = gather(&mut crowd, options.pools, options.size)?;
    let mut pool_of = BTreeMap::new();
    for (nth, pool) in pools.iter().enumerate() {
        pool_of.extend(pool.iter().map(|who| (*who, nth)));
    }
    crowd.forget_peaks();
    go_on(&mut crowd, options.seconds)?;
    let members = crowd.clients().len();
    println!(
        "{} pools of {}; before, a client sent {:.2} datagrams a second",
        pools.len(),
        options.size,
        crowd.peaks().0 as f64 / members as f64
    );
    let before: BTreeMap<Who, Roster> = rosters(&crowd, pools.iter().flatten()).into_iter().collect();

    crowd.forget_peaks();
    let outage = target.outage(|| go_on(&mut crowd, options.away).map(drop))?;
    let seen = watch(&mut crowd, &before, &pools, &pool_of, outage)?;

    let mut verdict = Verdict::default();
    println!("members back: {}", seen.members);
    println!("pools back: {}", seen.pools);
    let interval = crowd.joined(0).map_or(0, |joined| joined.interval.get());
    let bound = Outage::bound(Duration::from_millis(interval.into()));
    let (back, all) = (seen.pools.count(), pools.len());
    verdict.check(
        back == all,
        format_args!("{back} of {all} pools are back with roster, host, numbers and term"),
    );
    last_in_time(&seen.pools, bound, &mut verdict);
    no_place_lost(seen.over, &mut verdict);
    let (peak, most) = crowd.peaks();
    let average = peak as f64 / members as f64;
    verdict.check(
        average <= MOST_A_SECOND,
        format_args!("{average:.2} datagrams a client in the busiest second ({peak}); one client sent {most} at the most"),
    );
    println!("{}", crowd.longest_pause());
    target.end(verdict)
}

#[derive(Default)]
struct Seen {
    /// When they were back, after the broadcaster was.
    members: Times,
    pools: Times,
    /// Members whose session is over.
    over: usize,
}

/// Waits until all are back.
fn watch(
    crowd: &mut Crowd,
    before: &BTreeMap<Who, Roster>,
    pools: &[Vec<Who>],
    pool_of: &BTreeMap<Who, usize>,
    outage: Outage,
) -> Fallible<Seen> {
    let mut seen = Seen::default();
    let mut missing: Vec<usize> = pools.iter().map(Vec::len).collect();
    let mut away: BTreeMap<Who, &Roster> = before.iter().map(|(who, roster)| (*who, roster)).collect();
    while !away.is_empty() && now() < outage.deadline() {
        for (who, event) in go_on(crowd, LOOK)? {
            seen.over += usize::from(matches!(event, Event::Over(_) | Event::Ended(_)));
            let roster = crowd.roster(who);
            let back = roster.zip(away.get(&who)).is_some_and(|(roster, before)| is_back(roster, before));
            if !back {
                continue;
            }
            away.remove(&who);
            let time = now().saturating_duration_since(outage.over);
            seen.members.add(time);
            if let Some(missing) = pool_of.get(&who).and_then(|pool| missing.get_mut(*pool)) {
                *missing -= 1;
                if *missing == 0 {
                    seen.pools.add(time);
                }
            }
        }
    }
    Ok(seen)
}

/// Whether the pool was brought back as it was.
fn is_back(roster: &Roster, before: &Roster) -> bool {
    let (is, was) = (&roster.state, &before.state);
    is.generation > was.generation
        && is.epoch.era() != was.epoch.era()
        && is.next >= was.next
        && (is.host, is.term, is.count) == (was.host, was.term, was.count)
        && roster.spec == before.spec
        && roster.members == before.members
}
