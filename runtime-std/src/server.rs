//! The broadcaster: one thread, one socket.

#[cfg(feature = "uring")]
mod uring;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use poolmesh_proto::driver::Severity;
#[cfg(feature = "record")]
use poolmesh_proto::trace::{RecordLimits, RecordedBroadcaster, WriterSink};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, Instant, Machine, Output, Shard,
};
use poolmesh_sockets::udp::{Flushed, Mail, Meter, Receiver, Sender, Socket};

use crate::clock::Clock;
use crate::member::Member;

/// The server looks up at least this often for the word to stop.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

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
    socket: Socket,
    config: BroadcasterConfig,
    stopper: Stopper,
    meter: Meter,
    /// If there are others at the same port.
    member: Option<Member>,
    #[cfg(feature = "uring")]
    uring: bool,
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
        let socket = Socket::bind(address)?;
        Ok(Self::new(socket, config, Stopper::default(), None))
    }

    /// Opens `count` sockets at `address` (at least one, at most [`Shard::MOST`](crate::proto::Shard::MOST)), each for a
    /// thread of its own: together they are one broadcaster, with the limits of `config`. **All of them have to be run**, in
    /// any order. When one ends, for whatever reason, all end; what stops one stops all.
    ///
    /// The system spreads those who ask over the sockets, each always to the same. A pool is kept by the server that its
    /// host has reached, so its pings are handled there; a join that came to another is handed over. That is so in the classic
    /// dialect: what comes in the native one the first of them handles.
    ///
    /// # Errors
    /// If the address can't be had; if `count` is not possible (`InvalidInput`); if it is more than one and the system is
    /// not Linux (`Unsupported`).
    pub fn bind_shards(
        address: SocketAddr,
        config: &BroadcasterConfig,
        count: usize,
    ) -> io::Result<Vec<Self>> {
        if count == 0 || count > Shard::MOST {
            let error = format!("a broadcaster has 1 to {} threads, not {count}", Shard::MOST);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let stopper = Stopper::default();
        let sockets = Socket::bind_shared(address, count)?;
        let mut members = if count > 1 { Member::group(count, &stopper)? } else { Vec::new() };
        let server = |socket| {
            let (config, stopper, member) = (config.clone(), stopper.clone(), members.pop());
            Ok(Self::new(socket, config, stopper, member))
        };
        sockets.into_iter().map(server).collect()
    }

    fn new(socket: Socket, config: BroadcasterConfig, stopper: Stopper, member: Option<Member>) -> Self {
        Self {
            socket,
            config,
            stopper,
            meter: Meter::default(),
            member,
            #[cfg(feature = "uring")]
            uring: false,
        }
    }

    /// Where it serves.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What tells how many answers the system took and how many requests it dropped: each second while it serves, and
    /// when it has stopped.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Serves until it is stopped, and tells `on_event` what happens.
    ///
    /// # Errors
    /// If the socket fails for good, or the system has no random numbers.
    pub fn run(self, on_event: impl FnMut(BroadcasterEvent)) -> io::Result<BroadcasterStats> {
        let config = self.config.clone();
        let mut machine = match &self.member {
            Some(member) => Broadcaster::of_shard(config, random, member.shard()),
            None => Broadcaster::new(config, random),
        };
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
    /// If the socket fails for good, or the system has no random numbers; if it is one of
    /// [several](Self::bind_shards), for a trace is of one machine (`InvalidInput`). Not if the trace can't be written.
    #[cfg(feature = "record")]
    pub fn run_recorded(
        self,
        trace: impl io::Write,
        limits: RecordLimits,
        on_event: impl FnMut(BroadcasterEvent),
    ) -> io::Result<BroadcasterStats> {
        if self.member.is_some() {
            let error = "a trace is of one machine: it takes a broadcaster in one thread";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
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
        let mut sender = Sender::new();
        #[cfg(feature = "uring")]
        if self.uring {
            let served = self.serve_through_ring(&mut sender, machine, &mut on_event);
            self.count(&sender);
            return served;
        }
        let served = self.serve_with(&mut sender, machine, &mut on_event);
        self.count(&sender);
        served
    }

    fn serve_with(
        &self,
        sender: &mut Sender,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        on_event: &mut impl FnMut(BroadcasterEvent),
    ) -> io::Result<()> {
        let clock = Clock::start();
        let mut receiver = Receiver::new(self.config.longest_datagram());
        let mut mail = Mail::default();
        let mut deadline = self.drain(machine, sender, on_event);
        let mut count_at = Instant::ZERO;
        while !self.stopper.is_stopped() {
            if let Err(error) = self.receive(&mut receiver, &clock, deadline) {
                match Severity::of(&error) {
                    Severity::Harmless => {}
                    Severity::Pause => std::thread::park_timeout(Severity::PAUSE),
                    Severity::Fatal => return Err(error),
                }
            }
            // One time for all that came.
            let now = clock.now();
            machine.handle_timeout(now);
            deadline = self.drain(machine, sender, on_event);
            machine.look_ahead(receiver.datagrams().map(|(datagram, _)| datagram));
            for (datagram, from) in receiver.datagrams() {
                if self.member.as_ref().is_some_and(|member| member.pass_on(datagram, from)) {
                    continue;
                }
                machine.handle_datagram(now, from, datagram);
                deadline = self.drain(machine, sender, on_event);
            }
            if let Some(member) = &self.member {
                member.collect(&mut mail);
                for (datagram, from) in mail.datagrams() {
                    machine.handle_datagram(now, from, datagram);
                    deadline = self.drain(machine, sender, on_event);
                }
            }
            self.flush(sender);
            if count_at.is_due(now) {
                self.count(sender);
                count_at = now + Meter::UPDATE_EVERY;
            }
        }
        Ok(())
    }

    /// Receives what is there. Only if that is nothing it waits, until the deadline at most.
    fn receive(&self, receiver: &mut Receiver, clock: &Clock, deadline: Option<Instant>) -> io::Result<()> {
        if receiver.receive(&self.socket)? == 0 {
            let wait = deadline.map_or(LONGEST_WAIT, |deadline| clock.until(deadline));
            let wait = wait.min(LONGEST_WAIT);
            let came = match &self.member {
                Some(member) => member.wait(&self.socket, wait)?,
                None => self.socket.wait_readable(wait)?,
            };
            if came {
                receiver.receive(&self.socket)?;
            }
        }
        Ok(())
    }

    fn count(&self, sender: &Sender) {
        self.meter.update(&self.socket, sender);
        if let Some(member) = &self.member {
            member.update(&self.meter);
        }
    }

    fn drain(
        &self,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        sender: &mut Sender,
        on_event: &mut impl FnMut(BroadcasterEvent),
    ) -> Option<Instant> {
        loop {
            match machine.poll_output() {
                Output::Transmit(transmit) => {
                    if sender.is_full() {
                        self.flush(sender);
                    }
                    sender.push(transmit.destination, transmit.payload);
                }
                Output::Event(event) => on_event(event),
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    /// An answer that can't be sent is one that was lost: whoever wants it asks again.
    fn flush(&self, sender: &mut Sender) {
        while sender.flush(&self.socket) == Flushed::Blocked && !self.stopper.is_stopped() {
            // What is wrong with the socket is told when it receives.
            let _ = self.socket.wait_writable(LONGEST_WAIT);
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
