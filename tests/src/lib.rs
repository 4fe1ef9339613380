//! What tests of poolmesh share.

pub mod program;

/// The programs of the README, compiled and, where they need no network, run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
