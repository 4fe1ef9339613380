//! A server of datagrams over io_uring: one call submits all answers and waits for the next requests.

#![expect(unsafe_code, reason = "the kernel reads and writes memory that it was told of")]

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fixed};
use io_uring::{IoUring, cqueue, opcode};

use super::udp::{Answers, LONGEST};

/// How many buffers the kernel receives into.
const BUFFERS: u16 = 256;
/// What is before a datagram: a header and an address of IPv4.
const HEADER: usize = 16;
const NAME: usize = 16;
const STRIDE: usize = (HEADER + NAME + LONGEST).next_multiple_of(64);
const SOCKET: Fixed = Fixed(0);
const RECEIVE: u64 = 1;
const SEND: u64 = 0;

/// Buffers and the ring by which the kernel gets them. It lives as long as the process.
#[repr(C, align(65536))]
struct Memory {
    entries: [[u8; size_of::<BufRingEntry>()]; BUFFERS as usize],
    buffers: [[u8; STRIDE]; BUFFERS as usize],
}

/// Serves as long as the socket does.
pub(super) fn serve(socket: &UdpSocket, answers: &Answers) -> io::Result<()> {
    let mut ring: IoUring = IoUring::builder()
        .setup_cqsize(1_024)
        .setup_coop_taskrun()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(u32::from(2 * BUFFERS))?;
    let (submitter, mut submission, mut completion) = ring.split();
    submitter.register_files(&[socket.as_raw_fd()])?;
    // SAFETY: its size isn't zero; all zeros are bytes and entries of nothing.
    let memory = unsafe { alloc_zeroed(Layout::new::<Memory>()) }.cast::<Memory>();
    if memory.is_null() {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let entries = memory.cast::<BufRingEntry>();
    // SAFETY: it has as many entries, begins with a page, and is never freed.
    unsafe { submitter.register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0)? };
    // SAFETY: the tail is within the first entry, aligned; both sides use it atomically.
    let published = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
    let mut tail = 0;
    let buffer = |number: u16| {
        // SAFETY: within the memory, as all numbers are below BUFFERS.
        unsafe { (&raw mut (*memory).buffers).cast::<u8>().add(usize::from(number % BUFFERS) * STRIDE) }
    };
    let mut give = |number: u16| {
        // SAFETY: an entry that the kernel has read, as it hasn't the buffer that is put there.
        let entry = unsafe { &mut *entries.add(usize::from(tail % BUFFERS)) };
        entry.set_addr(buffer(number) as u64);
        entry.set_len(STRIDE as u32);
        entry.set_bid(number);
        tail = tail.wrapping_add(1);
        tail
    };
    for number in 0..BUFFERS {
        published.store(give(number), Ordering::Release);
    }
    // SAFETY: null pointers and zero lengths are what its fields may be.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_namelen = NAME as u32;
    let receive = opcode::RecvMsgMulti::new(SOCKET, &raw const message, 0).build().user_data(RECEIVE);
    let mut receiving = false;
    loop {
        let mut sent = 0;
        for entry in &mut completion {
            if entry.user_data() == SEND {
                continue;
            }
            receiving = cqueue::more(entry.flags());
            let (Ok(len), Some(number)) =
                (usize::try_from(entry.result()), cqueue::buffer_select(entry.flags()))
            else {
                if entry.result() == -libc::ENOBUFS {
                    continue;
                }
                return Err(io::Error::from_raw_os_error(-entry.result()));
            };
            // SAFETY: the kernel has filled as much of it, and is given it back below.
            let received = unsafe { slice::from_raw_parts(buffer(number), len) };
            let Some((from, request)) = received.get(HEADER..).and_then(|rest| rest.split_at_checked(NAME))
            else {
                continue;
            };
            if let Some(answer) = answers.to(request) {
                let answer = opcode::Send::new(SOCKET, answer.as_ptr(), answer.len() as u32)
                    .dest_addr(from.as_ptr().cast())
                    .dest_addr_len(NAME as u32)
                    .build()
                    .user_data(SEND);
                // SAFETY: the answers outlive the loop. The address is read when it is submitted, which is before
                // anything more is received.
                unsafe { submission.push(&answer) }.map_err(io::Error::other)?;
                sent += 1;
            }
            published.store(give(number), Ordering::Release);
        }
        if !receiving {
            // SAFETY: the message and the buffers outlive the loop.
            unsafe { submission.push(&receive) }.map_err(io::Error::other)?;
            receiving = true;
        }
        submission.sync();
        completion.sync();
        submitter.submit_and_wait(sent + 1)?;
        submission.sync();
        completion.sync();
    }
}
