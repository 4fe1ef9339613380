//! Lists of places: the rosters of pools, ordered by numbers, and their offers.

use super::Native;
use super::places::{NONE, Place};
use super::pools::Phase;
use crate::wire::native::Member;

impl Native {
    /// Puts a member's place into the roster, behind those of lower numbers.
    pub(super) fn enter(&mut self, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        let (pool, number) = (place.pool, place.number);
        let Some(pool) = self.pools.get_mut(pool) else { return };
        // Mostly it is the highest.
        let mut prev = pool.last;
        while let Some(higher) = self.places.get(prev).filter(|other| other.number > number) {
            prev = higher.prev;
        }
        let next = match self.places.get_mut(prev) {
            Some(before) => core::mem::replace(&mut before.next, handle),
            None => core::mem::replace(&mut pool.first, handle),
        };
        match self.places.get_mut(next) {
            Some(behind) => behind.prev = handle,
            None => pool.last = handle,
        }
        if let Some(place) = self.places.get_mut(handle) {
            (place.prev, place.next) = (prev, next);
        }
        pool.count = pool.count.saturating_add(1);
        self.members += 1;
    }

    /// Takes a member's place out of the roster.
    pub(super) fn unlink(&mut self, handle: u32) {
        let Some(place) = self.places.get_mut(handle) else { return };
        let (prev, next) = (place.prev, place.next);
        (place.prev, place.next) = (NONE, NONE);
        let Some(pool) = self.pools.get_mut(place.pool) else { return };
        match self.places.get_mut(prev) {
            Some(before) => before.next = next,
            None => pool.first = next,
        }
        match self.places.get_mut(next) {
            Some(behind) => behind.prev = prev,
            None => pool.last = prev,
        }
        if let Some(news) = &mut pool.news {
            news.skip(handle, next);
        }
        if pool.host == handle {
            pool.host = NONE;
        }
        pool.count = pool.count.saturating_sub(1);
        self.members -= 1;
    }

    /// Puts an offer before those of its pool.
    pub(super) fn link_offer(&mut self, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        let Some(pool) = self.pools.get_mut(place.pool) else { return };
        let next = core::mem::replace(&mut pool.offers, handle);
        if let Some(behind) = self.places.get_mut(next) {
            behind.prev = handle;
        }
        if let Some(place) = self.places.get_mut(handle) {
            (place.prev, place.next) = (NONE, next);
        }
    }

    /// Takes an offer out of those of its pool.
    pub(super) fn unlink_offer(&mut self, handle: u32) {
        let Some(place) = self.places.get_mut(handle) else { return };
        let (prev, next) = (place.prev, place.next);
        (place.prev, place.next) = (NONE, NONE);
        let Some(pool) = self.pools.get_mut(place.pool) else { return };
        match self.places.get_mut(prev) {
            Some(before) => before.next = next,
            None => pool.offers = next,
        }
        if let Some(behind) = self.places.get_mut(next) {
            behind.prev = prev;
        }
    }

    /// The places from this one on, with their handles.
    pub(super) fn from(&self, first: u32) -> impl Iterator<Item = (u32, &Place)> {
        let mut handle = first;
        core::iter::from_fn(move || {
            let place = self.places.get(handle)?;
            Some((core::mem::replace(&mut handle, place.next), place))
        })
    }

    /// The place of the member of this number.
    pub(super) fn find_member(&self, pool: u32, member: Member) -> Option<u32> {
        let roster = self.from(self.pools.get(pool)?.first);
        let mut not_lower = roster.skip_while(|(_, place)| place.number < member.get());
        not_lower.next().filter(|(_, place)| place.number == member.get()).map(|(handle, _)| handle)
    }

    /// Whether something was published of the pool that may be told, and it is there.
    pub(super) fn is_live(&self, pool: u32) -> bool {
        self.pools.get(pool).is_some_and(|pool| pool.phase == Phase::Live)
    }
}
