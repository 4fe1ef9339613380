//! Who sees all that honest clients send, and sends it again.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::ops::RangeInclusive;
use std::sync::PoisonError;
use std::time::Duration;
use std::{io, thread};

use clap::Args;
use poolmesh_proto::wire::native::{PoolSpec, PoolUuid, Refusal, Seats};
use poolmesh_testkit::sim::Rng;

use super::promises::{no_place_lost, no_roster_changed, places_lost};
use super::seconds;
use super::target::{Flags, Target};
use crate::Fallible;
use crate::client::{Event, Order, Roster, Wish};
use crate::clock::now;
use crate::crowd::{Crowd, Recording, Seen, Who};
use crate::enclosure::Enclosure;
use crate::flood::NOBODY;
use crate::party::agree;
use crate::pools::{SILENCE, gather, go_on, go_on_beside, number, order, rosters, wait};
use crate::verdict::Verdict;
use crate::wire::Injector;

const MEMBERS: u16 = 6;
/// The types of orders (PROTOCOL.md, section 5).
const ORDERS: RangeInclusive<u8> = 0x18..=0x1d;
const PIECE: Duration = Duration::from_millis(1);

/// Sends again all that honest clients have sent, and looks whether anything comes of it
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Pools of six members, who do all that members can do
    #[arg(long, value_name = "N", default_value_t = 10)]
    pools: usize,

    /// Datagrams a second
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
    let stage = Stage::live(&mut crowd, options.pools)?;
    let replayer = Replayer::new(target.enclosure, options, recording)?;
    println!("{} datagrams were seen", replayer.look().len());
    let (sent, mut events) = go_on_beside(&mut crowd, "the replayer", move || replayer.run())?;
    println!("{sent} were sent again");
    events.append(&mut go_on(&mut crowd, SILENCE)?);

    let mut verdict = Verdict::default();
    let lost = events.iter().filter(|(_, event)| *event == Event::Lost).count();
    verdict.check(lost == 0, format_args!("{lost} times a member lost sight of the broadcaster"));
    no_place_lost(places_lost(&events), &mut verdict);
    no_roster_changed(&crowd, &stage.before, &mut verdict);
    println!("kernel: {:?}; {}", target.server.counters()?, crowd.longest_pause());
    let others = stage.others(&mut crowd)?;
    verdict.check(others == 0, format_args!("{others} pools are not as their members know them"));
    target.end(verdict)
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
        let id = |pool: &Vec<Who>| Some(crowd.joined(*pool.first()?)?.pool);
        let ended = ending.iter().filter_map(id).collect();
        all(crowd, &ending, 1, &|_, _| Some(Order::Close))?;
        let before = rosters(crowd, pools.iter().flatten());
        Ok(Self { open: pools, ended, before })
    }

    /// The member at this place comes again to the pool that it has left, as a new member.
    fn come_again(crowd: &mut Crowd, pools: &[Vec<Who>], nth: usize) -> Fallible<()> {
        for pool in pools {
            let (Some(who), Some(other)) = (pool.get(nth), pool.get(2)) else { continue };
            let id = crowd.joined(*other).ok_or("the third member is gone")?.pool;
            crowd.with(*who, |client, now| client.ask_for(Wish::Join(id), now));
        }
        let back = |crowd: &Crowd| {
            pools.iter().filter_map(|pool| pool.get(nth)).all(|who| crowd.roster(*who).is_some())
        };
        wait(crowd, "who comes again", back).map(drop)
    }

    /// How many pools are not as their members know them, as somebody sees who joins them.
    fn others(&self, crowd: &mut Crowd) -> Fallible<usize> {
        let mut others = 0;
        for pool in &self.ended {
            let (_, events) = visit(crowd, *pool)?;
            others += usize::from(!events.contains(&Event::Refused(Refusal::NoSuchPool)));
        }
        for members in &self.open {
            let known = |who: &Who| Some((crowd.roster(*who)?.clone(), crowd.joined(*who)?.pool));
            let (known, id) = members.first().and_then(known).ok_or("a member is gone")?;
            let (visitor, _) = visit(crowd, id)?;
            let as_known = crowd.roster(visitor).zip(crowd.joined(visitor)).and_then(|(roster, joined)| {
                let (mut seen, me) = (roster.clone(), joined.member);
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

/// Who sees, and sends again.
struct Replayer {
    injector: Injector,
    recording: Recording,
    rng: Rng,
    rate: u32,
    time: Duration,
    seen: Vec<Seen>,
    /// Of the orders that each has given, the latest of each kind.
    orders: BTreeMap<(SocketAddrV4, u8), usize>,
    sent: u64,
}

impl Replayer {
    fn new(enclosure: Enclosure, options: &Options, recording: Recording) -> Fallible<Self> {
        let Options { rate, seconds: time, ref target, .. } = *options;
        let (injector, rng) = (Injector::new(enclosure, target.at)?, Rng::new(target.seed));
        Ok(Self { injector, recording, rng, rate, time, seen: Vec::new(), orders: BTreeMap::new(), sent: 0 })
    }

    /// What was seen since.
    fn look(&self) -> Vec<Seen> {
        let recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        recording.get(self.seen.len()..).unwrap_or_default().to_vec()
    }

    /// Sends what was seen, and what is seen meanwhile. How many it sent.
    fn run(mut self) -> Fallible<u64> {
        let began = now();
        loop {
            let passed = now().saturating_duration_since(began);
            if passed >= self.time {
                return Ok(self.sent);
            }
            // What is said now, at once.
            for (from, datagram) in self.look() {
                self.send_twice(from, &datagram)?;
                if let Some(kind) = datagram.get(1).filter(|kind| ORDERS.contains(*kind)) {
                    self.orders.insert((from, *kind), self.seen.len());
                }
                self.seen.push((from, datagram));
            }
            let due = (passed.as_secs_f64() * f64::from(self.rate)) as u64;
            while self.sent < due {
                let quarter = passed.as_secs_f64() / self.time.as_secs_f64() * 4.0;
                let Some((from, datagram)) = self.pick(quarter as u32).cloned() else { break };
                self.send_twice(from, &datagram)?;
            }
            thread::park_timeout(PIECE);
        }
    }

    /// Whatever was ever said: a quarter of the time each in order, backwards, in any order, and of the orders the latest,
    /// to which a broadcaster must answer as it did.
    fn pick(&mut self, quarter: u32) -> Option<&Seen> {
        let (nth, count) = ((self.sent / 2) as usize % self.seen.len().max(1), self.seen.len());
        let nth = match quarter {
            0 => nth,
            1 => count - 1 - nth,
            2 => self.rng.index(count),
            _ => *self.orders.values().nth(self.rng.index(self.orders.len()))?,
        };
        self.seen.get(nth)
    }

    /// As it was, and from elsewhere: where nobody is, or where another is who was seen.
    fn send_twice(&mut self, from: SocketAddrV4, datagram: &[u8]) -> io::Result<()> {
        self.injector.send(from, datagram)?;
        let nowhere =
            SocketAddrV4::new(NOBODY.address(self.rng.u64() as u32), self.rng.range(1, 65_535) as u16);
        let another = self.seen.get(self.rng.index(self.seen.len())).map(|(from, _)| *from);
        let from = another.filter(|_| self.rng.below(2) == 0).unwrap_or(nowhere);
        self.sent += 2;
        self.injector.send(from, datagram)
    }
}
