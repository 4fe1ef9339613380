//! What a member, or the host, has the broadcaster do.

use poolmesh_proto::wire::native::{Member, PoolSpec};
use poolmesh_proto::{CallError, CallFailed, CallId, Instant, PoolId};

use super::Client;

/// Orders, in the native dialect. Each ends when the broadcaster has carried it out, or within
/// [`ClientConfig::call_timeout`](crate::ClientConfig::call_timeout).
impl Client {
    /// Leaves a pool, and waits until the broadcaster knows. Links stand until the mesh is closed. There is no way back by
    /// [`resume`](Self::resume).
    ///
    /// # Errors
    /// As all orders: if the broadcaster doesn't answer, too many calls are under way, or this program is no member of the
    /// pool; by `Stale` if it is no longer when the order is given. If nobody answers, the pool is left all the same.
    pub fn leave(&self, pool: PoolId) -> Result<(), CallFailed> {
        self.order(|machine, now| machine.leave(now, pool))
    }

    /// As the host, ends a pool.
    ///
    /// # Errors
    /// As [`leave`](Self::leave), and if another member is host ([`is_not_host`](CallFailed::is_not_host)).
    pub fn close_pool(&self, pool: PoolId) -> Result<(), CallFailed> {
        self.order(|machine, now| machine.close_pool(now, pool))
    }

    /// As the host, sends a member away. To end the links to it is up to those who have them.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool), and by `NoSuchMember` if there is none, or it is this program, which can leave.
    pub fn kick(&self, pool: PoolId, member: Member) -> Result<(), CallFailed> {
        self.order(|machine, now| machine.kick(now, pool, member))
    }

    /// As the host, makes another member host. It can give orders when it has been told, by
    /// [`PoolEvent::Host`](crate::PoolEvent::Host) with `you`, and not before. To hand over to oneself changes nothing.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool), and by `NoSuchMember` if there is none.
    pub fn hand_over(&self, pool: PoolId, member: Member) -> Result<(), CallFailed> {
        self.order(|machine, now| machine.hand_over(now, pool, member))
    }

    /// As the host, decides anew what the pool is: the whole spec. Begin with [`latest_spec`](Self::latest_spec).
    /// Who has become host can when it has been told, by [`PoolEvent::Host`](crate::PoolEvent::Host) with `you`.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool), and by `Limit` if it is more than the broadcaster allows.
    pub fn change(&self, pool: PoolId, spec: &PoolSpec) -> Result<(), CallFailed> {
        self.order(|machine, now| machine.change(now, pool, spec))
    }

    /// As the host, lets nobody in any more, or all again.
    ///
    /// # Errors
    /// As [`close_pool`](Self::close_pool).
    pub fn lock(&self, pool: PoolId, locked: bool) -> Result<(), CallFailed> {
        self.order(|machine, now| machine.lock(now, pool, locked))
    }

    /// Says something else of oneself, at most 128 bytes.
    ///
    /// # Errors
    /// As [`leave`](Self::leave), and if it is too long: [`CallError::TextTooLong`] beyond 128 bytes, `Limit` if the broadcaster
    /// allows less.
    pub fn set_about(&self, pool: PoolId, about: &[u8]) -> Result<(), CallFailed> {
        self.order(|machine, now| machine.set_about(now, pool, about))
    }

    fn order(
        &self,
        make: impl FnOnce(&mut poolmesh_proto::Client, Instant) -> Result<CallId, CallError>,
    ) -> Result<(), CallFailed> {
        self.call(make)?.into_done()
    }
}
