//! Worlds in virtual time: what users can do with the simulator, and what the classic wire can't.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "tests")]

mod game;
