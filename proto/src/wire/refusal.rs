//! Why a broadcaster refuses a request.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use super::{PoolId, native};

/// Why a broadcaster refuses a request.
///
/// On the classic wire it is text. The texts of gop2p and of this library are understood; any other is kept as
/// [`Refusal::Other`]. [`Display`](fmt::Display) gives the broadcaster's words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No pool has this id, or it has ended.
    NoSuchPool(Words),
    /// Only the address that created a pool can ping it.
    NotHost,
    /// No request has that type.
    UnknownRequest,
    /// The request ends too early.
    Truncated {
        /// How many bytes are missing.
        missing: u64,
    },
    /// The request is longer than the broadcaster reads.
    TooLong {
        /// The most it reads, in bytes.
        limit: u64,
    },
    /// The broadcaster holds as many pools as it may.
    TooManyPools {
        /// How many.
        limit: u64,
    },
    /// The sender's machine hosts as many pools as it may.
    TooManyPoolsFromSource {
        /// How many.
        limit: u64,
    },
    /// The pool has as many peers as it may.
    PoolFull {
        /// The pool.
        pool: PoolId,
        /// How many peers it may have.
        limit: u64,
    },
    /// The broadcaster remembers as many peers as it may.
    TooManyPeers {
        /// How many, in all pools together.
        limit: u64,
    },
    /// The broadcaster could not make an id that is new.
    NoFreshId,
    /// Something else, in the broadcaster's words. Made by [`decode_response`](super::classic::decode_response), which
    /// turns the texts it knows into the variants above.
    Other(Words),
    /// A refusal of the native dialect.
    Native(native::Refusal),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPool(id) => write!(f, "pool with id {id} doesn't exist"),
            Self::NotHost => f.write_str("only the host can send ping messages"),
            Self::UnknownRequest => f.write_str("unknown message type"),
            Self::Truncated { missing } => write!(f, "out of bound by {missing} elements"),
            Self::TooLong { limit } => write!(f, "request is longer than {limit} bytes"),
            Self::TooManyPools { limit } => write!(f, "broadcaster holds its limit of {limit} pools"),
            Self::TooManyPoolsFromSource { limit } => {
                write!(f, "your address hosts its limit of {limit} pools")
            }
            Self::PoolFull { pool, limit } => write!(f, "pool {pool} has its limit of {limit} peers"),
            Self::TooManyPeers { limit } => write!(f, "broadcaster holds its limit of {limit} peers"),
            Self::NoFreshId => f.write_str("broadcaster has no fresh pool id"),
            Self::Other(words) => write!(f, "{words}"),
            Self::Native(refusal) => write!(f, "{refusal}"),
        }
    }
}

impl core::error::Error for Refusal {}

/// Text from the network: any bytes, at most [`Words::MAX_LEN`] of them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Words(Bytes);

impl Words {
    /// The longest text, in bytes.
    pub const MAX_LEN: usize = 512;

    /// Keeps a copy of `text`, cut after [`Words::MAX_LEN`] bytes.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(Self::cut(text)))
    }

    /// As much of a text as is kept.
    pub(crate) fn cut(text: &[u8]) -> &[u8] {
        text.get(..Self::MAX_LEN).unwrap_or(text)
    }

    /// The bytes as they came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// As text; control characters are escaped and what is not UTF-8 replaced, so that it can't forge a line.
impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in String::from_utf8_lossy(&self.0).chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn words_forge_no_line() {
        let words = Words::new(b"no\n\xffway");
        assert_eq!(format!("{words} {words:?}"), "no\\n\u{fffd}way \"no\\n\\xffway\"");
        assert_eq!(Words::new(&[b'x'; 600]).as_bytes(), [b'x'; Words::MAX_LEN]);
    }
}
