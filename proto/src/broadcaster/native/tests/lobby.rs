//! A broadcaster with its clients, who write what they are told to and read what they get.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::BytesMut;

use crate::broadcaster::{Broadcaster, BroadcasterConfig, BroadcasterEvent, RandomSource};
use crate::wire::native::*;
use crate::{Instant, Machine, Output};

pub(super) fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

pub(super) fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

pub(super) const GAME: Application = Application::POOLMESH;

/// Random numbers that are the same each time, and differ by the seed.
pub(super) fn random(seed: u128) -> impl RandomSource {
    let mut state = seed;
    move || {
        state =
            state.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(0x1405_7b7e_f767_814f);
        state ^ state.rotate_left(64)
    }
}

/// What all broadcasters here have, but where it is said.
pub(super) const SECRET: Secret = Secret::new([7; 32]);

pub(super) fn spec(seats: u16) -> PoolSpec {
    PoolSpec::new(Seats::new(seats).unwrap())
}

pub(super) fn member(number: u32) -> Member {
    Member::new(number).unwrap()
}

/// What a client got, read and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Got {
    Cookie(Cookie),
    Refused(Refusal),
    Pools { ids: Vec<Row>, next: Option<PoolUuid> },
    Joined(Joined),
    Pong(u32),
    Page { count: u32, from: u32, state: State, spec: Option<PoolSpec>, more: bool, members: Vec<Seen> },
    Done(u32, Result<(), Refusal>),
    Changed { state: State, changes: Vec<Told> },
    Ended(EndReason),
    Unknown(Handle, u32),
    Prove(Handle, u32, Cookie),
}

/// A pool of a list, and of a native one its members, its seats, and whether it is locked.
pub(super) type Row = (PoolUuid, Option<(u16, u16, bool)>);

/// A member, as the roster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) member: u32,
    pub(super) address: SocketAddr,
    pub(super) about: Vec<u8>,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Joined(Seen),
    Left(u32, LeaveReason),
    About(u32, Vec<u8>),
    Moved(u32, SocketAddr),
    Spec(PoolSpec),
}

fn seen(entry: Entry<'_>) -> Seen {
    Seen { member: entry.member.get(), address: entry.address.get(), about: entry.about.get().to_vec() }
}

fn told(change: Change<'_>) -> Told {
    match change {
        Change::Joined(entry) => Told::Joined(seen(entry)),
        Change::Left { member, reason } => Told::Left(member.get(), reason),
        Change::About { member, about } => Told::About(member.get(), about.get().to_vec()),
        Change::Moved { member, address } => Told::Moved(member.get(), address.get()),
        Change::Spec(spec) => Told::Spec(spec.into()),
    }
}

