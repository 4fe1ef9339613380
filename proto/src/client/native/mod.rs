//! The client of the native dialect (PROTOCOL.md).
//!
//! A call is a request ([`calls`]) until it has led into a pool, which is a [`place`] from then on: with a [`session`] at a
//! broadcaster, or in search of one ([`turn`]).

mod answers;
mod asking;
mod calls;
mod cookies;

mod membership;
mod notices;
mod orders;
mod pace;
mod place;
mod random;
mod roster;
mod search;
mod session;
mod shared;
mod telling;
#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]
mod tests;
mod turn;

use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

pub use membership::Membership;

use super::{
    CallError, CallId, ClientConfig, ClientEvent, ClientStats, Door, ListFilter, Outcome, PoolEnd, Saved,
};
use crate::wire::native::{About, Member, Name, PoolSpec, PoolUuid};
use crate::wire::{self, canonical};
use crate::{Instant, Machine, Output, PoolId};
use calls::{Kind, What};
use place::{Ending, Place};
use shared::Core;

/// The client of the native dialect.
#[derive(Debug)]
pub(super) struct NativeClient {
    core: Core,
    /// The pools that it is in or comes into, in the order in which it came.
    places: Vec<Place>,
    /// The pools that the application was told of, and not yet that they are over. With the call that told of it, if it is
    /// one: when it is cancelled, the pool is left.
    known: Vec<(PoolId, Option<CallId>)>,
    closed: bool,
}

impl NativeClient {
    pub(super) fn new(config: ClientConfig, broadcaster: SocketAddr, seed: [u8; 32]) -> Self {
        Self {
            core: Core::new(config, broadcaster, seed),
            places: Vec::new(),
            known: Vec::new(),
            closed: false,
        }
    }

    pub(super) fn list(&mut self, now: Instant, filter: &ListFilter) -> Result<CallId, CallError> {
        self.ready(now)?;
        Name::new(&filter.prefix)?;
        let what = What::List {
            application: (!filter.classic).then_some(self.core.config.application),
            after: filter.after.map_or(PoolUuid::NIL, |cursor| cursor.0),
            free: filter.free,
            prefix: filter.prefix.clone(),
        };
        Ok(self.core.add_request(what, None))
    }

    pub(super) fn create(
        &mut self,
        now: Instant,
        spec: &PoolSpec,
        about: &[u8],
    ) -> Result<CallId, CallError> {
        self.ready(now)?;
        About::new(about)?;
        self.ensure_place()?;
        let ours = self.core.broadcasters.len() > 1 && spec.as_spec().broadcasters().len() == 0;
        let mut what = What::Create { spec: spec.clone(), about: Bytes::copy_from_slice(about), ours };
        what.begin_at(&self.core, self.core.answered);
        Ok(self.core.add_request(what, None))
    }

    pub(super) fn join(&mut self, now: Instant, door: Door, about: &[u8]) -> Result<CallId, CallError> {
        self.ready(now)?;
        let about = Bytes::copy_from_slice(About::new(about)?.get());
        let (what, pool) = match door {
            Door::Id(id) => {
                let pool = PoolUuid::try_from(id).map_err(|_| CallError::InvalidPool)?;
                (What::Join { pool, about }, self.place(pool).map(|place| place.pool))
            }
            Door::Code(code) => {
                let of = |place: &&Place| place.membership.as_ref().is_some_and(|own| own.code() == code);
                (What::JoinByCode { code, about }, self.places.iter().find(of).map(|place| place.pool))
            }
        };
        if pool.is_none() {
            self.ensure_place()?;
        }
        let call = self.core.add_request(what, pool);
        self.enter_known(pool);
        Ok(call)
    }

    pub(super) fn resume(&mut self, now: Instant, saved: &Saved) -> Result<CallId, CallError> {
        self.ready(now)?;
        let pool = saved.ticket.pool;
        let known = self.place(pool).is_some();
        if !known {
            self.ensure_place()?;
        }
        let call = self.core.add_waiting(Kind::Resume, pool);
        if !known {
            let place = Place::saved(&mut self.core, saved.clone());
            self.places.push(place);
        }
        self.enter_known(Some(pool));
        Ok(call)
    }

    /// Calls that lead into a pool that the client is in already have their outcome at once. While it is about to be out of the
    /// pool, they wait for that.
    fn enter_known(&mut self, pool: Option<PoolUuid>) {
        let stays = |place: &&Place| !place.orders.end_it();
        let membership = pool.and_then(|pool| self.place(pool).filter(stays)?.membership.as_ref());
        if let (Some(pool), Some(membership)) = (pool, membership) {
            let (code, info) = (membership.code(), membership.info());
            self.core.entered(pool, code, &info);
        }
    }

