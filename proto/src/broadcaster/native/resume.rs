//! Members come back with tickets (PROTOCOL.md, section 7.2).

use alloc::boxed::Box;
use core::num::NonZeroU64;

use super::Native;
use super::admission::{allows, allows_about};
use super::desk::Desk;
use super::offers::{Asker, Offer};
use super::places::Standing;
use super::pools::{Phase, Pool};
use super::recovery::{Offered, Recovery};
use crate::log::debug;
use crate::wire::native::{About, Refusal, Spec, Ticket};

impl Native {
    pub(super) fn resume(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        ticket: &Ticket,
        spec: &Spec<'_>,
        about: About<'_>,
    ) -> Result<u32, Refusal> {
        if !self.keys.sealed(ticket, spec) {
            return Err(Refusal::BadTicket);
        }
        let here = self.pools.find(ticket.application, ticket.pool);
        if let Some(given) = here.and_then(|pool| self.served(pool, asker)) {
            return Ok(given);
        }
        allows_about(desk, about)?;
        let pool = match here {
            Some(pool) => pool,
            None => self.bring_back(desk, asker, ticket, spec)?,
        };
        match self.find_member(pool, ticket.member) {
            Some(member) if self.is_its(member, ticket) => self.offer_again(desk, asker, pool, ticket, about),
            // Another may have the number as long as the pool is not back as the ticket knows it.
            Some(_) if !self.is_to_be_base(pool, ticket) => Err(Refusal::Stale),
            Some(_) | None => self.offer_in_recovery(desk, asker, pool, ticket, spec, about),
        }
    }

    /// Whether a ticket is of a member's session, or of the one before.
    fn is_its(&self, member: u32, ticket: &Ticket) -> bool {
        self.places.get(member).is_some_and(|place| {
            let before = place.before.map(NonZeroU64::get).filter(|_| !place.named);
            place.session == ticket.session || before == Some(ticket.session.0)
        })
    }

    /// To a member of a pool that is here.
    fn offer_again(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        pool: u32,
        ticket: &Ticket,
        about: About<'_>,
    ) -> Result<u32, Refusal> {
        let number = ticket.member.get();
        self.withdraw_return(pool, number);
        let standing = Standing::Returning;
        let offer = Offer { pool, number, standing, about: about.get(), seated: false };
        let handle = self.offer(desk, asker, &offer)?;
        if let Some(place) = self.places.get_mut(handle) {
            place.before = NonZeroU64::new(ticket.session.0);
        }
        Ok(handle)
    }

    /// To a member whom the pool doesn't have: tickets hold while it recovers.
    fn offer_in_recovery(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        place: u32,
        ticket: &Ticket,
        spec: &Spec<'_>,
        about: About<'_>,
    ) -> Result<u32, Refusal> {
        // Those of eras that began here speak of members who have left. What else ended here keeps nobody from a pool that is back.
        if self.eras.began_here(ticket.state.epoch.era()) {
            self.may_bring_back(desk, ticket)?;
        }
        let recovery = self.recovery_of(place).ok_or(Refusal::Stale)?;
        if recovery.is_out(ticket.member, &ticket.state) {
            return Err(Refusal::Stale);
        }
        allows(desk, spec)?;
        self.has_room_for(desk, asker.source)?;
        let number = ticket.member.get();
        let session = NonZeroU64::new(ticket.session.0);
        self.withdraw_coming(place, (ticket.member, ticket.session));
        let standing = Standing::Coming;
        let offer = Offer { pool: place, number, standing, about: about.get(), seated: false };
        let handle = self.offer(desk, asker, &offer)?;
        if let Some(place) = self.places.get_mut(handle) {
            place.before = session;
        }
        let spec = Box::new((*spec).into());
        if let Some(recovery) = self.recovery_of(place) {
            recovery.offered((ticket.member, ticket.session), Offered { handle, state: ticket.state, spec });
        }
        Ok(handle)
    }

    /// The highest generation that the pool of a ticket had here, if it isn't over.
    fn may_bring_back(&self, desk: &Desk<'_>, ticket: &Ticket) -> Result<u32, Refusal> {
        let began_here = self.eras.began_here(ticket.state.epoch.era());
        self.gone.allows(ticket, began_here, desk.now).ok_or(Refusal::Stale)
    }

    /// Makes a pool again that isn't here.
    fn bring_back(
        &mut self,
        desk: &mut Desk<'_>,
        asker: &Asker,
        ticket: &Ticket,
        spec: &Spec<'_>,
    ) -> Result<u32, Refusal> {
        let generation = self.may_bring_back(desk, ticket)?;
        allows(desk, spec)?;
        self.has_room_for_pool(desk, asker)?;
        self.has_room_for(desk, asker.source)?;
        let code = self.pools.unused_code(Some(ticket.code), desk.random).ok_or(Refusal::TooManyPools)?;
        let early = self.gone.early((ticket.application, ticket.pool), desk.now);
        let recovery = Recovery::new(desk.now, desk.limits, early);
        let due = recovery.due;
        let pool = Pool {
            phase: Phase::Recovering,
            recovery: Some(Box::new(recovery)),
            generation,
            ..Pool::new(ticket.pool, ticket.application, code, (*spec).into(), asker.source)
        };
        let place = self.pools.make(pool).ok_or(Refusal::TooManyPools)?;
        debug!(pool = %ticket.pool, "a pool is coming back");
        self.recoveries.insert((due, place));
        self.due = self.due.min(due);
        Ok(place)
    }
}
