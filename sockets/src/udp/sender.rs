//! What sends.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use bytes::Bytes;

use super::{BATCH, Socket, system};

/// Sends a batch of datagrams at a time.
///
/// A datagram that can't be sent, whatever the reason, is lost as datagrams are: it is counted, and those behind it go
/// on. The memory of a payload is given back when it was sent, so that who made it can use it again.
#[derive(Debug)]
pub struct Sender {
    queue: Vec<(SocketAddr, Bytes)>,
    sent: u64,
    unsent: u64,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "what is left has to be flushed again"]
pub enum Flushed {
    /// Nothing is left.
    All,
    /// The socket's send buffer is full. What is left is sent by the next [`Sender::flush`]; wait until the socket is
    /// writable before.
    Blocked,
}

impl Sender {
    /// A sender of an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self { queue: Vec::with_capacity(BATCH), sent: 0, unsent: 0 }
    }

    /// Adds a datagram to the batch. One that is full takes none: the datagram is lost, and counted so.
    pub fn push(&mut self, destination: SocketAddr, payload: Bytes) {
        if self.is_full() {
            self.unsent += 1;
        } else {
            self.queue.push((destination, payload));
        }
    }

    /// Whether the batch holds [`BATCH`] datagrams, and has to be flushed before the next.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queue.len() >= BATCH
    }

    /// Whether the batch is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Sends the batch. An empty one costs nothing.
    pub fn flush(&mut self, socket: &Socket) -> Flushed {
        self.flush_with(|batch| system::send(socket.get_ref(), batch))
    }

    /// How many datagrams the system took.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many datagrams the system didn't take, or [`push`](Self::push) didn't.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Takes up to `most` datagrams from the front of the batch; [`count`](Self::count) is to be told of each.
    #[cfg(all(target_os = "linux", feature = "uring"))]
    pub(crate) fn take(&mut self, most: usize) -> impl Iterator<Item = (SocketAddr, Bytes)> {
        self.queue.drain(..most.min(self.queue.len()))
    }

    /// Counts a datagram that was taken: whether the system took it.
    #[cfg(all(target_os = "linux", feature = "uring"))]
    pub(crate) fn count(&mut self, sent: bool) {
        self.sent += u64::from(sent);
        self.unsent += u64::from(!sent);
    }

    /// `send` sends the beginning of a batch and tells how much of it, or why not the first.
    fn flush_with(&mut self, mut send: impl FnMut(&[(SocketAddr, Bytes)]) -> io::Result<usize>) -> Flushed {
        let mut done: usize = 0;
        let mut refused = false;
        while let Some(rest @ [_, ..]) = self.queue.get(done..) {
            match send(rest).map_err(|error| error.kind()) {
                Ok(sent @ 1..) => {
                    done = done.saturating_add(sent);
                    self.sent += sent as u64;
                    refused = false;
                }
                Err(ErrorKind::Interrupted) => {}
                Err(ErrorKind::WouldBlock) => {
                    self.queue.drain(..done);
                    return Flushed::Blocked;
                }
                // It tells of a datagram before, which met a closed port; this one was not sent.
                Err(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) if !refused => refused = true,
                Ok(0) | Err(_) => {
                    done = done.saturating_add(1);
                    self.unsent += 1;
                    refused = false;
                }
            }
        }
        self.queue.clear();
        Flushed::All
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender of `0`, `1`, …
    fn batch(len: u8) -> Sender {
        let mut sender = Sender::new();
        for byte in 0..len {
            sender.push(([192, 0, 2, 1], 1).into(), Bytes::copy_from_slice(&[byte]));
        }
        sender
    }

    /// Flushes with a system that gives these answers; the first byte of what it was asked to send each time, how many
    /// it was, and what came of it.
    fn flush(sender: &mut Sender, answers: &[Result<usize, ErrorKind>]) -> (Vec<(u8, usize)>, Flushed) {
        let mut asked = Vec::new();
        let flushed = sender.flush_with(|batch| {
            asked.push((batch[0].1[0], batch.len()));
            answers[asked.len() - 1].map_err(io::Error::from)
        });
        assert_eq!(asked.len(), answers.len());
        (asked, flushed)
    }

    #[test]
    fn an_error_costs_one_datagram() {
        let mut sender = batch(4);
        let answers = [Ok(1), Err(ErrorKind::NetworkUnreachable), Ok(2)];
        assert_eq!(flush(&mut sender, &answers), (vec![(0, 4), (1, 3), (2, 2)], Flushed::All));
        assert_eq!((sender.sent(), sender.unsent(), sender.is_empty()), (3, 1, true));
        assert_eq!(flush(&mut sender, &[]), (vec![], Flushed::All), "an empty batch is no call");
    }

    #[test]
    fn an_error_of_an_earlier_datagram_costs_none() {
        let mut sender = batch(2);
        let answers = [Err(ErrorKind::ConnectionRefused), Ok(1), Err(ErrorKind::ConnectionRefused), Ok(1)];
        assert_eq!(flush(&mut sender, &answers), (vec![(0, 2), (0, 2), (1, 1), (1, 1)], Flushed::All));
        assert_eq!((sender.sent(), sender.unsent()), (2, 0));

        let mut sender = batch(2);
        let answers = [Err(ErrorKind::ConnectionRefused), Err(ErrorKind::ConnectionRefused), Ok(1)];
        assert_eq!(flush(&mut sender, &answers), (vec![(0, 2), (0, 2), (1, 1)], Flushed::All));
        assert_eq!(
            (sender.sent(), sender.unsent()),
            (1, 1),
            "one that is refused each time doesn't hold up others"
        );
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut sender = batch(1);
        assert_eq!(flush(&mut sender, &[Err(ErrorKind::Interrupted), Ok(1)]).1, Flushed::All);
        assert_eq!((sender.sent(), sender.unsent()), (1, 0));
    }

    #[test]
    fn a_call_that_sends_nothing_ends() {
        let mut sender = batch(2);
        assert_eq!(flush(&mut sender, &[Ok(0), Ok(1)]).1, Flushed::All);
        assert_eq!((sender.sent(), sender.unsent()), (1, 1));
    }

    #[test]
    fn what_a_full_buffer_does_not_take_is_kept_in_order() {
        let mut sender = batch(4);
        let answers = [Ok(1), Err(ErrorKind::WouldBlock)];
        assert_eq!(flush(&mut sender, &answers), (vec![(0, 4), (1, 3)], Flushed::Blocked));
        sender.push(([192, 0, 2, 1], 1).into(), Bytes::from_static(&[4]));
        assert_eq!(flush(&mut sender, &[Ok(1), Ok(3)]), (vec![(1, 4), (2, 3)], Flushed::All));
        assert_eq!((sender.sent(), sender.unsent()), (5, 0));
    }

    #[test]
    fn a_full_batch_takes_no_more() {
        let mut sender = batch(BATCH as u8 + 1);
        assert!(sender.is_full());
        assert_eq!(flush(&mut sender, &[Ok(BATCH)]).0, [(0, BATCH)]);
        assert_eq!((sender.sent(), sender.unsent()), (BATCH as u64, 1));
    }
}
