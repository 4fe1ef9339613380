//! The event loop, put to the proof in either world.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use poolmesh_proto::{BroadcasterConfig, PeerId, PoolId, SendError};

use super::{
    Driver, EventLoop, Loopback, Network, Scripted, Server, ServerLoop, Settings, Subject, System, Told, Turn,
};

impl<N: Network> Driver for EventLoop<N> {
    fn list(&mut self) {
        let made = Self::list(self);
        self.made(made);
    }

    fn create(&mut self) {
        let made = Self::create(self);
        self.made(made);
    }

    fn join(&mut self, pool: PoolId) {
        let made = Self::join(self, pool);
        self.made(made);
    }

    fn listen(&mut self, address: SocketAddr) {
        let _ = Self::listen(self, address);
    }

    fn connect(&mut self, address: SocketAddr) {
        let _ = Self::connect(self, address);
    }

    fn send(&mut self, peer: PeerId, name: &str, payload: Bytes) -> Result<(), SendError> {
        Self::send(self, peer, name, payload)
    }

    fn disconnect(&mut self, peer: PeerId) {
        Self::disconnect(self, peer);
    }

    fn close(&mut self) {
        Self::close(self);
    }

    fn next(&mut self) -> Option<Told> {
        Self::next_told(self)
    }

    fn turn(&mut self) -> Turn {
        Turn::Asleep(Self::turn(self))
    }
}

/// [`EventLoop`] and [`ServerLoop`] on scripted sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnScript;

impl Subject for OnScript {
    type World = Scripted;

    fn start(&self, world: &Scripted, settings: Settings) -> io::Result<Box<dyn Driver>> {
        Ok(Box::new(EventLoop::start(world.clone(), settings)?))
    }

    fn serve(&self, world: &Scripted, config: BroadcasterConfig) -> io::Result<Option<Box<dyn Server>>> {
        serve(world.clone(), config).map(Some)
    }
}

/// [`EventLoop`] and [`ServerLoop`] on the sockets of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnLoopback;

impl Subject for OnLoopback {
    type World = Loopback;

    fn start(&self, _: &Loopback, settings: Settings) -> io::Result<Box<dyn Driver>> {
        Ok(Box::new(EventLoop::start(System::start(), settings)?))
    }

    fn serve(&self, _: &Loopback, config: BroadcasterConfig) -> io::Result<Option<Box<dyn Server>>> {
        serve(System::start(), config).map(Some)
    }
}

fn serve<N: Network + 'static>(network: N, config: BroadcasterConfig) -> io::Result<Box<dyn Server>> {
    let mut ids = 0;
    let random = move || {
        ids += 1;
        ids
    };
    Ok(Box::new(ServerLoop::bind(network, ([127, 0, 0, 1], 0).into(), config, random)?))
}
