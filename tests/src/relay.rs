//! A network between a peer and one that it dials, which can go black: nothing comes through any more, and nobody is
//! told.
#![allow(clippy::unwrap_used, reason = "part of the tests: what fails here fails the test")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::patience::PATIENCE;
use crate::raw::SilentPort;

/// How often it is looked whether the relay has gone black or is dropped.
const LOOK: Duration = Duration::from_millis(5);

/// A relay for one connection.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    black: AtomicBool,
    stop: AtomicBool,
}

impl Relay {
    /// A relay towards `target`.
    #[must_use]
    pub fn new(target: SocketAddr) -> Self {
        let listener = SilentPort::take().listen();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let run = Arc::clone(&shared);
        let thread = thread::spawn(move || run.run(&listener, target));
        Self { address, shared, thread: Some(thread) }
    }

    /// Where to dial.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing comes through, in either direction. The connections stay open until the relay is dropped.
    pub fn go_black(&self) {
        self.shared.black.store(true, Ordering::Release);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn run(&self, listener: &TcpListener, target: SocketAddr) {
        listener.set_nonblocking(true).unwrap();
        let near = loop {
            match listener.accept() {
                Ok((near, _)) => break near,
                Err(_) if self.is_stopped() => return,
                Err(_) => thread::park_timeout(LOOK),
            }
        };
        near.set_nonblocking(false).unwrap();
        let far = TcpStream::connect_timeout(&target, PATIENCE).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| self.forward(&near, &far));
            scope.spawn(|| self.forward(&far, &near));
        });
    }

    fn forward(&self, mut from: &TcpStream, mut to: &TcpStream) {
        from.set_read_timeout(Some(LOOK)).unwrap();
        to.set_nodelay(true).unwrap();
        let mut buffer = vec![0; 16 * 1_024];
        while !self.is_stopped() {
            if self.black.load(Ordering::Acquire) {
                thread::park_timeout(LOOK);
                continue;
            }
            match from.read(&mut buffer) {
                Ok(0) => return drop(to.shutdown(Shutdown::Write)),
                Ok(len) => {
                    if to.write_all(buffer.get(..len).unwrap_or_default()).is_err() {
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return drop(to.shutdown(Shutdown::Both)),
            }
        }
    }
}
