//! The machines of a program that is played.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::super::{Digest, Digested, Input, PeerStart, Polled, Start};
use super::Departure;
use crate::{
    Broadcaster, BroadcasterEvent, Client, ClientEvent, Instant, Links, LinksOutput, Machine, Mesh,
    MeshOutput, Output, RandomSource,
};

/// An output of any machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyOutput {
    /// Of a broadcaster.
    Broadcaster(Output<BroadcasterEvent>),
    /// Of a client.
    Client(Output<ClientEvent>),
    /// Of a mesh.
    Mesh(MeshOutput),
    /// Of links.
    Links(LinksOutput),
}

impl AnyOutput {
    /// Whether it says that nothing is left to do.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(
            self,
            Self::Broadcaster(Output::Wait(_))
                | Self::Client(Output::Wait(_))
                | Self::Mesh(MeshOutput::Wait(_))
                | Self::Links(LinksOutput::Wait(_))
        )
    }
}

/// As the output itself.
impl Digested for AnyOutput {
    fn add_to(&self, digest: &mut Digest) {
        match self {
            Self::Broadcaster(output) => digest.output(output),
            Self::Client(output) => digest.output(output),
            Self::Mesh(output) => digest.output(output),
            Self::Links(output) => digest.output(output),
        }
    }
}

/// The machines of one program.
#[derive(Debug)]
pub(super) enum Machines {
    Broadcaster(Box<PlayedBroadcaster>),
    Peer(Box<Peer>),
}

impl Machines {
    pub(super) fn start(start: Start) -> Self {
        match start {
            Start::Broadcaster(config) => {
                Self::Broadcaster(Box::new(PlayedBroadcaster(Broadcaster::new(*config, Drawn::default()))))
            }
            Start::Peer(start) => {
                let PeerStart { client, broadcaster, mesh, seed } = *start;
                let client = Client::new(client, broadcaster, seed);
                Self::Peer(Box::new(Peer { client, mesh: Mesh::new(mesh), links: Links::new() }))
            }
        }
    }

    /// Polls a machine as often as it was polled, but not beyond its `Wait`. None if there is no such machine.
    pub(super) fn poll(&mut self, machine: Polled, times: u32, came: &mut Vec<AnyOutput>) -> Option<Polls> {
        let mut polls = Polls { outputs: 0, digest: Digest::new() };
        while polls.outputs < times {
            let output = self.poll_one(machine)?;
            let waits = output.waits();
            polls.outputs += 1;
            polls.digest.output(&output);
            came.push(output);
            if waits {
                break;
            }
        }
        Some(polls)
    }

    fn poll_one(&mut self, machine: Polled) -> Option<AnyOutput> {
        match (self, machine) {
            (Self::Broadcaster(played), Polled::Broadcaster) => {
                Some(AnyOutput::Broadcaster(played.0.poll_output()))
            }
            (Self::Peer(peer), Polled::Client) => Some(AnyOutput::Client(peer.client.poll_output())),
            (Self::Peer(peer), Polled::Mesh) => Some(AnyOutput::Mesh(peer.mesh.poll_output())),
            (Self::Peer(peer), Polled::Links) => Some(AnyOutput::Links(peer.links.poll_output())),
            (Self::Broadcaster(_), Polled::Client | Polled::Mesh | Polled::Links)
            | (Self::Peer(_), Polled::Broadcaster) => None,
        }
    }
}

/// What came of polling.
#[derive(Debug)]
pub(super) struct Polls {
    pub(super) outputs: u32,
    digest: Digest,
}

impl Polls {
    pub(super) fn compare(&self, machine: Polled, outputs: u32, digest: u64) -> Result<(), Departure> {
        if self.outputs != outputs {
            return Err(Departure::Outputs { machine, expected: outputs, came: self.outputs });
        }
        let came = self.digest.get();
        if came == digest { Ok(()) } else { Err(Departure::Digest { machine, expected: digest, came }) }
    }
}

/// Random numbers that were recorded. Behind their end come zeros.
#[derive(Debug, Default)]
struct Drawn {
    recorded: Vec<u128>,
    drawn: usize,
}

