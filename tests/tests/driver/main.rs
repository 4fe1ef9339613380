//! The driver suite: the drivers of this repository pass it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests: a panic is how they fail, and they name what they look for"
)]

use poolmesh_testkit::driver::{OnLoopback, OnRuntime, OnScript, prove};
use poolmesh_testkit::runtime::{Smol, Std};

#[test]
fn the_blocking_runtime() {
    prove(OnRuntime::<Std>::new());
}

#[test]
fn the_smol_runtime() {
    prove(OnRuntime::<Smol>::new());
}

#[test]
fn the_event_loop_on_real_sockets() {
    prove(OnLoopback);
}

#[test]
fn the_event_loop_on_a_script() {
    prove(OnScript);
}
