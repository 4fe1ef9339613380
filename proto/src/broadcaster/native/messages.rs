//! What members say (PROTOCOL.md, section 5).

use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use super::pages::Speaker;
use super::places::Standing;
use super::pools::Phase;
use crate::broadcaster::sources::Source;
use crate::wire::canonical;
use crate::wire::native::{Act, Address, Change, Cookie, Epoch, Fault, Member, PAGES, UnverifiedMessage};

impl Native {
    /// Something came that says it is of a member.
    #[inline]
    pub(super) fn message(&mut self, desk: &mut Desk<'_>, from: SocketAddr, message: &UnverifiedMessage<'_>) {
        let (handle, count) = (message.handle(), message.count());
        let Some(place) = self.places.get_mut(handle.0).filter(|place| place.is_somebodys()) else {
            return self.unknown(desk, from, handle, count);
        };
        let act = match message.verify(&place.key) {
            Ok(message) => message.act,
            Err(Fault::WrongTag) => return self.unknown(desk, from, handle, count),
            Err(_) => {
                desk.stats.dropped_malformed += 1;
                return;
            }
        };
        let last = if act.is_order() { &mut place.order } else { &mut place.count };
        let again = count == *last && act.is_order() && count != 0;
        if count <= *last && !again {
            desk.stats.dropped_replayed += 1;
            return;
        }
        let at_home = place.address.is(from);
        let speaker = Speaker { handle: handle.0, count, from, at_home, key: place.key };
        if again {
            // It counts for no rate: whoever has seen it can send it again, and would silence its member.
            let outcome = place.outcome;
            return self.done(desk, &speaker, outcome);
        }
        if !self.messages.take(&mut place.spent, desk.now) {
            desk.stats.dropped_too_fast += 1;
            return;
        }
        *last = count;
        if place.standing == Standing::Member {
            // Whoever speaks from elsewhere has not shown that anybody is at the member's address.
            if at_home {
                place.heard = desk.now;
            }
        } else if !self.take_offer(desk, handle.0) {
            // If the pool ended by it, he is told that.
            if self.places.get(handle.0).is_none_or(|place| place.standing != Standing::Over) {
                self.unknown(desk, from, handle, count);
            }
            return;
        }
        match act {
            Act::Ping(epoch) => self.ping(desk, &speaker, epoch),
            Act::Ask(from) => self.ask(desk, &speaker, from),
            Act::Move(cookie) => self.move_there(desk, &speaker, cookie),
            Act::Leave | Act::About(_) | Act::Change(_) | Act::Kick(_) | Act::Hand(_) | Act::Close => {
                self.order(desk, &speaker, &act);
            }
        }
    }

    #[inline]
    fn ping(&mut self, desk: &mut Desk<'_>, speaker: &Speaker, epoch: Option<Epoch>) {
        desk.stats.pings += 1;
        let Some(place) = self.places.get_mut(speaker.handle) else { return };
        place.named |= epoch.is_some();
        let Some(pool) = self.pools.get(place.pool) else { return };
        if pool.phase == Phase::Live && pool.epoch() != epoch {
            self.pages(desk, speaker, None, 1);
        } else {
            self.pong(desk, speaker);
        }
    }

    fn ask(&mut self, desk: &mut Desk<'_>, speaker: &Speaker, from: Option<Member>) {
        if self.pool_of(speaker.handle).is_some_and(|pool| self.is_live(pool)) {
            self.pages(desk, speaker, from, PAGES);
        } else if speaker.at_home {
            desk.stats.dropped_recovering += 1;
        } else {
            self.ask_for_proof(desk, speaker);
        }
    }

    /// Of a place that is somebody's.
    pub(super) fn pool_of(&self, handle: u32) -> Option<u32> {
        self.places.get(handle).map(|place| place.pool)
    }

    fn move_there(&mut self, desk: &mut Desk<'_>, speaker: &Speaker, cookie: Cookie) {
        let at = Address::new(speaker.from);
        if !at.is_some_and(|at| self.cookies.holds(desk, Some(cookie), at)) {
            return self.ask_for_proof(desk, speaker);
        }
        let Some(pool) = self.pool_of(speaker.handle) else { return };
        if !speaker.at_home {
            if at.is_some_and(|at| self.may_change(desk, Source::of(at.get().ip())).is_err()) {
                desk.stats.dropped_busy += 1;
                return;
            }
            self.relocate(desk, speaker.handle, speaker.from);
            self.settle(desk, pool, canonical(speaker.from), false);
        }
        if let Some(place) = self.places.get_mut(speaker.handle) {
            place.heard = desk.now;
        }
        let speaker = Speaker { at_home: true, ..*speaker };
        if self.is_live(pool) {
            self.pages(desk, &speaker, None, 1);
        } else if self.speaks(speaker.handle) {
            // There is no page before the pool is back.
            self.pong(desk, &speaker);
        }
    }

    /// A member is at another address now. Whoever was there is replaced. The pool is to be settled then.
    pub(super) fn relocate(&mut self, desk: &mut Desk<'_>, handle: u32, from: SocketAddr) {
        let to = canonical(from);
        let Some(place) = self.places.get(handle) else { return };
        let (pool, was, Some(member)) = (place.pool, place.address.told(), place.member()) else { return };
        self.replace(desk, pool, to, handle);
        self.by_address.remove(pool, was, false);
        // Who was to have its place there needs a seat of its own.
        self.unseat(pool, was);
        if let Some(place) = self.places.get(handle) {
            self.sources.take(place.source());
        }
        self.places.set_address(handle, from);
        if let Some(place) = self.places.get(handle) {
            self.sources.add(place.source());
        }
        self.by_address.set(pool, to, false, handle);
        if let Some(address) = Address::new(to).filter(|_| self.is_live(pool)) {
            self.fresh.push(&Change::Moved { member, address });
        }
    }
}
