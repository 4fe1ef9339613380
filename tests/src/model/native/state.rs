//! All that a broadcaster knows, as maps.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use poolmesh_proto::wire::native::{
    Application, EndReason, Epoch, Handle, Key, Keys, LeaveReason, Member, PoolCode, PoolSpec, PoolUuid,
    Refusal, Session, Ticket, Tx,
};
use poolmesh_proto::{Instant, Limits};

use super::cookies::Cookies;
use super::due::Due;
use super::ended::{Early, Ended, Kicked, Over, Past};
use super::line::Line;
use super::rates::{Bucket, Pace, Rates};
use super::recovery::Come;

/// A session of a member, or one that was offered.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) application: Application,
    pub(super) pool: PoolUuid,
    pub(super) member: Member,
    pub(super) address: SocketAddr,
    pub(super) about: Vec<u8>,
    /// The call that it was offered to.
    pub(super) tx: Tx,
    /// What the offer said, once it is known.
    pub(super) told: Option<(Handle, Session, Key)>,
    /// Until when it is kept, if nothing was taken in it yet.
    pub(super) offered: Option<Instant>,
    /// When something was last taken in it.
    pub(super) seen: Instant,
    pub(super) count: u32,
    /// The latest order, and how it was answered.
    pub(super) order: Option<(u32, Result<(), Refusal>)>,
    /// What it came back with into a recovery.
    pub(super) ticket: Option<Box<(Ticket, PoolSpec)>>,
    /// Whether a ping of this session has named an epoch.
    pub(super) named: bool,
    /// That of the ticket by which it came.
    pub(super) session_before: Option<Session>,
    /// The session that it takes the place of.
    pub(super) before: Option<u64>,
    /// What is left of the member's rate.
    pub(super) rate: Bucket,
    /// Of an offer: it takes the place of the member at that address, and its seat.
    pub(super) seated: bool,
    /// The step of the pool's line that it was told of last.
    pub(super) knows: usize,
    /// The number of the epoch that it was told by a change last.
    pub(super) heard: u32,
    /// It was not told yet that the pool is back.
    pub(super) untold: bool,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("pool", &self.pool)
            .field("member", &self.member)
            .field("address", &self.address)
            .field("told", &self.told)
            .field("offered", &self.offered)
            .field("seen", &self.seen)
            .field("count", &self.count)
            .field("order", &self.order)
            .field("rate", &self.rate)
            .field("knows", &self.knows)
            .finish_non_exhaustive()
    }
}

impl Place {
    pub(super) fn keeps_seat(&self) -> bool {
        self.offered.is_some() && !self.seated && self.before.is_none() && self.ticket.is_none()
    }
}

/// A pool, as it is or as it is about to be.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) application: Application,
    pub(super) code: Option<PoolCode>,
    pub(super) source: IpAddr,
    pub(super) stage: Stage,
    /// While it lasts.
    pub(super) recovery: Option<Recovery>,
    /// If it was brought back: what it was last.
    pub(super) published: Option<Published>,
}

/// A pool as it was brought back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    /// If somebody was told.
    pub(super) era: Option<u64>,
    pub(super) generation: u32,
    pub(super) base: Epoch,
    pub(super) came: u16,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Its maker has not taken the offer.
    Offered(PoolSpec),
    /// Too few have come back.
    Gathering,
    Live(Line),
}

/// A pool comes back.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    /// Until when all who were there are waited for.
    pub(super) publish: Option<Instant>,
    /// Until when tickets hold.
    pub(super) until: Instant,
    /// The highest that was published.
    pub(super) generation: u32,
    /// Of the tickets of all who have come, the one that counts.
    pub(super) base: Option<Box<(Ticket, PoolSpec)>>,
    /// Who has come, and by what; but who has left again only if it was by just the base's epoch.
    pub(super) come: BTreeMap<Member, Come>,
    pub(super) kicked: Kicked,
    /// The recovery in which the pool has ended, which would last still.
    pub(super) before: Option<Box<Early>>,
}

impl Recovery {
    pub(super) fn new(publish: Instant, until: Instant) -> Self {
        Self {
            publish: Some(publish),
            until,
            generation: 0,
            base: None,
            come: BTreeMap::new(),
            kicked: Kicked::default(),
            before: None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) limits: Rc<Limits>,
    pub(super) keys: Rc<Keys>,
    pub(super) now: Instant,
    pub(super) cookies: Cookies,
    pub(super) rates: Rates,
    pub(super) pools: BTreeMap<PoolUuid, Pool>,
    pub(super) places: BTreeMap<u64, Place>,
    /// Sessions that are over, of which something may have to be told still.
    pub(super) gone: Vec<Place>,
    /// Who is to be told that a pool has ended: they and it take room until then.
    pub(super) untold: Vec<Untold>,
    /// Whether those who need not be told take none.
    pub(super) room: bool,
    /// What pools were that were brought back anew since, of which something may be told still.
    pub(super) past: Vec<(PoolUuid, Line)>,
    next_place: u64,
    /// The eras that began here, with their generations.
    pub(super) eras: BTreeMap<u64, u32>,
    /// Pools that have ended.
    pub(super) over: Over,
    pub(super) due: Vec<Due>,
}

/// What counts as one source: an IPv4 address, or the first half of an IPv6 one.
pub(super) fn source(address: SocketAddr) -> IpAddr {
    match address.ip() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => (ip.to_bits() >> 64 << 64).to_be_bytes().into(),
    }
}

