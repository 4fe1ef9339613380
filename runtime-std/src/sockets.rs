//! Sockets, opened and set up.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use std::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::Chunks;
use poolmesh_proto::wire::preferred;
use socket2::{Domain, SockRef, Socket, Type};

/// How many port numbers are tried to find one that is free for UDP and for TCP.
const TRIES: usize = 64;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// A UDP socket towards `server`, and a TCP socket that holds the same port number for a mesh to listen on.
pub(crate) fn udp_with_tcp_port(server: SocketAddr) -> io::Result<(UdpSocket, Socket)> {
    let mut last = None;
    for _ in 0..TRIES {
        let udp = UdpSocket::bind(any(server, 0))?;
        match hold_tcp(any(server, udp.local_addr()?.port())) {
            Ok(tcp) => {
                // Connected, so that the system filters strangers, and tells of a closed port.
                udp.connect(server)?;
                return Ok((udp, tcp));
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
pub(crate) fn listen(address: SocketAddr, held: Option<Socket>) -> io::Result<TcpListener> {
    let fits = |socket: &Socket| {
        let local = socket.local_addr().ok().and_then(|local| local.as_socket());
        local.is_some_and(|local| local.port() == address.port() && local.is_ipv4() == address.is_ipv4())
    };
    match held.filter(fits) {
        Some(socket) => {
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        }
        None => TcpListener::bind(address),
    }
}

/// Prepares a connection for frames: what is written goes out at once.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)
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

/// Writes as much as goes without waiting: none, if it can't be had on this system or there is an error.
#[cfg(unix)]
pub(crate) fn write_chunks_without_waiting(stream: &TcpStream, chunks: &mut Chunks) {
    let mut slices = [IoSlice::new(&[]); Chunks::MOST];
    let count = chunks.io_slices(&mut slices);
    let slices = slices.get(..count).unwrap_or_default();
    let written = SockRef::from(stream).send_vectored_with_flags(slices, libc::MSG_DONTWAIT | NO_SIGNAL);
    chunks.advance(written.unwrap_or(0));
}

/// As much of `bytes` as goes without waiting, by a call that is shorter than for many pieces. How many went.
#[cfg(unix)]
#[cfg_attr(all(test, poolmesh_loom), expect(dead_code, reason = "a model has a connection of its own"))]
pub(crate) fn write_without_waiting(stream: &TcpStream, bytes: &[u8]) -> usize {
    SockRef::from(stream).send_with_flags(bytes, libc::MSG_DONTWAIT | NO_SIGNAL).unwrap_or(0)
}

/// A broken connection is an error, not the end of the process, also in programs that don't ignore the signal.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
))]
const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
/// Elsewhere the option is the socket's, which std sets.
#[cfg(all(
    unix,
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd"
    ))
))]
const NO_SIGNAL: libc::c_int = 0;

#[cfg(not(unix))]
pub(crate) fn write_chunks_without_waiting(_: &TcpStream, _: &mut Chunks) {}

#[cfg(not(unix))]
pub(crate) fn write_without_waiting(_: &TcpStream, _: &[u8]) -> usize {
    0
}

/// Systems differ in what they call a timeout of a socket.
pub(crate) fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// How long a socket waits to be read: to say it anew each time would cost a system call each time.
#[derive(Debug, Default)]
pub(crate) struct ReadTimeout {
    set: Option<Duration>,
}

impl ReadTimeout {
    /// Has reads end after `wait` or sooner, but not much.
    pub(crate) fn set(&mut self, stream: &TcpStream, wait: Option<Duration>) -> io::Result<()> {
        // Zero would wait for ever.
        let wait = wait.map(|wait| wait.max(Duration::from_millis(1)));
        let fits = match (self.set, wait) {
            (Some(set), Some(wait)) => set <= wait && set >= wait / 2,
            (set, wait) => set == wait,
        };
        if !fits {
            stream.set_read_timeout(wait)?;
            self.set = wait;
        }
        Ok(())
    }
}

/// The address to talk to of a name, or an error that names it.
pub(crate) fn resolve(name: impl ToSocketAddrs + std::fmt::Debug) -> io::Result<SocketAddr> {
    let described = format!("{name:?}");
    let none = || io::Error::new(io::ErrorKind::NotFound, format!("{described} has no address to talk to"));
    let resolved = name.to_socket_addrs().map_err(|error| {
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

/// Where this machine reaches a listener of its own, to wake it.
pub(crate) fn loopback(listener: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match listener.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (here, listener.accept().unwrap().0)
    }

    #[test]
    fn what_is_read_stands_behind_what_was_there() {
        let (here, mut there) = pair();
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

    #[cfg(unix)]
    #[test]
    fn a_write_that_does_not_wait_writes_what_fits() {
        let (here, mut there) = pair();
        let mut link = poolmesh_proto::Link::new(Default::default(), poolmesh_proto::Instant::ZERO);
        link.send("e", vec![7; 16_000_000]).unwrap();
        let mut chunks = Chunks::default();
        let _ = link.poll_chunks(&mut chunks);
        let len = chunks.len();
        write_chunks_without_waiting(&here, &mut chunks);
        assert!((1..len).contains(&chunks.len()), "more than fits a socket");
        let (mut read, mut all) = (0, vec![0; 1 << 20]);
        while read < len {
            read += there.read(&mut all).unwrap();
            write_chunks_without_waiting(&here, &mut chunks);
        }
        assert_eq!((read, chunks.len()), (len, 0));
    }

    #[test]
    fn a_timeout_is_set_when_it_has_to_be() {
        let (here, _there) = pair();
        let mut timeout = ReadTimeout::default();
        let millis = Duration::from_millis;
        for (wanted, set) in [
            (None, None),
            (Some(millis(1_000)), Some(millis(1_000))),
            (Some(millis(1_500)), Some(millis(1_000))),
            (Some(millis(999)), Some(millis(999))),
            (Some(millis(2_000)), Some(millis(2_000))),
            (Some(Duration::ZERO), Some(millis(1))),
            (None, None),
        ] {
            timeout.set(&here, wanted).unwrap();
            assert_eq!(timeout.set, set);
            let system = here.read_timeout().unwrap();
            // The system counts in ticks.
            assert!(
                system.is_some() == set.is_some() && system.unwrap_or_default() >= set.unwrap_or_default()
            );
        }
    }
}
