//! What a driver says of an operation of the operating system that failed.

use core::fmt;

/// How a connection, or the attempt at one, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Nobody listens there.
    Refused,
    /// The other side broke the connection off.
    Reset,
    /// No answer came in time.
    TimedOut,
    /// There is no way to that address.
    Unreachable,
    /// The local address is in use, or not to be had.
    AddressInUse,
    /// The operating system gives no more files, ports or memory.
    NoResources,
    /// It was not permitted.
    NotPermitted,
    /// A handler of the application panicked.
    HandlerPanicked,
    /// Something else.
    Other,
}

#[cfg(test)]
impl Fault {
    /// All there are.
    pub(crate) const EACH: [Self; 9] = [
        Self::Refused,
        Self::Reset,
        Self::TimedOut,
        Self::Unreachable,
        Self::AddressInUse,
        Self::NoResources,
        Self::NotPermitted,
        Self::HandlerPanicked,
        Self::Other,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
            Self::TimedOut => "no answer in time",
            Self::Unreachable => "unreachable",
            Self::AddressInUse => "address in use or not available",
            Self::NoResources => "out of files, ports or memory",
            Self::NotPermitted => "not permitted",
            Self::HandlerPanicked => "a handler of the application panicked",
            Self::Other => "input/output error",
        })
    }
}

impl core::error::Error for Fault {}
