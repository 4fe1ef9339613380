//! The broadcaster: one task, one socket.

mod wait;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::Event as Signal;
use poolmesh_proto::driver::Severity;
#[cfg(feature = "record")]
use poolmesh_proto::trace::{RecordLimits, RecordedBroadcaster, WriterSink};
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, Instant, Machine, Output, Shard,
};
use poolmesh_sockets::udp::{BATCH, Flushed, Mail, Meter, Receiver, Sender, Socket};
use smol::Timer;

use crate::clock::Clock;
use crate::member::Member;
use wait::Wait;

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
    socket: Socket,
    config: BroadcasterConfig,
    stopper: Stopper,
    meter: Meter,
    /// If there are others at the same port.
    member: Option<Member>,
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
        let socket = Socket::bind(address)?;
        Ok(Self { socket, config, stopper: Stopper::default(), meter: Meter::default(), member: None })
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
        let mut members = if count > 1 { Member::group(count, &stopper) } else { Vec::new() };
        let server = |socket| {
            let (config, stopper, member) = (config.clone(), stopper.clone(), members.pop());
            Self { socket, config, stopper, meter: Meter::default(), member }
        };
        Ok(sockets.into_iter().map(server).collect())
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

    /// Serves until it is stopped, and tells `on_event` what happens. After each few batches of requests other tasks
    /// have their turn. On Linux a server that was busy blocks its thread for the next request, for 50 µs at most, before
    /// it awaits one.
    ///
    /// # Errors
    /// If the socket fails for good, or the system has no random numbers.
    pub async fn run(self, on_event: impl FnMut(BroadcasterEvent)) -> io::Result<BroadcasterStats> {
        let config = self.config.clone();
        let mut machine = match &self.member {
            Some(member) => Broadcaster::of_shard(config, random, member.shard()),
            None => Broadcaster::new(config, random),
        };
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
    /// If the socket fails for good, or the system has no random numbers; if it is one of
    /// [several](Self::bind_shards), for a trace is of one machine (`InvalidInput`). Not if the trace can't be written.
    #[cfg(feature = "record")]
    pub async fn run_recorded(
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
        self.serve(&mut machine, on_event).await?;
        Ok(machine.stats())
    }

    async fn serve(
        &self,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        mut on_event: impl FnMut(BroadcasterEvent),
    ) -> io::Result<()> {
        getrandom::u64()?;
        let mut sender = Sender::new();
        let served = self.serve_with(&mut sender, machine, &mut on_event).await;
        self.count(&sender);
        served
    }

    async fn serve_with(
        &self,
        sender: &mut Sender,
        machine: &mut impl Machine<Event = BroadcasterEvent>,
        on_event: &mut impl FnMut(BroadcasterEvent),
    ) -> io::Result<()> {
        let clock = Clock::start();
        let mut receiver = Receiver::new(self.config.longest_datagram());
        let mut mail = Mail::default();
        let mut wait = Wait::of(self, clock);
        let mut deadline = None;
        while drain(machine, sender, on_event, &mut deadline) == Drained::BatchFull {
            self.flush(sender, &mut wait).await;
        }
        let mut count_at = Instant::ZERO;
        while !self.stopper.is_stopped() {
            wait.turn.batch().await;
            let received = self.receive(&mut receiver, &mut wait, deadline, sender.sent()).await;
            if let Err(error) = received {
                match Severity::of(&error) {
                    Severity::Harmless => {}
                    Severity::Pause => drop(Timer::after(Severity::PAUSE).await),
                    Severity::Fatal => return Err(error),
                }
            }
            // One time for all that came.
            let now = clock.now();
            machine.handle_timeout(now);
            while drain(machine, sender, on_event, &mut deadline) == Drained::BatchFull {
                self.flush(sender, &mut wait).await;
            }
            machine.look_ahead(receiver.datagrams().map(|(datagram, _)| datagram));
            for (datagram, from) in receiver.datagrams() {
                if self.member.as_ref().is_some_and(|member| member.pass_on(datagram, from)) {
                    continue;
                }
                machine.handle_datagram(now, from, datagram);
                while drain(machine, sender, on_event, &mut deadline) == Drained::BatchFull {
                    self.flush(sender, &mut wait).await;
                }
            }
            if let Some(member) = &self.member {
                member.collect(&mut mail);
                for (nth, (datagram, from)) in mail.datagrams().enumerate() {
                    // There may be many batches of them.
                    if nth % BATCH == 0 {
                        self.flush(sender, &mut wait).await;
                        wait.turn.batch().await;
                    }
                    machine.handle_datagram(now, from, datagram);
                    while drain(machine, sender, on_event, &mut deadline) == Drained::BatchFull {
                        self.flush(sender, &mut wait).await;
                    }
                }
            }
            self.flush(sender, &mut wait).await;
            if count_at.is_due(now) {
                self.count(sender);
                count_at = now + Meter::UPDATE_EVERY;
            }
        }
        Ok(())
    }

    /// Receives what is there. Only if that is nothing it waits, until the deadline or the word to stop at most.
    async fn receive(
        &self,
        receiver: &mut Receiver,
        wait: &mut Wait<'_>,
        deadline: Option<Instant>,
        sent: u64,
    ) -> io::Result<()> {
        if receiver.receive(&self.socket)? == 0 {
            wait.input(deadline, sent).await?;
            receiver.receive(&self.socket)?;
        }
        Ok(())
    }

    fn count(&self, sender: &Sender) {
        self.meter.update(&self.socket, sender);
        if let Some(member) = &self.member {
            member.update(&self.meter);
        }
    }

    /// An answer that can't be sent is one that was lost: whoever wants it asks again.
    async fn flush(&self, sender: &mut Sender, wait: &mut Wait<'_>) {
        while sender.flush(&self.socket) == Flushed::Blocked {
            // What is wrong with the socket is told when it receives.
            if self.stopper.is_stopped() || wait.room().await.is_err() {
                return;
            }
        }
    }
}

