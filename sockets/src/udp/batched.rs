//! Linux: a call for a batch.

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, getsockopt, recvmmsg};
use nix::{getsockopt_impl, sockopt_impl};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg, sockopt};

use super::receiver::{Arrived, Slots};
use super::{BATCH, Socket};

/// What the kernel is told about a batch, used again for each: it takes time to make.
///
/// It is a thread's and not a receiver's because it can't be handed to another thread. And it is a family's, because the
/// kernel leaves in it how long the addresses were that came last, which is how long those that come next may be.
#[derive(Default)]
struct Headers {
    ipv4: Option<MultiHeaders<SockaddrStorage>>,
    ipv6: Option<MultiHeaders<SockaddrStorage>>,
}

thread_local! {
    static HEADERS: RefCell<Headers> = RefCell::default();
}

pub(crate) fn receive(socket: &Socket, slots: &mut Slots, arrived: &mut Vec<Arrived>) -> io::Result<()> {
    HEADERS.with_borrow_mut(|headers| {
        let headers = if socket.local_addr().is_ipv6() { &mut headers.ipv6 } else { &mut headers.ipv4 };
        let headers = headers.get_or_insert_with(|| MultiHeaders::preallocate(BATCH, None));
        let mut slots = slots.iter_mut();
        let mut slices: [_; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
        let fd = socket.get_ref().as_raw_fd();
        let received = recvmmsg(fd, headers, &mut slices, MsgFlags::MSG_DONTWAIT, None)?;
        arrived.extend(received.filter_map(|message| {
            Some(Arrived { len: message.bytes, from: address(message.address.as_ref()?)? })
        }));
        Ok(())
    })
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    match storage.as_sockaddr_in() {
        Some(ipv4) => Some(SocketAddr::V4((*ipv4).into())),
        None => storage.as_sockaddr_in6().map(|ipv6| SocketAddr::V6((*ipv6).into())),
    }
}

/// Sends the beginning of a batch. How many datagrams; the error is of the first.
pub(crate) fn send(socket: &UdpSocket, batch: &[(SocketAddr, Bytes)]) -> io::Result<usize> {
    match batch.len() {
        ..=1 => send_some::<1>(socket, batch),
        2..=8 => send_some::<8>(socket, batch),
        _ => send_some::<BATCH>(socket, batch),
    }
}

/// As [`send`], of a batch of up to `N`: what the kernel is told is made anew, so a small batch makes less of it.
fn send_some<const N: usize>(socket: &UdpSocket, batch: &[(SocketAddr, Bytes)]) -> io::Result<usize> {
    let nobody = (SocketAddr::from(([0; 4], 0)), Bytes::new());
    let mut messages: [_; N] = std::array::from_fn(|at| {
        let (destination, payload) = batch.get(at).unwrap_or(&nobody);
        (destination.as_any(), [IoSlice::new(payload)], SendAncillaryBuffer::default())
    });
    let mut headers = messages
        .each_mut()
        .map(|(destination, slices, control)| MMsgHdr::new_with_addr(destination, slices, control));
    let headers = headers.get_mut(..batch.len()).unwrap_or_default();
    Ok(sendmmsg(socket, headers, SendFlags::DONTWAIT)?)
}

pub(crate) fn wait_readable(socket: &UdpSocket, timeout: Duration) -> io::Result<bool> {
    wait(socket, PollFlags::IN, timeout)
}

pub(crate) fn wait_writable(socket: &UdpSocket, timeout: Duration) -> io::Result<bool> {
    wait(socket, PollFlags::OUT, timeout)
}

fn wait(socket: &UdpSocket, what: PollFlags, timeout: Duration) -> io::Result<bool> {
    wait_for(&mut [PollFd::new(socket, what)], timeout)
}

fn wait_for(what: &mut [PollFd<'_>], timeout: Duration) -> io::Result<bool> {
    // A time too long to be told is no limit.
    let timeout = Timespec::try_from(timeout).ok();
    match poll(what, timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What ends a wait for a socket.
pub(crate) type Alarm = OwnedFd;

pub(crate) fn alarm() -> io::Result<Alarm> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

pub(crate) fn ring(alarm: &Alarm) {
    // It fails only if it has been rung 2⁶⁴ times since anybody looked.
    let _ = rustix::io::write(alarm, &1u64.to_ne_bytes());
}

pub(crate) fn wait_readable_or(socket: &UdpSocket, alarm: &Alarm, timeout: Duration) -> io::Result<bool> {
    let mut what = [PollFd::new(socket, PollFlags::IN), PollFd::new(alarm, PollFlags::IN)];
    let ready = wait_for(&mut what, timeout)?;
    let [_, alarm_ready] = what;
    if alarm_ready.revents().contains(PollFlags::IN) {
        // It starts anew.
        let _ = rustix::io::read(alarm, &mut [0; 8]);
    }
    Ok(ready)
}

/// Has others share the socket's port, whether it is bound already or is to be.
pub(crate) fn share_port(socket: &socket2::SockRef<'_>) -> io::Result<()> {
    Ok(sockopt::set_socket_reuseport(&**socket, true)?)
}

/// Where the drops are in what [`MemInfo`] gives (`SK_MEMINFO_DROPS` of linux/sock_diag.h).
const DROPS: usize = 8;

sockopt_impl!(
    /// What a socket's memory is used for.
    MemInfo, GetOnly, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; DROPS + 1]
);

/// `SO_RXQ_OVFL` would tell it with each datagram, and cost time with each.
pub(crate) fn drops(socket: &UdpSocket) -> Option<u32> {
    getsockopt(socket, MemInfo).ok()?.last().copied()
}

pub(crate) fn force_buffers(socket: &UdpSocket, len: usize) {
    let _ = sockopt::set_socket_recv_buffer_size_force(socket, len);
    let _ = sockopt::set_socket_send_buffer_size_force(socket, len);
}
