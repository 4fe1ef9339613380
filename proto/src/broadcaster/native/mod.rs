//! The native dialect's half (PROTOCOL.md of this crate).
//!
//! A datagram is a request, which a cookie has to go with, or a message of a member, which leads by its handle to a
//! [`Place`](places::Place) with the key of its session. Pools keep their members in a list through the places. What
//! changes in a pool is noted for its members ([`news`]) and written when the driver polls, member by member.

mod admission;
mod desk;
mod ended;
mod ending;
mod leaving;
mod lineage;
mod lists;
mod messages;
mod news;
mod offers;
mod orders;
mod pages;
mod places;
mod pools;
mod quick;
mod recovery;
mod requests;
mod resume;
mod roster;
mod secrets;
mod sent_away;
mod taking;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

pub(super) use desk::Desk;

use super::BroadcasterConfig;
use super::rates::{Pace, Rates};
use super::sources::Sources;
use super::wheel::Wheel;
use crate::wire::native::{FIRST_BYTE, Fault, FromClient, Keys};
use crate::{Instant, Transmit};
use news::Changes;
use places::{ByAddress, Places};
use pools::{Phase, Pools};
use secrets::{Cookies, Eras};

/// What a broadcaster keeps of this dialect, from the first datagram on that is of it.
#[derive(Debug)]
pub(super) struct Native {
    keys: Keys,
    cookies: Cookies,
    eras: Eras,
    rates: Rates,
    requests: Pace,
    messages: Pace,
    pools: Pools,
    places: Places,
    by_address: ByAddress,
    /// Places of members, and of those who are offered one, by source.
    sources: Sources,
    /// Places offered to members of pools that are here, by pool and number: one each.
    returns: BTreeMap<(u32, u32), u32>,
    /// How many members there are.
    members: usize,
    /// When members have been silent for too long.
    wheel: Wheel,
    /// When offers are void.
    offer_time: Duration,
    offers: BTreeSet<(Instant, u32)>,
    /// Pools that have ended here.
    gone: ended::Memory,
    /// When recoveries are to be looked at: to publish the pool, or because they are over.
    recoveries: BTreeSet<(Instant, u32)>,
    /// Nothing is due earlier.
    due: Instant,
    /// What is new by the input at hand.
    fresh: Changes,
    /// Pools that have news, whose turn is next first.
    with_news: VecDeque<u32>,
    /// What their news take, in bytes.
    news_size: usize,
    /// Pools that have ended, whose members are to be told.
    ended: VecDeque<u32>,
}

impl Native {
    pub(super) fn new(config: &BroadcasterConfig, desk: &mut Desk<'_>) -> Self {
        let limits = &config.limits;
        let secret = config.secret.clone().unwrap_or_else(|| secrets::draw_secret(desk.random));
        Self {
            keys: Keys::of(&secret),
            cookies: Cookies::new(desk.now, desk.random),
            eras: Eras::new(desk.random),
            rates: Rates::new(limits.sources, secrets::draw_key(desk.random)),
            requests: Pace::new(limits.requests_per_second, limits.requests_in_a_row),
            messages: Pace::new(limits.messages_per_second, limits.messages_in_a_row),
            pools: Pools::default(),
            places: Places::default(),
            by_address: ByAddress::default(),
            sources: Sources::default(),
            returns: BTreeMap::new(),
            members: 0,
            wheel: Wheel::new(limits.timeout),
            offer_time: limits.offer,
            offers: BTreeSet::new(),
            gone: ended::Memory::new(limits.pools),
            recoveries: BTreeSet::new(),
            due: Instant::NEVER,
            fresh: Changes::default(),
            with_news: VecDeque::new(),
            news_size: 0,
            ended: VecDeque::new(),
        }
    }

    /// How many pools there are.
    pub(super) fn pool_count(&self) -> usize {
        self.pools.len()
    }

    /// How many members they have.
    pub(super) fn member_count(&self) -> usize {
        self.members
    }

    /// A datagram came whose first byte is this dialect's.
    pub(super) fn handle(&mut self, desk: &mut Desk<'_>, from: SocketAddr, datagram: &[u8]) {
        match FromClient::read(datagram) {
            Ok(FromClient::Message(message)) => self.message(desk, from, &message),
            Ok(FromClient::Request(request)) => self.request(desk, from, &request),
            Err(Fault::WrongTag) => desk.stats.dropped_wrong_tag += 1,
            Err(_) => desk.stats.dropped_malformed += 1,
        }
    }

    /// Whether something may be due.
    #[inline]
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Ends what is due.
    pub(super) fn expire(&mut self, desk: &mut Desk<'_>) {
        while let Some((_, handle)) = self.offers.first().copied().filter(|(due, _)| due.is_due(desk.now)) {
            self.offer_is_over(desk, handle);
        }
        while let Some((_, pool)) = self.recoveries.first().copied().filter(|(due, _)| due.is_due(desk.now)) {
            self.recovery_is_due(desk, pool);
        }
        while self.wheel.is_to_turn(desk.now) {
            let Some(handle) = self.wheel.pop_due(desk.now, &mut self.places.all) else { break };
            self.silent(desk, handle);
        }
        let first = |all: &BTreeSet<(Instant, u32)>| all.first().map(|(due, _)| *due);
        let all = [self.wheel.earliest(), first(&self.offers), first(&self.recoveries)];
        self.due = all.into_iter().flatten().min().unwrap_or(Instant::NEVER);
    }

    /// Whether there may be datagrams that are made only when they are asked for.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        !self.ended.is_empty() || !self.with_news.is_empty()
    }

    /// The next of them.
    pub(super) fn poll(&mut self, desk: &mut Desk<'_>) -> Option<Transmit> {
        self.tell_end(desk).or_else(|| self.tell_next(desk))
    }

    /// When to look again: nothing is due earlier. It may be that nothing is due then.
    #[inline]
    pub(super) fn earliest(&self) -> Instant {
        self.due
    }

    /// Reads something of each of these places, if there are such: of both ends, for they are longer than what memory hands
    /// over at a time. And then of their pools.
    #[inline]
    pub(super) fn touch<'a>(&self, handles: impl Iterator<Item = &'a u32> + Clone) -> u32 {
        let places = handles.filter_map(|handle| self.places.get(*handle));
        let read = places.clone().fold(0, |all, place| all ^ place.count ^ u32::from(place.named));
        let pools = places.filter_map(|place| self.pools.get(place.pool));
        pools.fold(read, |all, pool| all ^ pool.number ^ u32::from(pool.phase == Phase::Live))
    }
}

/// The handle of a member's message, if it is one.
#[inline]
pub(super) fn handle_of(datagram: &[u8]) -> Option<u32> {
    match datagram {
        [FIRST_BYTE, 0x10..=0x1f, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}
