//! Pools of honest members that stay, and what they know.

use std::thread;
use std::time::{Duration, Instant};

use poolmesh_proto::wire::native::{Member, PoolSpec, Refusal, Seats};

use crate::Fallible;
use crate::client::{Event, Order, Roster, Wish};
use crate::clock::now;
use crate::crowd::{Crowd, Events, Who};
use crate::party::agree;

/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(10);
/// The crowd goes on for so long before it is looked whether an attack is over.
const PIECE: Duration = Duration::from_millis(1);
/// So many pools are made at a time.
const AT_A_TIME: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than a member may be silent.
pub(crate) const SILENCE: Duration = Duration::from_secs(12);

/// Has the crowd go on for so long.
pub(crate) fn go_on(crowd: &mut Crowd, time: Duration) -> Fallible<Events> {
    let until = now() + time;
    let mut all = Vec::new();
    while now() < until {
        let mut events = Vec::new();
        crowd.step(until, &mut events)?;
        all.append(&mut events);
    }
    Ok(all)
}

/// Has the crowd go on until an attack is over, which `attacker` makes in a thread of its own. What came of it, and what has
/// happened meanwhile.
pub(crate) fn go_on_beside<T: Send + 'static>(
    crowd: &mut Crowd,
    attacker: &str,
    attack: impl FnOnce() -> Fallible<T> + Send + 'static,
) -> Fallible<(T, Events)> {
    let attacking = thread::spawn(attack);
    let mut events = Events::new();
    while !attacking.is_finished() {
        events.append(&mut go_on(crowd, PIECE)?);
    }
    let outcome = attacking.join().map_err(|_| format!("{attacker} panicked"))?;
    Ok((outcome?, events))
}

/// Has the crowd go on until something holds.
///
/// # Errors
/// If it doesn't within 20 s.
pub(crate) fn wait(crowd: &mut Crowd, what: &str, holds: impl Fn(&Crowd) -> bool) -> Fallible<Events> {
    let deadline: Instant = now() + PATIENCE;
    let mut all = Vec::new();
    while !holds(crowd) {
        if now() > deadline {
            return Err(format!("{what}: not within {PATIENCE:?}").into());
        }
        all.append(&mut go_on(crowd, LOOK)?);
    }
    Ok(all)
}

/// Makes so many pools of so many members, the first of each its host, and waits until all know of all.
pub(crate) fn gather(crowd: &mut Crowd, pools: usize, size: u16) -> Fallible<Vec<Vec<Who>>> {
    let seats = Seats::new(size + 1).ok_or("a pool has at most 1,023 members here")?;
    let mut gathered = Vec::new();
    while gathered.len() < pools {
        let count = AT_A_TIME.min(pools - gathered.len());
        let mut some: Vec<Vec<Who>> = (0..count).map(|_| vec![crowd.enter()]).collect();
        for host in some.iter().flatten() {
            crowd.with(*host, |client, now| client.ask_for(Wish::Create(PoolSpec::new(seats)), now));
        }
        let made = some.clone();
        wait(crowd, "pools", |crowd| made.iter().all(|pool| agree(crowd, pool)))?;
        for pool in &mut some {
            for _ in 1..size {
                let guest = crowd.enter();
                let id = pool.first().and_then(|host| crowd.joined(*host)).ok_or("a host is gone")?.pool;
                crowd.with(guest, |client, now| client.ask_for(Wish::Join(id), now));
                pool.push(guest);
            }
        }
        wait(crowd, "rosters", |crowd| some.iter().all(|pool| agree(crowd, pool)))?;
        gathered.append(&mut some);
    }
    Ok(gathered)
}

/// The number of the member at this place.
pub(crate) fn number(crowd: &Crowd, pool: &[Who], nth: usize) -> Option<Member> {
    crowd.joined(*pool.get(nth)?).map(|joined| joined.member)
}

/// Has some order something, each one, and waits for what becomes of it.
pub(crate) fn outcomes(crowd: &mut Crowd, orders: Vec<(Who, Order)>) -> Fallible<Vec<Result<(), Refusal>>> {
    let deadline = now() + PATIENCE;
    let (count, mut outcomes) = (orders.len(), Vec::new());
    for (who, order) in orders {
        crowd.with(who, |client, now| client.order(order, now));
    }
    while outcomes.len() < count && now() < deadline {
        for (_, event) in go_on(crowd, LOOK)? {
            if let Event::Done(_, outcome) = event {
                outcomes.push(outcome.ok_or("an order had no answer")?);
            }
        }
    }
    if outcomes.len() == count { Ok(outcomes) } else { Err("an order had no answer".into()) }
}

/// The same, of orders that are carried out.
///
/// # Errors
/// If one is not.
pub(crate) fn order(crowd: &mut Crowd, orders: Vec<(Who, Order)>) -> Fallible<()> {
    outcomes(crowd, orders)?.into_iter().collect::<Result<(), _>>().map_err(Into::into)
}

/// What the members of some pools know, to be held against what they know later.
pub(crate) fn rosters<'a>(crowd: &Crowd, members: impl IntoIterator<Item = &'a Who>) -> Vec<(Who, Roster)> {
    let roster = |who: &Who| Some((*who, crowd.roster(*who)?.clone()));
    members.into_iter().filter_map(roster).collect()
}

/// How many of these don't know the same any more. Of the first it says what it knew and what it knows.
pub(crate) fn changed(crowd: &Crowd, before: &[(Who, Roster)]) -> usize {
    let now = |who: &Who| crowd.roster(*who);
    let differs = |(who, was): &&(Who, Roster)| !now(who).is_some_and(|is| is.same_as(was));
    if let Some((who, was)) = before.iter().find(differs) {
        println!("client {who} knew {was:?}, and knows {:?}", now(who));
    }
    before.iter().filter(differs).count()
}
