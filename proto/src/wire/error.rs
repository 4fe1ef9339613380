//! What can be wrong with a datagram.

use core::fmt;

/// Why a datagram is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestFault<'a> {
    /// It is empty. Classic broadcasters don't answer it.
    Empty,
    /// No request has this type byte.
    UnknownType(u8),
    /// A field runs past the end of the datagram.
    Truncated {
        /// How many bytes are missing.
        missing: u64,
    },
    /// It is an answer, not a request: what a broadcaster says to a list or to an unknown type. Answering it could
    /// set two broadcasters talking to each other for ever.
    Answer,
    /// What stands in the place of a pool id can't be one, so no pool has it.
    NotAPoolId(&'a [u8]),
}

impl fmt::Display for RequestFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty datagram"),
            Self::UnknownType(kind) => write!(f, "unknown request type {kind}"),
            Self::Truncated { missing } => write!(f, "request is {missing} bytes short"),
            Self::Answer => f.write_str("an answer, not a request"),
            Self::NotAPoolId(bytes) => write!(f, "\"{}\" is not a pool id", bytes.escape_ascii()),
        }
    }
}

impl core::error::Error for RequestFault<'_> {}

/// Why a datagram is no answer and no notice of a broadcaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseFault {
    /// It is empty.
    Empty,
    /// No answer has this type byte.
    UnknownType(u8),
    /// A field runs past the end of the datagram.
    Truncated {
        /// How many bytes are missing.
        missing: u64,
    },
    /// Bytes follow the answer's last field.
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// An item of a list is not the pool id or the address it should be, or is missing.
    BadItem {
        /// Its place in the list, counted from 0.
        index: usize,
    },
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty datagram"),
            Self::UnknownType(kind) => write!(f, "unknown answer type {kind}"),
            Self::Truncated { missing } => write!(f, "answer is {missing} bytes short"),
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow the answer"),
            Self::BadItem { index } => write!(f, "item {index} of the answer is malformed or missing"),
        }
    }
}

impl core::error::Error for ResponseFault {}
