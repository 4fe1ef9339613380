//! The world around a driver: a clock, and the sockets of everybody else.

use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::Instant;

use super::{Scripted, Turn};

/// Names a socket of the world's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketId(pub(super) usize);

/// What was heard from a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing so far.
    Nothing,
    /// The driver's side has ended, for good or for writing.
    End,
}

/// The world around a driver. No method waits but [`sleep`](Self::sleep) and [`stall`](Self::stall).
pub trait World {
    /// What time it is.
    fn now(&self) -> Instant;
    /// How long a check waits for anything before it fails.
    fn patience(&self) -> Duration;
    /// Gives the driver its turn. Whether it did anything that can be seen.
    fn turn(&mut self, turn: &mut dyn FnMut() -> Turn) -> bool;
    /// Lets time pass until something may have happened, or until `until`.
    fn sleep(&mut self, until: Instant);
    /// Lets time pass in which the driver gets no turn. One with threads of its own goes on.
    fn stall(&mut self, time: Duration);

    /// Opens a socket for datagrams.
    fn open_udp(&mut self) -> SocketId;
    /// Where a socket is.
    fn address(&self, socket: SocketId) -> SocketAddr;
    /// Takes the next datagram that came to a socket, and from where.
    fn receive(&mut self, socket: SocketId) -> Option<(Vec<u8>, SocketAddr)>;
    /// Sends a datagram.
    fn send(&mut self, socket: SocketId, to: SocketAddr, datagram: &[u8]);
    /// Closes a socket for datagrams: what is sent to it from now on is answered by an error.
    fn close_udp(&mut self, socket: SocketId);
    /// Opens it again, at the same port.
    fn reopen_udp(&mut self, socket: SocketId);

    /// Takes a TCP port, at which nobody listens yet: dials are refused.
    fn port(&mut self) -> SocketId;
    /// Takes a TCP port at which dials are not answered. None if this can't be had here.
    fn silent_port(&mut self) -> Option<SocketId>;
    /// Has a port accept connections.
    fn listen(&mut self, port: SocketId);
    /// The next connection that was dialed to a port.
    fn accept(&mut self, port: SocketId) -> Option<SocketId>;
    /// Dials the driver. None if it is refused.
    fn dial(&mut self, to: SocketAddr) -> Option<SocketId>;
    /// Writes as much as the connection takes.
    fn write(&mut self, stream: SocketId, bytes: &[u8]) -> usize;
    /// Reads at most `most` bytes.
    fn read(&mut self, stream: SocketId, most: usize) -> Heard;
    /// Closes the writing half.
    fn finish(&mut self, stream: SocketId);
    /// Breaks the connection off.
    fn reset(&mut self, stream: SocketId);

    /// The script, where there is one.
    fn script(&self) -> Option<&Scripted> {
        None
    }
}
