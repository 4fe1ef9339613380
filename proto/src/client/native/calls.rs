//! Calls under way: requests that are on their way, and what waits for a pool.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::asking::Asking;
use super::pace::Pace;
use super::shared::{Core, MOST_BROADCASTERS};
use crate::client::{CallError, CallId, Outcome};
use crate::wire;
use crate::wire::native::{About, Address, Application, Name, PoolCode, PoolSpec, PoolUuid, Session, Tx};
use crate::{Instant, PoolInfo};

#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) deadline: Instant,
    pub(super) kind: Kind,
    /// The pool that it leads into, or that the order is for.
    pub(super) pool: Option<PoolUuid>,
    /// None of what needs no request of its own, and while that is looked at.
    request: Option<Box<Requested>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It has a request. Once there is an answer, it waits for the pool.
    Request,
    /// It waits for a pool that is come back to.
    Resume,
    /// It waits for the answer to an order.
    Order,
}

/// A request of a call.
#[derive(Debug)]
pub(super) struct Requested {
    pub(super) what: What,
    pub(super) asking: Asking,
    /// Which broadcaster is asked.
    at: usize,
    /// Which were asked, of those that the client has, and have not offered a place that was void.
    asked: [bool; MOST_BROADCASTERS],
    /// One of them has said that there is no such pool.
    nowhere: bool,
    /// The offer that was void, if there was one.
    pub(super) void: Option<Void>,
    /// What it made was over already, and it was begun anew: that is done once.
    anew: bool,
}

/// An offer that was void.
#[derive(Clone, Copy, Debug)]
pub(super) struct Void {
    pub(super) session: Session,
    /// The count it had come to.
    pub(super) count: u32,
    /// What was sent for it: the next place goes on from there, so that no number of offers makes a client send more than one.
    pub(super) pace: Pace,
}

const NO_SUCH_POOL: Outcome = Outcome::Refused(wire::Refusal::Native(wire::native::Refusal::NoSuchPool));

/// What is asked for.
#[derive(Debug)]
pub(super) enum What {
    List {
        application: Option<Application>,
        after: PoolUuid,
        free: u16,
        prefix: String,
    },
    /// `ours`: the pool's broadcasters are those of the client.
    Create {
        spec: PoolSpec,
        about: Bytes,
        ours: bool,
    },
    Join {
        pool: PoolUuid,
        about: Bytes,
    },
    JoinByCode {
        code: PoolCode,
        about: Bytes,
    },
}

impl What {
    fn call(&self, application: Application) -> wire::native::Call<'_> {
        // All texts are within their bounds since they were taken.
        let said = |about| About::new(about).unwrap_or_default();
        match self {
            Self::List { application, after, free, prefix } => wire::native::Call::List {
                application: *application,
                after: *after,
                free: *free,
                prefix: Name::new(prefix).unwrap_or_default(),
            },
            Self::Create { spec, about, .. } => {
                wire::native::Call::Create { application, spec: spec.as_spec(), about: said(about) }
            }
            Self::Join { pool, about } => {
                wire::native::Call::Join { application, pool: *pool, about: said(about) }
            }
            Self::JoinByCode { code, about } => {
                wire::native::Call::JoinByCode { application, code: *code, about: said(about) }
            }
        }
    }

    /// It is asked for at that broadcaster. A pool's broadcasters begin with the one that makes it: of two places with as many
    /// members, that of the earlier broadcaster is the pool's.
    pub(super) fn begin_at(&mut self, core: &Core, at: usize) {
        let Self::Create { spec, ours: true, .. } = self else { return };
        let order = core.broadcasters.iter().cycle().skip(at).take(core.broadcasters.len());
        let broadcasters: Vec<_> = order.copied().filter_map(Address::new).collect();
        // They are not too many.
        if let Ok(with) = spec.clone().with_broadcasters(&broadcasters) {
            *spec = with;
        }
    }

    /// Whether it is a place in a pool that there may be.
    pub(super) fn joins(&self) -> bool {
        matches!(self, Self::Join { .. } | Self::JoinByCode { .. })
    }

    /// What the one who asks says of itself.
    pub(super) fn about(&self) -> Bytes {
        match self {
            Self::List { .. } => Bytes::new(),
            Self::Create { about, .. } | Self::Join { about, .. } | Self::JoinByCode { about, .. } => {
                about.clone()
            }
        }
    }
}

impl Core {
    /// Whether another call can be made.
    pub(super) fn ensure_room(&self) -> Result<(), CallError> {
        if self.calls.len() + self.unpolled >= self.config.max_calls {
            return Err(CallError::TooManyCalls { limit: self.config.max_calls });
        }
        Ok(())
    }

    fn add_call(&mut self, kind: Kind, pool: Option<PoolUuid>, request: Option<Box<Requested>>) -> CallId {
        let id = self.name_call();
        let timeout = self.config.call_timeout;
        // A pool that comes back waits two intervals for its members, and broadcasters that are silent are waited for before.
        let timeout = if kind == Kind::Resume { timeout.saturating_mul(2) } else { timeout };
        let deadline = self.now + timeout;
        self.calls.push(Call { id, deadline, kind, pool, request });
        id
    }

