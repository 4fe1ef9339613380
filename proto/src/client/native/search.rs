//! One pool in two places: a member looks whether it is at another broadcaster of the pool, too (PROTOCOL.md, section 7.3).

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

use super::asking::Asking;
use super::place::Place;
use super::session::Session;
use super::shared::Core;
use crate::wire::native::{
    About, Address, Answer, Call, Joined, Name, PoolUuid, Reply, Tx, UnverifiedAnswer,
};
use crate::{Instant, log::debug};

/// It looks once in so many intervals.
const INTERVALS: u32 = 10;
/// So long a broadcaster keeps a place that was offered.
const OFFER: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Search {
    /// When it looks next.
    next_at: Instant,
    /// How many members the pool had. With as many nobody is missing.
    had: usize,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Waiting,
    /// It asks the broadcaster of that place in the spec's order whether it has the pool.
    Looking(usize, Asking),
    /// It has, and is asked to let the member in.
    Joining(Asking),
    /// It does, until then.
    Entering(Box<Session>, Instant),
}

impl Search {
    /// To begin after a while.
    fn new(core: &mut Core, interval: Duration, had: usize) -> Self {
        let wait = core.random.around(interval.saturating_mul(INTERVALS));
        Self { next_at: core.now + wait, had, step: Step::Waiting }
    }

    fn is_on_its_way(&self) -> bool {
        matches!(self.step, Step::Joining(_) | Step::Entering(..))
    }

    fn asking(&self) -> Option<&Asking> {
        match &self.step {
            Step::Looking(_, asking) | Step::Joining(asking) => Some(asking),
            Step::Waiting | Step::Entering(..) => None,
        }
    }

    pub(super) fn asks_by(&self, tx: Tx) -> bool {
        self.asking().is_some_and(|asking| asking.tx() == tx)
    }

    /// Whether something may come from there.
    pub(super) fn asks(&self, broadcaster: SocketAddr) -> bool {
        match &self.step {
            Step::Waiting => false,
            Step::Looking(_, asking) | Step::Joining(asking) => asking.asked(broadcaster),
            Step::Entering(session, _) => session.broadcaster == broadcaster,
        }
    }

    /// The session at the other broadcaster.
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.step {
            Step::Entering(session, _) => Some(session),
            Step::Waiting | Step::Looking(..) | Step::Joining(_) => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.step {
            Step::Entering(session, _) => Some(session),
            Step::Waiting | Step::Looking(..) | Step::Joining(_) => None,
        }
    }

    pub(super) fn due_at(&self) -> Instant {
        match &self.step {
            Step::Waiting => self.next_at,
            Step::Looking(_, asking) | Step::Joining(asking) => asking.send_at().min(asking.silent_at()),
            Step::Entering(session, until) => session.ping_at().min(session.ask_at()).min(*until),
        }
    }
}

/// What is asked for: a list that begins with the pool.
fn look(pool: PoolUuid, place: &Place) -> Option<Call<'static>> {
    let application = Some(place.membership.as_ref()?.application());
    Some(Call::List { application, after: pool.before(), free: 0, prefix: Name::default() })
}

impl Place {
    /// The next broadcaster in the spec's order from that place on which is not the member's own, and its place.
    fn other_from(&self, at: usize) -> Option<(usize, SocketAddr)> {
        let (session, membership) = (self.session.as_ref()?, self.membership.as_ref()?);
        let all = membership.spec().as_spec().broadcasters().map(Address::get).enumerate();
        all.skip(at).find(|(_, broadcaster)| *broadcaster != session.broadcaster)
    }

    /// Whether to go where so many are: where more are, or as many, and the broadcaster of that place is before the own one.
    /// So nobody comes towards those who go there.
    fn is_better(&self, at: usize, members: u16) -> bool {
        let Some((session, membership)) = self.session.as_ref().zip(self.membership.as_ref()) else {
            return false;
        };
        let mut all = membership.spec().as_spec().broadcasters().map(Address::get);
        let own = all.position(|broadcaster| broadcaster == session.broadcaster);
        let (here, there) = (membership.members().len(), usize::from(members));
        there > here || there == here && own.is_none_or(|own| at < own)
    }

    pub(super) fn advance_search(&mut self, core: &mut Core) {
        let Some(mut search) = self.search.take() else { return };
        match &mut search.step {
            Step::Waiting if search.next_at.is_due(core.now) => self.look_at(core, &mut search, 0),
            Step::Waiting => {}
            Step::Looking(at, asking) if asking.silent_at().is_due(core.now) => {
                let next = *at + 1;
                self.look_at(core, &mut search, next);
            }
            Step::Joining(asking) if asking.silent_at().is_due(core.now) => self.rest(core, &mut search),
            Step::Entering(session, until) if until.is_due(core.now) => {
                session.leave(core, &mut self.pace);
                self.rest(core, &mut search);
            }
            Step::Looking(..) | Step::Joining(_) | Step::Entering(..) => {}
        }
        if self.may_look().is_due(core.now) {
            self.send_search(core, &mut search);
        }
        self.search = Some(search);
    }

