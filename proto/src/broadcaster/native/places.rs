//! The places of clients at this broadcaster: what a handle leads to.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU64;
use core::time::Duration;

use crate::Instant;
use crate::broadcaster::address::{HostAddress, Zone};
use crate::broadcaster::chunks::Chunks;
use crate::broadcaster::rates::Spent;
use crate::broadcaster::sources::Source;
use crate::broadcaster::wheel::Timed;
use crate::wire::native::{About, Address, Entry, Key, Member, Refusal, Session, Tx};

/// No place, and no pool.
pub(super) const NONE: u32 = u32::MAX;

/// What a client is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody has it.
    Free,
    /// It is offered to somebody new.
    Joining,
    /// It is offered to a member of the pool, who comes back with a ticket.
    Returning,
    /// It is offered to a member whom the pool doesn't have: it is recovering.
    Coming,
    Member,
    /// The pool has ended, which is still to be told.
    Over,
}

/// A client's place. It is a session: who comes back gets another.
#[derive(Debug)]
pub(super) struct Place {
    /// Of the session.
    pub(super) key: Key,
    pub(super) session: Session,
    /// That of the ticket by which its client came, if there was one. The session 0 is not kept.
    pub(super) before: Option<NonZeroU64>,
    /// Of the request that it was given for.
    pub(super) tx: Tx,
    /// When something was taken from it; when it was offered, before that.
    pub(super) heard: Instant,
    /// How far its messages are paid for.
    pub(super) spent: Spent,
    pub(super) about: Box<[u8]>,
    /// The highest count of pings, questions and moves.
    pub(super) count: u32,
    pub(super) pool: u32,
    /// Of the member. None has the number 0.
    pub(super) number: u32,
    /// The neighbours in the roster, or among the pool's offers. Of a free place the next free one.
    pub(super) prev: u32,
    pub(super) next: u32,
    /// The wheel's.
    wheel: u32,
    /// The count of the last order, and what came of it.
    pub(super) order: u32,
    pub(super) outcome: Result<(), Refusal>,
    pub(super) address: HostAddress,
    pub(super) standing: Standing,
    /// Whether the wheel has it.
    pub(super) in_wheel: bool,
    /// Whether a ping of this session named an epoch.
    pub(super) named: bool,
    /// Of an offer: whether it needs no free seat, since it takes that of a member at its address.
    pub(super) seated: bool,
}

impl Place {
    /// A member's number.
    pub(super) fn member(&self) -> Option<Member> {
        Member::new(self.number)
    }

    /// Of which member and session the ticket was that it was offered for.
    pub(super) fn ticket(&self) -> Option<(Member, Session)> {
        Some((self.member()?, Session(self.before.map_or(0, NonZeroU64::get))))
    }

    /// Its entry in the roster.
    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        let about = About::new(&self.about).unwrap_or_default();
        Some(Entry { member: self.member()?, address: Address::new(self.address.told())?, about })
    }

    pub(super) fn source(&self) -> Source {
        Source::of(self.address.told().ip())
    }

    pub(super) fn is_offer(&self) -> bool {
        matches!(self.standing, Standing::Joining | Standing::Returning | Standing::Coming)
    }

    /// Whether it is offered to who has another, and not one more of what there may be.
    pub(super) fn is_second(&self) -> bool {
        self.standing == Standing::Returning
    }

    /// Whether somebody can speak from it.
    #[inline]
    pub(super) fn is_somebodys(&self) -> bool {
        self.is_offer() || self.standing == Standing::Member
    }
}

/// A place that is no member's leaves the wheel when it is looked at.
impl Timed for Place {
    fn ends(&self, timeout: Duration) -> Instant {
        match self.standing {
            Standing::Member => self.heard + timeout,
            Standing::Free | Standing::Joining | Standing::Returning | Standing::Coming | Standing::Over => {
                Instant::ZERO
            }
        }
    }

    fn next(&mut self) -> Option<&mut u32> {
        Some(&mut self.wheel)
    }
}

/// What a place is made of.
#[derive(Debug)]
pub(super) struct NewPlace<'a> {
    pub(super) key: Key,
    pub(super) session: Session,
    pub(super) tx: Tx,
    pub(super) now: Instant,
    pub(super) about: &'a [u8],
    pub(super) pool: u32,
    pub(super) number: u32,
    pub(super) from: SocketAddr,
    pub(super) standing: Standing,
    pub(super) seated: bool,
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) all: Chunks<Place>,
    /// The first free one.
    free: u32,
    taken: usize,
    /// Zones of addresses, by place.
    zones: BTreeMap<u32, Zone>,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Chunks::default(), free: NONE, taken: 0, zones: BTreeMap::new() }
    }
}

