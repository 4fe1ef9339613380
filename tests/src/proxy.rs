//! A network between one client and its broadcaster that loses, repeats and holds datagrams back.
#![allow(clippy::unwrap_used, reason = "part of the tests: what fails here fails the test")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Which way a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the broadcaster.
    Up,
    /// To the client.
    Down,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Pass,
    /// It is lost.
    Drop,
    /// It arrives twice.
    Twice,
    /// It arrives when [`Proxy::release`] is called.
    Hold,
    /// It arrives, and once more when [`Proxy::release`] is called.
    Echo,
}

/// A proxy for one client.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

type Fates = dyn FnMut(Way, &[u8]) -> Fate + Send;

struct Shared {
    front: UdpSocket,
    back: UdpSocket,
    client: Mutex<Option<SocketAddr>>,
    held: Mutex<Vec<(Way, Vec<u8>)>>,
    fate: Mutex<Box<Fates>>,
    stop: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("front", &self.front).finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy towards `server`. `fate` decides on each datagram; the first byte is its type.
    #[must_use]
    pub fn new(server: SocketAddr, fate: impl FnMut(Way, &[u8]) -> Fate + Send + 'static) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            socket
        };
        let shared = Shared {
            front: socket(),
            back: socket(),
            client: Mutex::new(None),
            held: Mutex::new(vec![]),
            fate: Mutex::new(Box::new(fate)),
            stop: AtomicBool::new(false),
        };
        shared.back.connect(server).unwrap();
        let shared = Arc::new(shared);
        let run = |way| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run(way))
        };
        let threads = vec![run(Way::Up), run(Way::Down)];
        Self { shared, threads }
    }

    /// Where the client finds the broadcaster.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.front.local_addr().unwrap()
    }

    /// As whom the broadcaster sees the client.
    #[must_use]
    pub fn seen_as(&self) -> SocketAddr {
        self.shared.back.local_addr().unwrap()
    }

    /// How many datagrams are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets what is held back arrive.
    pub fn release(&self) {
        let held = std::mem::take(&mut *self.shared.held.lock().unwrap_or_else(PoisonError::into_inner));
        for (way, datagram) in held {
            self.shared.forward(way, &datagram);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, way: Way) {
        let mut buffer = vec![0; 1 << 16];
        while !self.stop.load(Ordering::Acquire) {
            let socket = if way == Way::Up { &self.front } else { &self.back };
            // Time is up, or an earlier datagram met a closed port.
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            if way == Way::Up {
                *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            }
            let datagram = buffer.get(..len).unwrap_or_default();
            let fate = (self.fate.lock().unwrap_or_else(PoisonError::into_inner))(way, datagram);
            match fate {
                Fate::Pass => self.forward(way, datagram),
                Fate::Drop => {}
                Fate::Twice => {
                    self.forward(way, datagram);
                    self.forward(way, datagram);
                }
                Fate::Hold => self.hold(way, datagram),
                Fate::Echo => {
                    self.hold(way, datagram);
                    self.forward(way, datagram);
                }
            }
        }
    }

    fn hold(&self, way: Way, datagram: &[u8]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push((way, datagram.to_vec()));
    }

    fn forward(&self, way: Way, datagram: &[u8]) {
        let client = *self.client.lock().unwrap_or_else(PoisonError::into_inner);
        // What can't be sent is lost, as on any network.
        let _ = match (way, client) {
            (Way::Up, _) => self.back.send(datagram),
            (Way::Down, Some(client)) => self.front.send_to(datagram, client),
            (Way::Down, None) => Ok(0),
        };
    }
}
