//! A member that lies: it comes in as anybody may, and then says what it has no right to say.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Cookie, FromBroadcaster, Handle, Joined, Key, Member, Message, Name, News,
    PageStart, PoolCode, PoolSpec, PoolUuid, Reply, Request, Seal, Seats, State, Term, Ticket, Tx,
};

use crate::sim::{Rng, Wire};

/// Places that it keeps, and pools that it remembers.
const KEPT: usize = 8;

/// Pings at a time when it exceeds a member's rate, and requests when it exceeds a source's.
const PINGS: u32 = 80;
const REQUESTS: u32 = 230;

/// A place in a pool.
#[derive(Clone, Debug)]
struct Place {
    broadcaster: SocketAddr,
    joined: Joined,
    count: u32,
    orders: u32,
    /// The latest that it was told.
    state: Option<(State, PoolSpec)>,
}

/// What it knows: cookies, pools, places, some of which are long over.
#[derive(Debug, Default)]
pub(super) struct Liar {
    /// The cookie of each broadcaster.
    cookies: Vec<(SocketAddr, Cookie)>,
    /// What it asked last, and of whom.
    asked: Option<(SocketAddr, Tx, Option<Cookie>)>,
    pools: Vec<PoolUuid>,
    codes: Vec<PoolCode>,
    places: Vec<Place>,
}

impl Liar {
    pub(super) fn cookie(&self, broadcaster: SocketAddr) -> Option<Cookie> {
        self.cookies.iter().find(|(of, _)| *of == broadcaster).map(|(_, cookie)| *cookie)
    }

    /// Asks for pools or for a place, as anybody may.
    pub(super) fn ask(&mut self, wire: &mut Wire<'_>, broadcaster: SocketAddr) {
        let Some(tx) = Tx::new(wire.rng().u64()) else { return };
        let cookie = self.cookie(broadcaster);
        self.asked = Some((broadcaster, tx, cookie));
        if wire.rng().chance(10_000) {
            return self.press(wire, broadcaster, tx);
        }
        let spec = spec(wire.rng());
        let ticket = self.ticket(wire.rng());
        let call = self.call(wire.rng(), &spec, ticket.as_ref().map(|(ticket, spec)| (*ticket, spec)));
        let request = request(tx, cookie, call);
        wire.send(broadcaster, request);
    }