    /// Sends what is due.
    fn send_search(&mut self, core: &mut Core, search: &mut Search) {
        match &mut search.step {
            Step::Waiting => {}
            Step::Looking(_, asking) => {
                if let Some(call) = look(self.pool, self).filter(|_| asking.send_at().is_due(core.now)) {
                    asking.wait_is_over();
                    asking.send(core, call);
                    self.pace.note(core.now);
                }
            }
            Step::Joining(asking) => {
                let application = self.membership.as_ref().map(super::Membership::application);
                if let Some(application) = application.filter(|_| asking.send_at().is_due(core.now)) {
                    let about = About::new(&self.about).unwrap_or_default();
                    asking.wait_is_over();
                    asking.send(core, Call::Join { application, pool: self.pool, about });
                    self.pace.note(core.now);
                }
            }
            Step::Entering(session, _) => {
                if session.ping_at().is_due(core.now) {
                    session.ping(core, &mut self.pace, None);
                }
                if session.ask_at().is_due(core.now) {
                    session.ask(core, &mut self.pace);
                }
            }
        }
    }

    /// Asks the broadcaster of that place or the next one, or rests if there is none but the member's own.
    fn look_at(&self, core: &mut Core, search: &mut Search, at: usize) {
        match self.other_from(at) {
            Some((at, broadcaster)) => search.step = Step::Looking(at, Asking::new(core, broadcaster)),
            None => self.rest(core, search),
        }
    }

    fn rest(&self, core: &mut Core, search: &mut Search) {
        *search = Search::new(core, self.interval, search.had);
    }

    /// What it has found elsewhere is nothing any more: it looks later.
    pub(super) fn lose_elsewhere(&mut self, core: &mut Core) {
        let had = self.search.as_ref().map(|search| search.had);
        self.search = had.map(|had| Search::new(core, self.interval, had));
    }

    /// The roster is another. `missing`: how many members there were, if some are gone that may be elsewhere.
    pub(super) fn look_for(&mut self, core: &mut Core, missing: Option<usize>) {
        let now = self.membership.as_ref().map_or(0, |membership| membership.members().len());
        if let Some(search) = &mut self.search {
            search.had = search.had.max(missing.unwrap_or(0));
            if now >= search.had && !search.is_on_its_way() {
                self.search = None;
            }
        } else if let Some(had) = missing.filter(|had| *had > now && self.other_from(0).is_some()) {
            self.search = Some(Search::new(core, self.interval, had));
        }
    }

    /// Another broadcaster has answered.
    pub(super) fn handle_search(&mut self, core: &mut Core, from: SocketAddr, answer: &UnverifiedAnswer<'_>) {
        let Some(mut search) = self.search.take() else { return };
        let verified = search.asking().map(|asking| asking.verify(from, answer));
        match verified {
            Some(Ok(Answer { reply, .. })) => self.search_answered(core, from, &mut search, &reply),
            Some(Err(fault)) => core.spoiled(fault),
            None => {}
        }
        self.search = Some(search);
        self.advance_search(core);
    }

    fn search_answered(&self, core: &mut Core, from: SocketAddr, search: &mut Search, reply: &Reply<'_>) {
        match (&mut search.step, reply) {
            (Step::Looking(_, asking) | Step::Joining(asking), Reply::Cookie(cookie)) => {
                asking.take_cookie(core, from, *cookie);
            }
            (Step::Looking(at, _), Reply::Pools { listings, .. }) => {
                let first = listings.clone().next();
                let there = first.filter(|first| first.pool == self.pool).and_then(|first| first.listed);
                if there.is_some_and(|there| self.is_better(*at, there.members)) {
                    search.step = Step::Joining(Asking::new(core, from));
                } else {
                    let next = *at + 1;
                    self.look_at(core, search, next);
                }
            }
            (Step::Joining(_), Reply::Joined(joined)) if self.is_of(joined) => {
                debug!(pool = %self.pool, "the pool is in two places");
                search.step = Step::Entering(Box::new(Session::new(core, from, *joined)), core.now + OFFER);
            }
            (Step::Looking(_, asking) | Step::Joining(asking), Reply::Refused(refusal)) => {
                match refusal.wait() {
                    Some(wait) => asking.wait_for(core, from, wait, *refusal),
                    None => self.rest(core, search),
                }
            }
            _ => core.stats.unexpected += 1,
        }
    }

    /// Whether it is a place in this pool.
    fn is_of(&self, joined: &Joined) -> bool {
        let application = self.membership.as_ref().map(super::Membership::application);
        joined.pool == self.pool && Some(joined.application) == application
    }

    /// What was offered elsewhere is not taken.
    pub(super) fn leave_search(&mut self, core: &mut Core) {
        if let Some(session) = self.search.as_mut().and_then(Search::session_mut) {
            session.leave(core, &mut self.pace);
        }
    }

    /// The roster elsewhere is known: the member leaves here, and is there.
    pub(super) fn move_over(&mut self, core: &mut Core) {
        let Some(Search { step: Step::Entering(session, _), .. }) = self.search.take() else { return };
        if let Some(old) = &mut self.session {
            old.leave(core, &mut self.pace);
        }
        self.begin_session(*session);
        self.returns = true;
        self.orders.begin_anew(core);
    }
}
