//! What members' messages bring about (PROTOCOL.md, section 5).

use std::net::SocketAddr;

use poolmesh_proto::wire::native::{
    Act, EndReason, Fault, LeaveReason, Member, Message, PoolSpec, Refusal, UnverifiedMessage,
};

use super::due::{Due, Notice};
use super::requests::first;
use super::state::{Pool, Stage, State};

/// Any number of milliseconds.
const SOME: u16 = 0;

impl State {
    /// How a message may be taken: whether a cookie that may be good is.
    pub(super) fn is_open(&self, from: SocketAddr, message: &UnverifiedMessage<'_>) -> bool {
        let moves = self.places.values().find_map(|place| {
            let (handle, _, key) = place.told?;
            let message = (handle == message.handle()).then(|| message.verify(&key))?.ok()?;
            if let Act::Move(cookie) = message.act { Some(cookie) } else { None }
        });
        moves.is_some_and(|cookie| self.cookies.is_good(from, Some(cookie), self.now).is_none())
    }

    pub(super) fn message(&mut self, from: SocketAddr, message: &UnverifiedMessage<'_>, luck: bool) {
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
            Some((name, message)) => self.verified(from, name, &message, luck),
            None if spoiled => {}
            None => self.due.push(Due::Challenge { to: from, handle, count, prove: false }),
        }
    }

    fn verified(&mut self, from: SocketAddr, name: u64, message: &Message<'_>, luck: bool) {
        let Some(place) = self.places.get_mut(&name) else { return };
        let elsewhere = place.address != from;
        let count = message.count;
        if message.act.is_order() {
            match place.order {
                Some((last, outcome)) if last == count => {
                    return if elsewhere {
                        self.prove(from, message);
                    } else {
                        let done = Due::notice(place, Notice::Done(count, outcome));
                        self.due.push(done);
                    };
                }
                Some((last, _)) if last > count => return,
                None if count == 0 => return,
                Some(_) | None => {}
            }
        } else {
            if count <= place.count {
                return;
            }
            place.count = count;
        }
        place.seen = self.now;
        place.named |= matches!(message.act, Act::Ping(Some(_)));
        if place.offered.take().is_some() {
            self.taken_now(name);
        }
        if message.act.is_order() {
            self.order(from, name, message);
        } else {
            self.answer(from, name, message, luck);
        }
    }

    /// An offer is taken.
    fn taken_now(&mut self, name: u64) {
        let Some(place) = self.places.get(&name).cloned() else { return };
        let id = place.pool;
        let Some(pool) = self.pools.get_mut(&id) else { return };
        match &pool.stage {
            Stage::Offered(spec) => pool.stage = Stage::Live(first(&place, spec.clone())),
            Stage::Gathering | Stage::Live(_) if place.ticket.is_some() => self.came(id, name),
            Stage::Gathering => {}
            Stage::Live(_) => self.comes(name),
        }
    }

    /// Somebody comes into a pool that is there, or comes back.
    fn comes(&mut self, name: u64) {
        let Some(place) = self.places.get_mut(&name) else { return };
        let before = place.before.take();
        let place = place.clone();
        let session_before = before.and_then(|before| {
            let before = self.places.get(&before)?;
            if before.named { before.told.map(|(_, session, _)| session) } else { before.session_before }
        });
        let id = place.pool;
        let other = self.places.iter().find(|(other, there)| {
            there.pool == id
                && there.offered.is_none()
                && there.address == place.address
                && **other != name
                && Some(**other) != before
        });
        if let Some(other) = other.map(|(other, _)| *other) {
            self.replaced(other);
        }
        let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) else { return };
        let mut content = line.now().clone();
        let entry = (place.address, place.about.clone());
        let news = content.members.insert(place.member, entry.clone()) != Some(entry);
        if news {
            line.happens(content, Vec::new(), (false, false));
        }
        let index = line.index();
        if let Some(before) = before {
            self.gone.extend(self.places.remove(&before));
        }
        // Who comes learns all by a page.
        if let Some(place) = self.places.get_mut(&name) {
            (place.knows, place.session_before) = (index, session_before);
        }
    }

    fn replaced(&mut self, other: u64) {
        if let Some(place) = self.places.get(&other) {
            let ended = Due::ended(place, EndReason::Replaced);
            self.due.push(ended);
        }
        self.leaves(other, LeaveReason::Replaced);
    }

    fn prove(&mut self, from: SocketAddr, message: &Message<'_>) {
        self.due.push(Due::Challenge { to: from, handle: message.handle, count: message.count, prove: true });
    }

    /// Answers a ping, a question or a move.
    fn answer(&mut self, from: SocketAddr, name: u64, message: &Message<'_>, luck: bool) {
        let mut moved = true;
        if let Act::Move(cookie) = message.act {
            moved = luck && self.cookies.is_good(from, Some(cookie), self.now) != Some(false);
            if moved {
                self.moves(from, name);
            }
        }
        let Some(place) = self.places.get(&name) else { return };
        if place.address != from || !moved {
            return self.prove(from, message);
        }
        let Some(pool) = self.pools.get(&place.pool) else { return };
        let count = message.count;
        let what = match (&pool.stage, message.act) {
            (Stage::Live(line), Act::Ask(from)) => Notice::Page(count, place.pool, from, line.index()),
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

    fn order(&mut self, from: SocketAddr, name: u64, message: &Message<'_>) {
        let Some(place) = self.places.get(&name).cloned() else { return };
        let outcome = self.carry_out(name, message);
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
                let of = |place: &super::state::Place| {
                    place.pool == id && place.member == member && place.before.is_none()
                };
                let kicked = self.places.iter().find(|(_, place)| of(place)).map(|(name, _)| *name);
                if let Some(kicked) = kicked {
                    if let Some(place) = self.places.get(&kicked) {
                        let ended = Due::ended(place, EndReason::Kicked);
                        self.due.push(ended);
                    }
                    self.leaves(kicked, LeaveReason::Kicked);
                }
                if let Some(recovery) = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut()) {
                    recovery.kicked.push(member);
                }
                let offers: Vec<u64> = self
                    .places
                    .iter()
                    .filter(|(_, place)| {
                        place.pool == id && place.member == member && place.offered.is_some()
                    })
                    .map(|(name, _)| *name)
                    .collect();
                for offer in offers {
                    self.gone.extend(self.places.remove(&offer));
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
