//! Which encoding a datagram is in, and the way from meanings to bytes and back.

use core::net::SocketAddr;

use bytes::BytesMut;

use super::classic::datagram as classic;
use super::{Asked, Refusal, Request, RequestFault, Response, ResponseFault, uuid};

/// The longest answer a broadcaster gives, in bytes: what a gop2p client reads of a datagram.
pub const MAX_ANSWER: usize = 1_024;

/// Where an answer is written, and some bytes more: an item is written before it is seen that it doesn't fit. The longest
/// is an id of 63 bytes with the space behind it.
pub(crate) type AnswerRoom = [u8; MAX_ANSWER + 64 + 1];

/// What decoding one datagram may allocate beyond the datagram's own length, in bytes.
pub const MAX_DECODED: usize = 128 * 1_024;

/// An encoding of [`Request`] and [`Response`]. There is one today; the machines don't depend on which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// The wire of gop2p (repository zaixrx/gop2p at 0b33cd8): a type byte, then little endian fields.
    #[default]
    Classic,
}

impl Dialect {
    /// The dialect that a datagram is in, by its first byte. What no other dialect claims is classic, whose
    /// decoder then says what is wrong with it.
    #[must_use]
    pub fn of(_datagram: &[u8]) -> Self {
        Self::Classic
    }

    /// Reads a request to a broadcaster. In the classic dialect bytes after the request's fields are ignored.
    ///
    /// # Errors
    /// What is wrong with the datagram, so that a broadcaster can say it.
    pub fn decode_request(self, datagram: &[u8]) -> Result<Request, RequestFault<'_>> {
        match self {
            Self::Classic => classic::decode_request(datagram),
        }
    }

    /// The same, but ids are left as they stand there. Nothing is copied.
    pub(crate) fn read_request(self, datagram: &[u8]) -> Result<Asked<'_>, RequestFault<'_>> {
        match self {
            Self::Classic => classic::read_request(datagram),
        }
    }

    /// The id of the pool that a request may be about, if it is one that [`Broadcaster`](crate::Broadcaster) makes: found
    /// with as little as can be, for one that is about none has nobody's id.
    #[inline]
    pub(crate) fn guess_pool(self, datagram: &[u8]) -> Option<&[u8; uuid::LEN]> {
        match self {
            Self::Classic => classic::guess_pool(datagram),
        }
    }

    /// Appends a request to `out`: at most 68 bytes.
    pub fn encode_request(self, request: &Request, out: &mut BytesMut) {
        match self {
            Self::Classic => classic::encode_request(request, out),
        }
    }

    /// Reads an answer or a notice of a broadcaster. Lists longer than what [`MAX_DECODED`] bytes hold (2,048 pool
    /// ids, 4,096 peers) are cut there.
    ///
    /// # Errors
    /// What is wrong with the datagram. It is for counters and logs: a spoiled answer is to be ignored.
    pub fn decode_response(self, datagram: &[u8]) -> Result<Response, ResponseFault> {
        match self {
            Self::Classic => classic::decode_response(datagram),
        }
    }

    /// Appends an answer or a notice to `out`: at most [`MAX_ANSWER`] bytes. A list that would be longer is cut at
    /// a whole item, from the end.
    pub fn encode_response(self, response: &Response, out: &mut BytesMut) {
        match self {
            Self::Classic => classic::encode_response(response, out),
        }
    }

    /// Writes the answer that names these pools, as far as they fit. How long it is, as of all that is written so.
    pub(crate) fn write_pools<'a>(
        self,
        ids: impl Iterator<Item = &'a [u8; 16]>,
        room: &mut AnswerRoom,
    ) -> usize {
        match self {
            Self::Classic => classic::write_pools(ids, room),
        }
    }

    /// Writes the answer that describes pool `id` to the peer at `you`, with as many peers as fit. Addresses are
    /// [`canonical`](super::canonical).
    pub(crate) fn write_joined(
        self,
        id: &[u8; 16],
        host: SocketAddr,
        you: SocketAddr,
        peers: impl Iterator<Item = SocketAddr>,
        room: &mut AnswerRoom,
    ) -> usize {
        match self {
            Self::Classic => classic::write_joined(id, host, you, peers, room),
        }
    }

    /// Writes the answer that refuses a request.
    pub(crate) fn write_refusal(self, refusal: &Refusal, room: &mut AnswerRoom) -> usize {
        match self {
            Self::Classic => classic::write_refusal(refusal, room),
        }
    }

    /// The same of [`Refusal::NoSuchPool`], by the id as it came.
    pub(crate) fn write_no_such_pool(self, id: &[u8], room: &mut AnswerRoom) -> usize {
        match self {
            Self::Classic => classic::write_no_such_pool(id, room),
        }
    }

    /// Writes the notice that a pool has ended.
    pub(crate) fn write_pool_ended(self, room: &mut AnswerRoom) -> usize {
        match self {
            Self::Classic => classic::write_pool_ended(room),
        }
    }

    /// How many pool ids made by [`Broadcaster`](crate::Broadcaster) fit one answer.
    #[must_use]
    pub fn list_capacity(self) -> usize {
        match self {
            Self::Classic => classic::LIST_CAPACITY,
        }
    }

    /// How many peers can at most fit one answer, whatever their addresses are.
    #[must_use]
    pub fn peer_capacity(self) -> usize {
        match self {
            Self::Classic => classic::PEER_CAPACITY,
        }
    }
}
