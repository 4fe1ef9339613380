//! The classic dialect: the wire of gop2p. One parser a grammar rule; the rule stands above it.
//!
//! All integers are little endian.

pub(super) mod datagram;
pub(super) mod frame;
pub(super) mod frames;
mod received;
mod refusal_text;
mod room;
