//! A broadcaster's driver that is right, and can be broken in one place at a time.

use std::io;
use std::net::SocketAddr;

use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output, RandomSource};
use poolmesh_testkit::driver::{Network, Scripted, ScriptedSocket, Server, Turn};

use super::flaws::Flaw;

pub(crate) struct BrokenServer<R> {
    flaw: Flaw,
    net: Scripted,
    udp: ScriptedSocket,
    machine: Broadcaster<R>,
    max_datagram: usize,
    wake: Option<Instant>,
    deaf: bool,
}

fn ids() -> impl RandomSource {
    let mut id = 0;
    move || {
        id += 1;
        id
    }
}

pub(crate) fn serve(flaw: Flaw, net: Scripted, config: BroadcasterConfig) -> io::Result<Box<dyn Server>> {
    Ok(Box::new(BrokenServer {
        flaw,
        udp: net.open(([127, 0, 0, 1], 0).into())?,
        net,
        max_datagram: config.max_datagram,
        machine: Broadcaster::new(config, ids()),
        wake: None,
        deaf: false,
    }))
}

impl<R: RandomSource> BrokenServer<R> {
    fn now(&self) -> Instant {
        let now = self.net.now();
        let ahead = now.saturating_duration_since(Instant::ZERO);
        if self.flaw == Flaw::RunsAhead { now + ahead } else { now }
    }

    fn receive(&mut self) {
        let len = if self.flaw == Flaw::CutsDatagrams { self.max_datagram } else { 1 << 16 };
        let mut buffer = vec![0; len];
        match self.net.receive(&self.udp, &mut buffer) {
            Ok((len, from)) => {
                self.deaf = len == 0 && self.flaw == Flaw::StopsAtEmptyDatagram;
                self.machine.handle_datagram(self.now(), from, &buffer[..len]);
            }
            Err(error) => {
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                self.deaf = refused && self.flaw == Flaw::StopsAtRefusedPort;
            }
        }
    }
}

impl<R: RandomSource> Server for BrokenServer<R> {
    fn address(&self) -> SocketAddr {
        self.net.local_addr(&self.udp).unwrap()
    }

    fn turn(&mut self) -> Turn {
        if !self.deaf {
            self.receive();
        }
        let due = self.wake.is_some_and(|wake| wake <= self.net.now());
        if self.flaw == Flaw::SleepsOnOutputs && !due {
            self.wake = Some(self.net.now() + std::time::Duration::from_millis(1));
            return Turn::Asleep(self.wake);
        }
        self.machine.handle_timeout(self.now());
        loop {
            match self.machine.poll_output() {
                Output::Transmit(it) => drop(self.net.send(&self.udp, &it.payload, it.destination)),
                Output::Event(_) => {}
                Output::Wait(deadline) => {
                    self.wake = deadline.filter(|_| self.flaw != Flaw::IgnoresDeadlines);
                    return Turn::Asleep(self.wake);
                }
            }
        }
    }
}
