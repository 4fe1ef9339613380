//! What a peer needs of TCP: a port that is its own on UDP, too, and a way to read into memory as it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use bytes::BytesMut;
use socket2::{Domain, SockRef, Socket, Type};

/// How many port numbers are tried to find one that is free for UDP and for TCP.
const TRIES: usize = 64;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// A TCP port that is held: no other peer that looks for one gets it, and who dials it is refused, until it is
/// [listened](listen) on.
#[derive(Debug)]
pub struct HeldPort(Socket);

impl HeldPort {
    /// Binds without listening.
    fn hold(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&address.into())?;
        // Links that were accepted here and closed keep the port busy for a minute, unless they and whoever binds it next
        // say that they share it; said after the bind, so that the hold itself is not shared. On Windows the option means
        // something else, and is not needed.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        Ok(Self(socket))
    }

    fn fits(&self, address: SocketAddr) -> bool {
        let local = self.0.local_addr().ok().and_then(|local| local.as_socket());
        local.is_some_and(|local| local.port() == address.port() && local.is_ipv4() == address.is_ipv4())
    }
}

/// The sockets of a client.
#[derive(Debug)]
pub struct OwnPort {
    /// What talks to broadcasters. It is connected to none, for there may be several.
    pub udp: UdpSocket,
    /// The same number on TCP.
    pub held: HeldPort,
    /// The address of the UDP socket, on the way to the broadcaster it was opened for.
    pub local: SocketAddr,
}

/// A UDP socket to talk to `server` and others of the same IP version, on a port whose number is held for TCP, too: other
/// peers dial the one that the server sees.
///
/// # Errors
/// If there is no such port, or no way to the server.
pub fn udp_with_tcp_port(server: SocketAddr) -> io::Result<OwnPort> {
    // A socket that is connected shows by what address it would send.
    let probe = UdpSocket::bind(any(server, 0))?;
    probe.connect(server)?;
    let mut local = probe.local_addr()?;
    drop(probe);
    let mut last = None;
    for _ in 0..TRIES {
        let udp = UdpSocket::bind(any(server, 0))?;
        local.set_port(udp.local_addr()?.port());
        match HeldPort::hold(any(server, local.port())) {
            Ok(held) => return Ok(OwnPort { udp, held, local }),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Starts to listen on a held port if it is the one that is asked for, and else on a new one.
///
/// # Errors
/// If the address can't be had.
pub fn listen(address: SocketAddr, held: Option<HeldPort>) -> io::Result<TcpListener> {
    match held.filter(|held| held.fits(address)) {
        Some(HeldPort(socket)) => {
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        }
        None => TcpListener::bind(address),
    }
}

/// Reads into the spare memory of `buffer`, once, and says how many bytes: none at the end of the stream, or if there is no
/// spare memory.
///
/// # Errors
/// Those of the socket.
pub fn read(stream: &TcpStream, buffer: &mut BytesMut) -> io::Result<usize> {
    let spare = buffer.spare_capacity_mut();
    let len = SockRef::from(stream).recv(spare)?.min(spare.len());
    let filled = buffer.len() + len;
    #[expect(
        unsafe_code,
        reason = "std reads into initialised memory only, which costs a pass over it each time"
    )]
    // SAFETY: `recv` has initialised the first `len` bytes of the spare capacity, and `len` is at most all of it.
    unsafe {
        buffer.set_len(filled);
    }
    Ok(len)
}

/// All interfaces, in the family of `like`.
fn any(like: SocketAddr, port: u16) -> SocketAddr {
    let ip: IpAddr = if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_read_stands_behind_what_was_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut there = listener.accept().unwrap().0;
        let mut buffer = BytesMut::with_capacity(8);
        buffer.extend_from_slice(b"ab");
        there.write_all(b"cdefghij").unwrap();
        let mut read_on = |expected: &[u8], room| {
            while buffer.len() < expected.len() {
                assert!(read(&here, &mut buffer).unwrap() > 0);
            }
            assert_eq!((&buffer[..], buffer.capacity()), (expected, room));
        };
        read_on(b"abcdefgh", 8);
        let mut buffer = BytesMut::with_capacity(100);
        assert_eq!(read(&here, &mut buffer).unwrap(), 2);
        drop(there);
        assert_eq!((read(&here, &mut buffer).unwrap(), &buffer[..]), (0, &b"ij"[..]));
    }

    #[test]
    fn a_held_port_is_nobody_elses_and_refuses_who_dials_until_it_is_listened_on() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let OwnPort { udp, held, .. } = udp_with_tcp_port(server.local_addr().unwrap()).unwrap();
        let port = udp.local_addr().unwrap().port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        assert!(HeldPort::hold(any(address, port)).is_err());
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let listener = listen(any(address, port), Some(held)).unwrap();
        assert_eq!(listener.local_addr().unwrap().port(), port);
        TcpStream::connect(address).unwrap();
    }

    #[test]
    fn where_another_port_is_asked_for_the_held_one_is_let_go() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let OwnPort { udp, held, .. } = udp_with_tcp_port(server.local_addr().unwrap()).unwrap();
        let port = udp.local_addr().unwrap().port();
        let other = listen("127.0.0.1:0".parse().unwrap(), Some(held)).unwrap();
        assert_ne!(other.local_addr().unwrap().port(), port);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}