impl Places {
    #[inline]
    pub(super) fn get(&self, handle: u32) -> Option<&Place> {
        self.all.get(handle)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, handle: u32) -> Option<&mut Place> {
        self.all.get_mut(handle)
    }

    /// How many are not free.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Gives a place, if there are numbers left.
    pub(super) fn give(&mut self, new: &NewPlace<'_>) -> Option<u32> {
        let (address, zone) = HostAddress::new(new.from);
        let place = Place {
            key: new.key,
            session: new.session,
            before: None,
            tx: new.tx,
            heard: new.now,
            spent: 0,
            about: new.about.into(),
            count: 0,
            pool: new.pool,
            number: new.number,
            prev: NONE,
            next: NONE,
            wheel: NONE,
            order: 0,
            outcome: Ok(()),
            address,
            standing: new.standing,
            in_wheel: false,
            named: false,
            seated: new.seated,
        };
        let handle = match self.all.get_mut(self.free) {
            Some(free) => {
                let handle = core::mem::replace(&mut self.free, free.next);
                // What the wheel knows of it goes on.
                *free = Place { wheel: free.wheel, in_wheel: free.in_wheel, ..place };
                handle
            }
            None => {
                let handle = self.all.next_place()?;
                self.all.push(place);
                handle
            }
        };
        self.taken += 1;
        self.set_zone(handle, zone);
        Some(handle)
    }

    /// Takes a place back, which must be in no list.
    pub(super) fn take_back(&mut self, handle: u32) {
        let free = self.free;
        let Some(place) = self.all.get_mut(handle).filter(|place| place.standing != Standing::Free) else {
            return;
        };
        place.standing = Standing::Free;
        place.key = Key::ZERO;
        place.about = Box::default();
        (place.prev, place.next) = (NONE, free);
        self.free = handle;
        self.taken -= 1;
        self.zones.remove(&handle);
    }

    /// It is elsewhere now.
    pub(super) fn set_address(&mut self, handle: u32, from: SocketAddr) {
        let (address, zone) = HostAddress::new(from);
        if let Some(place) = self.all.get_mut(handle) {
            place.address = address;
        }
        self.set_zone(handle, zone);
    }

    fn set_zone(&mut self, handle: u32, zone: Option<Zone>) {
        match zone {
            Some(zone) => self.zones.insert(handle, zone),
            None => self.zones.remove(&handle),
        };
    }

    /// Where to send what is for it, as the driver's socket names it.
    pub(super) fn destination(&self, handle: u32) -> Option<SocketAddr> {
        Some(self.get(handle)?.address.of_socket(self.zones.get(&handle).copied()))
    }
}

/// Who of a pool is at an address: at most one member, and one to whom a place is offered.
#[derive(Debug, Default)]
pub(super) struct ByAddress {
    v4: BTreeMap<(u32, u32, u16, bool), u32>,
    v6: BTreeMap<(u32, [u8; 16], u16, bool), u32>,
}

impl ByAddress {
    /// The place of the member there, or of who is offered one.
    pub(super) fn get(&self, pool: u32, at: SocketAddr, offer: bool) -> Option<u32> {
        let found = match at.ip() {
            IpAddr::V4(ip) => self.v4.get(&(pool, ip.to_bits(), at.port(), offer)),
            IpAddr::V6(ip) => self.v6.get(&(pool, ip.octets(), at.port(), offer)),
        };
        found.copied()
    }

    pub(super) fn set(&mut self, pool: u32, at: SocketAddr, offer: bool, place: u32) {
        match at.ip() {
            IpAddr::V4(ip) => self.v4.insert((pool, ip.to_bits(), at.port(), offer), place),
            IpAddr::V6(ip) => self.v6.insert((pool, ip.octets(), at.port(), offer), place),
        };
    }

    pub(super) fn remove(&mut self, pool: u32, at: SocketAddr, offer: bool) {
        match at.ip() {
            IpAddr::V4(ip) => self.v4.remove(&(pool, ip.to_bits(), at.port(), offer)),
            IpAddr::V6(ip) => self.v6.remove(&(pool, ip.octets(), at.port(), offer)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_takes_128_bytes() {
        assert_eq!(size_of::<Place>(), 128);
    }
}
