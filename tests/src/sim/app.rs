//! The program of a peer: what a user puts into a world.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::trace::Input;
use poolmesh_proto::wire::native::{Member, PoolSpec};
use poolmesh_proto::{
    CallError, CallId, Client, ClientEvent, ConnectError, ConnectId, Door, Instant, LinkEvent, ListFilter,
    Membership, MeshEvent, PeerId, PoolId, PoolInfo, Saved, SendError,
};

use super::check::{Asked, Order};
use super::core::Core;
use super::machines::Machines;
use super::rng::Rng;

/// A program over a client, a mesh and its links. It is told what happens, and acts through its [`Context`].
///
/// It holds whatever state it likes. Time and chance come from the context alone, or the same seed would not bring the
/// same run.
pub trait App: fmt::Debug {
    /// Something happened. The first event of all is [`AppEvent::Started`].
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>);
}

impl<A: App + ?Sized> App for Box<A> {
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
        (**self).handle(event, context);
    }
}

/// What an application is told.
#[derive(Clone, Debug)]
pub enum AppEvent {
    /// The program runs.
    Started,
    /// The client tells of a call or of a pool.
    Client(ClientEvent),
    /// The mesh tells of peers.
    Mesh(MeshEvent),
    /// The link to a peer has something. After [`LinkEvent::Closed`] the mesh tells of the peer's end, too.
    Link(PeerId, LinkEvent),
    /// The time set by [`Context::wake_after`] has come; with the number that was given there.
    Woken(u64),
}

/// What an application acts through: the calls of a client, a mesh and links, as its embedder makes them.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) machines: &'a mut Machines,
    pub(super) core: &'a mut Core,
    pub(super) now: Instant,
}

