//! A program of the native dialect that does anything at any time, and behaves when it is asked to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::wire::native::{Address, Member, PoolCode, PoolSpec, Seats};
use poolmesh_proto::{
    CallId, ClientEvent, Cursor, LinkEvent, ListFilter, Outcome, Packet, PoolEnd, PoolEvent, PoolId,
    PoolInfo, Saved,
};

use crate::sim::{App, AppEvent, Context, Rng};

/// Pools that are remembered.
const KNOWN: usize = 16;
/// Tickets that are kept on a disk.
const KEPT: usize = 4;
/// The name of the event by which those who meet greet each other.
const GREETING: &str = "greeting";
/// The number of the timer that has it act.
const ACT: u64 = 0;

/// What a program has kept of its memberships, which outlives it.
pub type Disk = Rc<RefCell<BTreeMap<PoolId, Bytes>>>;

/// What a player is made with.
#[derive(Clone, Debug)]
pub struct PlayerSetup {
    /// How long it waits from one act to the next, on average.
    pub every: Duration,
    /// What it keeps.
    pub disk: Disk,
    /// The broadcasters that its pools may name.
    pub broadcasters: Vec<SocketAddr>,
    /// Whether it acts from the beginning on.
    pub acts: bool,
}

/// Acts at random. While it [rests](Self::rest) it does only what it is told.
#[derive(Debug)]
pub struct Player {
    setup: PlayerSetup,
    acts: bool,
    closed: bool,
    pools: Vec<PoolId>,
    codes: Vec<PoolCode>,
    cursor: Option<Cursor>,
    last_call: Option<CallId>,
    meeting: Meeting,
    tally: Tally,
    counted: BTreeSet<CallId>,
}

/// What has come of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were made.
    pub made: u64,
    /// Those that had an answer.
    pub answered: u64,
    /// Those that had none in time.
    pub timed_out: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.answered += other.answered;
        self.timed_out += other.timed_out;
    }
}

/// What has come of a meeting.
#[derive(Clone, Debug, Default)]
pub struct Meeting {
    call: Option<CallId>,
    /// What came of the latest call.
    pub outcome: Option<Outcome>,
    /// Why it could not be made.
    pub failed: Option<String>,
    /// The pool, as it was when it was entered.
    pub pool: Option<PoolInfo>,
    /// How the pool ended.
    pub ended: Option<PoolEnd>,
    /// What was told of the pool, in that order.
    pub told: Vec<PoolEvent>,
    /// Who has greeted.
    pub greeted: BTreeSet<u64>,
}

impl Player {
    /// A player that has not acted yet.
    #[must_use]
    pub fn new(setup: PlayerSetup) -> Self {
        Self {
            acts: setup.acts,
            setup,
            closed: false,
            pools: Vec::new(),
            codes: Vec::new(),
            cursor: None,
            last_call: None,
            meeting: Meeting::default(),
            tally: Tally::default(),
            counted: BTreeSet::new(),
        }
    }

    /// Keeps quiet. With `leaves` lets go of everything.
    pub fn rest(&mut self, context: &mut Context<'_>, leaves: bool) {
        self.acts = false;
        self.meeting = Meeting::default();
        if leaves {
            for pool in context.pools() {
                context.release(pool);
            }
            for (peer, _) in context.peers() {
                context.disconnect(peer);
            }
            self.setup.disk.borrow_mut().clear();
        }
    }

