//! A program that does anything at any time, and behaves when it is asked to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::{CallId, ClientEvent, ConnectId, LinkEvent, Outcome, Packet, PeerId, PoolId, PoolInfo};

use crate::sim::{App, AppEvent, Context};

/// Pools that are remembered.
const KNOWN: usize = 16;
/// The name of the event by which those who meet greet each other.
const GREETING: &str = "greeting";

/// Acts at random: calls, cancels, links, sends, lets go. While it [rests](Self::rest) it does only what it is told.
#[derive(Debug)]
pub struct Chaos {
    /// How long it waits from one act to the next, on average.
    every: Duration,
    /// The longest payload it sends; others are parts of it.
    longest: Bytes,
    /// Where others are.
    others: Vec<SocketAddr>,
    resting: bool,
    closed: bool,
    pools: Vec<PoolId>,
    last_call: Option<CallId>,
    last_connect: Option<ConnectId>,
    meeting: Meeting,
}

/// What has come of a meeting.
#[derive(Clone, Debug, Default)]
pub struct Meeting {
    /// The call that creates or joins the pool.
    call: Option<CallId>,
    /// The pools that were listed.
    pub listed: Option<Vec<PoolId>>,
    /// The pool, as it was answered.
    pub pool: Option<PoolInfo>,
    /// Why not, if it was not to be.
    pub failed: Option<String>,
    /// Who has greeted.
    pub greeted: BTreeSet<u64>,
}

impl Chaos {
    /// A program that acts every so often, sends parts of a payload, and knows where others are.
    #[must_use]
    pub fn new(every: Duration, longest: Bytes, others: Vec<SocketAddr>) -> Self {
        Self {
            every,
            longest,
            others,
            resting: false,
            closed: false,
            pools: Vec::new(),
            last_call: None,
            last_connect: None,
            meeting: Meeting::default(),
        }
    }

    /// Lets go of everything and keeps quiet.
    pub fn rest(&mut self, context: &mut Context<'_>) {
        self.resting = true;
        self.meeting = Meeting::default();
        for pool in context.pools() {
            context.release(pool);
        }
        for (peer, _) in context.peers() {
            context.disconnect(peer);
        }
    }

    /// Acts at random again.
    pub fn resume(&mut self, context: &mut Context<'_>) {
        self.resting = false;
        self.rise(context);
    }

    /// Looks which pools there are.
    pub fn look(&mut self, context: &mut Context<'_>) {
        self.meeting = Meeting::default();
        match context.list() {
            Ok(call) => self.meeting.call = Some(call),
            Err(error) => self.meeting.failed = Some(error.to_string()),
        }
    }

    /// Hosts a meeting.
    pub fn host(&mut self, context: &mut Context<'_>) {
        self.meeting = Meeting::default();
        match context.create() {
            Ok(call) => self.meeting.call = Some(call),
            Err(error) => self.meeting.failed = Some(error.to_string()),
        }
    }

    /// Joins a meeting.
    pub fn meet(&mut self, context: &mut Context<'_>, pool: PoolId) {
        self.meeting = Meeting::default();
        match context.join(pool) {
            Ok(call) => self.meeting.call = Some(call),
            Err(error) => self.meeting.failed = Some(error.to_string()),
        }
    }

    /// Greets everyone there is a link to, by a number.
    pub fn greet(&mut self, context: &mut Context<'_>, number: u64) {
        let failed = context.send_to_all(GREETING, Packet::new().u64(number));
        if let Some((peer, error)) = failed.first() {
            self.meeting.failed = Some(format!("greeting {peer}: {error}"));
        }
    }

    /// Whether it has closed client and mesh: it can do nothing more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What has come of the meeting.
    #[must_use]
    pub fn meeting(&self) -> &Meeting {
        &self.meeting
    }

    fn rise(&self, context: &mut Context<'_>) {
        let wait = context.rng().exponential(self.every);
        context.wake_after(Duration::from_micros(wait), 0);
    }

