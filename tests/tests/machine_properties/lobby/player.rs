//! A client that believes what it is told, and checks it.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    Act, Change, Cookie, Entry, Epoch, FromBroadcaster, Joined, Key, Keys, MAX_DATAGRAM, Message, News,
    PageStart, PoolSpec, PoolUuid, Reply, Secret, State, Ticket, Tx,
};

/// A member: its number, where it is, and what it says.
type Seen = (u32, SocketAddr, Vec<u8>);

/// The roster, the spec and the host.
type Told = (Vec<Seen>, String, u32);

/// What all were told: equal epochs mean equal rosters, equal specs and the same host, and in an era a term has one host.
#[derive(Default)]
pub(crate) struct Known {
    /// By the pool, the era and the epoch's number.
    epochs: BTreeMap<(PoolUuid, u64, u32), Told>,
    /// By the pool, the era and the term.
    terms: BTreeMap<(PoolUuid, u64, u32), u32>,
}

impl Known {
    fn hold(&mut self, pool: PoolUuid, state: &State, roster: &[Seen], spec: &PoolSpec) {
        let epoch = (pool, state.epoch.era(), state.epoch.number());
        let told = (roster.to_vec(), format!("{spec:?}"), state.host.get());
        let first = self.epochs.entry(epoch).or_insert_with(|| told.clone());
        assert_eq!(*first, told, "{epoch:?} has two meanings");
        let term = (pool, state.epoch.era(), state.term.get());
        let host = *self.terms.entry(term).or_insert_with(|| state.host.get());
        assert_eq!(host, state.host.get(), "{term:?} has two hosts");
    }
}

#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) from: SocketAddr,
    pub(crate) tx: Option<Tx>,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) ticket: Option<(Ticket, PoolSpec)>,
    pub(crate) proof: Option<Cookie>,
    joined: Option<Joined>,
    count: u32,
    order: u32,
    state: Option<State>,
    spec: Option<PoolSpec>,
    roster: Vec<Seen>,
}

impl Player {
    pub(crate) fn new(from: SocketAddr) -> Self {
        Self {
            from,
            tx: None,
            cookie: None,
            ticket: None,
            proof: None,
            joined: None,
            count: 0,
            order: 0,
            state: None,
            spec: None,
            roster: Vec::new(),
        }
    }

    pub(crate) fn moves_to(&mut self, to: SocketAddr) {
        (self.from, self.cookie) = (to, None);
    }

    pub(crate) fn forget_broadcaster(&mut self) {
        self.cookie = None;
    }

    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.state.map(|state| state.epoch)
    }

    pub(crate) fn message(&mut self, act: Act<'_>) -> Option<(BytesMut, SocketAddr)> {
        let joined = self.joined?;
        let count = if act.is_order() { &mut self.order } else { &mut self.count };
        *count += 1;
        let mut out = BytesMut::new();
        Message { handle: joined.handle, count: *count, act }.write(&joined.key, &mut out);
        Some((out, self.from))
    }

    pub(crate) fn read(&mut self, datagram: &[u8], known: &mut Known) {
        assert!(datagram.len() <= MAX_DATAGRAM);
        match FromBroadcaster::read(datagram).unwrap() {
            FromBroadcaster::Answer(answer) => {
                let Some(tx) = self.tx.filter(|tx| *tx == answer.tx()) else { return };
                let verified = answer.verify(&Key::of_request(tx, self.cookie));
                let Ok(answer) = verified.or_else(|_| answer.verify(&Key::of_request(tx, None))) else {
                    return;
                };
                match answer.reply {
                    Reply::Cookie(cookie) => self.cookie = Some(cookie),
                    Reply::Joined(joined) if self.joined.is_none_or(|old| old.session != joined.session) => {
                        (self.joined, self.state) = (Some(joined), None);
                        (self.count, self.order) = (0, 0);
                        assert_eq!(joined.you.get(), self.from);
                    }
                    Reply::Joined(_) | Reply::Refused(_) | Reply::Pools { .. } => {}
                }
            }
            FromBroadcaster::Challenge(challenge) => {
                let mine = self.joined.is_some_and(|joined| joined.handle == challenge.handle);
                self.proof = challenge.prove.filter(|_| mine);
            }
            FromBroadcaster::Notice(notice) => {
                let Some(joined) = self.joined else { return };
                // Of a session before it may be.
                let Ok(notice) = notice.verify(&joined.key) else { return };
                self.heed(&joined, &notice.news, known);
            }
        }
    }

    fn heed(&mut self, joined: &Joined, news: &News<'_>, known: &mut Known) {
        match news {
            News::Page(page) => {
                let PageStart::First(spec) = page.start else { return };
                assert!(!page.more, "they are few");
                self.roster = page.entries.map(|entry| seen(&entry)).collect();
                (self.spec, self.state) = (Some(spec.into()), Some(page.state));
            }
            News::Changed { state, changes } => {
                let Some(mine) = self.state else { return };
                let is_next = mine.epoch.era() == state.epoch.era()
                    && mine.epoch.number().checked_add(1) == Some(state.epoch.number());
                if !is_next {
                    return;
                }
                changes.for_each(|change| self.apply(&change));
                self.state = Some(*state);
            }
            News::Pong { .. } | News::Done { .. } | News::Ended(_) => return,
        }
        let (state, spec) = (self.state.unwrap(), self.spec.clone().unwrap());
        assert_eq!(self.roster.len(), usize::from(state.count.get()), "{news:?}");
        assert!(self.roster.is_sorted_by(|one, other| one.0 < other.0));
        assert!(self.roster.iter().any(|(member, ..)| *member == state.host.get()), "the host is there");
        assert!(self.roster.iter().all(|(member, ..)| *member < state.next.get()));
        let ticket = Ticket {
            application: joined.application,
            pool: joined.pool,
            code: joined.code,
            member: joined.member,
            session: joined.session,
            state,
        };
        assert!(Keys::of(&Secret::new([7; 32])).sealed(&ticket, &spec.as_spec()), "the seal is right");
        known.hold(joined.pool, &state, &self.roster, &spec);
        self.ticket = Some((ticket, spec));
    }

    fn apply(&mut self, change: &Change<'_>) {
        let of =
            |roster: &mut Vec<Seen>, member: u32| roster.iter().position(|seen| seen.0 == member).unwrap();
        match change {
            Change::Joined(entry) => {
                let place = self.roster.partition_point(|other| other.0 < entry.member.get());
                self.roster.insert(place, seen(entry));
            }
            Change::Left { member, .. } => {
                let at = of(&mut self.roster, member.get());
                self.roster.remove(at);
            }
            Change::About { member, about } => {
                let at = of(&mut self.roster, member.get());
                self.roster[at].2 = about.get().to_vec();
            }
            Change::Moved { member, address } => {
                let at = of(&mut self.roster, member.get());
                self.roster[at].1 = address.get();
            }
            Change::Spec(spec) => self.spec = Some((*spec).into()),
        }
    }
}

fn seen(entry: &Entry<'_>) -> Seen {
    (entry.member.get(), entry.address.get(), entry.about.get().to_vec())
}
