//! What a client sends and tells, looked up in what it was asked and what was said to it.

use core::net::SocketAddr;
use core::time::Duration;

use poolmesh_proto::wire::Request;
use poolmesh_proto::{
    CallError, CallId, ClientConfig, ClientEvent, ClientStats, Instant, Outcome, PoolEnd, PoolId, PoolInfo,
    PoolPage, Refusal,
};

use super::hosting::Hosting;
use super::wire::{self, Said};
use super::{Kind, Verdict, check};

/// Nothing is repeated sooner.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// What a client sends and tells.
///
/// Tell it every call, datagram and time that the implementation is told, and everything that the implementation
/// sends and tells. Datagrams come in this order: requests as they are made; whenever time moves on, requests that are
/// repeated, the oldest first, then pings, in the order in which the pools were made. Outcomes come as they happen.
///
/// It is for what is built around a [`Client`](poolmesh_proto::Client), whose calls it knows by their
/// [names](CallId), so there is none without events.
#[derive(Debug)]
pub struct ClientModel {
    config: ClientConfig,
    broadcaster: SocketAddr,
    now: Instant,
    /// Every call there ever was.
    calls: Vec<Call>,
    hosting: Hosting,
    closed: bool,
    /// Datagrams in the queue.
    due: Vec<(Vec<u8>, Kind)>,
    /// Events in the queue.
    events: Vec<ClientEvent>,
    stats: ClientStats,
}

#[derive(Debug)]
struct Call {
    id: CallId,
    request: Request,
    /// Each time it was sent.
    sent: Vec<Instant>,
    /// Whether it has its outcome, or was forgotten.
    over: bool,
}

impl ClientModel {
    /// A client of the broadcaster at `broadcaster`.
    #[must_use]
    pub fn new(config: ClientConfig, broadcaster: SocketAddr) -> Self {
        Self {
            config,
            broadcaster: wire::canonical(broadcaster),
            now: Instant::ZERO,
            calls: Vec::new(),
            hosting: Hosting::default(),
            closed: false,
            due: Vec::new(),
            events: Vec::new(),
            stats: ClientStats::default(),
        }
    }

    /// The implementation was asked to make a call, and answered `result`.
    ///
    /// # Errors
    /// If it should have answered otherwise.
    pub fn call(
        &mut self,
        now: Instant,
        request: Request,
        result: Result<CallId, CallError>,
    ) -> Verdict<Kind> {
        self.handle_timeout(now);
        let due = self.misuse(request);
        check(result.err() == due, || format!("{request:?}: {result:?}, but due was {due:?}"))?;
        match result {
            Err(CallError::TooManyCalls { .. }) => Ok("too many calls"),
            Err(CallError::TooManyPools { .. }) => Ok("too many hosted"),
            Err(_) => Ok("closed before"),
            Ok(id) => {
                check(self.calls.iter().all(|call| call.id != id), || format!("{id:?} names two calls"))?;
                self.calls.push(Call { id, request, sent: vec![self.now], over: false });
                self.send(request, "request");
                Ok("call")
            }
        }
    }

    /// What is wrong with a call.
    fn misuse(&self, request: Request) -> Option<CallError> {
        let (most, most_hosted) = (self.config.max_calls, self.config.max_pools);
        let creates = self.under_way().filter(|call| call.request == Request::Create).count();
        let unpolled =
            self.events.iter().filter(|event| matches!(event, ClientEvent::Finished { .. })).count();
        if request == Request::Create && self.hosting.pools().len() + creates >= most_hosted {
            Some(CallError::TooManyPools { limit: most_hosted })
        } else if self.closed {
            Some(CallError::Closed)
        } else {
            (self.under_way().count() + unpolled >= most).then_some(CallError::TooManyCalls { limit: most })
        }
    }

