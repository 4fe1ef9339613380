//! How a pool comes back of which only its members know (PROTOCOL.md, section 7.2).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Native;
use super::desk::Desk;
use super::places::{NONE, Standing};
use super::pools::{Phase, Pool};
use super::requests::millis;
use crate::Instant;
use crate::broadcaster::{BroadcasterEvent, Limits};
use crate::log::debug;
use crate::wire::native::{Epoch, Member, PoolSpec, Refusal, Seats, State};

/// What a ticket says that is offered a place for.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) handle: u32,
    pub(super) state: State,
    /// Not the pool's, even if it is the same: that may change until the offer is taken.
    pub(super) spec: Box<PoolSpec>,
}

/// Who has come, and by which ticket.
#[derive(Clone, Copy, Debug)]
struct Come {
    member: Member,
    era: u64,
    number: u32,
    /// The host didn't want it.
    sent_away: bool,
}

/// How long tickets hold at least. Members look for their broadcaster at a pace of their own, however short the interval
/// and the timeout are.
const HOLDS: Duration = Duration::from_secs(10);

/// A pool's recovery: tickets hold while it lasts.
#[derive(Debug)]
pub(super) struct Recovery {
    /// When the pool is published, whoever hasn't come.
    publish: Instant,
    until: Instant,
    /// Which of the two is to be waited for.
    pub(super) due: Instant,
    /// Of the tickets of those who have come the highest.
    base: Option<State>,
    offers: Vec<Offered>,
    come: Vec<Come>,
}

/// Whether a ticket is to be the base of a pool, rather than this one: whether the pool was so later. Of two eras of which one
/// was brought back from the other, that went on when it is known to later epochs than the one it was brought back from.
fn is_later(ticket: &State, than: &State) -> bool {
    let (one, other) = (ticket.epoch, than.epoch);
    if one.era() == other.era() {
        return one.number() > other.number();
    }
    let from = |state: &State, era: u64| state.base.filter(|base| base.era() == era).map(Epoch::number);
    if let Some(base) = from(ticket, other.era()) {
        return base >= other.number();
    }
    if let Some(base) = from(than, one.era()) {
        return one.number() > base;
    }
    let rank = |state: &State| (state.count, state.epoch.number());
    match ticket.base.zip(than.base) {
        Some((one, other)) if one.era() == other.era() => {
            (one.number(), rank(ticket)) > (other.number(), rank(than))
        }
        _ => (ticket.generation, one.number()) > (than.generation, other.number()),
    }
}

/// Whether who has come so stays out of a pool that comes back as this says.
fn stays_out(come: &Come, base: &State) -> bool {
    let is_of_era = come.era == base.epoch.era() && come.number >= base.purged;
    // Who was there when the era began, and has not heard of it yet; if nobody was sent away since then.
    let was_there = base.purged == 0 && base.base == Epoch::new(come.era, come.number);
    come.sent_away || !is_of_era && !was_there
}

impl Come {
    fn by(member: Member, state: &State) -> Self {
        Self { member, era: state.epoch.era(), number: state.epoch.number(), sent_away: false }
    }
}

impl Recovery {
    /// Of a pool whose first ticket is shown now.
    pub(super) fn new(now: Instant, limits: &Limits) -> Self {
        let publish = now + limits.interval + limits.interval;
        let until = publish.max(now + limits.timeout.max(HOLDS));
        Self { publish, until, due: publish, base: None, offers: Vec::new(), come: Vec::new() }
    }

    pub(super) fn offered(&mut self, offered: Offered) {
        self.offers.push(offered);
    }

    /// An offer is void.
    pub(super) fn withdraw(&mut self, handle: u32) {
        self.offers.retain(|offered| offered.handle != handle);
    }

    /// Whether the ticket of this member can't bring it back.
    pub(super) fn is_out(&self, member: Member, state: &State) -> bool {
        let sent_away = self.come.iter().any(|come| come.member == member && come.sent_away);
        let is_out = |base: &State| !is_later(state, base) && stays_out(&Come::by(member, state), base);
        sent_away || self.base.is_some_and(|base| is_out(&base))
    }

    /// The host sends a member away.
    pub(super) fn send_away(&mut self, member: Member) {
        for come in self.come.iter_mut().filter(|come| come.member == member) {
            come.sent_away = true;
        }
    }

    fn has_come(&mut self, come: Come) {
        self.come.retain(|other| other.member != come.member);
        self.come.push(come);
    }

    fn is_complete(&self) -> bool {
        self.base.is_some_and(|base| self.come.len() >= usize::from(base.count.get()))
    }
}

impl Native {
    /// A pool's recovery, if it lasts.
    pub(super) fn recovery_of(&mut self, place: u32) -> Option<&mut Recovery> {
        self.pools.get_mut(place)?.recovery.as_deref_mut()
    }

    /// Why nothing can be asked of a pool that is coming back.
    pub(super) fn recovering(&self, desk: &Desk<'_>, pool: &Pool) -> Refusal {
        let due = pool.recovery.as_ref().map_or(desk.now, |recovery| recovery.due);
        Refusal::Recovering { wait: millis(due.saturating_duration_since(desk.now)).max(1) }
    }

    /// Somebody new is a member of a pool that was published while its recovery lasts. If another base comes, it is none.
    pub(super) fn joined_in_recovery(&mut self, place: u32, member: Option<Member>) {
        let Some(pool) = self.pools.get_mut(place) else { return };
        let (era, number) = (pool.era, pool.number);
        if let Some((recovery, member)) = pool.recovery.as_deref_mut().zip(member) {
            recovery.has_come(Come { member, era, number, sent_away: false });
        }
    }

