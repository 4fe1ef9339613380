//! A place in a pool (PROTOCOL.md, section 5).

use std::time::{Duration, Instant};

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Cookie, Joined, Member, Message, News, PoolSpec, Refusal, Ticket,
};
use poolmesh_testkit::sim::Rng;

use super::again::{Again, at_least, jittered};
use super::call::Wish;
use super::roster::{Roster, Rosters, Told};

/// So long a ping or a question waits for its answer.
const AGAIN: Duration = Duration::from_secs(1);
/// So long an order is sent again, as a request is.
const ORDER_PATIENCE: Duration = Duration::from_secs(8);

/// What a member wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Leave,
    About(Vec<u8>),
    Change(PoolSpec),
    Kick(Member),
    Hand(Member),
    Close,
}

impl Order {
    fn act(&self) -> Act<'_> {
        match self {
            Self::Leave => Act::Leave,
            Self::About(about) => Act::About(About::new(about).unwrap_or_default()),
            Self::Change(spec) => Act::Change(spec.as_spec()),
            Self::Kick(member) => Act::Kick(*member),
            Self::Hand(member) => Act::Hand(*member),
            Self::Close => Act::Close,
        }
    }

    /// Whether there is no place any more once it is done.
    pub(super) fn ends(&self) -> bool {
        matches!(self, Self::Leave | Self::Close)
    }
}

#[derive(Debug)]
pub(super) struct UnderWay {
    order: Order,
    pub(super) again: Again,
    deadline: Instant,
}

/// A place in a pool, first of all offered.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) joined: Joined,
    /// What brings it back; none as long as there was no page.
    pub(super) ticket: Option<Ticket>,
    rosters: Rosters,
    /// That of pings, questions and moves.
    count: u32,
    ping_count: u32,
    /// How many pings in a row were not answered.
    pub(super) unanswered: u32,
    pub(super) ping_at: Instant,
    /// From where on the roster is asked for.
    pub(super) ask: Option<(Instant, Option<Member>)>,
    /// By what it shows that it is elsewhere.
    pub(super) prove: Option<(Instant, Cookie)>,
    order_count: u32,
    pub(super) order: Option<UnderWay>,
}

/// What became of the order under way.
#[derive(Debug)]
pub(super) enum Heard {
    Nothing,
    Told(Told),
    Done(Order, Result<(), Refusal>),
}

impl Seat {
    pub(super) fn new(joined: Joined, now: Instant) -> Self {
        Self {
            joined,
            ticket: None,
            rosters: Rosters::default(),
            count: 0,
            ping_count: 0,
            unanswered: 0,
            ping_at: now,
            ask: None,
            prove: None,
            order_count: 0,
            order: None,
        }
    }

    /// The same place in a new session: what it knew it still knows, and what it wanted done it still wants.
    pub(super) fn come_back(&mut self, joined: Joined, now: Instant) {
        let Self { ticket, rosters, order, .. } = std::mem::replace(self, Self::new(joined, now));
        self.ticket = ticket;
        self.rosters = rosters;
        if let Some(UnderWay { order, .. }) = order {
            self.give(order, now);
        }
    }

    pub(super) fn roster(&self) -> Option<&Roster> {
        self.rosters.whole.as_ref()
    }

