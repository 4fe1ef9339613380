//! Whether what a broadcaster says is what it has to say.

use std::net::SocketAddr;

use poolmesh_proto::wire::native::{
    Answer as Answered, Challenge, Change, FromBroadcaster, Handle, Items, Joined, MAX_DATAGRAM, Member,
    News, Page, PageStart, PoolSpec, PoolUuid, Refusal, Reply, State as Said, Ticket, UnverifiedAnswer,
    UnverifiedNotice,
};

use super::due::{Answer, Due, Notice};
use super::line::{Content, Line};
use super::state::{Place, Stage, State};
use crate::model::Kind;

type Judged<T = Kind> = Result<T, String>;

impl State {
    pub(super) fn sent(&mut self, to: SocketAddr, datagram: &[u8]) -> Judged {
        match FromBroadcaster::read(datagram).map_err(|fault| format!("A5: {datagram:?} is sent: {fault}"))? {
            FromBroadcaster::Answer(answer) => self.answered(to, &answer, datagram.len()),
            FromBroadcaster::Notice(notice) => self.noticed(to, &notice, datagram.len()),
            FromBroadcaster::Challenge(challenge) => self.challenged(to, &challenge),
        }
    }

    fn challenged(&mut self, to: SocketAddr, challenge: &Challenge) -> Judged {
        let Challenge { handle, count, prove } = *challenge;
        let is = |due: &Due| match due {
            Due::Challenge { to: of, handle: h, count: c, made } => {
                (*of, *h, *c, made.is_some()) == (to, handle, count, prove.is_some())
            }
            Due::Answer { .. } | Due::Notice { .. } => false,
        };
        match (prove, self.done(is)) {
            (_, None) => Err(format!("A2: {to} is told {challenge:?} without need")),
            (Some(cookie), Some(Due::Challenge { made: Some(made), .. })) => {
                self.cookies.give(to, cookie, made);
                Ok("prove")
            }
            (_, Some(_)) => Ok("unknown"),
        }
    }

    /// Takes out what is due, the first that is so.
    fn done(&mut self, is: impl Fn(&Due) -> bool) -> Option<Due> {
        let place = self.due.iter().position(is)?;
        Some(self.due.remove(place))
    }

    fn answered(&mut self, to: SocketAddr, unverified: &UnverifiedAnswer<'_>, len: usize) -> Judged {
        let fits = |due: &Due| match due {
            Due::Answer { to: of, tx, key, .. } => {
                *of == to && *tx == unverified.tx() && unverified.verify(key).is_ok()
            }
            Due::Notice { .. } | Due::Challenge { .. } => false,
        };
        // One request that came several times may be within its source's rate the one time and beyond it the other.
        let alike = |due: &Due| match due {
            Due::Answer { key, what, .. } => {
                unverified.verify(key).is_ok_and(|said| match (said.reply, what) {
                    (Reply::Refused(said), Answer::Refused(due)) => {
                        due.iter().any(|due| due.code() == said.code())
                    }
                    (Reply::Refused(_), _) | (_, Answer::Refused(_)) => false,
                    _ => true,
                })
            }
            Due::Notice { .. } | Due::Challenge { .. } => false,
        };
        let found = self.done(|due| fits(due) && alike(due)).or_else(|| self.done(fits));
        let Some(Due::Answer { key, what, must, .. }) = found else {
            return Err(format!("A2: {to} is answered about {} without need", unverified.tx()));
        };
        let Answered { reply, .. } = unverified.verify(&key).map_err(|fault| fault.to_string())?;
        match (&what, reply) {
            (Answer::Cookie(made), Reply::Cookie(cookie)) => {
                self.cookies.give(to, cookie, *made);
                Ok("cookie")
            }
            (Answer::Refused(refusals), Reply::Refused(refusal)) => {
                let same = |other: &Refusal| other.code() == refusal.code();
                if !refusals.iter().any(same) {
                    return Err(format!("{to} is refused by {refusal:?}, where {refusals:?} is due"));
                }
                if refusal.wait() == Some(0) {
                    return Err(format!("{to} is refused by {refusal:?}, without a time to wait"));
                }
                if !must {
                    self.rates.tell()?;
                }
                Ok(named(refusal))
            }
            (Answer::Joined(name), Reply::Joined(joined)) => self.offered(to, *name, &joined),
            (Answer::Pools(expected), Reply::Pools { next, listings }) => {
                expected.allows(next, listings, len).map(|()| "pools")
            }
            (_, reply) => Err(format!("{to} is answered {reply:?}, where {what:?} is due")),
        }
    }

