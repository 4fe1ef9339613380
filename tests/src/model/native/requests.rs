//! What requests bring about (PROTOCOL.md, sections 3 and 7.2).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use poolmesh_proto::PoolId;
use poolmesh_proto::wire::native::{
    Application, Call, Cookie, Keys, Member, PoolCode, PoolSpec, PoolUuid, Refusal, Request, Spec, Ticket, Tx,
};

use super::due::{Answer, Due};
use super::line::{Content, Line};
use super::rates::Bucket;
use super::state::{Place, Pool, Recovery, Stage, State, source};
use super::{HOLDS, Luck, TWO};

/// Any number of milliseconds.
pub(super) const SOME: u16 = 0;

impl State {
    /// How a request may be taken: with what is for certain, and with all that may be otherwise.
    pub(super) fn lucks(&mut self, from: SocketAddr, request: &Request<'_>) -> Vec<Luck> {
        let good = self.cookies.is_good(from, request.cookie, self.now);
        let within = self.rates.may_ask(from, self.now);
        let codes = match request.call {
            Call::JoinByCode { .. } => self.rates.codes(from, self.now),
            Call::List { .. } | Call::Create { .. } | Call::Join { .. } | Call::Resume { .. } => Some(true),
        };
        let takes_room = !matches!(request.call, Call::List { .. });
        let room = if takes_room && self.may_lack_room() { None } else { Some(true) };
        let both = |known: Option<bool>| known.map_or_else(|| vec![true, false], |known| vec![known]);
        let mut lucks = Vec::new();
        for cookie in both(good) {
            for rate in if cookie { both(within) } else { vec![true] } {
                for codes in if cookie && rate { both(codes) } else { vec![true] } {
                    for room in if cookie && rate && codes { both(room) } else { vec![true] } {
                        lucks.push(Luck { cookie, rate, codes, room });
                    }
                }
            }
        }
        lucks
    }

    pub(super) fn request(
        &mut self,
        from: SocketAddr,
        request: &Request<'_>,
        luck: Luck,
        classic: &[PoolId],
    ) {
        let (to, tx, key) = (from, request.tx, request.key());
        let answer = |what, must| Due::Answer { to, tx, key, what, must };
        self.cookies.take(from, request.cookie, self.now, luck.cookie);
        if !luck.cookie {
            return self.due.push(answer(Answer::Cookie(self.now), true));
        }
        self.rates.asks(from, luck.rate);
        self.room = luck.room;
        if !luck.rate || !luck.codes {
            // Of requests beyond a rate some are answered; of codes beyond theirs, all.
            let must = luck.rate;
            return self.due.push(answer(Answer::Refused(vec![Refusal::Busy { wait: SOME }]), must));
        }
        let what = match request.call {
            Call::List { application, after, free, prefix } => {
                Answer::Pools(Box::new(self.listed(application, after, free, prefix.get(), classic)))
            }
            Call::Create { application, spec, about } => {
                self.create(from, (tx, request.cookie), application, spec, about.get())
            }
            Call::Join { application, pool, about } => self.join(from, tx, application, pool, about.get()),
            Call::JoinByCode { application, code, about } => {
                let of = |(_, pool): &(&PoolUuid, &Pool)| {
                    pool.application == application
                        && pool.code == Some(code)
                        && !matches!(pool.stage, Stage::Offered(_))
                };
                let found = self.pools.iter().find(of).map(|(id, _)| *id);
                // Whoever was served is answered again.
                match found.or_else(|| self.offered_by_code(from, tx, code)) {
                    Some(id) => self.join(from, tx, application, id, about.get()),
                    None => {
                        self.rates.wrong_code(from, self.now);
                        refused([Refusal::NoSuchPool])
                    }
                }
            }
            Call::Resume { ticket, spec, about } => self.resume(from, tx, &ticket, spec, about.get()),
        };
        self.due.push(answer(what, true));
    }

