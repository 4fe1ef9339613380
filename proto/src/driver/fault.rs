//! What the errors of sockets mean.

use core::time::Duration;
use std::io::{Error, ErrorKind};

use crate::Fault;

/// What an error of a datagram socket or a listener means to the loop that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing happened: call again at once. An interrupted call, an error about an earlier datagram or about a
    /// connection that is gone already.
    Harmless,
    /// It will happen again at once: wait a moment before the next try. Too many open files, no memory.
    Pause,
    /// The socket is of no more use.
    Fatal,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "ErrorKind is open-ended")]
impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Self::Reset,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::TimedOut,
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::InvalidInput => Self::Unreachable,
            ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable => Self::AddressInUse,
            ErrorKind::OutOfMemory | ErrorKind::QuotaExceeded => Self::NoResources,
            ErrorKind::PermissionDenied => Self::NotPermitted,
            _ if out_of_files(error) => Self::NoResources,
            _ => Self::Other,
        }
    }
}

impl Severity {
    /// How long to wait after [`Severity::Pause`].
    pub const PAUSE: Duration = Duration::from_millis(50);

    /// What `error`, met while receiving or sending a datagram or accepting a connection, means.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "ErrorKind is open-ended")]
    pub fn of(error: &Error) -> Self {
        match error.kind() {
            // A datagram sent earlier met a closed port (ICMP), or a connection died before it was accepted.
            ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted => Self::Harmless,
            ErrorKind::InvalidInput | ErrorKind::NotConnected | ErrorKind::Unsupported => Self::Fatal,
            // Too many open files, no buffers, a network that is down: it may pass.
            _ => Self::Pause,
        }
    }
}

/// EMFILE and ENFILE have no kind of their own; their numbers are the same on Linux and macOS. On Windows it
/// is WSAEMFILE.
fn out_of_files(error: &Error) -> bool {
    let codes: &[i32] = if cfg!(windows) { &[10_024] } else { &[23, 24] };
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn too_many_open_files_pauses() {
        let error = Error::from_raw_os_error(24);
        assert_eq!((Severity::of(&error), Fault::from(&error)), (Severity::Pause, Fault::NoResources));
    }

    #[test]
    fn every_kind_of_error_has_its_fault_and_its_severity() {
        use ErrorKind as Kind;
        use Severity::{Fatal, Harmless, Pause};
        for (kind, fault, severity) in [
            (Kind::ConnectionRefused, Fault::Refused, Harmless),
            (Kind::BrokenPipe, Fault::Reset, Pause),
            (Kind::TimedOut, Fault::TimedOut, Harmless),
            (Kind::HostUnreachable, Fault::Unreachable, Pause),
            (Kind::AddrInUse, Fault::AddressInUse, Pause),
            (Kind::OutOfMemory, Fault::NoResources, Pause),
            (Kind::PermissionDenied, Fault::NotPermitted, Pause),
            (Kind::Unsupported, Fault::Other, Fatal),
            (Kind::Other, Fault::Other, Pause),
        ] {
            let error = Error::from(kind);
            assert_eq!((Fault::from(&error), Severity::of(&error)), (fault, severity), "{kind}");
        }
    }

    #[test]
    fn an_icmp_error_is_harmless() {
        let error = Error::from(ErrorKind::ConnectionRefused);
        assert_eq!((Severity::of(&error), Fault::from(&error)), (Severity::Harmless, Fault::Refused));
    }
}
