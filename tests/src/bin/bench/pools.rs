//! What pools cost in memory: of time and of bytes.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output, PoolId, RandomSource};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::cli::Options;
use crate::contest::{Measure, Plan, Round, Subject, progress};
use crate::stats::Quartiles;
use crate::svg::Chart;
use crate::table::{Cores, Row};
use crate::{Fallible, clock, side};

/// How many pools there are.
const COUNTS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// As many when it must be quick.
const QUICK: [u32; 2] = [1_000, 10_000];
const YARDSTICK: &str = "flat array";
/// Told which pings come next, [`BATCH`] at a time, as servers do that receive several datagrams at once.
const OURS: &str = "machine";
/// The same, told of none before it comes.
const ALONE: &str = "one at a time";
const BATCH: usize = 32;
/// Each pool is pinged five times a second, as by default.
const PING_INTERVAL: Duration = Duration::from_millis(200);
/// In this time all pools are made. A deadline that fires is set anew to a second after the last ping, so it fires every
/// 800 ms: they come evenly if the pools do. And the first ping of each is in time.
const MAKING: Duration = Duration::from_millis(800);
/// So often all pools are pinged before it is measured: from then on their deadlines fire as they do in the long run.
const WARM_UP: usize = 5;
/// Peers of a pool, its host not among them.
const PEERS: u32 = 5;
/// Who asks, and isn't a host.
const STRANGER: Ipv4Addr = Ipv4Addr::new(250, 0, 0, 1);

/// How it grows with their number.
pub(crate) const CURVES: Chart = Chart {
    title: "A ping inside the machine, from the bytes to the drained outputs",
    across: "pools",
    up: "CPU, ns",
};

/// Measures all that was asked for.
pub(crate) fn run(options: &Options) -> Fallible<Vec<Row>> {
    clock::pin(&clock::cores()?.into_iter().take(1).collect::<Vec<_>>())?;
    let counts = if options.quick { &QUICK[..] } else { &COUNTS[..] };
    let mut rows = Vec::new();
    for count in counts {
        let what = format!("ping in memory, {count} pools");
        if options.wants(&what) {
            rows.extend(pings(options.plan(), &what, *count)?.map(|row| Row { size: Some(*count), ..row }));
        }
    }
    rows.extend(answers(options)?);
    for (peers, named) in [(0, "host only"), (PEERS, "host and five peers")] {
        let count = counts.last().copied().unwrap_or_default();
        let what = format!("memory of a pool, {count} pools, {named}");
        if options.wants(&what) {
            progress(&what);
            rows.extend(memory(what, count, peers)?);
        }
    }
    Ok(rows)
}

/// A host and its ping.
#[derive(Clone, Copy, Debug)]
struct Ping {
    host: SocketAddrV4,
    datagram: [u8; 41],
}

impl Ping {
    /// A join of the same pool, which differs in its first byte.
    fn join(&self) -> [u8; 41] {
        const JOIN: u8 = 3;
        let mut datagram = self.datagram;
        if let Some(kind) = datagram.first_mut() {
            *kind = JOIN;
        }
        datagram
    }
}

/// A broadcaster with as many pools, each host at an address of its own. They are made one after the other within
/// [`MAKING`].
fn filled(count: u32) -> Fallible<(Broadcaster<impl RandomSource>, Vec<Ping>)> {
    let mut config = BroadcasterConfig::default().with_classic();
    // One source asks for all.
    config.classic_answers_in_a_row = u32::MAX;
    config.max_pools = count as usize;
    config.max_peers_total = (count * PEERS) as usize;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut broadcaster =
        Broadcaster::new(config, move || u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()));
    let mut pings = Vec::with_capacity(count as usize);
    let mut time = Time::of(MAKING, count);
    for number in 0..count {
        let host = SocketAddrV4::new(Ipv4Addr::from_bits(0x0100_0000 + number), 5_000);
        broadcaster.handle_datagram(time.next(), host.into(), &encoded(Request::Create));
        let datagram = encoded(Request::Ping(created(&mut broadcaster)?));
        pings.push(Ping { host, datagram: datagram.as_slice().try_into()? });
    }
    Ok((broadcaster, pings))
}

fn encoded(request: Request) -> Vec<u8> {
    let mut out = BytesMut::new();
    classic::encode_request(&request, &mut out);
    out.to_vec()
}

fn created(broadcaster: &mut Broadcaster<impl RandomSource>) -> Fallible<PoolId> {
    let mut created = None;
    loop {
        match broadcaster.poll_output() {
            Output::Transmit(answer) => match classic::decode_response(&answer.payload) {
                Ok(Response::Joined(info)) => created = Some(info.id()),
                other => return Err(format!("no pool but {other:?}").into()),
            },
            Output::Event(_) => {}
            Output::Wait(_) => return created.ok_or_else(|| "no pool".into()),
        }
    }
}

/// Does what a driver does, but for sending. How many answers there were.
fn drain(broadcaster: &mut Broadcaster<impl RandomSource>) -> u64 {
    let mut answers = 0;
    loop {
        match broadcaster.poll_output() {
            Output::Transmit(answer) => {
                drop(black_box(answer.payload));
                answers += 1;
            }
            Output::Event(event) => drop(black_box(event)),
            Output::Wait(deadline) => {
                black_box(deadline);
                return answers;
            }
        }
    }
}

/// Time that goes on by the same with each step.
struct Time {
    nanos: u64,
    step: u64,
}

impl Time {
    /// So many steps take so long.
    fn of(duration: Duration, steps: u32) -> Self {
        Self { nanos: 0, step: duration.as_nanos() as u64 / u64::from(steps) }
    }

