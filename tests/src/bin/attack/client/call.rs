//! Requests (PROTOCOL.md, section 3).

use std::time::{Duration, Instant};

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Answer, Application, Call as Asked, Cookie, Key, PoolCode, PoolSpec, PoolUuid, Request, Ticket,
    Tx, UnverifiedAnswer,
};
use poolmesh_testkit::sim::Rng;

use super::again::Again;

/// So often a request is sent at once with another cookie.
const MOST_COOKIES: usize = 3;

/// What is asked for: a place in a pool.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Create(PoolSpec),
    Join(PoolUuid),
    JoinByCode(PoolCode),
    /// The place that it had, saying of itself what it said.
    Resume(Ticket, PoolSpec, Vec<u8>),
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) wish: Wish,
    pub(super) again: Again,
    /// When it ends without an answer.
    pub(super) deadline: Instant,
    tx: Tx,
    /// With what cookies it was sent, the latest last.
    sent_with: Vec<Option<Cookie>>,
}

impl Call {
    pub(super) fn new(wish: Wish, patience: Duration, now: Instant, rng: &mut Rng) -> Self {
        let tx = Tx::new(rng.u64() | 1).unwrap_or_else(|| unreachable!("it is odd"));
        Self { wish, again: Again::from(now), deadline: now + patience, tx, sent_with: Vec::new() }
    }

    /// The request, as it is sent now.
    pub(super) fn write(&mut self, application: Application, cookie: Option<Cookie>, out: &mut BytesMut) {
        if self.sent_with.last() != Some(&cookie) {
            self.sent_with.push(cookie);
        }
        let about = About::default();
        let call = match &self.wish {
            Wish::Create(spec) => Asked::Create { application, spec: spec.as_spec(), about },
            Wish::Join(pool) => Asked::Join { application, pool: *pool, about },
            Wish::JoinByCode(code) => Asked::JoinByCode { application, code: *code, about },
            Wish::Resume(ticket, spec, said) => {
                let about = About::new(said).unwrap_or_default();
                Asked::Resume { ticket: *ticket, spec: spec.as_spec(), about }
            }
        };
        Request { tx: self.tx, cookie, call }.write(out);
    }

    /// The answer, if it is one to this call.
    pub(super) fn read<'a>(&self, answer: &UnverifiedAnswer<'a>) -> Option<Answer<'a>> {
        let key = |cookie: &Option<Cookie>| Key::of_request(self.tx, *cookie);
        let ours = answer.tx() == self.tx;
        self.sent_with.iter().filter(|_| ours).find_map(|cookie| answer.verify(&key(cookie)).ok())
    }

    /// There is a cookie: it is sent at once if it is new, unless there were too many.
    pub(super) fn take_cookie(&mut self, cookie: Cookie, now: Instant) {
        if self.sent_with.len() <= MOST_COOKIES && !self.sent_with.contains(&Some(cookie)) {
            self.again = Again::from(now);
        }
    }
}
