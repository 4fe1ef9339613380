//! What must hold of a mesh's dials: how many, how long, how often.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::{DialId, Instant, MeshConfig};

/// An attempt under way.
#[derive(Debug)]
struct Dial {
    address: SocketAddr,
    /// The earliest and the latest time at which it must be over.
    ends: (Instant, Instant),
}

/// An address that could not be reached so far.
#[derive(Debug)]
struct Failed {
    /// How often in turn.
    times: u32,
    /// The earliest time at which the last attempt may have failed.
    at: Instant,
}

/// Follows a mesh's dials from outside.
#[derive(Debug)]
pub(super) struct DialCheck {
    config: MeshConfig,
    dials: BTreeMap<DialId, Dial>,
    failed: BTreeMap<SocketAddr, Failed>,
}

impl DialCheck {
    pub(super) fn new(config: &MeshConfig) -> Self {
        Self { config: config.clone(), dials: BTreeMap::new(), failed: BTreeMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.dials.len()
    }

    /// An attempt begins, which was decided on between `first` and `latest`.
    pub(super) fn begins(
        &mut self,
        dial: DialId,
        address: SocketAddr,
        timeout: Duration,
        first: Instant,
        latest: Instant,
    ) -> Result<(), String> {
        if self.dials.values().any(|other| other.address == address) {
            return Err(format!("L1: {address} is dialed twice at a time"));
        }
        if self.dials.insert(dial, Dial { address, ends: (first + timeout, latest + timeout) }).is_some() {
            return Err(format!("{dial:?} was dialed twice"));
        }
        if self.dials.len() > self.config.max_dialing.max(1) {
            return Err(format!("P3: {} dials at a time", self.dials.len()));
        }
        let Some(before) = self.failed.get(&address) else { return Ok(()) };
        if before.times >= self.config.dial_attempts {
            return Err(format!("V8: {address} is dialed again after {} attempts", before.times));
        }
        let due = self.config.dial_backoff.saturating_mul(1 << (before.times - 1).min(30));
        let passed = latest.saturating_duration_since(before.at);
        if passed < due {
            return Err(format!("V8: {address} is dialed again after {passed:?}, not {due:?}"));
        }
        Ok(())
    }

    /// An attempt has succeeded.
    pub(super) fn succeeded(&mut self, dial: DialId) {
        self.dials.remove(&dial);
    }

    /// An attempt has failed, not before `at`.
    pub(super) fn failed(&mut self, dial: DialId, at: Instant) {
        if let Some(Dial { address, .. }) = self.dials.remove(&dial) {
            let failed = self.failed.entry(address).or_insert(Failed { times: 0, at });
            *failed = Failed { times: failed.times + 1, at };
        }
    }

    /// An attempt is given up, between `first` and `latest`.
    pub(super) fn abandoned(
        &mut self,
        dial: DialId,
        first: Instant,
        latest: Instant,
        closed: bool,
    ) -> Result<(), String> {
        // Its fate may have come in after it was given up, and before that was polled.
        let Some(Dial { ends, .. }) = self.dials.get(&dial) else { return Ok(()) };
        if !closed && ends.0 > latest {
            return Err(format!("V5: {dial:?} was given up at {latest:?}, before {:?}", ends.0));
        }
        self.failed(dial, first);
        Ok(())
    }

    /// What became of an address was told: it may be dialed anew.
    pub(super) fn settled(&mut self, address: SocketAddr) {
        self.failed.remove(&address);
    }

    /// Everything was drained.
    pub(super) fn drained(
        &self,
        now: Instant,
        deadline: Option<Instant>,
        closed: bool,
    ) -> Result<(), String> {
        let Some((id, dial)) = self.dials.iter().min_by_key(|(_, dial)| dial.ends.1) else {
            return Ok(());
        };
        let ends = dial.ends.1;
        if ends.is_due(now) {
            return Err(format!("V2: {id:?} goes on after its time at {ends:?}"));
        }
        if deadline.unwrap_or(Instant::NEVER) > ends {
            return Err(format!("D3: the mesh would sleep past the end of {id:?}"));
        }
        if closed {
            return Err(format!("V2: {id:?} goes on after the mesh was closed"));
        }
        Ok(())
    }
}
