//! The broadcaster: one thread, one socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poolmesh_proto::driver::Severity;
#[cfg(feature = "record")]
use poolmesh_proto::trace::{RecordLimits, RecordedBroadcaster, WriterSink};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, Instant, Machine, Output,
};
use socket2::SockRef;

use crate::clock::Clock;

/// The server looks up at least this often for the word to stop.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// What is asked of the system as a receive buffer, in bytes: about ten thousand requests.
const RECEIVE_BUFFER: usize = 4 * 1_024 * 1_024;

/// A broadcaster on a socket of its own.
///
/// ```no_run
/// use poolmesh_std::{BroadcasterConfig, BroadcasterServer};
///
/// let server = BroadcasterServer::bind("127.0.0.1:6969".parse()?, BroadcasterConfig::default())?;
/// println!("listening on {}", server.local_addr());
/// let stats = server.run(|event| println!("{event:?}"))?; // until `server.stopper().stop()` is called
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BroadcasterServer {
    socket: UdpSocket,
    local: SocketAddr,
    config: BroadcasterConfig,
    stopper: Stopper,
}

/// Stops a [`BroadcasterServer`], from another thread or a signal handler's thread.
#[derive(Clone, Debug, Default)]
pub struct Stopper {
    stop: Arc<AtomicBool>,
}

impl Stopper {
    /// Has the server stop, within half a second.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

impl BroadcasterServer {
    /// Opens a broadcaster's socket at `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// If the address can't be had.
    pub fn bind(address: SocketAddr, config: BroadcasterConfig) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        // A smaller buffer loses requests in a burst, which their clients send again.
        let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
        let local = socket.local_addr()?;
        Ok(Self { socket, local, config, stopper: Stopper::default() })
    }

    /// Where it serves.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until it is stopped, and tells `on_event` what happens.
    ///
    /// # Errors
    /// If the socket fails for good, or the system has no random numbers.
    pub fn run(self, on_event: impl FnMut(BroadcasterEvent)) -> io::Result<BroadcasterStats> {
        let mut machine = Broadcaster::new(self.config.clone(), random);
        self.serve(&mut machine, on_event)?;
        Ok(machine.stats())
    }

    /// As [`run`](Self::run), and writes what the machine is told to `trace`, within `limits` (feature `record`). What
    /// it costs, and what happens when it can't be written, say the docs of
    /// [`RecordedBroadcaster`](crate::proto::trace::RecordedBroadcaster).
    ///
    /// The trace is written by the thread that serves, a large piece at a time, so `trace` needs no buffer of its own.
    ///
    /// # Errors
    /// If the socket fails for good, or the system has no random numbers. Not if the trace can't be written.
    #[cfg(feature = "record")]
    pub fn run_recorded(
        self,
        trace: impl io::Write,
        limits: RecordLimits,
        on_event: impl FnMut(BroadcasterEvent),
    ) -> io::Result<BroadcasterStats> {
        let mut machine = RecordedBroadcaster::new(self.config.clone(), random, limits, WriterSink(trace));
        self.serve(&mut machine, on_event)?;
        Ok(machine.stats())
    }

    fn serve(
        &self,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        mut on_event: impl FnMut(BroadcasterEvent),
    ) -> io::Result<()> {
        getrandom::u64()?;
        let clock = Clock::start();
        let mut buffer = vec![0; self.config.max_datagram.saturating_add(1).min(1 << 16)];
        while !self.stopper.is_stopped() {
            let deadline = self.drain(machine, &mut on_event);
            self.wait(&clock, deadline)?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => {
                    let datagram = buffer.get(..len).unwrap_or_default();
                    machine.handle_datagram(clock.now(), from, datagram);
                }
                Err(error) => {
                    match Severity::of(&error) {
                        Severity::Harmless => {}
                        Severity::Pause => std::thread::park_timeout(Severity::PAUSE),
                        Severity::Fatal => return Err(error),
                    }
                    machine.handle_timeout(clock.now());
                }
            }
        }
        Ok(())
    }

    /// Bounds the next receive by the machine's deadline.
    fn wait(&self, clock: &Clock, deadline: Option<Instant>) -> io::Result<()> {
        let wait = deadline.map_or(LONGEST_WAIT, |deadline| clock.until(deadline));
        // Zero would wait for ever.
        self.socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), LONGEST_WAIT)))
    }

    fn drain(
        &self,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        on_event: &mut impl FnMut(BroadcasterEvent),
    ) -> Option<Instant> {
        loop {
            match machine.poll_output() {
                // An answer that can't be sent is one that was lost: whoever wants it asks again.
                Output::Transmit(transmit) => {
                    drop(self.socket.send_to(&transmit.payload, transmit.destination));
                }
                Output::Event(event) => on_event(event),
                Output::Wait(deadline) => return deadline,
            }
        }
    }
}

/// Random numbers of the system. It was asked once before: should it fail later, ids repeat, which the machine
/// notices and refuses.
fn random() -> u128 {
    let mut bytes = [0; 16];
    let _ = getrandom::fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}