    fn act(&mut self, context: &mut Context<'_>) {
        match context.rng().below(100) {
            0..8 => self.last_call = context.list().ok(),
            8..12 => self.last_call = context.create().ok(),
            12..32 => {
                if let Some(pool) = self.some_pool(context) {
                    self.last_call = context.join(pool).ok();
                }
            }
            32..34 => {
                if let Some(call) = self.last_call {
                    context.cancel(call);
                }
            }
            34..39 => self.release_one(context),
            39..40 if context.rng().chance(100_000) => {
                self.closed = true;
                context.close();
            }
            40..44 => self.connect_some(context),
            44..45 => {
                if let Some(call) = self.last_connect {
                    context.cancel_connect(call);
                }
            }
            45..49 => {
                if let Some(peer) = some_peer(context) {
                    context.disconnect(peer);
                }
            }
            49..50 => {
                let address = context.address();
                // Where it listens may change; that it can't is told by an event.
                let _ = context.listen(address);
            }
            50..75 => {
                if let Some(peer) = some_peer(context) {
                    let payload = self.payload(context);
                    let _ = context.send(peer, "one", payload);
                }
            }
            75..80 => {
                // More than fits: what is refused is told.
                if let Some(peer) = some_peer(context) {
                    for _ in 0..8 {
                        let _ = context.send(peer, "much", self.longest.clone());
                    }
                }
            }
            _ => {
                let payload = self.payload(context);
                context.send_to_all("all", payload);
            }
        }
    }

    fn some_pool(&self, context: &mut Context<'_>) -> Option<PoolId> {
        if context.rng().chance(20_000) {
            return PoolId::new(b"no-such-pool").ok();
        }
        let place = context.rng().index(self.pools.len());
        self.pools.get(place).copied()
    }

    fn release_one(&self, context: &mut Context<'_>) {
        let hosted = context.pools();
        let place = context.rng().index(hosted.len());
        if let Some(pool) = hosted.get(place) {
            context.release(*pool);
        }
    }

    fn connect_some(&mut self, context: &mut Context<'_>) {
        let mut addresses = Vec::new();
        for _ in 0..context.rng().range(1, 3) {
            let place = context.rng().index(self.others.len());
            addresses.extend(self.others.get(place).copied());
        }
        self.last_connect = context.connect(addresses).ok();
    }

    fn payload(&self, context: &mut Context<'_>) -> Bytes {
        let rng = context.rng();
        let most = if rng.chance(100_000) { self.longest.len() } else { self.longest.len().min(64) };
        let len = rng.index(most);
        let start = rng.index(self.longest.len() - len);
        self.longest.slice(start..start + len)
    }

    fn finished(&mut self, call: CallId, outcome: Outcome, context: &mut Context<'_>) {
        let meeting = self.meeting.call == Some(call);
        match outcome {
            Outcome::Created(pool) | Outcome::Joined(pool) => {
                self.know(pool.id());
                self.last_connect = context.enter(&pool).ok();
                if meeting {
                    self.meeting.pool = Some(pool);
                }
            }
            Outcome::Listed(pools) => {
                pools.ids().for_each(|pool| self.know(pool));
                if meeting {
                    self.meeting.listed = Some(pools.ids().collect());
                }
            }
            other @ (Outcome::Refused(_) | Outcome::TimedOut { .. } | Outcome::Closed | _) => {
                if meeting {
                    self.meeting.failed = Some(format!("{other:?}"));
                }
            }
        }
    }

    fn know(&mut self, pool: PoolId) {
        if !self.pools.contains(&pool) {
            if self.pools.len() >= KNOWN {
                self.pools.remove(0);
            }
            self.pools.push(pool);
        }
    }
}

fn some_peer(context: &mut Context<'_>) -> Option<PeerId> {
    let peers = context.peers();
    let place = context.rng().index(peers.len());
    peers.get(place).map(|(peer, _)| *peer)
}

impl App for Chaos {
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
        match event {
            AppEvent::Started => self.rise(context),
            AppEvent::Woken(_) if self.resting => {}
            AppEvent::Woken(_) => {
                self.act(context);
                self.rise(context);
            }
            AppEvent::Client(ClientEvent::Finished { call, outcome }) => {
                self.finished(call, outcome, context)
            }
            AppEvent::Client(ClientEvent::PoolEnded { pool, .. }) => {
                self.pools.retain(|known| *known != pool)
            }
            AppEvent::Link(_, LinkEvent::Received(event)) if event.is(GREETING) => {
                if let Ok(number) = event.reader().u64() {
                    self.meeting.greeted.insert(number);
                }
            }
            AppEvent::Link(peer, LinkEvent::Received(event)) if event.is("one") && !self.resting => {
                let _ = context.send(peer, "reply", event.into_payload());
            }
            AppEvent::Client(_) | AppEvent::Mesh(_) | AppEvent::Link(..) => {}
        }
    }
}
