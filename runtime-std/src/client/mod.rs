//! The client of a broadcaster: one thread that receives, and calls that wait.

mod events;
mod orders;
mod shared;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use poolmesh_proto::driver::{Pages, to_enter};
use poolmesh_proto::wire::native::{PoolCode, PoolSpec};
use poolmesh_proto::{
    CallError, CallFailed, CallId, ClientConfig, ClientStats, Door, Instant, ListFilter, Membership, Outcome,
    PoolId, PoolInfo, PoolListing, PoolPage, Saved,
};
use poolmesh_sockets::tcp::HeldPort;

use crate::mesh::Dialer;
use crate::sockets;
pub use events::PoolEvents;
use shared::{Owner, Shared};

/// A client of a broadcaster. Clones are the same client.
///
/// gop2p: `broadcast.CreateHandle` and `Connect`. Calls can be made from several threads at a time; each ends within
/// [`ClientConfig::call_timeout`]. It speaks the native dialect unless its config says otherwise; what only that one has is
/// [`CallError::NotInDialect`] in the classic one. It is closed when the last clone is dropped.
///
/// ```no_run
/// use poolmesh_std::Client;
///
/// let client = Client::connect("127.0.0.1:6969")?;
/// let pool = client.create()?; // and stay in it, until `leave`
/// println!("{} pools", client.list()?.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client {
    owner: Arc<Owner>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("broadcaster", &self.broadcaster()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the broadcaster at `broadcaster`, a name or an address with a port. Sends nothing yet.
    ///
    /// # Errors
    /// If the name can't be resolved, no socket can be opened, or the system has no random numbers.
    pub fn connect(broadcaster: impl ToSocketAddrs + std::fmt::Debug) -> io::Result<Self> {
        Self::connect_with(broadcaster, ClientConfig::default())
    }

    /// As [`connect`](Self::connect), with settings and limits. Other broadcasters, to be asked when this one doesn't answer,
    /// are [`ClientConfig::broadcasters`], of which [`resolve`](crate::resolve) finds the addresses; those of another IP
    /// version than this one's are not reached.
    ///
    /// # Errors
    /// If the name can't be resolved, no socket can be opened, or the system has no random numbers.
    pub fn connect_with(
        broadcaster: impl ToSocketAddrs + std::fmt::Debug,
        config: ClientConfig,
    ) -> io::Result<Self> {
        let owner = Owner::start(sockets::resolve(broadcaster)?, config)?;
        Ok(Self { owner: Arc::new(owner) })
    }

    /// The pools there are, those that are hidden left out: all of them, up to some thousands (as many as
    /// [`Pages::MOST`] pages hold). gop2p: `GetPoolIDs`.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way.
    pub fn list(&self) -> Result<Vec<PoolListing>, CallFailed> {
        let (mut pages, mut filter) = (Pages::default(), ListFilter::default());
        while let Some(next) = pages.take(&filter, self.list_with(&filter)?) {
            filter = next;
        }
        Ok(pages.into_pools())
    }

    /// A page of the pools that the filter lets through, and where the next one begins.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, too many calls are under way, or the filter is not possible.
    pub fn list_with(&self, filter: &ListFilter) -> Result<PoolPage, CallFailed> {
        self.call(|machine, now| machine.list_with(now, filter))?.into_list()
    }

    /// A new pool with this program as its host, listed and open, with 64 seats. gop2p: `CreatePool`.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way or there are too many pools.
    pub fn create(&self) -> Result<PoolInfo, CallFailed> {
        self.call(poolmesh_proto::Client::create)?.into_pool()
    }

    /// A new pool as `spec` says, with this program as its host, of which the roster says `about`. A spec without broadcasters
    /// gets those of the client, if they are several.
    ///
    /// # Errors
    /// As [`create`](Self::create), by `Limit` if the spec or `about` is more than the broadcaster allows;
    /// [`CallError::TextTooLong`] if `about` has more than 128 bytes.
    pub fn create_with(&self, spec: &PoolSpec, about: &[u8]) -> Result<PoolInfo, CallFailed> {
        self.call(|machine, now| machine.create_with(now, spec, about))?.into_pool()
    }

    /// Becomes a member of a pool. gop2p: `JoinPool`, which waits for ever for a pool that doesn't exist.
    ///
    /// # Errors
    /// If the broadcaster refuses ([`is_no_such_pool`](CallFailed::is_no_such_pool), [`is_full`](CallFailed::is_full), `Locked`,
    /// `TooManyMembers`, `TooManyMembersOfSource`; `Recovering` or `Busy` if that lasts) or doesn't answer, or too many calls are
    /// under way or there are too many pools.
    pub fn join(&self, pool: PoolId) -> Result<PoolInfo, CallFailed> {
        self.call(|machine, now| machine.join(now, pool))?.into_pool()
    }

    /// Becomes a member of the pool of that id or code, of which the roster says `about`. In a pool that this program is a
    /// member of already it changes nothing, not even what the roster says: it answers what is known.
    ///
    /// # Errors
    /// As [`join`](Self::join), by `Limit` if `about` is more than the broadcaster allows; [`CallError::TextTooLong`] if it has
    /// more than 128 bytes.
    pub fn join_with(&self, door: impl Into<Door>, about: &[u8]) -> Result<PoolInfo, CallFailed> {
        let door = door.into();
        self.call(|machine, now| machine.join_with(now, door, about))?.into_pool()
    }

    /// Becomes a member of the pool of that code, which somebody read out.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_by_code(&self, code: PoolCode) -> Result<PoolInfo, CallFailed> {
        self.join_with(code, &[])
    }

    /// Comes back to a pool as the member one was, with what [`Membership::save`] gave before the program ended: by a crash, by
    /// a kill, or by [`process::exit`](std::process::exit). **A client that is closed or dropped leaves its pools**, and there is
    /// nothing to come back to; so does a `main` that returns, for it drops the client.
    ///
    /// It has twice [`ClientConfig::call_timeout`]: a pool that comes back waits two of its broadcaster's intervals for those
    /// members that have not come yet (6 s, by default), and before that each broadcaster that is silent is waited for, for 2 s.
    ///
    /// # Errors
    /// If too many calls are under way or there are too many pools, or no broadcaster of the pool answers. By `Stale` if the
    /// member's time in the pool is over (it has left, was sent away, or was silent for too long while others were there; the pool has ended; another
    /// program has come back with the same), by `BadTicket` if none of the pool's broadcasters has the key that it was made with:
    /// to join anew is what is left.
    pub fn resume(&self, saved: &Saved) -> Result<PoolInfo, CallFailed> {
        self.call(|machine, now| machine.resume(now, saved))?.into_pool()
    }

    /// What is known of a pool at this moment: who is in it, who is host, its spec. None if this program is no member.
    #[must_use]
    pub fn membership(&self, pool: PoolId) -> Option<Membership> {
        self.shared().lock().machine.membership(&pool).cloned()
    }

    /// The spec of a pool with what this program, its host, has decided since, though the roster doesn't tell yet: what to
    /// begin with to [`change`](Self::change) it. None if this program is no member.
    #[must_use]
    pub fn latest_spec(&self, pool: PoolId) -> Option<PoolSpec> {
        self.shared().lock().machine.latest_spec(&pool).cloned()
    }

    /// The pools that this program is a member of; in the classic dialect, those that it hosts.
    #[must_use]
    pub fn pools(&self) -> Vec<PoolId> {
        self.shared().lock().machine.pools().collect()
    }

    /// What happens in the pools, from now on: who comes and goes, who is host, that a pool has ended. It keeps no client
    /// open.
    #[must_use]
    pub fn events(&self) -> PoolEvents {
        PoolEvents::new(Arc::clone(&self.shared().feed))
    }

    /// Leaves a pool without waiting for an answer: it is told twice, and else learnt when the broadcaster's timeout runs
    /// out. In the classic dialect a hosted pool is no longer pinged, and ends by that. Whether it was one of
    /// [`pools`](Self::pools). gop2p: to end `Ping`.
    pub fn release(&self, pool: PoolId) -> bool {
        let mut state = self.shared().lock();
        let released = state.machine.release(pool);
        state.dialers.remove(&pool);
        self.shared().pump(&mut state);
        released
    }

    /// Whom it asks first.
    #[must_use]
    pub fn broadcaster(&self) -> SocketAddr {
        self.shared().broadcaster
    }

    /// Its own UDP address, on the way to that broadcaster.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared().local
    }

    /// What was sent and ignored so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.shared().lock().machine.stats()
    }

    /// Ends every call and leaves every pool, which the broadcaster is told at once and without waiting for an answer. The
    /// socket is closed once all clones are gone. gop2p: `Close`.
    pub fn close(&self) {
        self.owner.close();
    }

    /// Has `dialer` dial those who come into a pool and are to be dialed. The pool as it is known by now, and the TCP socket
    /// that holds our port number, once.
    pub(crate) fn enter(&self, pool: &PoolInfo, dialer: Dialer) -> (PoolInfo, Option<HeldPort>) {
        let mut state = self.shared().lock();
        let known = to_enter(&state.machine, pool);
        if state.machine.membership(&pool.id()).is_some() {
            state.dialers.insert(pool.id(), dialer);
        }
        (known, state.held.take())
    }

    fn shared(&self) -> &Shared {
        &self.owner.shared
    }

    /// Makes a call and waits for its outcome. Whoever waits keeps the machine's time.
    fn call(
        &self,
        make: impl FnOnce(&mut poolmesh_proto::Client, Instant) -> Result<CallId, CallError>,
    ) -> Result<Outcome, CallFailed> {
        let shared = self.shared();
        let mut state = shared.lock();
        let call = make(&mut state.machine, shared.clock.now())?;
        shared.pump(&mut state);
        loop {
            if let Some(outcome) = state.outcomes.remove(&call) {
                return Ok(outcome);
            }
            state = shared.wait(state);
        }
    }
}
