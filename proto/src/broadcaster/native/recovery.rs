//! How a pool comes back of which only its members know (PROTOCOL.md, section 7.2).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Native;
use super::desk::Desk;
use super::ended::Early;
use super::lineage::{Base, is_later};
use super::places::{NONE, Place, Places, Standing};
use super::pools::{Phase, Pool};
use super::requests::millis;
use super::sent_away::SentAway;
use crate::Instant;
use crate::broadcaster::{BroadcasterEvent, Limits};
use crate::log::debug;
use crate::wire::native::{
    EndReason, Epoch, LeaveReason, Member, PoolSpec, Refusal, Seats, Session, State, Ticket,
};

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
    by: Epoch,
    /// It joined what was published, without a ticket.
    guest: bool,
}

/// How long tickets hold at least, and two intervals more. Members whose broadcasters were all away ask each for 2 s, of four at
/// the most, and rest for an interval and a quarter.
const HOLDS: Duration = Duration::from_secs(8);
/// Who asks for a pool that is coming back is to ask again after no longer than that.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// So many eras that ended in a recovery are remembered, the latest: each fell silent before the next was published.
pub(super) const ERAS: usize = 16;

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
    offers: BTreeMap<(Member, Session), Offered>,
    /// Those who have come, but for who has left again and didn't know the pool just as it is brought back.
    come: Vec<Come>,
    away: Option<SentAway>,
    /// The recovery in which the pool has ended, which would last still.
    before: Option<Box<Early>>,
}

/// Whether a ticket is none of who was in a pool that comes back, or came back, as this says; and is no higher base.
pub(super) fn is_of_another(ticket: &State, base: &State) -> bool {
    !is_later(ticket, base) && stays_out(&Come::by(base.host, ticket), base)
}

/// Whether who has come so stays out of a pool that comes back as this says.
fn stays_out(come: &Come, base: &State) -> bool {
    let is_of_era = come.by.era() == base.epoch.era() && come.by.number() >= base.purged;
    // Who was there when the era began, and has not heard of it yet; if nobody was sent away since then.
    let was_there = base.purged == 0 && base.base == Some(come.by);
    !is_of_era && !was_there
}

impl Come {
    const fn by(member: Member, state: &State) -> Self {
        Self { member, by: state.epoch, guest: false }
    }
}

impl Recovery {
    /// Of a pool whose first ticket is shown now, and which may have ended here early.
    pub(super) fn new(now: Instant, limits: &Limits, early: Option<&Early>) -> Self {
        let publish = now + limits.interval + limits.interval;
        let until = (publish + HOLDS).max(now + limits.timeout);
        let mut before = early.cloned().map(Box::new);
        Self {
            publish,
            until,
            due: publish,
            base: None,
            offers: BTreeMap::new(),
            come: Vec::new(),
            away: before.as_mut().and_then(|before| before.away.take()),
            before,
        }
    }

    /// What is offered for tickets of this member and session.
    pub(super) fn offered(&mut self, ticket: (Member, Session), offered: Offered) {
        self.offers.insert(ticket, offered);
    }

    /// That is void.
    pub(super) fn withdraw(&mut self, ticket: (Member, Session)) {
        self.offers.remove(&ticket);
    }

    /// The recovery before, if this era was published in it.
    fn before(&self, era: u64) -> Option<&Early> {
        self.before.as_deref().filter(|before| before.eras.iter().any(|(of, _)| *of == era))
    }

    /// Whether a ticket is to be the base, rather than the one that is. What was published in the recovery before, and ended in it,
    /// has gone on behind nothing: to others it is what it was brought back from.
    fn is_to_be_base(&self, state: &State) -> bool {
        let before = |base: &State| {
            self.before(base.epoch.era())
                .filter(|_| self.before(state.epoch.era()).is_none())
                .map(|it| it.base)
        };
        self.base.is_none_or(|base| is_later(state, &before(&base).unwrap_or(base)))
    }

    /// Whether the ticket of this member can't bring it back.
    pub(super) fn is_out(&self, member: Member, state: &State) -> bool {
        self.away.as_ref().is_some_and(|away| away.bars(member, state))
            || !self.is_to_be_base(state)
                && self.base.is_some_and(|base| stays_out(&Come::by(member, state), &base))
    }

