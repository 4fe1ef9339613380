//! What can be wrong with a trace.

use core::fmt;

use crate::InvalidPoolId;

/// What is wrong with a trace, and where. All before that place was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// Where in the file, in bytes from its start. If the file is cut: where the entry begins that isn't whole.
    pub offset: u64,
    /// What.
    pub fault: TraceFault,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {} of the trace: {}", self.offset, self.fault)
    }
}

impl core::error::Error for TraceError {}

/// What is wrong with a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceFault {
    /// It doesn't begin as a trace does.
    NotATrace,
    /// It is of a version that this reader doesn't know.
    UnknownVersion {
        /// Which.
        version: u64,
    },
    /// It ends within its header or an entry: whoever wrote it was killed, or is still writing.
    Cut {
        /// How many bytes are missing at least.
        missing: u64,
    },
    /// The header, or an entry, claims to be longer than the reader takes.
    TooLong {
        /// The length it claims, in bytes.
        len: u64,
        /// The most that is taken.
        max: usize,
    },
    /// A field claims more bytes than its entry has left.
    Short {
        /// How many bytes are missing.
        missing: u64,
    },
    /// An entry is longer than what it holds.
    Trailing {
        /// By how many bytes.
        bytes: usize,
    },
    /// A number stands for nothing that this reader knows: a newer version wrote it, or it is spoiled.
    Unknown {
        /// What it should stand for.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// A setting is not there.
    Missing {
        /// What it is.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// A number is larger than what it stands for can be on this machine.
    OutOfRange,
    /// No pool can be called that.
    PoolId(InvalidPoolId),
}

impl fmt::Display for TraceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATrace => f.write_str("this is no trace"),
            Self::UnknownVersion { version } => write!(f, "a trace of version {version} can't be read"),
            Self::Cut { missing } => write!(f, "it is cut here: at least {missing} bytes are missing"),
            Self::TooLong { len, max } => write!(f, "an entry of {len} bytes is longer than {max}"),
            Self::Short { missing } => write!(f, "a field lacks {missing} bytes"),
            Self::Trailing { bytes } => write!(f, "an entry is {bytes} bytes longer than what it holds"),
            Self::Unknown { what, number } => write!(f, "{number} is no known {what}"),
            Self::Missing { what, number } => write!(f, "the {what} with number {number} is missing"),
            Self::OutOfRange => f.write_str("a number is too large"),
            Self::PoolId(invalid) => write!(f, "{invalid}"),
        }
    }
}

impl core::error::Error for TraceFault {}
