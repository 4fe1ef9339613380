//! The client of the classic dialect: asks a broadcaster for pools, and pings those it hosts.

mod answers;
mod hosting;
#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]
mod tests;

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::BytesMut;

use super::{CallError, CallId, ClientConfig, ClientEvent, ClientStats, Outcome, SHORTEST};
use crate::log::trace;
use crate::output::Outbox;
use crate::wire::{Request, canonical, classic};
use crate::{Instant, Machine, Output, PoolId};
use hosting::Hosting;

#[derive(Debug)]
struct Call {
    id: CallId,
    request: Request,
    deadline: Instant,
    resend_at: Instant,
    backoff: Duration,
    sent: u32,
}

/// The client of one broadcaster. See [`Client`](super::Client) for how it takes answers to calls.
#[derive(Debug)]
pub(in crate::client) struct ClassicClient {
    config: ClientConfig,
    broadcaster: SocketAddr,
    now: Instant,
    next_call: u64,
    /// In the order they were made.
    calls: Vec<Call>,
    /// Outcomes that nobody has polled yet.
    unpolled: usize,
    hosting: Hosting,
    outbox: Outbox<ClientEvent>,
    scratch: BytesMut,
    stats: ClientStats,
    closed: bool,
}

impl ClassicClient {
    /// A client of the broadcaster at `broadcaster`.
    #[must_use]
    pub(in crate::client) fn new(config: ClientConfig, broadcaster: SocketAddr) -> Self {
        Self {
            broadcaster: canonical(broadcaster),
            now: Instant::ZERO,
            next_call: 0,
            calls: Vec::new(),
            unpolled: 0,
            hosting: Hosting::default(),
            outbox: Outbox::new(config.max_queued),
            scratch: BytesMut::new(),
            stats: ClientStats::default(),
            closed: false,
            config,
        }
    }

    /// Asks for the pools there are.
    ///
    /// # Errors
    /// If too many calls are under way, or the client was closed.
    pub(in crate::client) fn list(&mut self, now: Instant) -> Result<CallId, CallError> {
        self.call(now, Request::List)
    }

    /// Asks for a new pool, to be its host.
    ///
    /// # Errors
    /// If too many calls are under way or too many pools hosted, or the client was closed.
    pub(in crate::client) fn create(&mut self, now: Instant) -> Result<CallId, CallError> {
        self.advance(now);
        let creating = self.calls.iter().filter(|call| call.request == Request::Create).count();
        if self.hosting.len() + creating >= self.config.max_pools {
            return Err(CallError::TooManyPools { limit: self.config.max_pools });
        }
        self.call(now, Request::Create)
    }

    /// Asks to become a peer of `pool`.
    ///
    /// # Errors
    /// If too many calls are under way, or the client was closed.
    pub(in crate::client) fn join(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.call(now, Request::Join(pool))
    }

    /// Forgets a call: it gets no outcome any more. A pool it has made, or may still make, is not pinged and ends by
    /// itself.
    pub(in crate::client) fn cancel(&mut self, call: CallId) {
        self.calls.retain(|other| other.id != call);
        self.hosting.forget(call);
        let of_call =
            |event: &ClientEvent| matches!(event, ClientEvent::Finished { call: of, .. } if *of == call);
        let Some(event) = self.outbox.take_back(of_call) else { return };
        self.unpolled -= 1;
        if let ClientEvent::Finished { outcome: Outcome::Created(made), .. } = event {
            // Nobody knows of the pool, so nobody is to be told of its end.
            let of_pool = |event: &ClientEvent| matches!(event, ClientEvent::PoolEnded { pool, .. } if *pool == made.id());
            self.outbox.take_back(of_pool);
        }
    }

    /// Stops pinging a hosted pool, which ends when the broadcaster's ping timeout runs out. Whether it was hosted.
    pub(in crate::client) fn release(&mut self, pool: PoolId) -> bool {
        self.hosting.remove(&pool)
    }

