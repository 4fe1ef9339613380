//! Whom a mesh dials, when, and how often.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::SocketAddr;
use core::time::Duration;

use super::{DialFailure, DialId, MeshConfig};
use crate::deadlines::Deadlines;
use crate::{Fault, Instant};

/// No wait is shorter: a zero one would keep the mesh busy without time passing.
const SHORTEST: Duration = Duration::from_millis(1);

/// One address that is being dialed.
#[derive(Debug)]
struct Dial {
    attempts: u32,
    backoff: Duration,
    /// When the first attempt was made.
    started: Option<Instant>,
    /// The attempt under way.
    attempt: Option<DialId>,
    /// How the attempt before failed.
    fault: Option<Fault>,
}

/// What is to be done about an address that is to be dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is dialed.
    Attempt { dial: DialId, address: SocketAddr, timeout: Duration },
    /// It is given up.
    GiveUp(SocketAddr, DialFailure),
}

/// All addresses that are dialed, or wait to be.
#[derive(Debug)]
pub(super) struct Dials {
    dials: BTreeMap<SocketAddr, Dial>,
    /// The addresses whose next attempt can be made as soon as there is room.
    ready: VecDeque<SocketAddr>,
    attempts: BTreeMap<DialId, SocketAddr>,
    /// When the attempt under way fails, or the next becomes ready.
    deadlines: Deadlines<SocketAddr>,
    next: u64,
}

impl Dials {
    pub(super) const fn new() -> Self {
        Self {
            dials: BTreeMap::new(),
            ready: VecDeque::new(),
            attempts: BTreeMap::new(),
            deadlines: Deadlines::new(),
            next: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.dials.len()
    }

    /// How many attempts are under way.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn contains(&self, address: &SocketAddr) -> bool {
        self.dials.contains_key(address)
    }

    pub(super) fn earliest(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Has `address` dialed, if it is not already.
    pub(super) fn add(&mut self, address: SocketAddr, config: &MeshConfig) {
        if !self.contains(&address) {
            let dial =
                Dial { attempts: 0, backoff: config.dial_backoff, started: None, attempt: None, fault: None };
            self.dials.insert(address, dial);
            self.ready.push_back(address);
        }
    }

    /// The next thing to do now.
    pub(super) fn next(&mut self, now: Instant, config: &MeshConfig) -> Option<Next> {
        if self.attempts.len() >= config.max_dialing.max(1) {
            return None;
        }
        let address = self.ready.pop_front()?;
        let dial = self.dials.get_mut(&address)?;
        let gives_up = *dial.started.get_or_insert(now) + config.dial_deadline;
        if let (Some(fault), true) = (dial.fault, gives_up.is_due(now)) {
            // It had to wait for its turn, or the driver has stalled.
            let failure = DialFailure::Failed { fault, attempts: dial.attempts };
            self.forget(address);
            return Some(Next::GiveUp(address, failure));
        }
        let left = gives_up.saturating_duration_since(now);
        let timeout = config.dial_timeout.min(left).max(SHORTEST);
        let id = DialId(self.next);
        self.next += 1;
        dial.attempts += 1;
        dial.attempt = Some(id);
        self.attempts.insert(id, address);
        self.deadlines.set(address, now + timeout);
        Some(Next::Attempt { dial: id, address, timeout })
    }

    /// Ends the dialing of the address that this attempt has reached.
    pub(super) fn succeed(&mut self, id: DialId) -> Option<SocketAddr> {
        let address = self.attempts.remove(&id)?;
        self.forget(address);
        Some(address)
    }

    /// Notes that an attempt failed. Answers the address if it is given up.
    pub(super) fn fail(
        &mut self,
        id: DialId,
        now: Instant,
        fault: Fault,
        config: &MeshConfig,
    ) -> Option<(SocketAddr, DialFailure)> {
        let address = self.attempts.remove(&id)?;
        let dial = self.dials.get_mut(&address)?;
        dial.attempt = None;
        dial.fault = Some(fault);
        let retry = now + dial.backoff.max(SHORTEST);
        let gives_up = dial.started.unwrap_or(now) + config.dial_deadline;
        if dial.attempts >= config.dial_attempts || retry >= gives_up {
            let attempts = dial.attempts;
            self.forget(address);
            return Some((address, DialFailure::Failed { fault, attempts }));
        }
        dial.backoff = dial.backoff.saturating_mul(2);
        self.deadlines.set(address, retry);
        None
    }

    /// What is due at `now`: an attempt that took too long, or none if it was a retry, which is then ready.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Option<DialId>> {
        let address = self.deadlines.pop_due(now)?;
        let attempt = self.dials.get(&address).and_then(|dial| dial.attempt);
        if attempt.is_none() {
            self.ready.push_back(address);
        }
        Some(attempt)
    }

    /// Gives an address up, and says which attempt was under way.
    pub(super) fn pop(&mut self) -> Option<(SocketAddr, Option<DialId>)> {
        let (address, dial) = self.dials.pop_first()?;
        self.forget(address);
        if let Some(attempt) = dial.attempt {
            self.attempts.remove(&attempt);
        }
        Some((address, dial.attempt))
    }

    fn forget(&mut self, address: SocketAddr) {
        self.dials.remove(&address);
        self.deadlines.clear(address);
        self.ready.retain(|ready| *ready != address);
    }
}