    /// Makes a call that waits for `pool`.
    pub(super) fn add_waiting(&mut self, kind: Kind, pool: PoolUuid) -> CallId {
        self.add_call(kind, Some(pool), None)
    }

    /// Makes a call with a request. It is sent at once, unless there is a pool already that it leads into.
    pub(super) fn add_request(&mut self, what: What, pool: Option<PoolUuid>) -> CallId {
        let at = self.answered;
        let broadcaster = self.broadcaster(at);
        let asking = Asking::new(self, broadcaster);
        let asked = core::array::from_fn(|other| other == at);
        let request = Requested { what, asking, at, asked, nowhere: false, void: None, anew: false };
        let id = self.add_call(Kind::Request, pool, Some(Box::new(request)));
        if pool.is_none() {
            self.with_request(id, |core, request| request.send(core));
        }
        id
    }

    fn broadcaster(&self, at: usize) -> SocketAddr {
        // There is at least one.
        let one = self.broadcasters.get(at).or_else(|| self.broadcasters.first()).copied();
        one.unwrap_or_else(|| ([0, 0, 0, 0], 0).into())
    }

    /// The call whose request this is.
    pub(super) fn call_of(&self, tx: Tx) -> Option<CallId> {
        let of = |call: &&Call| {
            call.pool.is_none() && call.request.as_ref().is_some_and(|request| request.asking.tx() == tx)
        };
        self.calls.iter().find(of).map(|call| call.id)
    }

    /// Does something with the request of a call, if it has one.
    pub(super) fn with_request<T>(
        &mut self,
        id: CallId,
        with: impl FnOnce(&mut Self, &mut Requested) -> T,
    ) -> Option<T> {
        let mut request = self.calls.iter_mut().find(|call| call.id == id)?.request.take()?;
        let done = with(self, &mut request);
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
            call.request = Some(request);
        }
        Some(done)
    }

    /// A call has led into a pool: it waits for its roster.
    pub(super) fn lead_into(&mut self, id: CallId, pool: PoolUuid) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
            call.pool = Some(pool);
        }
    }

    /// The oldest call that waits for a pool to be entered.
    pub(super) fn waiting_for(&self, pool: PoolUuid) -> Option<&Call> {
        self.calls.iter().find(|call| call.pool == Some(pool) && call.kind != Kind::Order)
    }

    /// A pool is entered: calls that wait for it have their outcome, and those that ask for it as well.
    pub(super) fn entered(&mut self, pool: PoolUuid, code: PoolCode, info: &PoolInfo) {
        let creates = |request: &Requested| matches!(request.what, What::Create { .. });
        let created = |call: &Call| (call.id, call.request.as_deref().is_some_and(creates));
        let leads = |call: &&Call| call.kind != Kind::Order && call.leads_into(pool, code);
        while let Some((call, created)) = self.calls.iter().find(leads).map(created) {
            let info = info.clone();
            self.finish(call, if created { Outcome::Created(info) } else { Outcome::Joined(info) });
        }
    }

    /// The offer of a place in this pool is void: calls that wait for it go on by their requests.
    pub(super) fn ask_anew(&mut self, pool: PoolUuid, void: Option<Void>) {
        for at in 0..self.calls.len() {
            let Some(call) = self.calls.get_mut(at) else { return };
            if call.pool == Some(pool) && call.kind == Kind::Request {
                call.pool = None;
                let id = call.id;
                self.with_request(id, |core, request| {
                    request.void = void;
                    request.asking.go_on(core);
                });
            }
        }
    }

    /// How a call ends whose time is over.
    pub(super) fn timed_out(&self, id: CallId, place: Option<(SocketAddr, u32)>) -> Option<Outcome> {
        let call = self.calls.iter().find(|call| call.id == id)?;
        Some(call.timed_out(self, place))
    }

    /// The client is no longer in this pool: calls that have waited for that go on by their requests.
    pub(super) fn ask_after(&mut self, pool: PoolUuid) {
        self.ask_anew(pool, None);
        self.advance_requests();
    }

    /// Sends the requests again that are due, and turns to other broadcasters from those that are silent.
    pub(super) fn advance_requests(&mut self) {
        let mut at = 0;
        while let Some(call) = self.calls.get(at) {
            at += 1;
            let id = call.id;
            if call.pool.is_none() && self.with_request(id, Self::advance_request) == Some(false) {
                at -= 1;
                self.finish(id, NO_SUCH_POOL);
            }
        }
    }

    /// Whether the request goes on.
    fn advance_request(&mut self, request: &mut Requested) -> bool {
        request.advance(self)
    }

    /// What a request has made is over, or is no longer the client's. Whether it is to make another one.
    pub(super) fn make_another(&mut self, id: CallId) -> bool {
        let goes_on = self.with_request(id, |core, request| {
            let again = matches!(request.what, What::Create { .. }) && !request.anew;
            if again {
                request.anew = true;
                request.asking.begin_anew(core);
            }
            again
        });
        goes_on == Some(true)
    }

    /// A broadcaster says that it has no such pool. Whether others are asked.
    pub(super) fn ask_elsewhere(&mut self, id: CallId, from: SocketAddr) -> bool {
        let goes_on = self.with_request(id, |core, request| {
            request.nowhere = true;
            request.note_asked(core, from, true);
            // If it is not the one that is asked now, that one's turn goes on.
            request.asking.broadcaster() != from || request.turn(core)
        });
        goes_on == Some(true)
    }
}