    fn under_way(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| !call.over)
    }

    /// The implementation was told to forget a call.
    pub fn cancel(&mut self, id: CallId) {
        self.calls.iter_mut().filter(|call| call.id == id).for_each(|call| call.over = true);
        self.hosting.end(|hosted| hosted.call == id);
        let of_call =
            |event: &ClientEvent| matches!(event, ClientEvent::Finished { call, .. } if *call == id);
        let Some(place) = self.events.iter().position(of_call) else { return };
        let made = match self.events.remove(place) {
            ClientEvent::Finished { outcome: Outcome::Created(info), .. } => info.id(),
            ClientEvent::Finished { .. } | ClientEvent::PoolEnded { .. } | _ => return,
        };
        // Of a pool that nobody was told of, nobody is told the end.
        self.events.retain(|event| !matches!(event, ClientEvent::PoolEnded { pool, .. } if *pool == made));
    }

    /// The implementation was told to ping a pool no more. Whether it was hosted.
    pub fn release(&mut self, pool: PoolId) -> bool {
        self.hosting.end(|hosted| hosted.pool == pool)
    }

    /// The implementation was closed.
    pub fn close(&mut self) {
        self.closed = true;
        self.hosting.end(|_| true);
        self.finish_all(|_| Some(Outcome::Closed));
    }

    /// The implementation was told the time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let (now, timeout, broadcaster) = (self.now, self.config.call_timeout, self.broadcaster);
        self.finish_all(|call| {
            let started = call.sent.first().copied().unwrap_or(Instant::NEVER);
            let sent = u32::try_from(call.sent.len()).unwrap_or(u32::MAX);
            (started + timeout).is_due(now).then_some(Outcome::TimedOut { broadcaster, sent })
        });
        let mut again = Vec::new();
        for call in self.calls.iter_mut().filter(|call| !call.over) {
            if call.again_at(&self.config).is_due(now) {
                call.sent.push(now);
                again.push(call.request);
            }
        }
        for request in again {
            self.stats.resent += 1;
            self.send(request, if request == Request::Create { "create again" } else { "request again" });
        }
        for pool in self.hosting.ping(now, &self.config) {
            self.send(Request::Ping(pool), "ping");
        }
    }

    /// The implementation was told of a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.handle_timeout(now);
        if wire::canonical(from) != self.broadcaster {
            self.stats.foreign += 1;
            return;
        }
        let read = if datagram.len() > self.config.max_datagram { None } else { wire::said(datagram) };
        match read {
            None => self.stats.spoiled += 1,
            Some(Said::Pools(ids)) => {
                let asked = self.oldest(|request| request == Request::List);
                self.answer(asked, Outcome::Listed(PoolPage::from_iter(ids)));
            }
            Some(Said::Pool(info)) => self.in_pool(info),
            Some(Said::Error(refusal)) => self.refused(refusal),
            Some(Said::PoolEnded) => {
                self.hosting.warn(self.now);
                self.handle_timeout(now);
            }
        }
    }

    /// The oldest call under way that asks for that.
    fn oldest(&self, asks: impl Fn(Request) -> bool) -> Option<CallId> {
        self.under_way().find(|call| asks(call.request)).map(|call| call.id)
    }

    /// A call gets its outcome, or an answer is ignored.
    fn answer(&mut self, call: Option<CallId>, outcome: Outcome) {
        match call {
            None => self.stats.unexpected += 1,
            Some(id) => self.finish_all(|call| (call.id == id).then(|| outcome.clone())),
        }
    }

    /// Gives every call under way its outcome, if it has one now.
    fn finish_all(&mut self, outcome: impl Fn(&Call) -> Option<Outcome>) {
        for call in self.calls.iter_mut().filter(|call| !call.over) {
            if let Some(outcome) = outcome(call) {
                call.over = true;
                self.events.push(ClientEvent::Finished { call: call.id, outcome });
            }
        }
    }

    /// The answer to a join of that pool, or else to a create, if it names you as the host of a pool that is new.
    fn in_pool(&mut self, info: PoolInfo) {
        let pool = info.id();
        let join = self.oldest(|request| request == Request::Join(pool));
        let create = self.oldest(|request| request == Request::Create);
        let new = info.host() == info.you() && !self.hosting.knows(pool);
        match (join, create) {
            (None, Some(create)) if new => {
                self.hosting.add(pool, create);
                self.answer(Some(create), Outcome::Created(info));
                self.handle_timeout(self.now);
            }
            _ => self.answer(join, Outcome::Joined(info)),
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        let call = match &refusal {
            Refusal::NoSuchPool(id) => {
                let pool = PoolId::new(id.as_bytes()).ok();
                let join = self.oldest(|request| pool.is_some_and(|pool| request == Request::Join(pool)));
                if let Some(pool) = pool.filter(|pool| self.release(*pool)) {
                    self.events.push(ClientEvent::PoolEnded { pool, reason: PoolEnd::Quiet });
                    if join.is_none() {
                        return;
                    }
                }
                join
            }
            Refusal::PoolFull { pool, .. } => self.oldest(|request| request == Request::Join(*pool)),
            Refusal::TooManyPools { .. } | Refusal::TooManyPoolsFromSource { .. } | Refusal::NoFreshId => {
                self.oldest(|request| request == Request::Create)
            }
            Refusal::TooManyPeers { .. } => self.oldest(|request| matches!(request, Request::Join(_))),
            Refusal::NotHost => None,
            // It doesn't say what it is about: that is only clear if there is one call.
            Refusal::UnknownRequest
            | Refusal::Truncated { .. }
            | Refusal::TooLong { .. }
            | Refusal::Other(_)
            | _ => self.oldest(|_| true).filter(|_| self.under_way().count() == 1),
        };
        self.answer(call, Outcome::Refused(refusal));
    }

    fn send(&mut self, request: Request, kind: Kind) {
        self.stats.sent += 1;
        let datagram = match request {
            Request::Create => vec![0],
            Request::Ping(pool) => wire::with_string(1, pool.as_bytes()),
            Request::List => vec![2],
            Request::Join(pool) => wire::with_string(3, pool.as_bytes()),
        };
        if self.due.len() < self.config.max_queued {
            self.due.push((datagram, kind));
        } else {
            self.stats.outputs_dropped += 1;
        }
    }

    /// The implementation sent a datagram.
    ///
    /// # Errors
    /// If it should have sent something else, or nothing.
    pub fn sent(&mut self, to: SocketAddr, datagram: &[u8]) -> Verdict<Kind> {
        let shown = || format!("{to} was sent \"{}\"", datagram.escape_ascii());
        check(!self.due.is_empty(), || format!("{}, but nothing was due", shown()))?;
        let (due, kind) = self.due.remove(0);
        check(to == self.broadcaster && due == datagram, || {
            format!("{}, but due was \"{}\" to {} ({kind})", shown(), due.escape_ascii(), self.broadcaster)
        })?;
        Ok(kind)
    }

    /// The implementation told an event.
    ///
    /// # Errors
    /// If it should have told something else, or nothing.
    pub fn told(&mut self, event: &ClientEvent) -> Verdict<Kind> {
        check(!self.events.is_empty(), || format!("{event:?}, but nothing had happened"))?;
        let due = self.events.remove(0);
        check(*event == due, || format!("{event:?}, but due was {due:?}"))?;
        Ok(kind(&due))
    }

    /// The implementation says that nothing is left to do.
    ///
    /// # Errors
    /// If something is.
    pub fn rests(&self) -> Verdict {
        check(self.due.is_empty(), || format!("nothing was sent, but due was {:?}", self.due))?;
        check(self.events.is_empty(), || format!("nothing was told, but due was {:?}", self.events))
    }

    /// When the implementation must be told the time at the latest; none if it waits for nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let started = |call: &Call| call.sent.first().copied().unwrap_or(Instant::NEVER);
        let of_call =
            |call: &Call| (started(call) + self.config.call_timeout).min(call.again_at(&self.config));
        let pings = self.hosting.deadline(self.now, &self.config);
        self.under_way().map(of_call).chain(pings).min().filter(|at| *at != Instant::NEVER)
    }

    /// The latest time that was told.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The pools that are pinged, in the order in which they were made.
    #[must_use]
    pub fn hosted(&self) -> Vec<PoolId> {
        self.hosting.pools()
    }

    /// The requests of the calls under way, the oldest first.
    pub fn asked(&self) -> impl Iterator<Item = Request> + '_ {
        self.under_way().map(|call| call.request)
    }

    /// What was sent and ignored so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.stats
    }
}

