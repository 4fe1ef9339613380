//! The machines under any inputs in any order, at times that run backwards and jump ahead.
//!
//! Each module has a table of inputs, a `run` that plays them and holds the machine to its invariants at each step, and
//! properties that say more about the end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails fails its test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

mod broadcaster;
mod client;
mod link;
mod lobby;
mod mesh;
mod reading;

use core::net::SocketAddr;

use poolmesh_proto::Instant;
use proptest::prelude::*;

/// As many cases as take a few seconds without optimization.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Times within the same few seconds, in any order.
pub(crate) fn calm() -> BoxedStrategy<Instant> {
    (0..6_000_000u64).prop_map(Instant::from_micros).boxed()
}

/// Any times at all, the end of time among them.
pub(crate) fn wild() -> BoxedStrategy<Instant> {
    prop_oneof![
        8 => 0..6_000_000u64,
        2 => Just(0),
        1 => Just(u64::MAX),
        1 => u64::MAX - 2_000_000..=u64::MAX,
        1 => any::<u64>(),
    ]
    .prop_map(Instant::from_micros)
    .boxed()
}

/// Whether nothing that is begun at this time meets the end of time.
pub(crate) fn has_a_future(now: Instant) -> bool {
    now < Instant::from_micros(u64::MAX / 2)
}

/// A few addresses; some of them are of the same machine, and one is another way to write one of the others.
pub(crate) fn address() -> impl Strategy<Value = SocketAddr> {
    let texts = [
        "192.0.2.1:1",
        "192.0.2.1:2",
        "192.0.2.2:1",
        "[::ffff:192.0.2.2]:1",
        "[2001:db8::1]:1",
        "[2001:db8::2]:1",
    ];
    proptest::sample::select(texts.map(|text| text.parse().unwrap()).to_vec())
}
