//! Requests: whether they are heard, and how they are answered (PROTOCOL.md, sections 2 and 3).

use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use super::lists::Filter;
use super::offers::Asker;
use crate::broadcaster::sources::Source;
use crate::log::trace;
use crate::wire::native::{Address, Answer, Call, Handle, Joined, Millis, Refusal, Reply, Request};

/// Of requests beyond a source's rate one in so many is answered.
const ONE_IN: u32 = 10;

impl Native {
    /// A request came, whose tag is right.
    pub(super) fn request(&mut self, desk: &mut Desk<'_>, from: SocketAddr, request: &Request<'_>) {
        // From port 0 nobody sends.
        let Some(at) = Address::new(from) else {
            desk.stats.ignored += 1;
            return;
        };
        let Some(cookie) = request.cookie.filter(|_| self.cookies.holds(desk, request.cookie, at)) else {
            let cookie = self.cookies.make(desk, at);
            desk.stats.cookies_given += 1;
            return answer(desk, from, request, Reply::Cookie(cookie));
        };
        let source = Source::of(at.get().ip());
        let Some(asked) = self.rates.of(source) else { return };
        if !self.requests.take(&mut asked.spent, desk.now) {
            asked.beyond += 1;
            if asked.beyond < ONE_IN {
                desk.stats.dropped_busy += 1;
                return;
            }
            asked.beyond = 0;
            let wait = millis(self.requests.wait(asked.spent, desk.now));
            return refuse(desk, from, request, Refusal::Busy { wait });
        }
        let asker = Asker { from, at, source, tx: request.tx, cookie };
        let placed = match request.call {
            Call::List { application, after, free, prefix } => {
                let filter = Filter { application, after, free, prefix };
                return self.list(desk, from, request, &filter);
            }
            Call::Create { application, spec, about } => self.create(desk, &asker, application, &spec, about),
            Call::Join { application, pool, about } => self.join(desk, &asker, application, pool, about),
            Call::JoinByCode { application, code, about } => {
                self.join_by_code(desk, &asker, application, code, about)
            }
            Call::Resume { ticket, spec, about } => self.resume(desk, &asker, &ticket, &spec, about),
        };
        match placed {
            Ok(handle) => self.answer_joined(desk, &asker, request, handle),
            Err(refusal) => refuse(desk, from, request, refusal),
        }
    }

    fn answer_joined(&self, desk: &mut Desk<'_>, asker: &Asker, request: &Request<'_>, handle: u32) {
        let Some(place) = self.places.get(handle) else { return };
        let Some((pool, member)) = self.pools.get(place.pool).zip(place.member()) else { return };
        let [interval, timeout] =
            [desk.limits.interval, desk.limits.timeout].map(|time| Millis::new(millis(time).max(1)));
        let (Some(interval), Some(timeout)) = (interval, timeout) else { return };
        let joined = Joined {
            application: pool.application,
            pool: pool.id,
            code: pool.code,
            member,
            handle: Handle(handle),
            session: place.session,
            key: place.key,
            interval,
            timeout,
            you: asker.at,
        };
        answer(desk, asker.from, request, Reply::Joined(joined));
    }
}

/// As milliseconds, rounded up, as far as they go.
pub(super) fn millis(time: core::time::Duration) -> u16 {
    u16::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(u16::MAX)
}

fn answer(desk: &mut Desk<'_>, to: SocketAddr, request: &Request<'_>, reply: Reply<'_>) {
    desk.answers.write(to, |out| Answer { tx: request.tx, reply }.write(&request.key(), out));
}

fn refuse(desk: &mut Desk<'_>, to: SocketAddr, request: &Request<'_>, refusal: Refusal) {
    trace!(%to, %refusal, "refused");
    desk.stats.count(refusal);
    answer(desk, to, request, Reply::Refused(refusal));
}