    fn offered_by_code(&self, from: SocketAddr, tx: Tx, code: PoolCode) -> Option<PoolUuid> {
        let mut of_code = self.pools.iter().filter(|(_, pool)| pool.code == Some(code)).map(|(id, _)| *id);
        of_code.find(|id| self.served(from, tx, *id).is_some())
    }

    /// The place in a pool that a call got already. Who lies calls for several by the same number.
    fn served(&self, from: SocketAddr, tx: Tx, id: PoolUuid) -> Option<u64> {
        let is = |place: &Place| (place.tx, place.address, place.pool) == (tx, from, id);
        self.places.iter().find(|(_, place)| is(place)).map(|(name, _)| *name)
    }

    /// Offers a place, instead of another that is offered at that address.
    fn offer(&mut self, place: Place) -> Answer {
        let earlier = self.places.iter().find(|(_, other)| {
            other.pool == place.pool && other.address == place.address && other.offered.is_some()
        });
        if let Some(earlier) = earlier.map(|(name, _)| *name) {
            self.gone.extend(self.places.remove(&earlier));
        }
        Answer::Joined(self.add(place))
    }

    /// Whether it may make a difference what those take who need not be told.
    fn may_lack_room(&self) -> bool {
        self.in_the_way(false).count() > self.in_the_way(true).count()
    }

    /// What all who come in have to be within.
    fn limits(&self, from: SocketAddr, about: &[u8], spec: Option<Spec<'_>>) -> BTreeSet<Refusal> {
        let limits = &self.limits;
        let mut refusals = BTreeSet::new();
        let mut beyond = |is: bool, refusal| {
            if is {
                refusals.insert(refusal);
            }
        };
        beyond(about.len() > limits.about, Refusal::Limit);
        let own = source(from);
        let untold = self.in_the_way(self.room);
        if let Some(spec) = spec {
            beyond(self.is_too_much(spec), Refusal::Limit);
            let ended: BTreeSet<usize> = untold.clone().map(|untold| untold.ended).collect();
            beyond(self.pools.len() + ended.len() >= limits.pools, Refusal::TooManyPools);
            let pools = self.pools.values().filter(|pool| pool.source == own).count();
            beyond(pools >= limits.pools_per_source, Refusal::TooManyPoolsOfSource);
        }
        let members = self.places.values().filter(|place| place.before.is_none());
        let taken = members.clone().count() + untold.clone().count();
        beyond(taken >= limits.members, Refusal::TooManyMembers);
        let members = members.filter(|place| source(place.address) == own).count()
            + untold.filter(|untold| untold.source == own).count();
        beyond(members >= limits.members_per_source, Refusal::TooManyMembersOfSource);
        refusals
    }

    /// Whether a spec is beyond what is allowed here.
    pub(super) fn is_too_much(&self, spec: Spec<'_>) -> bool {
        let limits = &self.limits;
        spec.seats().get() > limits.seats
            || spec.metadata().get().len() > limits.metadata
            || spec.broadcasters().len() > limits.broadcasters
    }

    fn place(
        &self,
        from: SocketAddr,
        tx: Tx,
        application: Application,
        pool: PoolUuid,
        member: Member,
    ) -> Place {
        Place {
            application,
            pool,
            member,
            address: from,
            about: Vec::new(),
            tx,
            told: None,
            offered: Some(self.after(self.limits.offer)),
            seen: self.now,
            count: 0,
            order: None,
            ticket: None,
            named: false,
            session_before: None,
            before: None,
            rate: Bucket::full(self.now, self.messages()),
            seated: false,
            knows: 0,
            heard: 0,
            untold: false,
        }
    }

