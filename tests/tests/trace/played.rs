//! What machines were told at random happens again, and any entries at all can be played.

use core::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::trace::{
    Departure, Digest, Entry, Input, Polled, RecordLimits, RecordedBroadcaster, Recorder, Replay, entries,
};
use poolmesh_proto::wire::{Request, classic};
use poolmesh_proto::{Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output, PoolId};
use poolmesh_testkit::trace::replay;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::arbitrary::{drain, input, start, time};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone, Debug)]
enum Told {
    Create(u8),
    List(u8),
    /// One of the pools made so far.
    Join(u8, prop::sample::Index),
    Ping(u8, prop::sample::Index),
    Raw(u8, Vec<u8>),
    Timeout,
    /// As many outputs.
    Poll(u8),
    Drain,
}

fn told() -> impl Strategy<Value = Told> {
    let pool = any::<prop::sample::Index>();
    prop_oneof![
        any::<u8>().prop_map(Told::Create),
        any::<u8>().prop_map(Told::List),
        (any::<u8>(), pool.clone()).prop_map(|(from, pool)| Told::Join(from, pool)),
        (any::<u8>(), pool).prop_map(|(from, pool)| Told::Ping(from, pool)),
        (any::<u8>(), vec(any::<u8>(), 0..20)).prop_map(|(from, bytes)| Told::Raw(from, bytes)),
        Just(Told::Timeout),
        (0..4u8).prop_map(Told::Poll),
        Just(Told::Drain),
    ]
}

fn address(choice: u8) -> SocketAddr {
    ([192, 0, 2, choice % 4], u16::from(choice)).into()
}

fn encode(request: Request) -> Vec<u8> {
    let mut out = BytesMut::new();
    classic::encode_request(&request, &mut out);
    out.to_vec()
}

/// Numbers that look random, as many as are wanted.
fn random() -> impl FnMut() -> u128 {
    let mut state = 1u128;
    move || {
        state = state.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(1);
        state
    }
}

/// A recorded broadcaster and a plain one, told the same.
struct Both<'a, R, S> {
    recorded: RecordedBroadcaster<R, &'a mut Vec<u8>>,
    plain: Broadcaster<S>,
    pools: Vec<PoolId>,
}

