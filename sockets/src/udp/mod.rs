//! UDP in batches, for loops that serve.
//!
//! A server's time goes into system calls. On Linux one call receives up to [`BATCH`] datagrams and one sends as many
//! (`recvmmsg`, `sendmmsg`); elsewhere it takes a call for each, and the same loop runs. Nothing is allocated for a
//! datagram.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use poolmesh_sockets::udp::{Flushed, Receiver, Sender, Socket};
//!
//! # fn main() -> std::io::Result<()> {
//! let socket = Socket::bind("127.0.0.1:0".parse().unwrap())?;
//! # let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! # client.send_to(b"ping", socket.local_addr())?;
//! let mut receiver = Receiver::new(1_024);
//! let mut sender = Sender::new();
//! loop {
//!     if receiver.receive(&socket)? == 0 {
//!         socket.wait_readable(Duration::from_millis(500))?;
//!         continue;
//!     }
//!     // Here is the time to read a clock: once for all of them.
//!     for (datagram, from) in receiver.datagrams() {
//!         sender.push(from, Bytes::copy_from_slice(datagram));
//!         # assert_eq!((datagram, from), (&b"ping"[..], client.local_addr()?));
//!     }
//!     while sender.flush(&socket) == Flushed::Blocked {
//!         socket.wait_writable(Duration::from_millis(500))?;
//!     }
//!     # break;
//! }
//! # let mut answer = [0; 9];
//! # assert_eq!(client.recv(&mut answer)?, 4);
//! # Ok(()) }
//! ```
//!
//! Nothing here waits but the two calls that say so, so that it fits into any event loop: a [`Socket`] is non-blocking and
//! can be registered wherever a file descriptor can.
//!
//! # Several threads
//!
//! On Linux several sockets can share a port ([`Socket::bind_shared`]), each for a thread of its own. Which of them gets a
//! datagram is up to the kernel, by who sent it. What another thread has to handle waits in its [`Mailbox`], and a [`Waker`]
//! ends its wait.
//!
//! # What the kernel does
//!
//! A socket's buffers are asked to be [`SOCKET_BUFFER`] long; the default holds 256 small datagrams, which is a burst
//! of a millisecond. Linux gives an unprivileged program no more than `net.core.rmem_max`. What found no room is gone:
//! [`Socket::drops`] tells how many were.
//!
//! # io_uring
//!
//! With the feature `uring`, on Linux, a `Ring` receives and sends a batch in one call, and spares the kernel work for
//! each answer: where a server shares its core with those who ask, requests that are answered take 0.85 to 0.9 of the
//! time. Requests without an answer gain nothing, nor do answers on a core of the server's own. [`Receiver`] stays where
//! the kernel refuses it.
//!
//! # What it does not do
//!
//! No segmentation offload (it serves one destination a call), no control messages, no multicast.

mod mailbox;
mod receiver;
#[cfg(all(target_os = "linux", feature = "uring"))]
mod ring;
mod sender;
mod socket;
mod stats;
#[cfg(all(target_os = "linux", not(feature = "plain")))]
#[path = "batched.rs"]
mod system;
#[cfg(not(all(target_os = "linux", not(feature = "plain"))))]
#[path = "plain.rs"]
mod system;
mod waker;

pub use mailbox::{Handed, Mail, Mailbox};
pub use receiver::Receiver;
#[cfg(all(target_os = "linux", feature = "uring"))]
pub use ring::Ring;
pub use sender::{Flushed, Sender};
pub use socket::Socket;
pub use stats::{Meter, SocketStats};
pub use waker::Waker;

/// The most datagrams that one call receives or sends. With 64 a loop takes 0.93 of the time, and twice the cache.
pub const BATCH: usize = 32;

/// How many batches a task may serve before it lets others run: about a millisecond of them.
pub const BATCHES_A_TURN: usize = 8;

/// What is asked of the system as a receive buffer, and as a send buffer, in bytes: ten thousand small datagrams.
pub const SOCKET_BUFFER: usize = 4 * 1_024 * 1_024;
