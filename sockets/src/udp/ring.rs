//! Linux: receives and sends through a ring of io_uring (feature `uring`).

#![expect(unsafe_code, reason = "the kernel reads and writes memory that it was told of")]

mod address;
mod buffers;
mod replies;

use std::fmt;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};

use super::{BATCH, Sender, Socket};
use buffers::Buffers;
use replies::{Replies, SLOTS};

/// The length of what the kernel writes before a datagram and its sender (`io_uring_recvmsg_out`).
const HEADER: usize = 16;
/// The longest datagram there is, in bytes, and one more.
const LONGEST: usize = 1 << 16;

/// Requests that wait to be submitted: a datagram of each slot, and the one that receives. A power of two.
const SUBMISSIONS: u32 = 512;
/// Completions that wait to be seen: of each buffer and each slot, and some. A power of two.
const COMPLETIONS: u32 = 1_024;

/// The socket, among the files of the ring.
const SOCKET: Fixed = Fixed(0);
/// Names the request that receives; what sends has the number of its slot.
const RECEIVE: u64 = u64::MAX;

/// How long the kernel may take to let go of its requests, and to do what it is asked by [`Ring::check`].
const PATIENCE: Duration = Duration::from_secs(1);
/// How often [`Ring::check`] looks meanwhile.
const TRIES: u32 = 4;

/// Receives and sends a batch of datagrams in one system call, through a ring that one thread has for itself.
///
/// The kernel receives whenever something comes, into memory that it was given beforehand, without being asked for each
/// (multishot `recvmsg` of Linux 6.0); what is sent and what waits goes to it in the same call. It has room for 256
/// datagrams that nobody has taken yet, beyond those in the socket's buffer.
///
/// ```no_run
/// use std::time::Duration;
/// use bytes::Bytes;
/// use poolmesh_sockets::udp::{Ring, Sender, Socket};
///
/// let socket = Socket::bind("127.0.0.1:6969".parse().unwrap())?;
/// let mut ring = Ring::new(&socket, 1_024)?;
/// let mut sender = Sender::new();
/// loop {
///     ring.exchange(&mut sender, Duration::from_millis(500))?;
///     for (datagram, from) in ring.datagrams() {
///         sender.push(from, Bytes::copy_from_slice(datagram));
///     }
/// }
/// # #[expect(unreachable_code, reason = "it serves for ever")]
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Ring<'a> {
    socket: &'a Socket,
    ring: IoUring,
    /// Of the request that receives.
    message: Box<libc::msghdr>,
    buffers: Option<Buffers>,
    replies: Option<Replies>,
    /// Whether the kernel has a request that receives.
    receiving: bool,
}

impl<'a> Ring<'a> {
    /// A ring for `socket` and datagrams of up to `max_datagram` bytes, for the thread that calls. What comes meanwhile
    /// goes to the ring alone.
    ///
    /// # Errors
    /// If the kernel refuses: it is older than 6.1, io_uring is switched off (`kernel.io_uring_disabled`, a container's
    /// filter), there are too many open files. The socket is left as it was. What else the kernel may not know
    /// [`check`](Self::check) tells.
    pub fn new(socket: &'a Socket, max_datagram: usize) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_cqsize(COMPLETIONS)
            .setup_coop_taskrun()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .dontfork()
            .build(SUBMISSIONS)?;
        let name_len = address::len_at(socket.local_addr());
        let buffers = Buffers::new(HEADER + name_len + max_datagram.saturating_add(1).min(LONGEST))?;
        // SAFETY: null pointers and zero lengths are what its fields may be.
        let mut message: Box<libc::msghdr> = Box::new(unsafe { mem::zeroed() });
        message.msg_namelen = name_len as libc::socklen_t;
        let (buffers, replies) = (Some(buffers), Some(Replies::new()));
        let new = Self { socket, ring, message, buffers, replies, receiving: false };
        new.set_up()?;
        Ok(new)
    }

