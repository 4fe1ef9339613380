//! Helpers for tests of poolmesh, and the suites that every runtime and every driver passes.
//!
//! [`sim`] runs whole lobbies in virtual time, with programs of yours; [`simulate`] what its program `simulate` runs.
//! [`model`] is a second implementation of the broadcaster, the client and the link, to hold one of your own against.
//! [`driver`] puts any driver to the proof, those of the runtimes as well, and has one to use: how to write another is on
//! [a page of its own](driver::page). [`runtime`] is the blocking view of a runtime for which the scenarios in
//! [`conformance`] are written. [`patience`] waits for conditions, [`raw`] is a peer made of a bare socket, [`proxy`] a
//! network that loses datagrams, [`relay`] one that goes black, [`program`] runs the programs of the workspace, [`trace`]
//! plays what they recorded.

#[cfg(feature = "sockets")]
pub mod conformance;
#[cfg(feature = "sockets")]
pub mod driver;
pub mod model;
pub mod patience;
#[cfg(feature = "sockets")]
pub mod program;
#[cfg(feature = "sockets")]
pub mod proxy;
#[cfg(feature = "sockets")]
pub mod raw;
#[cfg(feature = "sockets")]
pub mod relay;
#[cfg(feature = "sockets")]
pub mod runtime;
pub mod sim;
pub mod simulate;
pub mod trace;

/// The programs of the README, compiled and, where they need no network, run.
#[cfg(all(doctest, feature = "sockets"))]
#[doc = include_str!("../../README.md")]
mod readme {}
