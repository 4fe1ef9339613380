//! Ports that are about to be free.

use std::time::Duration;
use std::{io, thread};

/// How often a port is tried that a server with an io_uring may have had which was killed: Linux ends the ring, and with it
/// the socket that it holds, behind the process.
pub(crate) const OF_A_RING: u32 = 100;

/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Binds, and as long as the port is taken again, so often at most.
#[expect(clippy::disallowed_methods, reason = "nobody tells when a port is free")]
pub(crate) fn bind<T>(attempts: u32, mut bind: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..attempts {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => thread::sleep(PAUSE),
            bound => return bound,
        }
    }
    bind()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The attempts that were made, and what came of them: the first two find the port taken, or something else.
    fn tried(attempts: u32, kind: io::ErrorKind) -> (u32, bool) {
        let mut tries = 0;
        let bound = bind(attempts, || {
            tries += 1;
            if tries > 2 { Ok(()) } else { Err(kind.into()) }
        });
        (tries, bound.is_ok())
    }

    #[test]
    fn what_is_taken_is_tried_again_and_what_can_not_be_is_not() {
        assert_eq!(tried(9, io::ErrorKind::AddrInUse), (3, true));
        assert_eq!(tried(2, io::ErrorKind::AddrInUse), (2, false));
        assert_eq!(tried(9, io::ErrorKind::PermissionDenied), (1, false));
    }
}