impl<R: FnMut() -> u128, S: FnMut() -> u128> Both<'_, R, S> {
    fn tell(&mut self, now: Instant, told: Told) {
        let pool = |index: prop::sample::Index| match &self.pools[..] {
            [] => "p".parse().unwrap(),
            pools => *index.get(pools),
        };
        match told {
            Told::Create(from) => self.datagram(now, from, &encode(Request::Create)),
            Told::List(from) => self.datagram(now, from, &encode(Request::List)),
            Told::Join(from, index) => self.datagram(now, from, &encode(Request::Join(pool(index)))),
            Told::Ping(from, index) => self.datagram(now, from, &encode(Request::Ping(pool(index)))),
            Told::Raw(from, bytes) => self.datagram(now, from, &bytes),
            Told::Timeout => {
                self.recorded.handle_timeout(now);
                self.plain.handle_timeout(now);
            }
            Told::Poll(times) => (0..times).for_each(|_| _ = self.poll()),
            Told::Drain => while !self.poll() {},
        }
    }

    fn datagram(&mut self, now: Instant, from: u8, datagram: &[u8]) {
        self.recorded.handle_datagram(now, address(from), datagram);
        self.plain.handle_datagram(now, address(from), datagram);
    }

    /// Whether there was nothing left.
    fn poll(&mut self) -> bool {
        match (self.recorded.poll_output(), self.plain.poll_output()) {
            (Output::Wait(recorded), Output::Wait(plain)) => {
                // It may want to be woken earlier.
                assert!(plain.is_none() || recorded <= plain, "{recorded:?} {plain:?}");
                true
            }
            (recorded, plain) => {
                assert_eq!(recorded, plain);
                if let Output::Event(BroadcasterEvent::PoolCreated { pool, .. }) = recorded {
                    self.pools.push(pool);
                }
                false
            }
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    /// Times rise: a timeout that comes too early is of no concern to a broadcaster, and is not recorded.
    #[test]
    fn a_recorded_broadcaster_is_one_and_can_be_played_again(
        steps in vec((0..400_000u64, told()), 0..80),
        waiting in 1..500usize,
    ) {
        let mut file = Vec::new();
        let mut limits = RecordLimits::default();
        limits.max_waiting = waiting;
        let config = BroadcasterConfig::default().with_classic();
        let recorded = RecordedBroadcaster::new(config.clone(), random(), limits, &mut file);
        let mut both = Both { recorded, plain: Broadcaster::new(config, random()), pools: Vec::new() };
        let (mut now, mut datagrams) = (0, 0);
        for (step, told) in steps {
            now += step;
            let timeouts = matches!(told, Told::Timeout | Told::Poll(_) | Told::Drain);
            datagrams += u64::from(!timeouts);
            both.tell(Instant::from_micros(now), told);
        }
        prop_assert_eq!(both.recorded.stats(), both.plain.stats());
        drop(both);
        let replayed = replay(&file[..], None).unwrap();
        prop_assert_eq!(replayed.cut, None);
        prop_assert!(replayed.summary.entries > datagrams);
    }

    /// Whatever the programs are told, they do the same again; what they are told is what can be read, too.
    #[test]
    fn what_programs_were_told_happens_again(
        starts in [start(), start()],
        told in vec((0..2u32, time(), input()), 0..60),
    ) {
        let entry = |(program, now, input)| Entry { program, now, input };
        let starts = (0..).zip(starts).map(|(program, start)| entry((program, Instant::ZERO, Input::Start(start))));
        let told = told.into_iter().map(entry);
        let (mut first, mut recorder) = (Replay::new(), Recorder::new());
        for entry in starts.chain(told) {
            // What came, rather than what `entry` says that came.
            let _ = first.entry(entry.clone());
            let Entry { program, now, mut input } = entry;
            if let Input::Polled { outputs, digest, .. } = &mut input {
                let mut came = Digest::new();
                first.outputs().iter().for_each(|output| came.output(output));
                (*outputs, *digest) = (u32::try_from(first.outputs().len()).unwrap(), came.get());
            }
            recorder.record(program, now, &input);
        }
        let file = recorder.take();
        let mut again = Replay::new();
        for entry in entries(&file) {
            if let Err(difference) = again.entry(entry.unwrap()) {
                let other = matches!(
                    difference.departure,
                    Departure::Outputs { .. } | Departure::Digest { .. }
                );
                prop_assert!(!other, "{}", difference);
            }
        }
    }
}

#[test]
fn a_trace_is_told_line_by_line() {
    let mut file = Vec::new();
    let mut recorded = RecordedBroadcaster::new(
        BroadcasterConfig::default().with_classic(),
        || 1 << 90,
        RecordLimits::default(),
        &mut file,
    );
    recorded.handle_datagram(Instant::from_micros(1_000_005), address(1), &[0]);
    drain(&mut recorded);
    drop(recorded);
    let mut log = Vec::new();
    replay(&file[..], Some(&mut log)).unwrap();
    let log = String::from_utf8(log).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 7, "{log}");
    assert!(lines[0].contains("#0 Start(Broadcaster(BroadcasterConfig {"), "{log}");
    assert_eq!(lines[1], "       2        1.000005 #0 Datagram from 192.0.2.1:1, 1 bytes: Create");
    assert_eq!(lines[2], "       3        1.000005 #0 Drawn 00000000040000000000000000000000");
    assert!(lines[3].starts_with("       4        1.000005 #0 Polled Broadcaster: 3 outputs, digest "));
    assert!(lines[4].contains("-> Transmit to 192.0.2.1:1, ") && lines[4].contains(": Joined("), "{log}");
    assert!(lines[5].contains("-> Event(PoolCreated {"), "{log}");
    assert!(lines[6].contains("-> Wait(Some(Instant("), "when to look, at the latest at 2000005: {log}");
    // Killed at any time, it tells of what was before.
    for len in Recorder::new().take().len()..file.len() {
        let replayed = replay(&file[..len], None).unwrap();
        assert_eq!(replayed.summary.polls, 0);
        assert!(replayed.cut.is_none_or(|cut| cut.offset < len as u64), "{:?}", replayed.cut);
        assert_eq!(replayed.cut.is_none(), entries(&file[..len]).all(|entry| entry.is_ok()));
    }
    assert!(replay(&b"listening"[..], None).is_err() && replay(&b""[..], None).is_err());
}

#[test]
fn a_difference_says_what_came() {
    let mut recorder = Recorder::new();
    let start = Input::Start(poolmesh_proto::trace::Start::Broadcaster(Box::default()));
    recorder.record(0, Instant::ZERO, &start);
    let polled = Input::Polled { machine: Polled::Broadcaster, outputs: 1, digest: 0 };
    recorder.record(0, Instant::from_micros(9), &polled);
    let failure = replay(&recorder.take()[..], None).unwrap_err().to_string();
    assert!(failure.starts_with("entry 2 (program 0, at 9 µs): Broadcaster: "), "{failure}");
    assert!(failure.contains("came: Wait(None)"), "{failure}");
    assert!(failure.contains("poolmesh-proto 0."), "{failure}");
}
