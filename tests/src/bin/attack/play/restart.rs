//! The broadcaster is killed and started again with its key: what its members see of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;

use super::{Target, seconds};
use crate::Fallible;
use crate::client::{Event, Roster};
use crate::clock::now;
use crate::crowd::{Crowd, Who};
use crate::enclosure::Enclosure;
use crate::pools::{gather, go_on, rosters};
use crate::quantiles::Times;
use crate::verdict::Verdict;

/// All must be back within so many intervals.
const INTERVALS: u32 = 2;
/// What a client may send a second, on average at the peak.
const MOST_A_SECOND: f64 = 2.0;
const LOOK: Duration = Duration::from_millis(20);
/// After this it is over, whoever is back.
const PATIENCE: Duration = Duration::from_secs(30);

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
    target: Target,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let enclosure = Enclosure::check()?;
    let mut server = options.target.start(enclosure)?;
    let mut crowd = options.target.crowd(enclosure)?;
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
    let killed = now();
    server.kill()?;
    go_on(&mut crowd, options.away)?;
    server = options.target.start(enclosure)?;
    let started = now();
    println!("killed, and answering again {:.0} ms later", (started - killed).as_secs_f64() * 1e3);
    let seen = watch(&mut crowd, &before, &pools, &pool_of, started)?;

    let mut verdict = Verdict::default();
    println!("members back: {}", seen.members);
    println!("pools back: {}", seen.pools);
    let interval =
        crowd.client(0).and_then(|client| client.joined()).map_or(0, |joined| joined.interval.get());
    let bound = Duration::from_millis(interval.into()) * INTERVALS;
    let (back, all) = (seen.pools.count(), pools.len());
    verdict.check(
        back == all,
        format_args!("{back} of {all} pools are back with roster, host, numbers and term"),
    );
    let longest = seen.pools.most();
    verdict.check(longest <= bound, format_args!("the last one after {longest:.2?}, of {bound:?}"));
    verdict.check(seen.over == 0, format_args!("{} members lost their place", seen.over));
    let (peak, most) = crowd.peaks();
    let average = peak as f64 / members as f64;
    verdict.check(
        average <= MOST_A_SECOND,
        format_args!("{average:.2} datagrams a client in the busiest second ({peak}); one client sent {most} at the most"),
    );
    println!("the longest pause of the clients: {:.1?}", crowd.longest_pause());
    let stopped = server.stop();
    verdict.check(stopped.is_ok(), format_args!("the broadcaster ran and stopped well: {stopped:?}"));
    verdict.done()
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
    started: Instant,
) -> Fallible<Seen> {
    let mut seen = Seen::default();
    let mut missing: Vec<usize> = pools.iter().map(Vec::len).collect();
    let mut away: BTreeMap<Who, &Roster> = before.iter().map(|(who, roster)| (*who, roster)).collect();
    while !away.is_empty() && now() < started + PATIENCE {
        for (who, event) in go_on(crowd, LOOK)? {
            seen.over += usize::from(matches!(event, Event::Over(_) | Event::Ended(_)));
            let roster = crowd.client(who).and_then(|client| client.roster());
            let back = roster.zip(away.get(&who)).is_some_and(|(roster, before)| is_back(roster, before));
            if !back {
                continue;
            }
            away.remove(&who);
            let time = now().saturating_duration_since(started);
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
        && (is.host, is.term, is.next, is.count) == (was.host, was.term, was.next, was.count)
        && roster.spec == before.spec
        && roster.members == before.members
}
