//! The system's sockets and clock.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};

use poolmesh_proto::Instant;
use socket2::{Domain, Socket, Type};

use super::Network;
use crate::patience;

/// EINPROGRESS, which has no kind of its own.
const IN_PROGRESS: i32 = if cfg!(target_os = "linux") { 115 } else { 36 };

/// The system's sockets, non-blocking, and a monotonic clock that starts with it.
#[derive(Clone, Copy, Debug)]
pub struct System {
    epoch: std::time::Instant,
}

impl System {
    /// Its clock starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { epoch: patience::now() }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::start()
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    // What is written goes out at once.
    stream.set_nodelay(true)
}

impl Network for System {
    type Udp = UdpSocket;
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    fn open(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let udp = UdpSocket::bind(address)?;
        udp.set_nonblocking(true)?;
        Ok(udp)
    }

    fn local_addr(&self, udp: &UdpSocket) -> io::Result<SocketAddr> {
        udp.local_addr()
    }

    fn receive(&self, udp: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        udp.recv_from(buffer)
    }

    fn send(&self, udp: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        udp.send_to(datagram, to).map(drop)
    }

    fn listen(&self, address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    }

    fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = listener.accept()?;
        prepare(&stream)?;
        Ok((stream, from))
    }

    fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&to.into()) {
            Err(error)
                if error.kind() != io::ErrorKind::WouldBlock && error.raw_os_error() != Some(IN_PROGRESS) =>
            {
                Err(error)
            }
            _ => Ok(socket.into()),
        }
    }

    fn is_dialed(&self, stream: &TcpStream) -> io::Result<bool> {
        match stream.take_error()? {
            Some(error) => Err(error),
            None if stream.peer_addr().is_ok() => prepare(stream).map(|()| true),
            None => Ok(false),
        }
    }

    fn read(&self, mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer)
    }

    fn write(&self, mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }

    fn finish(&self, stream: &TcpStream) -> io::Result<()> {
        stream.shutdown(Shutdown::Write)
    }
}