    fn order(
        &mut self,
        now: Instant,
        pool: PoolId,
        host: bool,
        what: impl FnOnce(&Place, &Membership) -> orders::What,
    ) -> Result<CallId, CallError> {
        self.ready(now)?;
        let not_a_member = CallError::NotAMember { pool };
        let uuid = PoolUuid::try_from(pool).map_err(|_| not_a_member)?;
        let place = self.places.iter_mut().find(|place| place.pool == uuid).ok_or(not_a_member)?;
        let membership = place.membership.as_ref().ok_or(not_a_member)?;
        if host && !membership.is_host() {
            return Err(CallError::NotHost);
        }
        let what = what(place, membership);
        let call = self.core.add_waiting(Kind::Order, uuid);
        place.orders.add(&self.core, call, what);
        place.advance(&mut self.core);
        self.sweep();
        Ok(call)
    }

    pub(super) fn leave(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.order(now, pool, false, |_, _| orders::What::Leave)
    }

    pub(super) fn close_pool(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.order(now, pool, true, |_, _| orders::What::Close)
    }

    pub(super) fn kick(&mut self, now: Instant, pool: PoolId, member: Member) -> Result<CallId, CallError> {
        self.order(now, pool, true, |_, _| orders::What::Kick(member))
    }

    pub(super) fn hand_over(
        &mut self,
        now: Instant,
        pool: PoolId,
        member: Member,
    ) -> Result<CallId, CallError> {
        self.order(now, pool, true, |_, _| orders::What::Hand(member))
    }

    pub(super) fn change(
        &mut self,
        now: Instant,
        pool: PoolId,
        spec: &PoolSpec,
    ) -> Result<CallId, CallError> {
        self.order(now, pool, true, |_, _| orders::What::Change(spec.clone()))
    }

    pub(super) fn lock(&mut self, now: Instant, pool: PoolId, locked: bool) -> Result<CallId, CallError> {
        self.order(now, pool, true, |place, membership| {
            // What was decided before and is not told yet is not taken back.
            orders::What::Change(place.decided().unwrap_or(&membership.spec).clone().locked(locked))
        })
    }

    /// The spec of a pool with what was decided and is not told yet.
    pub(super) fn latest_spec(&self, pool: &PoolId) -> Option<&PoolSpec> {
        let place = self.places.iter().find(|place| place.id() == *pool)?;
        let membership = place.membership.as_ref()?;
        Some(place.decided().unwrap_or(&membership.spec))
    }

    pub(super) fn set_about(
        &mut self,
        now: Instant,
        pool: PoolId,
        about: &[u8],
    ) -> Result<CallId, CallError> {
        let about = Bytes::copy_from_slice(About::new(about)?.get());
        self.order(now, pool, false, |_, _| orders::What::About(about))
    }

    pub(super) fn cancel(&mut self, id: CallId) {
        let call = self.core.calls.iter().position(|call| call.id == id).map(|at| self.core.calls.remove(at));
        if let Some(call) = call {
            if let (Kind::Order, Some(pool)) = (call.kind, call.pool) {
                // One that is under way may be carried out; what comes of it is nobody's concern.
                if let Some(place) = self.places.iter_mut().find(|place| place.pool == pool) {
                    place.orders.remove(&self.core, id);
                }
                self.enter_those_it_stays_in();
            } else if let Some(pool) = call.pool {
                self.leave_unless_wanted(pool);
            }
            return;
        }
        if !self.take_back(id) {
            self.give_up(id);
        }
    }

    pub(super) fn release(&mut self, pool: PoolId) -> bool {
        self.forget_known(pool);
        let of_pool = |place: &Place| place.membership.is_some() && place.id() == pool;
        let Some(at) = self.places.iter().position(of_pool) else { return false };
        let mut place = self.places.remove(at);
        place.leave(&mut self.core);
        self.end_calls(&mut place);
        true
    }

    /// Leaves a pool that is not entered yet, if no call wants it any more.
    fn leave_unless_wanted(&mut self, pool: PoolUuid) {
        if self.core.waiting_for(pool).is_some() {
            return;
        }
        let unentered = |place: &Place| place.pool == pool && place.membership.is_none();
        if let Some(at) = self.places.iter().position(unentered) {
            let mut place = self.places.remove(at);
            place.leave(&mut self.core);
        }
    }