    fn set_up(&self) -> io::Result<()> {
        let submitter = self.ring.submitter();
        let mut probe = Probe::new();
        submitter.register_probe(&mut probe)?;
        if ![opcode::RecvMsgMulti::CODE, opcode::Send::CODE].into_iter().all(|code| probe.is_supported(code))
        {
            return Err(io::ErrorKind::Unsupported.into());
        }
        submitter.register_files(&[std::os::fd::AsRawFd::as_raw_fd(self.socket)])?;
        if let Some(buffers) = &self.buffers {
            // SAFETY: `drop` lets go of them only when they are registered no longer.
            unsafe { buffers.register(&submitter)? };
        }
        Ok(())
    }

    /// Whether the system can do it: it is tried, with a socket of its own that sends itself a datagram.
    ///
    /// # Errors
    /// Why not.
    pub fn check() -> io::Result<()> {
        const DATAGRAM: &[u8] = b"?";
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into())
            .or_else(|_| Socket::bind((Ipv6Addr::LOCALHOST, 0).into()))?;
        let mut ring = Ring::new(&socket, DATAGRAM.len())?;
        let mut sender = Sender::new();
        sender.push(socket.local_addr(), Bytes::from_static(DATAGRAM));
        for _ in 0..TRIES {
            ring.exchange(&mut sender, PATIENCE / TRIES)?;
            if ring.datagrams().any(|(datagram, from)| (datagram, from) == (DATAGRAM, socket.local_addr())) {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring doesn't send or receive"))
    }

    /// Sends the batch of `sender`, and receives another in place of the batch before, up to [`BATCH`] datagrams. How
    /// many. If there is nothing it waits, for `timeout` at most; it may come back earlier with nothing.
    ///
    /// It doesn't wait for room in the socket's send buffer: what finds none is sent when there is, and `sender` keeps
    /// what is more than the ring holds. `sender` counts what became of each some calls later; an error of one
    /// costs that one alone. The memory of a payload is given back when it was sent, mostly by the next call.
    ///
    /// # Errors
    /// Those of the socket, beside which datagrams may have come. The next call goes on.
    pub fn exchange(&mut self, sender: &mut Sender, timeout: Duration) -> io::Result<usize> {
        if let Some(buffers) = &mut self.buffers {
            buffers.give_back();
        }
        let before = self.replies.as_ref().map_or(0, Replies::in_flight);
        self.send(sender);
        self.receive();
        let here = !self.ring.completion().is_empty();
        let submitted = if here {
            if self.ring.submission().is_empty() { Ok(0) } else { self.ring.submit() }
        } else {
            // What is sent is mostly sent at once: to wait for it as well is to wait for one that is received.
            let sending = self.replies.as_ref().map_or(0, Replies::in_flight);
            let want = if before == 0 { sending + 1 } else { 1 };
            let timeout = Timespec::from(timeout);
            self.ring.submitter().submit_with_args(want, &SubmitArgs::new().timespec(&timeout))
        };
        let mut failed = match submitted {
            Err(error) if !is_nothing(&error) => Some(error),
            Ok(_) | Err(_) => None,
        };
        self.complete(BATCH, sender, &mut failed);
        failed.map_or_else(|| Ok(self.buffers.as_ref().map_or(0, Buffers::len)), Err)
    }

    /// The datagrams of the batch and who sent each, as [`Receiver::datagrams`](super::Receiver::datagrams).
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        self.buffers.iter().flat_map(Buffers::iter).filter_map(|buffer| {
            let (_header, rest) = buffer.split_at_checked(HEADER)?;
            let (from, datagram) = rest.split_at_checked(self.message.msg_namelen as usize)?;
            Some((datagram, address::read(from)?))
        })
    }

    /// Sends what is left in `sender`, and counts what was sent, without waiting. What finds no room is lost.
    pub fn finish(mut self, sender: &mut Sender) {
        // Twice, for those that have to be sent again.
        for _ in 0..2 {
            self.send(sender);
            // What goes wrong shows in what is completed, or isn't.
            let _ = self.ring.submit();
            self.complete(0, sender, &mut None);
        }
        self.close(sender);
    }

    fn send(&mut self, sender: &mut Sender) {
        let Some(replies) = &mut self.replies else { return };
        let mut submission = self.ring.submission();
        replies.requests(SOCKET, sender, |request| {
            // SAFETY: what it points to lives in `replies` until it is completed, and `drop` leaks what isn't.
            unsafe { push(&mut submission, &request) };
        });
    }

