//! What a broadcaster says to a member (PROTOCOL.md, section 5).

use super::Membership;
use super::orders::What;
use super::place::{Ending, Place};
use super::roster::{Pages, Turned, change, differences, follows};
use super::search::Search;
use super::session::Session;
use super::shared::Core;
use crate::client::{Outcome, PoolEnd, PoolEvent};
use crate::wire;
use crate::wire::native::{
    Challenge, Change, Cookie, EndReason, Epoch, Items, LeaveReason, News, Page, Refusal, State, Ticket,
    UnverifiedNotice,
};

impl Place {
    /// The session that something is said in: the member's, or the one elsewhere.
    fn hears(&mut self, elsewhere: bool) -> Option<&mut Session> {
        if elsewhere { self.search.as_mut().and_then(Search::session_mut) } else { self.session.as_mut() }
    }

    /// Something is said in the member's session, or in the one elsewhere.
    pub(super) fn handle_notice(&mut self, core: &mut Core, notice: &UnverifiedNotice<'_>, elsewhere: bool) {
        let Some(session) = self.hears(elsewhere) else { return };
        match notice.verify(&session.joined.key).map(|notice| notice.news) {
            Ok(News::Pong { count }) => self.handle_pong(core, count, elsewhere),
            Ok(News::Page(page)) => self.handle_page(core, &page, elsewhere),
            Ok(News::Done { count, outcome }) => self.handle_done(core, count, outcome, elsewhere),
            Ok(News::Changed { state, changes }) => self.handle_changed(core, &state, changes, elsewhere),
            Ok(News::Ended(_)) if elsewhere => self.lose_elsewhere(core),
            Ok(News::Ended(reason)) => self.end(match reason {
                EndReason::Kicked => PoolEnd::Kicked,
                EndReason::Replaced => PoolEnd::Replaced,
                EndReason::PoolEnded => PoolEnd::Closed,
            }),
            Err(fault) => core.spoiled(fault),
        }
        self.advance(core);
    }

    fn handle_pong(&mut self, core: &mut Core, count: u32, elsewhere: bool) {
        let Some(session) = self.hears(elsewhere) else { return };
        if !session.answer(count, false) {
            core.stats.unexpected += 1;
            return;
        }
        if session.whole {
            // It is the latest, so nothing else is wanted.
            session.want_nothing();
        }
        if !elsewhere {
            self.end_turn(core);
        }
    }

    fn handle_page(&mut self, core: &mut Core, page: &Page<'_>, elsewhere: bool) {
        let known = self.membership.as_ref().map(|membership| membership.epoch()).filter(|_| !elsewhere);
        let Some(session) = self.hears(elsewhere) else { return };
        // Of the pages that a question draws the first to come is its answer.
        let answers = session.answer(page.count, true);
        if !answers && !session.gathers(page.count) {
            core.stats.unexpected += 1;
            return;
        }
        if session.draws(page.count, &page.start) {
            self.pace.note_page(core.now);
        }
        let Some(session) = self.hears(elsewhere) else { return };
        let epoch = page.state.epoch;
        if known == Some(epoch) {
            self.confirm(core, &page.state);
        } else if known.is_none_or(|known| !session.whole || !is_older(epoch, known)) {
            let mut pages = session.pages.take();
            let turned = Pages::turn(&mut pages, page);
            session.pages = pages;
            match turned {
                Turned::Old => session.want_rest(core, page.count),
                Turned::More(from, turned) => session.want_next(core, from, page.count, turned),
                Turned::Anew => session.want(core, None),
                Turned::Whole(pages) => self.install(core, pages, elsewhere),
            }
        }
        if answers && !elsewhere {
            self.end_turn(core);
        }
    }

    /// The roster that is known is that of the session.
    fn confirm(&mut self, core: &mut Core, state: &State) {
        let (Some(session), Some(membership)) = (&mut self.session, &mut self.membership) else { return };
        session.want_nothing();
        if !session.whole {
            session.whole = true;
            let before = membership.ticket.state;
            membership.confirm(session, state);
            self.tell_restored(core);
            // It is the same, if the broadcaster keeps to what epochs mean.
            self.tell_host(core, &before);
        }
    }

