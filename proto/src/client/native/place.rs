//! A pool that the client is in, comes into, or comes back to.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::Membership;
use super::orders::Orders;
use super::pace::Pace;
use super::search::Search;
use super::session::Session;
use super::shared::Core;
use super::turn::Turn;
use crate::client::{PoolEnd, PoolEvent, Saved};
use crate::wire::native::{Joined, PoolSpec, PoolUuid};
use crate::{Instant, PoolId};

/// Before a broadcaster has said how often it wants pings.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Place {
    pub(super) pool: PoolUuid,
    /// What the member says of itself.
    pub(super) about: Bytes,
    /// None until the roster is known.
    pub(super) membership: Option<Membership>,
    /// What a program has brought that started again, until the roster is known.
    saved: Option<Saved>,
    pub(super) session: Option<Session>,
    /// It looks for a broadcaster.
    pub(super) turn: Option<Turn>,
    /// It looks whether the pool is elsewhere, too.
    pub(super) search: Option<Search>,
    pub(super) orders: Orders,
    pub(super) pace: Pace,
    /// How often its latest broadcaster wants pings.
    pub(super) interval: Duration,
    /// It has come back, or is about to, and the application is to be told.
    pub(super) returns: bool,
    /// The application was told that the broadcaster is silent.
    pub(super) unreachable: bool,
    /// The application was told that it was not told all, and has not seen that yet.
    pub(super) missed: bool,
    /// What the host has decided, and not been told of yet.
    pub(super) decided: Option<PoolSpec>,
    /// It is over.
    pub(super) end: Option<Ending>,
}

/// How it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The session is.
    Ended(PoolEnd),
    /// The offer of a place was void.
    Void,
}

impl Place {
    fn empty(pool: PoolUuid, about: Bytes) -> Self {
        Self {
            pool,
            about,
            membership: None,
            saved: None,
            session: None,
            turn: None,
            search: None,
            orders: Orders::default(),
            pace: Pace::default(),
            interval: DEFAULT_INTERVAL,
            returns: false,
            unreachable: false,
            missed: false,
            decided: None,
            end: None,
        }
    }

    /// A pool in which a place was offered, which is taken at once.
    pub(super) fn offered(
        core: &mut Core,
        pool: PoolUuid,
        about: Bytes,
        session: Session,
        pace: Pace,
    ) -> Self {
        let mut place = Self { pace, ..Self::empty(pool, about) };
        place.begin_session(session);
        place.advance(core);
        place
    }

    /// Another call is offered a place in this pool. By that its broadcaster has withdrawn the offer before, unless it was taken:
    /// so the later one is taken, which the higher number shows.
    pub(super) fn take_later_offer(
        &mut self,
        core: &mut Core,
        from: SocketAddr,
        joined: Joined,
        about: Bytes,
    ) {
        let Some(earlier) = self.session.as_ref().filter(|session| !session.paged) else { return };
        let later = earlier.broadcaster == from && earlier.joined.member < joined.member;
        if !later || self.has_ticket() {
            return;
        }
        let mut session = Session::new(core, from, joined);
        session.replace(earlier);
        self.about = about;
        self.begin_session(session);
        self.advance(core);
    }

    /// A pool that a program comes back to.
    pub(super) fn saved(core: &mut Core, saved: Saved) -> Self {
        let empty = Self::empty(saved.ticket.pool, saved.about.clone());
        let mut place = Self { saved: Some(saved), ..empty };
        place.turn_back(core);
        place.advance(core);
        place
    }

    pub(super) fn begin_session(&mut self, session: Session) {
        self.interval = session.interval();
        self.session = Some(session);
    }

    pub(super) fn id(&self) -> PoolId {
        self.pool.into()
    }

    /// Who is asked for the place, or has it.
    pub(super) fn broadcaster(&self) -> Option<SocketAddr> {
        let turn = self.turn.as_ref().map(Turn::broadcaster);
        turn.or_else(|| Some(self.session.as_ref()?.broadcaster))
    }

