//! Who sees all that honest clients send, and sends it again.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::Duration;

use clap::Args;
use poolmesh_proto::wire::native::{PoolSpec, PoolUuid, Refusal, Seats};
use poolmesh_testkit::sim::Rng;

use super::{Target, seconds};
use crate::Fallible;
use crate::client::{Event, Order, Roster, Wish};
use crate::clock::now;
use crate::crowd::{Crowd, Events, Seen, Who};
use crate::enclosure::Enclosure;
use crate::flood::NOBODY;
use crate::party::agree;
use crate::pools::{changed, gather, go_on, number, order, rosters, wait};
use crate::verdict::Verdict;
use crate::wire::Injector;

const MEMBERS: u16 = 6;
/// Longer than a member may be silent.
const AFTERWARDS: Duration = Duration::from_secs(12);
const PIECE: Duration = Duration::from_millis(1);

/// Sends again all that honest clients have sent, and looks whether anything comes of it
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Pools of six members, who do all that members can do
    #[arg(long, value_name = "N", default_value_t = 20)]
    pools: usize,

    /// Datagrams a second
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    rate: u32,

    /// For how many seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    seconds: Duration,

    #[command(flatten)]
    target: Target,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let enclosure = Enclosure::check()?;
    let mut server = options.target.start(enclosure)?;
    let mut crowd = options.target.crowd(enclosure)?;
    crowd.recording = Some(Vec::new());
    let stage = Stage::live(&mut crowd, options.pools)?;
    let mut injector = Injector::new(enclosure, options.target.at)?;
    let mut events = stage.replay(&mut crowd, &mut injector, options)?;
    events.extend(go_on(&mut crowd, AFTERWARDS)?);

    let mut verdict = Verdict::default();
    let hurt = events.iter().filter(|(_, event)| !matches!(event, Event::Roster)).count();
    verdict.check(hurt == 0, format_args!("{hurt} members lost their place or their broadcaster"));
    let changed = changed(&crowd, &stage.before);
    verdict.check(changed == 0, format_args!("{changed} of {} rosters changed", stage.before.len()));
    let others = stage.others(&mut crowd)?;
    verdict.check(others == 0, format_args!("{others} pools are not as their members know them"));
    let stopped = server.stop();
    verdict.check(stopped.is_ok(), format_args!("the broadcaster ran and stopped well: {stopped:?}"));
    verdict.done()
}

/// Pools in which everything has happened: half of them have ended.
struct Stage {
    open: Vec<Vec<Who>>,
    ended: Vec<PoolUuid>,
    /// What their members know.
    before: Vec<(Who, Roster)>,
}

impl Stage {
    /// Everything happens.
    fn live(crowd: &mut Crowd, count: usize) -> Fallible<Self> {
        let mut pools = gather(crowd, count, MEMBERS)?;
        // Of all pools at a time: what the member at this place orders.
        let all = |crowd: &mut Crowd,
                   pools: &[Vec<Who>],
                   nth: usize,
                   wanted: &dyn Fn(&Crowd, &[Who]) -> Option<Order>| {
            let orders = pools.iter().filter_map(|pool| Some((*pool.get(nth)?, wanted(crowd, pool)?)));
            let orders = orders.collect();
            order(crowd, orders)
        };
        let seats = Seats::new(16).ok_or("16 is in the bounds")?;
        let spec = PoolSpec::new(seats).named("replayed")?;
        all(crowd, &pools, 0, &|_, _| Some(Order::Change(spec.clone())))?;
        all(crowd, &pools, 1, &|_, _| Some(Order::About(b"the next host".to_vec())))?;
        all(crowd, &pools, 0, &|crowd, pool| Some(Order::Kick(number(crowd, pool, 5)?)))?;
        all(crowd, &pools, 4, &|_, _| Some(Order::Leave))?;
        Self::come_again(crowd, &pools, 4)?;
        all(crowd, &pools, 0, &|crowd, pool| Some(Order::Hand(number(crowd, pool, 1)?)))?;
        all(crowd, &pools, 0, &|_, _| Some(Order::Leave))?;
        Self::come_again(crowd, &pools, 0)?;
        // Who was kicked is gone.
        pools.iter_mut().for_each(|pool| pool.truncate(5));
        wait(crowd, "rosters", |crowd| pools.iter().all(|pool| agree(crowd, pool)))?;
        let ending = pools.split_off(count / 2);
        let id = |pool: &Vec<Who>| Some(crowd.client(*pool.first()?)?.joined()?.pool);
        let ended = ending.iter().filter_map(id).collect();
        all(crowd, &ending, 1, &|_, _| Some(Order::Close))?;
        let before = rosters(crowd, pools.iter().flatten());
        Ok(Self { open: pools, ended, before })
    }

