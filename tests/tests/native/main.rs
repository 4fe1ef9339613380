//! The native dialect: its vectors, which were made without this code, and properties of reading and writing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper that fails fails its test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

mod any;
mod broadcasters;
mod file;
mod functions;
mod lobby;
mod meant;
mod pages;
mod properties;
mod seen;
mod vectors;
mod world;