/// A client, or what is left of one.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) from: SocketAddr,
    pub(super) tx: u64,
    pub(super) cookie: Option<Cookie>,
    pub(super) about: Vec<u8>,
    pub(super) joined: Option<Joined>,
    pub(super) count: u32,
    pub(super) order: u32,
    /// What it was told last, and the spec.
    pub(super) state: Option<State>,
    pub(super) spec: Option<PoolSpec>,
    pub(super) roster: Vec<Seen>,
    /// Of the latest epoch of which it has the whole roster.
    pub(super) ticket: Option<(Ticket, PoolSpec)>,
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        Self::at(address(port))
    }

    pub(super) fn at(from: SocketAddr) -> Self {
        Self {
            from,
            tx: u64::from(from.port()) + 1_000,
            cookie: None,
            about: Vec::new(),
            joined: None,
            count: 0,
            order: 0,
            state: None,
            spec: None,
            roster: Vec::new(),
            ticket: None,
        }
    }

    pub(super) fn tx(&self) -> Tx {
        Tx::new(self.tx).unwrap()
    }

    pub(super) fn request(&self, call: Call<'_>) -> BytesMut {
        let mut out = BytesMut::new();
        Request { tx: self.tx(), cookie: self.cookie, call }.write(&mut out);
        out
    }

    pub(super) fn message(&self, count: u32, act: Act<'_>) -> BytesMut {
        let joined = self.joined.unwrap();
        let mut out = BytesMut::new();
        Message { handle: joined.handle, count, act }.write(&joined.key, &mut out);
        out
    }

    pub(super) fn member(&self) -> u32 {
        self.joined.unwrap().member.get()
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.state.map(|state| state.epoch)
    }

    /// Reads what came.
    pub(super) fn read(&self, datagram: &[u8]) -> Got {
        assert!(datagram.len() <= MAX_DATAGRAM);
        match FromBroadcaster::read(datagram).unwrap() {
            FromBroadcaster::Answer(answer) => {
                assert_eq!(answer.tx(), self.tx());
                let answer = answer
                    .verify(&Key::of_request(self.tx(), self.cookie))
                    .or_else(|_| answer.verify(&Key::of_request(self.tx(), None)));
                match answer.unwrap().reply {
                    Reply::Cookie(cookie) => Got::Cookie(cookie),
                    Reply::Refused(refusal) => Got::Refused(refusal),
                    Reply::Joined(joined) => Got::Joined(joined),
                    Reply::Pools { next, listings } => {
                        let one = |listing: Listing<'_>| {
                            let known =
                                |listed: Listed<'_>| (listed.members, listed.seats.get(), listed.locked);
                            (listing.pool, listing.listed.map(known))
                        };
                        Got::Pools { ids: listings.map(one).collect(), next }
                    }
                }
            }
            FromBroadcaster::Notice(notice) => {
                let joined = self.joined.unwrap();
                let notice = notice.verify(&joined.key).unwrap();
                assert_eq!(notice.handle, joined.handle);
                match notice.news {
                    News::Pong { count } => Got::Pong(count),
                    News::Page(page) => {
                        let (from, spec) = match page.start {
                            PageStart::First(spec) => (0, Some(spec.into())),
                            PageStart::From(member) => (member.get(), None),
                        };
                        let members = page.entries.map(seen).collect();
                        Got::Page {
                            count: page.count,
                            from,
                            state: page.state,
                            spec,
                            more: page.more,
                            members,
                        }
                    }
                    News::Done { count, outcome } => Got::Done(count, outcome),
                    News::Changed { state, changes } => {
                        Got::Changed { state, changes: changes.map(told).collect() }
                    }
                    News::Ended(reason) => Got::Ended(reason),
                }
            }
            FromBroadcaster::Challenge(challenge) => match challenge.prove {
                Some(cookie) => Got::Prove(challenge.handle, challenge.count, cookie),
                None => Got::Unknown(challenge.handle, challenge.count),
            },
        }
    }

    /// Does with what came what a client does, and checks that it goes with what it knows.
    fn take(&mut self, got: &Got) {
        match got {
            Got::Page { state, spec, more, members, from, .. } => {
                if let Some(spec) = spec {
                    self.roster.clear();
                    self.spec = Some(spec.clone());
                }
                self.roster.retain(|seen| seen.member < *from);
                self.roster.extend(members.iter().cloned());
                self.state = Some(*state);
                assert!(*more || usize::from(state.count.get()) == self.roster.len(), "{got:?}");
            }
            Got::Changed { state, changes } => {
                let Some(mine) = self.state else { return };
                let next = mine.epoch.number() + 1;
                if mine.epoch.era() != state.epoch.era() || state.epoch.number() != next {
                    return;
                }
                for change in changes {
                    self.apply(change);
                }
                self.state = Some(*state);
                assert_eq!(usize::from(state.count.get()), self.roster.len(), "{got:?}");
            }
            Got::Cookie(_)
            | Got::Refused(_)
            | Got::Pools { .. }
            | Got::Joined(_)
            | Got::Pong(_)
            | Got::Done(..)
            | Got::Ended(_)
            | Got::Unknown(..)
            | Got::Prove(..) => {}
        }
        let is_roster = matches!(got, Got::Page { more: false, .. } | Got::Changed { .. });
        if let Some(state) = self.state.filter(|_| is_roster) {
            let joined = self.joined.unwrap();
            let ticket = Ticket {
                application: joined.application,
                pool: joined.pool,
                code: joined.code,
                member: joined.member,
                session: joined.session,
                state,
            };
            let spec = self.spec.clone().unwrap();
            assert!(Keys::of(&SECRET).sealed(&ticket, &spec.as_spec()), "{got:?}");
            self.ticket = Some((ticket, spec));
            assert!(self.roster.is_empty() || self.roster.iter().any(|it| it.member == state.host.get()));
            assert!(self.roster.is_sorted_by_key(|seen| seen.member));
        }
    }

    fn apply(&mut self, change: &Told) {
        match change {
            Told::Joined(seen) => {
                let place = self.roster.partition_point(|other| other.member < seen.member);
                self.roster.insert(place, seen.clone());
            }
            Told::Left(member, _) => {
                let before = self.roster.len();
                self.roster.retain(|seen| seen.member != *member);
                assert_eq!(self.roster.len() + 1, before, "who left was there");
            }
            Told::About(member, about) => self.of(*member).about.clone_from(about),
            Told::Moved(member, address) => self.of(*member).address = *address,
            Told::Spec(spec) => self.spec = Some(spec.clone()),
        }
    }

    fn of(&mut self, member: u32) -> &mut Seen {
        self.roster.iter_mut().find(|seen| seen.member == member).unwrap()
    }
}

