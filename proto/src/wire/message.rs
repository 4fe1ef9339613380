//! What is said: requests, responses, and the messages of a link.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::{PoolId, PoolInfo, Refusal};
use crate::packet::PacketReader;

/// What a client asks of a broadcaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// Make a pool with the sender as its host. Not idempotent.
    Create,
    /// Keep this pool alive. Answered only if it fails.
    Ping(PoolId),
    /// Name the pools there are.
    List,
    /// Make the sender a peer of this pool and tell it of the others. Idempotent.
    Join(PoolId),
}

/// A request as it stands in a datagram: what should be an id may be any bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Create,
    Ping(&'a [u8]),
    List,
    Join(&'a [u8]),
}

/// What a broadcaster says to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response {
    /// The answer to create and to join. Nothing on the classic wire tells which.
    Joined(PoolInfo),
    /// The answer to list.
    Pools(Vec<PoolId>),
    /// A request was refused.
    Refused(Refusal),
    /// A pool of this host has gone, because no ping came for the ping timeout. It doesn't say which.
    PoolEnded,
}

/// One event that came over a link: its name and its payload, as slices of what was received.
///
/// It keeps the memory of the chunk it came in alive; copy what is to be kept for long.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    body: Bytes,
    name_len: usize,
}

impl Message {
    /// An eighth of what is read at a time at most.
    const WORTH_COPYING: usize = 32 * 1_024;

    /// `body` holds the name's bytes, `name_len` of them, then the payload.
    pub(crate) fn new(body: Bytes, name_len: usize) -> Self {
        debug_assert!(name_len <= body.len());
        Self { name_len: name_len.min(body.len()), body }
    }

    /// The event's name. Any bytes, as the peer sent them.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.body.get(..self.name_len).unwrap_or_default()
    }

    /// The event's name as text, what is not UTF-8 in it replaced.
    #[must_use]
    pub fn name_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.name())
    }

    /// Whether this is the event of that name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name() == name.as_bytes()
    }

    /// What the peer put into the event.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.body.get(self.name_len..).unwrap_or_default()
    }

    /// The payload without the name, not copied.
    #[must_use]
    pub fn into_payload(mut self) -> Bytes {
        self.body.split_off(self.name_len)
    }

    /// Lets go of the chunk that it came in, if it is only a small part of one: a copy costs less than to keep the rest
    /// alive.
    pub fn detach(&mut self) {
        if self.body.len() < Self::WORTH_COPYING {
            self.body = Bytes::copy_from_slice(&self.body);
        }
    }

    /// Reads the payload field by field.
    #[must_use]
    pub fn reader(&self) -> PacketReader<'_> {
        PacketReader::new(self.payload())
    }
}

/// One event that came over a link, looked at where it lies.
///
/// It goes when the handler that was given it returns: [`to_message`](Self::to_message) is for what is to be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MessageRef<'a> {
    body: &'a [u8],
    name_len: usize,
    /// What it is a slice of.
    chunk: &'a Bytes,
}

impl<'a> MessageRef<'a> {
    /// `body`, which lies in `chunk`, holds the name's bytes, `name_len` of them, then the payload.
    pub(crate) fn new(body: &'a [u8], name_len: usize, chunk: &'a Bytes) -> Self {
        Self { body, name_len, chunk }
    }

    /// The name, then the payload.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The event's name. Any bytes, as the peer sent them.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.body.get(..self.name_len).unwrap_or_default()
    }

    /// The event's name as text, what is not UTF-8 in it replaced.
    #[must_use]
    pub fn name_lossy(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name())
    }

    /// Whether this is the event of that name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name() == name.as_bytes()
    }

    /// What the peer put into the event.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.body.get(self.name_len..).unwrap_or_default()
    }

    /// Reads the payload field by field.
    #[must_use]
    pub fn reader(&self) -> PacketReader<'a> {
        PacketReader::new(self.payload())
    }

    /// The payload to keep, without its name. For its memory the same goes as for [`to_message`](Self::to_message).
    #[must_use]
    pub fn to_payload(&self) -> Bytes {
        self.chunk.slice_ref(self.payload())
    }

    /// The event to keep. It is not copied, and keeps the memory of all that came with it alive: at most 256 KiB, or as
    /// much as itself. [`Message::detach`] lets go of that.
    #[must_use]
    pub fn to_message(&self) -> Message {
        Message::new(self.chunk.slice_ref(self.body), self.name_len)
    }
}

impl fmt::Debug for MessageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRef")
            .field("name", &self.name_lossy())
            .field("payload_len", &self.payload().len())
            .finish()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("name", &self.name_lossy())
            .field("payload_len", &self.payload().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_name_and_what_is_behind_it() {
        let mut message = Message::new(Bytes::from_static(b"m\xffsgab"), 4);
        for _ in 0..2 {
            assert_eq!((message.name(), message.payload()), (&b"m\xffsg"[..], &b"ab"[..]));
            assert_eq!(message.name_lossy(), "m\u{fffd}sg");
            assert_eq!(alloc::format!("{message:?}"), "Message { name: \"m\u{fffd}sg\", payload_len: 2 }");
            message.detach();
        }
        assert_eq!(message.into_payload(), b"ab"[..]);
        let message = Message::new(Bytes::from_static(b"msg"), 3);
        assert!(message.is("msg") && !message.is("ms") && message.reader().rest().is_empty());
    }

    #[test]
    fn only_a_message_below_32_kib_is_copied_to_be_detached() {
        for (len, copied) in [(32 * 1_024 - 1, true), (32 * 1_024, false)] {
            let mut message = Message::new(Bytes::from(alloc::vec![7; len]), 3);
            let memory = message.name().as_ptr();
            message.detach();
            assert_eq!(message.name().as_ptr() != memory, copied, "{len} bytes");
        }
    }
}