    /// All pages of a roster are there.
    fn install(&mut self, core: &mut Core, pages: Pages, elsewhere: bool) {
        let Some(session) = self.hears(elsewhere) else { return };
        session.want_nothing();
        let me = session.joined.member;
        let whole = pages.members.len() == usize::from(pages.state.count.get());
        if !whole || pages.members.binary_search_by_key(&me, |member| member.number).is_err() {
            session.want_later(core);
            return;
        }
        session.whole = true;
        let missed = session.heard.is_some_and(|heard| is_older(pages.state.epoch, heard));
        if missed {
            session.want(core, None);
        }
        if elsewhere {
            self.move_over(core);
        }
        let Some(session) = &self.session else { return };
        let new = Membership::new(session, pages, self.about.clone());
        let returned = self.forget_saved();
        match self.membership.replace(new) {
            Some(old) => self.compare(core, &old, elsewhere),
            None => {
                (self.returns, self.unreachable) = (false, false);
                if let Some(membership) = &self.membership {
                    let (code, info) = (membership.code(), membership.info());
                    core.entered(self.pool, code, &if returned { info.returned() } else { info });
                }
            }
        }
    }

    /// Tells what differs from the roster before.
    fn compare(&mut self, core: &mut Core, old: &Membership, elsewhere: bool) {
        self.tell_restored(core);
        let Some(new) = self.membership.take() else { return };
        let same = !elsewhere && old.me() == new.me();
        differences(&old.members, &new.members, same, &mut |event| self.tell(core, event));
        if old.spec != new.spec {
            self.decided = None;
            self.tell(core, PoolEvent::Spec);
        }
        let (before, now) = (&old.ticket.state, &new.ticket.state);
        // Why they are gone is not known.
        let fewer = now.count < before.count && !elsewhere;
        self.membership = Some(new);
        self.tell_host(core, before);
        self.look_for(core, fewer.then_some(old.members.len()));
    }

    fn tell_host(&mut self, core: &mut Core, before: &State) {
        let Some(membership) = &self.membership else { return };
        let (member, term, you) = (membership.host(), membership.term(), membership.is_host());
        if (before.host, before.term) != (member, term) {
            self.tell(core, PoolEvent::Host { member, term, you });
        }
    }

    fn handle_changed(
        &mut self,
        core: &mut Core,
        state: &State,
        changes: Items<'_, Change<'_>>,
        elsewhere: bool,
    ) {
        let Some(session) = self.hears(elsewhere) else { return };
        if session.heard.is_none_or(|heard| is_older(heard, state.epoch) || !is_same_era(heard, state.epoch))
        {
            session.heard = Some(state.epoch);
        }
        if session.pages.as_mut().is_some_and(|pages| pages.follow(state, changes)) {
            return;
        }
        let whole = session.whole;
        match (&self.membership, whole && !elsewhere) {
            (Some(membership), true) if follows(membership.epoch(), state.epoch) => {
                self.follow(core, state, changes);
            }
            (Some(membership), true)
                if is_same_era(membership.epoch(), state.epoch)
                    && !is_older(membership.epoch(), state.epoch) =>
            {
                core.stats.unexpected += 1;
            }
            _ => {
                if let Some(session) = self.hears(elsewhere) {
                    if session.pages.as_ref().is_some_and(|pages| pages.knows(state.epoch)) {
                        core.stats.unexpected += 1;
                    } else {
                        session.want(core, None);
                    }
                }
            }
        }
    }

    /// Takes the changes to the next epoch.
    fn follow(&mut self, core: &mut Core, state: &State, changes: Items<'_, Change<'_>>) {
        let Some(mut membership) = self.membership.take() else { return };
        let mut fits = true;
        let (had, mut silent) = (membership.members.len(), false);
        for new in changes {
            silent |= matches!(new, Change::Left { reason: LeaveReason::TimedOut, .. });
            match change(&mut membership.members, &mut membership.spec, new) {
                Ok(event) => {
                    if event == PoolEvent::Spec {
                        self.decided = None;
                    }
                    self.tell(core, event);
                }
                Err(_) => fits = false,
            }
        }
        fits &= membership.members.len() == usize::from(state.count.get());
        let before = membership.ticket.state;
        if let Some(session) = &mut self.session {
            if fits {
                membership.confirm(session, state);
                session.want_nothing();
            } else {
                // What is known is not the roster of any epoch: it is asked for.
                session.want(core, None);
            }
        }
        self.membership = Some(membership);
        self.tell_host(core, &before);
        self.look_for(core, silent.then_some(had));
    }

