//! The hosts of all pools fall silent at once: when their members know the next ones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clap::Args;
use poolmesh_proto::wire::native::{Member, Term};

use super::promises::last_in_time;
use super::seconds;
use super::target::{Flags, Target};
use crate::Fallible;
use crate::clock::now;
use crate::crowd::{Crowd, Who};
use crate::party::agree;
use crate::pools::{gather, go_on};
use crate::quantiles::Times;
use crate::verdict::Verdict;

/// After this it is over, whoever knows.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has the host of every pool fall silent at once, and waits until all others know the next one
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Pools
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pools: usize,

    /// Members of each
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=1_023))]
    size: u16,

    /// How long they stay before, in seconds: their pings spread
    #[arg(long, value_name = "S", default_value = "10", value_parser = seconds)]
    seconds: Duration,

    #[command(flatten)]
    target: Flags,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let target = Target::start(&options.target)?;
    let mut crowd = target.crowd()?;
    let pools = gather(&mut crowd, options.pools, options.size)?;
    go_on(&mut crowd, options.seconds)?;
    let joined = crowd.joined(0).ok_or("nobody is there")?;
    let bound = Duration::from_millis(u64::from(joined.timeout.get()) + u64::from(joined.interval.get()));
    let mut watch = Watch::new(&crowd, &pools)?;
    println!("{} pools of {}; their hosts fall silent", pools.len(), options.size);

    crowd.forget_peaks();
    for host in watch.hosts() {
        crowd.with(host, |client, _| client.fall_silent());
    }
    watch.run(&mut crowd, now())?;

    let mut verdict = Verdict::default();
    println!("members that know the next host: {}", watch.members);
    println!("pools all of which know it: {}", watch.pools);
    let (known, all) = (watch.pools.count(), pools.len());
    verdict.check(
        known == all,
        format_args!(
            "in {known} of {all} pools all know the same host, the longest-standing one, in the next term"
        ),
    );
    last_in_time(&watch.pools, bound, &mut verdict);
    let twice = watch.told.values().filter(|hosts| hosts.len() > 1).count();
    verdict.check(
        twice == 0,
        format_args!("{twice} of {} terms that were told of had two hosts", watch.told.len()),
    );
    let agreed = watch.circles.iter().filter(|circle| agree(&crowd, &circle.others)).count();
    verdict.check(
        agreed == all,
        format_args!("the rosters of {agreed} of {all} pools agree, without the old host"),
    );
    println!("{}", crowd.longest_pause());
    target.end(verdict)
}

/// A pool whose host falls silent.
#[derive(Debug)]
struct Circle {
    host: Who,
    others: Vec<Who>,
    /// Who must be host next, and in which term.
    next: (Member, Term),
    /// Who doesn't know it yet.
    missing: BTreeSet<Who>,
}

impl Circle {
    fn new(crowd: &Crowd, pool: &[Who]) -> Option<Self> {
        let number = |who: &Who| Some((crowd.joined(*who)?.member, *who));
        let mut numbers: Vec<_> = pool.iter().map(number).collect::<Option<_>>()?;
        numbers.sort_unstable();
        let state = crowd.roster(*pool.first()?)?.state;
        let host = numbers.iter().find(|(member, _)| *member == state.host)?.1;
        numbers.retain(|(_, who)| *who != host);
        let next = (numbers.first()?.0, Term::new(state.term.get() + 1)?);
        let others: Vec<Who> = numbers.into_iter().map(|(_, who)| who).collect();
        let missing = others.iter().copied().collect();
        Some(Self { host, others, next, missing })
    }
}

/// What the members of all pools are told of their hosts.
#[derive(Debug)]
struct Watch {
    circles: Vec<Circle>,
    circle_of: BTreeMap<Who, usize>,
    /// Who was told to be host in each term of each pool.
    told: BTreeMap<(usize, Term), BTreeSet<Member>>,
    /// When they knew, after the hosts fell silent.
    members: Times,
    pools: Times,
}

impl Watch {
    fn new(crowd: &Crowd, pools: &[Vec<Who>]) -> Fallible<Self> {
        let circles = pools.iter().map(|pool| Circle::new(crowd, pool).ok_or("a pool has no next host"));
        let circles: Vec<Circle> = circles.collect::<Result<_, _>>()?;
        let numbered = circles.iter().enumerate();
        let circle_of: BTreeMap<Who, usize> =
            numbered.flat_map(|(nth, circle)| circle.others.iter().map(move |who| (*who, nth))).collect();
        let others: Vec<Who> = circle_of.keys().copied().collect();
        let (told, members, pools) = (BTreeMap::new(), Times::default(), Times::default());
        let mut watch = Self { circles, circle_of, told, members, pools };
        others.into_iter().for_each(|who| watch.look(crowd, who, Duration::ZERO));
        Ok(watch)
    }

    fn hosts(&self) -> Vec<Who> {
        self.circles.iter().map(|circle| circle.host).collect()
    }

    /// Goes on until all know, and looks at every single roster that anybody has.
    fn run(&mut self, crowd: &mut Crowd, silent: Instant) -> Fallible<()> {
        let mut events = Vec::new();
        while self.pools.count() < self.circles.len() && now() < silent + PATIENCE {
            crowd.step(silent + PATIENCE, &mut events)?;
            let time = now().saturating_duration_since(silent);
            for (who, _) in events.drain(..) {
                self.look(crowd, who, time);
            }
        }
        Ok(())
    }

    /// Takes what a member knows by now.
    fn look(&mut self, crowd: &Crowd, who: Who, time: Duration) {
        let Some(state) = crowd.roster(who).map(|roster| roster.state) else {
            return;
        };
        let Some(nth) = self.circle_of.get(&who).copied() else { return };
        self.told.entry((nth, state.term)).or_default().insert(state.host);
        let Some(circle) = self.circles.get_mut(nth) else { return };
        if (state.host, state.term) == circle.next && circle.missing.remove(&who) {
            self.members.add(time);
            if circle.missing.is_empty() {
                self.pools.add(time);
            }
        }
    }
}
