//! What members order (PROTOCOL.md, section 5).

use super::Native;
use super::admission::{allows, allows_about};
use super::desk::Desk;
use super::pages::Speaker;
use super::places::{Place, Standing};
use super::pools::Phase;
use super::requests::millis;
use crate::broadcaster::sources::Source;
use crate::wire::canonical;
use crate::wire::native::{About, Act, Change, EndReason, LeaveReason, Member, PoolSpec, Refusal, Spec};

impl Native {
    /// Carries out an order, and says what came of it.
    pub(super) fn order(&mut self, desk: &mut Desk<'_>, speaker: &Speaker, act: &Act<'_>) {
        let may = match act {
            // Who goes is let go, and nobody of the host's source keeps it from sending him away.
            Act::Leave | Act::Close | Act::Kick(_) => Ok(()),
            Act::About(_) | Act::Change(_) | Act::Hand(_) | Act::Ping(_) | Act::Ask(_) | Act::Move(_) => {
                let source = self.places.get(speaker.handle).map(Place::source);
                source.map_or(Ok(()), |source| self.may_change(desk, source))
            }
        };
        let outcome = may.and_then(|()| self.carry_out(desk, speaker, act));
        match outcome {
            Ok(()) => desk.stats.orders += 1,
            Err(refusal) => desk.stats.count(refusal),
        }
        if let Some(place) = self.places.get_mut(speaker.handle).filter(|place| place.is_somebodys()) {
            place.outcome = outcome;
        }
        self.done(desk, speaker, outcome);
    }

    /// Whether a member at this source may change what all are told. It counts for the source's rate as a request does, for it
    /// draws as much: a datagram for each member.
    pub(super) fn may_change(&mut self, desk: &Desk<'_>, source: Source) -> Result<(), Refusal> {
        let Some(asked) = self.rates.of(source) else { return Ok(()) };
        if self.requests.take(&mut asked.spent, desk.now) {
            return Ok(());
        }
        Err(Refusal::Busy { wait: millis(self.requests.wait(asked.spent, desk.now)) })
    }

    fn carry_out(&mut self, desk: &mut Desk<'_>, speaker: &Speaker, act: &Act<'_>) -> Result<(), Refusal> {
        // Nobody orders whose place is nobody's.
        let over = Refusal::Stale;
        let place = self.pool_of(speaker.handle).ok_or(over)?;
        let pool = self.pools.get(place).ok_or(over)?;
        if pool.phase == Phase::Recovering && *act != Act::Leave {
            return Err(self.recovering(desk, pool));
        }
        let is_host = pool.host == speaker.handle;
        match act {
            Act::Leave => {
                self.leave(desk, speaker.handle, LeaveReason::Left);
                Ok(())
            }
            Act::About(about) => self.set_about(desk, place, speaker.handle, *about),
            Act::Change(_) | Act::Kick(_) | Act::Hand(_) | Act::Close if !is_host => Err(Refusal::NotHost),
            Act::Change(spec) => self.set_spec(desk, place, spec),
            Act::Kick(member) => self.kick(desk, place, speaker.handle, *member),
            Act::Hand(member) => self.hand(desk, place, *member),
            Act::Close => {
                let host = self.places.get(speaker.handle).map(|place| place.address.told());
                self.end(desk, place, host.unwrap_or_else(|| canonical(speaker.from)), Some(speaker.handle));
                Ok(())
            }
            Act::Ping(_) | Act::Ask(_) | Act::Move(_) => Ok(()),
        }
    }

    fn set_about(
        &mut self,
        desk: &mut Desk<'_>,
        pool: u32,
        handle: u32,
        about: About<'_>,
    ) -> Result<(), Refusal> {
        allows_about(desk, about)?;
        let Some(place) = self.places.get_mut(handle).filter(|place| *place.about != *about.get()) else {
            return Ok(());
        };
        place.about = about.get().into();
        if let Some(member) = place.member() {
            self.fresh.push(&Change::About { member, about });
        }
        self.publish(desk, pool, false);
        Ok(())
    }

    fn set_spec(&mut self, desk: &mut Desk<'_>, place: u32, spec: &Spec<'_>) -> Result<(), Refusal> {
        allows(desk, spec)?;
        let Some(pool) = self.pools.get_mut(place).filter(|pool| pool.spec.as_spec() != *spec) else {
            return Ok(());
        };
        pool.spec = PoolSpec::from(*spec);
        self.fresh.push(&Change::Spec(*spec));
        self.publish(desk, place, false);
        Ok(())
    }

    fn kick(&mut self, desk: &mut Desk<'_>, pool: u32, host: u32, member: Member) -> Result<(), Refusal> {
        let by = self.places.get(host).and_then(Place::member);
        let found = self.find_member(pool, member).filter(|found| *found != host);
        let source = found.and_then(|found| self.places.get(found)).map(Place::source);
        if let Some((recovery, by)) = self.recovery_of(pool).zip(by.filter(|_| found.is_some())) {
            recovery.send_away(member, by);
        }
        let gone = found.and_then(|found| self.leave(desk, found, LeaveReason::Kicked));
        let gone = gone.ok_or(Refusal::NoSuchMember)?;
        gone.tell(desk, EndReason::Kicked);
        // Nor does it come in again by what was offered to it before.
        let is_its = |offer: &Place| offer.standing == Standing::Joining && Some(offer.source()) == source;
        desk.stats.offers_void += self.withdraw_all(pool, is_its);
        Ok(())
    }

    fn hand(&mut self, desk: &mut Desk<'_>, place: u32, member: Member) -> Result<(), Refusal> {
        let heir = self.find_member(place, member).ok_or(Refusal::NoSuchMember)?;
        let pool = self.pools.get(place).filter(|pool| pool.host != heir);
        if let Some(term) = pool.map(|pool| pool.term.saturating_add(1)) {
            self.set_host(desk, place, heir, term);
            self.publish(desk, place, false);
        }
        Ok(())
    }

    /// Whether this place is somebody's still.
    pub(super) fn speaks(&self, handle: u32) -> bool {
        self.places.get(handle).is_some_and(Place::is_somebodys)
    }
}