impl RandomSource for Drawn {
    fn next_u128(&mut self) -> u128 {
        let next = self.recorded.get(self.drawn).copied().unwrap_or(0);
        self.drawn += 1;
        next
    }
}

#[derive(Debug)]
pub(super) struct PlayedBroadcaster(Broadcaster<Drawn>);

impl PlayedBroadcaster {
    /// Tells it what it was told, and says how many random numbers it drew.
    pub(super) fn handle(&mut self, now: Instant, input: &Input, recorded: Vec<u128>) -> usize {
        *self.0.random_mut() = Drawn { recorded, drawn: 0 };
        if let Input::Datagram { from, datagram } = input {
            self.0.handle_datagram(now, *from, datagram);
        } else {
            self.0.handle_timeout(now);
        }
        core::mem::take(self.0.random_mut()).drawn
    }
}

#[derive(Debug)]
pub(super) struct Peer {
    client: Client,
    mesh: Mesh,
    links: Links,
}

impl Peer {
    /// Tells it what it was told. What the call answered then it answers again, and its application has done with that
    /// whatever the trace says that it did.
    pub(super) fn handle(&mut self, now: Instant, input: Input) -> Result<(), Departure> {
        let Self { client, mesh, links } = self;
        match input {
            Input::Datagram { from, datagram } => client.handle_datagram(now, from, &datagram),
            Input::Timeout => client.handle_timeout(now),
            Input::List => drop(client.list(now)),
            Input::Create => drop(client.create(now)),
            Input::Join(pool) => drop(client.join(now, pool)),
            Input::Cancel(call) => client.cancel(call),
            Input::Release(pool) => drop(client.release(pool)),
            Input::CloseClient => client.close(),
            Input::ListWith(filter) => drop(client.list_with(now, &filter)),
            Input::CreateWith(spec, about) => drop(client.create_with(now, &spec, &about)),
            Input::JoinWith(door, about) => drop(client.join_with(now, door, &about)),
            Input::Resume(saved) => drop(client.resume(now, &saved)),
            Input::Order(pool, order) => drop(order.give(client, now, pool)),

            Input::MeshTimeout => mesh.handle_timeout(now),
            Input::Enter(pool) => drop(mesh.enter(now, &pool)),
            Input::Connect(addresses) => drop(mesh.connect(now, addresses)),
            Input::CancelConnect(call) => mesh.cancel(call),
            Input::Meet(address) => mesh.meet(now, address),
            Input::Listen(address) => drop(mesh.listen(address)),
            Input::Disconnect(peer) => drop(mesh.disconnect(peer)),
            Input::CloseMesh => mesh.close(),
            Input::Dialed(dial) => {
                if let Some((peer, link)) = mesh.handle_dialed(now, dial) {
                    links.insert(peer, link);
                }
            }
            Input::DialFailed(dial, fault) => mesh.handle_dial_failed(now, dial, fault),
            Input::Accepted(from) => {
                if let Some((peer, link)) = mesh.handle_accepted(now, from) {
                    links.insert(peer, link);
                }
            }
            Input::LinkClosed(peer, reason) => mesh.handle_closed(now, peer, reason),
            Input::Listening(address) => mesh.handle_listening(address),
            Input::ListenFailed(address, fault) => mesh.handle_listen_failed(address, fault),

            Input::LinksTimeout => links.handle_timeout(now),
            Input::Send { peer, name, payload } => drop(links.send(peer, name, payload)),
            Input::SendToAll { name, payload } => drop(links.send_to_all(name, payload)),
            Input::CloseLink(peer) => links.close(now, peer),
            Input::Bytes(peer, bytes) => links.handle_bytes(now, peer, bytes),
            Input::Eof(peer) => links.handle_eof(now, peer),
            Input::Failure(peer, fault) => links.handle_failure(now, peer, fault),
            Input::Written(peer) => links.handle_written(peer),

            // The replay sees to these itself.
            Input::Start(_) | Input::Polled { .. } | Input::Drawn(_) => return Err(Departure::OtherProgram),
        }
        Ok(())
    }
}
