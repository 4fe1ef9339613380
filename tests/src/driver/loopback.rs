//! A world of real sockets and real time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "part of the tests: what fails here fails the check"
)]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use poolmesh_proto::Instant;
use socket2::{Domain, SockRef, Socket, Type};

use super::{Heard, Network as _, SocketId, System, Turn, World};
use crate::patience::{PATIENCE, pause};

/// How often the driver gets its turn, and the check looks.
const LOOK: Duration = Duration::from_millis(1);
/// The receive buffers of peers are small, and stay so: without that a system takes more and more for one that doesn't
/// read.
const NARROW: usize = 32 * 1_024;

#[derive(Debug)]
enum Real {
    Udp(SocketAddr, Option<UdpSocket>),
    Port(SocketAddr, TcpListener),
    Stream(SocketAddr, TcpStream),
    Reset,
}

/// Real sockets of this machine, and real time. For drivers that own their sockets.
#[derive(Debug, Default)]
pub struct Loopback {
    system: System,
    sockets: BTreeMap<SocketId, Real>,
    /// What fills the queues of ports that answer nobody.
    filling: Vec<TcpStream>,
}

fn local() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn bind_udp(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(NARROW).unwrap();
    socket.bind(&local().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

impl Loopback {
    fn add(&mut self, socket: Real) -> SocketId {
        let id = SocketId(self.sockets.len());
        self.sockets.insert(id, socket);
        id
    }

    fn add_stream(&mut self, stream: TcpStream) -> SocketId {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        let address = stream.local_addr().unwrap();
        self.add(Real::Stream(address, stream))
    }

    fn stream(&self, id: SocketId) -> &TcpStream {
        match &self.sockets[&id] {
            Real::Stream(_, stream) => stream,
            Real::Udp(..) | Real::Port(..) | Real::Reset => panic!("not a connection: {id:?}"),
        }
    }
}

impl World for Loopback {
    fn now(&self) -> Instant {
        self.system.now()
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn turn(&mut self, turn: &mut dyn FnMut() -> Turn) -> bool {
        turn();
        false
    }

    fn sleep(&mut self, until: Instant) {
        pause(LOOK.min(until.saturating_duration_since(self.now())));
    }

    fn stall(&mut self, time: Duration) {
        pause(time);
    }

    fn open_udp(&mut self) -> SocketId {
        let socket = bind_udp(local());
        self.add(Real::Udp(socket.local_addr().unwrap(), Some(socket)))
    }

    fn address(&self, socket: SocketId) -> SocketAddr {
        match &self.sockets[&socket] {
            Real::Udp(address, _) | Real::Port(address, _) | Real::Stream(address, _) => *address,
            Real::Reset => panic!("it was reset"),
        }
    }

    fn receive(&mut self, socket: SocketId) -> Option<(Vec<u8>, SocketAddr)> {
        let Real::Udp(_, Some(udp)) = &self.sockets[&socket] else { return None };
        let mut buffer = vec![0; 1 << 16];
        loop {
            match udp.recv_from(&mut buffer) {
                Ok((len, from)) => return Some((buffer[..len].to_vec(), from)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                // About a datagram that was sent to a socket now closed.
                Err(_) => {}
            }
        }
    }

    fn send(&mut self, socket: SocketId, to: SocketAddr, datagram: &[u8]) {
        let Real::Udp(_, Some(udp)) = &self.sockets[&socket] else { panic!("not open: {socket:?}") };
        udp.send_to(datagram, to).unwrap();
    }

    fn close_udp(&mut self, socket: SocketId) {
        if let Some(Real::Udp(_, udp)) = self.sockets.get_mut(&socket) {
            *udp = None;
        }
    }

    fn reopen_udp(&mut self, socket: SocketId) {
        if let Some(Real::Udp(address, udp)) = self.sockets.get_mut(&socket) {
            *udp = Some(bind_udp(*address));
        }
    }

    fn port(&mut self) -> SocketId {
        let (socket, address) = bound();
        // Bound, and not listening.
        self.add(Real::Port(address, socket.into()))
    }

    fn silent_port(&mut self) -> Option<SocketId> {
        let (socket, address) = bound();
        socket.listen(0).unwrap();
        // A full queue: the system drops further attempts.
        let (filled, refused): (Vec<_>, Vec<_>) = (0..8)
            .map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(20)))
            .partition(Result::is_ok);
        self.filling.extend(filled.into_iter().flatten());
        (!refused.is_empty()).then(|| self.add(Real::Port(address, socket.into())))
    }

    fn listen(&mut self, port: SocketId) {
        let Real::Port(_, listener) = &self.sockets[&port] else { panic!("not a port: {port:?}") };
        SockRef::from(listener).listen(64).unwrap();
        listener.set_nonblocking(true).unwrap();
    }

    fn accept(&mut self, port: SocketId) -> Option<SocketId> {
        let Real::Port(_, listener) = &self.sockets[&port] else { panic!("not a port: {port:?}") };
        let (stream, _) = listener.accept().ok()?;
        Some(self.add_stream(stream))
    }

    fn dial(&mut self, to: SocketAddr) -> Option<SocketId> {
        let (socket, _) = bound();
        match socket.connect_timeout(&to.into(), PATIENCE) {
            Ok(()) => Some(self.add_stream(socket.into())),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => None,
            Err(error) => panic!("{to} neither accepts nor refuses: {error}"),
        }
    }

    fn write(&mut self, stream: SocketId, bytes: &[u8]) -> usize {
        self.stream(stream).write(bytes).unwrap_or(0)
    }

    fn read(&mut self, stream: SocketId, most: usize) -> Heard {
        let mut buffer = vec![0; most];
        match self.stream(stream).read(&mut buffer) {
            Ok(0) => Heard::End,
            Ok(len) => {
                buffer.truncate(len);
                Heard::Bytes(buffer)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }

    fn finish(&mut self, stream: SocketId) {
        // It may be broken already.
        let _ = self.stream(stream).shutdown(Shutdown::Write);
    }

    fn reset(&mut self, stream: SocketId) {
        SockRef::from(self.stream(stream)).set_linger(Some(Duration::ZERO)).unwrap();
        self.sockets.insert(stream, Real::Reset);
    }
}
