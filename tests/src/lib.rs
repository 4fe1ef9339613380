//! Helpers for tests of poolmesh, and the conformance suite that every runtime passes.
//!
//! [`model`] is a second implementation of the broadcaster, the client and the link, to hold one of your own against.
//! [`runtime`] is the blocking view of a runtime for which the scenarios in [`conformance`] are written. [`patience`]
//! waits for conditions, [`raw`] is a peer made of a bare socket, [`proxy`] a network that loses datagrams, [`relay`] one
//! that goes black, [`program`] runs the programs of the workspace, [`trace`] plays what they recorded.

pub mod conformance;
pub mod model;
pub mod patience;
pub mod program;
pub mod proxy;
pub mod raw;
pub mod relay;
pub mod runtime;
pub mod sim;
pub mod simulate;
pub mod trace;

/// The programs of the README, compiled and, where they need no network, run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
