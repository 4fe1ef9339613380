//! The client: asks broadcasters for pools, and keeps its places in them.

mod classic;
mod config;
mod event;
mod failure;
mod listing;
mod native;
mod outcome;
mod saved;
mod stats;

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

pub use config::ClientConfig;
pub use event::{ClientEvent, PoolEnd, PoolEvent};
pub use failure::{CallError, CallFailed};
pub use listing::{Cursor, Door, ListFilter, PoolListing, PoolPage};
pub use native::Membership;
pub use outcome::{CallId, Outcome};
#[cfg(all(test, feature = "trace"))]
pub(crate) use saved::tests::saved;
pub use saved::{InvalidSaved, Saved};
pub use stats::ClientStats;

use crate::wire::Dialect;
use crate::wire::native::{Member, PoolCode, PoolSpec};
use crate::{Instant, Machine, Output, PoolId};
use classic::ClassicClient;
use native::NativeClient;

/// No interval is shorter: a zero one would keep a machine busy without time passing.
const SHORTEST: Duration = Duration::from_millis(1);

/// A client as a datagram machine. See [`Machine`] for its contract.
///
/// [`ClientConfig::dialect`] says what it speaks.
///
/// # Native
///
/// A call is a request to a broadcaster, or an order to the one of a pool, and has one [`Outcome`] within
/// [`ClientConfig::call_timeout`]. A call to create or join has its outcome when the pool's whole roster is there. From then
/// on the client is a member, until [`leave`](Self::leave), [`release`](Self::release) or a [`ClientEvent::PoolEnded`]: it
/// pings, keeps the roster ([`membership`](Self::membership)), tells what changes in it ([`PoolEvent`]), and turns to another
/// broadcaster when its own is silent.
///
/// # Classic
///
/// It can [`list`](Self::list), [`create`](Self::create) and [`join`](Self::join), and pings what it hosts until
/// [`release`](Self::release). What only the native dialect has is [`CallError::NotInDialect`].
///
/// The classic wire has no request ids. An answer goes to the oldest call that it can be meant for: one that asked
/// for that pool, for a list, or for a new pool. Errors that name no pool and no limit (`Refusal::Other` and the
/// like) are taken only if a single call is under way, and else ignored.
///
/// List and join are sent again until they are answered. Create makes a pool each time it is sent, so it is sent
/// again only when a pool of which the answer was lost must be gone; see [`ClientConfig::recreate_after`]. The first
/// answer counts; a pool that nobody asked for any more is not pinged and ends by itself.
///
/// A notice of a pool's end doesn't say which: the client pings at once what it hosts, and believes the refusal that
/// names the pool. So a late or a forged notice ends nothing.
#[derive(Debug)]
pub struct Client {
    half: Half,
}

#[derive(Debug)]
enum Half {
    Classic(Box<ClassicClient>),
    Native(Box<NativeClient>),
}

impl Client {
    /// A client of the broadcaster at `broadcaster`, and of [`ClientConfig::broadcasters`] if that doesn't answer.
    ///
    /// The seed is 32 random bytes that no other client has: what must not be guessed, and jitter, comes out of it. The
    /// classic dialect has neither.
    #[must_use]
    pub fn new(config: ClientConfig, broadcaster: SocketAddr, seed: [u8; 32]) -> Self {
        let half = match config.dialect {
            Dialect::Classic => Half::Classic(Box::new(ClassicClient::new(config, broadcaster))),
            Dialect::Native => Half::Native(Box::new(NativeClient::new(config, broadcaster, seed))),
        };
        Self { half }
    }

    /// Asks for the pools there are: their first page.
    ///
    /// # Errors
    /// If too many calls are under way, or the client was closed.
    pub fn list(&mut self, now: Instant) -> Result<CallId, CallError> {
        match &mut self.half {
            Half::Classic(client) => client.list(now),
            Half::Native(client) => client.list(now, &ListFilter::default()),
        }
    }

    /// Asks for a page of the pools that the filter lets through.
    ///
    /// # Errors
    /// If too many calls are under way, or the client was closed. [`CallError::TextTooLong`] if the prefix is longer than
    /// any name. The classic dialect knows no filter but the default.
    pub fn list_with(&mut self, now: Instant, filter: &ListFilter) -> Result<CallId, CallError> {
        match &mut self.half {
            Half::Classic(client) if *filter == ListFilter::default() => client.list(now),
            Half::Classic(_) => Err(CallError::NotInDialect),
            Half::Native(client) => client.list(now, filter),
        }
    }

    /// Asks for a new pool, to be its host: one of [`PoolSpec::default`], which is listed, open to all, and has 64 seats.
    ///
    /// # Errors
    /// If too many calls are under way or there are too many pools, or the client was closed.
    pub fn create(&mut self, now: Instant) -> Result<CallId, CallError> {
        match &mut self.half {
            Half::Classic(client) => client.create(now),
            Half::Native(client) => client.create(now, &PoolSpec::default(), &[]),
        }
    }