    fn call<'a>(
        &self,
        rng: &mut Rng,
        spec: &'a PoolSpec,
        ticket: Option<(Ticket, &'a PoolSpec)>,
    ) -> Call<'a> {
        let application = Application::POOLMESH;
        let about = About::default();
        let pool = some(rng, &self.pools).unwrap_or_else(|| PoolUuid::new(rng.u128().to_le_bytes()));
        match rng.below(10) {
            0..2 => Call::List {
                application: Some(application).filter(|_| rng.chance(900_000)),
                after: PoolUuid::NIL,
                free: rng.below(3) as u16,
                prefix: Name::default(),
            },
            2 => Call::Create { application, spec: spec.as_spec(), about },
            3..7 => Call::Join { application, pool, about },
            7 => {
                let known = some(rng, &self.codes).filter(|_| rng.chance(300_000));
                let code = known.or_else(|| PoolCode::new(rng.below(PoolCode::END)));
                let Some(code) = code else { return Call::Join { application, pool, about } };
                Call::JoinByCode { application, code, about }
            }
            _ => match ticket {
                Some((ticket, spec)) => Call::Resume { ticket, spec: spec.as_spec(), about },
                None => Call::Join { application, pool, about },
            },
        }
    }

    /// A ticket that it has, as it is or otherwise, for the pool that it is for or for another.
    fn ticket(&self, rng: &mut Rng) -> Option<(Ticket, PoolSpec)> {
        let place = some(rng, &self.places)?;
        let (state, mut spec) = place.state?;
        let Joined { application, pool, code, member, session, .. } = place.joined;
        let mut ticket = Ticket { application, pool, code, member, session, state };
        match rng.below(11) {
            0 => ticket.member = state.host,
            1 => ticket.state.host = member,
            2 => ticket.state.generation += 1,
            3 => ticket.state.term = Term::new(state.term.get() + 1).unwrap_or(state.term),
            4 => ticket.state.seal = Seal::new(rng.u128().to_le_bytes()),
            5 => ticket.pool = some(rng, &self.pools).unwrap_or(pool),
            6 => ticket.state.purged = 0,
            7 => spec = spec.locked(true).hidden(true),
            8 => ticket.state.base = None,
            _ => {}
        }
        Some((ticket, spec))
    }

    /// Asks more often than it may.
    fn press(&self, wire: &mut Wire<'_>, broadcaster: SocketAddr, tx: Tx) {
        let (application, after) = (Some(Application::POOLMESH), PoolUuid::new([0xff; 16]));
        let call = Call::List { application, after, free: 0, prefix: Name::default() };
        let datagram = request(tx, self.cookie(broadcaster), call);
        for _ in 0..REQUESTS {
            wire.send(broadcaster, datagram.clone());
        }
    }

    /// Says something as a member of a pool, or as one that it was.
    pub(super) fn speak(&mut self, wire: &mut Wire<'_>) {
        let at = wire.rng().index(self.places.len());
        let spec = spec(wire.rng());
        let Some(place) = self.places.get_mut(at) else { return };
        if wire.rng().chance(20_000) {
            return place.flood(wire);
        }
        let member = Member::new(wire.rng().range(1, 12) as u32).unwrap_or(place.joined.member);
        let act = match wire.rng().below(16) {
            0..5 => Act::Ping(place.state.as_ref().map(|(state, _)| state.epoch)),
            5 => Act::Ping(None),
            6 => Act::Ask(Some(member)),
            7 => Act::Ask(None),
            8 => Act::About(About::new(b"liar").unwrap_or_default()),
            9 => Act::Change(spec.as_spec()),
            10 | 11 => Act::Kick(member),
            12 => Act::Hand(place.joined.member),
            13 => Act::Close,
            14 => Cookie::new(wire.rng().u64()).map_or(Act::Ping(None), Act::Move),
            _ if wire.rng().chance(300_000) => Act::Leave,
            _ => Act::Ping(None),
        };
        let count = if act.is_order() { &mut place.orders } else { &mut place.count };
        match wire.rng().below(12) {
            0 => {}
            1 => *count = count.saturating_sub(1),
            2 if wire.rng().chance(50_000) => *count = u32::MAX,
            _ => *count = count.saturating_add(1),
        }
        let message = Message { handle: place.joined.handle, count: *count, act };
        let datagram = written(|out| message.write(&place.joined.key, out));
        let (broadcaster, times) = (place.broadcaster, if wire.rng().chance(100_000) { 20 } else { 1 });
        for _ in 0..times {
            wire.send(broadcaster, datagram.clone());
        }
    }

    /// Hears what a broadcaster says to it.
    pub(super) fn hear(&mut self, wire: &mut Wire<'_>, from: SocketAddr, datagram: &[u8]) {
        match FromBroadcaster::read(datagram) {
            Ok(FromBroadcaster::Answer(answer)) => {
                let Some((broadcaster, tx, cookie)) = self.asked else { return };
                let key = Key::of_request(tx, cookie);
                let Some(answer) = answer.verify(&key).ok().filter(|_| from == broadcaster) else { return };
                match answer.reply {
                    Reply::Cookie(cookie) => {
                        self.cookies.retain(|(of, _)| *of != broadcaster);
                        self.cookies.push((broadcaster, cookie));
                    }
                    Reply::Pools { listings, .. } => {
                        self.pools.extend(listings.map(|listing| listing.pool));
                        let over = self.pools.len().saturating_sub(KEPT);
                        self.pools.drain(..over);
                    }
                    Reply::Joined(joined) => self.take(wire, broadcaster, joined),
                    Reply::Refused(_) => {}
                }
            }
            Ok(FromBroadcaster::Notice(notice)) => {
                let of =
                    |place: &&mut Place| place.broadcaster == from && place.joined.handle == notice.handle();
                for place in self.places.iter_mut().filter(of) {
                    let Ok(notice) = notice.verify(&place.joined.key) else { continue };
                    match notice.news {
                        News::Page(page) => {
                            if let PageStart::First(spec) = page.start {
                                place.state = Some((page.state, spec.into()));
                            }
                        }
                        News::Changed { state, changes } if changes.len() == 0 => {
                            if let Some((known, _)) = &mut place.state {
                                *known = state;
                            }
                        }
                        News::Changed { .. } | News::Pong { .. } | News::Done { .. } | News::Ended(_) => {}
                    }
                }
            }
            Ok(FromBroadcaster::Challenge(_)) | Err(_) => {}
        }
    }

    /// Takes an offer, mostly.
    fn take(&mut self, wire: &mut Wire<'_>, broadcaster: SocketAddr, joined: Joined) {
        self.codes.push(joined.code);
        let over = self.codes.len().saturating_sub(KEPT);
        self.codes.drain(..over);
        if wire.rng().chance(200_000) {
            return;
        }
        let ping = Message { handle: joined.handle, count: 1, act: Act::Ping(None) };
        let datagram = written(|out| ping.write(&joined.key, out));
        wire.send(broadcaster, datagram);
        if self.places.len() >= KEPT {
            self.places.remove(0);
        }
        self.places.push(Place { broadcaster, joined, count: 1, orders: 0, state: None });
    }

    /// A handle that may be somebody's.
    pub(super) fn handle(rng: &mut Rng) -> Handle {
        Handle(if rng.chance(900_000) { rng.below(24) as u32 } else { rng.u64() as u32 })
    }
}

impl Place {
    /// Pings more often than it may. What it says next was dropped before, so it is still to be taken.
    fn flood(&mut self, wire: &mut Wire<'_>) {
        for number in 1..=PINGS {
            let count = self.count.saturating_add(number);
            let ping = Message { handle: self.joined.handle, count, act: Act::Ping(None) };
            wire.send(self.broadcaster, written(|out| ping.write(&self.joined.key, out)));
        }
        self.count = self.count.saturating_add(PINGS - 10);
    }
}

/// Some spec.
pub(super) fn spec(rng: &mut Rng) -> PoolSpec {
    let seats = Seats::new(rng.range(1, 70) as u16).unwrap_or(Seats::DEFAULT);
    PoolSpec::new(seats).hidden(rng.chance(300_000)).ending_with_host(rng.chance(200_000))
}

pub(super) fn request(tx: Tx, cookie: Option<Cookie>, call: Call<'_>) -> Bytes {
    written(|out| Request { tx, cookie, call }.write(out))
}

pub(super) fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

pub(super) fn some<T: Clone>(rng: &mut Rng, items: &[T]) -> Option<T> {
    items.get(rng.index(items.len())).cloned()
}
