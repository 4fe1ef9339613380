//! The broadcaster under any inputs.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;

use bytes::BytesMut;
use poolmesh_proto::wire::{Dialect, Request, Response, classic};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output, PoolId, RandomSource,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{address, calm, config, has_a_future, wild};

#[derive(Clone, Debug)]
enum Ask {
    Create,
    List,
    /// The pool that was made as the so-many-th.
    Ping(usize),
    Join(usize),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Op {
    Ask(Instant, SocketAddr, Ask),
    Timeout(Instant),
    PollOnce,
    Drain,
    /// A timeout and a drain, after which it must be at rest.
    Settle(Instant),
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => Just(Ask::Create),
        2 => Just(Ask::List),
        4 => (0..9usize).prop_map(Ask::Ping),
        4 => (0..9usize).prop_map(Ask::Join),
        // What begins as the other dialect is for `lobby`.
        1 => vec(any::<u8>(), 0..60)
            .prop_filter("of the classic dialect", |bytes| Dialect::of(bytes) == Dialect::Classic)
            .prop_map(Ask::Bytes),
        1 => (0..7u8, vec(any::<u8>(), 0..1_200)).prop_map(|(kind, rest)| Ask::Bytes([vec![kind], rest].concat())),
    ]
}

fn ops(time: &BoxedStrategy<Instant>) -> impl Strategy<Value = Vec<Op>> + use<> {
    let op = prop_oneof![
        10 => (time.clone(), address(), ask()).prop_map(|(now, from, ask)| Op::Ask(now, from, ask)),
        2 => time.clone().prop_map(Op::Timeout),
        2 => Just(Op::PollOnce),
        2 => Just(Op::Drain),
        2 => time.clone().prop_map(Op::Settle),
    ];
    vec(op, 0..60)
}

fn settings() -> impl Strategy<Value = BroadcasterConfig> {
    let timeout = prop_oneof![1 => Just(0u64), 6 => 1_000..2_000_000u64];
    let queued = prop_oneof![0..10usize, Just(1_000)];
    (timeout, 0..6usize, 0..4usize, 0..4usize, 0..6usize, queued).prop_map(
        |(timeout, pools, per_source, peers, peers_total, queued)| {
            let mut config = BroadcasterConfig::default().with_classic();
            config.ping_timeout = Duration::from_micros(timeout);
            config.max_pools = pools;
            config.max_pools_per_source = per_source;
            config.max_peers = peers;
            config.max_peers_total = peers_total;
            config.max_queued = queued;
            config
        },
    )
}

fn broadcaster(config: &BroadcasterConfig) -> Broadcaster<impl RandomSource + use<>> {
    let mut number = 0u128;
    let random = move || {
        number += 0x0001_0000_0001_0000_0001_0000_0001;
        number
    };
    Broadcaster::new(config.clone(), random)
}

/// The bytes of a request, given the pools made so far. Of a pool that is not made yet the id is made up.
fn datagram(ask: &Ask, made: &[PoolId]) -> Vec<u8> {
    let id = |at: &usize| made.get(*at).copied().unwrap_or_else(|| "nobody's".parse().unwrap());
    let request = match ask {
        Ask::Create => Request::Create,
        Ask::List => Request::List,
        Ask::Ping(at) => Request::Ping(id(at)),
        Ask::Join(at) => Request::Join(id(at)),
        Ask::Bytes(bytes) => return bytes.clone(),
    };
    let mut out = BytesMut::new();
    classic::encode_request(&request, &mut out);
    out.to_vec()
}

#[derive(Default)]
struct Seen {
    /// Everything it said, without the waits.
    outputs: Vec<Output<BroadcasterEvent>>,
    made: Vec<PoolId>,
    ended: BTreeSet<PoolId>,
}

impl Seen {
    fn note(&mut self, output: Output<BroadcasterEvent>) {
        match &output {
            Output::Transmit(transmit) => {
                assert!(transmit.payload.len() <= 1_024);
                assert!(classic::decode_response(&transmit.payload).is_ok(), "{transmit:?}");
            }
            Output::Event(BroadcasterEvent::PoolCreated { pool, .. }) => {
                assert!(!self.made.contains(pool), "{pool} was made twice");
                self.made.push(*pool);
            }
            Output::Event(BroadcasterEvent::PoolEnded { pool, .. }) => {
                assert!(self.ended.insert(*pool), "{pool} ended twice");
            }
            _ => {}
        }
        self.outputs.push(output);
    }
}

fn drain(machine: &mut Broadcaster<impl RandomSource>, seen: &mut Seen) -> Option<Instant> {
    loop {
        match machine.poll_output() {
            Output::Wait(deadline) => return deadline,
            output => seen.note(output),
        }
    }
}

