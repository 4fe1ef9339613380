//! Where datagrams wait that came to another socket of the same port.

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Datagrams that other loops have handed to the loop of one socket.
///
/// It holds [`LIMIT`](Self::LIMIT) of them: more are lost, and counted. To look into one that is empty takes no lock.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    /// As the lock was left: whether anything waits.
    is_filled: AtomicBool,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    mail: Mail,
    /// Whether the loop has to be woken.
    asleep: bool,
}

/// Datagrams, and who sent each, in order. Its memory is used again.
#[derive(Default)]
pub struct Mail {
    memory: Vec<u8>,
    /// Where in the memory each ends, and its sender.
    ends: Vec<(usize, SocketAddr)>,
}

/// What has to be done when a datagram was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a loop that sleeps doesn't see its mail"]
pub enum Handed {
    /// The loop sleeps: wake it.
    Wake,
    /// It will look.
    Noted,
    /// There was no room.
    Lost,
}

impl Mailbox {
    /// How many datagrams there is room for: those of some batches of each of some other loops.
    pub const LIMIT: usize = 1_024;

    /// Hands in a datagram.
    pub fn hand(&self, datagram: &[u8], from: SocketAddr) -> Handed {
        let mut waiting = self.lock();
        if waiting.mail.ends.len() >= Self::LIMIT {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Handed::Lost;
        }
        waiting.mail.push(datagram, from);
        self.is_filled.store(true, Ordering::Release);
        if mem::take(&mut waiting.asleep) { Handed::Wake } else { Handed::Noted }
    }

    /// Takes out all that waits, in place of what `mail` held before.
    pub fn take(&self, mail: &mut Mail) {
        mail.clear();
        if self.is_filled.load(Ordering::Acquire) {
            let mut waiting = self.lock();
            mem::swap(&mut waiting.mail, mail);
            self.is_filled.store(false, Ordering::Release);
        }
    }

    /// Says that the loop goes to sleep: whoever hands in the next datagram is told to wake it. Whether it may; not if
    /// something waits.
    #[must_use]
    pub fn sleep(&self) -> bool {
        let mut waiting = self.lock();
        waiting.asleep = waiting.mail.ends.is_empty();
        waiting.asleep
    }

    /// How many datagrams found no room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    /// The datagrams and who sent each, in the order in which they were handed in.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        let mut start = 0;
        self.ends.iter().map(move |(end, from)| {
            let datagram = self.memory.get(mem::replace(&mut start, *end)..*end);
            (datagram.unwrap_or_default(), *from)
        })
    }

    fn push(&mut self, datagram: &[u8], from: SocketAddr) {
        self.memory.extend_from_slice(datagram);
        self.ends.push((self.memory.len(), from));
    }

    fn clear(&mut self) {
        self.memory.clear();
        self.ends.clear();
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail")
            .field("bytes", &self.memory.len())
            .field("datagrams", &self.ends.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn taken(mailbox: &Mailbox) -> Vec<(Vec<u8>, u16)> {
        let mut mail = Mail::default();
        mail.push(b"of before", address(9));
        mailbox.take(&mut mail);
        mail.datagrams().map(|(datagram, from)| (datagram.to_vec(), from.port())).collect()
    }

    #[test]
    fn what_was_handed_in_comes_out_in_order_and_once() {
        let mailbox = Mailbox::default();
        assert_eq!(taken(&mailbox), []);
        for (datagram, port) in [(&b"one"[..], 1), (b"", 2), (b"three", 3)] {
            assert_eq!(mailbox.hand(datagram, address(port)), Handed::Noted);
        }
        assert_eq!(taken(&mailbox), [(b"one".to_vec(), 1), (vec![], 2), (b"three".to_vec(), 3)]);
        assert_eq!(taken(&mailbox), []);
        assert_eq!(mailbox.hand(b"four", address(4)), Handed::Noted);
        assert_eq!(taken(&mailbox), [(b"four".to_vec(), 4)]);
    }

    #[test]
    fn one_that_sleeps_is_woken_once() {
        let mailbox = Mailbox::default();
        assert!(mailbox.sleep());
        assert_eq!(mailbox.hand(b"1", address(1)), Handed::Wake);
        assert_eq!(mailbox.hand(b"2", address(1)), Handed::Noted);
        assert!(!mailbox.sleep(), "something waits");
        assert_eq!(mailbox.hand(b"3", address(1)), Handed::Noted);
        assert_eq!(taken(&mailbox).len(), 3);
        assert!(mailbox.sleep());
        assert!(mailbox.sleep());
        assert_eq!(mailbox.hand(b"4", address(1)), Handed::Wake);
    }

    #[test]
    fn what_finds_no_room_is_lost_and_counted() {
        let mailbox = Mailbox::default();
        for _ in 0..Mailbox::LIMIT {
            assert_eq!(mailbox.hand(b"", address(1)), Handed::Noted);
        }
        for _ in 0..3 {
            assert_eq!(mailbox.hand(b"", address(1)), Handed::Lost);
        }
        assert_eq!((taken(&mailbox).len(), mailbox.lost()), (Mailbox::LIMIT, 3));
        assert_eq!(mailbox.hand(b"", address(1)), Handed::Noted);
    }
}