/// A broadcaster and the time.
pub(super) struct Lobby<R> {
    pub(super) machine: Broadcaster<R>,
    pub(super) now: Instant,
    /// What came for whom, and was not looked at.
    pub(super) mail: BTreeMap<SocketAddr, Vec<Vec<u8>>>,
    pub(super) events: Vec<BroadcasterEvent>,
}

pub(super) fn lobby(change: impl Fn(&mut BroadcasterConfig)) -> Lobby<impl RandomSource> {
    lobby_of(7, change)
}

pub(super) fn lobby_of(seed: u128, change: impl Fn(&mut BroadcasterConfig)) -> Lobby<impl RandomSource> {
    let mut config = BroadcasterConfig { secret: Some(SECRET), ..BroadcasterConfig::default() };
    config.limits.sources = 16;
    config.limits.requests_in_a_row = 100_000;
    change(&mut config);
    lobby_over(Broadcaster::new(config, random(seed)))
}

pub(super) fn lobby_over<R>(machine: Broadcaster<R>) -> Lobby<R> {
    Lobby { machine, now: Instant::ZERO, mail: BTreeMap::new(), events: Vec::new() }
}

impl<R: RandomSource> Lobby<R> {
    /// Hands in, and lets the outputs wait.
    pub(super) fn hand_in(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.machine.handle_datagram(self.now, from, datagram);
    }

