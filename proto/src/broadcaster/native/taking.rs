//! An offer is taken by the first message of its session (PROTOCOL.md, sections 3.3 and 7.2).

use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use super::places::{Place, Standing};
use super::pools::Phase;
use crate::broadcaster::BroadcasterEvent;
use crate::log::debug;
use crate::wire::native::{About, Address, Change, EndReason, LeaveReason};

impl Native {
    /// Somebody speaks from a place that was offered to him. Whether it is a member's now.
    pub(super) fn take_offer(&mut self, desk: &mut Desk<'_>, handle: u32) -> bool {
        let Some(place) = self.places.get(handle) else { return false };
        let standing = place.standing;
        let Some(phase) = self.pools.get(place.pool).map(|pool| pool.phase) else { return false };
        match (standing, phase) {
            (Standing::Joining, Phase::New) => self.found(desk, handle),
            (Standing::Joining, Phase::Live) => self.admit(desk, handle),
            (Standing::Returning | Standing::Coming, Phase::Live | Phase::Recovering) => {
                self.come_back(desk, handle);
            }
            // An offer of a pool that was published is withdrawn before nothing is.
            (_, Phase::Free | Phase::New | Phase::Live | Phase::Recovering | Phase::Ended) => {}
        }
        self.places.get(handle).is_some_and(|place| place.standing == Standing::Member)
    }

    /// The maker of a pool takes it.
    fn found(&mut self, desk: &mut Desk<'_>, handle: u32) {
        self.close_offer(handle);
        self.make_member(desk, handle);
        let Some(place) = self.places.get(handle) else { return };
        let Some(pool) = self.pools.get_mut(place.pool) else { return };
        pool.phase = Phase::Live;
        (pool.era, pool.number) = (self.eras.next(), 1);
        pool.host = handle;
        let host = place.address.told();
        debug!(pool = %pool.id, %host, "pool created");
        desk.stats.pools_created += 1;
        desk.answers.tell(BroadcasterEvent::PoolCreated { pool: pool.name(), host });
    }

    /// Somebody new takes his place.
    fn admit(&mut self, desk: &mut Desk<'_>, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        let (pool, at) = (place.pool, place.address.told());
        self.close_offer(handle);
        self.replace(desk, pool, at, handle);
        self.make_member(desk, handle);
        self.joined_in_recovery(pool, self.places.get(handle).and_then(Place::member));
        self.note_joined(desk, handle);
        self.settle(desk, pool, at, false);
    }

    /// Notes that a member has come to a pool that is published.
    pub(super) fn note_joined(&mut self, desk: &mut Desk<'_>, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        let Some((pool, entry)) = self.pools.get(place.pool).zip(place.entry()) else { return };
        let peer = entry.address.get();
        debug!(pool = %pool.id, %peer, member = %entry.member, "peer joined");
        desk.stats.peers_joined += 1;
        desk.answers.tell(BroadcasterEvent::PeerJoined { pool: pool.name(), peer });
        self.fresh.push(&Change::Joined(entry));
    }

    /// Whoever else is a member at that address has left.
    pub(super) fn replace(&mut self, desk: &mut Desk<'_>, pool: u32, at: SocketAddr, by: u32) {
        let Some(other) = self.by_address.get(pool, at, false).filter(|other| *other != by) else { return };
        let is_live = self.is_live(pool);
        let Some(gone) = self.take_out(other) else { return };
        if is_live {
            self.note_left(desk, pool, gone.member, at, LeaveReason::Replaced);
        }
        gone.tell(desk, EndReason::Replaced);
    }

    /// Who was to have the place of a member at that address, who is no longer there, needs a seat of its own.
    pub(super) fn unseat(&mut self, pool: u32, at: SocketAddr) {
        let Some(heir) = self.by_address.get(pool, at, true) else { return };
        let Some(place) = self.places.get_mut(heir).filter(|place| place.seated) else { return };
        let Some(pool) = self.pools.get_mut(pool) else { return };
        if pool.free_seats() == 0 {
            return self.withdraw(heir);
        }
        place.seated = false;
        pool.kept = pool.kept.saturating_add(1);
    }

    /// A member takes the place that it was offered by its ticket.
    fn come_back(&mut self, desk: &mut Desk<'_>, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        let (pool, member) = (place.pool, place.member());
        let returns = place.standing == Standing::Returning;
        match member.and_then(|member| self.find_member(pool, member)) {
            Some(old) if returns => self.swap(desk, pool, old, handle),
            Some(_) | None => self.arrive(desk, pool, handle),
        }
    }

    /// A member's session goes on in another place.
    fn swap(&mut self, desk: &mut Desk<'_>, pool: u32, old: u32, handle: u32) {
        let Some((was, new)) = self.places.get(old).zip(self.places.get(handle)) else { return };
        let (from, to) = (was.address.told(), new.address.told());
        let is_about = was.about != new.about;
        let is_host = self.pools.get(pool).is_some_and(|pool| pool.host == old);
        let spent = was.spent.max(new.spent);
        self.close_offer(handle);
        self.replace(desk, pool, to, old);
        self.unlink(old);
        self.by_address.remove(pool, from, false);
        self.release(old);
        self.make_member(desk, handle);
        if let Some(place) = self.places.get_mut(handle) {
            place.spent = spent;
        }
        // It has its seat again, which is free for nobody.
        self.unseat(pool, from);
        if let Some(pool) = self.pools.get_mut(pool).filter(|_| is_host) {
            pool.host = handle;
        }
        desk.stats.members_returned += 1;
        if let Some(place) = self.places.get(handle).filter(|_| self.is_live(pool)) {
            note_return(&mut self.fresh, place, from != to, is_about);
        }
        if !self.fresh.is_empty() {
            self.settle(desk, pool, to, false);
        }
    }
}

/// Notes what is new of a member who has come back.
fn note_return(fresh: &mut super::news::Changes, place: &Place, moved: bool, is_about: bool) {
    let Some((member, address)) = place.member().zip(Address::new(place.address.told())) else { return };
    if moved {
        fresh.push(&Change::Moved { member, address });
    }
    if is_about {
        let about = About::new(&place.about).unwrap_or_default();
        fresh.push(&Change::About { member, about });
    }
}
