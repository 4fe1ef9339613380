//! Orders of a member, one at a time (PROTOCOL.md, section 5).

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::pace::Pace;
use super::session::Session;
use super::shared::Core;
use crate::Instant;
use crate::client::{CallId, Outcome};
use crate::wire;
use crate::wire::native::{About, Act, Member, PoolSpec, Refusal};

/// No wait is longer, unless the first one is.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// After a refusal that asks to wait, the shortest wait.
const SHORTEST_REFUSED: Duration = Duration::from_millis(250);

/// Orders, of which the first is under way.
#[derive(Debug, Default)]
pub(super) struct Orders(VecDeque<Order>);

#[derive(Debug)]
pub(super) struct Order {
    pub(super) call: CallId,
    pub(super) what: What,
    /// By which it was sent in this session.
    count: Option<u32>,
    wait: Duration,
    send_at: Instant,
    sent: u32,
    /// The refusal that asked to wait, if that was the latest answer.
    refused: Option<Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Leave,
    About(Bytes),
    Change(PoolSpec),
    Kick(Member),
    Hand(Member),
    Close,
}

impl What {
    fn act(&self) -> Act<'_> {
        match self {
            Self::Leave => Act::Leave,
            // It was within its bounds when it was taken.
            Self::About(about) => Act::About(About::new(about).unwrap_or_default()),
            Self::Change(spec) => Act::Change(spec.as_spec()),
            Self::Kick(member) => Act::Kick(*member),
            Self::Hand(member) => Act::Hand(*member),
            Self::Close => Act::Close,
        }
    }

    /// Whether it ends the session.
    fn ends(&self) -> bool {
        matches!(self, Self::Leave | Self::Close)
    }
}

impl Order {
    /// How it ends when its time is over.
    pub(super) fn timed_out(&self, broadcaster: SocketAddr) -> Outcome {
        match self.refused {
            Some(refusal) => Outcome::Refused(wire::Refusal::Native(refusal)),
            None => Outcome::TimedOut { broadcaster, sent: self.sent },
        }
    }
}

impl Orders {
    pub(super) fn add(&mut self, core: &Core, call: CallId, what: What) {
        let (wait, send_at) = (core.config.resend_after, core.now);
        self.0.push_back(Order { call, what, count: None, wait, send_at, sent: 0, refused: None });
    }

    /// When the first one is to be sent.
    pub(super) fn send_at(&self) -> Instant {
        self.0.front().map_or(Instant::NEVER, |order| order.send_at)
    }

    /// Sends the first one, again if it was.
    pub(super) fn send(&mut self, core: &mut Core, pace: &mut Pace, session: &mut Session) {
        let Some(order) = self.0.front_mut() else { return };
        order.refused = None;
        core.stats.resent += u64::from(order.sent > 0);
        order.sent = order.sent.saturating_add(1);
        order.send_at = core.now + core.random.around(order.wait);
        let longest = LONGEST_WAIT.max(core.config.resend_after);
        order.wait = order.wait.saturating_add(order.wait / 2).min(longest);
        order.count = Some(session.order(core, pace, order.count, order.what.act()));
    }

    /// The session is another: what was under way is given in the new one.
    pub(super) fn begin_anew(&mut self, core: &Core) {
        if let Some(order) = self.0.front_mut() {
            order.count = None;
            order.wait = core.config.resend_after;
            order.send_at = core.now;
        }
    }

    /// Whether the one under way has this count.
    pub(super) fn waits_for(&self, count: u32) -> bool {
        self.0.front().is_some_and(|order| order.count == Some(count))
    }

    /// The one under way is answered, and done with.
    pub(super) fn take_first(&mut self, core: &Core) -> Option<Order> {
        let order = self.0.pop_front();
        self.begin_anew(core);
        order
    }

    /// The one under way is refused for now: it is given again when the wait is over, as another.
    pub(super) fn wait_for(&mut self, core: &mut Core, wait: u16, refusal: Refusal) {
        let Some(order) = self.0.front_mut() else { return };
        let wait = Duration::from_millis(wait.into()).max(SHORTEST_REFUSED);
        order.count = None;
        order.refused = Some(refusal);
        order.wait = core.config.resend_after;
        order.send_at = core.now + wait + core.random.up_to(wait);
    }

    /// A message was answered by `Unknown`, and no session is there to leave any more. What is done by that: the order under way if
    /// it was the message and ends the session, or else one to leave.
    pub(super) fn take_done(&mut self, core: &Core, under_way: bool) -> Option<Order> {
        let first = self.0.front().filter(|order| under_way && order.what.ends()).map(|_| 0);
        let at = first.or_else(|| self.0.iter().position(|order| order.what == What::Leave))?;
        let order = self.0.remove(at);
        self.begin_anew(core);
        order
    }

    /// The order of a call, which is given no longer.
    pub(super) fn remove(&mut self, core: &Core, call: CallId) -> Option<Order> {
        let at = self.0.iter().position(|order| order.call == call)?;
        let order = self.0.remove(at);
        if at == 0 {
            self.begin_anew(core);
        }
        order
    }

    /// Whether one of them ends the session.
    pub(super) fn end_it(&self) -> bool {
        self.0.iter().any(|order| order.what.ends())
    }

    /// The spec that the latest order decides.
    pub(super) fn decided(&self) -> Option<&PoolSpec> {
        self.0.iter().rev().find_map(|order| match &order.what {
            What::Change(spec) => Some(spec),
            What::Leave | What::About(_) | What::Kick(_) | What::Hand(_) | What::Close => None,
        })
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Order> + '_ {
        self.0.drain(..)
    }
}