impl Call {
    /// When it is sent again. List and join wait twice as long each time; create as long, if it is sent again at all.
    fn again_at(&self, config: &ClientConfig) -> Instant {
        let Some(last) = self.sent.last() else { return Instant::NEVER };
        let wait = match self.request {
            Request::Create => config.recreate_after.unwrap_or(Duration::MAX).max(SHORTEST),
            Request::List | Request::Join(_) | Request::Ping(_) => self
                .sent
                .iter()
                .skip(1)
                .fold(config.resend_after.max(SHORTEST), |wait, _| wait.saturating_mul(2)),
        };
        *last + wait
    }
}

fn kind(event: &ClientEvent) -> Kind {
    match event {
        ClientEvent::PoolEnded { .. } => "pool ended",
        ClientEvent::Finished { outcome, .. } => match outcome {
            Outcome::Created(_) => "created",
            Outcome::Joined(_) => "joined",
            Outcome::Listed(_) => "listed",
            Outcome::TimedOut { .. } => "timed out",
            Outcome::Closed => "closed",
            Outcome::Refused(refusal) => match refusal {
                Refusal::NoSuchPool(_) => "refused: no such pool",
                Refusal::PoolFull { .. } => "refused: pool full",
                Refusal::TooManyPools { .. } => "refused: too many pools",
                Refusal::TooManyPoolsFromSource { .. } => "refused: too many from source",
                Refusal::NoFreshId => "refused: no fresh id",
                Refusal::TooManyPeers { .. } => "refused: too many peers",
                Refusal::UnknownRequest => "refused: unknown request",
                Refusal::Truncated { .. } => "refused: truncated",
                Refusal::TooLong { .. } => "refused: too long",
                Refusal::NotHost | Refusal::Other(_) | _ => "refused: other words",
            },
            Outcome::Done | _ => "another outcome",
        },
        ClientEvent::Pool { .. } | _ => "another event",
    }
}
