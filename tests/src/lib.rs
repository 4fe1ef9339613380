//! Helpers for tests of poolmesh, and the suites that every runtime and every driver passes.
//!
//! [`runtime`] is the blocking view of a runtime for which the scenarios in [`conformance`] are written. [`driver`]
//! puts any driver to the proof, those of the runtimes as well, and has one to use: how to write another is on
//! [a page of its own](driver::page). [`patience`] waits for conditions, [`raw`] is a peer made of a bare socket,
//! [`proxy`] a network that loses datagrams, [`program`] runs the programs of the workspace.

pub mod conformance;
pub mod driver;
pub mod patience;
pub mod program;
pub mod proxy;
pub mod raw;
pub mod runtime;

/// The programs of the README, compiled and, where they need no network, run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
