//! The loop of every datagram machine, over any [`Network`].

use std::fmt;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use poolmesh_proto::driver::Severity;
use poolmesh_proto::trace::Input;
use poolmesh_proto::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, Instant, Machine, Output, RandomSource,
};

use super::{Network, Server, Turn};

/// How many datagrams are taken in before the others get their turn.
const BATCH: usize = 64;

/// Hands a machine what has come, of at most `max_datagram` bytes and one more, so that it sees what is too long.
/// Whether there was anything.
///
/// # Errors
/// If the socket is in trouble that will not pass at once.
pub fn receive<N: Network>(
    network: &N,
    udp: &N::Udp,
    machine: &mut impl Machine,
    buffer: &mut Vec<u8>,
    max_datagram: usize,
) -> io::Result<bool> {
    buffer.resize(max_datagram.saturating_add(1).min(1 << 16).max(buffer.len()), 0);
    for count in 0..BATCH {
        match network.receive(udp, buffer) {
            Ok((len, from)) => {
                let datagram = buffer.get(..len).unwrap_or_default();
                network.note(|| Input::Datagram { from, datagram: Bytes::copy_from_slice(datagram) });
                machine.handle_datagram(network.now(), from, datagram);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count > 0),
            // About a datagram that was sent earlier.
            Err(error) if Severity::of(&error) == Severity::Harmless => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Does what a machine says until it waits, and answers for what.
pub fn drain<N: Network, M: Machine>(
    network: &N,
    udp: &N::Udp,
    machine: &mut M,
    mut tell: impl FnMut(M::Event),
) -> Option<Instant> {
    loop {
        match machine.poll_output() {
            // A datagram that can't be sent is one that was lost: what matters is sent again.
            Output::Transmit(transmit) => drop(network.send(udp, &transmit.payload, transmit.destination)),
            Output::Event(event) => tell(event),
            Output::Wait(deadline) => return deadline,
        }
    }
}

/// A broadcaster and its socket, driven by whoever calls [`turn`](Self::turn).
pub struct ServerLoop<N: Network, R> {
    network: N,
    udp: N::Udp,
    local: SocketAddr,
    machine: Broadcaster<R>,
    buffer: Vec<u8>,
    max_datagram: usize,
    paused: Option<Instant>,
}

impl<N: Network, R> fmt::Debug for ServerLoop<N, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLoop").field("local", &self.local).finish_non_exhaustive()
    }
}

impl<N: Network, R: RandomSource> ServerLoop<N, R> {
    /// Opens a broadcaster's socket; port 0 picks a free one.
    ///
    /// # Errors
    /// If the address can't be had.
    pub fn bind(network: N, address: SocketAddr, config: BroadcasterConfig, random: R) -> io::Result<Self> {
        let udp = network.open(address)?;
        Ok(Self {
            local: network.local_addr(&udp)?,
            udp,
            network,
            max_datagram: config.max_datagram,
            machine: Broadcaster::new(config, random),
            buffer: Vec::new(),
            paused: None,
        })
    }

    /// Where it serves.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes in what has come, answers it, and says when to be called again, if nothing comes before.
    pub fn turn(&mut self, mut tell: impl FnMut(BroadcasterEvent)) -> Option<Instant> {
        if self.paused.is_some_and(|until| until.is_due(self.network.now())) {
            self.paused = None;
        }
        let mut more = false;
        if self.paused.is_none() {
            match receive(&self.network, &self.udp, &mut self.machine, &mut self.buffer, self.max_datagram) {
                Ok(received) => more = received,
                Err(_) => self.paused = Some(self.network.now() + Severity::PAUSE),
            }
        }
        let now = self.network.now();
        self.machine.handle_timeout(now);
        let deadline = drain(&self.network, &self.udp, &mut self.machine, &mut tell);
        if more { Some(now) } else { deadline.into_iter().chain(self.paused).min() }
    }
}

impl<N: Network, R: RandomSource> Server for ServerLoop<N, R> {
    fn address(&self) -> SocketAddr {
        self.local
    }

    fn turn(&mut self) -> Turn {
        Turn::Asleep(self.turn(|_| {}))
    }
}
