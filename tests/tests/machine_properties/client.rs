//! The client under any inputs.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, Response, Words, classic};
use poolmesh_proto::{
    CallError, CallId, Client, ClientConfig, ClientEvent, Instant, Machine, Outcome, Output, PoolId,
    PoolInfo, Refusal,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{calm, config, has_a_future, wild};

#[derive(Clone, Debug)]
enum Op {
    List(Instant),
    Create(Instant),
    Join(Instant, u8),
    /// The call that was made as the so-many-th. What is queued is polled before.
    Cancel(usize),
    Release(u8),
    Close,
    Answer(Instant, Response),
    /// An answer that doesn't come from the broadcaster.
    Foreign(Instant, Response),
    Bytes(Instant, Vec<u8>),
    Timeout(Instant),
    PollOnce,
    Settle(Instant),
}

fn pool(number: u8) -> PoolId {
    format!("pool-{number}").parse().unwrap()
}

fn server() -> SocketAddr {
    "192.0.2.9:6969".parse().unwrap()
}

fn peer(number: u8) -> SocketAddr {
    ([192, 0, 2, 1], 5_000 + u16::from(number)).into()
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        4 => (0..6u8).prop_map(|number| Refusal::NoSuchPool(Words::new(pool(number).as_bytes()))),
        1 => Just(Refusal::NotHost),
        1 => Just(Refusal::UnknownRequest),
        1 => Just(Refusal::TooManyPools { limit: 1 }),
        1 => (0..6u8).prop_map(|number| Refusal::PoolFull { pool: pool(number), limit: 1 }),
        1 => Just(Refusal::TooManyPeers { limit: 1 }),
        1 => Just(Refusal::Other(Words::new(b"no"))),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        // As many as host as not.
        8 => (0..6u8, 0..2u8).prop_map(|(number, host)| {
            Response::Joined(PoolInfo::new(pool(number), peer(host), peer(0), [peer(0)]))
        }),
        2 => vec((0..6u8).prop_map(pool), 0..4).prop_map(Response::Pools),
        3 => refusal().prop_map(Response::Refused),
        2 => Just(Response::PoolEnded),
    ]
}

