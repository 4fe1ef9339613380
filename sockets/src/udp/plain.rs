//! Any system: a call for each datagram.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;

use super::Socket;
use super::receiver::{Arrived, Slots};

/// How long it takes a full send buffer to have room again, at a guess.
const FULL: Duration = Duration::from_millis(1);

pub(crate) fn receive(socket: &Socket, slots: &mut Slots, arrived: &mut Vec<Arrived>) -> io::Result<()> {
    for slot in slots.iter_mut() {
        match socket.get_ref().recv_from(slot) {
            Ok((len, from)) => arrived.push(Arrived { len, from }),
            Err(error) if is_too_long(&error) => {}
            Err(error) if arrived.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(())
}

/// Windows says that a datagram is longer than its buffer (`WSAEMSGSIZE`), in place of who sent it.
fn is_too_long(error: &io::Error) -> bool {
    cfg!(windows) && error.raw_os_error() == Some(10_040)
}

/// Sends the beginning of a batch. How many datagrams; the error is of the first.
pub(crate) fn send(socket: &UdpSocket, batch: &[(SocketAddr, Bytes)]) -> io::Result<usize> {
    let mut sent = 0;
    for (destination, payload) in batch {
        match socket.send_to(payload, destination) {
            Ok(_) => sent += 1,
            Err(error) if sent == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(sent)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "ErrorKind is open-ended")]
pub(crate) fn wait_readable(socket: &UdpSocket, timeout: Duration) -> io::Result<bool> {
    // Zero would wait for ever.
    socket.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
    socket.set_nonblocking(false)?;
    let peeked = socket.peek_from(&mut [0]);
    socket.set_nonblocking(true)?;
    match peeked {
        Ok(_) => Ok(true),
        Err(error) if is_too_long(&error) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(false),
            _ => Err(error),
        },
    }
}

pub(crate) fn wait_writable(_: &UdpSocket, timeout: Duration) -> io::Result<bool> {
    std::thread::park_timeout(timeout.min(FULL));
    Ok(true)
}

/// What ends a wait for a socket: nothing here.
pub(crate) enum Alarm {}

pub(crate) fn alarm() -> io::Result<Alarm> {
    Err(no_sharing())
}

pub(crate) fn ring(alarm: &Alarm) {
    match *alarm {}
}

pub(crate) fn wait_readable_or(_: &UdpSocket, alarm: &Alarm, _: Duration) -> io::Result<bool> {
    match *alarm {}
}

pub(crate) fn share_port(_: &socket2::SockRef<'_>) -> io::Result<()> {
    Err(no_sharing())
}

/// Where a system has sockets share a port, it gives one of them everything, unless it is Linux.
fn no_sharing() -> io::Error {
    io::Error::new(
        ErrorKind::Unsupported,
        "only on Linux can the datagrams of one port go to several sockets",
    )
}

pub(crate) fn drops(_: &UdpSocket) -> Option<u32> {
    None
}

pub(crate) fn force_buffers(_: &UdpSocket, _: usize) {}