    /// Asks for a new pool of this spec, to be its host, of which the roster says `about`.
    ///
    /// A spec without broadcasters gets those that the client was given, if they are several, in their order from the one on that
    /// makes the pool, behind the last the first: so its members know whom to turn to.
    ///
    /// # Errors
    /// If too many calls are under way or there are too many pools, or the client was closed. [`CallError::TextTooLong`] if
    /// `about` has more than 128 bytes. [`CallError::NotInDialect`] in the classic dialect.
    pub fn create_with(&mut self, now: Instant, spec: &PoolSpec, about: &[u8]) -> Result<CallId, CallError> {
        self.native()?.create(now, spec, about)
    }

    /// Asks to become a member of `pool`.
    ///
    /// # Errors
    /// If too many calls are under way, or the client was closed. In the native dialect, if there are too many pools, and
    /// [`CallError::InvalidPool`] if the id is no UUID.
    pub fn join(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        match &mut self.half {
            Half::Classic(client) => client.join(now, pool),
            Half::Native(client) => client.join(now, Door::Id(pool), &[]),
        }
    }

    /// Asks to become a member of the pool of that id or code, of whom the roster says `about`. Of a pool that one is a
    /// member of already the outcome tells what is known, and nothing is changed.
    ///
    /// # Errors
    /// As [`join`](Self::join). [`CallError::TextTooLong`] if `about` has more than 128 bytes. In the classic dialect
    /// [`CallError::NotInDialect`] if there is a code or something to say.
    pub fn join_with(
        &mut self,
        now: Instant,
        door: impl Into<Door>,
        about: &[u8],
    ) -> Result<CallId, CallError> {
        match (&mut self.half, door.into()) {
            (Half::Native(client), door) => client.join(now, door, about),
            (Half::Classic(client), Door::Id(pool)) if about.is_empty() => client.join(now, pool),
            (Half::Classic(_), Door::Id(_) | Door::Code(_)) => Err(CallError::NotInDialect),
        }
    }

    /// Asks to become a member of the pool of that code.
    ///
    /// # Errors
    /// As [`join_with`](Self::join_with).
    pub fn join_by_code(&mut self, now: Instant, code: PoolCode) -> Result<CallId, CallError> {
        self.join_with(now, code, &[])
    }

    /// Comes back to a pool with what [`Membership::save`] gave, as the member one was. The outcome is that of a join, or
    /// `Stale` or `BadTicket`: then to join anew is what is left.
    ///
    /// It is for a program that ended without a word. One that has left the pool, by [`leave`](Self::leave),
    /// [`release`](Self::release) or [`close`](Self::close), has nothing to come back to; the runtimes close a client that is
    /// dropped.
    ///
    /// It has twice [`ClientConfig::call_timeout`]: a pool that comes back waits two of its broadcaster's intervals for those
    /// members that have not come yet (6 s, by default), and before that each broadcaster that is silent is waited for, for 2 s.
    /// Who has broadcasters with longer intervals, or pools with many broadcasters, sets the timeout higher, or resumes again
    /// when it has timed out.
    ///
    /// # Errors
    /// If too many calls are under way or there are too many pools, or the client was closed.
    /// [`CallError::NotInDialect`] in the classic dialect.
    pub fn resume(&mut self, now: Instant, saved: &Saved) -> Result<CallId, CallError> {
        self.native()?.resume(now, saved)
    }

    /// Leaves a pool. The outcome is [`Outcome::Done`] when the broadcaster knows; the client is no longer a member
    /// ([`PoolEnd::Left`]) then, or when the call has timed out.
    ///
    /// # Errors
    /// As all orders: [`CallError::NotAMember`] if the client is no member of the pool; if too many calls are under way, or
    /// the client was closed; [`CallError::NotInDialect`] in the classic dialect.
    pub fn leave(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.native()?.leave(now, pool)
    }

    /// As the host, ends a pool.
    ///
    /// # Errors
    /// As [`leave`](Self::leave), and [`CallError::NotHost`] if another member is host.
    pub fn close_pool(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.native()?.close_pool(now, pool)
    }

    /// As the host, sends a member away.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool).
    pub fn kick(&mut self, now: Instant, pool: PoolId, member: Member) -> Result<CallId, CallError> {
        self.native()?.kick(now, pool, member)
    }

    /// As the host, makes another member host. To hand over to oneself changes nothing.
    ///
    /// The outcome says that the broadcaster has done so. The members are told by themselves, and in no order: the new host
    /// can give orders when it has [`PoolEvent::Host`] with `you`, and is refused as [`CallError::NotHost`] before, which is
    /// nobody's mistake then.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool).
    pub fn hand_over(&mut self, now: Instant, pool: PoolId, member: Member) -> Result<CallId, CallError> {
        self.native()?.hand_over(now, pool, member)
    }