    fn offered(&mut self, to: SocketAddr, name: u64, joined: &Joined) -> Judged {
        let limits = std::rc::Rc::clone(&self.limits);
        let handles: Vec<Handle> = self
            .places
            .iter()
            .filter(|(other, place)| **other != name && place.pool != joined.pool)
            .filter_map(|(_, place)| place.told.map(|(handle, ..)| handle))
            .collect();
        let taken = self.pools.iter().any(|(id, pool)| *id != joined.pool && pool.code == Some(joined.code));
        let over =
            self.gone.iter().any(|place| place.tx == self.places.get(&name).map_or(place.tx, |own| own.tx));
        let Some(place) = self.places.get_mut(&name) else {
            return if over {
                Ok("joined, over")
            } else {
                Err(format!("{to} is offered {joined:?}, which is over"))
            };
        };
        let wrong = |what| Err(format!("{what}: {to} is offered {joined:?}, where {place:?} is due"));
        if (joined.application, joined.pool, joined.member) != (place.application, place.pool, place.member) {
            return wrong("P4");
        }
        if joined.you.get() != to {
            return wrong("M1");
        }
        let millis = |time: std::time::Duration| time.as_millis();
        if u128::from(joined.interval.get()) != millis(limits.interval)
            || u128::from(joined.timeout.get()) != millis(limits.timeout)
        {
            return wrong("the times");
        }
        if self.keys.session(place.pool, place.member, joined.session) != joined.key {
            return wrong("the key");
        }
        if handles.contains(&joined.handle) || taken {
            return wrong("P1");
        }
        let told = (joined.handle, joined.session, joined.key);
        if place.told.is_some_and(|before| before != told) {
            return wrong("again, otherwise");
        }
        place.told = Some(told);
        let Some(pool) = self.pools.get_mut(&joined.pool) else { return Ok("joined") };
        if pool.code.is_some_and(|code| code != joined.code) {
            return Err(format!("{joined:?} has another code than {:?}", pool.code));
        }
        pool.code = Some(joined.code);
        Ok("joined")
    }

    fn noticed(&mut self, to: SocketAddr, unverified: &UnverifiedNotice<'_>, len: usize) -> Judged {
        let key = |place: &Place| place.told.map(|(_, _, key)| key);
        let own = |place: &&Place| {
            place.told.is_some_and(|(handle, ..)| handle == unverified.handle())
                && key(place).is_some_and(|key| unverified.verify(&key).is_ok())
        };
        let place = self.places.values().chain(&self.gone).find(own).cloned();
        let Some((place, key)) = place.and_then(|place| Some((place.clone(), key(&place)?))) else {
            return Err(format!("{to} is told something in a session that isn't: {:?}", unverified.handle()));
        };
        let notice = unverified.verify(&key).map_err(|fault| fault.to_string())?;
        match notice.news {
            News::Pong { count } => self
                .told(to, &place, |what| match what {
                    Notice::Pong(of) | Notice::PongOrPage(of, ..) => *of == count,
                    Notice::Page(..) | Notice::Done(..) | Notice::Ended(_) => false,
                })
                .map(|_| "pong"),
            News::Done { count, outcome } => self
                .told(to, &place, |what| match (what, outcome) {
                    (Notice::Done(of, due), said) => {
                        *of == count && due.map_err(Refusal::code) == said.map_err(Refusal::code)
                    }
                    _ => false,
                })
                .map(|_| outcome.map_or_else(named, |()| "done")),
            News::Ended(reason) => {
                self.untold.retain(|untold| untold.told != place.told);
                self.told(to, &place, |what| *what == Notice::Ended(reason)).map(|_| "ended")
            }
            News::Page(page) => self.paged(to, &place, &page, len),
            News::Changed { state, changes } => self.changed(to, &place, &state, changes),
        }
    }

