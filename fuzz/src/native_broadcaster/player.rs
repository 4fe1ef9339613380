//! An honest client, made of the wire's readers and writers. It keeps what it was told.

use core::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::wire::Dialect;
use poolmesh_proto::wire::native::{
    Act, Call, Cookie, Epoch, FromBroadcaster, FromClient, Joined, Key, Member, Message, News, Notice, Page,
    PageStart, Reply, Request, Ticket, Tx, UnverifiedAnswer, UnverifiedNotice,
};

use super::seen::{Members, Roster, Seen};

/// The calls and the places that one keeps, the latest ones.
const MOST: usize = 4;

/// A client at an address.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) address: SocketAddr,
    cookie: Option<Cookie>,
    calls: Vec<Asked>,
    pub(super) places: Vec<Place>,
}

/// A call that may be answered.
#[derive(Debug)]
struct Asked {
    tx: Tx,
    /// As it was sent last.
    request: Vec<u8>,
    /// With which keys its answers are tagged.
    keys: Vec<Key>,
}

/// A place in a pool, as its member knows it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) joined: Joined,
    pub(super) count: u32,
    pub(super) orders: u32,
    /// The latest roster that it has whole.
    pub(super) roster: Option<Roster>,
    /// A page of this session came.
    shown: bool,
    gathered: Option<(Roster, Member)>,
}

impl Player {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, cookie: None, calls: Vec::new(), places: Vec::new() }
    }

    pub(super) fn place(&self, choice: u8) -> Option<&Place> {
        self.places.get(usize::from(choice).checked_rem(self.places.len())?)
    }

    pub(super) fn place_mut(&mut self, choice: u8) -> Option<&mut Place> {
        let place = usize::from(choice).checked_rem(self.places.len())?;
        self.places.get_mut(place)
    }

    /// Makes a call.
    pub(super) fn ask(&mut self, tx: Tx, call: Call<'_>) -> Vec<u8> {
        let request = Request { tx, cookie: self.cookie, call };
        let bytes = written(&request);
        if self.calls.len() >= MOST {
            self.calls.remove(0);
        }
        self.calls.push(Asked { tx, request: bytes.clone(), keys: vec![request.key()] });
        bytes
    }

    /// Sends a call again as it was.
    pub(super) fn again(&self, choice: u8) -> Option<Vec<u8>> {
        let call = usize::from(choice).checked_rem(self.calls.len())?;
        self.calls.get(call).map(|call| call.request.clone())
    }

    /// What a call is answered, if the answer is one.
    pub(super) fn reply<'a>(&self, answer: &UnverifiedAnswer<'a>) -> Option<Reply<'a>> {
        let call = self.calls.iter().find(|call| call.tx == answer.tx())?;
        let answer = call.keys.iter().find_map(|key| answer.verify(key).ok())?;
        call.check(&answer.reply);
        Some(answer.reply)
    }

    /// Reads what came, and answers it as PROTOCOL.md says.
    pub(super) fn handle(&mut self, datagram: &[u8], seen: &mut Seen) -> Option<Vec<u8>> {
        if Dialect::of(datagram) == Dialect::Classic {
            return None;
        }
        match FromBroadcaster::read(datagram).expect("a broadcaster writes datagrams") {
            FromBroadcaster::Answer(answer) => {
                let reply = self.reply(&answer)?;
                self.answered(answer.tx(), &reply)
            }
            FromBroadcaster::Notice(notice) => {
                let place = self.places.iter_mut().rev().find(|place| verified(place, &notice).is_some())?;
                let notice = verified(place, &notice)?;
                place.told(&notice, seen)
            }
            FromBroadcaster::Challenge(challenge) => {
                let is = |place: &&mut Place| place.joined.handle == challenge.handle;
                let place = self.places.iter_mut().rev().find(is)?;
                self.cookie = challenge.prove.or(self.cookie);
                if challenge.prove.is_none() || challenge.count != place.count {
                    return None;
                }
                challenge.prove.map(|cookie| place.say(Act::Move(cookie)))
            }
        }
    }

    fn answered(&mut self, tx: Tx, reply: &Reply<'_>) -> Option<Vec<u8>> {
        match reply {
            Reply::Cookie(cookie) => {
                self.cookie = Some(*cookie);
                let call = self.calls.iter_mut().find(|call| call.tx == tx)?;
                let Ok(FromClient::Request(request)) = FromClient::read(&call.request) else { return None };
                let request = Request { cookie: self.cookie, ..request };
                if call.keys.len() >= 3 {
                    return None;
                }
                call.keys.push(request.key());
                let bytes = written(&request);
                call.request.clone_from(&bytes);
                Some(bytes)
            }
            Reply::Joined(joined) => {
                if self.places.iter().any(|place| Joined { you: joined.you, ..place.joined } == *joined) {
                    return None;
                }
                if self.places.len() >= MOST {
                    self.places.remove(0);
                }
                self.places.push(Place::new(*joined));
                self.places.last_mut().map(Place::ping)
            }
            Reply::Refused(_) | Reply::Pools { .. } => None,
        }
    }
}