    /// A member comes by its ticket whom the pool doesn't have.
    pub(super) fn arrive(&mut self, desk: &mut Desk<'_>, place: u32, handle: u32) {
        let Some((at, member)) =
            self.places.get(handle).and_then(|new| Some((new.address.told(), new.member()?)))
        else {
            return;
        };
        let is_full = self.pools.get(place).is_none_or(|pool| pool.count >= Seats::MAX);
        let ticket = self.recovery_of(place).and_then(|recovery| {
            let at = recovery.offers.iter().position(|offered| offered.handle == handle)?;
            let ticket = recovery.offers.swap_remove(at);
            (!recovery.is_out(member, &ticket.state)).then_some(ticket)
        });
        let Some(ticket) = ticket.filter(|_| !is_full) else { return self.withdraw(handle) };
        self.close_offer(handle);
        self.withdraw_returns(place, member.get(), |_| true);
        self.replace(desk, place, at, handle);
        self.make_member(desk, handle);
        desk.stats.members_returned += 1;
        let Some(recovery) = self.recovery_of(place) else { return };
        recovery.has_come(Come::by(member, &ticket.state));
        if recovery.base.is_none_or(|base| is_later(&ticket.state, &base)) {
            self.rebase(place, ticket);
        } else if self.is_live(place) {
            if let Some(pool) = self.pools.get_mut(place) {
                pool.next = pool.next.max(member.get().saturating_add(1));
            }
            self.note_joined(desk, handle);
            return self.settle(desk, place, at, false);
        }
        let now = desk.now;
        if self.recovery_of(place).is_some_and(|it| it.is_complete() || it.publish.is_due(now)) {
            self.restore(desk, place, at);
        }
    }

    /// A ticket is the base of a pool now, from which nothing is published until it is back.
    fn rebase(&mut self, place: u32, ticket: Offered) {
        self.take_news(place);
        self.fresh.clear();
        let Some(pool) = self.pools.get_mut(place) else { return };
        pool.phase = Phase::Recovering;
        pool.spec = *ticket.spec;
        let Some(recovery) = pool.recovery.as_deref_mut() else { return };
        recovery.base = Some(ticket.state);
        let out = |come: &Come| stays_out(come, &ticket.state);
        let away: Vec<Member> =
            recovery.come.iter().filter(|come| out(come)).map(|come| come.member).collect();
        recovery.come.retain(|come| !out(come) || come.sent_away);
        // Nobody joins meanwhile.
        let mut next = pool.offers;
        while let Some(offer) = self.places.get(next) {
            let handle = core::mem::replace(&mut next, offer.next);
            if offer.standing == Standing::Joining {
                self.withdraw(handle);
            }
        }
        for member in away {
            if let Some(handle) = self.find_member(place, member) {
                self.take_out(handle);
            }
        }
    }

    /// A pool is published, in a new era.
    fn restore(&mut self, desk: &mut Desk<'_>, place: u32, host: SocketAddr) {
        let Some(pool) = self.pools.get(place) else { return };
        let Some(base) = pool.recovery.as_ref().and_then(|recovery| recovery.base) else { return };
        let found = self.find_member(place, base.host).unwrap_or(NONE);
        let highest = self.places.get(pool.last).map_or(0, |last| last.number);
        let Some(pool) = self.pools.get_mut(place) else { return };
        pool.phase = Phase::Live;
        // The first epoch is published in a moment.
        (pool.era, pool.number, pool.purged) = (self.eras.next(), 0, 0);
        // Higher than any it had: of its eras here the last one counts.
        pool.generation = base.generation.max(pool.generation).saturating_add(1);
        pool.base = Some(base.epoch);
        (pool.host, pool.term) = (found, base.term.get());
        pool.next = base.next.get().max(highest.saturating_add(1));
        let (name, members) = (pool.name(), pool.count);
        debug!(pool = %pool.id, members, "a pool is back");
        desk.stats.pools_restored += 1;
        desk.answers.tell(BroadcasterEvent::PoolRestored { pool: name, members });
        self.settle(desk, place, host, false);
        // What happens next is told by an epoch of its own: this one has no changes.
        if let Some(pool) = self.pools.get_mut(place) {
            pool.shown = true;
        }
    }

    /// It was waited for long enough: the pool is published with those who have come. And then once more: from now on
    /// tickets hold as those of any pool.
    pub(super) fn recovery_is_due(&mut self, desk: &mut Desk<'_>, place: u32) {
        let Some(pool) = self.pools.get_mut(place) else { return };
        let Some(recovery) = pool.recovery.as_deref_mut() else { return };
        self.recoveries.remove(&(recovery.due, place));
        let is_over = recovery.due >= recovery.until;
        if !is_over {
            recovery.due = recovery.until;
            self.recoveries.insert((recovery.until, place));
        }
        let is_published = pool.phase == Phase::Live;
        match self.places.get(pool.first).map(|place| place.address.told()) {
            Some(first) if !is_published => self.restore(desk, place, first),
            None if is_over => return self.dissolve(place),
            _ => {}
        }
        if is_over {
            self.recovery_is_over(desk, place);
        }
    }

    fn recovery_is_over(&mut self, desk: &mut Desk<'_>, place: u32) {
        let Some(pool) = self.pools.get_mut(place).filter(|pool| pool.phase == Phase::Live) else { return };
        pool.recovery = None;
        let mut next = pool.offers;
        while let Some(offer) = self.places.get(next) {
            let handle = core::mem::replace(&mut next, offer.next);
            if offer.standing == Standing::Coming {
                self.withdraw(handle);
                desk.stats.offers_void += 1;
            }
        }
    }
}
