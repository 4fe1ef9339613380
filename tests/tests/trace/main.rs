//! Traces: what is written is read, what was recorded happens again, whoever recorded it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails fails its test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

mod arbitrary;
mod played;
mod program;
mod round_trip;
mod simulated;