    /// The pools that are pinged.
    pub(in crate::client) fn hosted(&self) -> impl Iterator<Item = PoolId> + '_ {
        self.hosting.pools()
    }

    /// Ends every call with [`Outcome::Closed`] and stops pinging.
    pub(in crate::client) fn close(&mut self) {
        self.closed = true;
        self.hosting.clear();
        while let Some(id) = self.calls.first().map(|call| call.id) {
            self.finish(id, Outcome::Closed);
        }
    }

    /// What was sent and ignored so far.
    #[must_use]
    pub(in crate::client) fn stats(&self) -> ClientStats {
        ClientStats { outputs_dropped: self.outbox.dropped(), ..self.stats }
    }

    fn call(&mut self, now: Instant, request: Request) -> Result<CallId, CallError> {
        self.advance(now);
        if self.closed {
            return Err(CallError::Closed);
        }
        if self.calls.len() + self.unpolled >= self.config.max_calls {
            return Err(CallError::TooManyCalls { limit: self.config.max_calls });
        }
        let id = CallId(self.next_call);
        self.next_call += 1;
        let backoff = match request {
            Request::Create => self.config.recreate_after.unwrap_or(Duration::MAX),
            Request::List | Request::Join(_) | Request::Ping(_) => self.config.resend_after,
        };
        // Nothing would be sent again and again within one call.
        let backoff = backoff.max(SHORTEST);
        self.calls.push(Call {
            id,
            request,
            deadline: self.now + self.config.call_timeout,
            resend_at: self.now + backoff,
            backoff,
            sent: 1,
        });
        self.transmit(&request);
        Ok(id)
    }

    fn transmit(&mut self, request: &Request) {
        self.stats.sent += 1;
        classic::encode_request(request, &mut self.scratch);
        let payload = self.scratch.split().freeze();
        self.outbox.transmit(self.broadcaster, payload);
    }

    /// Gives a call its outcome, and its place to another.
    fn finish(&mut self, id: CallId, outcome: Outcome) {
        if let Some(place) = self.calls.iter().position(|call| call.id == id) {
            self.calls.remove(place);
            self.unpolled += 1;
            self.outbox.event(ClientEvent::Finished { call: id, outcome });
        }
    }

    /// Moves on to `now`: ends calls whose time is up, repeats requests, pings. What is set anew is set from `now`,
    /// so that a stall causes no burst.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let now = self.now;
        while let Some((id, sent)) =
            self.calls.iter().find(|call| call.deadline.is_due(now)).map(|call| (call.id, call.sent))
        {
            trace!(?id, sent, "call timed out");
            self.finish(id, Outcome::TimedOut { broadcaster: self.broadcaster, sent });
        }
        for place in 0..self.calls.len() {
            let Some(call) = self.calls.get_mut(place) else { break };
            if !call.resend_at.is_due(now) {
                continue;
            }
            if call.request != Request::Create {
                call.backoff = call.backoff.saturating_mul(2);
            }
            call.resend_at = now + call.backoff;
            call.sent = call.sent.saturating_add(1);
            let request = call.request;
            self.stats.resent += 1;
            self.transmit(&request);
        }
        while let Some(pool) = self.hosting.next_ping(now, self.config.ping_interval) {
            self.transmit(&Request::Ping(pool));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let calls = self.calls.iter().map(|call| call.deadline.min(call.resend_at)).min();
        [calls, self.hosting.deadline()].into_iter().flatten().filter(|at| *at != Instant::NEVER).min()
    }
}

impl Machine for ClassicClient {
    type Event = ClientEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.advance(now);
        if canonical(from) != self.broadcaster {
            self.stats.foreign += 1;
        } else if datagram.len() > self.config.max_datagram {
            self.stats.spoiled += 1;
        } else {
            match classic::decode_response(datagram) {
                Ok(response) => self.handle_response(response),
                Err(fault) => {
                    let _ = fault;
                    trace!(%fault, "spoiled answer ignored");
                    self.stats.spoiled += 1;
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    fn poll_output(&mut self) -> Output<ClientEvent> {
        let Some(output) = self.outbox.pop() else { return Output::Wait(self.deadline()) };
        if matches!(output, Output::Event(ClientEvent::Finished { .. })) {
            self.unpolled = self.unpolled.saturating_sub(1);
        }
        output
    }
}
