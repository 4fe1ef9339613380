//! A driver that is right, and can be broken in one place at a time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::{io, mem};

use bytes::{Buf, Bytes};
use poolmesh_proto::driver::{Event, Severity};
use poolmesh_proto::{
    BroadcasterConfig, Client, DialId, Fault, Instant, Link, LinkEvent, Links, LinksOutput, Machine, Mesh,
    MeshEvent, MeshOutput, Output, PeerId, PoolId, SendError, Write,
};
use poolmesh_testkit::driver::{
    Driver, Loopback, Network, Scripted, Server, Settings, Subject, System, Told, Turn, mesh_event,
};

use super::broken_server;
use super::flaws::Flaw;

pub(crate) struct Broken<N: Network> {
    flaw: Flaw,
    net: N,
    udp: N::Udp,
    broadcaster: SocketAddr,
    client: Client,
    mesh: Mesh,
    links: Links,
    max_datagram: usize,
    listener: Option<N::Listener>,
    dials: BTreeMap<DialId, N::Stream>,
    streams: BTreeMap<PeerId, (N::Stream, Option<Write>)>,
    told: VecDeque<Told>,
    paused_until: Instant,
    closing: bool,
    // What the flaws need.
    deaf: bool,
    mute: bool,
    accepted: bool,
    slept_at: Instant,
    received_at: Option<Instant>,
    wake: Option<Instant>,
    kept: Vec<N::Stream>,
    first: Option<N::Listener>,
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl<N: Network> Broken<N> {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn start(flaw: Flaw, net: N, settings: Settings) -> io::Result<Self> {
        let Settings { client, mesh, broadcaster, seed } = settings;
        Ok(Self {
            flaw,
            udp: net.open(([0, 0, 0, 0], 0).into())?,
            net,
            broadcaster,
            max_datagram: client.max_datagram,
            client: Client::new(client, broadcaster, seed),
            mesh: Mesh::new(mesh),
            links: Links::new(),
            listener: None,
            dials: BTreeMap::new(),
            streams: BTreeMap::new(),
            told: VecDeque::new(),
            paused_until: Instant::ZERO,
            closing: false,
            deaf: false,
            mute: false,
            accepted: false,
            slept_at: Instant::ZERO,
            received_at: None,
            wake: None,
            kept: Vec::new(),
            first: None,
        })
    }

    /// What time it tells its machines.
    fn now(&self) -> Instant {
        let now = self.net.now();
        match self.flaw {
            Flaw::ReadsTheClockBeforeSleeping => self.slept_at,
            Flaw::RunsBackwards => Instant::from_micros(u64::MAX / 2 - now.as_micros()),
            Flaw::RunsAhead => now + now.saturating_duration_since(Instant::ZERO),
            _ => now,
        }
    }

    fn turn(&mut self) -> Option<Instant> {
        let due = self.wake.is_none_or(|wake| wake <= self.net.now());
        let mut came = false;
        if self.paused_until <= self.net.now() {
            came |= !self.deaf && self.receive();
            self.accept();
        }
        self.dialed();
        came |= self.read_and_write();
        if self.has(Flaw::MakesUpForAStall) {
            while let Some(wake) = self.wake.filter(|wake| *wake < self.net.now()) {
                self.client.handle_timeout(wake);
                self.wake = self.drain_client();
            }
        }
        if self.has(Flaw::SleepsOnOutputs) && !came && !due {
            return self.wake;
        }
        let wake = self.drain();
        if self.closing && self.streams.is_empty() && self.dials.is_empty() {
            self.closing = false;
            self.told.push_back(Told::Closed);
        }
        self.slept_at = self.net.now();
        if self.has(Flaw::NeverSleeps) {
            return Some(self.net.now());
        }
        if self.has(Flaw::IgnoresDeadlines) {
            return None;
        }
        let old = self.wake.filter(|wake| *wake > self.net.now());
        self.wake = if self.has(Flaw::KeepsTheOldDeadline) { old.or(wake) } else { wake };
        let pause = Some(self.paused_until).filter(|until| *until > self.net.now());
        self.wake.into_iter().chain(pause).min()
    }

    fn pause_after(&mut self, error: &io::Error) {
        if !would_block(error) && Severity::of(error) != Severity::Harmless {
            self.paused_until = self.net.now() + Severity::PAUSE;
        }
    }

    fn receive(&mut self) -> bool {
        let now = self.net.now();
        if self.received_at == Some(now) && self.has(Flaw::TakesOneDatagramAWakeup) {
            return false;
        }
        let len = if self.has(Flaw::CutsDatagrams) { self.max_datagram } else { 1 << 16 };
        let mut buffer = vec![0; len];
        match self.net.receive(&self.udp, &mut buffer) {
            Ok((len, from)) => {
                self.received_at = Some(now);
                self.deaf = len == 0 && self.has(Flaw::StopsAtEmptyDatagram);
                let from = if self.has(Flaw::TakesAllForOnes) { self.broadcaster } else { from };
                self.client.handle_datagram(self.now(), from, &buffer[..len]);
                true
            }
            Err(error) => {
                self.deaf = !would_block(&error) && self.has(Flaw::StopsAtRefusedPort);
                self.pause_after(&error);
                false
            }
        }
    }

    fn accept(&mut self) {
        if self.accepted && self.has(Flaw::AcceptsOnce) {
            return;
        }
        loop {
            match self.listener.as_ref().map(|listener| self.net.accept(listener)) {
                Some(Ok((stream, from))) => {
                    self.accepted = true;
                    let link = self.mesh.handle_accepted(self.now(), from);
                    self.open(link, stream);
                }
                Some(Err(error)) if !would_block(&error) && self.has(Flaw::AcceptsWithoutPause) => continue,
                Some(Err(error)) => self.pause_after(&error),
                None => {}
            }
            return;
        }
    }

    fn dialed(&mut self) {
        for (dial, stream) in mem::take(&mut self.dials) {
            match self.net.is_dialed(&stream) {
                Ok(false) => drop(self.dials.insert(dial, stream)),
                Ok(true) => {
                    let link = self.mesh.handle_dialed(self.now(), dial);
                    self.open(link, stream);
                }
                Err(_) if self.has(Flaw::SilentAboutFailedDials) => {}
                Err(error) => self.mesh.handle_dial_failed(self.now(), dial, Fault::from(&error)),
            }
        }
    }

    fn open(&mut self, link: Option<(PeerId, Link)>, stream: N::Stream) {
        match link {
            Some((peer, link)) => {
                self.links.insert(peer, link);
                self.streams.insert(peer, (stream, None));
            }
            None if self.has(Flaw::KeepsUnwantedConnections) => self.kept.push(stream),
            None => {}
        }
    }

    fn read_and_write(&mut self) -> bool {
        let (flaw, now) = (self.flaw, self.now());
        let mut came = false;
        let keeps_up = self.told.is_empty();
        for (peer, (stream, writing)) in &mut self.streams {
            let peer = *peer;
            if !keeps_up && flaw != Flaw::TakesFullLinksForIdle {
                self.links.handle_bytes(now, peer, Bytes::new());
            }
            loop {
                if !(flaw == Flaw::ReadsFullLinks || keeps_up && self.links.wants_read(peer)) {
                    break;
                }
                let mut buffer = vec![0; 16 * 1_024];
                match self.net.read(stream, &mut buffer) {
                    Ok(0) if flaw == Flaw::MissesTheEnd => {}
                    Ok(0) if flaw == Flaw::TakesEndsForResets => {
                        self.links.handle_failure(now, peer, Fault::Reset);
                    }
                    Ok(0) => self.links.handle_eof(now, peer),
                    Ok(len) => {
                        self.links.handle_bytes(now, peer, Bytes::copy_from_slice(&buffer[..len]));
                        came = true;
                        if flaw == Flaw::ReadsOneToItsEnd || flaw == Flaw::ReadsFullLinks {
                            continue;
                        }
                    }
                    Err(error) if would_block(&error) => {}
                    Err(error)
                        if error.kind() == io::ErrorKind::Interrupted
                            && flaw != Flaw::TakesInterruptionsForFailures => {}
                    Err(_) if flaw == Flaw::TakesResetsForEnds => self.links.handle_eof(now, peer),
                    Err(error) => self.links.handle_failure(now, peer, Fault::from(&error)),
                }
                break;
            }
            if flaw == Flaw::ReadsOneToItsEnd && came {
                break;
            }
            if flaw == Flaw::OneHoldsUpAll && writing.is_some() {
                write_on(flaw, &self.net, peer, stream, writing, &mut self.links);
                return came;
            }
            if flaw != Flaw::NeverGoesOn {
                write_on(flaw, &self.net, peer, stream, writing, &mut self.links);
            }
        }
        came
    }

    fn drain_client(&mut self) -> Option<Instant> {
        loop {
            match self.client.poll_output() {
                Output::Transmit(_) if self.mute => {}
                Output::Transmit(it) => {
                    let one = self.has(Flaw::SendsAllToOne);
                    let to = if one { self.broadcaster } else { it.destination };
                    let sent = self.net.send(&self.udp, &it.payload, to);
                    self.mute = sent.is_err() && self.has(Flaw::StopsAtFailedSend);
                }
                Output::Event(event) => {
                    let told = Told::of(event);
                    self.told.extend(told.filter(|told| match told {
                        Told::News(_) => !self.has(Flaw::SilentAboutPools),
                        Told::Listed(_) => !self.has(Flaw::SilentAboutAnswers),
                        _ => true,
                    }));
                }
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    fn drain(&mut self) -> Option<Instant> {
        let now = self.now();
        self.client.handle_timeout(now);
        self.mesh.handle_timeout(now);
        self.links.handle_timeout(now);
        let client = self.drain_client();
        loop {
            let (ended, links) = self.drain_links();
            let (acted, mesh) = self.drain_mesh();
            if !ended && !acted {
                return [client, links, mesh].into_iter().flatten().min();
            }
        }
    }

    fn drain_links(&mut self) -> (bool, Option<Instant>) {
        let mut ended = false;
        loop {
            match self.links.poll_output() {
                LinksOutput::Write { peer, write } => {
                    let stuck = self.streams.values().any(|(_, writing)| writing.is_some());
                    let Some((stream, writing)) = self.streams.get_mut(&peer) else { continue };
                    *writing = Some(write);
                    if !(stuck && self.flaw == Flaw::OneHoldsUpAll) {
                        write_on(self.flaw, &self.net, peer, stream, writing, &mut self.links);
                    }
                }
                LinksOutput::Event { peer, event: LinkEvent::Closed(reason) } => {
                    let stream = self.streams.remove(&peer).map(|(stream, _)| stream);
                    if self.has(Flaw::KeepsEndedConnections) {
                        self.kept.extend(stream);
                    }
                    if !self.has(Flaw::SilentToTheMesh) {
                        self.mesh.handle_closed(self.now(), peer, reason);
                    }
                    ended = true;
                }
                LinksOutput::Event { peer, event: LinkEvent::Received(message) } => {
                    if self.has(Flaw::LosesEvents) && !self.told.is_empty() {
                        continue;
                    }
                    let told = Told::Mesh(Event::Received(peer, message));
                    if self.has(Flaw::TellsLastFirst) {
                        self.told.push_front(told);
                    } else {
                        self.told.push_back(told);
                    }
                }
                LinksOutput::Event { .. } => {}
                LinksOutput::Wait(deadline) => return (ended, deadline),
            }
        }
    }

    fn drain_mesh(&mut self) -> (bool, Option<Instant>) {
        let mut acted = false;
        loop {
            match self.mesh.poll_output() {
                MeshOutput::Dial { dial, address, .. } => match self.net.dial(address) {
                    Ok(stream) => drop(self.dials.insert(dial, stream)),
                    Err(error) => self.mesh.handle_dial_failed(self.now(), dial, Fault::from(&error)),
                },
                MeshOutput::Abandon { .. } if self.has(Flaw::KeepsAbandonedDials) => {}
                MeshOutput::Abandon { dial } => drop(self.dials.remove(&dial)),
                MeshOutput::Listen { address } => self.listen_at(address),
                MeshOutput::StopListening if self.has(Flaw::NeverStopsListening) => {}
                MeshOutput::StopListening => self.listener = None,
                MeshOutput::Close { .. } if self.has(Flaw::IgnoresClose) => {}
                MeshOutput::Close { peer } => self.links.close(self.now(), peer),
                MeshOutput::Event(event) => self.tell(event),
                MeshOutput::Wait(deadline) => return (acted, deadline),
            }
            acted = true;
        }
    }

    fn listen_at(&mut self, address: SocketAddr) {
        let first = self.listener.take();
        if self.has(Flaw::KeepsTheFirstListener) {
            self.first = first;
        } else {
            drop(first);
        }
        match self.net.listen(address) {
            Ok((listener, local)) => {
                self.listener = Some(listener);
                self.mesh.handle_listening(local);
            }
            Err(_) if self.has(Flaw::SilentAboutTakenPorts) => {}
            Err(error) => self.mesh.handle_listen_failed(address, Fault::from(&error)),
        }
    }

    fn tell(&mut self, event: MeshEvent) {
        let Some(event) = mesh_event(event) else { return };
        if let (Event::Connected(peer), true) = (&event, self.has(Flaw::TellsTwice)) {
            self.told.push_back(Told::Mesh(Event::Connected(*peer)));
        }
        self.told.push_back(Told::Mesh(event));
    }
}

fn write_on<N: Network>(
    flaw: Flaw,
    net: &N,
    peer: PeerId,
    stream: &N::Stream,
    writing: &mut Option<Write>,
    links: &mut Links,
) {
    while let Some(write) = writing {
        let written = match write {
            Write::Finish if flaw == Flaw::SkipsFinish => Ok(true),
            Write::Finish => net.finish(stream).map(|()| true),
            Write::Bytes(bytes) => net.write(stream, bytes).map(|len| {
                let all = len == bytes.len();
                if flaw != Flaw::RepeatsTheStart || all {
                    bytes.advance(len);
                }
                all || flaw == Flaw::LosesTheRest
            }),
        };
        match written {
            Ok(false) => {}
            Ok(true) => {
                *writing = None;
                links.handle_written(peer);
            }
            Err(error) if would_block(&error) || error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => {
                *writing = None;
                if flaw != Flaw::SilentAboutFailedWrites {
                    links.handle_failure(net.now(), peer, Fault::from(&error));
                }
            }
        }
    }
}

impl<N: Network> Drop for Broken<N> {
    fn drop(&mut self) {
        if self.has(Flaw::LeavesSocketsOpen) {
            mem::take(&mut self.streams).into_values().for_each(mem::forget);
        }
    }
}

impl<N: Network> Driver for Broken<N> {
    fn list(&mut self) {
        let _ = self.client.list(self.now());
    }

    fn create(&mut self) {
        let _ = self.client.create(self.now());
    }

    fn join(&mut self, pool: PoolId) {
        let _ = self.client.join(self.now(), pool);
    }

    fn listen(&mut self, address: SocketAddr) {
        let _ = self.mesh.listen(address);
    }

    fn connect(&mut self, address: SocketAddr) {
        let _ = self.mesh.connect(self.now(), [address]);
    }

    fn send(&mut self, peer: PeerId, name: &str, payload: Bytes) -> Result<(), SendError> {
        self.links.send(peer, name, payload)
    }

    fn disconnect(&mut self, peer: PeerId) {
        self.mesh.disconnect(peer);
    }

    fn close(&mut self) {
        if !self.has(Flaw::LeavesTheClientOpen) {
            self.client.close();
        }
        self.mesh.close();
        self.mute |= self.has(Flaw::ClosesInSilence);
        self.closing = true;
    }

    fn next(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn turn(&mut self) -> Turn {
        Turn::Asleep(self.turn())
    }
}

/// A driver with that flaw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct With(pub(crate) Flaw);

impl Subject for With {
    type World = Scripted;

    fn start(&self, world: &Scripted, settings: Settings) -> io::Result<Box<dyn Driver>> {
        Ok(Box::new(Broken::start(self.0, world.clone(), settings)?))
    }

    fn serve(&self, world: &Scripted, config: BroadcasterConfig) -> io::Result<Option<Box<dyn Server>>> {
        broken_server::serve(self.0, world.clone(), config).map(Some)
    }
}

/// The same on real sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnLoopbackWith(pub(crate) Flaw);

impl Subject for OnLoopbackWith {
    type World = Loopback;

    fn start(&self, _: &Loopback, settings: Settings) -> io::Result<Box<dyn Driver>> {
        Ok(Box::new(Broken::start(self.0, System::start(), settings)?))
    }
}
