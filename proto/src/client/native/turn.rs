//! A member turns to a broadcaster with its ticket (PROTOCOL.md, section 7.1).

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::asking::Asking;
use super::pace::Pace;
use super::place::Place;
use super::session::Session;
use super::shared::Core;
use crate::client::{PoolEnd, PoolEvent, Saved};
use crate::wire::native::{
    About, Address, Answer, Call, Joined, Name, PoolUuid, Refusal, Reply, Tx, UnverifiedAnswer,
};
use crate::{Instant, log::debug};

#[derive(Debug)]
pub(super) struct Turn {
    saved: Saved,
    /// The pool's broadcasters, in the order in which its members turn to them.
    order: Vec<SocketAddr>,
    /// Which of them is next.
    next: usize,
    /// How many of them are left in this round.
    left: usize,
    /// Those that can't help.
    bad: Vec<SocketAddr>,
    /// Another than the member's own broadcaster has said that its time in the pool is over, and the own one is asked once more.
    is_last: bool,
    /// Who is asked.
    visit: Option<Asking>,
    /// When the next round begins, if nobody is asked.
    round_at: Instant,
}

/// A list that names nothing: behind the last id there can be.
const NOTHING: PoolUuid = PoolUuid::new([0xff; 16]);

impl Turn {
    /// Whether the visit under way has this `tx`.
    pub(super) fn asks_by(&self, tx: Tx) -> bool {
        self.visit.as_ref().is_some_and(|visit| visit.tx() == tx)
    }

    pub(super) fn asks(&self, broadcaster: SocketAddr) -> bool {
        self.visit.as_ref().is_some_and(|visit| visit.asked(broadcaster))
    }

    /// Who is asked, or would be first.
    pub(super) fn broadcaster(&self) -> SocketAddr {
        self.visit.as_ref().map_or(self.saved.broadcaster, Asking::broadcaster)
    }

    pub(super) fn due_at(&self, pace: &Pace) -> Instant {
        match &self.visit {
            Some(visit) => visit.send_at().max(pace.slow()).min(visit.silent_at()),
            None => self.round_at,
        }
    }

    /// All of the pool's broadcasters have said that they can't help.
    fn is_lost(&self) -> bool {
        self.order.iter().all(|broadcaster| self.bad.contains(broadcaster))
    }

    /// A broadcaster says that the member's time in the pool is over. Whether that holds: if it isn't the member's own one, that
    /// is asked once more, which may only have been out of luck.
    fn is_over(&mut self, core: &mut Core, from: SocketAddr) -> bool {
        let own = self.saved.broadcaster;
        if from == own || self.bad.contains(&own) {
            return true;
        }
        self.bad.push(from);
        self.is_last = true;
        self.visit = Some(Asking::new(core, own));
        false
    }

    /// Asks the next broadcaster, or none until the next round.
    fn go_on(&mut self, core: &mut Core, interval: Duration) {
        self.visit = None;
        while self.left > 0 {
            let broadcaster = self.order.get(self.next).copied();
            self.next = (self.next + 1) % self.order.len().max(1);
            self.left -= 1;
            if let Some(broadcaster) = broadcaster.filter(|broadcaster| !self.bad.contains(broadcaster)) {
                self.visit = Some(Asking::new(core, broadcaster));
                return;
            }
        }
        self.left = self.order.len();
        self.round_at = core.now + core.random.around(interval);
    }

    /// Asks who is asked: for the member's place with a cookie, or else for a cookie.
    fn ask(&mut self, core: &mut Core) {
        let Some(visit) = &mut self.visit else { return };
        visit.wait_is_over();
        let application = Some(self.saved.ticket.application);
        match core.cookies.get(visit.broadcaster()) {
            Some(cookie) => {
                let about = About::new(&self.saved.about).unwrap_or_default();
                let (ticket, spec) = (self.saved.ticket, self.saved.spec.as_spec());
                visit.send_with(core, Some(cookie), Call::Resume { ticket, spec, about });
            }
            None => {
                let prefix = Name::default();
                visit.send_with(core, None, Call::List { application, after: NOTHING, free: 0, prefix });
            }
        }
    }
}

impl Place {
    /// The broadcaster doesn't know the session, or a program has started again: the same is asked first. What it may have
    /// said in the session before is heard still.
    pub(super) fn turn_back(&mut self, core: &mut Core) {
        let Some(mut turn) = self.new_turn() else { return };
        turn.visit = Some(Asking::new(core, turn.saved.broadcaster));
        if let Some(session) = &mut self.session {
            session.want_nothing();
            session.unknown = true;
        }
        self.begin_turn(core, turn);
    }

    /// The broadcaster is silent: it is asked once more, for a member that comes to another broadcaster leaves those who
    /// didn't, and then the next one. What the silent one may still say in the session is heard.
    pub(super) fn turn_away(&mut self, core: &mut Core) {
        let Some(mut turn) = self.new_turn() else { return };
        turn.visit = Some(Asking::new(core, turn.saved.broadcaster));
        if let Some(session) = &mut self.session {
            session.want_nothing();
        }
        self.begin_turn(core, turn);
        self.tell_unreachable(core);
    }