impl Context<'_> {
    /// The time by this node's clock. It may jump, in both directions.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The node's own address, behind a NAT the inner one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.machines.address()
    }

    /// Chance that follows from the world's seed.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.core.rng
    }

    /// A line for the world's log, if it keeps one.
    pub fn log(&mut self, line: impl fmt::Display) {
        let node = self.machines.place();
        self.core.say(|| format!("n{node} says {line}"));
    }

    /// Says that something doesn't hold that must: the world stops, and [`World::run_for`](super::World::run_for) answers
    /// what it was. The first one counts.
    pub fn fail(&mut self, what: impl fmt::Display) {
        let node = self.machines.place();
        self.core.violated(format_args!("{what} (n{node})"));
    }

    /// Has [`AppEvent::Woken`] come after this time, by this node's clock.
    pub fn wake_after(&mut self, wait: Duration, number: u64) {
        self.machines.set_timer(self.now + wait, number);
    }

    /// Takes back what [`wake_after`](Self::wake_after) has set with that number and has not come yet.
    pub fn cancel_wake(&mut self, number: u64) {
        self.machines.forget_timers(number);
    }

    /// As [`Client::list`](poolmesh_proto::Client::list).
    ///
    /// # Errors
    /// As there.
    pub fn list(&mut self) -> Result<CallId, CallError> {
        self.machines.list(self.core, self.now)
    }

    /// As [`Client::create`](poolmesh_proto::Client::create).
    ///
    /// # Errors
    /// As there.
    pub fn create(&mut self) -> Result<CallId, CallError> {
        self.machines.create(self.core, self.now)
    }

    /// As [`Client::join`](poolmesh_proto::Client::join).
    ///
    /// # Errors
    /// As there.
    pub fn join(&mut self, pool: PoolId) -> Result<CallId, CallError> {
        self.machines.join(self.core, self.now, pool)
    }

    /// As [`Client::list_with`](poolmesh_proto::Client::list_with).
    ///
    /// # Errors
    /// As there.
    pub fn list_with(&mut self, filter: &ListFilter) -> Result<CallId, CallError> {
        let now = self.now;
        let input = || Input::ListWith(filter.clone());
        self.machines.native(self.core, now, Asked::List, input, |client| client.list_with(now, filter))
    }

    /// As [`Client::create_with`](poolmesh_proto::Client::create_with).
    ///
    /// # Errors
    /// As there.
    pub fn create_with(&mut self, spec: &PoolSpec, about: &[u8]) -> Result<CallId, CallError> {
        let now = self.now;
        let input = || Input::CreateWith(Box::new(spec.clone()), Bytes::copy_from_slice(about));
        let call = |client: &mut Client| client.create_with(now, spec, about);
        self.machines.native(self.core, now, Asked::Create, input, call)
    }

    /// As [`Client::join_with`](poolmesh_proto::Client::join_with).
    ///
    /// # Errors
    /// As there.
    pub fn join_with(&mut self, door: impl Into<Door>, about: &[u8]) -> Result<CallId, CallError> {
        let (now, door) = (self.now, door.into());
        let pool = match door {
            Door::Id(pool) => Some(pool),
            Door::Code(_) | _ => None,
        };
        let input = || Input::JoinWith(door, Bytes::copy_from_slice(about));
        let call = |client: &mut Client| client.join_with(now, door, about);
        self.machines.native(self.core, now, Asked::Join(pool), input, call)
    }

    /// As [`Client::resume`](poolmesh_proto::Client::resume).
    ///
    /// # Errors
    /// As there.
    pub fn resume(&mut self, saved: &Saved) -> Result<CallId, CallError> {
        let now = self.now;
        let (asked, input) = (Asked::Resume(saved.pool()), || Input::Resume(Box::new(saved.clone())));
        self.machines.native(self.core, now, asked, input, |client| client.resume(now, saved))
    }

    fn order(
        &mut self,
        pool: PoolId,
        order: Order,
        call: impl FnOnce(&mut Client, Instant) -> Result<CallId, CallError>,
    ) -> Result<CallId, CallError> {
        let now = self.now;
        let input = Input::Order(pool, order.recorded());
        let call = |client: &mut Client| call(client, now);
        self.machines.native(self.core, now, Asked::Order(pool, order), || input, call)
    }

    /// As [`Client::leave`](poolmesh_proto::Client::leave).
    ///
    /// # Errors
    /// As there.
    pub fn leave(&mut self, pool: PoolId) -> Result<CallId, CallError> {
        self.order(pool, Order::Leave, |client, now| client.leave(now, pool))
    }

    /// As [`Client::close_pool`](poolmesh_proto::Client::close_pool).
    ///
    /// # Errors
    /// As there.
    pub fn close_pool(&mut self, pool: PoolId) -> Result<CallId, CallError> {
        self.order(pool, Order::Close, |client, now| client.close_pool(now, pool))
    }

    /// As [`Client::kick`](poolmesh_proto::Client::kick).
    ///
    /// # Errors
    /// As there.
    pub fn kick(&mut self, pool: PoolId, member: Member) -> Result<CallId, CallError> {
        self.order(pool, Order::Kick(member), |client, now| client.kick(now, pool, member))
    }

    /// As [`Client::hand_over`](poolmesh_proto::Client::hand_over).
    ///
    /// # Errors
    /// As there.
    pub fn hand_over(&mut self, pool: PoolId, member: Member) -> Result<CallId, CallError> {
        self.order(pool, Order::Hand(member), |client, now| client.hand_over(now, pool, member))
    }

    /// As [`Client::change`](poolmesh_proto::Client::change).
    ///
    /// # Errors
    /// As there.
    pub fn change(&mut self, pool: PoolId, spec: &PoolSpec) -> Result<CallId, CallError> {
        let order = Order::Change(Box::new(spec.clone()));
        self.order(pool, order, |client, now| client.change(now, pool, spec))
    }

    /// As [`Client::lock`](poolmesh_proto::Client::lock).
    ///
    /// # Errors
    /// As there.
    pub fn lock(&mut self, pool: PoolId, locked: bool) -> Result<CallId, CallError> {
        self.order(pool, Order::Lock(locked), |client, now| client.lock(now, pool, locked))
    }

    /// As [`Client::set_about`](poolmesh_proto::Client::set_about).
    ///
    /// # Errors
    /// As there.
    pub fn set_about(&mut self, pool: PoolId, about: &[u8]) -> Result<CallId, CallError> {
        self.order(pool, Order::About(about.to_vec()), |client, now| client.set_about(now, pool, about))
    }

    /// As [`Client::membership`](poolmesh_proto::Client::membership).
    #[must_use]
    pub fn membership(&self, pool: &PoolId) -> Option<&Membership> {
        self.machines.client.membership(pool)
    }

    /// As [`Client::latest_spec`](poolmesh_proto::Client::latest_spec).
    #[must_use]
    pub fn latest_spec(&self, pool: &PoolId) -> Option<&PoolSpec> {
        self.machines.client.latest_spec(pool)
    }

    /// As [`Client::cancel`](poolmesh_proto::Client::cancel).
    pub fn cancel(&mut self, call: CallId) {
        self.machines.cancel(self.core, self.now, call);
    }

    /// As [`Client::release`](poolmesh_proto::Client::release).
    pub fn release(&mut self, pool: PoolId) -> bool {
        self.machines.release(self.core, self.now, pool)
    }

    /// As [`Client::pools`](poolmesh_proto::Client::pools).
    #[must_use]
    pub fn pools(&self) -> Vec<PoolId> {
        self.machines.client.pools().collect()
    }

    /// As [`Mesh::enter`](poolmesh_proto::Mesh::enter).
    ///
    /// # Errors
    /// As there.
    pub fn enter(&mut self, pool: &PoolInfo) -> Result<ConnectId, ConnectError> {
        self.machines.enter(self.core, self.now, pool)
    }

    /// As [`Mesh::connect`](poolmesh_proto::Mesh::connect).
    ///
    /// # Errors
    /// As there.
    pub fn connect(&mut self, addresses: Vec<SocketAddr>) -> Result<ConnectId, ConnectError> {
        self.machines.connect(self.core, self.now, addresses)
    }

    /// As [`Mesh::cancel`](poolmesh_proto::Mesh::cancel).
    pub fn cancel_connect(&mut self, call: ConnectId) {
        self.machines.cancel_connect(self.core, self.now, call);
    }

    /// As [`Mesh::listen`](poolmesh_proto::Mesh::listen).
    ///
    /// # Errors
    /// As there.
    pub fn listen(&mut self, address: SocketAddr) -> Result<(), ConnectError> {
        self.machines.listen(self.core, self.now, address)
    }

    /// As [`Mesh::disconnect`](poolmesh_proto::Mesh::disconnect).
    pub fn disconnect(&mut self, peer: PeerId) -> bool {
        self.machines.disconnect(self.core, self.now, peer)
    }

    /// The links there are, and where their peers are.
    #[must_use]
    pub fn peers(&self) -> Vec<(PeerId, SocketAddr)> {
        self.machines.peers()
    }

    /// As [`Links::send`](poolmesh_proto::Links::send).
    ///
    /// # Errors
    /// As there.
    pub fn send(
        &mut self,
        peer: PeerId,
        name: impl AsRef<[u8]>,
        payload: impl Into<Bytes>,
    ) -> Result<(), SendError> {
        self.machines.send(self.core, self.now, peer, name.as_ref(), payload.into())
    }

    /// As [`Links::send_to_all`](poolmesh_proto::Links::send_to_all).
    pub fn send_to_all(
        &mut self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Bytes>,
    ) -> Vec<(PeerId, SendError)> {
        let (name, payload) = (name.as_ref(), payload.into());
        let peers: Vec<PeerId> = self.peers().into_iter().map(|(peer, _)| peer).collect();
        let send = |peer| self.send(peer, name, payload.clone()).err().map(|error| (peer, error));
        peers.into_iter().filter_map(send).collect()
    }

    /// Closes mesh and client for good, as a program that ends in order.
    pub fn close(&mut self) {
        self.machines.close(self.core, self.now);
    }
}
