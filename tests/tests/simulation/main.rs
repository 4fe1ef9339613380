//! Worlds in virtual time: what users can do with the simulator, what each of its faults does, what the classic wire
//! can't, and seeds that once failed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "tests")]

mod faults;
mod game;
mod lobby;
mod nat;
mod seeds;
mod settings;
mod worlds;
