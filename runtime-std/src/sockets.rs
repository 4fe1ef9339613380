//! Sockets, opened and set up.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use poolmesh_proto::Chunks;
use poolmesh_proto::wire::preferred;
use socket2::SockRef;

/// Prepares a connection for frames: what is written goes out at once.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)
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

/// The address to talk to of a name with a port, such as one of the [other broadcasters] of a client.
///
/// [other broadcasters]: poolmesh_proto::ClientConfig::broadcasters
///
/// # Errors
/// If it has none; the error names it.
pub fn resolve(name: impl ToSocketAddrs + std::fmt::Debug) -> io::Result<SocketAddr> {
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
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (here, listener.accept().unwrap().0)
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
