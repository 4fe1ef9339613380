//! What wakes a thread that waits for a socket.

use std::fmt;
use std::io;

use super::system;

/// Ends a [`Socket::wait_readable_or`](super::Socket::wait_readable_or), from another thread.
pub struct Waker(pub(crate) system::Alarm);

impl Waker {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no more file descriptors, or is not Linux (`Unsupported`).
    pub fn new() -> io::Result<Self> {
        system::alarm().map(Self)
    }

    /// Ends the wait, or the next one if nobody waits. Many calls before that are one.
    pub fn wake(&self) {
        system::ring(&self.0);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").finish_non_exhaustive()
    }
}
