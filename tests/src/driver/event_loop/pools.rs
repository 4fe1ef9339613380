//! What a program asks of its client, and the mesh's way into pools.

use bytes::Bytes;
use poolmesh_proto::driver::{PoolNews, to_enter};
use poolmesh_proto::trace::{Input, Order};
use poolmesh_proto::wire::native::PoolSpec;
use poolmesh_proto::{CallError, Client, ConnectError, Door, Membership, PoolId, PoolInfo};

use super::{EventLoop, Network, Told};

impl<N: Network> EventLoop<N> {
    /// As [`Client::list`].
    ///
    /// # Errors
    /// As that.
    pub fn list(&mut self) -> Result<(), CallError> {
        self.network.note(|| Input::List);
        self.client.list(self.network.now()).map(drop)
    }

    /// As [`Client::create`].
    ///
    /// # Errors
    /// As that.
    pub fn create(&mut self) -> Result<(), CallError> {
        self.network.note(|| Input::Create);
        self.client.create(self.network.now()).map(drop)
    }

    /// As [`Client::create_with`].
    ///
    /// # Errors
    /// As that.
    pub fn create_with(&mut self, spec: &PoolSpec, about: &[u8]) -> Result<(), CallError> {
        self.network.note(|| Input::CreateWith(Box::new(spec.clone()), Bytes::copy_from_slice(about)));
        self.client.create_with(self.network.now(), spec, about).map(drop)
    }

    /// As [`Client::join`].
    ///
    /// # Errors
    /// As that.
    pub fn join(&mut self, pool: PoolId) -> Result<(), CallError> {
        self.network.note(|| Input::Join(pool));
        self.client.join(self.network.now(), pool).map(drop)
    }

    /// As [`Client::join_with`].
    ///
    /// # Errors
    /// As that.
    pub fn join_with(&mut self, door: impl Into<Door>, about: &[u8]) -> Result<(), CallError> {
        let door = door.into();
        self.network.note(|| Input::JoinWith(door, Bytes::copy_from_slice(about)));
        self.client.join_with(self.network.now(), door, about).map(drop)
    }

    /// As the method of [`Client`] that the order is named after. [`Told::Done`] follows, or [`Told::Failed`].
    ///
    /// # Errors
    /// As that.
    pub fn order(&mut self, pool: PoolId, order: Order) -> Result<(), CallError> {
        self.network.note(|| Input::Order(pool, order.clone()));
        order.give(&mut self.client, self.network.now(), pool).map(drop)
    }

    /// As [`Client::membership`].
    #[must_use]
    pub fn membership(&self, pool: PoolId) -> Option<&Membership> {
        Client::membership(&self.client, &pool)
    }

    /// Has the mesh enter a pool as it is known by now: it listens, dials whom it is to dial, and from then on who comes and is
    /// to be dialed.
    ///
    /// # Errors
    /// As [`Mesh::enter`](poolmesh_proto::Mesh::enter).
    pub fn enter(&mut self, pool: &PoolInfo) -> Result<(), ConnectError> {
        let pool = to_enter(&self.client, pool);
        self.network.note(|| Input::Enter(pool.clone()));
        self.entered.insert(pool.id());
        self.mesh.enter(self.network.now(), &pool).map(drop)
    }

    /// Does what follows from news, and keeps them for the program.
    pub(super) fn follow(&mut self, news: PoolNews) {
        if matches!(news, PoolNews::Ended { .. }) {
            self.entered.remove(&news.pool());
        }
        if let Some(address) = news.to_dial(&self.client).filter(|_| self.entered.contains(&news.pool())) {
            self.network.note(|| Input::Meet(address));
            self.mesh.meet(self.network.now(), address);
        }
        self.news.put(news);
    }

    /// A call that could not be made is told of as one that failed.
    pub(in super::super) fn made(&mut self, made: Result<(), CallError>) {
        self.answers.extend(made.err().map(|error| Told::Failed(error.into())));
    }
}
