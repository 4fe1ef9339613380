//! The machines beside their models: the same operations for both, and every answer, notice and event compared.
//!
//! Each module has a table of operations, a `run` that plays them to both, and two tests: a property that shrinks what
//! it finds, and a run from a fixed seed that counts every kind of answer, so that no kind goes untested unnoticed.
//! `PROPTEST_CASES` sets how many cases each property tries.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails fails its test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

mod broadcaster;
mod client;
mod link;
mod links;
mod shards;

use std::collections::BTreeMap;

use poolmesh_proto::Instant;
use poolmesh_proto::wire::native::FIRST_BYTE;
use poolmesh_testkit::model::{Kind, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// As many cases as take a few seconds without optimization, unless the environment says otherwise.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { ProptestConfig { cases, ..config } }
}

/// Runs the same cases each time, and says how often each kind of answer came.
pub(crate) fn sample<S: Strategy>(
    cases: u32,
    strategy: &S,
    run: impl Fn(&S::Value, &mut Census) -> TestCaseResult,
) -> Census {
    let mut runner =
        TestRunner::new_with_rng(config(cases), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let mut census = Census::default();
    for _ in 0..cases {
        let case = strategy.new_tree(&mut runner).unwrap().current();
        if let Err(error) = run(&case, &mut census) {
            panic!("{error}\n{case:#?}");
        }
    }
    census
}

/// How often each kind of answer came.
#[derive(Debug, Default)]
pub(crate) struct Census(BTreeMap<Kind, u64>);

impl Census {
    pub(crate) fn count(&mut self, kind: Kind) {
        self.add(kind, 1);
    }

    pub(crate) fn add(&mut self, kind: Kind, times: u64) {
        *self.0.entry(kind).or_default() += times;
    }

    /// Each of these came at least ten times, and nothing else came.
    pub(crate) fn assert_each_of(&self, kinds: &[Kind]) {
        println!("{:#?}", self.0);
        for kind in kinds {
            let times = self.0.get(kind).copied().unwrap_or(0);
            assert!(times >= 10, "{kind} came {times} times: the operations have to be weighed anew");
        }
        assert!(
            self.0.keys().all(|kind| kinds.contains(kind)),
            "a kind that is not known: {:?}",
            self.0.keys()
        );
    }
}

/// What the model says, as the outcome of a case.
pub(crate) fn right<T>(verdict: Verdict<T>) -> Result<T, TestCaseError> {
    verdict.map_err(|wrong| TestCaseError::fail(wrong.to_string()))
}

/// Which time an operation happens at, seen from the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Stay,
    /// So many microseconds later.
    On(u64),
    /// The clock shows a time so many microseconds ago, once.
    Back(u64),
    /// When the machine wants to be woken,
    Wake,
    /// and a microsecond before.
    AlmostWake,
    To(u64),
}

/// Of about 500 steps so many go to the time at which the machine wants to be woken.
pub(crate) fn step(wakes: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        240 => Just(Step::Stay),
        160 => (1..100_000u64).prop_map(Step::On),
        6 => (1..4_000_000u64).prop_map(Step::On),
        40 => (1..3_000_000u64).prop_map(Step::Back),
        wakes => Just(Step::Wake),
        12 => Just(Step::AlmostWake),
        1 => prop_oneof![Just(u64::MAX), u64::MAX - 3_000_000..u64::MAX, any::<u64>()].prop_map(Step::To),
    ]
}

/// The time of the operations.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    now: Instant,
    /// When the machine said that it wants to be woken.
    pub(crate) wake: Option<Instant>,
}

impl Clock {
    /// The time to hand in with an operation.
    pub(crate) fn go(&mut self, step: Step) -> Instant {
        let micros = |at: Instant| at.as_micros();
        match step {
            Step::Stay => {}
            Step::On(by) => self.now = Instant::from_micros(micros(self.now).saturating_add(by)),
            Step::Back(by) => return Instant::from_micros(micros(self.now).saturating_sub(by)),
            Step::Wake => self.now = self.now.max(self.wake.unwrap_or_default()),
            Step::AlmostWake => {
                let before = micros(self.wake.unwrap_or_default()).saturating_sub(1);
                self.now = self.now.max(Instant::from_micros(before));
            }
            Step::To(at) => self.now = Instant::from_micros(at),
        }
        self.now
    }
}

/// What is done to a datagram on its way.
#[derive(Clone, Debug)]
pub(crate) enum Spoil {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Append(Vec<u8>),
    /// Letters become capital ones.
    Shout,
}

pub(crate) fn spoil() -> impl Strategy<Value = Spoil> {
    let place = || any::<prop::sample::Index>();
    prop_oneof![
        3 => place().prop_map(Spoil::Cut),
        3 => (place(), 1..=u8::MAX).prop_map(|(at, bits)| Spoil::Flip(at, bits)),
        2 => prop::collection::vec(any::<u8>(), 1..50).prop_map(Spoil::Append),
        1 => Just(Spoil::Shout),
    ]
}

impl Spoil {
    pub(crate) fn apply(&self, datagram: &mut Vec<u8>) {
        match self {
            Self::Cut(at) => datagram.truncate(at.index(datagram.len() + 1)),
            Self::Flip(at, bits) if !datagram.is_empty() => {
                let at = at.index(datagram.len());
                datagram[at] ^= bits;
                if datagram[0] == FIRST_BYTE {
                    // That would be the other dialect, which has a model of its own.
                    datagram[0] ^= 1;
                }
            }
            Self::Flip(..) => {}
            Self::Append(bytes) => datagram.extend_from_slice(bytes),
            Self::Shout => datagram.make_ascii_uppercase(),
        }
    }
}
