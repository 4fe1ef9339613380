//! What a broadcaster keeps of the native dialect: what its limits state, and nothing of who has proven nothing.

use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Cookie, FromBroadcaster, Joined, Key, MAX_DATAGRAM, Message, PoolSpec,
    PoolUuid, Reply, Request, Seats, Tx,
};
use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output, RandomSource};

use super::{Live, Numbers, allocations};

/// What [`Limits`](poolmesh_proto::Limits) states, in bytes: a member and a pool, as long as they are there; what is kept
/// of them for the next; a place of the table; what may be queued, and changes still to be told; and the broadcaster
/// itself.
const MEMBER: usize = 200;
const MEMBER_V6: usize = 250;
const POOL: usize = 300;
const KEPT_MEMBER: usize = 130;
const KEPT_POOL: usize = 190;
const SOURCE: usize = 24;
const QUEUED: usize = 2 * 1_500;
const OWN: usize = 256 * 1_024;

const MANY: usize = if cfg!(debug_assertions) { 1_000 } else { 12_500 };

fn broadcaster(config: &BroadcasterConfig) -> Broadcaster<impl RandomSource + use<>> {
    let mut state = 7u128;
    let random = move || {
        state = state.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(1);
        state ^ state.rotate_left(64)
    };
    Broadcaster::new(config.clone(), random)
}

/// Whose number is not lower has an IPv6 address.
const V6: usize = 1 << 24;

fn ip(number: usize) -> SocketAddr {
    if let Some(number) = number.checked_sub(V6) {
        let network = (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15) << 64;
        return SocketAddr::from((Ipv6Addr::from(network | 1), 5_000));
    }
    // Spread, as real ones are.
    let spread = u32::try_from(number).unwrap().wrapping_mul(2_654_435_761);
    SocketAddr::from((spread.to_be_bytes(), 5_000))
}

/// What came to `to` last.
fn drain(machine: &mut Broadcaster<impl RandomSource>, to: SocketAddr, answer: &mut BytesMut) -> bool {
    answer.clear();
    loop {
        match machine.poll_output() {
            Output::Transmit(sent) if sent.destination == to && answer.is_empty() => {
                answer.extend_from_slice(&sent.payload);
            }
            Output::Wait(_) => return !answer.is_empty(),
            Output::Transmit(_) | Output::Event(_) => {}
        }
    }
}

