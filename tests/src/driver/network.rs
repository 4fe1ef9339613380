//! Sockets and a clock, as a driver sees them that can be put on a script.

use std::io;
use std::net::SocketAddr;

use poolmesh_proto::Instant;
use poolmesh_proto::trace::Input;

/// Non-blocking sockets and one clock.
///
/// A driver that is generic over it runs on the system's sockets ([`System`](super::System)) and, in tests, on
/// [`Scripted`](super::Scripted) ones. No call waits: what can't be done now is [`io::ErrorKind::WouldBlock`]. A socket
/// is closed when it is dropped.
pub trait Network {
    /// A socket for datagrams.
    type Udp;
    /// A socket that accepts connections.
    type Listener;
    /// A connection, or the attempt at one.
    type Stream;

    /// What time it is. It never runs backwards.
    fn now(&self) -> Instant;

    /// Opens a socket for datagrams at `address`; port 0 is any.
    ///
    /// # Errors
    /// If the address can't be had.
    fn open(&self, address: SocketAddr) -> io::Result<Self::Udp>;

    /// Where a socket for datagrams is.
    ///
    /// # Errors
    /// If the system doesn't tell.
    fn local_addr(&self, udp: &Self::Udp) -> io::Result<SocketAddr>;

    /// Takes the next datagram. What is longer than the buffer is cut.
    ///
    /// # Errors
    /// If none has come; also about datagrams sent earlier, as [`Severity`](poolmesh_proto::driver::Severity) says.
    fn receive(&self, udp: &Self::Udp, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Sends a datagram.
    ///
    /// # Errors
    /// If it can't be sent: to the machines it is one that was lost.
    fn send(&self, udp: &Self::Udp, datagram: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Accepts connections at `address`, and says where that is.
    ///
    /// # Errors
    /// If the address can't be had.
    fn listen(&self, address: SocketAddr) -> io::Result<(Self::Listener, SocketAddr)>;

    /// Takes the next connection.
    ///
    /// # Errors
    /// If none has come; also for want of files, or because it is gone already.
    fn accept(&self, listener: &Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Begins an attempt at a connection. Dropping it stops it.
    ///
    /// # Errors
    /// If it fails at once.
    fn dial(&self, to: SocketAddr) -> io::Result<Self::Stream>;

    /// Whether the attempt has become a connection.
    ///
    /// # Errors
    /// If it has failed.
    fn is_dialed(&self, stream: &Self::Stream) -> io::Result<bool>;

    /// Reads. Zero is the end.
    ///
    /// # Errors
    /// If nothing has come, or the connection is broken.
    fn read(&self, stream: &Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes some of `bytes`, and says how many.
    ///
    /// # Errors
    /// If it takes none now, or the connection is broken.
    fn write(&self, stream: &Self::Stream, bytes: &[u8]) -> io::Result<usize>;

    /// Closes the writing half.
    ///
    /// # Errors
    /// If the connection is broken.
    fn finish(&self, stream: &Self::Stream) -> io::Result<()>;

    /// A driver may say here what it tells its machines; a script records it. By default it does nothing.
    fn note(&self, input: impl FnOnce() -> Input) {
        drop(input);
    }
}
