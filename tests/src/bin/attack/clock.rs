//! The one clock of the attackers.

use std::time::Instant;

/// What time it is.
#[expect(clippy::disallowed_methods, reason = "the attackers work on real sockets in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
