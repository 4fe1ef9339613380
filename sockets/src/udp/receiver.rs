//! What receives.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::{BATCH, Socket, system};

/// The longest datagram there is, in bytes, and one more.
const LONGEST: usize = 1 << 16;

/// Slots begin where a line of the cache does.
const LINE: usize = 64;

/// Receives a batch of datagrams at a time, always into the same memory.
pub struct Receiver {
    slots: Slots,
    arrived: Vec<Arrived>,
}

/// The memory of a batch: a slot for each datagram.
pub(crate) struct Slots {
    memory: Vec<u8>,
    stride: usize,
    /// How much of a slot is used.
    len: usize,
}

/// A datagram in the slot of the same number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) len: usize,
    pub(crate) from: SocketAddr,
}

impl Receiver {
    /// A receiver of datagrams of up to `max_datagram` bytes. It takes [`BATCH`] times that memory, and some.
    #[must_use]
    pub fn new(max_datagram: usize) -> Self {
        let len = max_datagram.saturating_add(1).min(LONGEST);
        let stride = len.next_multiple_of(LINE);
        let slots = Slots { memory: vec![0; BATCH * stride], stride, len };
        Self { slots, arrived: Vec::with_capacity(BATCH) }
    }

    /// Receives what is there, up to [`BATCH`] datagrams, in place of the batch before. How many; 0 if there is nothing.
    ///
    /// # Errors
    /// Those of the socket; then there is no batch. An error that comes after a datagram of the batch is told by the next
    /// call, if it lasts.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        self.arrived.clear();
        match system::receive(socket, &mut self.slots, &mut self.arrived) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
            Ok(()) => Ok(self.arrived.len()),
        }
    }

    /// The datagrams of the batch and who sent each, in the order in which they came.
    ///
    /// One that is longer than `max_datagram` is cut after a byte more than that, by which it shows. (On Windows it is
    /// left out.) An IPv4 address is mapped into IPv6 if the socket is of IPv6, and a link-local one has its scope.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = (&[u8], SocketAddr)> {
        let slots = self.slots.memory.chunks_exact(self.slots.stride);
        self.arrived
            .iter()
            .zip(slots)
            .map(|(arrived, slot)| (slot.get(..arrived.len).unwrap_or_default(), arrived.from))
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slots { memory, stride: _, len } = &self.slots;
        f.debug_struct("Receiver")
            .field("memory", &memory.len())
            .field("longest", len)
            .field("arrived", &self.arrived)
            .finish()
    }
}

impl Slots {
    /// Each slot, as long as what is received into it may be.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let len = self.len;
        self.memory.chunks_exact_mut(self.stride).map(move |slot| slot.get_mut(..len).unwrap_or_default())
    }
}