    /// Time from the end of the making of pools on, in which each is pinged as often as its host does.
    fn of_pings(pools: u32) -> Self {
        Self { nanos: MAKING.as_nanos() as u64, ..Self::of(PING_INTERVAL, pools) }
    }

    fn next(&mut self) -> Instant {
        self.nanos += self.step;
        Instant::from_micros(self.nanos / 1_000)
    }
}

/// Pings all pools in a random order, the same each time round: none ends, and deadlines fire as they do in earnest.
fn pings(plan: Plan, what: &str, count: u32) -> Fallible<impl Iterator<Item = Row> + use<>> {
    progress(what);
    let (mut broadcaster, pings) = filled(count)?;
    let mut order: Vec<u32> = (0..count).collect();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for last in (1..order.len()).rev() {
        order.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
    let pings: Vec<Ping> = order.iter().filter_map(|slot| pings.get(*slot as usize).copied()).collect();
    let mut next = pings.iter().cycle();
    let mut time = Time::of_pings(count);
    let mut ping = |operations| {
        let mut answers = 0;
        for ping in next.by_ref().take(operations) {
            broadcaster.handle_datagram(time.next(), ping.host.into(), &ping.datagram);
            answers += drain(&mut broadcaster);
        }
        if answers == 0 { Ok(()) } else { Err(format!("{answers} pings were answered").into()) }
    };
    ping(WARM_UP * pings.len())?;
    let alone = |operations| Round::of_this_thread(operations, || ping(operations as usize));
    let (mut broadcaster, _) = filled(count)?;
    let mut next = pings.iter().cycle();
    let mut time = Time::of_pings(count);
    let mut batch = Vec::with_capacity(BATCH);
    let mut ping = |operations: usize| {
        let mut answers = 0;
        for _ in 0..operations / BATCH {
            batch.clear();
            batch.extend(next.by_ref().take(BATCH));
            broadcaster.look_ahead(batch.iter().map(|ping: &&Ping| &ping.datagram[..]));
            for ping in &batch {
                broadcaster.handle_datagram(time.next(), ping.host.into(), &ping.datagram);
                answers += drain(&mut broadcaster);
            }
        }
        if answers == 0 { Ok(()) } else { Err(format!("{answers} pings were answered").into()) }
    };
    ping(WARM_UP * pings.len())?;
    let machine = |operations| Round::of_this_thread(operations, || ping(operations as usize));
    let mut last_seen = vec![Instant::ZERO; count as usize];
    let mut next = order.iter().cycle();
    let mut time = Time::of_pings(count);
    let array = |operations| {
        Round::of_this_thread(operations, || {
            for slot in next.by_ref().take(operations as usize) {
                if let Some(last_seen) = last_seen.get_mut(*slot as usize) {
                    *last_seen = time.next();
                }
            }
            black_box(&mut last_seen);
            Ok(())
        })
    };
    let subjects =
        vec![Subject::new(YARDSTICK, array), Subject::new(OURS, machine), Subject::new(ALONE, alone)];
    let outcome = plan.hold(what, Cores::One, 32 * BATCH as u64, subjects)?;
    Ok([OURS, ALONE].into_iter().filter_map(move |ours| outcome.row(Measure::Cpu, ours, YARDSTICK)))
}

/// What answers cost, from the bytes of the request to the drained outputs.
fn answers(options: &Options) -> Fallible<Vec<Row>> {
    const POOLS: u32 = 20;
    let (mut broadcaster, pings) = filled(POOLS)?;
    let Some(first) = pings.first() else { return Err("no pools".into()) };
    let join = first.join();
    let mut rows = Vec::new();
    for (what, members, request) in [
        ("join of its one member in memory", 1, &join[..]),
        ("join of 8 in memory", 8, &join[..]),
        ("list of 20 in memory", 8, &encoded(Request::List)[..]),
    ] {
        for member in 1..members {
            broadcaster.handle_datagram(Instant::ZERO, SocketAddr::from((STRANGER, 6_000 + member)), &join);
            drain(&mut broadcaster);
        }
        if options.wants(what) {
            let ask = |operations| {
                Round::of_this_thread(operations, || {
                    let mut answers = 0;
                    for _ in 0..operations {
                        broadcaster.handle_datagram(Instant::ZERO, first.host.into(), black_box(request));
                        answers += drain(&mut broadcaster);
                    }
                    if answers == operations { Ok(()) } else { Err("a request was not answered".into()) }
                })
            };
            let outcome = options.plan().hold(what, Cores::One, 1_000, vec![Subject::new(OURS, ask)])?;
            rows.extend(outcome.alone(Measure::Cpu, OURS));
        }
    }
    Ok(rows)
}

/// The bytes that the allocator counts for each pool. The same each time, so they are counted once.
fn memory(what: String, count: u32, peers: u32) -> Fallible<Option<Row>> {
    let before = side::bytes_alive();
    let (mut broadcaster, pings) = filled(count)?;
    for ping in &pings {
        let join = ping.join();
        for peer in 0..peers {
            let from = SocketAddr::from((STRANGER, 5_000 + u16::try_from(peer)?));
            broadcaster.handle_datagram(Instant::ZERO, from, &join);
            drain(&mut broadcaster);
        }
    }
    let taken = side::bytes_alive() - before - pings.capacity() * size_of::<Ping>();
    if broadcaster.peer_count() != (count * peers) as usize {
        return Err("not all could join".into());
    }
    let each = Quartiles::of([taken as f64 / f64::from(count)]);
    Ok(each.map(|ours| Row {
        what,
        cores: Cores::One,
        measure: Measure::Memory,
        subject: OURS,
        ours,
        yardstick: None,
        ratio: None,
        allocations: None,
        rounds: 1,
        size: None,
    }))
}
