//! An honest client, made of the wire's readers and writers and PROTOCOL.md alone: it shares no rule with the machines.

mod again;
mod call;
mod roster;
mod seat;

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    Application, Challenge, Cookie, EndReason, FromBroadcaster, Joined, News, Refusal, Reply, Ticket,
    UnverifiedAnswer, UnverifiedNotice,
};
use poolmesh_testkit::sim::Rng;

pub(crate) use call::Wish;
pub(crate) use roster::Roster;
pub(crate) use seat::Order;

use again::{Again, at_least};
use call::Call;
use roster::Told;
use seat::{Heard, Seat};

/// A call ends after so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// One that is to bring a place back, and asks one broadcaster.
const ROUND: Duration = Duration::from_secs(2);
/// So many pings without an answer say that the broadcaster is gone.
const PINGS_UNANSWERED: u32 = 3;
const SECOND: Duration = Duration::from_secs(1);
/// What a member that looks for its broadcaster sends a second.
const MOST_A_SECOND: usize = 2;

/// What a client learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It has a place, and the roster.
    Admitted,
    /// It has no place, for this.
    Refused(Refusal),
    /// Its call has ended without an answer.
    TimedOut,
    /// The roster is another.
    Roster,
    /// The order is carried out, or refused; or nobody has answered.
    Done(Order, Option<Result<(), Refusal>>),
    /// Its place is gone.
    Ended(EndReason),
    /// Its broadcaster doesn't know it, or doesn't answer: it tries to come back.
    Lost,
    /// Its broadcaster has given it its place again.
    Back,
    /// Its broadcaster doesn't give it its place again.
    Over(Refusal),
}

/// A client at one address, in one pool at most.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddrV4,
    application: Application,
    rng: Rng,
    cookie: Option<Cookie>,
    call: Option<Call>,
    /// Whether the call has got a place, which isn't taken yet.
    offered: bool,
    seat: Option<Seat>,
    /// What was sent in the second before the latest.
    recent: VecDeque<Instant>,
    /// The most that was sent in a second.
    pub(crate) peak: usize,
}

/// What is to be sent or done next.
#[derive(Clone, Copy, Debug)]
enum Job {
    GiveUp,
    Request,
    Move,
    Ask,
    Ping,
    Order,
}

impl Client {
    pub(crate) fn new(address: SocketAddrV4, application: Application, rng: Rng) -> Self {
        Self {
            address,
            application,
            rng,
            cookie: None,
            call: None,
            offered: false,
            seat: None,
            recent: VecDeque::new(),
            peak: 0,
        }
    }

    /// Asks for a place. There must be neither one nor another call.
    pub(crate) fn ask_for(&mut self, wish: Wish, now: Instant) {
        self.begin(wish, PATIENCE, now);
    }

    fn begin(&mut self, wish: Wish, patience: Duration, now: Instant) {
        self.call = Some(Call::new(wish, patience, now, &mut self.rng));
        self.offered = false;
    }

    /// Orders something. There must be a place, and no other order under way.
    pub(crate) fn order(&mut self, order: Order, now: Instant) {
        if let Some(seat) = &mut self.seat {
            seat.give(order, now);
        }
    }

    /// Says nothing any more, as a program that was killed: not even that it leaves.
    pub(crate) fn fall_silent(&mut self) {
        (self.call, self.seat) = (None, None);
    }

    /// What it knows of its pool.
    pub(crate) fn roster(&self) -> Option<&Roster> {
        self.seat.as_ref().and_then(Seat::roster)
    }

    /// How it came to its place.
    pub(crate) fn joined(&self) -> Option<&Joined> {
        self.seat.as_ref().map(|seat| &seat.joined)
    }

    /// Whether it waits for a place.
    pub(crate) fn is_asking(&self) -> bool {
        self.call.is_some()
    }

