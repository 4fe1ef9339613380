//! Places that are offered, until they are taken or the time is over (PROTOCOL.md, section 3.3).

use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use super::places::{NONE, NewPlace, Place, Standing};
use super::pools::Phase;
use crate::broadcaster::sources::Source;
use crate::wire::native::{Address, Cookie, Member, Refusal, Session, Tx};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// As the driver's socket names it.
    pub(super) from: SocketAddr,
    pub(super) at: Address,
    pub(super) source: Source,
    pub(super) tx: Tx,
    /// It holds.
    pub(super) cookie: Cookie,
}

/// What is offered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    pub(super) pool: u32,
    pub(super) number: u32,
    pub(super) standing: Standing,
    pub(super) about: &'a [u8],
    /// Whether it needs no free seat.
    pub(super) seated: bool,
}

impl Offer<'_> {
    fn keeps_seat(&self) -> bool {
        self.standing == Standing::Joining && !self.seated
    }
}

impl Native {
    /// Whether there may be another member, of this source.
    pub(super) fn has_room_for(&self, desk: &Desk<'_>, source: Source) -> Result<(), Refusal> {
        if self.places.taken() - self.returns.len() >= desk.limits.members {
            return Err(Refusal::TooManyMembers);
        }
        if self.sources.count(source) >= desk.limits.members_per_source {
            return Err(Refusal::TooManyMembersOfSource);
        }
        Ok(())
    }

    /// The place that was given for a request from there, if it still stands.
    pub(super) fn served(&self, pool: u32, asker: &Asker) -> Option<u32> {
        let given = |offer| {
            let handle = self.by_address.get(pool, asker.at.get(), offer)?;
            self.places.get(handle).filter(|place| place.tx == asker.tx).map(|_| handle)
        };
        given(true).or_else(|| given(false))
    }

    /// Offers a place in a pool, in place of what is offered at that address.
    pub(super) fn offer(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        offer: &Offer<'_>,
    ) -> Result<u32, Refusal> {
        if let Some(earlier) = self.by_address.get(offer.pool, asker.at.get(), true) {
            self.withdraw(earlier);
        }
        let session = Session(desk.random.next_u128() as u64);
        let pool = self.pools.get_mut(offer.pool).ok_or(Refusal::NoSuchPool)?;
        let member = Member::new(offer.number).ok_or(Refusal::Full)?;
        let place = NewPlace {
            key: self.keys.session(pool.id, member, session),
            session,
            tx: asker.tx,
            now: desk.now,
            about: offer.about,
            pool: offer.pool,
            number: offer.number,
            from: asker.from,
            standing: offer.standing,
            seated: offer.seated,
        };
        let handle = self.places.give(&place).ok_or(Refusal::TooManyMembers)?;
        if offer.keeps_seat() {
            pool.kept = pool.kept.saturating_add(1);
        }
        if offer.standing == Standing::Returning {
            self.returns.insert((offer.pool, offer.number), handle);
        } else {
            self.sources.add(asker.source);
        }
        self.link_offer(handle);
        self.by_address.set(offer.pool, asker.at.get(), true, handle);
        let until = desk.now + self.offer_time;
        self.offers.insert((until, handle));
        self.due = self.due.min(until);
        Ok(handle)
    }

    /// An offer is none any more: it was taken, or is void. Its place is in no list then.
    pub(super) fn close_offer(&mut self, handle: u32) {
        let Some(place) = self.places.get(handle).filter(|place| place.is_offer()) else { return };
        let keeps_seat = place.standing == Standing::Joining && !place.seated;
        if place.is_second() {
            self.returns.remove(&(place.pool, place.number));
        }
        self.offers.remove(&(place.heard + self.offer_time, handle));
        self.by_address.remove(place.pool, place.address.told(), true);
        if let Some(pool) = self.pools.get_mut(place.pool) {
            pool.kept = pool.kept.saturating_sub(u16::from(keeps_seat));
        }
        self.unlink_offer(handle);
    }

    /// An offer is void.
    pub(super) fn withdraw(&mut self, handle: u32) {
        let Some(place) = self.places.get(handle).filter(|place| place.is_offer()) else { return };
        let coming = (place.standing == Standing::Coming).then(|| place.ticket()).flatten();
        let pool = place.pool;
        self.close_offer(handle);
        self.release(handle);
        if let Some((recovery, ticket)) = self.recovery_of(pool).zip(coming) {
            recovery.withdraw(ticket);
        }
    }

    /// Withdraws what is offered in a pool, as far as this says so. Answers how much that was.
    pub(super) fn withdraw_all(&mut self, pool: u32, is_void: impl Fn(&Place) -> bool) -> u64 {
        let (mut next, mut void) = (self.pools.get(pool).map_or(NONE, |pool| pool.offers), 0);
        while let Some(offer) = self.places.get(next) {
            let handle = core::mem::replace(&mut next, offer.next);
            if is_void(offer) {
                self.withdraw(handle);
                void += 1;
            }
        }
        void
    }

    /// Nobody has taken an offer in time.
    pub(super) fn offer_is_over(&mut self, desk: &mut Desk<'_>, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        let pool = place.pool;
        self.withdraw(handle);
        desk.stats.offers_void += 1;
        if self.pools.get(pool).is_some_and(|pool| pool.phase == Phase::New) {
            self.dissolve(pool);
        }
    }

    /// Withdraws what is offered to the member of this number to come back to its place.
    pub(super) fn withdraw_return(&mut self, pool: u32, number: u32) {
        if let Some(handle) = self.returns.get(&(pool, number)).copied() {
            self.withdraw(handle);
        }
    }

    /// A place is given back, which is in no list any more.
    pub(super) fn release(&mut self, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        if !place.is_second() {
            self.sources.take(place.source());
        }
        self.places.take_back(handle);
    }

    /// The place of an offer that was closed is a member's now.
    pub(super) fn make_member(&mut self, desk: &Desk<'_>, handle: u32) {
        let Some(place) = self.places.get_mut(handle) else { return };
        if place.is_second() {
            self.sources.add(place.source());
        }
        place.standing = Standing::Member;
        place.heard = desk.now;
        self.by_address.set(place.pool, place.address.told(), false, handle);
        if !core::mem::replace(&mut place.in_wheel, true) {
            // It has to know how late it is.
            let _turns = self.wheel.is_to_turn(desk.now);
            self.wheel.set(handle, &mut self.places.all);
            self.due = self.wheel.earliest().map_or(self.due, |wakes| wakes.min(self.due));
        }
        self.enter(handle);
    }
}
