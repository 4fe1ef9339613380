//! What goes in and out, and who has a right to it.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use poolmesh_proto::wire::native::{
    Act, Answer, Call, FromBroadcaster, FromClient, Joined, Key, LONGEST_TO_UNPROVEN, LeaveReason,
    MAX_DATAGRAM, Message, News, Notice, PoolUuid, Reply, State, Tx,
};
use poolmesh_proto::wire::{Dialect, canonical};
use poolmesh_proto::{BroadcasterEvent, Instant, PoolId};

use super::lineage::{Came, Lineage, is_in};

/// What an address that has not proven itself sent and was sent, in datagrams and bytes.
#[derive(Debug, Default)]
struct Account {
    sent: (u64, u64),
    got: (u64, u64),
    proven: bool,
}

/// A place in a pool, as the one who offered it must see it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) joined: Joined,
    /// What the ticket said for which it was offered.
    ticket: Option<State>,
    at: SocketAddr,
    offered: Instant,
    /// When something new was said last, when it was of what was answered last, and when something may have been taken.
    said: Option<Instant>,
    taken: Option<Instant>,
    maybe: Option<Instant>,
    pings: u32,
    orders: u32,
    messages: u32,
    /// It may have ended for a reason that is not silence.
    disturbed: bool,
    /// Or because somebody has come by a ticket of which its own is no part.
    outdone: bool,
}

impl Session {
    fn may_be_over(&self) -> bool {
        self.disturbed || self.outdone
    }
}

/// What has to come of a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Due {
    /// That can't be said.
    Anything,
    /// It is a member's: its ping is answered.
    Answered,
    /// Nobody's.
    Unknown,
}

/// All that went in and out of one broadcaster.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: BTreeMap<SocketAddr, Account>,
    cookies: BTreeSet<(SocketAddr, u64)>,
    requests: BTreeMap<(SocketAddr, Tx), Vec<Key>>,
    tickets: BTreeMap<(SocketAddr, Tx), State>,
    lineage: Lineage,
    pub(super) sessions: Vec<Session>,
    timeout: Duration,
    offer: Duration,
    /// Pools may end with their hosts.
    ends: bool,
    /// Who asked for a hidden pool, and pools that may be hidden.
    hides: BTreeSet<(SocketAddr, Tx)>,
    hidden: BTreeSet<[u8; 16]>,
    /// Requests of addresses that had proven themselves.
    pub(super) asked: usize,
}

/// What a member may say without being held to its rate, in all.
const FEW: u32 = 40;

impl Ledger {
    pub(super) fn new(timeout: Duration, offer: Duration) -> Self {
        Self {
            accounts: BTreeMap::new(),
            cookies: BTreeSet::new(),
            requests: BTreeMap::new(),
            tickets: BTreeMap::new(),
            lineage: Lineage::default(),
            sessions: Vec::new(),
            timeout,
            offer,
            ends: false,
            hides: BTreeSet::new(),
            hidden: BTreeSet::new(),
            asked: 0,
        }
    }

