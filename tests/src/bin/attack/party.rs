//! Honest clients that come and go: whether they get what they ask for, whatever else goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use poolmesh_proto::wire::native::{PoolSpec, Refusal, Seats};

use crate::Fallible;
use crate::client::{Event, Order, Wish};
use crate::clock::now;
use crate::crowd::{Crowd, Who};
use crate::quantiles::Times;

/// How many clients come, for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Attempts to create and to join, a second.
    pub(crate) rate: u32,
    /// Members of a pool.
    pub(crate) size: u16,
    pub(crate) time: Duration,
    /// When the last one has come, all must know of all within so long.
    pub(crate) agree_within: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) attempts: u64,
    pub(crate) admitted: Times,
    pub(crate) refused: BTreeMap<Refusal, u64>,
    pub(crate) timed_out: u64,
    /// How long after the last one was admitted all knew the same.
    pub(crate) agreed: Times,
    pub(crate) disagreed: u64,
    pub(crate) left: u64,
    pub(crate) not_left: u64,
    /// Places that were lost, though nobody wanted that.
    pub(crate) lost: u64,
}

/// Some who meet in a pool, and leave it when all know of all.
#[derive(Debug)]
struct Party {
    members: Vec<Who>,
    /// Whose attempt has not ended.
    awaited: BTreeMap<Who, Instant>,
    /// How many had no answer. They may have a place all the same, until their time is over: the answer was lost.
    unsure: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Creating,
    Joining,
    /// Since when all are there.
    Agreeing(Instant),
    Leaving,
    Over,
}

/// Has them come and go, until the last has left.
pub(crate) fn run(crowd: &mut Crowd, plan: Plan, mut is_over: impl FnMut() -> bool) -> Fallible<Report> {
    let (mut report, mut parties, mut party_of) = (Report::default(), Vec::<Party>::new(), BTreeMap::new());
    let between = Duration::from_secs(1) * u32::from(plan.size) / plan.rate.max(1);
    let (began, mut next) = (now(), now());
    let mut open = BTreeSet::new();
    let mut events = Vec::new();
    loop {
        let time = now();
        let starting = time.saturating_duration_since(began) < plan.time && !is_over();
        if !starting && open.is_empty() {
            return Ok(report);
        }
        // After a stall they don't come all at once.
        if starting && next <= time {
            next = (next + between).max(time);
            let party = Party::create(crowd, plan, &mut report);
            open.insert(parties.len());
            party_of.extend(party.members.iter().map(|who| (*who, parties.len())));
            parties.push(party);
        }
        crowd.step(if starting { next } else { time + between }, &mut events)?;
        for (who, event) in events.drain(..) {
            let Some(party) = party_of.get(&who).and_then(|party| parties.get_mut(*party)) else { continue };
            party.take(who, event, crowd, &mut report);
        }
        open.retain(|party| {
            parties.get_mut(*party).is_some_and(|party| {
                party.look(plan.agree_within, crowd, &mut report);
                party.stage != Stage::Over
            })
        });
    }
}

impl Party {
    /// The first makes the pool.
    fn create(crowd: &mut Crowd, plan: Plan, report: &mut Report) -> Self {
        let seats =
            Seats::new(plan.size).unwrap_or_else(|| unreachable!("the size of a party is in its bounds"));
        let members: Vec<_> = (0..plan.size).map(|_| crowd.enter()).collect();
        let mut party = Self { members, awaited: BTreeMap::new(), unsure: 0, stage: Stage::Creating };
        if let Some(host) = party.members.first().copied() {
            party.ask_for(host, Wish::Create(PoolSpec::new(seats)), crowd, report);
        }
        party
    }

    fn ask_for(&mut self, who: Who, wish: Wish, crowd: &mut Crowd, report: &mut Report) {
        report.attempts += 1;
        crowd.with(who, |client, now| client.ask_for(wish, now));
        self.awaited.insert(who, now());
    }

