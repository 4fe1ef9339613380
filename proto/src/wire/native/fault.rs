//! What can be wrong with a datagram of this dialect.

use core::fmt;

use nom::error::{ErrorKind, ParseError};

/// Why a datagram is dropped (PROTOCOL.md, section 1). It is for counters: nobody is told, but for what
/// [`Fault::WrongTag`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It is longer than [`MAX_DATAGRAM`](super::MAX_DATAGRAM) bytes.
    TooLong,
    /// Its first byte is not [`FIRST_BYTE`](super::FIRST_BYTE).
    OtherDialect,
    /// It ends before its fields do, or is a member's message of fewer than [`LEAST_MESSAGE`](super::LEAST_MESSAGE)
    /// bytes.
    Truncated,
    /// No datagram of the other side has this type.
    UnknownType,
    /// It is of a type that the reader's own side writes.
    WrongSide,
    /// The tag is not what the key makes of the bytes. A broadcaster answers such a message of a member by `Unknown`.
    WrongTag,
    /// A field has a value that it can't have.
    BadValue,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the datagram is too long",
            Self::OtherDialect => "the datagram is of another dialect",
            Self::Truncated => "the datagram ends too early",
            Self::UnknownType => "the datagram's type is unknown",
            Self::WrongSide => "the datagram's type is of the reader's own side",
            Self::WrongTag => "the datagram's tag is wrong",
            Self::BadValue => "a field has a value that it can't have",
        })
    }
}

impl core::error::Error for Fault {}

/// All that nom itself finds wrong is that a field ends too early.
impl<'a> ParseError<&'a [u8]> for Fault {
    fn from_error_kind(_: &'a [u8], _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// The fault, out of nom's wrapping. Complete parsers never answer `Incomplete`.
pub(super) fn fault(error: nom::Err<Fault>) -> Fault {
    match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => fault,
        nom::Err::Incomplete(_) => Fault::Truncated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_what_is_wrong() {
        let texts = [Fault::TooLong, Fault::WrongTag].map(|fault| alloc::format!("{fault}"));
        assert_eq!(texts, ["the datagram is too long", "the datagram's tag is wrong"]);
    }
}
