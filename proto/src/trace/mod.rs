//! Traces (feature `trace`): every input of the machines with its time, so that what happened can be made to happen
//! again.
//!
//! The machines are their inputs' alone: the same inputs at the same times give the same outputs, bit for bit. So a
//! file of inputs is a bug that a developer can run, and a digest of what was polled tells whether it ran as it did
//! then. A [`Recorder`] turns inputs into the bytes of a file, a [`Reader`] turns them back, a [`Replay`] plays them. A
//! [`RecordedBroadcaster`] records itself.
//!
//! # The format, version 1
//!
//! ```text
//! file     = 89 'p' 'm' 't' 'r' 'a' 'c' 'e', number: version, bytes: header, entry ...
//! header   = bytes: who wrote it, as text; what follows is for later versions, and ignored
//! entry    = number: length of the rest, number: program, signed: time in microseconds since the entry before
//!            (the first: since 0), number: kind, fields
//!
//! number   = seven bits a byte, the lowest first; all bytes but the last have the highest bit set
//! signed   = number: 0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ...; modulo 2^64
//! bytes    = number: how many, they
//! address  = 4, 4 bytes, port | 6, 16 bytes, port | 7, 16 bytes, port, 4 bytes: flow label, 4 bytes: scope
//!            (port: 2 bytes; big endian, all of it)
//! list     = number: how many, addresses
//! pool     = bytes: id, address: host, address: the peer itself, list: peers
//! door     = 0, bytes: id | 1, number: code
//! members  = bytes: id, number: code, number: the member itself, number: host, address: the member itself, number: 1 if it
//!            has come back, number: how many members, for each number: member, address, bytes: what it says
//! settings = bytes: for each of them number: which, number: value; lengths of time in nanoseconds
//! ```
//!
//! | kind | input | fields |
//! | --- | --- | --- |
//! | 1 | start | 0, settings of a broadcaster; or 2, address of its broadcaster, settings of client, links, mesh, 32 bytes: seed, list: other broadcasters; or 1, the same without the last two |
//! | 2 | polled | number: machine (0 broadcaster, 1 client, 2 mesh, 3 links), number: outputs, 8 bytes: [`Digest`] |
//! | 3 | drawn | 16 bytes: random bits |
//! | 4 | datagram | address: from, bytes |
//! | 5 | timeout of broadcaster or client | |
//! | 16, 17, 18 | list, create, join | to join: bytes: id |
//! | 19, 20, 21 | cancel, release, close the client | number: call; bytes: id; nothing |
//! | 22 | list with a filter | bytes: prefix, number: free seats, number: 1 if classic, number: 0, or 1 and 16 bytes: where to go on |
//! | 23, 24 | create with, join with | bytes: spec as in datagrams, or door, then bytes: what the member says |
//! | 25 | resume | bytes: what the program saved |
//! | 26 | an order | bytes: id of the pool, number: type of its message (lock: 30), bytes: spec, or what the member says, or number: member, or 1 for lock |
//! | 32, 33, 34, 35 | mesh: timeout, enter, connect, cancel | nothing; pool; list; number: call |
//! | 45, 46 | mesh: enter as a member, meet | members; address |
//! | 36, 37, 38 | mesh: listen, disconnect, close | address; number: peer; nothing |
//! | 39, 40, 41 | mesh: dialed, dial failed, accepted | number: dial; number: dial, fault; address |
//! | 42, 43, 44 | mesh: link closed, listening, listen failed | number: peer, reason; address; address, fault |
//! | 48 | links: timeout | |
//! | 49, 50 | links: send, send to all | number: peer (not to all), bytes: name, bytes: payload |
//! | 51, 53, 55 | links: close, end of stream, written | number: peer |
//! | 52, 54 | links: bytes, failure | number: peer, bytes; number: peer, fault |
//!
//! Integers of a fixed length are little endian but in addresses. A fault is a number (0 to 8: in the order of
//! [`Fault`](crate::Fault)), a reason (0 to 7: in the order of [`CloseReason`](crate::CloseReason), but 7 is a frame too
//! slow) too, with what it holds behind it. Settings are numbered from 1 in the order in which the configs got their fields, with those of the links apart
//! from the mesh's; what is `None` is not there.
//!
//! # Versions
//!
//! The version changes only if what was written before would mean something else. An input, a setting or a fault that is
//! new takes a new number. A reader that meets a number it doesn't know can't replay the file and says so
//! ([`TraceFault::Unknown`]); one that doesn't find a newer setting takes what machines did before they had it.
//!
//! Digests hold how events are printed for debugging, which may differ from version to version of this crate: compare
//! them with machines of the version that the header names.

mod codes;
mod digest;
mod entries;
mod error;
mod fields;
mod input;
mod native;
mod reader;
mod recorded;
mod recorder;
mod replay;
mod settings;
#[cfg(test)]
mod tests;

pub use digest::{Digest, Digested};
pub use error::{TraceError, TraceFault};
pub use input::{Entry, Input, Order, PeerStart, Polled, Start};
pub use reader::{Entries, Header, MAX_ENTRY, Reader, entries};
#[cfg(feature = "std")]
pub use recorded::WriterSink;
pub use recorded::{RecordLimits, RecordedBroadcaster, Sink};
pub use recorder::Recorder;
pub use replay::{AnyOutput, Departure, Difference, Replay, Summary};

/// How every trace begins.
const MAGIC: &[u8] = b"\x89pmtrace";

/// The version of the format.
const VERSION: u64 = 1;