impl State {
    pub(super) fn new(limits: Rc<Limits>, keys: Rc<Keys>) -> Self {
        Self {
            rates: Rates::new(&limits),
            over: Over::new(limits.pools.max(1_024)),
            limits,
            keys,
            now: Instant::ZERO,
            cookies: Cookies::default(),
            pools: BTreeMap::new(),
            places: BTreeMap::new(),
            gone: Vec::new(),
            untold: Vec::new(),
            room: true,
            past: Vec::new(),
            next_place: 0,
            eras: BTreeMap::new(),
            due: Vec::new(),
        }
    }

    /// How often a member may be heard.
    pub(super) fn messages(&self) -> Pace {
        Pace::new(self.limits.messages_per_second, self.limits.messages_in_a_row)
    }

    pub(super) fn add(&mut self, place: Place) -> u64 {
        let name = self.next_place;
        self.next_place += 1;
        self.places.insert(name, place);
        name
    }

    /// Time passes: what is due happens, the earliest first.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        // A broadcaster that is late has several things due at once: offers go first then, and members last.
        let due = |state: &Self| {
            let due = state.all_ends().filter(|(at, _)| at.is_due(state.now));
            due.min_by_key(|(at, end)| (end.rank(), *at, !state.is_of_host(end))).map(|(_, end)| end)
        };
        while let Some(end) = due(self) {
            match end {
                End::Void(name) => self.void(name),
                End::Silent(name) => self.leaves(name, LeaveReason::TimedOut),
                End::Waited(id) => self.waited(id),
                End::Recovered(id) => self.recovered(id),
            }
        }
    }

    /// When it must be told the time at the latest.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.all_ends().map(|(at, _)| at).min()
    }

    /// What ends, and when.
    fn all_ends(&self) -> impl Iterator<Item = (Instant, End)> {
        let places = self.places.iter().map(|(name, place)| match place.offered {
            Some(until) => (until, End::Void(*name)),
            None => (place.seen + self.limits.timeout, End::Silent(*name)),
        });
        let pools = self.pools.iter().filter_map(|(id, pool)| {
            let recovery = pool.recovery.as_ref()?;
            Some(match recovery.publish {
                Some(publish) => (publish, End::Waited(*id)),
                None => (recovery.until, End::Recovered(*id)),
            })
        });
        places.chain(pools)
    }

    /// Of those who leave at the same time, the host is the first: the others may be told of the pool's end, then, or not.
    fn is_of_host(&self, end: &End) -> bool {
        let End::Silent(name) = end else { return false };
        let Some(place) = self.places.get(name) else { return false };
        match self.pools.get(&place.pool).map(|pool| &pool.stage) {
            Some(Stage::Live(line)) => line.now().host == place.member,
            Some(Stage::Offered(_) | Stage::Gathering) | None => false,
        }
    }

    /// An offer that nobody took.
    pub(super) fn void(&mut self, name: u64) {
        let Some(place) = self.places.remove(&name) else { return };
        if self.pools.get(&place.pool).is_some_and(|pool| matches!(pool.stage, Stage::Offered(_))) {
            self.pools.remove(&place.pool);
        }
        self.gone.push(place);
    }

    /// A member's session ends, and with it the member's time in the pool.
    pub(super) fn leaves(&mut self, name: u64, reason: LeaveReason) {
        let Some(place) = self.places.remove(&name) else { return };
        let (id, member, address) = (place.pool, place.member, place.address);
        let heard = Some(place.seen).filter(|_| reason == LeaveReason::TimedOut);
        let others = |place: &Place| {
            place.pool == id
                && place.offered.is_none()
                && !(place.seen + self.limits.timeout).is_due(self.now)
        };
        let silent = heard.is_some() && !self.places.values().any(others);
        self.gone.push(place);
        let Some(pool) = self.pools.get_mut(&id) else { return };
        if let Some(recovery) = &mut pool.recovery {
            recovery.has_left(member);
        }
        match &mut pool.stage {
            Stage::Offered(_) => {
                self.pools.remove(&id);
            }
            Stage::Gathering => {}
            Stage::Live(line) => {
                let mut content = line.now().clone();
                content.members.remove(&member);
                let hosted = content.host == member;
                let heir = content.members.keys().next().copied();
                let ends = hosted && content.spec.as_spec().ends_with_host();
                match heir {
                    Some(heir) if !ends => {
                        if hosted {
                            content.host = heir;
                        }
                        let kick = reason == LeaveReason::Kicked;
                        line.happens(content, vec![(member, reason)], (hosted, kick));
                    }
                    Some(_) | None => {
                        let purged = silent.then(|| line.purged());
                        self.ends_as(id, None, (heard, purged));
                    }
                }
                self.unseat(id, address, true);
            }
        }
        // An offer to come back falls with its member.
        let back = self.names(|other| other.pool == id && other.before == Some(name));
        back.into_iter().for_each(|name| self.void(name));
    }

    /// A member is at that address no longer, in whose place another was to come: with the seat, if that is free.
    pub(super) fn unseat(&mut self, id: PoolUuid, address: SocketAddr, free: bool) {
        let of = |place: &Place| place.pool == id && place.address == address && place.seated;
        let heir = self.places.iter().find(|(_, place)| of(place)).map(|(name, _)| *name);
        let Some(heir) = heir else { return };
        if !free && self.free_seats(id) == 0 {
            return self.void(heir);
        }
        if let Some(place) = self.places.get_mut(&heir) {
            place.seated = false;
        }
    }

    /// The seats that nobody has, and that are kept for nobody.
    pub(super) fn free_seats(&self, id: PoolUuid) -> u16 {
        let Some(Stage::Live(line)) = self.pools.get(&id).map(|pool| &pool.stage) else { return 0 };
        let kept = self.places.values().filter(|place| place.pool == id && place.keeps_seat()).count();
        let taken = (line.now().members.len() + kept) as u16;
        line.now().spec.as_spec().seats().get().saturating_sub(taken)
    }

    /// A pool ends. All are told but the one who ended it.
    pub(super) fn ends(&mut self, id: PoolUuid, by: Option<u64>) {
        self.ends_as(id, by, (None, None));
    }

    /// As `ends`; who was heard last at this time has left at the same time as the host, and may not be told.
    fn ends_as(&mut self, id: PoolUuid, by: Option<u64>, (heard, silent): (Option<Instant>, Option<u32>)) {
        self.remember(id, silent);
        self.pools.remove(&id);
        let ended = self.untold.last().map_or(0, |last| last.ended + 1);
        let names: Vec<u64> =
            self.places.iter().filter(|(_, place)| place.pool == id).map(|(name, _)| *name).collect();
        for name in names {
            let Some(place) = self.places.remove(&name) else { continue };
            if place.offered.is_none() && by != Some(name) {
                let mut due = Due::ended(&place, EndReason::PoolEnded);
                let may = heard == Some(place.seen);
                if may {
                    due.may();
                }
                self.untold.push(Untold { ended, told: place.told, source: source(place.address), may });
                self.due.push(due);
            }
            self.gone.push(place);
        }
    }

    /// A pool ends. `silent`: its last member fell silent, and the latest kick was in the epoch of that number.
    fn remember(&mut self, id: PoolUuid, silent: Option<u32>) {
        let Some(pool) = self.pools.get(&id) else { return };
        let early = |era, generation, base: Option<(Epoch, u16)>, silent| {
            let (base, came) = base?;
            pool.recovery.as_ref()?.early(Past { era, generation, base, silent }, came)
        };
        let (era, generation, base, silent) = match &pool.stage {
            Stage::Live(line) => {
                (line.era(), line.generation, line.base.map(|base| (base, line.came())), silent)
            }
            Stage::Gathering => match pool.published {
                Some(Published { era, generation, base, came }) => {
                    (era, generation, Some((base, came)), None)
                }
                None => return,
            },
            Stage::Offered(_) => return,
        };
        let early = early(era, generation, base, silent);
        let ended = Ended { era, generation, base, silent, early };
        self.over.note(id, ended);
    }

    /// After how long, from now.
    pub(super) fn after(&self, time: Duration) -> Instant {
        self.now + time
    }
}

/// Somebody is to be told that a pool has ended.
#[derive(Clone, Debug)]
pub(super) struct Untold {
    /// Which of those that have.
    pub(super) ended: usize,
    pub(super) told: Option<(Handle, Session, Key)>,
    pub(super) source: IpAddr,
    /// It may be left out.
    may: bool,
}

impl State {
    /// Those who take room still, if those who may be left out take none.
    pub(super) fn in_the_way(&self, room: bool) -> impl Iterator<Item = &Untold> + Clone {
        self.untold.iter().filter(move |untold| !(untold.may && room))
    }
}

/// Something whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Void(u64),
    Silent(u64),
    /// Nobody else is waited for, in a pool that comes back.
    Waited(PoolUuid),
    Recovered(PoolUuid),
}

impl End {
    /// What goes first among what is due, however late.
    fn rank(self) -> u8 {
        match self {
            Self::Void(_) => 0,
            Self::Waited(_) | Self::Recovered(_) => 1,
            Self::Silent(_) => 2,
        }
    }
}