    fn handle_done(&mut self, core: &mut Core, count: u32, outcome: Result<(), Refusal>, elsewhere: bool) {
        if elsewhere || !self.orders.waits_for(count) {
            core.stats.unexpected += 1;
            return;
        }
        if let Some(session) = &mut self.session {
            session.alive();
        }
        self.end_turn(core);
        if let Err(refusal) = outcome {
            if let Some(wait) = refusal.wait() {
                self.orders.wait_for(core, wait, refusal);
                return;
            }
        }
        let Some(order) = self.orders.take_first(core) else { return };
        match outcome {
            Ok(()) => {
                core.finish(order.call, Outcome::Done);
                match order.what {
                    What::Leave => self.end(PoolEnd::Left),
                    What::Close => self.end(PoolEnd::Closed),
                    What::About(about) => self.set_about(about),
                    What::Change(spec) => self.decided = Some(spec),
                    What::Kick(_) | What::Hand(_) => {}
                }
            }
            Err(refusal) => core.finish(order.call, Outcome::Refused(wire::Refusal::Native(refusal))),
        }
    }

    /// A broadcaster says something without a key, which anybody can have written.
    pub(super) fn handle_challenge(&mut self, core: &mut Core, challenge: &Challenge, elsewhere: bool) {
        match challenge.prove {
            Some(cookie) => self.handle_prove(core, challenge.count, cookie, elsewhere),
            None => self.handle_unknown(core, challenge.count, elsewhere),
        }
        self.advance(core);
    }

    /// The broadcaster knows the member at another address, and asks whether it is here. Too often is as never: the next ping
    /// is asked the same.
    fn handle_prove(&mut self, core: &mut Core, count: u32, cookie: Cookie, elsewhere: bool) {
        let may = self.turn.is_none() && self.may_send().is_due(core.now) && self.pace.may_move(core.now);
        let session = match &mut self.search {
            Some(search) if elsewhere => search.session_mut(),
            _ => self.session.as_mut(),
        };
        let Some(session) = session else { return };
        if may && session.take_fresh(count, core.now) {
            self.pace.note_move(core.now);
            session.move_here(core, &mut self.pace, cookie);
        } else {
            core.stats.unexpected += 1;
        }
    }

    fn handle_unknown(&mut self, core: &mut Core, count: u32, elsewhere: bool) {
        let Some(session) = self.hears(elsewhere) else { return };
        let (said, doubted) = (session.waits_for(count), session.doubts(count));
        if elsewhere {
            if said {
                self.lose_elsewhere(core);
            }
            return;
        }
        let ordered = self.orders.waits_for(count);
        if !said && !ordered || doubted {
            core.stats.unexpected += 1;
            return;
        }
        if let Some(order) = self.orders.take_done(core, ordered) {
            core.finish(order.call, Outcome::Done);
            return self.end(if order.what == What::Leave { PoolEnd::Left } else { PoolEnd::Closed });
        }
        if self.has_ticket() {
            // Once: it is asked already.
            let again = self.session.as_ref().is_some_and(|session| session.unknown);
            if !again {
                self.turn_back(core);
            }
        } else {
            self.end = Some(Ending::Void);
        }
    }
}

fn is_same_era(one: Epoch, other: Epoch) -> bool {
    one.era() == other.era()
}

/// Whether an epoch is before another of its era.
fn is_older(one: Epoch, other: Epoch) -> bool {
    is_same_era(one, other) && one.number() < other.number()
}

impl Membership {
    fn new(session: &Session, pages: Pages, about: bytes::Bytes) -> Self {
        let joined = &session.joined;
        let ticket = Ticket {
            application: joined.application,
            pool: joined.pool,
            code: joined.code,
            member: joined.member,
            session: joined.session,
            state: pages.state,
        };
        Self {
            id: joined.pool.into(),
            broadcaster: session.broadcaster,
            ticket,
            spec: pages.spec,
            about,
            you: joined.you.get(),
            members: pages.members,
        }
    }

    /// The roster is that of this state, which was told in this session.
    fn confirm(&mut self, session: &Session, state: &State) {
        let joined = &session.joined;
        self.broadcaster = session.broadcaster;
        self.you = joined.you.get();
        self.ticket.code = joined.code;
        self.ticket.session = joined.session;
        self.ticket.state = *state;
    }
}