    /// With nobody asked yet, to go on behind the member's own broadcaster.
    fn new_turn(&self) -> Option<Turn> {
        let mut saved = self.ticket()?;
        let own = self.session.as_ref().map_or(saved.broadcaster, |session| session.broadcaster);
        saved.broadcaster = own;
        let mut order: Vec<_> = saved.spec.as_spec().broadcasters().map(Address::get).collect();
        if order.is_empty() {
            order.push(own);
        }
        let place = order.iter().position(|broadcaster| *broadcaster == own);
        let next = place.map_or(0, |place| (place + 1) % order.len());
        let left = order.len() - usize::from(place.is_some());
        Some(Turn {
            saved,
            order,
            next,
            left,
            bad: Vec::new(),
            is_last: false,
            visit: None,
            round_at: Instant::NEVER,
        })
    }

    fn begin_turn(&mut self, core: &mut Core, turn: Turn) {
        debug!(pool = %self.pool, "a broadcaster is looked for");
        // Members that are missed are looked for when it has a broadcaster again.
        self.leave_search(core);
        self.lose_elsewhere(core);
        self.returns = true;
        self.turn = Some(turn);
    }

    fn tell_unreachable(&mut self, core: &mut Core) {
        if self.membership.is_some() && !self.unreachable {
            self.unreachable = true;
            self.tell(core, PoolEvent::Unreachable);
        }
    }

    pub(super) fn advance_turn(&mut self, core: &mut Core) {
        let slow = self.pace.slow();
        let interval = self.interval;
        let Some(turn) = &mut self.turn else { return };
        let silent = match &turn.visit {
            Some(visit) => visit.silent_at().is_due(core.now),
            None if turn.round_at.is_due(core.now) => {
                turn.go_on(core, interval);
                false
            }
            None => false,
        };
        if silent && turn.is_last {
            return self.end(PoolEnd::Forgotten);
        }
        if silent {
            turn.go_on(core, interval);
        }
        if turn.visit.as_ref().is_some_and(|visit| visit.send_at().max(slow).is_due(core.now)) {
            turn.ask(core);
            self.pace.note(core.now);
        }
        if silent {
            self.tell_unreachable(core);
        }
    }

    /// A broadcaster that was asked has answered. Whether it was one.
    pub(super) fn handle_turn(&mut self, core: &mut Core, from: SocketAddr, answer: &UnverifiedAnswer<'_>) {
        let interval = self.interval;
        let Some(turn) = &mut self.turn else { return };
        let Some(visit) = &mut turn.visit else { return };
        let reply = match visit.verify(from, answer) {
            Ok(Answer { reply, .. }) => reply,
            Err(fault) => return core.spoiled(fault),
        };
        core.note_answer(from);
        match reply {
            Reply::Cookie(cookie) => visit.take_cookie(core, from, cookie),
            Reply::Joined(joined) => return self.come_back(core, from, joined),
            Reply::Refused(Refusal::BadTicket) => {
                turn.bad.push(from);
                if turn.is_last {
                    return self.end(PoolEnd::Forgotten);
                }
                if turn.is_lost() {
                    return self.end(PoolEnd::Lost);
                }
                turn.go_on(core, interval);
            }
            Reply::Refused(Refusal::Stale) => {
                if turn.is_over(core, from) {
                    return self.end(PoolEnd::Forgotten);
                }
            }
            Reply::Refused(refusal) => match refusal.wait() {
                Some(wait) => visit.wait_for(core, from, wait, refusal),
                None if turn.is_last => return self.end(PoolEnd::Forgotten),
                None => turn.go_on(core, interval),
            },
            Reply::Pools { .. } => core.stats.unexpected += 1,
        }
        self.advance(core);
    }

    /// A broadcaster offers the member its place again.
    fn come_back(&mut self, core: &mut Core, from: SocketAddr, joined: Joined) {
        let Some(turn) = &self.turn else { return };
        let ticket = &turn.saved.ticket;
        let same = (joined.application, joined.pool, joined.member)
            == (ticket.application, ticket.pool, ticket.member);
        if !same {
            core.stats.unexpected += 1;
            return;
        }
        self.turn = None;
        self.begin_session(Session::new(core, from, joined));
        self.orders.begin_anew(core);
        self.advance(core);
    }

    /// The broadcaster that was silent has answered in the session.
    pub(super) fn end_turn(&mut self, core: &mut Core) {
        let was = self.turn.take().is_some();
        if let Some(session) = self.session.as_mut().filter(|session| session.unknown) {
            session.unknown = false;
            // It never was away.
            self.returns &= !session.whole;
        }
        if was && self.session.as_ref().is_some_and(|session| session.whole) {
            self.tell_restored(core);
        }
    }

    /// The member is back in its session or in another.
    pub(super) fn tell_restored(&mut self, core: &mut Core) {
        let returns = core::mem::take(&mut self.returns);
        if core::mem::take(&mut self.unreachable) || returns {
            self.tell(core, PoolEvent::Restored);
        }
    }
}