    /// The host sends a member away.
    pub(super) fn send_away(&mut self, member: Member, host: Member) {
        // The numbers of guests may be others' in a higher base.
        let come = self.come.iter().find(|come| come.member == member && !come.guest);
        if let Some((base, come)) = self.base.zip(come) {
            self.away.get_or_insert_with(|| SentAway::none(base)).note((member, come.by), host);
        }
    }

    /// Of how many something is kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.come.len()
    }

    /// Somebody is a member no longer.
    pub(super) fn has_left(&mut self, member: Member) {
        let base = self.base.map(|base| base.epoch);
        self.come.retain(|come| come.member != member || !come.guest && Some(come.by) == base);
    }

    /// What is to be known of it if its pool ends now, which was published in that era from there, and whose last member fell
    /// silent or didn't.
    pub(super) fn early(&self, era: u64, from: Option<Base>, silent: Option<u32>) -> Option<Early> {
        let base = self.base?;
        let before = self.before(base.epoch.era());
        let mut eras = before.map_or(Vec::new(), |before| before.eras.clone());
        let came = from.filter(|from| from.epoch == base.epoch);
        if came.is_some() {
            eras.push((era, silent));
            eras.drain(..eras.len().saturating_sub(ERAS));
        }
        let base = before.map_or(base, |before| before.base);
        Some(Early { base, until: self.until, away: self.away.clone(), eras, came })
    }

    fn has_come(&mut self, come: Come) {
        self.come.retain(|other| other.member != come.member);
        self.come.push(come);
    }

    /// Whether nobody is waited for: as many have come as there were, and the host. Without it others count for who is still
    /// to come, such as one who had left.
    fn is_complete(&self) -> bool {
        self.base.is_some_and(|base| {
            let come = self.come.iter().filter(|come| !stays_out(come, &base)).count();
            come >= usize::from(base.count.get()) && self.come.iter().any(|come| come.member == base.host)
        })
    }

    /// Those who have come and knew the pool just as it is brought back.
    fn exact(&self) -> impl Iterator<Item = Member> + '_ {
        let base = self.base.map(|base| base.epoch);
        self.come.iter().filter(move |come| Some(come.by) == base).map(|come| come.member)
    }

    /// How many these are: see [`State::came`].
    fn came(&self) -> u16 {
        let most = self.base.filter(|base| base.base.is_some()).map_or(u16::MAX, |base| base.came);
        // Of two eras that were published of one base in one recovery the later one is.
        let before = self.before.as_ref().and_then(|before| before.came);
        let before =
            before.filter(|it| self.base.is_some_and(|base| base.epoch == it.epoch)).map_or(0, |it| it.came);
        u16::try_from(self.exact().count()).unwrap_or(u16::MAX).max(before).min(most)
    }
}

/// The members from this place on.
fn there(places: &Places, first: u32) -> BTreeSet<Member> {
    core::iter::successors(places.get(first), |place| places.get(place.next))
        .filter_map(Place::member)
        .collect()
}

impl Native {
    /// A pool's recovery, if it lasts.
    pub(super) fn recovery_of(&mut self, place: u32) -> Option<&mut Recovery> {
        self.pools.get_mut(place)?.recovery.as_deref_mut()
    }

    /// Why nothing can be asked of a pool that is coming back. Most are back long before their time is over, and who asks is
    /// to be in soon then.
    pub(super) fn recovering(&self, desk: &Desk<'_>, pool: &Pool) -> Refusal {
        let due = pool.recovery.as_ref().map_or(desk.now, |recovery| recovery.due);
        let left = due.saturating_duration_since(desk.now).min(LONGEST_WAIT);
        Refusal::Recovering { wait: millis(left).max(1) }
    }

