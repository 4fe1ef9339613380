//! The classic dialect: the wire of gop2p (repository zaixrx/gop2p at 0b33cd8): a type byte, then little endian fields.
//!
//! A [`Request`](super::Request) to a broadcaster and its [`Response`](super::Response) are turned into bytes and back.

// One parser a grammar rule; the rule stands above it.
mod datagram;
mod filling;
pub(super) mod frame;
pub(super) mod frames;
mod received;
mod refusal_text;
mod room;

pub(crate) use datagram::{
    AnswerRoom, guess_pool, read_request, write_joined, write_no_such_pool, write_pool_ended, write_pools,
    write_refusal,
};
pub use datagram::{
    LIST_CAPACITY, MAX_ANSWER, MAX_DECODED, PEER_CAPACITY, decode_request, decode_response, encode_request,
    encode_response,
};