    /// Who is asked for a place that is not known yet, and what was sent for it.
    pub(super) fn asked(&self) -> Option<(SocketAddr, u32)> {
        let broadcaster = self.broadcaster().filter(|_| self.membership.is_none())?;
        Some((broadcaster, self.pace.sent()))
    }

    /// What the member comes back by; none if it has not been told.
    pub(super) fn ticket(&self) -> Option<Saved> {
        self.membership.as_ref().map(Membership::save).or_else(|| self.saved.clone())
    }

    pub(super) fn has_ticket(&self) -> bool {
        self.membership.is_some() || self.saved.is_some()
    }

    /// The roster is known: what was brought to come back by is of no use any more. Whether there was such.
    pub(super) fn forget_saved(&mut self) -> bool {
        self.saved.take().is_some()
    }

    /// What the host has decided last, and not been told of yet.
    pub(super) fn decided(&self) -> Option<&PoolSpec> {
        self.orders.decided().or(self.decided.as_ref())
    }

    pub(super) fn tell(&mut self, core: &mut Core, event: PoolEvent) {
        let id = self.id();
        core.tell(id, &mut self.missed, event);
    }

    pub(super) fn set_about(&mut self, about: Bytes) {
        if let Some(membership) = &mut self.membership {
            membership.about = about.clone();
        }
        self.about = about;
    }

    pub(super) fn end(&mut self, end: PoolEnd) {
        self.end = Some(Ending::Ended(end));
    }

    /// From when on it may send in its session. A program that starts again takes an offer at once, as after a join: it is not
    /// one of many whose broadcaster has started again.
    pub(super) fn may_send(&self) -> Instant {
        let takes = |session: &Session| self.saved.is_some() && session.has_said_nothing();
        if self.session.as_ref().is_some_and(takes) { self.pace.quick() } else { self.may_look() }
    }

    /// From when on it may send anything for its pool, elsewhere too: who has no page of the session that it came back in is
    /// still one of many.
    pub(super) fn may_look(&self) -> Instant {
        let is_back = self.returns && !self.session.as_ref().is_some_and(|session| session.paged);
        if is_back { self.pace.slow() } else { self.pace.quick() }
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, core: &mut Core) {
        if self.end.is_some() {
            return;
        }
        if self.turn.is_none() {
            self.advance_session(core);
        }
        match self.turn {
            Some(_) => self.advance_turn(core),
            None => self.advance_search(core),
        }
    }

    fn advance_session(&mut self, core: &mut Core) {
        let may = self.may_send();
        let has_ticket = self.has_ticket();
        let epoch = self.membership.as_ref().map(Membership::epoch);
        let Some(session) = &mut self.session else { return };
        if session.ping_at().max(may).is_due(core.now) {
            if session.is_silent() && has_ticket {
                self.turn_away(core);
                return;
            }
            session.ping(core, &mut self.pace, epoch);
        }
        let may = self.may_send();
        let Some(session) = &mut self.session else { return };
        if session.ask_at().max(may).is_due(core.now) {
            session.ask(core, &mut self.pace);
        }
        let may = self.may_send();
        let Some(session) = &mut self.session else { return };
        if session.whole && self.orders.send_at().max(may).is_due(core.now) {
            self.orders.send(core, &mut self.pace, session);
        }
    }

    /// When something is to be done.
    pub(super) fn due_at(&self) -> Instant {
        if let Some(turn) = &self.turn {
            return turn.due_at(&self.pace);
        }
        let Some(session) = &self.session else { return Instant::NEVER };
        let orders_at = if session.whole { self.orders.send_at() } else { Instant::NEVER };
        let due = session.ping_at().min(session.ask_at()).min(orders_at).max(self.may_send());
        let search = self.search.as_ref().map_or(Instant::NEVER, Search::due_at);
        due.min(search.max(self.may_look()))
    }

    /// Leaves without waiting for an answer.
    pub(super) fn leave(&mut self, core: &mut Core) {
        if let Some(session) = &mut self.session {
            session.leave(core, &mut self.pace);
        }
        self.leave_search(core);
    }
}