    fn told(&mut self, to: SocketAddr, place: &Place, is: impl Fn(&Notice) -> bool) -> Judged<Notice> {
        let own = |due: &Due| match due {
            Due::Notice { to: of, place: whom, what, .. } => {
                *of == to && Some(*whom) == place.told && is(what)
            }
            Due::Answer { .. } | Due::Challenge { .. } => false,
        };
        match self.done(own) {
            Some(Due::Notice { what, .. }) => Ok(what),
            Some(Due::Answer { .. } | Due::Challenge { .. }) | None => {
                let due: Vec<&Due> = self.due.iter().filter(|due| is_to(due, to)).collect();
                Err(format!("A2: {to} is told something as {place:?} that isn't due: {due:?}"))
            }
        }
    }

    fn paged(&mut self, to: SocketAddr, place: &Place, page: &Page<'_>, len: usize) -> Judged {
        let start = match page.start {
            PageStart::First(_) => None,
            PageStart::From(member) => Some(member),
        };
        let due = self.told(to, place, |what| match what {
            Notice::Page(count, _, from, _) => *count == page.count && *from == start,
            Notice::PongOrPage(count, ..) => *count == page.count && start.is_none(),
            Notice::Pong(_) | Notice::Done(..) | Notice::Ended(_) => false,
        })?;
        let (Notice::Page(_, id, _, from) | Notice::PongOrPage(_, id, from)) = due else { return Ok("page") };
        self.learns_era(&page.state);
        let entries = Content::entries(page.entries);
        let fits = |content: &Content| is_page(content, start, page, &entries, len);
        // It was brought back once more, since.
        let is = |(of, line): &&mut (PoolUuid, Line)| *of == id && line.generation == page.state.generation;
        if let Some((_, past)) = self.past.iter_mut().find(is) {
            past.observe(&page.state, 0, fits)?;
            let published = self.pools.get_mut(&id).and_then(|pool| pool.published.as_mut());
            if let Some(published) = published.filter(|it| it.generation == page.state.generation) {
                published.era = Some(page.state.epoch.era());
            }
            return Ok("page, past");
        }
        let Some(Stage::Live(line)) = self.pools.get_mut(&id).map(|pool| &mut pool.stage) else {
            self.over.learns(id, &page.state);
            let recovery = self.pools.get_mut(&id).and_then(|pool| pool.recovery.as_mut());
            if let Some(before) = recovery.and_then(|recovery| recovery.before.as_mut()) {
                before.learns(&page.state);
            }
            return Ok("page, over");
        };
        let index = line.observe(&page.state, from, fits)?;
        // It may have changed since.
        let spec = match page.start {
            PageStart::First(spec) => Some(PoolSpec::from(spec)),
            PageStart::From(_) => line.content(index).map(|content| content.spec.clone()),
        };
        if let Some(spec) = spec {
            self.sealed(place, &page.state, &spec)?;
        }
        if let Some(own) = self.own(place) {
            own.knows = own.knows.max(index);
        }
        Ok(if page.more { "page, more" } else { "page" })
    }

    fn own(&mut self, place: &Place) -> Option<&mut Place> {
        self.places.values_mut().find(|own| own.told == place.told)
    }

    fn learns_era(&mut self, said: &Said) {
        self.eras.insert(said.epoch.era(), said.generation);
    }

    fn sealed(&self, place: &Place, said: &Said, spec: &PoolSpec) -> Judged<()> {
        let code = self.pools.get(&place.pool).and_then(|pool| pool.code);
        let (Some((_, session, _)), Some(code)) = (place.told, code) else { return Ok(()) };
        let (application, pool, member) = (place.application, place.pool, place.member);
        let ticket = Ticket { application, pool, code, member, session, state: *said };
        if self.keys.sealed(&ticket, &spec.as_spec()) {
            Ok(())
        } else {
            Err(format!("V3: the seal of {place:?} is wrong in {said:?}"))
        }
    }

