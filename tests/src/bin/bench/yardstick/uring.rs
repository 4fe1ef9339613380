//! The server of datagrams over io_uring: one call for all that came and all that is sent.

#![expect(
    unsafe_code,
    reason = "requests name memory that the kernel reads and writes later: io-uring leaves it to us"
)]

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fixed, RecvMsgOut};
use io_uring::{IoUring, cqueue, opcode, squeue};
use nix::libc::{MSG_DONTWAIT, msghdr, sockaddr_in, socklen_t};

use super::udp::{Answers, LONGEST};

/// Buffers that datagrams are received into, a power of two: more than are ever on their way.
const BUFFERS: u16 = 256;
/// What stands before the datagram in a buffer: a header, then who sent it.
const BEFORE: usize = 16 + size_of::<sockaddr_in>();
/// One buffer, in bytes, as a multiple of cache lines.
const BUFFER: usize = (BEFORE + LONGEST).next_multiple_of(64);
/// The group that the buffers are.
const GROUP: u16 = 0;
/// The socket, which is the only registered file.
const SOCKET: Fixed = Fixed(0);
/// What tells a completion of the receive from one of a send.
const RECEIVED: u64 = 1;

/// Whether the kernel has it, and lets us.
pub(super) fn check() -> io::Result<()> {
    ring().map(drop)
}

/// Only one thread uses it, and completions are handled when that thread asks for them.
fn ring() -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_cqsize(4 * u32::from(BUFFERS));
    builder.build(2 * u32::from(BUFFERS))
}

/// Serves for ever.
pub(super) fn serve(socket: &UdpSocket, answers: &Answers) -> io::Result<()> {
    let mut ring = ring()?;
    let (submitter, mut submissions, mut completions) = ring.split();
    submitter.register_files(&[socket.as_raw_fd()])?;
    let mut buffers = Buffers::new();
    // SAFETY: the memory is never freed.
    unsafe { submitter.register_buf_ring_with_flags(buffers.ring as u64, BUFFERS, GROUP, 0)? };
    // SAFETY: a msghdr may be all zeros, which says that there is nothing.
    let mut header: msghdr = unsafe { mem::zeroed() };
    header.msg_namelen = size_of::<sockaddr_in>() as socklen_t;
    let receive = opcode::RecvMsgMulti::new(SOCKET, &raw const header, GROUP).build().user_data(RECEIVED);
    let full = |_| io::Error::other("more is to be submitted than there is room for");
    let mut armed = false;
    loop {
        if !mem::replace(&mut armed, true) {
            // SAFETY: the header lives as long as the ring.
            unsafe { submissions.push(&receive).map_err(full)? };
        }
        submissions.sync();
        match submitter.submit_and_wait(1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => drop(result?),
        }
        // What was to be sent to the addresses in them is sent.
        buffers.give_back();
        completions.sync();
        for completion in &mut completions {
            let result = completion.result();
            if completion.user_data() != RECEIVED {
                return Err(io::Error::from_raw_os_error(-result));
            }
            // It ends when there is no buffer, and then starts anew.
            armed &= cqueue::more(completion.flags());
            let Some(buffer) = cqueue::buffer_select(completion.flags()) else { continue };
            // SAFETY: a completion names this buffer, and it is not given back yet.
            let bytes = unsafe { buffers.take(buffer, usize::try_from(result).unwrap_or(0)) };
            let Ok(request) = RecvMsgOut::parse(bytes, &header) else { continue };
            let Some(answer) = answers.to(request.payload_data()) else { continue };
            // It is sent within the call that submits it, or not at all; only a failure is told.
            let send = opcode::Send::new(SOCKET, answer.as_ptr(), answer.len() as u32)
                .flags(MSG_DONTWAIT)
                .dest_addr(request.name_data().as_ptr().cast())
                .dest_addr_len(request.name_data().len() as socklen_t)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS);
            // SAFETY: answers live longer than the ring, and the address is given back only after the call.
            unsafe { submissions.push(&send).map_err(full)? };
        }
    }
}

/// The ring of buffers, as the kernel wants it.
#[repr(C, align(4096))]
struct Entries([BufRingEntry; BUFFERS as usize]);

/// Memory that the kernel receives into. It is never freed: there is one server in a process, and it serves to the end.
struct Buffers {
    ring: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
    /// Those that were taken, and are not given back yet.
    taken: Vec<u16>,
}

impl Buffers {
    fn new() -> Self {
        // SAFETY: entries are numbers, and may be zero.
        let entries: Box<Entries> = Box::new(unsafe { mem::zeroed() });
        let memory = vec![0u8; usize::from(BUFFERS) * BUFFER].into_boxed_slice();
        let mut buffers = Self {
            ring: Box::into_raw(entries).cast(),
            memory: Box::into_raw(memory).cast(),
            tail: 0,
            taken: (0..BUFFERS).collect(),
        };
        buffers.give_back();
        buffers
    }

    fn place(&self, buffer: u16) -> *mut u8 {
        // Within the memory, whatever the number.
        self.memory.wrapping_add(usize::from(buffer % BUFFERS) * BUFFER)
    }

    /// What was received into a buffer, which stays ours until it is given back.
    ///
    /// # Safety
    /// A completion must have named it, and it must not have been given back since, nor be before the slice is dropped.
    unsafe fn take<'a>(&mut self, buffer: u16, len: usize) -> &'a [u8] {
        self.taken.push(buffer);
        // SAFETY: it lies within memory that is never freed, and the kernel doesn't write to it until it is given back.
        unsafe { slice::from_raw_parts(self.place(buffer), len.min(BUFFER)) }
    }

    /// Lets the kernel use all that were taken.
    fn give_back(&mut self) {
        let mut taken = mem::take(&mut self.taken);
        for buffer in taken.drain(..) {
            let entry = self.ring.wrapping_add(usize::from(self.tail % BUFFERS));
            let place = self.place(buffer);
            // SAFETY: the entry is one of the ring, and not one that the kernel reads, for it is behind the tail. Fields
            // are set one by one: the last of the first entry is the tail itself.
            let entry = unsafe { &mut *entry };
            entry.set_addr(place as u64);
            entry.set_len(BUFFER as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
        }
        self.taken = taken;
        // SAFETY: the ring's first entry is valid, its tail aligned, and only this thread stores to it.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
