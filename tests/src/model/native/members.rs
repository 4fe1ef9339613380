//! What members' messages bring about (PROTOCOL.md, section 5).

use std::net::{IpAddr, SocketAddr};

use poolmesh_proto::wire::native::{
    Act, EndReason, Fault, LeaveReason, Member, Message, PoolSpec, PoolUuid, Refusal, UnverifiedMessage,
};

use super::due::{Due, Notice};
use super::requests::{SOME, first};
use super::state::{Place, Pool, Stage, State, source};

/// So many pages a question draws at most.
const PAGES: usize = 8;

/// Whether it is an order that others are told of.
const fn is_rated(act: Act<'_>) -> bool {
    matches!(act, Act::About(_) | Act::Change(_) | Act::Hand(_))
}

/// How a message is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearing {
    /// The cookie that it moves by is good.
    cookie: bool,
    /// What others are to be told of is within its source's rate.
    rate: bool,
}

impl State {
    /// How a message may be taken: with what is for certain, and with all that may be otherwise.
    pub(super) fn hearings(&mut self, from: SocketAddr, message: &UnverifiedMessage<'_>) -> Vec<Hearing> {
        let (now, pace) = (self.now, self.messages());
        let of = |place: &Place| {
            let (handle, _, key) = place.told?;
            let act = (handle == message.handle()).then(|| message.verify(&key))?.ok()?.act;
            let last = if act.is_order() { place.order.map_or(0, |(last, _)| last) } else { place.count };
            let is_heard = message.count() > last && place.rate.clone().may_take(now, pace);
            Some((act, place.address, is_heard))
        };
        let Some((act, address, true)) = self.places.values().find_map(of) else {
            return vec![Hearing { cookie: false, rate: true }];
        };
        let cookie = match act {
            Act::Move(cookie) => self.cookies.is_good(from, Some(cookie), now),
            Act::Ping(_) | Act::Ask(_) | Act::Leave | Act::About(_) | Act::Change(_) => Some(false),
            Act::Kick(_) | Act::Hand(_) | Act::Close => Some(false),
        };
        // Of a move, that of where it goes.
        let is_move = cookie != Some(false) && address != from;
        let whose = if is_move { from } else { address };
        let rate = if is_move || is_rated(act) { self.rates.may_ask(whose, now) } else { Some(true) };
        let both = |known: Option<bool>| known.map_or_else(|| vec![true, false], |known| vec![known]);
        let rates = |cookie| both(rate).into_iter().map(move |rate| Hearing { cookie, rate });
        both(cookie).into_iter().flat_map(rates).collect()
    }

    pub(super) fn message(&mut self, from: SocketAddr, message: &UnverifiedMessage<'_>, how: Hearing) {
        let (handle, count) = (message.handle(), message.count());
        let mut spoiled = false;
        let found = self.places.iter().find_map(|(name, place)| {
            let (told, _, key) = place.told?;
            match (told == handle).then(|| message.verify(&key))? {
                Ok(message) => Some((*name, message)),
                Err(Fault::WrongTag) => None,
                Err(_) => {
                    spoiled = true;
                    None
                }
            }
        });
        match found {
            Some((name, message)) => self.verified(from, name, &message, how),
            None if spoiled => {}
            None => self.due.push(Due::Challenge { to: from, handle, count, made: None }),
        }
    }

    fn verified(&mut self, from: SocketAddr, name: u64, message: &Message<'_>, how: Hearing) {
        let pace = self.messages();
        let Some(place) = self.places.get_mut(&name) else { return };
        let elsewhere = place.address != from;
        let count = message.count;
        let is_order = message.act.is_order();
        let last = if is_order { place.order.map_or(0, |(last, _)| last) } else { place.count };
        let again = place.order.filter(|(last, _)| is_order && *last == count);
        if count <= last && again.is_none() {
            return;
        }
        // An order that is answered again counts for no rate: anybody may send it again.
        if let Some((_, outcome)) = again {
            return if elsewhere {
                self.prove(from, message);
            } else {
                let done = Due::notice(place, Notice::Done(count, outcome));
                self.due.push(done);
            };
        }
        // What is beyond the rate is not taken.
        if !place.rate.may_take(self.now, pace) {
            return;
        }
        place.rate.take(pace);
        if !is_order {
            place.count = count;
        }
        // Whoever speaks from elsewhere shows of nobody that he is there.
        if !elsewhere || place.offered.is_some() {
            place.seen = self.now;
        }
        place.named |= matches!(message.act, Act::Ping(Some(_)));
        if place.offered.take().is_some() && !self.taken_now(name) {
            let (handle, count) = (message.handle, message.count);
            return self.due.push(Due::Challenge { to: from, handle, count, made: None });
        }
        if message.act.is_order() {
            self.order(from, name, message, how);
        } else {
            self.answer(from, name, message, how);
        }
    }

