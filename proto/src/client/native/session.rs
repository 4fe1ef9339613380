//! A session of a member: what it says to its broadcaster, and when (PROTOCOL.md, section 5).

use core::net::SocketAddr;
use core::time::Duration;

use super::calls::Void;
use super::pace::Pace;
use super::roster::{Next, Pages};
use super::shared::Core;
use crate::Instant;
use crate::wire::native::{Act, Cookie, Epoch, Joined, Member, Message, PAGES, PageStart, SHORTEST_INTERVAL};

/// After this time a ping or a question that was not answered is sent again, made shorter or longer at random.
const RETRY: Duration = Duration::from_secs(1);
/// So long a page is waited for once another has come that lies behind it: datagrams may change places on the way.
const GRACE: Duration = Duration::from_millis(100);
/// So many pings in a row that are not answered show that the broadcaster is silent.
const SILENCE: u8 = 3;
/// How long after a message its sender's address may be asked for.
const FRESH: Duration = Duration::from_secs(2);

/// The latest question, and which of the pages that it draws have come.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    count: u32,
    /// The count of the first since there is something to be gathered.
    first: u32,
    /// From which members on they are; 0: the first page.
    come: [u32; PAGES],
    pages: usize,
}

impl Asked {
    /// Notes a page. Whether it has not come before, and is not the first to come.
    fn has_come(&mut self, page: &PageStart<'_>) -> bool {
        let from = match page {
            PageStart::First(_) => 0,
            PageStart::From(member) => member.get(),
        };
        let is_known = self.come.iter().take(self.pages).any(|known| *known == from);
        let Some(place) = self.come.get_mut(self.pages).filter(|_| !is_known) else { return false };
        *place = from;
        self.pages += 1;
        self.pages > 1
    }

    /// Whether all have come that there can be.
    const fn is_answered(&self) -> bool {
        self.pages == PAGES
    }
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) broadcaster: SocketAddr,
    pub(super) joined: Joined,
    /// Of pings, questions and moves.
    count: u32,
    /// Up to this count an earlier session with the same handle has said something, too.
    doubtful: u32,
    /// The highest count that was answered.
    answered: u32,
    /// The count of the latest ping.
    pinged: u32,
    /// Pings in a row that were not answered.
    unanswered: u8,
    ping_at: Instant,
    /// When the next ping is due if this one is answered.
    interval_at: Instant,
    /// What is asked for, and when.
    ask: Option<(Option<Member>, Instant)>,
    asked: Asked,
    /// The count of the latest order.
    orders: u32,
    /// The latest messages that may be asked for their sender's address, by their counts, the latest first.
    fresh: [Option<(u32, Instant)>; 4],
    /// Whether a page came.
    pub(super) paged: bool,
    /// Whether the roster is known whole, by this session.
    pub(super) whole: bool,
    pub(super) pages: Option<Pages>,
    /// The latest epoch that was heard of.
    pub(super) heard: Option<Epoch>,
    /// The broadcaster has said that it doesn't know it.
    pub(super) unknown: bool,
}

impl Session {
    /// Of what was offered, which is taken at once.
    pub(super) fn new(core: &Core, broadcaster: SocketAddr, joined: Joined) -> Self {
        Self {
            broadcaster,
            joined,
            count: 0,
            doubtful: 0,
            answered: 0,
            pinged: 0,
            unanswered: 0,
            ping_at: core.now,
            interval_at: core.now,
            ask: None,
            asked: Asked::default(),
            orders: 0,
            fresh: [None; 4],
            paged: false,
            whole: false,
            pages: None,
            heard: None,
            unknown: false,
        }
    }

    /// It, of which a broadcaster says that it is void.
    pub(super) fn void(&self, pace: Pace) -> Void {
        Void { session: self.joined.session, count: self.count, pace }
    }

    /// Goes on from the count of what was void, if it is that session: whoever said so was not its broadcaster.
    pub(super) fn go_on(&mut self, void: &Void) {
        if void.session == self.joined.session {
            (self.count, self.answered) = (void.count, void.count);
        }
    }

    /// Comes in place of an offer that was withdrawn for it. If it has the same handle, that broadcasters give again at once, what
    /// was said by the earlier one is answered by `Unknown` to this.
    pub(super) fn replace(&mut self, earlier: &Self) {
        if earlier.joined.handle == self.joined.handle {
            self.doubtful = earlier.doubtful.max(earlier.count);
        }
    }

    /// Whether nobody can know this count: an earlier session with the same handle has said it, too.
    pub(super) fn doubts(&self, count: u32) -> bool {
        count <= self.doubtful
    }

    /// Whether what was offered is still to be taken.
    pub(super) fn has_said_nothing(&self) -> bool {
        self.count == 0
    }

