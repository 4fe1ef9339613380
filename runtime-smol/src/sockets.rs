//! Sockets, opened and set up.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use bytes::BytesMut;
use poolmesh_proto::wire::preferred;
use smol::Async;
use smol::net::AsyncToSocketAddrs;
use socket2::{Domain, SockRef, Socket, Type};

/// How many port numbers are tried to find one that is free for UDP and for TCP.
const TRIES: usize = 64;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// A UDP socket towards `server`, and a TCP socket that holds the same port number for a mesh to listen on.
pub(crate) fn udp_with_tcp_port(server: SocketAddr) -> io::Result<(Async<UdpSocket>, Socket)> {
    let mut last = None;
    for _ in 0..TRIES {
        let udp = UdpSocket::bind(any(server, 0))?;
        match hold_tcp(any(server, udp.local_addr()?.port())) {
            Ok(tcp) => {
                // Connected, so that the system filters strangers, and tells of a closed port.
                udp.connect(server)?;
                return Ok((Async::new(udp)?, tcp));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// Binds without listening: the port is ours, and who dials it is refused.
fn hold_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    // Links that were accepted here and closed keep the port busy for a minute, unless they and whoever binds it next
    // say that they share it; said after the bind, so that the hold itself is not shared. On Windows the option means
    // something else, and is not needed.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// Starts to listen on a held socket if it has the port that is asked for, and else on a new one.
pub(crate) fn listen(address: SocketAddr, held: Option<Socket>) -> io::Result<Async<TcpListener>> {
    let fits = |socket: &Socket| {
        let local = socket.local_addr().ok().and_then(|local| local.as_socket());
        local.is_some_and(|local| local.port() == address.port() && local.is_ipv4() == address.is_ipv4())
    };
    match held.filter(fits) {
        Some(socket) => {
            socket.listen(BACKLOG)?;
            Async::new(socket.into())
        }
        None => Async::<TcpListener>::bind(address),
    }
}

/// Prepares a connection for frames: what is written goes out at once.
pub(crate) fn prepare(stream: &Async<TcpStream>) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)
}

/// Reads into the spare memory of `buffer`, once.
pub(crate) fn read(stream: &TcpStream, buffer: &mut BytesMut) -> io::Result<usize> {
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

/// The address to talk to of a name, or an error that names it.
pub(crate) async fn resolve(name: impl AsyncToSocketAddrs + Debug) -> io::Result<SocketAddr> {
    let described = format!("{name:?}");
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{described} has no address to talk to"));
    let resolved = smol::net::resolve(name).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{described} can't be resolved (it takes a name or an address, and a port): {error}"),
        )
    })?;
    preferred(resolved).ok_or_else(none)
}

/// All interfaces, in the family of `like`.
fn any(like: SocketAddr, port: u16) -> SocketAddr {
    let ip: IpAddr = if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, port)
}
