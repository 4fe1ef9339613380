//! What must hold of a client: its calls, and the pools it believes to host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::wire::{Request, classic};
use poolmesh_proto::{
    CallError, CallId, Client, ClientConfig, ClientEvent, Instant, Outcome, PoolId, Transmit,
};

/// How many pools a client remembers to have made, at the least.
const REMEMBERED: usize = 64;

/// The type byte of a ping.
const PING: u8 = 1;
/// The type byte of an error.
const ERROR: u8 = 4;

#[derive(Debug)]
struct Call {
    deadline: Instant,
    request: Request,
    /// How often the client had been told a time when it was made.
    told: u64,
}

/// Follows a client from outside.
#[derive(Debug)]
pub(super) struct CallCheck {
    config: ClientConfig,
    broadcaster: SocketAddr,
    calls: BTreeMap<CallId, Call>,
    /// How often the client was told a time.
    told: u64,
    /// The pools that were made last.
    made: VecDeque<PoolId>,
    /// Those of which the end was not told.
    lives: BTreeSet<PoolId>,
    /// The earliest time at which each pool may have been pinged last.
    pinged: BTreeMap<PoolId, Instant>,
    /// Something that no broadcaster has said came in its name since the last drain.
    misled: bool,
}

impl CallCheck {
    pub(super) fn new(config: &ClientConfig, broadcaster: SocketAddr) -> Self {
        Self {
            config: config.clone(),
            broadcaster,
            calls: BTreeMap::new(),
            told: 0,
            made: VecDeque::new(),
            lives: BTreeSet::new(),
            pinged: BTreeMap::new(),
            misled: false,
        }
    }

    /// The client is told a time.
    pub(super) fn tell(&mut self) {
        self.told += 1;
    }

    /// Whether a call is due by its settings that was made after the client was told the time: it ends at the next.
    pub(super) fn is_due_next(&self, now: Instant) -> bool {
        self.calls.values().any(|call| call.told == self.told && call.deadline.is_due(now))
    }

    /// A datagram came that is not what an honest node has sent.
    pub(super) fn doubtful(&mut self, from: SocketAddr) {
        self.misled |= from == self.broadcaster;
    }

    /// A broadcaster has answered, and the client has seen it: it hosts no pool of which it was told that it is not there.
    pub(super) fn answered(&self, from: SocketAddr, datagram: &[u8], client: &Client) -> Result<(), String> {
        let text = datagram.get(5..).filter(|_| from == self.broadcaster && datagram.first() == Some(&ERROR));
        let id =
            text.and_then(|text| text.strip_prefix(b"ERROR: pool with id ")?.strip_suffix(b" doesn't exist"));
        match client.pools().find(|pool| id == Some(pool.as_bytes())) {
            Some(pool) => Err(format!("V4: {pool} is pinged on, which is gone")),
            None => Ok(()),
        }
    }

    pub(super) fn called(
        &mut self,
        call: Result<CallId, CallError>,
        request: Request,
        now: Instant,
    ) -> Result<CallId, CallError> {
        let id = call?;
        self.calls.insert(id, Call { deadline: now + self.config.call_timeout, request, told: self.told });
        Ok(id)
    }