    fn create(
        &mut self,
        from: SocketAddr,
        (tx, cookie): (Tx, Option<Cookie>),
        application: Application,
        spec: Spec<'_>,
        about: &[u8],
    ) -> Answer {
        let maker = poolmesh_proto::wire::native::Address::new(from);
        let Some((maker, cookie)) = maker.zip(cookie) else { return refused([]) };
        let id = Keys::pool(&self.keys, tx, maker, cookie);
        if self.over.knows(id) {
            return refused([Refusal::Stale]);
        }
        if self.pools.contains_key(&id) {
            // Its maker is who has the first number, since it was made here.
            return match self.served(from, tx, id) {
                Some(name) => Answer::Joined(name),
                None => refused([Refusal::Stale]),
            };
        }
        let refusals = self.limits(from, about, Some(spec));
        if !refusals.is_empty() {
            return refused(refusals);
        }
        let Some(first) = Member::new(1) else { return refused([]) };
        let place = Place { about: about.to_vec(), ..self.place(from, tx, application, id, first) };
        let stage = Stage::Offered(PoolSpec::from(spec));
        let source = source(from);
        self.pools
            .insert(id, Pool { application, code: None, source, stage, recovery: None, published: None });
        Answer::Joined(self.add(place))
    }

    fn join(
        &mut self,
        from: SocketAddr,
        tx: Tx,
        application: Application,
        id: PoolUuid,
        about: &[u8],
    ) -> Answer {
        if let Some(name) = self.served(from, tx, id) {
            return Answer::Joined(name);
        }
        let there = self.pools.get_mut(&id).filter(|pool| pool.application == application);
        let line = match there.map(|pool| &mut pool.stage) {
            None | Some(Stage::Offered(_)) => return refused([Refusal::NoSuchPool]),
            Some(Stage::Gathering) => return refused([Refusal::Recovering { wait: SOME }]),
            Some(Stage::Live(line)) => line,
        };
        let spec = line.now().spec.clone();
        let seated = line.now().members.values().any(|(address, _)| *address == from);
        let member = Member::new(line.given + 1);
        let mut refusals = self.limits(from, about, None);
        if spec.as_spec().locked() {
            refusals.insert(Refusal::Locked);
        }
        // Whoever takes a member's place takes its seat, and an offer that of the offer before.
        let earlier = |place: &Place| place.pool == id && place.address == from && place.keeps_seat();
        if self.free_seats(id) == 0 && !seated && !self.places.values().any(earlier) {
            refusals.insert(Refusal::Full);
        }
        let Some(member) = member.filter(|_| refusals.is_empty()) else { return refused(refusals) };
        if let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) {
            line.given = member.get();
        }
        let place = Place { about: about.to_vec(), seated, ..self.place(from, tx, application, id, member) };
        self.offer(place)
    }

    fn resume(&mut self, from: SocketAddr, tx: Tx, ticket: &Ticket, spec: Spec<'_>, about: &[u8]) -> Answer {
        if !self.keys.sealed(ticket, &spec) {
            return refused([Refusal::BadTicket]);
        }
        if about.len() > self.limits.about {
            return refused([Refusal::Limit]);
        }
        let id = ticket.pool;
        if let Some(name) = self.served(from, tx, id) {
            return Answer::Joined(name);
        }
        let back = Place {
            about: about.to_vec(),
            session_before: Some(ticket.session),
            ..self.place(from, tx, ticket.application, id, ticket.member)
        };
        let back_to_recovery =
            Place { ticket: Some(Box::new((*ticket, PoolSpec::from(spec)))), ..back.clone() };
        let here =
            |place: &&Place| place.pool == id && place.member == ticket.member && place.offered.is_none();
        let own = self.eras.contains_key(&ticket.state.epoch.era());
        let holds = self.over.allows(ticket, own, self.now);
        let is_its = self.is_its(ticket);
        match self.pools.get(&id).map(|pool| &pool.recovery) {
            Some(_) if is_its => self.back(ticket, back),
            // Another may have the number that came by a lower ticket, or joined what was published by one.
            Some(recovery)
                if self.places.values().any(|place| here(&place))
                    && !recovery.as_ref().is_some_and(|recovery| recovery.is_higher(ticket)) =>
            {
                refused([Refusal::Stale])
            }
            Some(Some(recovery)) => {
                // Tickets of eras that began here speak of members who have left.
                if own && holds.is_none() || recovery.is_out(ticket) {
                    return refused([Refusal::Stale]);
                }
                let mut refusals = self.limits(from, about, None);
                refusals.extend(self.is_too_much(spec).then_some(Refusal::Limit));
                if !refusals.is_empty() {
                    return refused(refusals);
                }
                let again = |place: &Place| {
                    let session = place.ticket.as_ref().map(|own| own.0.session);
                    place.pool == id && place.offered.is_some() && session == Some(ticket.session)
                };
                let again: Vec<u64> =
                    self.places.iter().filter(|(_, place)| again(place)).map(|(name, _)| *name).collect();
                for name in again {
                    self.gone.extend(self.places.remove(&name));
                }
                self.offer(back_to_recovery)
            }
            Some(None) => refused([Refusal::Stale]),
            None => {
                let Some(generation) = holds else { return refused([Refusal::Stale]) };
                let refusals = self.limits(from, about, Some(spec));
                if !refusals.is_empty() {
                    return refused(refusals);
                }
                let taken = self.pools.values().any(|pool| pool.code == Some(ticket.code));
                let publish = self.after(self.limits.interval * TWO);
                let until = self.after(self.limits.timeout).max(publish + HOLDS);
                let before = self.over.early(id, self.now);
                let kicked = before.as_ref().map(|before| before.kicked.clone()).unwrap_or_default();
                let pool = Pool {
                    application: ticket.application,
                    code: (!taken).then_some(ticket.code),
                    source: source(from),
                    stage: Stage::Gathering,
                    recovery: Some(Recovery { generation, kicked, before, ..Recovery::new(publish, until) }),
                    published: None,
                };
                self.pools.insert(id, pool);
                self.offer(back_to_recovery)
            }
        }
    }

    /// The place of the member of a ticket.
    fn member_of(&self, ticket: &Ticket) -> Option<u64> {
        let of = |place: &Place| place.pool == ticket.pool && place.member == ticket.member;
        let is = |place: &Place| of(place) && place.before.is_none() && place.offered.is_none();
        self.places.iter().find(|(_, place)| is(place)).map(|(name, _)| *name)
    }

    /// Whether a ticket is of its member's session, or of the one before.
    fn is_its(&self, ticket: &Ticket) -> bool {
        let Some(place) = self.member_of(ticket).and_then(|name| self.places.get(&name)) else {
            return false;
        };
        let session = place.told.map(|(_, session, _)| session);
        let before = place.session_before.filter(|_| !place.named);
        session == Some(ticket.session) || before == Some(ticket.session)
    }

    /// A member of a pool that is there comes back.
    fn back(&mut self, ticket: &Ticket, back: Place) -> Answer {
        let Some(name) = self.member_of(ticket) else { return refused([Refusal::Stale]) };
        // What was offered before, and not taken, is no longer offered.
        let others =
            self.places.iter().filter(|(_, place)| place.before == Some(name) && place.offered.is_some());
        let others: Vec<u64> = others.map(|(name, _)| *name).collect();
        for other in others {
            self.gone.extend(self.places.remove(&other));
        }
        self.offer(Place { before: Some(name), ..back })
    }
}

fn refused(refusals: impl IntoIterator<Item = Refusal>) -> Answer {
    Answer::Refused(refusals.into_iter().collect())
}

/// A pool that its maker has taken: its first roster.
pub(super) fn first(place: &Place, spec: PoolSpec) -> Line {
    let members = [(place.member, (place.address, place.about.clone()))].into();
    Line::new(Content { spec, host: place.member, members }, (0, None), (1, 0), 1)
}