    /// Somebody new is a member of a pool that was published while its recovery lasts. If another base comes, it is none.
    pub(super) fn joined_in_recovery(&mut self, place: u32, member: Option<Member>) {
        let Some(pool) = self.pools.get_mut(place) else { return };
        let come = pool.epoch().zip(member).map(|(by, member)| Come { member, by, guest: true });
        if let Some((recovery, come)) = pool.recovery.as_deref_mut().zip(come) {
            recovery.has_come(come);
        }
    }

    /// Whether a ticket is to be the base of a pool that is coming back.
    pub(super) fn is_to_be_base(&self, place: u32, ticket: &Ticket) -> bool {
        let recovery = self.pools.get(place).and_then(|pool| pool.recovery.as_ref());
        recovery.is_some_and(|recovery| recovery.is_to_be_base(&ticket.state))
    }

    /// Withdraws what is offered for tickets of this member and session.
    pub(super) fn withdraw_coming(&mut self, place: u32, ticket: (Member, Session)) {
        let offered = self.recovery_of(place).and_then(|recovery| recovery.offers.get(&ticket));
        if let Some(handle) = offered.map(|offered| offered.handle) {
            self.withdraw(handle);
        }
    }

    /// Somebody comes by the ticket that a place was offered for.
    pub(super) fn arrive(&mut self, desk: &mut Desk<'_>, place: u32, handle: u32) {
        let Some(new) = self.places.get(handle) else { return };
        let at = new.address.told();
        let Some((member, session)) = new.ticket() else { return };
        let is_taken = self.find_member(place, member).is_some();
        let ticket = self.recovery_of(place).and_then(|recovery| {
            let ticket = recovery.offers.remove(&(member, session))?;
            let is_base = recovery.is_to_be_base(&ticket.state);
            let is_in = !recovery.is_out(member, &ticket.state) && (!is_taken || is_base);
            is_in.then_some((ticket, is_base))
        });
        let Some((ticket, is_base)) = ticket else { return self.withdraw(handle) };
        self.close_offer(handle);
        self.replace(desk, place, at, handle);
        let state = ticket.state;
        if is_base {
            self.rebase(desk, place, ticket);
            // Who came by another ticket of the same member.
            if let Some(gone) = self.find_member(place, member).and_then(|other| self.take_out(other)) {
                gone.tell(desk, EndReason::Replaced);
            }
        }
        if !self.has_seat(desk, place, &state) {
            return self.release(handle);
        }
        self.make_member(desk, handle);
        desk.stats.members_returned += 1;
        let Some(recovery) = self.recovery_of(place) else { return };
        recovery.has_come(Come::by(member, &state));
        if self.is_live(place) {
            let came = self.recovery_of(place).map_or(0, |recovery| recovery.came());
            if let Some(pool) = self.pools.get_mut(place) {
                pool.came = came;
            }
            self.note_joined(desk, handle);
            return self.settle(desk, place, at, false);
        }
        let now = desk.now;
        if self.recovery_of(place).is_some_and(|it| it.is_complete() || it.publish.is_due(now)) {
            self.restore(desk, place, at);
        }
    }

    /// Whether a pool can have one more member, who comes with this: for who knew it just as it is brought back another makes way.
    fn has_seat(&mut self, desk: &mut Desk<'_>, place: u32, by: &State) -> bool {
        let Some(pool) = self.pools.get(place) else { return false };
        let base = pool.recovery.as_ref().and_then(|recovery| recovery.base);
        let knew = base.is_some_and(|base| base.epoch == by.epoch);
        pool.count < Seats::MAX || knew && self.make_way(desk, place)
    }

    /// The last member that didn't know a pool just as it is brought back makes way, if there is one: it may have left before.
    fn make_way(&mut self, desk: &mut Desk<'_>, place: u32) -> bool {
        let Some(pool) = self.pools.get(place) else { return false };
        let is_live = pool.phase == Phase::Live;
        let knew: BTreeSet<Member> = pool.recovery.iter().flat_map(|recovery| recovery.exact()).collect();
        let stays = |other: &&Place| other.member().is_some_and(|member| knew.contains(&member));
        let mut last = pool.last;
        while let Some(other) = self.places.get(last).filter(stays) {
            last = other.prev;
        }
        let Some(at) = self.places.get(last).map(|other| other.address.told()) else { return false };
        let Some(gone) = self.take_out(last) else { return false };
        if is_live {
            self.note_left(desk, place, gone.member, at, LeaveReason::Replaced);
        }
        gone.tell(desk, EndReason::Replaced);
        true
    }

