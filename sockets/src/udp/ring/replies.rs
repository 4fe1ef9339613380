//! What is being sent: the kernel reads it until it says that it is done.

use bytes::Bytes;
use io_uring::{opcode, squeue, types};

use super::address::RawAddress;
use crate::udp::Sender;

/// The most datagrams that are being sent at a time: an answer to each datagram that the ring may hold, as what was sent
/// is seen to be so after what came before, and a batch.
pub(super) const SLOTS: u16 = 288;

/// A slot for each datagram that is being sent.
#[derive(Debug)]
pub(super) struct Replies {
    slots: Box<[Slot]>,
    free: Vec<u16>,
    /// Told to be sent again.
    again: Vec<u16>,
}

#[derive(Clone, Debug)]
struct Slot {
    to: RawAddress,
    payload: Bytes,
    refused: bool,
}

impl Replies {
    pub(super) fn new() -> Self {
        let empty = Slot { to: RawAddress::EMPTY, payload: Bytes::new(), refused: false };
        Self {
            slots: vec![empty; usize::from(SLOTS)].into(),
            free: (0..SLOTS).rev().collect(),
            again: Vec::with_capacity(usize::from(SLOTS)),
        }
    }

    /// How many the kernel is sending, or will when it is told of them.
    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len() - self.again.len()
    }

    /// The requests to send what is in `sender`, as far as there are slots, through the socket of that number.
    ///
    /// Each points to its slot and to its payload, which stay where they are until [`complete`](Self::complete) is told
    /// so, if this lives as long.
    pub(super) fn requests(
        &mut self,
        socket: types::Fixed,
        sender: &mut Sender,
        mut push: impl FnMut(squeue::Entry),
    ) {
        for number in self.again.drain(..) {
            if let Some(slot) = self.slots.get(usize::from(number)) {
                push(slot.request(socket, number));
            }
        }
        for (to, payload) in sender.take(self.free.len()) {
            let Some(number) = self.free.pop() else { break };
            if let Some(slot) = self.slots.get_mut(usize::from(number)) {
                *slot = Slot { to: to.into(), payload, refused: false };
                push(slot.request(socket, number));
            }
        }
    }

    /// The kernel has sent what is in a slot, or not, and reads it no longer.
    pub(super) fn complete(&mut self, number: u64, result: i32, sender: &mut Sender) {
        let Ok(number) = u16::try_from(number) else { return };
        let Some(slot) = self.slots.get_mut(usize::from(number)) else { return };
        debug_assert!(!self.free.contains(&number), "a slot is completed once");
        // It tells of a datagram before, which met a closed port; this one was not sent.
        if !slot.refused && [-libc::ECONNREFUSED, -libc::ECONNRESET].contains(&result) {
            slot.refused = true;
            self.again.push(number);
            return;
        }
        sender.count(result >= 0);
        slot.payload = Bytes::new();
        self.free.push(number);
    }
}

impl Slot {
    fn request(&self, socket: types::Fixed, number: u16) -> squeue::Entry {
        // No datagram is as long as 4 GiB: the kernel refuses what is cut to it here.
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let to = self.to.as_bytes();
        opcode::Send::new(socket, self.payload.as_ptr(), len)
            .dest_addr(to.as_ptr().cast())
            .dest_addr_len(to.len() as libc::socklen_t)
            .build()
            .user_data(u64::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::BATCH;

    const SOCKET: types::Fixed = types::Fixed(0);

    /// The numbers of the requests for what is in `sender`.
    fn requests(replies: &mut Replies, sender: &mut Sender) -> Vec<u64> {
        let mut numbers = Vec::new();
        replies.requests(SOCKET, sender, |request| numbers.push(request.get_user_data()));
        numbers
    }

    fn fill(sender: &mut Sender, payload: &Bytes) {
        while !sender.is_full() {
            sender.push(([192, 0, 2, 1], 1).into(), payload.clone());
        }
    }

    #[test]
    fn what_finds_no_slot_stays_with_the_sender() {
        let (mut replies, mut sender, payload) = (Replies::new(), Sender::new(), Bytes::from(vec![1; 9]));
        let mut sent = Vec::new();
        while sent.len() < usize::from(SLOTS) {
            fill(&mut sender, &payload);
            sent.extend(requests(&mut replies, &mut sender));
            assert!(sender.is_empty());
        }
        assert_eq!(sent, (0..u64::from(SLOTS)).collect::<Vec<_>>());
        fill(&mut sender, &payload);
        assert_eq!(requests(&mut replies, &mut sender), []);
        assert!(sender.is_full());
        // Two end, and leave room for two.
        replies.complete(7, 9, &mut sender);
        replies.complete(3, -libc::EPERM, &mut sender);
        assert_eq!(replies.in_flight(), usize::from(SLOTS) - 2);
        assert_eq!(requests(&mut replies, &mut sender), [3, 7]);
        assert_eq!((sender.sent(), sender.unsent()), (1, 1));
        for number in 0..u64::from(SLOTS) {
            replies.complete(number, 9, &mut sender);
        }
        let last = requests(&mut replies, &mut sender);
        assert_eq!((last.len(), replies.in_flight()), (BATCH - 2, BATCH - 2));
        for number in last {
            replies.complete(number, 9, &mut sender);
        }
        assert_eq!(replies.in_flight(), 0);
        assert!(payload.is_unique());
    }

    #[test]
    fn an_error_of_an_earlier_datagram_costs_none_but_once() {
        let (mut replies, mut sender) = (Replies::new(), Sender::new());
        sender.push(([192, 0, 2, 1], 1).into(), Bytes::from_static(b"a"));
        assert_eq!(requests(&mut replies, &mut sender), [0]);
        replies.complete(0, -libc::ECONNREFUSED, &mut sender);
        assert_eq!((replies.in_flight(), sender.unsent()), (0, 0), "it has yet to be sent again");
        assert_eq!(requests(&mut replies, &mut sender), [0]);
        assert_eq!(replies.in_flight(), 1);
        replies.complete(0, -libc::ECONNREFUSED, &mut sender);
        assert_eq!((replies.in_flight(), sender.unsent()), (0, 1));
        assert_eq!(requests(&mut replies, &mut sender), []);
    }
}