/// Has it settle at `now`, and returns its deadline.
fn settle(
    machine: &mut Broadcaster<impl RandomSource>,
    seen: &mut Seen,
    now: Instant,
    latest: Instant,
) -> Option<Instant> {
    machine.handle_timeout(now);
    let deadline = drain(machine, seen);
    assert!(deadline.is_none_or(|at| at > latest), "{deadline:?} is not after {latest:?}");
    assert_eq!(machine.poll_output(), Output::Wait(deadline), "a second drain yields nothing");
    deadline
}

fn run(config: &BroadcasterConfig, ops: &[Op]) -> Vec<Output<BroadcasterEvent>> {
    let mut machine = broadcaster(config);
    let mut seen = Seen::default();
    let mut latest = Instant::ZERO;
    for op in ops {
        if let Op::Ask(now, ..) | Op::Timeout(now) | Op::Settle(now) = op {
            latest = latest.max(*now);
        }
        match op {
            Op::Ask(now, from, ask) => machine.handle_datagram(*now, *from, &datagram(ask, &seen.made)),
            Op::Timeout(now) => machine.handle_timeout(*now),
            Op::PollOnce => match machine.poll_output() {
                Output::Wait(_) => {}
                output => seen.note(output),
            },
            Op::Drain => drop(drain(&mut machine, &mut seen)),
            Op::Settle(now) => drop(settle(&mut machine, &mut seen, *now, latest)),
        }
        assert!(machine.pool_count() <= config.max_pools);
        assert!(machine.peer_count() <= config.max_peers_total);
    }
    if has_a_future(latest) {
        let end = latest + config.ping_timeout;
        assert_eq!(settle(&mut machine, &mut seen, end, end), None, "no pool outlives its timeout");
        assert_eq!((machine.pool_count(), machine.peer_count()), (0, 0));
        let stats = machine.stats();
        assert_eq!(stats.pools_created, stats.pools_ended);
        if stats.outputs_dropped == 0 {
            assert_eq!(seen.made.len(), seen.ended.len());
            assert_eq!(seen.made.len() as u64, stats.pools_created);
        }
    }
    seen.outputs
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn any_inputs_break_no_invariant_and_the_same_inputs_give_the_same_outputs(
        config in settings(), ops in prop_oneof![ops(&calm()), ops(&wild())]
    ) {
        prop_assert_eq!(run(&config, &ops), run(&config, &ops));
    }
    #[test]
    fn a_late_ping_revives_nothing_even_if_nobody_polls(late in 0..1_000_000u64, max_queued in 0..2usize) {
        let mut config = BroadcasterConfig::default().with_classic();
        config.max_queued = max_queued;
        let host = "192.0.2.1:1".parse().unwrap();
        // What is made of the same numbers by one that is polled tells the id.
        let mut twin = broadcaster(&BroadcasterConfig::default().with_classic());
        twin.handle_datagram(Instant::ZERO, host, &[0]);
        let mut seen = Seen::default();
        drain(&mut twin, &mut seen);
        let mut machine = broadcaster(&config);
        machine.handle_datagram(Instant::ZERO, host, &[0]);
        let now = Instant::ZERO + config.ping_timeout + Duration::from_micros(late);
        machine.handle_datagram(now, host, &datagram(&Ask::Ping(0), &seen.made));
        prop_assert_eq!(machine.stats().pings, 0);
        prop_assert_eq!(drain(&mut machine, &mut Seen::default()), None);
        prop_assert_eq!(machine.pool_count(), 0);
    }

    #[test]
    fn a_pool_that_has_ended_leaves_its_room_to_the_next_request(late in 0..1_000_000u64) {
        let mut config = BroadcasterConfig::default().with_classic();
        config.max_pools = 1;
        let mut machine = broadcaster(&config);
        let mut seen = Seen::default();
        machine.handle_datagram(Instant::ZERO, "192.0.2.1:1".parse().unwrap(), &[0]);
        drain(&mut machine, &mut seen);
        let now = Instant::ZERO + config.ping_timeout + Duration::from_micros(late);
        machine.handle_datagram(now, "192.0.2.2:1".parse().unwrap(), &[0]);
        drain(&mut machine, &mut seen);
        let answers: Vec<Response> = seen.outputs.iter().filter_map(|output| match output {
            Output::Transmit(transmit) => classic::decode_response(&transmit.payload).ok(),
            _ => None,
        }).collect();
        prop_assert!(
            matches!(answers[..], [Response::Joined(_), Response::PoolEnded, Response::Joined(_)]), "{:?}", answers
        );
    }
}
