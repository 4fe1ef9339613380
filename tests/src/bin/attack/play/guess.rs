//! Guesses, and changed tickets: none may be taken.

use std::sync::PoisonError;
use std::time::Duration;

use clap::Args;
use poolmesh_proto::wire::native::{PoolSpec, Refusal, Seats, Ticket};
use poolmesh_testkit::sim::Rng;

use super::promises::{no_place_lost, no_roster_changed, places_lost};
use super::seconds;
use super::target::{Flags, Target};
use crate::Fallible;
use crate::client::{Client, Event, Order};
use crate::crowd::{Crowd, Who};
use crate::guesser::{Guesser, Tried, changed_tickets};
use crate::pools::{SILENCE, gather, go_on, go_on_beside, number, outcomes, rosters};
use crate::thieves::{Answers, Thieves};
use crate::verdict::Verdict;
use crate::wire::Injector;

const POOLS: usize = 10;
const MEMBERS: u16 = 4;
/// More than there are changed tickets.
const THIEVES: usize = 256;
/// Of a source that guesses codes, so many guesses a minute are answered.
const CODES: u64 = 20;

/// Guesses keys, tags, cookies and codes, and changes tickets
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Guesses a second
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    rate: u32,

    /// For how many seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    seconds: Duration,

    #[command(flatten)]
    target: Flags,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let target = Target::start(&options.target)?;
    let mut crowd = target.crowd()?;
    let recording = crowd.record();
    let pools = gather(&mut crowd, POOLS, MEMBERS)?;
    let before = rosters(&crowd, pools.iter().flatten());
    let tickets = tickets(&crowd, &pools).ok_or("there is no member with a ticket")?;
    let mut injector = Injector::new(target.enclosure, options.target.at)?;
    let thieves = Thieves::new(THIEVES, &mut injector)?;
    let seen = recording.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let victims =
        crowd.clients().iter().filter_map(|client| Some((client.address, *client.joined()?))).collect();
    let mut guesser = Guesser { injector, thieves, rng: Rng::new(options.target.seed), seen, victims };
    let (rate, time) = (options.rate, options.seconds);
    let (tried, mut events) = go_on_beside(&mut crowd, "the guesser", move || {
        Ok([guesser.guess(rate, time)?, guesser.show(&tickets)?, guesser.ask_for_codes()?])
    })?;
    events.append(&mut go_on(&mut crowd, SILENCE)?);

    let mut verdict = Verdict::default();
    tell(&tried, &mut verdict);
    let (orders, refused) = overreach(&mut crowd, &pools)?;
    verdict.check(
        refused == orders,
        format_args!("{refused} of {orders} orders of who is no host were refused"),
    );
    // Whoever guesses the count of a ping has its member come back, which changes nothing.
    let back = events.iter().filter(|(_, event)| *event == Event::Back).count();
    println!("members had to show their ticket {back} times");
    no_place_lost(places_lost(&events), &mut verdict);
    no_roster_changed(&crowd, &before, &mut verdict);
    println!("kernel: {:?}; {}", target.server.counters()?, crowd.longest_pause());
    target.end(verdict)
}

fn tell([guesses, tickets, codes]: &[Tried; 3], verdict: &mut Verdict) {
    let (tried, answers) = guesses;
    println!("{tried} guesses: {answers:?}");
    let taken = others(answers, &["Unknown", "Cookie"]);
    verdict.check(taken == 0, format_args!("{taken} of {tried} guesses were taken"));

    let (tried, answers) = tickets;
    println!("{tried} changed tickets: {answers:?}");
    let refused = answers.get("Refused 11").copied().unwrap_or(0);
    verdict
        .check(refused == *tried, format_args!("{refused} of {tried} changed tickets were refused as such"));

    let (tried, answers) = codes;
    println!("{tried} codes: {answers:?}");
    let looked_up = answers.get("Refused 2").copied().unwrap_or(0);
    let most = CODES * THIEVES as u64;
    let taken = others(answers, &["Refused 2", "Refused 9"]);
    verdict.check(taken == 0, format_args!("{taken} of {tried} codes were right"));
    verdict.check(looked_up <= most, format_args!("{looked_up} codes were looked up, of {most} at the most"));
}

/// How many answers have other names.
fn others(answers: &Answers, names: &[&str]) -> u64 {
    answers.iter().filter(|(name, _)| !names.contains(&name.as_str())).map(|(_, count)| count).sum()
}

/// The ticket of a member who is no host, changed in all ways.
fn tickets(crowd: &Crowd, pools: &[Vec<Who>]) -> Option<Vec<(Ticket, PoolSpec)>> {
    let member: &Client = crowd.client(*pools.first()?.get(1)?)?;
    let (ticket, spec) = (member.ticket()?, &member.roster()?.spec);
    let mut changed: Vec<_> = changed_tickets(ticket).map(|ticket| (ticket, spec.clone())).collect();
    changed.push((ticket, spec.clone().hidden(true)));
    Some(changed)
}

/// Has members order what only the host may, and hosts what nobody may. How many orders, and how many were refused.
fn overreach(crowd: &mut Crowd, pools: &[Vec<Who>]) -> Fallible<(usize, usize)> {
    let spec = PoolSpec::new(Seats::new(1).ok_or("1 is in the bounds")?);
    let (mut orders, mut refused) = (0, 0);
    for which in 0..5 {
        let given = pools.iter().filter_map(|pool| {
            let (host, member) = (number(crowd, pool, 0)?, number(crowd, pool, 1)?);
            let (nth, order) = match which {
                0 => (1, Order::Kick(host)),
                1 => (1, Order::Hand(member)),
                2 => (1, Order::Change(spec.clone())),
                3 => (1, Order::Close),
                _ => (0, Order::Kick(host)),
            };
            Some((*pool.get(nth)?, order))
        });
        let outcomes = outcomes(crowd, given.collect())?;
        orders += outcomes.len();
        let as_due = |outcome: &Result<(), Refusal>| {
            *outcome == Err(if which == 4 { Refusal::NoSuchMember } else { Refusal::NotHost })
        };
        refused += outcomes.iter().filter(|outcome| as_due(outcome)).count();
    }
    Ok((orders, refused))
}
