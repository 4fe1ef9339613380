//! Members leave, and others become hosts (PROTOCOL.md, sections 4.1, 5 and 6).

use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use super::places::{NONE, Standing};
use super::pools::Phase;
use crate::broadcaster::BroadcasterEvent;
use crate::log::debug;
use crate::wire::native::{Change, EndReason, Handle, Key, LeaveReason, Member, News, Notice, Term};

/// A member who was taken out of the roster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) member: Member,
    handle: u32,
    key: Key,
    destination: Option<SocketAddr>,
}

impl Native {
    /// Takes a member out of the roster, and gives its place back. The pool is to be settled then.
    pub(super) fn take_out(&mut self, handle: u32) -> Option<Gone> {
        let place = self.places.get(handle).filter(|place| place.standing == Standing::Member)?;
        let (pool, number, at) = (place.pool, place.number, place.address.told());
        let gone = Gone {
            member: place.member()?,
            handle,
            key: place.key,
            destination: self.places.destination(handle),
        };
        self.unlink(handle);
        self.by_address.remove(pool, at, false);
        self.release(handle);
        // Its seat goes to who was to have it.
        let heir = self.by_address.get(pool, at, true).and_then(|heir| self.places.get_mut(heir));
        if let Some(heir) = heir.filter(|heir| heir.seated) {
            heir.seated = false;
            let pool = self.pools.get_mut(heir.pool)?;
            pool.kept = pool.kept.saturating_add(1);
        }
        self.withdraw_return(pool, number);
        if let Some(recovery) = self.recovery_of(pool) {
            recovery.has_left(gone.member);
        }
        Some(gone)
    }

    /// A member leaves, and all that follows from it.
    pub(super) fn leave(&mut self, desk: &mut Desk<'_>, handle: u32, reason: LeaveReason) -> Option<Gone> {
        let place = self.places.get(handle)?;
        let (pool, address) = (place.pool, place.address.told());
        let gone = self.take_out(handle)?;
        let is_live = self.is_live(pool);
        if is_live {
            self.note_left(desk, pool, gone.member, address, reason);
        }
        // One that is not back yet is no pool that could end.
        let silent = is_live && reason == LeaveReason::TimedOut && self.all_are_silent(desk, pool);
        if let Some(pool) = self.pools.get_mut(pool) {
            pool.silent = silent;
        }
        self.settle(desk, pool, address, reason == LeaveReason::Kicked);
        Some(gone)
    }

    /// Whether nobody of a pool was heard in time, if there is anybody. It is asked only when that ends it.
    fn all_are_silent(&self, desk: &Desk<'_>, pool: u32) -> bool {
        let Some(pool) = self.pools.get(pool) else { return false };
        if pool.host != NONE || pool.count > 0 && !pool.spec.as_spec().ends_with_host() {
            return false;
        }
        let mut next = pool.first;
        while let Some(place) = self.places.get(next) {
            if !(place.heard + desk.limits.timeout).is_due(desk.now) {
                return false;
            }
            next = place.next;
        }
        true
    }

    /// Notes that a member has left a pool that goes on.
    pub(super) fn note_left(
        &mut self,
        desk: &mut Desk<'_>,
        pool: u32,
        member: Member,
        address: SocketAddr,
        reason: LeaveReason,
    ) {
        let Some(pool) = self.pools.get(pool) else { return };
        debug!(pool = %pool.id, %member, %address, ?reason, "member left");
        desk.stats.members_left += 1;
        desk.stats.members_timed_out += u64::from(reason == LeaveReason::TimedOut);
        desk.answers.tell(BroadcasterEvent::MemberLeft { pool: pool.name(), member, address, reason });
        self.fresh.push(&Change::Left { member, reason });
    }

    /// The roster has changed: the pool has a host again, or ends, and its members are told. The host was at this address,
    /// if it has none.
    pub(super) fn settle(&mut self, desk: &mut Desk<'_>, place: u32, host: SocketAddr, kicked: bool) {
        let Some(pool) = self.pools.get(place).filter(|pool| pool.phase == Phase::Live) else { return };
        if pool.count == 0 || pool.host == NONE && pool.spec.as_spec().ends_with_host() {
            self.fresh.clear();
            return self.end(desk, place, host, None);
        }
        if pool.host == NONE {
            let (heir, term) = (pool.first, pool.term.saturating_add(1));
            self.set_host(desk, place, heir, term);
        }
        self.publish(desk, place, kicked);
    }

    /// This member is host now.
    pub(super) fn set_host(&mut self, desk: &mut Desk<'_>, place: u32, host: u32, term: u32) {
        let Some(pool) = self.pools.get_mut(place) else { return };
        (pool.host, pool.term) = (host, term);
        let Some(host) = self.places.get(host) else { return };
        let Some((member, term)) = host.member().zip(Term::new(term)) else { return };
        debug!(pool = %pool.id, %member, %term, "another host");
        desk.stats.hosts_changed += 1;
        let address = host.address.told();
        desk.answers.tell(BroadcasterEvent::HostChanged { pool: pool.name(), member, term, address });
    }

    /// The wheel has let go of a place: a member was silent for too long, or it is none any more.
    #[cold]
    pub(super) fn silent(&mut self, desk: &mut Desk<'_>, handle: u32) {
        let Some(place) = self.places.get_mut(handle) else { return };
        place.in_wheel = false;
        if place.standing == Standing::Member {
            self.leave(desk, handle, LeaveReason::TimedOut);
        }
    }
}

impl Gone {
    /// Tells it that its session is over.
    pub(super) fn tell(&self, desk: &mut Desk<'_>, reason: EndReason) {
        let Some(destination) = self.destination else { return };
        let notice = Notice { handle: Handle(self.handle), news: News::Ended(reason) };
        desk.answers.write(destination, |out| {
            // It has no list that could be too long.
            let _whole = notice.write(&self.key, out);
        });
    }
}
