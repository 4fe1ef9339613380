//! Traces: every input of the machines with its time, so that what happened can be made to happen again.

mod digest;
mod input;

pub use digest::{Digest, Digested};
pub use input::{Entry, Input, PeerStart, Polled, Start};