/// Asks with a cookie, and takes what is offered.
fn come(
    machine: &mut Broadcaster<impl RandomSource>,
    now: Instant,
    number: usize,
    call: Call<'_>,
    memory: &mut [BytesMut; 2],
) -> Joined {
    let [out, answer] = memory;
    let (from, tx) = (ip(number), Tx::new(number as u64 + 1).unwrap());
    let mut cookie: Option<Cookie> = None;
    loop {
        out.clear();
        Request { tx, cookie, call }.write(out);
        machine.handle_datagram(now, from, out);
        assert!(drain(machine, from, answer));
        let FromBroadcaster::Answer(read) = FromBroadcaster::read(answer).unwrap() else { panic!() };
        match read.verify(&Key::of_request(tx, cookie)).unwrap().reply {
            Reply::Cookie(given) => cookie = Some(given),
            Reply::Joined(joined) => {
                say(machine, now, number, &joined, 1, Act::Ping(None), memory);
                return joined;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn say(
    machine: &mut Broadcaster<impl RandomSource>,
    now: Instant,
    number: usize,
    joined: &Joined,
    count: u32,
    act: Act<'_>,
    [out, answer]: &mut [BytesMut; 2],
) {
    out.clear();
    Message { handle: joined.handle, count, act }.write(&joined.key, out);
    machine.handle_datagram(now, ip(number), out);
    assert!(drain(machine, ip(number), answer));
}

fn memory() -> [BytesMut; 2] {
    [(); 2].map(|()| BytesMut::with_capacity(2 * MAX_DATAGRAM))
}

/// Pools with as many members each; says what they take.
fn fill(pools: usize, members: usize, first: usize) -> (usize, Broadcaster<impl RandomSource>) {
    let config = BroadcasterConfig::default();
    let mut memory = memory();
    let spec = PoolSpec::new(Seats::new(16).unwrap()).named("a pool").unwrap();
    let (application, about) = (Application::POOLMESH, About::default());
    let live = Live::start();
    let mut machine = broadcaster(&config);
    let mut number = first;
    for _ in 0..pools {
        let create = Call::Create { application, spec: spec.as_spec(), about };
        let pool = come(&mut machine, Instant::ZERO, number, create, &mut memory).pool;
        for guest in 1..members {
            let join = Call::Join { application, pool, about };
            come(&mut machine, Instant::ZERO, number + guest, join, &mut memory);
        }
        number += members;
    }
    assert_eq!((machine.pool_count(), machine.member_count()), (pools, pools * members));
    (live.bytes(), machine)
}

pub(super) fn members_and_pools() {
    let config = BroadcasterConfig::default();
    let own = OWN + config.limits.sources * SOURCE;
    let (alone, _) = fill(MANY, 1, 0);
    let live = Live::start();
    let (together, mut machine) = fill(MANY, 8, 0);
    let member = (together - alone) / (7 * MANY);
    let pool = (alone - own.min(alone)) / MANY;
    assert!(member <= MEMBER, "{member} bytes a member");
    assert!(pool <= POOL + MEMBER, "{pool} bytes a pool and its host");
    assert!(together <= 8 * MANY * MEMBER + MANY * POOL + own, "{together} bytes in all");
    machine.handle_timeout(Instant::ZERO + Duration::from_secs(10));
    drain(&mut machine, ip(0), &mut BytesMut::new());
    assert_eq!((machine.pool_count(), machine.member_count()), (0, 0));
    let kept = 8 * MANY * KEPT_MEMBER + MANY * KEPT_POOL + own + config.max_queued * QUEUED;
    assert!(live.bytes() <= kept, "{} of {kept} are kept for more", live.bytes());
    drop(machine);
    assert_eq!(live.bytes(), 0, "all is given back");
    let (in_v6, _) = fill(MANY, 8, V6);
    assert!(in_v6 <= 8 * MANY * MEMBER_V6 + MANY * POOL + own, "{} bytes a member on IPv6", in_v6 / 8 / MANY);
}

/// From as many addresses as there can be: requests, messages of members who are there, and anything else.
pub(super) fn spoofed() {
    let config = BroadcasterConfig::default();
    let mut memory = memory();
    let spec = PoolSpec::default();
    let (application, about) = (Application::POOLMESH, About::default());
    let create = Call::Create { application, spec: spec.as_spec(), about };
    let mut machine = broadcaster(&config);
    let joined = come(&mut machine, Instant::ZERO, 0, create, &mut memory);
    let mut numbers = Numbers(3);
    let [mut out, mut answer] = memory;
    let mut round = |from: usize, count: usize| {
        for number in from..from + count {
            out.clear();
            let cookie = Cookie::new(numbers.next());
            let tx = Tx::new(numbers.next() + 1).unwrap();
            match number % 4 {
                0 => Request { tx, cookie, call: create }.write(&mut out),
                1 => {
                    let call = Call::Join { application, pool: joined.pool, about };
                    Request { tx, cookie: None, call }.write(&mut out);
                }
                2 => {
                    let key = Key::new([number as u8; 16]);
                    Message { handle: joined.handle, count: 9, act: Act::Leave }.write(&key, &mut out);
                }
                _ => out.extend_from_slice(&[0xa1; 100][..number % 100]),
            }
            machine.handle_datagram(Instant::ZERO, ip(10 + number), &out);
            drain(&mut machine, ip(0), &mut answer);
        }
    };
    // Once it has what it answers with.
    round(0, 1_000);
    let live = Live::start();
    round(1_000, 20 * MANY);
    assert_eq!(live.bytes(), 0, "nothing is kept of them");
    assert_eq!((machine.pool_count(), machine.member_count()), (1, 1));
    let stats = machine.stats();
    assert!(stats.cookies_given > 9 * MANY as u64 && stats.unknown > 4 * MANY as u64);
}

/// Nobody polls while members say other things of themselves, in many pools.
pub(super) fn untold() {
    let mut config = BroadcasterConfig::default();
    config.max_queued = 100;
    config.limits.messages_in_a_row = u32::MAX;
    let mut memory = memory();
    let spec = PoolSpec::default();
    let (application, about) = (Application::POOLMESH, About::default());
    let mut machine = broadcaster(&config);
    let create = Call::Create { application, spec: spec.as_spec(), about };
    let members: Vec<Joined> =
        (0..1_000).map(|number| come(&mut machine, Instant::ZERO, number, create, &mut memory)).collect();
    let live = Live::start();
    for order in 1..20u32 {
        for (number, joined) in members.iter().enumerate() {
            let [out, _] = &mut memory;
            out.clear();
            let words = [order as u8; 128];
            let act = Act::About(About::new(&words).unwrap());
            Message { handle: joined.handle, count: order, act }.write(&joined.key, out);
            machine.handle_datagram(Instant::ZERO, ip(number), out);
        }
    }
    // Besides, what each says of itself.
    let most = config.max_queued * QUEUED + 128 * members.len() + 16 * 1_024;
    assert!(live.bytes() <= most, "{} of {most}", live.bytes());
    assert!(machine.stats().changes_dropped > 1_000);
}

/// Once it has what it needs: pings, pages, lists and forged messages.
pub(super) fn busy() {
    let mut config = BroadcasterConfig::default();
    config.limits.requests_per_second = 1_000_000;
    config.limits.messages_per_second = 1_000_000;
    let mut memory = memory();
    let spec = PoolSpec::default();
    let (application, about) = (Application::POOLMESH, About::default());
    let mut machine = broadcaster(&config);
    let create = Call::Create { application, spec: spec.as_spec(), about };
    let members: Vec<Joined> =
        (0..50).map(|number| come(&mut machine, Instant::ZERO, number, create, &mut memory)).collect();
    let mut now = Instant::ZERO;
    let mut count = 1;
    let list = Call::List {
        application: Some(application),
        after: PoolUuid::NIL,
        free: 0,
        prefix: Default::default(),
    };
    let mut round = || {
        for step in 0..1_000 {
            now = now + Duration::from_millis(7);
            count += 2;
            let (number, joined) = (step % 50, &members[step % 50]);
            say(&mut machine, now, number, joined, count, Act::Ping(None), &mut memory);
            say(&mut machine, now, number, joined, count + 1, Act::Ask(None), &mut memory);
            let [out, answer] = &mut memory;
            out.clear();
            Request { tx: Tx::new(1).unwrap(), cookie: None, call: list }.write(out);
            machine.handle_datagram(now, ip(number), out);
            drain(&mut machine, ip(number), answer);
        }
        assert_eq!(machine.member_count(), 50);
    };
    round();
    assert_eq!(allocations(&mut round), 0, "it has all it needs");
}