    pub(super) fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.machine.poll_output() {
                Output::Transmit(sent) => {
                    self.mail.entry(sent.destination).or_default().push(sent.payload.to_vec());
                }
                Output::Event(event) => self.events.push(event),
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    /// What came for a client. It takes it in.
    pub(super) fn got(&mut self, client: &mut Client) -> Vec<Got> {
        self.drain();
        let mail = self.mail.remove(&client.from).unwrap_or_default();
        let mut all = Vec::new();
        for datagram in mail {
            let got = client.read(&datagram);
            client.take(&got);
            all.push(got);
        }
        all
    }

    pub(super) fn send(&mut self, client: &mut Client, datagram: &[u8]) -> Vec<Got> {
        self.hand_in(client.from, datagram);
        self.got(client)
    }

    /// Asks with a cookie, which it gets first.
    pub(super) fn ask(&mut self, client: &mut Client, call: Call<'_>) -> Got {
        if client.cookie.is_none() {
            let sent = client.request(call);
            let got = self.send(client, &sent);
            let [Got::Cookie(cookie)] = got[..] else { panic!("no cookie: {got:?}") };
            client.cookie = Some(cookie);
        }
        let sent = client.request(call);
        let got = self.send(client, &sent);
        let [got] = &got[..] else { panic!("not one answer: {got:?}") };
        if let Got::Joined(joined) = got {
            client.joined = Some(*joined);
            (client.count, client.order) = (0, 0);
        }
        got.clone()
    }

    pub(super) fn create(&mut self, client: &mut Client, spec: &PoolSpec) -> Got {
        let about = client.about.clone();
        let about = About::new(&about).unwrap();
        self.ask(client, Call::Create { application: GAME, spec: spec.as_spec(), about })
    }

    pub(super) fn join(&mut self, client: &mut Client, pool: PoolUuid) -> Got {
        let about = client.about.clone();
        self.ask(client, Call::Join { application: GAME, pool, about: About::new(&about).unwrap() })
    }

    pub(super) fn resume(&mut self, client: &mut Client) -> Got {
        let ((ticket, spec), about) = (client.ticket.clone().unwrap(), client.about.clone());
        client.tx += 1 << 20;
        self.ask(client, Call::Resume { ticket, spec: spec.as_spec(), about: About::new(&about).unwrap() })
    }

    pub(super) fn act(&mut self, client: &mut Client, act: Act<'_>) -> Vec<Got> {
        let sent = if act.is_order() {
            client.order += 1;
            client.message(client.order, act)
        } else {
            client.count += 1;
            client.message(client.count, act)
        };
        self.send(client, &sent)
    }

    pub(super) fn ping(&mut self, client: &mut Client) -> Vec<Got> {
        self.act(client, Act::Ping(client.epoch()))
    }

    /// A pool with its host.
    pub(super) fn host(&mut self, port: u16, spec: &PoolSpec) -> Client {
        let mut host = Client::new(port);
        let got = self.create(&mut host, spec);
        assert!(matches!(got, Got::Joined(_)), "{got:?}");
        self.ping(&mut host);
        host
    }

    /// A pool with so many members, each of whom has the roster.
    pub(super) fn pool(&mut self, members: u16, spec: &PoolSpec) -> Vec<Client> {
        let host = self.host(1, spec);
        let pool = host.joined.unwrap().pool;
        let mut all = [host].to_vec();
        for port in 2..=members {
            let mut client = Client::new(port);
            let got = self.join(&mut client, pool);
            assert!(matches!(got, Got::Joined(_)), "{got:?}");
            self.ping(&mut client);
            all.push(client);
        }
        self.meet(&mut all);
        all
    }

    /// All take in what came for them.
    pub(super) fn meet(&mut self, clients: &mut [Client]) -> Vec<Vec<Got>> {
        clients.iter_mut().map(|client| self.got(client)).collect()
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.machine.handle_timeout(self.now);
        let deadline = self.drain();
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "{deadline:?} is not after {:?}",
            self.now
        );
    }

    /// Time goes on, and all of these ping.
    pub(super) fn stay(&mut self, clients: &mut [Client], millis: u64) {
        for _ in 0..millis.div_ceil(2_000) {
            self.wait(millis.min(2_000));
            for client in clients.iter_mut() {
                self.ping(client);
            }
        }
        self.meet(clients);
    }
}

/// The host and the term, as a client knows them.
pub(super) fn host(client: &Client) -> (u32, u32) {
    let state = client.state.unwrap();
    (state.host.get(), state.term.get())
}

/// All have the same roster, of which the last is told here.
pub(super) fn agreed(clients: &[Client]) -> Vec<u32> {
    let one = &clients[0];
    for other in clients {
        let (mine, theirs) = (one.state.unwrap(), other.state.unwrap());
        assert_eq!(State { seal: theirs.seal, ..mine }, theirs, "they don't agree");
        assert_eq!((&one.roster, &one.spec), (&other.roster, &other.spec));
    }
    one.roster.iter().map(|seen| seen.member).collect()
}