    /// The member at this place comes again to the pool that it has left, as a new member.
    fn come_again(crowd: &mut Crowd, pools: &[Vec<Who>], nth: usize) -> Fallible<()> {
        for pool in pools {
            let (Some(who), Some(other)) = (pool.get(nth), pool.get(2)) else { continue };
            let joined =
                crowd.client(*other).and_then(|other| other.joined()).ok_or("the third member is gone")?;
            let id = joined.pool;
            crowd.with(*who, |client, now| client.ask_for(Wish::Join(id), now));
        }
        let back = |crowd: &Crowd| {
            pools
                .iter()
                .filter_map(|pool| pool.get(nth))
                .all(|who| crowd.client(*who).is_some_and(|it| it.roster().is_some()))
        };
        wait(crowd, "who comes again", back).map(drop)
    }

    /// Sends what was seen, and what is seen meanwhile.
    fn replay(&self, crowd: &mut Crowd, injector: &mut Injector, options: &Options) -> Fallible<Events> {
        let mut rng = Rng::new(options.target.seed);
        let (began, mut sent, mut events) = (now(), 0_u64, Events::new());
        let mut seen = crowd.recording.as_ref().map_or(0, Vec::len);
        println!("{seen} datagrams were seen");
        loop {
            let passed = now().saturating_duration_since(began);
            if passed >= options.seconds {
                println!("{sent} were sent again");
                return Ok(events);
            }
            events.append(&mut go_on(crowd, PIECE)?);
            let recording = crowd.recording.as_deref().unwrap_or_default();
            // What honest members say now, at once: as it is, and from elsewhere.
            for (from, datagram) in recording.get(seen..).unwrap_or_default() {
                injector.send(*from, datagram)?;
                injector.send(elsewhere(&mut rng), datagram)?;
                sent += 2;
            }
            seen = recording.len();
            // Whatever was ever said: a quarter of the time each in order, backwards, in any order, and of the latest
            // of each kind that each has said.
            let quarter = passed.as_secs_f64() / options.seconds.as_secs_f64() * 4.0;
            let latest = if quarter < 3.0 { Vec::new() } else { latest(recording) };
            let due = (passed.as_secs_f64() * f64::from(options.rate)) as u64;
            while sent < due {
                let nth = (sent / 2) as usize % seen.max(1);
                let again = match quarter as u32 {
                    0 => recording.get(nth),
                    1 => recording.get(seen - 1 - nth),
                    2 => recording.get(rng.index(seen)),
                    _ => latest.get(rng.index(latest.len())).copied(),
                };
                let Some((from, datagram)) = again else { break };
                injector.send(*from, datagram)?;
                let from = if rng.below(2) == 0 { elsewhere(&mut rng) } else { another(recording, &mut rng) };
                injector.send(from, datagram)?;
                sent += 2;
            }
        }
    }

    /// How many pools are not as their members know them, as somebody sees who joins them.
    fn others(&self, crowd: &mut Crowd) -> Fallible<usize> {
        let mut others = 0;
        for pool in &self.ended {
            let (_, events) = visit(crowd, *pool)?;
            others += usize::from(!events.contains(&Event::Refused(Refusal::NoSuchPool)));
        }
        for members in &self.open {
            let known =
                members.first().and_then(|who| crowd.client(*who)?.roster()).ok_or("a member is gone")?;
            let known = known.clone();
            let id =
                members.first().and_then(|who| crowd.client(*who)?.joined()).ok_or("a member is gone")?.pool;
            let (visitor, _) = visit(crowd, id)?;
            let as_known = crowd.client(visitor).and_then(|client| {
                let (mut seen, me) = (client.roster()?.clone(), client.joined()?.member);
                seen.members.remove(&me)?;
                let (one, other) = (&seen.state, &known.state);
                Some(seen.members == known.members && (one.host, one.term) == (other.host, other.term))
            });
            others += usize::from(as_known != Some(true));
        }
        Ok(others)
    }
}

/// Somebody new asks for a place.
fn visit(crowd: &mut Crowd, pool: PoolUuid) -> Fallible<(Who, Vec<Event>)> {
    let visitor = crowd.enter();
    crowd.with(visitor, |client, now| client.ask_for(Wish::Join(pool), now));
    let events = wait(crowd, "a visitor", |crowd| crowd.client(visitor).is_some_and(|it| !it.is_asking()))?;
    Ok((visitor, events.into_iter().filter(|(who, _)| *who == visitor).map(|(_, event)| event).collect()))
}

/// An address of nobody.
fn elsewhere(rng: &mut Rng) -> SocketAddrV4 {
    SocketAddrV4::new(NOBODY.address(rng.u64() as u32), rng.range(1, 65_535) as u16)
}

/// Of each kind of datagram from each address the latest.
fn latest(recording: &[Seen]) -> Vec<&Seen> {
    let by_kind = recording.iter().map(|seen @ (from, datagram)| ((*from, datagram.get(1).copied()), seen));
    by_kind.collect::<BTreeMap<_, _>>().into_values().collect()
}

/// The address of somebody who was seen.
fn another(recording: &[Seen], rng: &mut Rng) -> SocketAddrV4 {
    recording.get(rng.index(recording.len())).map_or_else(|| elsewhere(rng), |(from, _)| *from)
}
