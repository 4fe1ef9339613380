//! The wire: what programs say to each other, apart from how it looks in bytes.
//!
//! Clients and broadcasters have two [`Dialect`]s: [`native`], and [`classic`], the wire of gop2p. The first byte of a datagram
//! tells which one it is in. Links have one wire, the frames of gop2p.
//!
//! # Panics and memory
//!
//! Nothing here panics, whatever the bytes are. Decoding a datagram allocates at most [`MAX_DECODED`] bytes beyond
//! its input's length, reading frames at most [`FrameReader::SLACK`] beyond what was received. Nothing is ever
//! reserved on the strength of a length that a peer claims.

pub mod classic;
mod dialect;
mod error;
pub(crate) mod fields;
mod message;
pub mod native;
mod pool_id;
mod pool_info;
mod pool_member;
mod refusal;
pub(crate) mod uuid;

pub use classic::frame::{Frame, FrameReader, FrameTooLong};
pub(crate) use classic::frame::{HEADER_LEN, header};
pub use classic::frames::{Frames, FramesIter};
pub use classic::{MAX_ANSWER, MAX_DECODED};
pub use dialect::Dialect;
pub use error::{RequestFault, ResponseFault};
pub(crate) use message::Asked;
pub use message::{Message, MessageRef, Request, Response};
pub use pool_id::{InvalidPoolId, PoolId};
pub use pool_info::{PoolInfo, canonical, preferred};
pub use pool_member::PoolMember;
pub use refusal::{Refusal, Words};