    pub(super) fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.places.iter().filter_map(|place| place.membership.as_ref())
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        for mut place in core::mem::take(&mut self.places) {
            place.leave(&mut self.core);
        }
        while let Some(id) = self.core.calls.first().map(|call| call.id) {
            self.core.finish(id, Outcome::Closed);
        }
    }

    pub(super) fn stats(&self) -> ClientStats {
        ClientStats { outputs_dropped: self.core.outbox.dropped(), ..self.core.stats }
    }

    /// Moves on to `now`. Whether another call can be made.
    fn ready(&mut self, now: Instant) -> Result<(), CallError> {
        self.advance(now);
        if self.closed {
            return Err(CallError::Closed);
        }
        self.core.ensure_room()
    }

    /// Whether there may be another pool.
    fn ensure_place(&self) -> Result<(), CallError> {
        let limit = self.core.config.max_pools;
        let coming = self.core.calls.iter().filter(|call| call.may_lead_into_a_pool()).count();
        if self.places.len() + coming >= limit { Err(CallError::TooManyPools { limit }) } else { Ok(()) }
    }

    fn place(&self, pool: PoolUuid) -> Option<&Place> {
        self.places.iter().find(|place| place.pool == pool)
    }

    /// Moves on to `now`: ends calls whose time is up, sends again, pings, turns to others. What is set anew is set from `now`,
    /// so that a stall causes no burst.
    fn advance(&mut self, now: Instant) {
        self.core.now = self.core.now.max(now);
        let now = self.core.now;
        while let Some(call) = self.core.calls.iter().find(|call| call.deadline.is_due(now)) {
            let (id, kind, pool) = (call.id, call.kind, call.pool);
            let place = self.places.iter_mut().find(|place| Some(place.pool) == pool);
            let asked = place.as_ref().and_then(|place| place.asked());
            let mut outcome = self.core.timed_out(id, asked);
            if let (Kind::Order, Some(place)) = (kind, place) {
                if let Some((order, broadcaster)) =
                    place.orders.remove(&self.core, id).zip(place.broadcaster())
                {
                    outcome = Some(order.timed_out(broadcaster));
                    if order.what == orders::What::Leave {
                        place.end(PoolEnd::Left);
                    }
                }
            }
            outcome.into_iter().for_each(|outcome| self.core.finish(id, outcome));
            if let (Some(pool), true) = (pool, kind != Kind::Order) {
                self.leave_unless_wanted(pool);
            }
        }
        self.core.advance_requests();
        for place in &mut self.places {
            place.advance(&mut self.core);
        }
        self.sweep();
    }

    /// The client stays in pools that it was about to leave: what has waited for that leads into them.
    fn enter_those_it_stays_in(&mut self) {
        let waits = |call: &calls::Call| call.kind != Kind::Order && call.pool.is_some();
        if self.core.calls.iter().any(waits) {
            for at in 0..self.places.len() {
                let pool = self.places.get(at).map(|place| place.pool);
                self.enter_known(pool);
            }
        }
    }

    /// Forgets pools that are over, and tells so.
    fn sweep(&mut self) {
        self.forget_ended();
        self.enter_those_it_stays_in();
    }

    fn forget_ended(&mut self) {
        while let Some(at) = self.places.iter().position(|place| place.end.is_some()) {
            let mut place = self.places.remove(at);
            place.leave_search(&mut self.core);
            let (pool, id) = (place.pool, place.id());
            let reason = match place.end {
                Some(Ending::Ended(reason)) => reason,
                Some(Ending::Void) | None => {
                    let void = place.session.as_ref().map(|session| session.void(place.pace));
                    self.core.ask_anew(pool, void);
                    continue;
                }
            };
            self.end_calls(&mut place);
            if place.membership.is_some() {
                self.core.outbox.event(ClientEvent::PoolEnded { pool: id, reason });
            }
        }
    }

    /// A pool is over: so are what was ordered in it, and calls that have waited for it, but for those that ask for it as
    /// somebody new.
    fn end_calls(&mut self, place: &mut Place) {
        self.end_orders(place.pool, place);
        if place.has_ticket() {
            self.core.ask_after(place.pool);
        }
        let lost = place.end == Some(Ending::Ended(PoolEnd::Lost));
        let refusal = if lost { wire::native::Refusal::BadTicket } else { wire::native::Refusal::Stale };
        while let Some(call) = self.core.waiting_for(place.pool).map(|call| call.id) {
            self.core.finish(call, Outcome::Refused(wire::Refusal::Native(refusal)));
        }
    }

    /// A pool is over: what was ordered in it is, too.
    fn end_orders(&mut self, pool: PoolUuid, place: &mut Place) {
        for order in place.orders.drain() {
            let closed =
                order.what == orders::What::Close && place.end == Some(Ending::Ended(PoolEnd::Closed));
            let left = order.what == orders::What::Leave;
            let stale = Outcome::Refused(wire::Refusal::Native(wire::native::Refusal::Stale));
            self.core.finish(order.call, if closed || left { Outcome::Done } else { stale });
        }
        let of_pool = |call: &&calls::Call| call.kind == Kind::Order && call.pool == Some(pool);
        debug_assert!(self.core.calls.iter().find(of_pool).is_none(), "each order has a call");
    }

    fn deadline(&self) -> Option<Instant> {
        let several = self.core.broadcasters.len() > 1;
        let calls = self.core.calls.iter().map(|call| call.due_at(several));
        calls.chain(self.places.iter().map(Place::due_at)).filter(|at| *at != Instant::NEVER).min()
    }
}

impl Machine for NativeClient {
    type Event = ClientEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.advance(now);
        self.take(canonical(from), datagram);
        self.sweep();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Output<ClientEvent> {
        let Some(output) = self.core.outbox.pop() else { return Output::Wait(self.deadline()) };
        if let Output::Event(event) = &output {
            self.note_told(event);
        }
        output
    }
}