    fn changed(
        &mut self,
        to: SocketAddr,
        place: &Place,
        said: &Said,
        changes: Items<'_, Change<'_>>,
    ) -> Judged {
        let Some(Stage::Live(line)) = self.pools.get_mut(&place.pool).map(|pool| &mut pool.stage) else {
            return Err(format!("{to} is told of changes of a pool that isn't there"));
        };
        let index = line.changed(said, changes)?;
        let spec = line.content(index).map(|content| content.spec.clone());
        // What happened just before somebody came may be told to him, too: he knows better by his first page.
        let member = line.now().members.contains_key(&place.member)
            || line.content(index).is_some_and(|content| content.members.contains_key(&place.member));
        self.learns_era(said);
        if let Some(spec) = spec {
            self.sealed(place, said, &spec)?;
        }
        let Some(own) = self.own(place).filter(|own| own.address == to && own.offered.is_none() && member)
        else {
            return Err(format!("M2: {to} is told of changes, and is no member"));
        };
        if said.epoch.number() <= own.heard {
            return Err(format!("A2: {to} is told twice of epoch {}", said.epoch.number()));
        }
        own.heard = said.epoch.number();
        own.knows = own.knows.max(index);
        own.untold = false;
        Ok(if changes.len() == 0 { "changed, nothing" } else { "changed" })
    }

    /// Nothing is left to say. `dropped`: some may not have been said.
    pub(super) fn rests(&mut self) -> Judged<()> {
        if let Some(due) = self.due.iter().find(|due| due.is_must()) {
            return Err(format!("A2: {due:?} was due, and was not sent"));
        }
        self.due.clear();
        self.gone.clear();
        self.past.clear();
        self.untold.clear();
        for place in self.places.values().filter(|place| place.offered.is_none()) {
            let Some(Stage::Live(line)) = self.pools.get(&place.pool).map(|pool| &pool.stage) else {
                continue;
            };
            if place.knows < line.index() || place.untold {
                return Err(format!("P5: {place:?} was not told of {:?}", line.now()));
            }
        }
        for (id, pool) in &mut self.pools {
            let Stage::Live(line) = &mut pool.stage else { continue };
            if line.trim() {
                for place in self.places.values_mut().filter(|place| place.pool == *id) {
                    place.knows = 0;
                }
            }
        }
        Ok(())
    }
}

fn is_to(due: &Due, address: SocketAddr) -> bool {
    match due {
        Due::Answer { to, .. } | Due::Notice { to, .. } | Due::Challenge { to, .. } => *to == address,
    }
}

fn is_page(
    content: &Content,
    start: Option<Member>,
    page: &Page<'_>,
    entries: &std::collections::BTreeMap<Member, (SocketAddr, Vec<u8>)>,
    len: usize,
) -> bool {
    if let PageStart::First(spec) = page.start {
        if PoolSpec::from(spec) != content.spec {
            return false;
        }
    }
    let behind = |member: &Member| start.is_none_or(|start| *member >= start);
    let mut due = content.members.iter().filter(|(member, _)| behind(member));
    let same = entries.iter().all(|entry| due.next() == Some(entry));
    let left = due.next();
    let full = left.is_none_or(|(_, (address, about))| {
        let address = if address.is_ipv4() { 7 } else { 19 };
        len + 4 + address + 1 + about.len() > MAX_DATAGRAM
    });
    same && page.more == left.is_some() && full
}

/// A word for a refusal.
fn named(refusal: Refusal) -> Kind {
    match refusal {
        Refusal::Limit => "refused: limit",
        Refusal::NoSuchPool => "refused: no such pool",
        Refusal::Full => "refused: full",
        Refusal::Locked => "refused: locked",
        Refusal::TooManyPools => "refused: too many pools",
        Refusal::TooManyPoolsOfSource => "refused: too many pools of source",
        Refusal::TooManyMembers => "refused: too many members",
        Refusal::TooManyMembersOfSource => "refused: too many members of source",
        Refusal::Busy { .. } => "refused: busy",
        Refusal::Recovering { .. } => "refused: recovering",
        Refusal::BadTicket => "refused: bad ticket",
        Refusal::Stale => "refused: stale",
        Refusal::NotHost => "refused: not host",
        Refusal::NoSuchMember => "refused: no such member",
        Refusal::Other(_) | _ => "refused",
    }
}
