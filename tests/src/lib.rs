//! Helpers for tests of poolmesh, and the conformance suite that every runtime passes.
//!
//! [`runtime`] is the blocking view of a runtime for which the scenarios in [`conformance`] are written. [`patience`]
//! waits for conditions, [`raw`] is a peer made of a bare socket, [`proxy`] a network that loses datagrams.

#![allow(clippy::std_instead_of_core, reason = "a crate that needs std takes what it needs from there")]

pub mod conformance;
pub mod patience;
pub mod proxy;
pub mod raw;
pub mod runtime;