    /// Acts at random again.
    pub fn resume(&mut self, context: &mut Context<'_>) {
        context.cancel_wake(ACT);
        self.acts = true;
        self.rise(context);
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

    /// Forgets what was told in the meeting until now.
    pub fn forget_told(&mut self) {
        self.meeting.told.clear();
    }

    /// Makes a call of the meeting.
    pub fn call(&mut self, context: &mut Context<'_>, call: impl FnOnce(&mut Context<'_>) -> Called) {
        self.meeting.outcome = None;
        self.meeting.failed = None;
        match call(context) {
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

    /// What has come of the calls it made by itself, and forgets it.
    pub fn take_tally(&mut self) -> Tally {
        self.counted.clear();
        std::mem::take(&mut self.tally)
    }

    /// Acts once, at random.
    pub fn act_once(&mut self, context: &mut Context<'_>) {
        self.act(context);
    }

    fn rise(&self, context: &mut Context<'_>) {
        let wait = context.rng().exponential(self.setup.every);
        context.wake_after(Duration::from_micros(wait), ACT);
    }

    fn count(&mut self, called: Called) {
        if let Ok(call) = called {
            self.last_call = Some(call);
            self.tally.made += 1;
            self.counted.insert(call);
        }
    }

    fn act(&mut self, context: &mut Context<'_>) {
        let called = match context.rng().below(100) {
            0..10 => {
                let filter = self.filter(context.rng());
                context.list_with(&filter)
            }
            10..18 => {
                let spec = self.spec(context.rng());
                let about = about(context.rng());
                context.create_with(&spec, &about)
            }
            18..36 => {
                let Some(pool) = some(context.rng(), &self.pools) else { return };
                let about = about(context.rng());
                context.join_with(pool, &about)
            }
            36..40 => {
                let Some(code) = some(context.rng(), &self.codes) else { return };
                context.join_with(code, b"by code")
            }
            40..42 => {
                let saved = self.some_saved(context.rng());
                let Some(saved) = saved else { return };
                context.resume(&saved)
            }
            42..44 => {
                if let Some(call) = self.last_call {
                    context.cancel(call);
                    if self.counted.remove(&call) {
                        self.tally.made -= 1;
                    }
                }
                return;
            }
            44..46 if context.rng().chance(20_000) => {
                self.closed = true;
                return context.close();
            }
            44..50 => return self.save(context),
            50..54 => {
                if let Some(pool) = some_of(context) {
                    context.release(pool);
                    self.forget(context.rng(), pool);
                }
                return;
            }
            54..90 => {
                let Some(pool) = some_of(context) else { return };
                self.order(context, pool)
            }
            90..95 => {
                let peers = context.peers();
                if let Some((peer, _)) = some(context.rng(), &peers) {
                    context.disconnect(peer);
                }
                return;
            }
            _ => {
                let number = context.rng().u64();
                context.send_to_all("all", Packet::new().u64(number));
                return;
            }
        };
        self.count(called);
    }

    /// Gives an order in a pool that it is in.
    fn order(&self, context: &mut Context<'_>, pool: PoolId) -> Called {
        let members: Vec<Member> = context.membership(&pool).map_or_else(Vec::new, |membership| {
            membership.members().iter().map(|member| member.number).collect()
        });
        let member = some(context.rng(), &members).unwrap_or(Member::new(1).expect("it is not 0"));
        match context.rng().below(20) {
            0..3 => {
                self.forget(context.rng(), pool);
                context.leave(pool)
            }
            3..9 => {
                let about = about(context.rng());
                context.set_about(pool, &about)
            }
            9..12 => {
                let spec = self.spec(context.rng());
                context.change(pool, &spec)
            }
            12..14 => {
                let locked = context.rng().chance(300_000);
                context.lock(pool, locked)
            }
            14..16 => context.kick(pool, member),
            16..19 => context.hand_over(pool, member),
            _ => context.close_pool(pool),
        }
    }

    fn filter(&mut self, rng: &mut Rng) -> ListFilter {
        let prefix = if rng.chance(200_000) { "a".to_owned() } else { String::new() };
        let free = if rng.chance(200_000) { rng.below(4) as u16 } else { 0 };
        ListFilter { prefix, free, classic: rng.chance(50_000), after: self.cursor.take() }
    }

    fn spec(&self, rng: &mut Rng) -> PoolSpec {
        let seats = Seats::new(*rng.pick(&[1, 2, 3, 8, 8, 64, 64])).unwrap_or(Seats::DEFAULT);
        let mut spec = PoolSpec::new(seats)
            .hidden(rng.chance(100_000))
            .locked(rng.chance(50_000))
            .ending_with_host(rng.chance(100_000));
        let name = *rng.pick(&["", "a", "ab", "b", "a duel of two"]);
        spec = spec.named(name).unwrap_or_default();
        let metadata = *rng.pick(&[0, 0, 0, 10, 512]);
        spec = spec.with_metadata(&vec![7; metadata]).unwrap_or_default();
        let mut named: Vec<Address> =
            self.setup.broadcasters.iter().copied().filter_map(Address::new).collect();
        match rng.below(4) {
            0 => named.clear(),
            1 => named.reverse(),
            _ => {}
        }
        spec.with_broadcasters(&named).unwrap_or_default()
    }

    /// Keeps what is needed to come back, of all pools that it is in.
    fn save(&self, context: &Context<'_>) {
        let mut disk = self.setup.disk.borrow_mut();
        for pool in context.pools() {
            if let Some(membership) = context.membership(&pool) {
                disk.insert(pool, membership.save().to_bytes());
            }
        }
        while disk.len() > KEPT {
            disk.pop_first();
        }
    }

    fn some_saved(&self, rng: &mut Rng) -> Option<Saved> {
        let disk = self.setup.disk.borrow();
        let kept: Vec<Bytes> = disk.values().cloned().collect();
        some(rng, &kept).and_then(|bytes| Saved::from_bytes(&bytes).ok())
    }

    /// Mostly what is kept of a pool that was left is thrown away.
    fn forget(&self, rng: &mut Rng, pool: PoolId) {
        if rng.chance(800_000) {
            self.setup.disk.borrow_mut().remove(&pool);
        }
    }

    fn started(&mut self, context: &mut Context<'_>) {
        let kept: Vec<Bytes> = self.setup.disk.borrow().values().cloned().collect();
        for bytes in kept {
            if context.rng().chance(700_000) {
                if let Ok(saved) = Saved::from_bytes(&bytes) {
                    let called = context.resume(&saved);
                    self.count(called);
                }
            }
        }
        if self.acts {
            self.rise(context);
        }
    }

    fn finished(&mut self, call: CallId, outcome: Outcome, context: &mut Context<'_>) {
        if self.counted.remove(&call) {
            match outcome {
                Outcome::TimedOut { .. } => self.tally.timed_out += 1,
                Outcome::Closed => self.tally.made -= 1,
                Outcome::Created(_)
                | Outcome::Joined(_)
                | Outcome::Listed(_)
                | Outcome::Done
                | Outcome::Refused(_)
                | _ => self.tally.answered += 1,
            }
        }
        match &outcome {
            Outcome::Created(pool) | Outcome::Joined(pool) => {
                self.know(pool.id());
                self.codes.extend(pool.code());
                let over = self.codes.len().saturating_sub(KNOWN);
                self.codes.drain(..over);
                let _ = context.enter(pool);
                if self.meeting.call == Some(call) {
                    self.meeting.pool = Some(pool.clone());
                }
            }
            Outcome::Listed(page) => {
                page.ids().for_each(|pool| self.know(pool));
                self.cursor = page.next;
            }
            Outcome::Done | Outcome::Refused(_) | Outcome::TimedOut { .. } | Outcome::Closed | _ => {}
        }
        if self.meeting.call == Some(call) {
            self.meeting.outcome = Some(outcome);
        }
    }

    fn told(&mut self, pool: PoolId, event: PoolEvent, context: &mut Context<'_>) {
        if let PoolEvent::Joined(member) = &event {
            // Of two members the one of the higher number dials.
            let newer = context.membership(&pool).is_some_and(|own| own.me() > member.number);
            if newer {
                let _ = context.connect(vec![member.address]);
            }
        }
        if self.meeting.pool.as_ref().is_some_and(|met| met.id() == pool) {
            self.meeting.told.push(event);
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

/// What came of making a call.
pub type Called = Result<CallId, poolmesh_proto::CallError>;

fn some<T: Clone>(rng: &mut Rng, items: &[T]) -> Option<T> {
    items.get(rng.index(items.len())).cloned()
}

fn some_of(context: &mut Context<'_>) -> Option<PoolId> {
    let pools = context.pools();
    some(context.rng(), &pools)
}

fn about(rng: &mut Rng) -> Vec<u8> {
    let len = *rng.pick(&[0, 0, 4, 128]);
    rng.u64().to_le_bytes().into_iter().cycle().take(len).collect()
}

impl App for Player {
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
        match event {
            AppEvent::Started => self.started(context),
            AppEvent::Woken(_) if !self.acts => {}
            AppEvent::Woken(_) => {
                self.act(context);
                self.rise(context);
            }
            AppEvent::Client(ClientEvent::Finished { call, outcome }) => {
                self.finished(call, outcome, context)
            }
            AppEvent::Client(ClientEvent::PoolEnded { pool, reason }) => {
                if self.meeting.pool.as_ref().is_some_and(|met| met.id() == pool) {
                    self.meeting.ended = Some(reason);
                }
                self.forget(context.rng(), pool);
            }
            AppEvent::Client(ClientEvent::Pool { pool, event }) => self.told(pool, event, context),
            AppEvent::Link(_, LinkEvent::Received(event)) if event.is(GREETING) => {
                if let Ok(number) = event.reader().u64() {
                    self.meeting.greeted.insert(number);
                }
            }
            AppEvent::Client(_) | AppEvent::Mesh(_) | AppEvent::Link(..) => {}
        }
    }
}
