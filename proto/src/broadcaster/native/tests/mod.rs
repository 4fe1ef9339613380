//! The broadcaster's rules in the native dialect, driven datagram by datagram.

mod joining;
mod lobby;