    /// Has the kernel receive, if it doesn't.
    fn receive(&mut self) {
        if !self.receiving {
            let request = opcode::RecvMsgMulti::new(SOCKET, &raw const *self.message, buffers::GROUP)
                .build()
                .user_data(RECEIVE);
            // SAFETY: the message is in a box that lives as long as the ring; so do the buffers, or `drop` leaks them.
            unsafe { push(&mut self.ring.submission(), &request) };
            self.receiving = true;
        }
    }

    /// Looks at what is completed, until `most` datagrams have come; the others stay for the next time.
    fn complete(&mut self, most: usize, sender: &mut Sender, failed: &mut Option<io::Error>) {
        let (Some(buffers), Some(replies)) = (&mut self.buffers, &mut self.replies) else { return };
        let mut completion = self.ring.completion();
        while most == 0 || buffers.len() < most {
            let Some(entry) = completion.next() else { break };
            if entry.user_data() != RECEIVE {
                replies.complete(entry.user_data(), entry.result(), sender);
                continue;
            }
            self.receiving = cqueue::more(entry.flags());
            match (usize::try_from(entry.result()), cqueue::buffer_select(entry.flags())) {
                (Ok(len), Some(buffer)) => buffers.take(buffer, len),
                // Nothing is in it, but it has to be given back.
                (Err(_), Some(buffer)) => buffers.take(buffer, 0),
                (Ok(_), None) => {}
                // It has no buffers left, and goes on when it has been given some.
                (Err(_), None) if entry.result() == -libc::ENOBUFS => continue,
                (Err(_), None) => {}
            }
            if entry.result() < 0 {
                *failed = Some(io::Error::from_raw_os_error(-entry.result()));
            }
        }
    }

    /// Waits until the kernel has let go of all requests. Whether it has.
    fn close(&mut self, sender: &mut Sender) -> bool {
        let submitter = self.ring.submitter();
        // That there is none is no harm; what else goes wrong shows in that they don't end.
        let _ = submitter.register_sync_cancel(Some(PATIENCE.into()), CancelBuilder::any());
        while self.receiving || self.replies.as_ref().is_some_and(|replies| replies.in_flight() > 0) {
            let timeout = Timespec::from(PATIENCE);
            let waited = self.ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timeout));
            if waited.is_err() && self.ring.completion().is_empty() {
                return false;
            }
            self.complete(0, sender, &mut None);
        }
        true
    }
}

/// Queues a request. There is always room: at most one is queued for each slot, and one that receives.
///
/// # Safety
/// What the request points to must stay until it is completed.
unsafe fn push(submission: &mut squeue::SubmissionQueue<'_>, request: &squeue::Entry) {
    const { assert!(SLOTS as u32 + 1 < SUBMISSIONS) };
    // SAFETY: as the caller says.
    let pushed = unsafe { submission.push(request) };
    debug_assert!(pushed.is_ok(), "more requests than there can be");
}

/// Whether it only says that nothing came, or that completions are to be looked at first.
fn is_nothing(error: &io::Error) -> bool {
    [libc::ETIME, libc::EINTR, libc::EAGAIN, libc::EBUSY].map(Some).contains(&error.raw_os_error())
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        let closed = self.close(&mut Sender::new());
        // The socket's port is free as soon as it is closed, and not when the kernel has taken down the ring.
        let _ = self.ring.submitter().unregister_files();
        let unregistered = self.ring.submitter().unregister_buf_ring(buffers::GROUP);
        if !closed {
            // The kernel may still use them.
            mem::forget((self.buffers.take(), self.replies.take()));
        } else if unregistered.is_err() {
            mem::forget(self.buffers.take());
        }
    }
}

impl fmt::Debug for Ring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("socket", &self.socket)
            .field("arrived", &self.buffers.as_ref().map(Buffers::len))
            .field("sending", &self.replies.as_ref().map(Replies::in_flight))
            .field("receiving", &self.receiving)
            .finish_non_exhaustive()
    }
}