    /// What would bring it back.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.seat.as_ref().and_then(|seat| seat.ticket)
    }

    /// When it wants to be asked next what it sends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next().map(|(at, _)| at)
    }

    /// Sends the next datagram that is due, if there is one.
    pub(crate) fn send(&mut self, now: Instant, out: &mut BytesMut, events: &mut Vec<Event>) -> bool {
        out.clear();
        while let Some((_, job)) = self.next().filter(|(at, _)| *at <= now) {
            self.perform(job, now, out, events);
            if !out.is_empty() {
                self.recent.push_back(now);
                while self.recent.front().is_some_and(|first| *first + SECOND <= now) {
                    self.recent.pop_front();
                }
                self.peak = self.peak.max(self.recent.len());
                return true;
            }
        }
        false
    }

    fn next(&self) -> Option<(Instant, Job)> {
        let asking = self.call.as_ref().filter(|_| !self.offered);
        let looking = self.call.as_ref().is_some_and(|call| matches!(call.wish, Wish::Resume(..)));
        let coming_back = looking || self.seat.as_ref().is_some_and(Seat::is_coming_back);
        // Until it is back it is slow.
        let nth_last = self.recent.len().checked_sub(MOST_A_SECOND).and_then(|nth| self.recent.get(nth));
        let free = nth_last.filter(|_| coming_back).map(|sent| *sent + SECOND);
        let seat = self.seat.as_ref().filter(|_| asking.is_none());
        let order = seat.filter(|_| self.call.is_none()).and_then(|seat| seat.order.as_ref());
        let sent = [
            asking.map(|call| (call.again.at, Job::Request)),
            seat.and_then(|seat| seat.prove).map(|(at, _)| (at, Job::Move)),
            seat.and_then(|seat| seat.ask).map(|(at, _)| (at, Job::Ask)),
            seat.map(|seat| (seat.ping_at, Job::Ping)),
            order.map(|order| (order.again.at, Job::Order)),
        ];
        let give_up = self.call.as_ref().map(|call| (call.deadline, Job::GiveUp));
        let sent = sent.into_iter().flatten().map(|(at, job)| (free.map_or(at, |free| free.max(at)), job));
        give_up.into_iter().chain(sent).min_by_key(|(at, _)| *at)
    }

    fn perform(&mut self, job: Job, now: Instant, out: &mut BytesMut, events: &mut Vec<Event>) {
        let rng = &mut self.rng;
        match (job, &mut self.call, &mut self.seat) {
            (Job::GiveUp, _, _) => self.give_up(now, events),
            (Job::Request, Some(call), _) => {
                call.write(self.application, self.cookie, out);
                call.again.sent(now, rng);
            }
            (Job::Ping, None, Some(seat)) if seat.unanswered >= PINGS_UNANSWERED => {
                self.come_back(now, events)
            }
            (Job::Ping, _, Some(seat)) => seat.write_ping(now, rng, out),
            (Job::Move, _, Some(seat)) => seat.write_move(out),
            (Job::Ask, _, Some(seat)) => seat.write_ask(out),
            (Job::Order, _, Some(seat)) => {
                if let Some(order) = seat.write_order(now, rng, out) {
                    self.done(order, None, events);
                }
            }
            (Job::Request, None, _) | (Job::Ping | Job::Move | Job::Ask | Job::Order, _, None) => {}
        }
    }

    fn give_up(&mut self, now: Instant, events: &mut Vec<Event>) {
        let call = self.call.take();
        match (call.map(|call| call.wish), &self.seat) {
            (Some(wish @ Wish::Resume(..)), Some(seat)) => {
                // It has asked all broadcasters of the pool, which are one.
                let later = now + seat.interval();
                self.begin(wish, ROUND, later);
            }
            (_, seat) => {
                // It may have come without knowing.
                if seat.is_some() {
                    self.order(Order::Leave, now);
                }
                events.push(Event::TimedOut);
            }
        }
    }

    fn done(&mut self, order: Order, outcome: Option<Result<(), Refusal>>, events: &mut Vec<Event>) {
        if order.ends() && !matches!(outcome, Some(Err(_))) {
            self.seat = None;
        }
        events.push(Event::Done(order, outcome));
    }

    /// Turns to the broadcaster with the ticket, if there is one.
    fn come_back(&mut self, now: Instant, events: &mut Vec<Event>) {
        match self.seat.as_ref().and_then(Seat::wish_to_come_back) {
            Some(wish) => {
                self.begin(wish, ROUND, now);
                events.push(Event::Lost);
            }
            None => {
                self.seat = None;
                events.push(Event::TimedOut);
            }
        }
    }

    /// Takes a datagram that came to its address.
    pub(crate) fn handle(&mut self, datagram: &[u8], now: Instant, events: &mut Vec<Event>) {
        match FromBroadcaster::read(datagram) {
            Ok(FromBroadcaster::Answer(answer)) => self.answer(&answer, now, events),
            Ok(FromBroadcaster::Notice(notice)) => self.notice(&notice, now, events),
            Ok(FromBroadcaster::Challenge(challenge)) => self.challenge(&challenge, now, events),
            Err(_) => {}
        }
    }

    fn answer(&mut self, answer: &UnverifiedAnswer<'_>, now: Instant, events: &mut Vec<Event>) {
        let Some(call) = self.call.as_mut().filter(|_| !self.offered) else { return };
        match call.read(answer).map(|answer| answer.reply) {
            Some(Reply::Cookie(cookie)) => {
                self.cookie = Some(cookie);
                call.take_cookie(cookie, now);
            }
            Some(Reply::Joined(joined)) => {
                self.offered = true;
                if matches!(call.wish, Wish::Resume(..)) {
                    // The place is kept so long. Once it was taken the old ticket brings nobody back.
                    call.deadline = now + PATIENCE;
                }
                match &mut self.seat {
                    Some(seat) => seat.come_back(joined, now),
                    None => self.seat = Some(Seat::new(joined, now)),
                }
            }
            Some(Reply::Refused(refusal)) => match refusal.wait() {
                Some(wait) => call.again.at = now + at_least(wait, &mut self.rng),
                None => {
                    self.call = None;
                    events.push(match self.seat.take().map(|mut seat| seat.take_end()) {
                        None => Event::Refused(refusal),
                        Some(None) => Event::Over(refusal),
                        Some(Some(order)) => Event::Done(order, Some(Ok(()))),
                    });
                }
            },
            Some(Reply::Pools { .. }) | None => {}
        }
    }

    fn notice(&mut self, notice: &UnverifiedNotice<'_>, now: Instant, events: &mut Vec<Event>) {
        let Some(seat) = self.seat.as_mut().filter(|seat| seat.joined.handle == notice.handle()) else {
            return;
        };
        let Ok(notice) = notice.verify(&seat.joined.key) else { return };
        if let News::Ended(reason) = notice.news {
            (self.seat, self.call) = (None, None);
            return events.push(Event::Ended(reason));
        }
        let heard = seat.hear(&notice.news, now, &mut self.rng);
        let heard_of = matches!(notice.news, News::Pong { .. } | News::Page(_));
        let taken = match self.call.as_ref().map(|call| &call.wish) {
            // A pool that is coming back says no more than that it hears; in the old session, that nothing was lost.
            Some(Wish::Resume(..)) => heard_of.then_some(Event::Back),
            Some(_) if self.offered => seat.roster().is_some().then_some(Event::Admitted),
            Some(_) | None => None,
        };
        if let Some(event) = taken {
            self.call = None;
            events.push(event);
        }
        match heard {
            Heard::Told(Told::New) => events.push(Event::Roster),
            Heard::Done(order, outcome) => self.done(order, Some(outcome), events),
            Heard::Told(Told::Old | Told::Ask(_)) | Heard::Nothing => {}
        }
    }

    fn challenge(&mut self, challenge: &Challenge, now: Instant, events: &mut Vec<Event>) {
        let Some(seat) = self.seat.as_mut().filter(|seat| seat.joined.handle == challenge.handle) else {
            return;
        };
        let pinged = seat.just_pinged(challenge.count);
        match (challenge.prove, &mut self.call) {
            (Some(cookie), _) if pinged => seat.prove = Some((now, cookie)),
            (Some(_), _) => {}
            (None, None) => {
                let ordered = seat.just_ordered(challenge.count);
                match if pinged || ordered { seat.take_end() } else { None } {
                    Some(order) => self.done(order, Some(Ok(())), events),
                    None if pinged || ordered => self.come_back(now, events),
                    None => {}
                }
            }
            // What it was offered is gone: it asks again.
            (None, Some(call)) if pinged && self.offered => {
                self.offered = false;
                call.again = Again::from(now);
            }
            (None, Some(_)) => {}
        }
    }
}
