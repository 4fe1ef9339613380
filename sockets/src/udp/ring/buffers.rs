//! The memory into which the kernel receives: a ring of buffers that it takes from, and is given back to it.

#![expect(unsafe_code, reason = "memory that the kernel writes to, and a ring that it reads")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// How many buffers there are: what may come between two turns without the kernel having to be asked again. A power of
/// two.
const COUNT: u16 = 256;
/// The group of the buffers, the only one of its ring.
pub(super) const GROUP: u16 = 0;
/// The kernel wants its part to begin with a page; none is longer than this but on machines of 64 KiB, of which this is
/// a multiple as well.
const PAGE: usize = 1 << 16;
/// Buffers begin where a line of the cache does.
const LINE: usize = 64;

/// Buffers, each of which is either the kernel's or ours.
///
/// Ours are those in `arrived`: the kernel has said that it has filled them, and was not given them back since.
#[derive(Debug)]
pub(super) struct Buffers {
    /// First the ring of entries, then the buffers.
    memory: NonNull<u8>,
    layout: Layout,
    stride: usize,
    len: u32,
    /// How many were given to the kernel so far.
    tail: u16,
    arrived: Vec<Arrived>,
}

/// A buffer of ours.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    buffer: u16,
    len: usize,
}

impl Buffers {
    /// Where the buffers begin.
    const FIRST: usize = COUNT as usize * size_of::<BufRingEntry>();

    /// Buffers of `len` bytes, all of which are the kernel's once they are registered.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "buffers that are too long");
        let stride = len.checked_next_multiple_of(LINE).ok_or_else(too_long)?;
        let all = stride.checked_mul(usize::from(COUNT)).and_then(|all| all.checked_add(Self::FIRST));
        let layout = all.and_then(|all| Layout::from_size_align(all, PAGE).ok()).ok_or_else(too_long)?;
        let len = u32::try_from(len).map_err(|_| too_long())?;
        // SAFETY: its size is at least that of the ring, which isn't zero.
        let Some(memory) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        let mut buffers =
            Self { memory, layout, stride, len, tail: 0, arrived: Vec::with_capacity(usize::from(COUNT)) };
        for buffer in 0..COUNT {
            buffers.give(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Lets the kernel take from them.
    ///
    /// # Safety
    /// They must live until the ring has unregistered them, or none of its requests is left that can write to them.
    pub(super) unsafe fn register(&self, ring: &Submitter<'_>) -> io::Result<()> {
        // SAFETY: the entries begin with a page and there are COUNT of them; the caller keeps them alive.
        unsafe { ring.register_buf_ring_with_flags(self.memory.as_ptr() as u64, COUNT, GROUP, 0) }
    }

    /// The kernel says that it has written `len` bytes to that buffer, which is ours now.
    pub(super) fn take(&mut self, buffer: u16, len: usize) {
        if buffer < COUNT && self.arrived.len() < usize::from(COUNT) {
            self.arrived.push(Arrived { buffer, len: len.min(self.len as usize) });
        }
    }

    /// Gives all of ours back to the kernel.
    pub(super) fn give_back(&mut self) {
        if self.arrived.is_empty() {
            return;
        }
        for at in 0..self.arrived.len() {
            if let Some(Arrived { buffer, .. }) = self.arrived.get(at).copied() {
                self.give(buffer);
            }
        }
        self.arrived.clear();
        self.publish();
    }

    /// How many are ours.
    pub(super) fn len(&self) -> usize {
        self.arrived.len()
    }

    /// What was written to ours, in the order in which it came.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.arrived.iter().map(|arrived| {
            // SAFETY: `take` made sure that there is such a buffer and that it has that length; all its bytes were
            // initialized when it was allocated. It is ours, so that the kernel doesn't write to it, and stays so
            // until `give_back`, which the borrow of `self` keeps from being called.
            unsafe { slice::from_raw_parts(self.buffer(arrived.buffer).as_ptr(), arrived.len) }
        })
    }

    fn buffer(&self, number: u16) -> NonNull<u8> {
        // SAFETY: callers have a number below COUNT, so that it is within the allocation.
        unsafe { self.memory.add(Self::FIRST + usize::from(number % COUNT) * self.stride) }
    }

    /// Writes the next entry of the ring; the kernel reads it after [`publish`](Self::publish).
    fn give(&mut self, buffer: u16) {
        let address = self.buffer(buffer).as_ptr() as u64;
        let at = usize::from(self.tail % COUNT);
        // SAFETY: an entry of the ring, initialized with zeros. The kernel doesn't read it: it has COUNT entries, of
        // which as many are in use as there are buffers that it has, and this is a buffer that it hasn't. What it does
        // read is the tail, which overlaps the last two bytes of the first entry, and none of the setters writes there.
        let entry = unsafe { &mut *self.memory.cast::<BufRingEntry>().add(at).as_ptr() };
        entry.set_addr(address);
        entry.set_len(self.len);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Tells the kernel how many entries there are.
    fn publish(&self) {
        // SAFETY: the first entry of a ring that is initialized.
        let tail = unsafe { BufRingEntry::tail(self.memory.cast().as_ptr()) };
        // SAFETY: aligned and within the allocation; whoever else uses it, the kernel, reads it at once as well.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated with that layout; whoever registered them says that the kernel is done with them.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}
