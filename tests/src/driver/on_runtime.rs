//! A runtime with handles and calls that wait, as a driver that is put to the proof.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use bytes::Bytes;
use poolmesh_proto::driver::Event;
use poolmesh_proto::{BroadcasterConfig, CallFailed, PeerId, PoolId, PoolListing, SendError};

use super::{Driver, Loopback, Server, Settings, Subject, Told, Turn};
use crate::runtime::{Client, Events, Mesh, Peer, PoolEvents, Runtime, Serving};

/// Puts a [`Runtime`] to the proof: whoever has implemented that one has nothing more to do.
pub struct OnRuntime<R>(PhantomData<fn() -> R>);

impl<R> OnRuntime<R> {
    /// That runtime.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<R> Default for OnRuntime<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> fmt::Debug for OnRuntime<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRuntime")
    }
}

impl<R: Runtime> Subject for OnRuntime<R> {
    type World = Loopback;

    fn start(&self, _: &Loopback, settings: Settings) -> io::Result<Box<dyn Driver>> {
        let client = R::Client::connect_with(&settings.broadcaster.to_string(), settings.client)?;
        let mesh = R::Mesh::with_config(settings.mesh);
        let events = mesh.events();
        let (tell, told) = mpsc::channel();
        let program = Program::<R> {
            client,
            mesh,
            events,
            peers: BTreeMap::new(),
            tell,
            told,
            calls: Arc::new(()),
            closed: false,
        };
        // Whoever waits may keep the machine's time: that a client does so alone is the conformance suite's to show.
        let mut news = program.client.events();
        program.call(move |_, tell| {
            while let Some(news) = news.next() {
                let _ = tell.send(Told::News(news));
            }
        });
        Ok(Box::new(program))
    }

    fn serve(&self, _: &Loopback, config: BroadcasterConfig) -> io::Result<Option<Box<dyn Server>>> {
        let serving = R::serve(([127, 0, 0, 1], 0).into(), config)?;
        Ok(Some(Box::new(Served(Some(serving)))))
    }
}

/// A program on a runtime. Calls that wait are made by threads of their own, which nobody waits for.
struct Program<R: Runtime> {
    client: R::Client,
    mesh: R::Mesh,
    events: R::Events,
    peers: BTreeMap<PeerId, R::Peer>,
    tell: Sender<Told>,
    told: Receiver<Told>,
    /// Held by each call that waits.
    calls: Arc<()>,
    /// All is closed, and only what was under way is still to be told.
    closed: bool,
}

impl<R: Runtime> Program<R> {
    fn call(&self, call: impl FnOnce(&R::Client, &Sender<Told>) + Send + 'static) {
        let (client, tell, under_way) = (self.client.clone(), self.tell.clone(), Arc::clone(&self.calls));
        thread::spawn(move || {
            call(&client, &tell);
            drop(under_way);
        });
    }

    fn ask<T: 'static>(
        &self,
        ask: impl FnOnce(&R::Client) -> Result<T, CallFailed> + Send + 'static,
        answer: fn(T) -> Told,
    ) {
        self.call(move |client, tell| drop(tell.send(ask(client).map_or_else(Told::Failed, answer))));
    }

    fn event(&mut self) -> Option<Told> {
        let name = |event: Event<R::Peer>, peers: &mut BTreeMap<PeerId, R::Peer>| match event {
            Event::Connected(peer) => {
                peers.insert(peer.id(), peer.clone());
                Some(Event::Connected(peer.id()))
            }
            Event::Received(peer, message) => Some(Event::Received(peer.id(), message)),
            Event::Disconnected(peer, reason) => {
                peers.remove(&peer.id());
                Some(Event::Disconnected(peer.id(), reason))
            }
            Event::Unreachable(address, failure) => Some(Event::Unreachable(address, failure)),
            Event::Listening(address) => Some(Event::Listening(address)),
            Event::ListenFailed(address, fault) => Some(Event::ListenFailed(address, fault)),
            _ => None,
        };
        self.events.try_next().and_then(|event| name(event, &mut self.peers)).map(Told::Mesh)
    }
}

impl<R: Runtime> Driver for Program<R> {
    fn list(&mut self) {
        self.ask(R::Client::list, |pools| Told::Listed(pools.iter().map(PoolListing::id).collect()));
    }

    fn create(&mut self) {
        self.ask(R::Client::create, Told::Pool);
    }

    fn join(&mut self, pool: PoolId) {
        self.ask(move |client| client.join(pool), Told::Pool);
    }

    fn listen(&mut self, address: SocketAddr) {
        // The events tell of it.
        let _ = self.mesh.listen_on(address);
    }

    fn connect(&mut self, address: SocketAddr) {
        let mesh = self.mesh.clone();
        thread::spawn(move || drop(mesh.connect_to_peer(&address.to_string())));
    }

    fn send(&mut self, peer: PeerId, name: &str, payload: Bytes) -> Result<(), SendError> {
        let peer = self.peers.get(&peer).ok_or(SendError::Closed)?;
        peer.try_send(name.as_bytes(), payload)
    }

    fn disconnect(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get(&peer) {
            peer.disconnect();
        }
    }

    fn close(&mut self) {
        let mesh = self.mesh.clone();
        self.call(move |client, tell| {
            mesh.close();
            client.close();
            let _ = tell.send(Told::Closed);
        });
    }

    fn next(&mut self) -> Option<Told> {
        let all_ended = self.closed && Arc::strong_count(&self.calls) == 1;
        match self.told.try_recv() {
            // Whatever is under way is told before.
            Ok(Told::Closed) => self.closed = true,
            Ok(told) => return Some(told),
            Err(_) => {}
        }
        let event = self.event();
        if event.is_none() && all_ended {
            self.closed = false;
            return Some(Told::Closed);
        }
        event
    }

    fn turn(&mut self) -> Turn {
        Turn::ByItself
    }
}

impl<R: Runtime> Drop for Program<R> {
    fn drop(&mut self) {
        // Ends the calls under way, and so their threads.
        self.client.close();
    }
}

/// A broadcaster on a runtime.
struct Served(Option<Serving>);

impl Server for Served {
    fn address(&self) -> SocketAddr {
        self.0.as_ref().map_or_else(|| ([127, 0, 0, 1], 0).into(), |serving| serving.local)
    }

    fn turn(&mut self) -> Turn {
        Turn::ByItself
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(serving) = self.0.take() {
            (serving.stop)();
        }
    }
}