    /// Somebody sends something, at a time of the broadcaster.
    pub(super) fn incoming(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Due {
        if Dialect::of(datagram) == Dialect::Classic {
            return Due::Anything;
        }
        let from = canonical(from);
        let account = self.accounts.entry(from).or_default();
        account.sent = (account.sent.0 + 1, account.sent.1 + datagram.len() as u64);
        match FromClient::read(datagram) {
            Ok(FromClient::Request(request)) => {
                self.requests.entry((from, request.tx)).or_default().push(request.key());
                let cookie = request.cookie.map_or(0, |cookie| cookie.get());
                account.proven |= self.cookies.contains(&(from, cookie));
                self.asked += usize::from(account.proven);
                if let Call::Resume { ticket, .. } = request.call {
                    self.tickets.insert((from, request.tx), ticket.state);
                }
                if let Call::Create { spec, .. } | Call::Resume { spec, .. } = request.call {
                    self.ends |= spec.ends_with_host();
                    if spec.hidden() {
                        self.hides.insert((from, request.tx));
                    }
                }
                Due::Anything
            }
            Ok(FromClient::Message(unverified)) => {
                let mut of = self.sessions.iter().rev();
                let at = of.position(|session| {
                    session.joined.handle == unverified.handle()
                        && unverified.verify(&session.joined.key).is_ok()
                });
                let at = at.and_then(|at| self.sessions.len().checked_sub(at + 1));
                let message = |at: usize| unverified.verify(&self.sessions.get(at)?.joined.key).ok();
                match at.and_then(|at| Some((at, message(at)?))) {
                    Some((at, message)) => self.said(now, from, at, &message),
                    None => Due::Unknown,
                }
            }
            Err(_) => Due::Anything,
        }
    }

    /// A member has said something.
    fn said(&mut self, now: Instant, from: SocketAddr, at: usize, message: &Message<'_>) -> Due {
        let dead = self.is_dead(at, now);
        let Some(session) = self.sessions.get_mut(at) else { return Due::Anything };
        if dead {
            return if session.may_be_over() { Due::Anything } else { Due::Unknown };
        }
        let (pool, member) = (session.joined.pool, session.joined.member);
        session.messages += 1;
        session.disturbed |= session.messages > FEW;
        let highest = if message.act.is_order() { &mut session.orders } else { &mut session.pings };
        let new = message.count > *highest;
        *highest = message.count.max(*highest);
        if new || message.act.is_order() {
            session.maybe = Some(now);
        }
        session.said = if new { Some(now) } else { session.said };
        let heard = session.taken.is_some_and(|taken| !(taken + self.timeout).is_due(now));
        let stands = heard && !session.may_be_over();
        let (own, at_home, joined, ticket) = (session.at == from, session.at, session.joined, session.ticket);
        let comes = session.taken.is_none();
        let answered = new && own && stands && matches!(message.act, Act::Ping(_));
        if let Act::Move(cookie) = message.act {
            if self.cookies.contains(&(from, cookie.get())) {
                self.accounts.entry(from).or_default().proven = true;
                // Who was there has left.
                self.disturb(|other| other.at == from && other.joined.pool == pool);
                if let Some(session) = self.sessions.get_mut(at) {
                    session.at = from;
                }
            }
        }
        if comes {
            self.disturb(|other| other.at == at_home && other.joined.pool == pool && other.joined != joined);
            self.outdo(&joined, ticket);
        }
        // What is over by that, or may be.
        match message.act {
            Act::Close => self.disturb(|other| other.joined.pool == pool),
            Act::Leave => self.disturb(|other| other.joined.pool == pool && other.joined.member == member),
            Act::Kick(gone) => self.disturb(|other| other.joined.pool == pool && other.joined.member == gone),
            Act::Change(spec) => {
                self.ends |= spec.ends_with_host();
                if spec.hidden() {
                    self.hidden.insert(pool.bytes());
                }
            }
            Act::Ping(_) | Act::Ask(_) | Act::Move(_) | Act::About(_) | Act::Hand(_) => {}
        }
        if answered && !self.ends { Due::Answered } else { Due::Anything }
    }

    /// Its time is over, whatever else happened.
    fn is_dead(&self, at: usize, now: Instant) -> bool {
        let Some(session) = self.sessions.get(at) else { return true };
        let end = match session.maybe {
            Some(maybe) => maybe + self.timeout,
            None => session.offered + self.offer,
        };
        end.is_due(now)
    }

    fn disturb(&mut self, which: impl Fn(&Session) -> bool) {
        for session in self.sessions.iter_mut().filter(|session| which(session)) {
            session.disturbed = true;
        }
    }

    /// Somebody comes, by a ticket perhaps: who is there by another may be out.
    fn outdo(&mut self, by: &Joined, ticket: Option<State>) {
        let Some(ticket) = ticket else { return };
        for one in self.sessions.iter_mut().filter(|one| one.joined.pool == by.pool && one.joined != *by) {
            one.outdone |= one.ticket.is_none_or(|other| !is_in(&other, &ticket));
        }
    }

    /// Something goes out.
    pub(super) fn outgoing(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        if Dialect::of(datagram) == Dialect::Classic {
            return;
        }
        let to = canonical(to);
        assert!(datagram.len() <= MAX_DATAGRAM, "{} bytes", datagram.len());
        let account = self.accounts.entry(to).or_default();
        account.got = (account.got.0 + 1, account.got.1 + datagram.len() as u64);
        if !account.proven {
            assert!(account.got.0 <= account.sent.0 && account.got.1 <= account.sent.1, "{to}: {account:?}");
            assert!(datagram.len() <= LONGEST_TO_UNPROVEN, "{} bytes to {to}", datagram.len());
        }
        let proven = account.proven;
        assert!(FromClient::read(datagram).is_err(), "another broadcaster would take it for a client's");
        match FromBroadcaster::read(datagram).expect("a broadcaster writes datagrams") {
            FromBroadcaster::Answer(answer) => {
                let keys = self.requests.get(&(to, answer.tx())).expect("somebody who has asked");
                let answer =
                    keys.iter().find_map(|key| answer.verify(key).ok()).expect("a tag of his request");
                self.answered(now, to, proven, &answer);
            }
            FromBroadcaster::Notice(notice) => {
                assert!(proven, "{to} has never shown itself");
                let of = self.sessions.iter().rev().filter(|one| one.joined.handle == notice.handle());
                let verified = |one: &Session| notice.verify(&one.joined.key).ok();
                let (told, joined) = of
                    .filter_map(|one| Some((verified(one)?, one.joined)))
                    .next()
                    .expect("a tag of a session that was offered");
                self.told(now, &told, &joined);
            }
            FromBroadcaster::Challenge(challenge) => {
                if let Some(cookie) = challenge.prove {
                    self.cookies.insert((to, cookie.get()));
                }
            }
        }
    }

    fn answered(&mut self, now: Instant, to: SocketAddr, proven: bool, answer: &Answer<'_>) {
        if let Reply::Cookie(cookie) = &answer.reply {
            self.cookies.insert((to, cookie.get()));
            return;
        }
        assert!(proven, "{to} has never shown itself");
        let Reply::Joined(joined) = &answer.reply else { return };
        assert_eq!(joined.you.get(), to);
        if self.hides.contains(&(to, answer.tx)) {
            self.hidden.insert(joined.pool.bytes());
        }
        // The same again; if it has moved since, it is seen elsewhere.
        if self.sessions.iter().any(|one| Joined { you: joined.you, ..one.joined } == *joined) {
            return;
        }
        let same = |one: &Session| one.joined.session == joined.session && one.joined.pool == joined.pool;
        assert!(!self.sessions.iter().any(same), "a session twice: {joined:?}");
        assert!(!self.sessions.iter().any(|one| one.joined.key == joined.key), "a key twice");
        // Who is back, and who is at the same place, may be over now.
        self.disturb(|one| {
            one.joined.pool == joined.pool && (one.joined.member == joined.member || one.at == to)
        });
        // Who is back goes on with what is left of its rate.
        let same = |one: &&Session| (one.joined.pool, one.joined.member) == (joined.pool, joined.member);
        let messages = self.sessions.iter().filter(same).map(|one| one.messages).max().unwrap_or(0);
        self.sessions.push(Session {
            joined: *joined,
            ticket: self.tickets.get(&(to, answer.tx)).copied(),
            at: to,
            offered: now,
            said: None,
            taken: None,
            maybe: None,
            pings: 0,
            orders: 0,
            messages,
            disturbed: false,
            outdone: false,
        });
    }

    /// A broadcaster tells what has happened: nobody has left without a reason.
    pub(super) fn event(&self, now: Instant, event: &BroadcasterEvent) {
        let BroadcasterEvent::MemberLeft { pool, member, reason, .. } = event else { return };
        let is = |one: &&Session| PoolId::from(one.joined.pool) == *pool && one.joined.member == *member;
        let mut sessions = self.sessions.iter().filter(is);
        let disturbed = self.ends || sessions.clone().any(Session::may_be_over);
        let heard = |one: &Session| one.taken.is_some_and(|taken| !(taken + self.timeout).is_due(now));
        let silent = *reason == LeaveReason::TimedOut && !sessions.any(heard);
        assert!(disturbed || silent, "{event:?} at {now:?}, of {:?}", self.sessions);
    }

    /// Whether a pool may be hidden.
    pub(super) fn may_be_hidden(&self, pool: PoolUuid) -> bool {
        self.hidden.contains(&pool.bytes())
    }

    /// Whether a pool may be coming back: somebody has come by a ticket.
    pub(super) fn may_recover(&self, pool: PoolUuid) -> bool {
        self.sessions.iter().any(|one| one.joined.pool == pool && one.ticket.is_some())
    }

    /// The members that are there for certain.
    pub(super) fn living(&self, now: Instant) -> impl Iterator<Item = &Joined> {
        let lives = move |one: &&Session| {
            let taken = one.taken.is_some_and(|taken| !(taken + self.timeout).is_due(now));
            taken && !one.may_be_over() && !self.ends
        };
        self.sessions.iter().filter(lives).map(|one| &one.joined)
    }

    /// Who may be a member, and by which ticket.
    fn came(&self, now: Instant) -> Vec<Came> {
        let came = |one: &Session| {
            one.maybe?;
            let taken = one.taken.is_some_and(|taken| !(taken + self.timeout).is_due(now));
            let is_there = taken && !one.disturbed && !self.ends;
            let Joined { pool, member, .. } = one.joined;
            Some(Came { pool, member, ticket: one.ticket, is_there })
        };
        self.sessions.iter().filter_map(came).collect()
    }

    fn told(&mut self, now: Instant, notice: &Notice<'_>, joined: &Joined) {
        let came = self.came(now);
        self.lineage.told(joined.pool, &notice.news, &came);
        let one = self.sessions.iter_mut().find(|one| one.joined == *joined);
        if let (News::Pong { .. } | News::Page(_) | News::Done { .. }, Some(one)) = (&notice.news, one) {
            // It is a member, or has just left.
            one.taken = one.said;
        }
        if let News::Ended(_) = notice.news {
            let ended = |one: &Session| one.joined == *joined;
            let one = self.sessions.iter().find(|one| ended(one));
            assert!(
                self.ends || one.is_some_and(|one| one.disturbed),
                "{notice:?} without a reason: {one:?}"
            );
        }
    }
}