    pub(super) fn cancelled(&mut self, call: CallId) {
        self.calls.remove(&call);
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Looks at what the client sends. It was made between `first` and `latest`.
    pub(super) fn transmit(
        &mut self,
        transmit: &Transmit,
        first: Instant,
        latest: Instant,
    ) -> Result<(), String> {
        if transmit.destination != self.broadcaster {
            return Err(format!("A5: {} is asked, not the broadcaster", transmit.destination));
        }
        if transmit.payload.first() != Some(&PING) {
            return Ok(());
        }
        let Ok(Request::Ping(pool)) = classic::decode_request(&transmit.payload) else {
            return Err(format!("A5: {:?} is no ping", transmit.payload));
        };
        let before = self.pinged.insert(pool, first);
        let most = before.map(|before| latest.saturating_duration_since(before));
        if most.is_some_and(|most| most < self.config.ping_interval / 4) {
            return Err(format!("V8: {pool} is pinged again after {most:?} at the most"));
        }
        Ok(())
    }

    /// Looks at what the client tells. `issued`: the pools that broadcasters have made.
    pub(super) fn event(&mut self, event: &ClientEvent, issued: &BTreeSet<PoolId>) -> Result<(), String> {
        match event {
            ClientEvent::Finished { call, outcome } => self.finished(*call, outcome, issued),
            ClientEvent::PoolEnded { pool, .. } if self.lives.remove(pool) => {
                self.pinged.remove(pool);
                Ok(())
            }
            ClientEvent::PoolEnded { pool, .. } => {
                Err(format!("V4: the end of {pool} is told twice, or it was never made"))
            }
            ClientEvent::Pool { .. } | _ => Ok(()),
        }
    }

    fn finished(&mut self, id: CallId, outcome: &Outcome, issued: &BTreeSet<PoolId>) -> Result<(), String> {
        let Some(call) = self.calls.remove(&id) else {
            return Err(format!("V2: {id:?} ended twice, or was never made: {outcome:?}"));
        };
        let known = |pool: &PoolId| self.misled || issued.contains(pool);
        match outcome {
            Outcome::Created(info) => {
                if !known(&info.id()) {
                    return Err(format!("M4: created {}, which nobody has made", info.id()));
                }
                if call.request != Request::Create || !info.is_host() {
                    return Err(format!("created {} without being its host", info.id()));
                }
                self.make(info.id())?;
            }
            Outcome::Joined(info) => {
                if call.request != Request::Join(info.id()) {
                    return Err(format!("joined {} where {:?} was asked for", info.id(), call.request));
                }
                if !known(&info.id()) {
                    return Err(format!("M4: joined {}, which nobody has made", info.id()));
                }
            }
            Outcome::Listed(pools) => {
                if call.request != Request::List {
                    return Err(format!("shown pools where {:?} was asked for", call.request));
                }
                if let Some(pool) = pools.ids().find(|pool| !known(pool)) {
                    return Err(format!("M4: shown {pool}, which nobody has made"));
                }
            }
            Outcome::TimedOut { sent, .. } => return self.timed_out(&call.request, *sent),
            Outcome::Refused(_) | Outcome::Closed | _ => return Ok(()),
        }
        match self.calls.range(..id).find(|(_, other)| other.request == call.request) {
            Some((older, _)) => Err(format!("V7: {id:?} got the answer that {older:?} waits for")),
            None => Ok(()),
        }
    }

    /// Each answer makes one pool, however often it comes.
    fn make(&mut self, pool: PoolId) -> Result<(), String> {
        if self.made.contains(&pool) {
            return Err(format!("M3: {pool} was created twice"));
        }
        if self.made.len() >= REMEMBERED {
            self.made.pop_front();
        }
        self.made.push_back(pool);
        self.lives.insert(pool);
        Ok(())
    }

    /// A request is sent again after the time that is set, list and join each time after twice as long.
    fn timed_out(&self, request: &Request, sent: u32) -> Result<(), String> {
        let (first, times) = match request {
            Request::Create => (self.config.recreate_after.unwrap_or(Duration::MAX), 1),
            Request::List | Request::Join(_) | Request::Ping(_) => (self.config.resend_after, 2),
        };
        let mut wait = first;
        let mut passed = first;
        let mut most = 1;
        while passed < self.config.call_timeout {
            most += 1;
            wait = wait.saturating_mul(times);
            passed = passed.saturating_add(wait);
        }
        if sent > most {
            return Err(format!("V8: {request:?} was sent {sent} times, where {most} are due"));
        }
        Ok(())
    }

    /// Everything was drained.
    pub(super) fn drained(
        &mut self,
        now: Instant,
        deadline: Option<Instant>,
        closed: bool,
    ) -> Result<(), String> {
        self.misled = false;
        let Some((id, call)) = self.calls.iter().min_by_key(|(_, call)| call.deadline) else {
            return Ok(());
        };
        if self.calls.values().any(|call| call.told < self.told && call.deadline.is_due(now)) {
            return Err(format!("V2: {id:?} goes on after its deadline at {:?}", call.deadline));
        }
        if deadline.unwrap_or(Instant::NEVER) > call.deadline {
            return Err(format!("D3: the client would sleep past the deadline of {id:?}"));
        }
        if closed {
            return Err(format!("V2: {id:?} goes on after the client was closed"));
        }
        Ok(())
    }
}