    /// As the host, decides anew what the pool is: the whole spec. Begin with [`latest_spec`](Self::latest_spec).
    ///
    /// Who has become host can when it has [`PoolEvent::Host`] with `you`. Members know the new spec when they have
    /// [`PoolEvent::Spec`], the host, too.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool).
    pub fn change(&mut self, now: Instant, pool: PoolId, spec: &PoolSpec) -> Result<CallId, CallError> {
        self.native()?.change(now, pool, spec)
    }

    /// As the host, lets nobody in any more, or all again.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool).
    pub fn lock(&mut self, now: Instant, pool: PoolId, locked: bool) -> Result<CallId, CallError> {
        self.native()?.lock(now, pool, locked)
    }

    /// Says something else of oneself.
    ///
    /// # Errors
    /// As [`leave`](Self::leave), and [`CallError::TextTooLong`] if it has more than 128 bytes.
    pub fn set_about(&mut self, now: Instant, pool: PoolId, about: &[u8]) -> Result<CallId, CallError> {
        self.native()?.set_about(now, pool, about)
    }

    /// Forgets a call: it gets no outcome any more.
    ///
    /// The pool that a call to create or join has led into, or may still lead into, is left, unless another call has led into
    /// it, too; in the classic dialect it is not pinged and ends by itself. That holds for a call whose outcome was polled
    /// already as well: whoever it was for may have gone. An order that was sent may be carried out all the same.
    pub fn cancel(&mut self, call: CallId) {
        match &mut self.half {
            Half::Classic(client) => client.cancel(call),
            Half::Native(client) => client.cancel(call),
        }
    }

    /// Leaves a pool without waiting for an answer, and without a [`ClientEvent::PoolEnded`]. In the classic dialect it is
    /// no longer pinged, and ends when the broadcaster's ping timeout runs out. Whether it was one of [`pools`](Self::pools).
    pub fn release(&mut self, pool: PoolId) -> bool {
        match &mut self.half {
            Half::Classic(client) => client.release(pool),
            Half::Native(client) => client.release(pool),
        }
    }

    /// The pools that the client is a member of; in the classic dialect, those that it hosts.
    pub fn pools(&self) -> impl Iterator<Item = PoolId> + '_ {
        let (classic, native) = match &self.half {
            Half::Classic(client) => (Some(client.hosted()), None),
            Half::Native(client) => (None, Some(client.memberships().map(Membership::id))),
        };
        classic.into_iter().flatten().chain(native.into_iter().flatten())
    }

    /// What is known of a pool that the client is a member of. None in the classic dialect.
    #[must_use]
    pub fn membership(&self, pool: &PoolId) -> Option<&Membership> {
        match &self.half {
            Half::Classic(_) => None,
            Half::Native(client) => client.memberships().find(|membership| membership.id() == *pool),
        }
    }

    /// What a host begins with to [`change`](Self::change) a pool: its spec, or what the host has decided since and has not
    /// been told of yet. None if the client is no member of the pool, and in the classic dialect.
    #[must_use]
    pub fn latest_spec(&self, pool: &PoolId) -> Option<&PoolSpec> {
        match &self.half {
            Half::Classic(_) => None,
            Half::Native(client) => client.latest_spec(pool),
        }
    }

    /// Ends every call with [`Outcome::Closed`], leaves all pools without waiting for answers, and sends nothing any more but
    /// what waits to be polled: poll once more until [`Output::Wait`](crate::Output::Wait), or the broadcaster isn't told.
    pub fn close(&mut self) {
        match &mut self.half {
            Half::Classic(client) => client.close(),
            Half::Native(client) => client.close(),
        }
    }

    /// What was sent and ignored so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        match &self.half {
            Half::Classic(client) => client.stats(),
            Half::Native(client) => client.stats(),
        }
    }

    fn native(&mut self) -> Result<&mut NativeClient, CallError> {
        match &mut self.half {
            Half::Classic(_) => Err(CallError::NotInDialect),
            Half::Native(client) => Ok(client),
        }
    }
}

impl Machine for Client {
    type Event = ClientEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        match &mut self.half {
            Half::Classic(client) => client.handle_datagram(now, from, datagram),
            Half::Native(client) => client.handle_datagram(now, from, datagram),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match &mut self.half {
            Half::Classic(client) => client.handle_timeout(now),
            Half::Native(client) => client.handle_timeout(now),
        }
    }

    fn poll_output(&mut self) -> Output<ClientEvent> {
        match &mut self.half {
            Half::Classic(client) => client.poll_output(),
            Half::Native(client) => client.poll_output(),
        }
    }
}
