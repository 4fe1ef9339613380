//! The broadcaster: one task, one socket.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::Event as Signal;
use poolmesh_proto::driver::Severity;
#[cfg(feature = "record")]
use poolmesh_proto::trace::{RecordLimits, RecordedBroadcaster, WriterSink};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, Instant, Machine, Output,
};
use smol::future::FutureExt;
use smol::{Async, Timer};
use socket2::SockRef;

use crate::clock::Clock;

/// What is asked of the system as a receive buffer, in bytes: about ten thousand requests.
const RECEIVE_BUFFER: usize = 4 * 1_024 * 1_024;

/// A broadcaster on a socket of its own.
///
/// ```no_run
/// use poolmesh_smol::{BroadcasterConfig, BroadcasterServer};
///
/// # smol::block_on(async {
/// let server = BroadcasterServer::bind("127.0.0.1:6969".parse()?, BroadcasterConfig::default())?;
/// println!("listening on {}", server.local_addr());
/// let stats = server.run(|event| println!("{event:?}")).await?; // until `server.stopper().stop()` is called
/// # Ok::<(), Box<dyn std::error::Error>>(()) });
/// ```
#[derive(Debug)]
pub struct BroadcasterServer {
    socket: Async<UdpSocket>,
    local: SocketAddr,
    config: BroadcasterConfig,
    stopper: Stopper,
}

/// Stops a [`BroadcasterServer`], from another task, thread, or a signal handler's thread.
#[derive(Clone, Debug, Default)]
pub struct Stopper {
    stop: Arc<(AtomicBool, Signal)>,
}

impl Stopper {
    /// Has the server stop.
    pub fn stop(&self) {
        self.stop.0.store(true, Ordering::Release);
        self.stop.1.notify(usize::MAX);
    }

    fn is_stopped(&self) -> bool {
        self.stop.0.load(Ordering::Acquire)
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
        Ok(Self { socket: Async::new(socket)?, local, config, stopper: Stopper::default() })
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
    pub async fn run(self, on_event: impl FnMut(BroadcasterEvent)) -> io::Result<BroadcasterStats> {
        let mut machine = Broadcaster::new(self.config.clone(), random);
        self.serve(&mut machine, on_event).await?;
        Ok(machine.stats())
    }

    /// As [`run`](Self::run), and writes what the machine is told to `trace`, within `limits` (feature `record`). What
    /// it costs, and what happens when it can't be written, say the docs of
    /// [`RecordedBroadcaster`](crate::proto::trace::RecordedBroadcaster).
    ///
    /// The trace is written by the task that serves, a large piece at a time, so `trace` needs no buffer of its own; its
    /// thread waits meanwhile.
    ///
    /// # Errors
    /// If the socket fails for good, or the system has no random numbers. Not if the trace can't be written.
    #[cfg(feature = "record")]
    pub async fn run_recorded(
        self,
        trace: impl io::Write,
        limits: RecordLimits,
        on_event: impl FnMut(BroadcasterEvent),
    ) -> io::Result<BroadcasterStats> {
        let mut machine = RecordedBroadcaster::new(self.config.clone(), random, limits, WriterSink(trace));
        self.serve(&mut machine, on_event).await?;
        Ok(machine.stats())
    }

    async fn serve(
        &self,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        mut on_event: impl FnMut(BroadcasterEvent),
    ) -> io::Result<()> {
        getrandom::u64()?;
        let clock = Clock::start();
        let mut buffer = vec![0; self.config.max_datagram.saturating_add(1).min(1 << 16)];
        loop {
            let stopped = self.stopper.stop.1.listen();
            if self.stopper.is_stopped() {
                return Ok(());
            }
            let deadline = self.drain(machine, &mut on_event).await;
            let woken = async {
                stopped.or(clock.reach(deadline)).await;
                None
            };
            let received = async { Some(self.socket.recv_from(&mut buffer).await) };
            match received.or(woken).await {
                None => machine.handle_timeout(clock.now()),
                Some(Ok((len, from))) => {
                    let datagram = buffer.get(..len).unwrap_or_default();
                    machine.handle_datagram(clock.now(), from, datagram);
                }
                Some(Err(error)) => match Severity::of(&error) {
                    Severity::Harmless => {}
                    Severity::Pause => drop(Timer::after(Severity::PAUSE).await),
                    Severity::Fatal => return Err(error),
                },
            }
        }
    }

    async fn drain(
        &self,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        on_event: &mut impl FnMut(BroadcasterEvent),
    ) -> Option<Instant> {
        loop {
            match machine.poll_output() {
                // An answer that can't be sent is one that was lost: whoever wants it asks again.
                Output::Transmit(transmit) => {
                    drop(self.socket.send_to(&transmit.payload, transmit.destination).await);
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
