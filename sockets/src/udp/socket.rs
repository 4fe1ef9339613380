//! A UDP socket that is set up for batches.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Type};

use super::{SOCKET_BUFFER, Waker, system};

/// A non-blocking UDP socket with room for bursts.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Socket {
    /// Opens a socket at `address`, with buffers of [`SOCKET_BUFFER`] bytes or as much as the system gives; port 0 picks
    /// a free one.
    ///
    /// # Errors
    /// If the address can't be had.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Self::try_from(UdpSocket::bind(address)?)?;
        socket.enlarge_buffers();
        Ok(socket)
    }

    /// Opens `count` sockets at one address, as [`bind`](Self::bind), and at least one. The system gives each datagram to one
    /// of them, those of one sender always to the same. Nobody else can have the port meanwhile, unless he is of the same
    /// user and asks to share it.
    ///
    /// # Errors
    /// If the address can't be had; if `count` is more than one and the system is not Linux (`Unsupported`).
    pub fn bind_shared(address: SocketAddr, count: usize) -> io::Result<Vec<Self>> {
        // The first asks for the port alone, so that it gets none that another program has.
        let first = Self::bind(address)?;
        let mut sockets = Vec::new();
        for _ in 1..count {
            if sockets.is_empty() {
                system::share_port(&SockRef::from(&first.socket))?;
            }
            let local = first.local;
            let socket = socket2::Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
            system::share_port(&SockRef::from(&socket))?;
            socket.bind(&local.into())?;
            let socket = Self::try_from(UdpSocket::from(socket))?;
            socket.enlarge_buffers();
            sockets.push(socket);
        }
        sockets.insert(0, first);
        Ok(sockets)
    }

    /// Where it is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The socket, to set its options. It stays non-blocking.
    #[must_use]
    pub fn get_ref(&self) -> &UdpSocket {
        &self.socket
    }

    /// Waits until there is something to receive, for `timeout` at most. Whether there is; an interrupted wait says no.
    ///
    /// Elsewhere than on Linux the socket is blocking meanwhile, so no other thread must use it.
    ///
    /// # Errors
    /// Those of the socket, which on Linux the next [`Receiver::receive`](super::Receiver::receive) tells.
    pub fn wait_readable(&self, timeout: Duration) -> io::Result<bool> {
        system::wait_readable(&self.socket, timeout)
    }

    /// As [`wait_readable`](Self::wait_readable), or until `waker` says so. Whether either.
    ///
    /// # Errors
    /// As there.
    pub fn wait_readable_or(&self, waker: &Waker, timeout: Duration) -> io::Result<bool> {
        system::wait_readable_or(&self.socket, &waker.0, timeout)
    }

    /// Waits until something can be sent, for `timeout` at most. Whether it can; an interrupted wait says no.
    ///
    /// Elsewhere than on Linux it waits a millisecond, and says yes.
    ///
    /// # Errors
    /// Those of the system's call.
    pub fn wait_writable(&self, timeout: Duration) -> io::Result<bool> {
        system::wait_writable(&self.socket, timeout)
    }

    /// How many datagrams came and were dropped, mostly because the receive buffer was full: a count that starts anew at
    /// 2³², as the kernel's does ([`Meter`](super::Meter) makes a total of it). `None` where the system doesn't tell: it
    /// takes Linux 4.12.
    #[must_use]
    pub fn drops(&self) -> Option<u32> {
        system::drops(&self.socket)
    }

    /// A smaller buffer loses requests in a burst, which their clients send again: no reason not to serve.
    fn enlarge_buffers(&self) {
        let socket = SockRef::from(&self.socket);
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        // Beyond what the system gives to everybody; only a privileged program may.
        system::force_buffers(&self.socket, SOCKET_BUFFER);
    }
}

/// Takes over a socket that is bound, and leaves its buffers as they are.
impl TryFrom<UdpSocket> for Socket {
    type Error = io::Error;

    fn try_from(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for Socket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Socket {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        self.socket.as_socket()
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsRawSocket for Socket {
    fn as_raw_socket(&self) -> std::os::windows::io::RawSocket {
        self.socket.as_raw_socket()
    }
}
