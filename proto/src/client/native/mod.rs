//! The client of the native dialect.

mod membership;

use core::net::SocketAddr;

pub use membership::Membership;

use super::{CallError, CallId, ClientConfig, ClientEvent, ClientStats, Door, ListFilter, Outcome, Saved};
use crate::output::Outbox;
use crate::wire::native::{About, Member, Name, PoolSpec};
use crate::{Instant, Machine, Output, PoolId};

/// The client of the native dialect.
#[derive(Debug)]
pub(super) struct NativeClient {
    config: ClientConfig,
    now: Instant,
    memberships: alloc::vec::Vec<Membership>,
    next_call: u64,
    unpolled: usize,
    outbox: Outbox<ClientEvent>,
    stats: ClientStats,
    closed: bool,
}

impl NativeClient {
    pub(super) fn new(config: ClientConfig, broadcaster: SocketAddr, seed: [u8; 32]) -> Self {
        let _ = (broadcaster, seed);
        Self {
            now: Instant::ZERO,
            memberships: alloc::vec::Vec::new(),
            next_call: 0,
            unpolled: 0,
            outbox: Outbox::new(config.max_queued),
            stats: ClientStats::default(),
            closed: false,
            config,
        }
    }

    fn call(&mut self) -> Result<CallId, CallError> {
        if self.closed {
            return Err(CallError::Closed);
        }
        if self.unpolled >= self.config.max_calls {
            return Err(CallError::TooManyCalls { limit: self.config.max_calls });
        }
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.unpolled += 1;
        self.outbox.event(ClientEvent::Finished { call, outcome: Outcome::TimedOut { sent: 0 } });
        Ok(call)
    }

    fn order(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.now = self.now.max(now);
        Err(CallError::NotAMember { pool })
    }

    pub(super) fn list(&mut self, _now: Instant, filter: &ListFilter) -> Result<CallId, CallError> {
        Name::new(&filter.prefix)?;
        self.call()
    }

    pub(super) fn create(
        &mut self,
        _now: Instant,
        _spec: &PoolSpec,
        about: &[u8],
    ) -> Result<CallId, CallError> {
        About::new(about)?;
        self.call()
    }

    pub(super) fn join(&mut self, _now: Instant, _door: Door, about: &[u8]) -> Result<CallId, CallError> {
        About::new(about)?;
        self.call()
    }

    pub(super) fn resume(&mut self, _now: Instant, _saved: &Saved) -> Result<CallId, CallError> {
        self.call()
    }

    pub(super) fn leave(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.order(now, pool)
    }

    pub(super) fn close_pool(&mut self, now: Instant, pool: PoolId) -> Result<CallId, CallError> {
        self.order(now, pool)
    }

    pub(super) fn kick(&mut self, now: Instant, pool: PoolId, _member: Member) -> Result<CallId, CallError> {
        self.order(now, pool)
    }

    pub(super) fn hand_over(
        &mut self,
        now: Instant,
        pool: PoolId,
        _member: Member,
    ) -> Result<CallId, CallError> {
        self.order(now, pool)
    }

    pub(super) fn change(
        &mut self,
        now: Instant,
        pool: PoolId,
        _spec: &PoolSpec,
    ) -> Result<CallId, CallError> {
        self.order(now, pool)
    }

    pub(super) fn lock(&mut self, now: Instant, pool: PoolId, _locked: bool) -> Result<CallId, CallError> {
        self.order(now, pool)
    }

    pub(super) fn set_about(
        &mut self,
        now: Instant,
        pool: PoolId,
        _about: &[u8],
    ) -> Result<CallId, CallError> {
        self.order(now, pool)
    }

    pub(super) fn cancel(&mut self, call: CallId) {
        let of_call =
            |event: &ClientEvent| matches!(event, ClientEvent::Finished { call: of, .. } if *of == call);
        if self.outbox.take_back(of_call).is_some() {
            self.unpolled = self.unpolled.saturating_sub(1);
        }
    }

    pub(super) fn release(&mut self, pool: PoolId) -> bool {
        let before = self.memberships.len();
        self.memberships.retain(|membership| membership.id() != pool);
        self.memberships.len() < before
    }

    pub(super) fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.memberships.iter()
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn stats(&self) -> ClientStats {
        ClientStats { outputs_dropped: self.outbox.dropped(), ..self.stats }
    }
}

impl Machine for NativeClient {
    type Event = ClientEvent;

    fn handle_datagram(&mut self, _now: Instant, _from: SocketAddr, _datagram: &[u8]) {
        self.stats.unexpected += 1;
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self) -> Output<ClientEvent> {
        let Some(output) = self.outbox.pop() else { return Output::Wait(None) };
        if matches!(output, Output::Event(ClientEvent::Finished { .. })) {
            self.unpolled = self.unpolled.saturating_sub(1);
        }
        output
    }
}