    /// A ticket is the base of a pool now, from which nothing is published until it is back.
    fn rebase(&mut self, desk: &Desk<'_>, place: u32, ticket: Offered) {
        self.take_news(place);
        self.fresh.clear();
        let Some(pool) = self.pools.get_mut(place) else { return };
        pool.phase = Phase::Recovering;
        pool.spec = *ticket.spec;
        let Some(recovery) = pool.recovery.as_deref_mut() else { return };
        recovery.base = Some(ticket.state);
        // Its members, and its host above all, may be on their way still.
        self.recoveries.remove(&(recovery.due, place));
        recovery.publish = (desk.now + desk.limits.interval + desk.limits.interval).min(recovery.until);
        recovery.due = recovery.publish;
        self.recoveries.insert((recovery.due, place));
        self.due = self.due.min(recovery.due);
        let free = recovery.away.as_mut().map_or(Vec::new(), |away| away.rebase(&ticket.state));
        let base = Some(ticket.state.epoch);
        let places = &self.places;
        let there: BTreeSet<Member> = there(places, pool.first);
        let out: Vec<Member> = recovery
            .come
            .iter()
            .filter(|come| {
                let has_left = Some(come.by) != base && !there.contains(&come.member);
                come.guest || has_left || stays_out(come, &ticket.state) || free.contains(&come.member)
            })
            .map(|come| come.member)
            .collect();
        recovery.come.retain(|come| !out.contains(&come.member));
        // Nobody joins meanwhile.
        self.withdraw_all(place, |offer| offer.standing == Standing::Joining);
        for member in out {
            if let Some(handle) = self.find_member(place, member) {
                self.take_out(handle);
            }
        }
    }

    /// A pool is published, in a new era.
    fn restore(&mut self, desk: &mut Desk<'_>, place: u32, host: SocketAddr) {
        let Some(pool) = self.pools.get(place) else { return };
        let Some(base) = pool.recovery.as_ref().and_then(|recovery| recovery.base) else { return };
        let came = pool.recovery.as_ref().map_or(0, |recovery| recovery.came());
        let away = pool.recovery.as_ref().and_then(|recovery| recovery.away.as_ref());
        let kicked = away.is_some_and(|away| !away.is_empty());
        let knew: BTreeSet<Member> =
            pool.recovery.as_ref().map(|recovery| recovery.exact().collect()).unwrap_or_default();
        let found = self.find_member(place, base.host).unwrap_or(NONE);
        let mut there = knew.into_iter().filter_map(|heir| self.find_member(place, heir));
        let heir = there.next().filter(|_| found == NONE);
        let Some(pool) = self.pools.get_mut(place) else { return };
        pool.phase = Phase::Live;
        // The first epoch is published in a moment.
        (pool.era, pool.number, pool.purged) = (self.eras.next(), 0, 0);
        // Higher than any it had: of its eras here the last one counts.
        pool.generation = base.generation.max(pool.generation).saturating_add(1);
        pool.base = Some(base.epoch);
        (pool.host, pool.term) = (found, base.term.get());
        (pool.next, pool.came) = (base.next.get(), came);
        let (name, members, ends) = (pool.name(), pool.count, pool.spec.as_spec().ends_with_host());
        debug!(pool = %pool.id, members, "a pool is back");
        desk.stats.pools_restored += 1;
        desk.answers.tell(BroadcasterEvent::PoolRestored { pool: name, members });
        // Who may have left before is host only if there is nobody else.
        if let Some(heir) = heir.filter(|_| !ends) {
            self.set_host(desk, place, heir, base.term.get().saturating_add(1));
        }
        self.settle(desk, place, host, kicked);
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
        let Some(pool) = self.pools.get_mut(place) else { return };
        pool.recovery = None;
        desk.stats.offers_void += self.withdraw_all(place, |offer| offer.standing == Standing::Coming);
    }
}