    /// An offer is taken. Whether it still stands.
    fn taken_now(&mut self, name: u64) -> bool {
        let Some(place) = self.places.get(&name).cloned() else { return false };
        let id = place.pool;
        let Some(pool) = self.pools.get_mut(&id) else { return false };
        match &mut pool.stage {
            Stage::Offered(spec) => pool.stage = Stage::Live(first(&place, spec.clone())),
            Stage::Gathering | Stage::Live(_) if place.ticket.is_some() => return self.came(id, name),
            Stage::Live(_) => {
                if let (Some(recovery), None) = (&mut pool.recovery, place.before) {
                    recovery.come.insert(place.member, None);
                }
                self.comes(name);
            }
            Stage::Gathering => self.comes(name),
        }
        true
    }

    /// Somebody comes into a pool that is there, or comes back.
    fn comes(&mut self, name: u64) {
        let Some(place) = self.places.get_mut(&name) else { return };
        let before = place.before.take();
        let place = place.clone();
        let id = place.pool;
        let (now, pace) = (self.now, self.messages());
        let spent = before.and_then(|before| self.places.get(&before)).map(|before| before.rate.clone());
        if let Some((place, spent)) = self.places.get_mut(&name).zip(spent) {
            place.rate.keep_least(spent, now, pace);
        }
        let other = self.places.iter().find(|(other, there)| {
            there.pool == id
                && there.offered.is_none()
                && there.address == place.address
                && **other != name
                && Some(**other) != before
        });
        let other = other.map(|(other, _)| *other);
        let was = before.and_then(|before| self.places.get(&before)).map(|before| before.address);
        if let Some(before) = before {
            self.gone.extend(self.places.remove(&before));
        }
        if let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) {
            let mut content = line.now().clone();
            let entry = (place.address, place.about.clone());
            if content.members.insert(place.member, entry.clone()) != Some(entry) {
                line.happens(content, Vec::new(), (false, false));
            }
        }
        if let Some(was) = was.filter(|was| *was != place.address) {
            self.unseat(id, was, false);
        }
        if let Some(other) = other {
            self.replaced(other);
        }
        let index = match self.pools.get(&id).map(|pool| &pool.stage) {
            Some(Stage::Live(line)) => line.index(),
            Some(Stage::Offered(_) | Stage::Gathering) | None => 0,
        };
        // Who comes learns all by a page.
        if let Some(place) = self.places.get_mut(&name) {
            place.knows = index;
        }
    }

    pub(super) fn replaced(&mut self, other: u64) {
        if let Some(place) = self.places.get(&other) {
            let ended = Due::ended(place, EndReason::Replaced);
            self.due.push(ended);
        }
        self.leaves(other, LeaveReason::Replaced);
    }

    fn prove(&mut self, from: SocketAddr, message: &Message<'_>) {
        let (handle, count, made) = (message.handle, message.count, Some(self.now));
        self.due.push(Due::Challenge { to: from, handle, count, made });
    }

    /// Answers a ping, a question or a move.
    fn answer(&mut self, from: SocketAddr, name: u64, message: &Message<'_>, how: Hearing) {
        let mut moved = true;
        if let Act::Move(cookie) = message.act {
            moved = how.cookie;
            self.cookies.take(from, Some(cookie), self.now, moved);
            if moved && self.places.get(&name).is_some_and(|place| place.address != from) {
                if !how.rate {
                    return;
                }
                self.rates.asks(from, true);
                self.moves(from, name);
            }
        }
        let (now, pace) = (self.now, self.messages());
        let Some(place) = self.places.get_mut(&name) else { return };
        if place.address != from || !moved {
            return self.prove(from, message);
        }
        let Some(pool) = self.pools.get(&place.pool) else { return };
        let count = message.count;
        let what = match (&pool.stage, message.act) {
            (Stage::Live(line), Act::Ask(from)) => {
                for (page, start) in line.now().pages(from).into_iter().enumerate().take(PAGES) {
                    // Those behind the first count as messages.
                    if page > 0 {
                        if !place.rate.may_take(now, pace) {
                            break;
                        }
                        place.rate.take(pace);
                    }
                    let page = Notice::Page(count, place.pool, start, line.index());
                    self.due.push(Due::notice(place, page));
                }
                return;
            }
            (Stage::Live(line), Act::Ping(epoch)) => match line.is_latest(epoch) {
                Some(true) => Notice::Pong(count),
                Some(false) => Notice::Page(count, place.pool, None, line.index()),
                None => Notice::PongOrPage(count, place.pool, line.index()),
            },
            (Stage::Live(line), _) => Notice::Page(count, place.pool, None, line.index()),
            (Stage::Gathering | Stage::Offered(_), Act::Ask(_)) => return,
            (Stage::Gathering | Stage::Offered(_), _) => Notice::Pong(count),
        };
        let due = Due::notice(place, what);
        self.due.push(due);
    }

    fn moves(&mut self, to: SocketAddr, name: u64) {
        let Some(place) = self.places.get_mut(&name).filter(|place| place.address != to) else { return };
        place.seen = self.now;
        let was = std::mem::replace(&mut place.address, to);
        let (id, member) = (place.pool, place.member);
        let other = self.places.iter().find(|(other, there)| {
            there.pool == id && there.offered.is_none() && there.address == to && **other != name
        });
        if let Some(other) = other.map(|(other, _)| *other) {
            self.replaced(other);
        }
        self.unseat(id, was, false);
        if let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) {
            let mut content = line.now().clone();
            content.members.entry(member).and_modify(|(address, _)| *address = to);
            line.happens(content, Vec::new(), (false, false));
        }
    }

    /// What is offered in a pool to those of a source who join is void.
    fn withdraw(&mut self, id: PoolUuid, from: Option<IpAddr>) {
        let is_void = |place: &Place| {
            let joins = place.offered.is_some() && place.before.is_none() && place.ticket.is_none();
            place.pool == id && joins && Some(source(place.address)) == from
        };
        let void: Vec<u64> =
            self.places.iter().filter(|(_, place)| is_void(place)).map(|(name, _)| *name).collect();
        for name in void {
            self.gone.extend(self.places.remove(&name));
        }
    }

    fn order(&mut self, from: SocketAddr, name: u64, message: &Message<'_>, how: Hearing) {
        let Some(place) = self.places.get(&name).cloned() else { return };
        let outcome = if !is_rated(message.act) {
            self.carry_out(name, message)
        } else if how.rate {
            self.rates.asks(place.address, true);
            self.carry_out(name, message)
        } else {
            Err(Refusal::Busy { wait: SOME })
        };
        if let Some(place) = self.places.get_mut(&name) {
            place.order = Some((message.count, outcome));
        }
        if place.address == from {
            self.due.push(Due::notice(&place, Notice::Done(message.count, outcome)));
        } else {
            self.prove(from, message);
        }
    }

    fn carry_out(&mut self, name: u64, message: &Message<'_>) -> Result<(), Refusal> {
        let Some(place) = self.places.get(&name) else { return Ok(()) };
        let (id, me) = (place.pool, place.member);
        let too_much = match message.act {
            Act::About(about) => about.get().len() > self.limits.about,
            Act::Change(spec) => self.is_too_much(spec),
            Act::Ping(_) | Act::Ask(_) | Act::Move(_) => false,
            Act::Leave | Act::Kick(_) | Act::Hand(_) | Act::Close => false,
        };
        let Some(pool) = self.pools.get_mut(&id) else { return Ok(()) };
        let Pool { stage, .. } = pool;
        let line = match (stage, message.act) {
            (_, Act::Leave) => {
                self.leaves(name, LeaveReason::Left);
                return Ok(());
            }
            (Stage::Live(line), _) => line,
            (Stage::Gathering | Stage::Offered(_), _) => return Err(Refusal::Recovering { wait: SOME }),
        };
        let mut content = line.now().clone();
        let host = content.host == me;
        let there = |member: Member| content.members.contains_key(&member);
        match message.act {
            Act::About(_) if too_much => return Err(Refusal::Limit),
            Act::About(about) => {
                let about = about.get().to_vec();
                if let Some(place) = self.places.get_mut(&name) {
                    place.about.clone_from(&about);
                }
                content.members.entry(me).and_modify(|(_, old)| *old = about);
                // To say the same again changes nothing.
                if content != *line.now() {
                    line.happens(content, Vec::new(), (false, false));
                }
            }
            _ if !host => return Err(Refusal::NotHost),
            Act::Change(_) if too_much => return Err(Refusal::Limit),
            Act::Change(spec) => {
                content.spec = PoolSpec::from(spec);
                if content != *line.now() {
                    line.happens(content, Vec::new(), (false, false));
                }
            }
            Act::Kick(member) if member == me || !there(member) => return Err(Refusal::NoSuchMember),
            Act::Kick(member) => {
                let of = |place: &Place| place.pool == id && place.member == member && place.before.is_none();
                let kicked = self.places.iter().find(|(_, place)| of(place)).map(|(name, _)| *name);
                if let Some(recovery) = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut()) {
                    let by = recovery.come.get(&member).copied().flatten();
                    if let Some((base, by)) = recovery.base.as_ref().zip(by) {
                        recovery.kicked.add((member, by), me, &base.0);
                    }
                }
                if let Some(kicked) = kicked {
                    if let Some(place) = self.places.get(&kicked) {
                        let ended = Due::ended(place, EndReason::Kicked);
                        self.due.push(ended);
                    }
                    let from = self.places.get(&kicked).map(|place| source(place.address));
                    self.leaves(kicked, LeaveReason::Kicked);
                    self.withdraw(id, from);
                }
            }
            Act::Hand(member) if !there(member) => return Err(Refusal::NoSuchMember),
            Act::Hand(member) if member == me => {}
            Act::Hand(member) => {
                content.host = member;
                line.happens(content, Vec::new(), (true, false));
            }
            Act::Close => self.ends(id, Some(name)),
            Act::Leave | Act::Ping(_) | Act::Ask(_) | Act::Move(_) => {}
        }
        Ok(())
    }
}
