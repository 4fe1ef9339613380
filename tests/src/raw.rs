//! A peer made of a bare TCP socket, which does what no runtime would.
#![allow(clippy::unwrap_used, reason = "part of the tests: what fails here fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::patience::PATIENCE;
use crate::runtime::{Mesh, Runtime};

/// The frame of an event, as gop2p writes it.
#[must_use]
pub fn frame(name: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
    [&len(4 + name.len() + payload.len())[..], &len(name.len()), name, payload].concat()
}

/// A socket whose receive buffer is small and stays so: without that, a system takes more and more for a peer that
/// doesn't read, and no test knows when it is done.
fn narrow_socket() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 * 1_024).unwrap();
    socket
}

/// One end of a connection, without a runtime.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
}

impl RawPeer {
    /// Takes a connection over.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Dials.
    #[must_use]
    pub fn dial(address: SocketAddr) -> Self {
        let socket = narrow_socket();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self::new(socket.into())
    }

    /// A peer that `mesh` has dialed, and the mesh's end of it.
    #[must_use]
    pub fn dialed_by<R: Runtime>(mesh: &R::Mesh) -> (R::Peer, Self) {
        let listener = SilentPort::take().listen();
        let peer = mesh.connect_to_peer(&listener.local_addr().unwrap().to_string()).unwrap();
        (peer, Self::new(listener.accept().unwrap().0))
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends an event, in one write.
    pub fn send(&mut self, name: &str, payload: &[u8]) {
        self.write(&frame(name.as_bytes(), payload));
    }

    /// Reads the next event: its name and its payload.
    pub fn read(&mut self) -> (String, Vec<u8>) {
        let body_len = self.read_len();
        let name_len = self.read_len();
        let name = self.read_bytes(name_len);
        let payload = self.read_bytes(body_len - 4 - name_len);
        (String::from_utf8(name).unwrap(), payload)
    }

    fn read_len(&mut self) -> usize {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len).unwrap();
        usize::try_from(u32::from_le_bytes(len)).unwrap()
    }

    fn read_bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Waits for the end of what the other side writes.
    ///
    /// # Panics
    /// If a byte comes, or nothing.
    pub fn expect_eof(&mut self) {
        let read = self.stream.read(&mut [0]);
        assert!(matches!(read, Ok(0)), "not the end: {read:?}");
    }

    /// Waits until the connection is gone, dropping what comes.
    ///
    /// # Panics
    /// If it stays.
    pub fn expect_gone(&mut self) {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    assert!(error.kind() != ErrorKind::WouldBlock, "the connection stays");
                    return;
                }
            }
        }
    }

    /// Closes the writing half.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Breaks the connection off with a reset.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A TCP port that is taken, and where nobody listens yet.
#[derive(Debug)]
pub struct SilentPort {
    socket: Socket,
    address: SocketAddr,
}

impl SilentPort {
    /// Takes a free port.
    #[must_use]
    pub fn take() -> Self {
        let socket = narrow_socket();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self { socket, address }
    }

    /// The port's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to listen.
    #[must_use]
    pub fn listen(self) -> TcpListener {
        self.socket.listen(8).unwrap();
        self.socket.into()
    }
}