    fn take(&mut self, who: Who, event: Event, crowd: &mut Crowd, report: &mut Report) {
        match (event, self.awaited.get(&who)) {
            (Event::Admitted, Some(since)) => {
                report.admitted.add(now().saturating_duration_since(*since));
                self.awaited.remove(&who);
                if self.stage == Stage::Creating {
                    self.join(who, crowd, report);
                }
            }
            (Event::Refused(refusal), _) => {
                *report.refused.entry(refusal).or_default() += 1;
                self.is_gone(who);
            }
            (Event::TimedOut, _) => {
                report.timed_out += 1;
                self.unsure += 1;
                self.is_gone(who);
            }
            (Event::Done(Order::Leave | Order::Close, outcome), _) => {
                let done = outcome == Some(Ok(()));
                report.left += u64::from(done);
                report.not_left += u64::from(!done);
                self.is_gone(who);
            }
            // The host has ended it before.
            (Event::Ended(_), _) if self.stage == Stage::Leaving => {
                report.left += 1;
                self.is_gone(who);
            }
            (Event::Ended(_) | Event::Over(_), _) => {
                report.lost += 1;
                self.is_gone(who);
            }
            (Event::Roster | Event::Lost | Event::Back | Event::Done(..) | Event::Admitted, _) => {}
        }
    }

    /// The others come, each second one by the code.
    fn join(&mut self, host: Who, crowd: &mut Crowd, report: &mut Report) {
        self.stage = Stage::Joining;
        let Some((pool, code)) = crowd.joined(host).map(|it| (it.pool, it.code)) else {
            return;
        };
        for (nth, who) in self.members.clone().into_iter().enumerate().skip(1) {
            let wish = if nth % 2 == 0 { Wish::Join(pool) } else { Wish::JoinByCode(code) };
            self.ask_for(who, wish, crowd, report);
        }
    }

    fn is_gone(&mut self, who: Who) {
        self.awaited.remove(&who);
        // Without the pool nobody comes.
        let all = self.stage == Stage::Creating;
        self.members.retain(|member| !all && *member != who);
    }

    /// Goes on, if what it waited for is there.
    fn look(&mut self, agree_within: Duration, crowd: &mut Crowd, report: &mut Report) {
        match self.stage {
            _ if self.members.is_empty() => self.stage = Stage::Over,
            Stage::Joining if self.awaited.is_empty() => self.stage = Stage::Agreeing(now()),
            Stage::Agreeing(since) => {
                let waited = now().saturating_duration_since(since);
                match (self.agrees(crowd), waited > agree_within) {
                    (true, _) => report.agreed.add(waited),
                    (false, true) => report.disagreed += 1,
                    (false, false) => return,
                }
                self.leave(crowd);
            }
            Stage::Creating | Stage::Joining | Stage::Leaving | Stage::Over => {}
        }
    }

    /// Whether all know the same, and know of all.
    fn agrees(&self, crowd: &Crowd) -> bool {
        agree_with(crowd, &self.members, self.unsure)
    }

    /// All leave at once, the host among them; in every fourth party the host ends the pool.
    fn leave(&mut self, crowd: &mut Crowd) {
        self.stage = Stage::Leaving;
        for (nth, who) in self.members.iter().enumerate() {
            let order =
                if nth == 0 && who / self.members.len() % 4 == 0 { Order::Close } else { Order::Leave };
            crowd.with(*who, |client, now| client.order(order, now));
        }
    }
}

/// Whether these are all members of one pool, and know the same of it.
pub(crate) fn agree(crowd: &Crowd, members: &[Who]) -> bool {
    agree_with(crowd, members, 0)
}

/// The same, but that there may be so many others.
fn agree_with(crowd: &Crowd, members: &[Who], others_at_most: usize) -> bool {
    let rosters: Option<Vec<_>> = members.iter().map(|who| crowd.roster(*who)).collect();
    let Some([first, others @ ..]) = rosters.as_deref() else { return members.is_empty() };
    // The seal is each one's own.
    let same = |other: &_| first.same_as(other);
    let knows = |who: &Who| {
        let joined = crowd.joined(*who);
        joined.is_some_and(|joined| first.members.contains_key(&joined.member))
    };
    first.is_sound()
        && (members.len()..=members.len() + others_at_most).contains(&first.members.len())
        && members.iter().all(knows)
        && others.iter().all(|other| same(other))
}

impl Report {
    /// Of a thousand attempts.
    pub(crate) fn admitted_per_mille(&self) -> f64 {
        self.admitted.count() as f64 * 1_000.0 / self.attempts.max(1) as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempts, admitted, refused, timed_out, agreed, disagreed, left, not_left, lost } = self;
        writeln!(
            f,
            "creates and joins: {} of {attempts} succeeded, {timed_out} had no answer, refused: {refused:?}",
            admitted.count()
        )?;
        writeln!(f, "  {admitted}")?;
        writeln!(f, "rosters: {} of {} agreed", agreed.count(), agreed.count() as u64 + disagreed)?;
        writeln!(f, "  {agreed}")?;
        write!(f, "leaves: {left} of {} done; places lost: {lost}", left + not_left)
    }
}