    /// How often to ping.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.joined.interval.get().into()).max(SHORTEST_INTERVAL)
    }

    /// Whether the broadcaster is silent, when the next ping is due.
    pub(super) fn is_silent(&self) -> bool {
        self.unanswered >= SILENCE
    }

    pub(super) fn ping_at(&self) -> Instant {
        self.ping_at
    }

    pub(super) fn ask_at(&self) -> Instant {
        self.ask.map_or(Instant::NEVER, |(_, at)| at)
    }

    fn send(&mut self, core: &mut Core, pace: &mut Pace, count: u32, act: Act<'_>) {
        self.fresh.rotate_right(1);
        if let Some(first) = self.fresh.first_mut() {
            *first = Some((count, core.now));
        }
        pace.note(core.now);
        let message = Message { handle: self.joined.handle, count, act };
        core.send(self.broadcaster, |out| message.write(&self.joined.key, out));
    }

    fn next_count(&mut self) -> u32 {
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Pings. `epoch` is that of the roster.
    pub(super) fn ping(&mut self, core: &mut Core, pace: &mut Pace, epoch: Option<Epoch>) {
        let count = self.next_count();
        self.pinged = count;
        self.unanswered = self.unanswered.saturating_add(1);
        self.interval_at = core.now + core.random.around(self.interval());
        let retry = core.now + core.random.around(RETRY);
        self.ping_at = if self.paged { retry.min(self.interval_at) } else { retry };
        // Until the roster is known by this session, it is that of another.
        self.send(core, pace, count, Act::Ping(epoch.filter(|_| self.whole)));
    }

    /// Has a page asked for: at once, unless it is asked for already.
    pub(super) fn want(&mut self, core: &Core, from: Option<Member>) {
        if self.ask.is_none_or(|(wanted, _)| wanted != from) {
            self.ask = Some((from, core.now));
        }
    }

    /// Whether pages are gathered that a question of this count draws.
    pub(super) fn gathers(&self, count: u32) -> bool {
        self.asked.first > 0 && (self.asked.first..=self.asked.count).contains(&count)
    }

    /// A page has come in answer to this count. Whether it is one that the latest question draws beside the first to come.
    pub(super) fn draws(&mut self, count: u32, page: &PageStart<'_>) -> bool {
        self.asked.first > 0 && self.asked.count == count && self.asked.has_come(page)
    }

    /// A page has come in answer to this count. The roster is known up to this member; `turned` says what the page was to it.
    /// The next one is waited for if it is on its way; if none is, it is asked for at once. If one before this is missing, it is
    /// asked for soon.
    pub(super) fn want_next(&mut self, core: &mut Core, from: Member, count: u32, turned: Next) {
        let waits_until = self.ask.filter(|(wanted, _)| *wanted == Some(from)).map(|(_, at)| at);
        let at = match turned {
            Next::Fits if count > self.asked.count => core.now,
            Next::Fits => core.now + core.random.around(RETRY),
            Next::Missed => (core.now + GRACE).min(waits_until.unwrap_or(Instant::NEVER)),
            Next::Known => waits_until.unwrap_or(core.now),
        };
        self.ask = Some((Some(from), at));
        self.want_rest(core, count);
    }

    /// A page has come in answer to this count. If it is the last that its question draws, what is wanted is asked for at once.
    pub(super) fn want_rest(&mut self, core: &Core, count: u32) {
        if let Some((_, at)) =
            self.ask.as_mut().filter(|_| self.asked.count == count && self.asked.is_answered())
        {
            *at = core.now;
        }
    }

    /// Has the first page asked for, but not at once.
    pub(super) fn want_later(&mut self, core: &mut Core) {
        self.ask = Some((None, core.now + core.random.around(RETRY)));
    }

    /// Nothing is to be asked for.
    pub(super) fn want_nothing(&mut self) {
        self.ask = None;
        self.asked = Asked::default();
        self.pages = None;
    }

    /// Asks for what is wanted.
    pub(super) fn ask(&mut self, core: &mut Core, pace: &mut Pace) {
        let Some((from, _)) = self.ask else { return };
        self.ask = Some((from, core.now + core.random.around(RETRY)));
        let count = self.next_count();
        let first = if self.asked.first > 0 { self.asked.first } else { count };
        self.asked = Asked { count, first, ..Asked::default() };
        self.send(core, pace, count, Act::Ask(from));
    }

    /// Sends an order, the one of this count again or a new one, and answers its count.
    pub(super) fn order(
        &mut self,
        core: &mut Core,
        pace: &mut Pace,
        count: Option<u32>,
        act: Act<'_>,
    ) -> u32 {
        let count = count.unwrap_or_else(|| {
            self.orders = self.orders.saturating_add(1);
            self.orders
        });
        self.send(core, pace, count, act);
        count
    }

    /// Leaves, without waiting for an answer.
    pub(super) fn leave(&mut self, core: &mut Core, pace: &mut Pace) {
        let count = self.order(core, pace, None, Act::Leave);
        self.order(core, pace, Some(count), Act::Leave);
    }

    /// A ping, a question or a move was answered, by a page or otherwise. Whether that is news.
    pub(super) fn answer(&mut self, count: u32, page: bool) -> bool {
        if !self.waits_for(count) {
            return false;
        }
        self.answered = count;
        self.paged |= page;
        self.alive();
        if count >= self.pinged && self.paged {
            self.ping_at = self.interval_at;
        }
        true
    }

    /// The broadcaster has answered something.
    pub(super) fn alive(&mut self) {
        self.unanswered = 0;
    }

    /// Whether a ping, a question or a move of this count was not answered.
    pub(super) fn waits_for(&self, count: u32) -> bool {
        count > self.answered && count <= self.count
    }

    /// Whether a message of this count was just sent. It is asked once for each message.
    pub(super) fn take_fresh(&mut self, count: u32, now: Instant) -> bool {
        let is = |said: &Option<(u32, Instant)>| {
            said.is_some_and(|(of, at)| of == count && !(at + FRESH).is_due(now))
        };
        let place = self.fresh.iter_mut().find(|place| is(place));
        place.and_then(Option::take).is_some()
    }

    /// The member is here, as the cookie shows.
    pub(super) fn move_here(&mut self, core: &mut Core, pace: &mut Pace, cookie: Cookie) {
        let count = self.next_count();
        self.send(core, pace, count, Act::Move(cookie));
    }
}