    /// What brings it back, if it has a ticket.
    pub(super) fn wish_to_come_back(&self) -> Option<Wish> {
        let (ticket, roster) = (self.ticket?, self.roster()?);
        let said = roster.members.get(&ticket.member).map(|(_, said)| said.clone());
        Some(Wish::Resume(ticket, roster.spec.clone(), said.unwrap_or_default()))
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.joined.interval.get().into())
    }

    /// Begins with an order.
    pub(super) fn give(&mut self, order: Order, now: Instant) {
        self.order_count += 1;
        self.order = Some(UnderWay { order, again: Again::from(now), deadline: now + ORDER_PATIENCE });
    }

    /// Whether a challenge with this count answers the ping it just sent.
    pub(super) fn just_pinged(&self, count: u32) -> bool {
        self.unanswered > 0 && self.ping_count == count
    }

    /// Whether a challenge with this count answers the order under way.
    pub(super) fn just_ordered(&self, count: u32) -> bool {
        self.order.is_some() && self.order_count == count
    }

    /// The order under way, if it leaves nothing behind. Where there is nothing, it is done.
    pub(super) fn take_end(&mut self) -> Option<Order> {
        self.order.take_if(|way| way.order.ends()).map(|way| way.order)
    }

    pub(super) fn write_ping(&mut self, now: Instant, rng: &mut Rng, out: &mut BytesMut) {
        self.unanswered += 1;
        self.ping_at = now + jittered(AGAIN, rng);
        // In a new session it wants the page again, whose seal makes the ticket of that session.
        let epoch = self.roster().filter(|_| self.is_told()).map(|roster| roster.state.epoch);
        self.write_counted(Act::Ping(epoch), out);
        self.ping_count = self.count;
    }

    pub(super) fn write_ask(&mut self, out: &mut BytesMut) {
        if let Some((at, from)) = self.ask {
            self.ask = Some((at + AGAIN, from));
            self.write_counted(Act::Ask(from), out);
        }
    }

    pub(super) fn write_move(&mut self, out: &mut BytesMut) {
        if let Some((_, cookie)) = self.prove.take() {
            self.write_counted(Act::Move(cookie), out);
        }
    }

    fn write_counted(&mut self, act: Act<'_>, out: &mut BytesMut) {
        self.count += 1;
        Message { handle: self.joined.handle, count: self.count, act }.write(&self.joined.key, out);
    }

    /// Writes the order under way, or gives it up.
    pub(super) fn write_order(&mut self, now: Instant, rng: &mut Rng, out: &mut BytesMut) -> Option<Order> {
        if let Some(given_up) = self.order.take_if(|way| way.deadline <= now) {
            return Some(given_up.order);
        }
        if let Some(way) = &mut self.order {
            way.again.sent(now, rng);
            let message =
                Message { handle: self.joined.handle, count: self.order_count, act: way.order.act() };
            message.write(&self.joined.key, out);
        }
        None
    }

    /// Takes what was said in the session, but for its end.
    pub(super) fn hear(&mut self, news: &News<'_>, now: Instant, rng: &mut Rng) -> Heard {
        let was_coming_back = self.is_coming_back();
        let told = match news {
            News::Pong { .. } => {
                self.answered(now, rng);
                return Heard::Nothing;
            }
            News::Done { count, outcome } => return self.done(*count, *outcome, now, rng),
            News::Ended(_) => return Heard::Nothing,
            News::Page(page) => self.rosters.page(page),
            News::Changed { state, changes } => self.rosters.changed(*state, *changes),
        };
        match told {
            Told::Old => {}
            Told::New => {
                self.renew_ticket();
                self.ask = None;
            }
            Told::Ask(from) => self.ask = Some((now, from)),
        }
        if matches!(news, News::Page(_)) {
            self.answered(now, rng);
        }
        if was_coming_back && self.is_told() {
            // From now on it pings no more often than others.
            self.ping_at = now + jittered(self.interval(), rng);
        }
        Heard::Told(told)
    }

    /// Whether it has got a page in this session.
    fn is_told(&self) -> bool {
        self.ticket.is_some_and(|ticket| ticket.session == self.joined.session)
    }

    /// Whether it had a place before, and has got no page in this session.
    pub(super) fn is_coming_back(&self) -> bool {
        self.ticket.is_some() && !self.is_told()
    }

    fn answered(&mut self, now: Instant, rng: &mut Rng) {
        if self.unanswered > 0 {
            self.unanswered = 0;
            let wait = if self.is_told() { self.interval() } else { AGAIN };
            self.ping_at = now + jittered(wait, rng);
        }
    }

    fn done(&mut self, count: u32, outcome: Result<(), Refusal>, now: Instant, rng: &mut Rng) -> Heard {
        let Some(way) = self.order.as_mut().filter(|_| count == self.order_count) else {
            return Heard::Nothing;
        };
        if let Some(wait) = outcome.err().and_then(Refusal::wait) {
            // The refusal is what this count has been answered for good.
            self.order_count += 1;
            way.again.at = now + at_least(wait, rng);
            return Heard::Nothing;
        }
        self.order.take().map_or(Heard::Nothing, |way| Heard::Done(way.order, outcome))
    }

    fn renew_ticket(&mut self) {
        let Joined { application, pool, code, member, session, .. } = self.joined;
        let state = self.rosters.whole.as_ref().map(|roster| roster.state);
        self.ticket = state.map(|state| Ticket { application, pool, code, member, session, state });
    }
}