impl Asked {
    /// The reply is one to this call.
    fn check(&self, reply: &Reply<'_>) {
        let Ok(FromClient::Request(request)) = FromClient::read(&self.request) else { return };
        match (&request.call, reply) {
            (_, Reply::Cookie(_) | Reply::Refused(_)) => {}
            (Call::List { application, after, free, prefix }, Reply::Pools { listings, .. }) => {
                for listing in *listings {
                    assert!(listing.pool > *after, "{listing:?} is not behind {after:?}");
                    assert_eq!(listing.listed.is_none(), application.is_none(), "{listing:?}");
                    let Some(listed) = listing.listed else { continue };
                    assert!(listed.name.get().starts_with(prefix.get()), "{listing:?}, asked for {prefix:?}");
                    let free_seats = listed.seats.get().saturating_sub(listed.members);
                    assert!(listed.members > 0 && free_seats >= *free, "{listing:?}, asked for {free}");
                }
            }
            (Call::Create { application, .. }, Reply::Joined(joined)) => {
                assert_eq!((joined.application, joined.member.get()), (*application, 1));
            }
            (Call::Join { application, pool, .. }, Reply::Joined(joined)) => {
                assert_eq!((joined.application, joined.pool), (*application, *pool));
            }
            (Call::JoinByCode { application, code, .. }, Reply::Joined(joined)) => {
                assert_eq!((joined.application, joined.code), (*application, *code));
            }
            (Call::Resume { ticket, .. }, Reply::Joined(joined)) => {
                let (is, was) = ((joined.application, joined.pool), (ticket.application, ticket.pool));
                assert_eq!((is, joined.member), (was, ticket.member));
            }
            (call, reply) => panic!("{call:?} is answered by {reply:?}"),
        }
    }
}

fn written(request: &Request<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    request.write(&mut out);
    out.to_vec()
}

fn verified<'a>(place: &Place, notice: &UnverifiedNotice<'a>) -> Option<Notice<'a>> {
    let is = place.joined.handle == notice.handle();
    notice.verify(&place.joined.key).ok().filter(|_| is)
}

impl Place {
    fn new(joined: Joined) -> Self {
        Self { joined, count: 0, orders: 0, roster: None, shown: false, gathered: None }
    }

    /// What it is back by.
    pub(super) fn ticket(&self) -> Option<(Ticket, Roster)> {
        let roster = self.roster.clone()?;
        let Joined { application, pool, code, member, session, .. } = self.joined;
        Some((Ticket { application, pool, code, member, session, state: roster.state }, roster))
    }

    pub(super) fn ping(&mut self) -> Vec<u8> {
        self.say(Act::Ping(self.epoch()))
    }

    fn epoch(&self) -> Option<Epoch> {
        self.roster.as_ref().filter(|_| self.shown).map(|roster| roster.state.epoch)
    }

    pub(super) fn say(&mut self, act: Act<'_>) -> Vec<u8> {
        let count = if act.is_order() { &mut self.orders } else { &mut self.count };
        *count = count.saturating_add(1);
        let count = *count;
        self.say_again(count, act)
    }

    /// Says something under a count that may have been.
    pub(super) fn say_again(&self, count: u32, act: Act<'_>) -> Vec<u8> {
        let mut out = BytesMut::new();
        Message { handle: self.joined.handle, count, act }.write(&self.joined.key, &mut out);
        out.to_vec()
    }

    fn told(&mut self, notice: &Notice<'_>, seen: &mut Seen) -> Option<Vec<u8>> {
        match &notice.news {
            News::Page(page) => {
                seen.page(self.joined.pool, page);
                self.page(page, seen)
            }
            News::Changed { state, changes } => {
                seen.said(self.joined.pool, state);
                if let Some(roster) = &mut self.roster {
                    let (have, new) = (roster.state.epoch, state.epoch);
                    if have.era() == new.era() && new.number() == have.number().wrapping_add(1) {
                        roster.apply(*state, *changes);
                        seen.whole(self.joined.pool, roster);
                        return None;
                    }
                    if have.era() == new.era() && new.number() <= have.number() {
                        return None;
                    }
                }
                Some(self.say(Act::Ask(None)))
            }
            News::Pong { count } => {
                assert!(*count <= self.count, "an answer to what was not said");
                None
            }
            News::Done { count, .. } => {
                assert!(*count <= self.orders, "an answer to what was not said");
                None
            }
            News::Ended(_) => None,
        }
    }

    fn page(&mut self, page: &Page<'_>, seen: &mut Seen) -> Option<Vec<u8>> {
        let have = self.roster.as_ref().map(|roster| roster.state.epoch);
        let older =
            |have: Epoch| have.era() == page.state.epoch.era() && have.number() > page.state.epoch.number();
        if have.is_some_and(older) {
            return None;
        }
        self.shown = true;
        let entries =
            page.entries.map(|one| (one.member.get(), (one.address.get(), one.about.get().to_vec())));
        let members: Members = entries.collect();
        let last = members.last_key_value().and_then(|(last, _)| Member::new(last.checked_add(1)?));
        let mut roster = match (&page.start, self.gathered.take()) {
            (PageStart::First(spec), _) => {
                Roster { state: page.state, spec: (*spec).into(), members: Members::new() }
            }
            (PageStart::From(from), Some((roster, next)))
                if next == *from && roster.state.epoch == page.state.epoch =>
            {
                roster
            }
            (PageStart::From(_), _) => return Some(self.say(Act::Ask(None))),
        };
        roster.members.extend(members);
        match last.filter(|_| page.more) {
            Some(next) => {
                self.gathered = Some((roster, next));
                Some(self.say(Act::Ask(Some(next))))
            }
            None => {
                seen.whole(self.joined.pool, &roster);
                self.roster = Some(roster);
                None
            }
        }
    }
}
