//! What is counted at a socket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Mailbox, Sender, Socket};

/// What was counted at a socket since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketStats {
    /// Datagrams that the system took to send.
    pub sent: u64,
    /// Datagrams that it didn't take: no route, not permitted, too long.
    pub unsent: u64,
    /// Datagrams that came and that the system dropped, mostly because the receive buffer was full. `None` where it
    /// doesn't tell.
    pub dropped: Option<u64>,
    /// Datagrams that came to another socket of the same port, and found the [`Mailbox`] of this one's loop full.
    pub mailbox_full: u64,
}

/// What was counted at several sockets.
impl std::iter::Sum for SocketStats {
    fn sum<I: Iterator<Item = Self>>(sockets: I) -> Self {
        sockets.fold(Self::default(), |sum, socket| Self {
            sent: sum.sent + socket.sent,
            unsent: sum.unsent + socket.unsent,
            dropped: [sum.dropped, socket.dropped].into_iter().flatten().reduce(|sum, dropped| sum + dropped),
            mailbox_full: sum.mailbox_full + socket.mailbox_full,
        })
    }
}

/// Tells what a loop has counted so far, to whoever has a clone of it.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    latest: Arc<Mutex<SocketStats>>,
}

impl Meter {
    /// How often a loop that serves should [`update`](Self::update) it: seldom enough to cost nothing.
    pub const UPDATE_EVERY: Duration = Duration::from_secs(1);

    /// What was counted when the loop last said so.
    #[must_use]
    pub fn read(&self) -> SocketStats {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the counts up to date: for the one loop that uses `socket` and `sender`, now and then, and at its end. It
    /// takes a system call. Between two updates the system may drop 2³² datagrams and no more.
    pub fn update(&self, socket: &Socket, sender: &Sender) {
        let drops = socket.drops();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.sent = sender.sent();
        latest.unsent = sender.unsent();
        latest.dropped = drops.map(|drops| total(latest.dropped.unwrap_or(0), drops)).or(latest.dropped);
    }

    /// Brings up to date what the mailbox of the loop tells, in the same way.
    pub fn update_mailbox(&self, mailbox: &Mailbox) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.mailbox_full = mailbox.lost();
    }
}

/// The total after `total`, when a counter of its last 32 bits stands at `counter`.
fn total(total: u64, counter: u32) -> u64 {
    let before = total as u32;
    total.saturating_add(u64::from(counter.wrapping_sub(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_starts_anew_goes_on() {
        assert_eq!(total(0, 5), 5);
        assert_eq!(total(5, 5), 5);
        assert_eq!(total(u64::from(u32::MAX), 2), u64::from(u32::MAX) + 3);
        assert_eq!(total((7 << 32) + 1, 0), 8 << 32);
    }
}
