//! What a client owes its application, kept as plainly as can be.

use poolmesh_proto::wire::Request;
use poolmesh_proto::{CallId, Instant, Outcome, PoolId, Refusal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no outcome that was told.
    Untold,
    /// The same, and its time is up: it can only time out.
    Late,
    Told,
    Cancelled,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) request: Request,
    deadline: Instant,
    state: State,
    /// The pool it has made.
    made: Option<PoolId>,
}

impl Call {
    fn is_untold(&self) -> bool {
        matches!(self.state, State::Untold | State::Late)
    }
}

#[derive(Debug)]
pub(super) struct Model {
    /// Every call, in the order they were made.
    calls: Vec<Call>,
    /// The pools hosted, as far as is told, in the order they were made.
    hosted: Vec<PoolId>,
    /// Of a call that was cancelled nobody knows what it has made.
    any_cancelled: bool,
    /// Several calls waited when the input came of which the outcome is polled now.
    several: bool,
    closed: bool,
}

impl Model {
    /// Takes memory for `most` calls, and no more later.
    pub(super) fn new(most: usize) -> Self {
        Self {
            calls: Vec::with_capacity(most),
            hosted: Vec::with_capacity(most),
            any_cancelled: false,
            several: false,
            closed: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn hosted(&self) -> &[PoolId] {
        &self.hosted
    }

    /// One of all calls, the latest first.
    pub(super) fn choose(&self, choice: u8) -> Option<&Call> {
        let back = usize::from(choice).checked_rem(self.calls.len())?;
        self.calls.iter().rev().nth(back)
    }

    /// How many calls have no outcome that was told.
    pub(super) fn untold(&self) -> usize {
        self.calls.iter().filter(|call| call.is_untold()).count()
    }

    /// How many of them may still make a pool, at most.
    pub(super) fn creating(&self) -> usize {
        self.calls.iter().filter(|call| call.is_untold() && call.request == Request::Create).count()
    }

    pub(super) fn is_told(&self, id: CallId) -> bool {
        self.calls.iter().any(|call| call.id == id && call.state == State::Told)
    }

    pub(super) fn called(&mut self, id: CallId, request: Request, deadline: Instant) {
        assert!(self.calls.iter().all(|call| call.id != id), "{id:?} is named twice");
        self.calls.push(Call { id, request, deadline, state: State::Untold, made: None });
    }

    /// An input comes at `now`. If nothing waits to be told, a call whose time is up has missed its answer, and it is
    /// known how many wait for one.
    pub(super) fn input(&mut self, now: Instant, nothing_waits: bool) {
        self.several = false;
        if nothing_waits {
            for call in &mut self.calls {
                if call.state == State::Untold && call.deadline.is_due(now) {
                    call.state = State::Late;
                }
            }
            self.several = self.calls.iter().filter(|call| call.state == State::Untold).count() > 1;
        }
    }

    pub(super) fn cancelled(&mut self, id: CallId) {
        let Some(call) = self.calls.iter_mut().find(|call| call.id == id) else { return };
        self.any_cancelled = true;
        if call.is_untold() {
            call.state = State::Cancelled;
        } else if let Some(made) = call.made {
            self.hosted.retain(|pool| *pool != made);
        }
    }

    /// Whether it was hosted, which is so no more.
    pub(super) fn released(&mut self, pool: &PoolId) -> bool {
        let before = self.hosted.len();
        self.hosted.retain(|hosted| hosted != pool);
        self.hosted.len() < before
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.hosted.clear();
    }

    /// A request went out: somebody asked for it.
    pub(super) fn transmitted(&self, request: &Request) {
        let asked = match request {
            Request::Ping(pool) => {
                self.any_cancelled || self.calls.iter().any(|call| call.made.as_ref() == Some(pool))
            }
            Request::Create | Request::List | Request::Join(_) => {
                self.calls.iter().any(|call| call.request == *request)
            }
        };
        assert!(asked, "nobody asked for {request:?}");
    }

    /// A call has its outcome.
    pub(super) fn finished(&mut self, id: CallId, outcome: &Outcome, now: Instant) {
        let made = |pool| self.calls.iter().any(|call| call.made == Some(pool));
        let known = matches!(outcome, Outcome::Created(info) if made(info.id()));
        assert!(!known, "a copy of an answer made a pool: {outcome:?}");
        let Some(call) = self.calls.iter_mut().find(|call| call.id == id) else { panic!("{id:?}: nobody's") };
        assert!(call.is_untold(), "{id:?} is over: {outcome:?}");
        let timed_out = matches!(outcome, Outcome::TimedOut { .. });
        assert!(timed_out || call.state != State::Late, "{id:?} is late: {outcome:?}");
        call.state = State::Told;
        match outcome {
            Outcome::Created(info) => {
                assert!(call.request == Request::Create && info.is_host());
                call.made = Some(info.id());
                self.hosted.push(info.id());
            }
            Outcome::Joined(info) => assert_eq!(call.request, Request::Join(info.id())),
            Outcome::Listed(_) => assert_eq!(call.request, Request::List),
            Outcome::Refused(refusal) => {
                assert!(concerns(refusal, &call.request, self.several), "{refusal:?} of {:?}", call.request);
            }
            Outcome::TimedOut { sent, .. } => assert!(*sent > 0 && call.deadline.is_due(now)),
            Outcome::Closed => assert!(self.closed),
            other @ (Outcome::Done | _) => panic!("{other:?} is not known here"),
        }
    }

    /// After a timeout at `now` and a drain no call is late.
    pub(super) fn check_none_late(&self, now: Instant) {
        let late = self.calls.iter().find(|call| call.is_untold() && call.deadline.is_due(now));
        assert!(late.is_none(), "{late:?} has no outcome");
    }

    /// Who waits for a call is woken for its end, and who has nothing to do is not woken.
    pub(super) fn check_deadline(&self, deadline: Option<Instant>, next_ping: Instant) {
        let mut waiting = self.calls.iter().filter(|call| call.is_untold());
        assert!(deadline.is_none() || waiting.clone().count() + self.hosted.len() > 0, "{deadline:?}");
        let sleeps_on =
            |call: &Call| call.deadline != Instant::NEVER && deadline.is_none_or(|at| at > call.deadline);
        assert!(!waiting.any(sleeps_on), "{deadline:?} is too late");
        let pings = self.hosted.is_empty() || next_ping == Instant::NEVER;
        assert!(pings || deadline.is_some_and(|at| at <= next_ping), "{deadline:?} is too late to ping");
    }

    /// When the last call has ended.
    pub(super) fn last_deadline(&self) -> Option<Instant> {
        self.calls.iter().filter(|call| call.is_untold()).map(|call| call.deadline).max()
    }
}

/// Whether a request can be refused so, if it is one of several.
fn concerns(refusal: &Refusal, request: &Request, several: bool) -> bool {
    match refusal {
        Refusal::NoSuchPool(id) => {
            matches!(request, Request::Join(pool) if pool.as_bytes() == id.as_bytes())
        }
        Refusal::PoolFull { pool, .. } => *request == Request::Join(*pool),
        Refusal::TooManyPools { .. } | Refusal::TooManyPoolsFromSource { .. } | Refusal::NoFreshId => {
            *request == Request::Create
        }
        Refusal::TooManyPeers { .. } => matches!(request, Request::Join(_)),
        Refusal::NotHost => false,
        // It names nothing.
        Refusal::UnknownRequest
        | Refusal::Truncated { .. }
        | Refusal::TooLong { .. }
        | Refusal::Other(_)
        | _ => !several,
    }
}