impl Call {
    /// Whether it leads into this pool, or asks for it.
    fn leads_into(&self, pool: PoolUuid, code: PoolCode) -> bool {
        let asks = |what: &What| match what {
            What::Join { pool: of, .. } => *of == pool,
            What::JoinByCode { code: of, .. } => *of == code,
            What::List { .. } | What::Create { .. } => false,
        };
        match self.pool {
            Some(of) => of == pool,
            None => self.request.as_deref().is_some_and(|request| asks(&request.what)),
        }
    }

    /// Whether it may lead into a pool that is not known yet.
    pub(super) fn may_lead_into_a_pool(&self) -> bool {
        let enters = |request: &Requested| !matches!(request.what, What::List { .. });
        self.pool.is_none() && self.request.as_deref().is_some_and(enters)
    }

    /// How it ends when its time is over. `place`: who is asked for the place in the pool that it waits for, and how much was
    /// sent for that.
    fn timed_out(&self, core: &Core, place: Option<(SocketAddr, u32)>) -> Outcome {
        let request = self.request.as_deref();
        let asking = request.map(|request| &request.asking);
        match asking.and_then(Asking::refused) {
            // It was answered, after all.
            Some(refusal) if self.pool.is_none() => return Outcome::Refused(wire::Refusal::Native(refusal)),
            Some(_) | None => {}
        }
        if self.pool.is_none() && request.is_some_and(|request| request.is_nowhere(core)) {
            return NO_SUCH_POOL;
        }
        let void = request.and_then(|request| request.void).map_or(0, |void| void.pace.sent());
        let asked = asking.map_or_else(|| core.broadcaster(0), Asking::broadcaster);
        let (broadcaster, sent) = place.unwrap_or((asked, void));
        Outcome::TimedOut { broadcaster, sent: sent.saturating_add(asking.map_or(0, Asking::sent)) }
    }

    /// When something is to be done about it.
    pub(super) fn due_at(&self, several: bool) -> Instant {
        let asking = self.request.as_ref().filter(|_| self.pool.is_none()).map(|request| &request.asking);
        let Some(asking) = asking else { return self.deadline };
        let silent_at = if several { asking.silent_at() } else { Instant::NEVER };
        self.deadline.min(asking.send_at()).min(silent_at)
    }
}

impl Requested {
    fn send(&mut self, core: &mut Core) {
        let application = core.config.application;
        self.asking.send(core, self.what.call(application));
    }

    /// Does what is due. Whether it goes on.
    fn advance(&mut self, core: &mut Core) -> bool {
        if core.broadcasters.len() > 1 && self.asking.silent_at().is_due(core.now) && !self.turn(core) {
            return false;
        }
        if self.asking.send_at().is_due(core.now) {
            self.asking.wait_is_over();
            self.send(core);
        }
        true
    }

    /// Turns to the next broadcaster, behind the last to the first. If one has said that there is no such pool, each is asked
    /// once, or again if it has offered a place before, and none if all were.
    fn turn(&mut self, core: &Core) -> bool {
        let count = core.broadcasters.len();
        let asked = |at: &usize| self.asked.get(*at).copied().unwrap_or(true);
        let next = (1..=count).map(|step| (self.at + step) % count).find(|at| !self.nowhere || !asked(at));
        let Some(next) = next else { return false };
        let broadcaster = core.broadcaster(next);
        self.at = next;
        self.note_asked(core, broadcaster, true);
        self.what.begin_at(core, next);
        self.asking.turn(core, broadcaster);
        true
    }

    /// A broadcaster offers a place: if that comes to nothing, it is asked again before there is no such pool, for it hasn't
    /// said so.
    pub(super) fn note_offer(&mut self, core: &Core, from: SocketAddr) {
        self.note_asked(core, from, false);
    }

    fn note_asked(&mut self, core: &Core, broadcaster: SocketAddr, asked: bool) {
        let at = core.broadcasters.iter().position(|other| *other == broadcaster);
        if let Some(place) = at.and_then(|at| self.asked.get_mut(at)) {
            *place = asked;
        }
    }

    /// Whether it was asked for nowhere in vain that it can be elsewhere.
    fn is_nowhere(&self, core: &Core) -> bool {
        self.nowhere && self.asked.iter().take(core.broadcasters.len()).all(|asked| *asked)
    }
}