/// How far a machine's output was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "there may be more"]
enum Drained {
    /// To its end.
    All,
    /// Until the batch of answers was full: there may be more when it was flushed.
    BatchFull,
}

/// Takes what the machine has to say: answers go to `sender`. At the end `deadline` is that of the machine.
///
/// It isn't async, so that what is done for each request is a plain call.
fn drain(
    machine: &mut impl Machine<Event = BroadcasterEvent>,
    sender: &mut Sender,
    on_event: &mut impl FnMut(BroadcasterEvent),
    deadline: &mut Option<Instant>,
) -> Drained {
    loop {
        match machine.poll_output() {
            Output::Transmit(transmit) => {
                sender.push(transmit.destination, transmit.payload);
                if sender.is_full() {
                    return Drained::BatchFull;
                }
            }
            Output::Event(event) => on_event(event),
            Output::Wait(until) => {
                *deadline = until;
                return Drained::All;
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::cell::Cell;
    use std::net::UdpSocket;
    use std::pin::pin;

    use poolmesh_sockets::udp::{BATCHES_A_TURN, Handed, Mailbox};
    use smol::future::poll_once;

    use super::*;

    #[test]
    fn a_full_mailbox_is_no_reason_to_let_nobody_else_run() {
        let asker = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = BroadcasterConfig::default().with_classic();
        config.max_pools = 2 * Mailbox::LIMIT;
        config.max_pools_per_source = config.max_pools;
        let server =
            BroadcasterServer::bind_shards("127.0.0.1:0".parse().unwrap(), &config, 2).unwrap().remove(0);
        let stopper = server.stopper();
        // Removing the other has stopped it.
        stopper.stop.0.store(false, Ordering::Release);
        for _ in 0..Mailbox::LIMIT {
            let member = server.member.as_ref().unwrap();
            assert_eq!(member.hand_in(&[0], asker), Handed::Noted);
        }
        let created = Cell::new(0);
        let mut run = pin!(server.run(|_| created.set(created.get() + 1)));
        smol::block_on(async {
            while created.get() < Mailbox::LIMIT {
                let before = created.get();
                assert!(poll_once(&mut run).await.is_none());
                let turn = created.get() - before;
                assert!((1..=BATCHES_A_TURN * BATCH).contains(&turn), "{turn} at once");
            }
            stopper.stop();
            assert!(run.await.is_ok());
        });
    }
}
