//! The native dialect: datagrams between clients and a broadcaster, as `PROTOCOL.md` of this crate says.
//!
//! Whoever gets a datagram reads it for its side, [`FromClient::read`] or [`FromBroadcaster::read`]. A request shows by
//! itself whether its tag is right. The key of anything else depends on what it says it is of: look that up, then
//! [`verify`](UnverifiedMessage::verify).
//!
//! ```
//! use bytes::BytesMut;
//! use poolmesh_proto::wire::native::{Act, FromClient, Handle, Key, Message};
//!
//! let key = Key::new([7; 16]); // of the session, as the broadcaster gave it
//! let mut datagram = BytesMut::new();
//! Message { handle: Handle(3), count: 1, act: Act::Ping(None) }.write(&key, &mut datagram);
//!
//! let FromClient::Message(unverified) = FromClient::read(&datagram)? else { panic!() };
//! assert_eq!(unverified.handle(), Handle(3)); // whose key is looked up
//! assert_eq!(unverified.verify(&key)?.act, Act::Ping(None));
//! # Ok::<(), poolmesh_proto::wire::native::Fault>(())
//! ```
//!
//! # Panics and memory
//!
//! Nothing here panics, whatever the bytes are. Reading allocates nothing: what was read borrows from the datagram, and
//! lists are iterators over items that were checked. Writing appends to a buffer, at most [`MAX_DATAGRAM`] bytes.

mod address;
mod answer;
mod application;
mod cookie;
mod datagram;
mod fault;
pub(crate) mod field;
mod items;
mod keys;
mod listing;
mod lists;
mod message;
mod notice;
mod numbers;
mod pool_code;
mod pool_uuid;
mod reason;
mod refusal;
mod request;
mod roster;
mod sip;
mod spec;
mod text;
mod ticket;

pub use address::Address;
pub use answer::{Answer, Joined, Reply, UnverifiedAnswer};
pub use application::{Application, InvalidApplication};
pub use cookie::Cookie;
pub use datagram::{FIRST_BYTE, LEAST_MESSAGE, LEAST_REQUEST, LONGEST_TO_UNPROVEN, MAX_DATAGRAM};
pub(crate) use datagram::{PAGES, SHORTEST_INTERVAL};
pub use fault::Fault;
pub use items::Items;
pub use keys::{Keys, Secret};
pub use listing::{Listed, Listing};
pub use lists::{ChangedWriter, PageWriter, PoolsWriter};
pub(crate) use message::QuickPing;
pub use message::{Act, Message, UnverifiedMessage};
pub(crate) use notice::pong;
pub use notice::{Challenge, News, Notice, Page, PageStart, UnverifiedNotice};
pub use numbers::{Epoch, Handle, Member, Millis, Seats, Session, Term, Tx};
pub use pool_code::{InvalidPoolCode, PoolCode};
pub use pool_uuid::{NotAUuid, PoolUuid};
pub use reason::{EndReason, LeaveReason};
pub use refusal::{Refusal, UnknownCode};
pub use request::{Call, Request};
pub use roster::{Change, Entry, State};
pub use sip::{Key, Seal, prf, tag};
pub use spec::{InvalidSpec, PoolSpec, Spec};
pub use text::{About, Metadata, Name, TextTooLong};
pub use ticket::Ticket;

use datagram::{Side, open};

/// What a broadcaster gets.
#[derive(Clone, Copy, Debug)]
pub enum FromClient<'a> {
    /// A request, whose tag is right.
    Request(Request<'a>),
    /// A message of a member, to be verified with the key of the session at its handle.
    Message(UnverifiedMessage<'a>),
}

impl<'a> FromClient<'a> {
    /// Reads a datagram that a client is said to have written.
    ///
    /// # Errors
    /// Why it is to be dropped.
    pub fn read(datagram: &'a [u8]) -> Result<Self, Fault> {
        let closed = open(datagram, Side::Client)?;
        match closed.kind {
            kind if request::is_request(kind) => request::read(&closed).map(Self::Request),
            kind if message::is_message(kind) => UnverifiedMessage::read(closed).map(Self::Message),
            _ => Err(Fault::UnknownType),
        }
    }
}

/// What a client gets.
#[derive(Clone, Copy, Debug)]
pub enum FromBroadcaster<'a> {
    /// An answer, to be verified with the key of the request of its `tx`.
    Answer(UnverifiedAnswer<'a>),
    /// Something said to a member, to be verified with the key of its session.
    Notice(UnverifiedNotice<'a>),
    /// Something said without a key, which anybody can have written.
    Challenge(Challenge),
}

impl<'a> FromBroadcaster<'a> {
    /// Reads a datagram that a broadcaster is said to have written.
    ///
    /// # Errors
    /// Why it is to be dropped.
    pub fn read(datagram: &'a [u8]) -> Result<Self, Fault> {
        let closed = open(datagram, Side::Broadcaster)?;
        match closed.kind {
            kind if answer::is_answer(kind) => UnverifiedAnswer::read(closed).map(Self::Answer),
            kind if notice::is_notice(kind) => UnverifiedNotice::read(closed).map(Self::Notice),
            kind if notice::is_challenge(kind) => Challenge::read(&closed).map(Self::Challenge),
            _ => Err(Fault::UnknownType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent because of a message depends on whether its type is known, not on its tag.
    #[test]
    fn an_unknown_type_is_one_before_its_tag_is_looked_at() {
        let read = |kind| {
            let mut datagram = [0; LEAST_MESSAGE];
            datagram[..2].copy_from_slice(&[FIRST_BYTE, kind]);
            let read =
                [FromClient::read(&datagram).map(|_| ()), FromBroadcaster::read(&datagram).map(|_| ())];
            read.map(|read| read != Err(Fault::UnknownType))
        };
        let known = |kind| read(kind) == [true; 2];
        let types = (0..=u8::MAX).filter(|kind| known(*kind)).collect::<alloc::vec::Vec<_>>();
        let of_clients = [1, 2, 3, 4, 5, 0x10, 0x11, 0x12, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d];
        let of_broadcasters = [0x80, 0x81, 0x82, 0x83, 0x90, 0x91, 0x92, 0x98, 0x99, 0xa0, 0xa1];
        assert_eq!(types, [&of_clients[..], &of_broadcasters].concat());
    }
}