fn ops(time: &BoxedStrategy<Instant>) -> impl Strategy<Value = Vec<Op>> + use<> {
    let op = prop_oneof![
        3 => time.clone().prop_map(Op::List),
        4 => time.clone().prop_map(Op::Create),
        4 => (time.clone(), 0..6u8).prop_map(|(now, number)| Op::Join(now, number)),
        1 => (0..20usize).prop_map(Op::Cancel),
        1 => (0..6u8).prop_map(Op::Release),
        10 => (time.clone(), response()).prop_map(|(now, response)| Op::Answer(now, response)),
        1 => (time.clone(), response()).prop_map(|(now, response)| Op::Foreign(now, response)),
        1 => (time.clone(), vec(any::<u8>(), 0..40)).prop_map(|(now, bytes)| Op::Bytes(now, bytes)),
        3 => time.clone().prop_map(Op::Timeout),
        3 => Just(Op::PollOnce),
        6 => time.clone().prop_map(Op::Settle),
    ];
    let closed = prop_oneof![3 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    (vec(op, 0..60), closed).prop_map(|(mut ops, closed)| {
        if let Some(at) = closed {
            ops.insert(at.index(ops.len() + 1), Op::Close);
        }
        ops
    })
}

fn settings() -> impl Strategy<Value = ClientConfig> {
    let millis = |range| Strategy::prop_map(range, Duration::from_millis);
    let recreate = prop_oneof![Just(None), millis(1..3_000u64).prop_map(Some)];
    let queued = prop_oneof![0..6usize, Just(256)];
    (millis(1..6_000u64), millis(1..500u64), recreate, millis(0..500u64), 1..6usize, 1..4usize, queued)
        .prop_map(|(timeout, resend, recreate, ping, calls, hosted, queued)| {
            let mut config = ClientConfig::classic();
            config.call_timeout = timeout;
            config.resend_after = resend;
            config.recreate_after = recreate;
            config.ping_interval = ping;
            config.max_calls = calls;
            config.max_pools = hosted;
            config.max_queued = queued;
            config
        })
}

fn encoded(response: &Response) -> BytesMut {
    let mut datagram = BytesMut::new();
    classic::encode_response(response, &mut datagram);
    datagram
}

/// What the client's application and its socket see of it.
#[derive(Default)]
struct Seen {
    outputs: Vec<Output<ClientEvent>>,
    /// Every call, in the order they were made.
    calls: Vec<CallId>,
    /// Those without an outcome.
    pending: BTreeSet<CallId>,
    /// The pools hosted, as far as is told.
    /// The pools that calls have made.
    made: BTreeMap<CallId, PoolId>,
    hosted: BTreeSet<PoolId>,
}

impl Seen {
    fn note(&mut self, output: Output<ClientEvent>) {
        match &output {
            Output::Transmit(transmit) => {
                assert_eq!(transmit.destination, server());
                assert!(classic::decode_request(&transmit.payload).is_ok(), "{transmit:?}");
            }
            Output::Event(ClientEvent::Finished { call, outcome }) => {
                assert!(self.pending.remove(call), "{call:?} was not under way: {outcome:?}");
                if let Outcome::Created(info) = outcome {
                    assert!(info.is_host());
                    assert!(self.hosted.insert(info.id()), "{} was made twice", info.id());
                    self.made.insert(*call, info.id());
                }
            }
            Output::Event(ClientEvent::PoolEnded { pool, .. }) => {
                assert!(self.hosted.remove(pool), "{pool} was not hosted");
            }
            _ => {}
        }
        self.outputs.push(output);
    }

    fn called(&mut self, call: Result<CallId, CallError>, config: &ClientConfig) {
        let Ok(call) = call else { return };
        assert!(!self.calls.contains(&call), "{call:?} is named twice");
        self.calls.push(call);
        self.pending.insert(call);
        assert!(self.pending.len() <= config.max_calls);
    }

    fn drain(&mut self, client: &mut Client) -> Option<Instant> {
        loop {
            match client.poll_output() {
                Output::Wait(deadline) => return deadline,
                output => self.note(output),
            }
        }
    }

    fn settle(&mut self, client: &mut Client, now: Instant, latest: Instant) {
        self.drain(client);
        let before = self.outputs.len();
        let (calls, hosted) = (self.pending.len(), client.pools().count());
        client.handle_timeout(now);
        let deadline = self.drain(client);
        assert!(deadline.is_none_or(|at| at > latest), "{deadline:?} is not after {latest:?}");
        assert_eq!(client.poll_output(), Output::Wait(deadline), "a second drain yields nothing");
        let sent =
            self.outputs[before..].iter().filter(|output| matches!(output, Output::Transmit(_))).count();
        assert!(sent <= calls + hosted, "a stall causes no burst: {sent} sent");
    }
}

fn run(config: &ClientConfig, ops: &[Op]) -> Vec<Output<ClientEvent>> {
    let mut client = Client::new(config.clone(), server(), [7; 32]);
    let mut seen = Seen::default();
    let mut latest = Instant::ZERO;
    let mut closed = false;
    for op in ops {
        if let Op::List(now)
        | Op::Create(now)
        | Op::Join(now, _)
        | Op::Answer(now, _)
        | Op::Foreign(now, _)
        | Op::Bytes(now, _)
        | Op::Timeout(now)
        | Op::Settle(now) = op
        {
            latest = latest.max(*now);
        }
        match op {
            Op::List(now) => seen.called(client.list(*now), config),
            Op::Create(now) => seen.called(client.create(*now), config),
            Op::Join(now, number) => seen.called(client.join(*now, pool(*number)), config),
            Op::Cancel(at) => {
                let Some(call) = seen.calls.get(*at).copied() else { continue };
                if seen.pending.remove(&call) {
                    client.cancel(call);
                } else {
                    // Over and told: it can only lose the pool that it has made.
                    seen.drain(&mut client);
                    client.cancel(call);
                    seen.made.get(&call).map(|pool| seen.hosted.remove(pool));
                }
            }
            Op::Release(number) => {
                seen.drain(&mut client);
                assert_eq!(client.release(pool(*number)), seen.hosted.remove(&pool(*number)));
            }
            Op::Close => {
                seen.drain(&mut client);
                client.close();
                closed = true;
                seen.hosted.clear();
                seen.drain(&mut client);
                assert!(seen.pending.is_empty(), "closing ends every call");
            }
            Op::Answer(now, response) => client.handle_datagram(*now, server(), &encoded(response)),
            Op::Foreign(now, response) => {
                client.handle_timeout(*now);
                seen.drain(&mut client);
                client.handle_datagram(*now, peer(1), &encoded(response));
                assert!(matches!(client.poll_output(), Output::Wait(_)), "it is ignored");
            }
            Op::Bytes(now, bytes) => client.handle_datagram(*now, server(), bytes),
            Op::Timeout(now) => client.handle_timeout(*now),
            Op::PollOnce => match client.poll_output() {
                Output::Wait(_) => {}
                output => seen.note(output),
            },
            Op::Settle(now) => seen.settle(&mut client, *now, latest),
        }
        assert!(client.pools().count() <= config.max_pools);
        assert!(!closed || client.list(Instant::ZERO) == Err(CallError::Closed));
    }
    seen.drain(&mut client);
    assert_eq!(client.pools().collect::<BTreeSet<_>>(), seen.hosted, "what is pinged is what was told");
    if has_a_future(latest) {
        let end = latest + config.call_timeout;
        seen.settle(&mut client, end, end);
        assert_eq!(seen.pending, BTreeSet::new(), "every call has its outcome");
    }
    seen.outputs
}

/// Lets time run from deadline to deadline, without an answer. Returns when each datagram was sent.
fn sent_without_an_answer(client: &mut Client, until: Instant) -> Vec<(Instant, Request)> {
    let mut now = Instant::ZERO;
    let mut sent = Vec::new();
    loop {
        match client.poll_output() {
            Output::Transmit(transmit) => {
                sent.push((now, classic::decode_request(&transmit.payload).unwrap()));
            }
            Output::Event(_) => {}
            Output::Wait(Some(deadline)) if deadline <= until => {
                now = deadline;
                client.handle_timeout(now);
            }
            Output::Wait(_) => return sent,
        }
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn any_inputs_break_no_invariant_and_the_same_inputs_give_the_same_outputs(
        config in settings(), ops in prop_oneof![2 => ops(&calm()), 1 => ops(&wild())]
    ) {
        prop_assert_eq!(run(&config, &ops), run(&config, &ops));
    }

    #[test]
    fn a_request_is_repeated_after_twice_as_long_each_time_until_its_timeout(
        config in settings(), joins in any::<bool>()
    ) {
        let mut config = config;
        config.max_queued = 256;
        let mut client = Client::new(config.clone(), server(), [7; 32]);
        let call = if joins { client.join(Instant::ZERO, pool(1)) } else { client.list(Instant::ZERO) };
        prop_assert!(call.is_ok());
        let times: Vec<Instant> =
            sent_without_an_answer(&mut client, Instant::NEVER).into_iter().map(|(at, _)| at).collect();
        let mut expected = vec![Instant::ZERO];
        let mut backoff = config.resend_after;
        let mut next = Instant::ZERO + backoff;
        while next < Instant::ZERO + config.call_timeout {
            expected.push(next);
            backoff *= 2;
            next = next + backoff;
        }
        prop_assert_eq!(times, expected);
    }

    #[test]
    fn a_hosted_pool_is_pinged_every_interval(interval in 1..400u64) {
        let mut config = ClientConfig::classic();
        config.ping_interval = Duration::from_millis(interval);
        let mut client = Client::new(config, server(), [7; 32]);
        client.create(Instant::ZERO).unwrap();
        let created = Response::Joined(PoolInfo::new(pool(1), peer(0), peer(0), [peer(0)]));
        client.handle_datagram(Instant::ZERO, server(), &encoded(&created));
        let until = Instant::ZERO + Duration::from_secs(2);
        let sent = sent_without_an_answer(&mut client, until);
        let pings = sent.into_iter().filter(|(_, request)| *request == Request::Ping(pool(1)));
        let expected = (0..=2_000).step_by(usize::try_from(interval).unwrap());
        prop_assert_eq!(
            pings.map(|(at, _)| at).collect::<Vec<_>>(),
            expected.map(|millis| Instant::from_micros(millis * 1_000)).collect::<Vec<_>>()
        );
    }
}
