//! What a client of the native dialect lives through: calls, broadcasters that say anything with right tags, and
//! others that say it with wrong ones.

mod liar;
mod model;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use poolmesh_proto::wire::native::{MAX_DATAGRAM, Member, Name, PoolCode};
use poolmesh_proto::{
    CallError, CallId, Client, ClientConfig, Door, Instant, ListFilter, Machine, Membership, Output, Saved,
};

use crate::clock::Clock;
use crate::input::{Input, one_of};
use crate::memory::Meter;
use crate::twins::Twins;
use liar::Liar;
use model::{Kind, Model};

/// Operations of one input, at most.
const MOST_STEPS: usize = 64;

/// The type of a member's message that it leaves.
const LEAVE: u8 = 0x18;

/// That of a broadcaster's page.
const PAGE: u8 = 0x91;

/// Does what the bytes say, sometimes to two of them. Every call ends once, in time; what is told of pools comes to
/// what the client knows of them; it says only what it may, and to whom it may, in order; while it looks for a
/// broadcaster it sends at most two datagrams a second; what is forged does nothing; memory stays within what is stated;
/// deadlines lie ahead after a drain; the same inputs give the same outputs.
///
/// # Panics
/// If not.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.finish();
}

/// Broadcasters: the client knows two of them, specs name others, too.
fn server(number: u8) -> SocketAddr {
    ([192, 0, 2, 200 + number % 5], 6_969).into()
}

struct World {
    client: Option<Twins<Client>>,
    config: ClientConfig,
    meter: Meter,
    model: Model,
    liar: Liar,
    clock: Clock,
    deadline: Option<Instant>,
    /// When it sent something, while it looked for a broadcaster and did nothing else.
    searching: VecDeque<Instant>,
    /// A call was cancelled since the last drain.
    cancelled: bool,
    /// A page came since the last drain.
    paged: bool,
    saved: Vec<Vec<u8>>,
    /// Nothing waits to be polled.
    drained: bool,
    /// How much was handed in since: of several things nobody knows by which a datagram came, and so when.
    handed: u32,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let (config, twice) = config(input);
        let mut meter = Meter::default();
        let client = meter.run(|| Twins::new(|| Client::new(config.clone(), server(0), [7; 32]), twice));
        Self {
            client: Some(client),
            config,
            meter,
            model: Model::default(),
            liar: Liar::default(),
            clock: Clock::default(),
            deadline: None,
            searching: VecDeque::new(),
            cancelled: false,
            paged: false,
            saved: Vec::new(),
            drained: true,
            handed: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let step = input.u8();
        match step % 24 {
            0 => self.list(input),
            1 => self.create(input),
            2 | 3 => self.join(input),
            4 | 5 => self.order(input),
            6 => self.resume(input),
            7..=10 => self.say(input, Liar::answer),
            11..=14 => self.say(input, Liar::notice),
            15 => self.say(input, Liar::challenge),
            16 => self.forge(input),
            17 => self.clock.millis(input),
            18 => self.seconds(input),
            19 | 20 => self.clock.go_to(self.deadline.unwrap_or_default()),
            21 => self.timeout(),
            22 => self.rare(input),
            _ => self.save(input),
        }
        if step < 224 {
            self.drain();
        }
    }

    fn rare(&mut self, input: &mut Input<'_>) {
        match input.u8() {
            0..=3 => self.close(),
            4..=31 => self.clock.jump(input),
            32..=95 => self.cancel(input),
            96..=159 => self.release(input),
            _ => self.raw(input),
        }
    }

    fn machine(&mut self) -> &mut Twins<Client> {
        self.client.as_mut().expect("it is there until the end")
    }

    fn act<T: core::fmt::Debug + PartialEq>(&mut self, act: impl Fn(&mut Client) -> T) -> T {
        self.drained = false;
        self.handed += 1;
        let client = self.client.as_mut().expect("it is there until the end");
        self.meter.run(|| client.act(act))
    }

    /// The application makes a call.
    fn call(&mut self, kind: Kind, call: impl Fn(&mut Client, Instant) -> Result<CallId, CallError>) {
        let now = self.clock.now();
        self.searching.clear();
        let full = self.model.under_way() >= self.config.max_calls;
        match self.act(|client| call(client, now)) {
            Ok(id) => {
                assert!(!full, "more calls than there may be");
                self.model.made(id, self.clock.latest(), kind);
            }
            Err(CallError::Closed) => assert!(self.model.is_closed()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }

    fn list(&mut self, input: &mut Input<'_>) {
        let choice = input.u8();
        let prefix = one_of(&["", "a", &"x".repeat(Name::MAX_LEN + 1)], choice / 4).into();
        let (free, classic) = (u16::from(choice % 4), choice >= 224);
        let filter = ListFilter { prefix, free, classic, ..ListFilter::default() };
        self.call(Kind::List, |client, now| client.list_with(now, &filter));
    }

    fn create(&mut self, input: &mut Input<'_>) {
        let spec = liar::spec(input.u8());
        self.call(Kind::Create, |client, now| client.create_with(now, &spec, b"me"));
    }

    fn join(&mut self, input: &mut Input<'_>) {
        let choice = input.u8();
        let code = PoolCode::new(u64::from(choice % 4)).expect("it is small");
        let door = if choice < 64 { Door::Code(code) } else { Door::Id(liar::pool(choice).into()) };
        self.call(Kind::Join, |client, now| client.join_with(now, door, b"me"));
    }

    fn order(&mut self, input: &mut Input<'_>) {
        let (choice, kind) = (input.u8(), input.u8());
        let Some(pool) = self.model.pool(choice) else { return };
        let member = Member::new(u32::from(kind / 8 % 6) + 1).expect("it is not 0");
        let spec = liar::spec(kind);
        self.call(Kind::Order, |client, now| match kind % 8 {
            0 => client.leave(now, pool),
            1 => client.close_pool(now, pool),
            2 => client.kick(now, pool, member),
            3 => client.hand_over(now, pool, member),
            4 => client.change(now, pool, &spec),
            5 => client.lock(now, pool, kind >= 128),
            _ => client.set_about(now, pool, b"other"),
        });
    }

    fn save(&mut self, input: &mut Input<'_>) {
        self.drain();
        let Some(pool) = self.model.pool(input.u8()) else { return };
        let client = self.client.as_ref().expect("it is there until the end");
        // They may share texts with the client.
        let saved =
            self.meter.run(|| client.membership(&pool).map(Membership::save)).expect("it is a member");
        let bytes = saved.to_bytes().to_vec();
        self.meter.run(|| {
            assert_eq!(Saved::from_bytes(&bytes).as_ref(), Ok(&saved));
            drop(saved);
        });
        if self.saved.len() < 8 {
            self.saved.push(bytes);
        }
    }

    fn resume(&mut self, input: &mut Input<'_>) {
        let Some(at) = usize::from(input.u8()).checked_rem(self.saved.len()) else { return };
        let Some(bytes) = self.saved.get(at).cloned() else { return };
        let saved = self.meter.run(|| Saved::from_bytes(&bytes)).expect("it was written by one");
        self.call(Kind::Resume, |client, now| client.resume(now, &saved));
        self.meter.run(|| drop(saved));
    }

    fn cancel(&mut self, input: &mut Input<'_>) {
        if let Some(call) = self.model.choose(input.u8()) {
            self.act(|client| client.cancel(call));
            self.model.cancelled(call);
        }
        // What was sent for it before may go out yet.
        self.cancelled = true;
        self.searching.clear();
    }

    fn release(&mut self, input: &mut Input<'_>) {
        self.drain();
        if let Some(pool) = self.model.pool(input.u8()) {
            let was = self.act(|client| client.release(pool));
            self.model.released(pool, was);
        }
        self.searching.clear();
    }

    fn close(&mut self) {
        self.drain();
        self.act(Client::close);
        self.model.closed();
        self.searching.clear();
    }

    /// A broadcaster says something.
    fn say(
        &mut self,
        input: &mut Input<'_>,
        say: impl FnOnce(&mut Liar, &mut Input<'_>) -> Option<(SocketAddr, bytes::BytesMut)>,
    ) {
        if let Some((from, datagram)) = say(&mut self.liar, input) {
            assert!(datagram.len() <= MAX_DATAGRAM);
            self.receive(from, &datagram);
        }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.clock.now();
        self.act(|client| client.handle_datagram(now, from, datagram));
        if datagram.get(1) == Some(&PAGE) {
            self.paged = true;
        }
    }

    /// What has another's tag, or comes from elsewhere, does nothing.
    fn forge(&mut self, input: &mut Input<'_>) {
        self.timeout();
        let forged = match input.u8() % 4 {
            0 => self.liar.answer(input).map(|(_, datagram)| (([192, 0, 2, 66], 6_969).into(), datagram)),
            1 => self.liar.notice(input).map(|(_, datagram)| (([192, 0, 2, 66], 6_969).into(), datagram)),
            _ => self.liar.forged(input),
        };
        let Some((from, datagram)) = forged else { return };
        self.receive(from, &datagram);
        assert_eq!(self.drain(), 0, "{datagram:?} from {from} does something");
    }

    fn raw(&mut self, input: &mut Input<'_>) {
        let (from, len) = (server(input.u8()), input.u8());
        let datagram = input.bytes(usize::from(len)).to_vec();
        self.receive(from, &datagram);
    }

    /// Goes on by up to four seconds.
    fn seconds(&mut self, input: &mut Input<'_>) {
        self.clock.go_to(self.clock.shown() + Duration::from_millis(u64::from(input.u8()) * 16));
    }

    /// Says what time it is, and drains: whose time is over has its outcome.
    fn timeout(&mut self) {
        let now = self.clock.now();
        self.act(|client| client.handle_timeout(now));
        self.drain();
        let (deadline, latest) = (self.deadline, self.clock.latest());
        assert!(deadline.is_none_or(|deadline| deadline > latest), "{deadline:?} is not after {latest:?}");
        self.model.check_calls(self.clock.latest(), self.config.call_timeout);
    }

    /// Does what it says until it waits. How much that is.
    fn drain(&mut self) -> usize {
        let latest = self.clock.latest();
        self.check_memory();
        let (mut sent, mut told) = (0, 0);
        let deadline = loop {
            let client = self.client.as_mut().expect("it is there until the end");
            let output = self.meter.run(|| client.act(Client::poll_output));
            match &output {
                Output::Transmit(transmit) => {
                    sent += 1;
                    self.sent(transmit.destination, &transmit.payload);
                }
                Output::Event(event) => {
                    told += 1;
                    self.model.told(event, latest, self.config.call_timeout);
                }
                Output::Wait(deadline) => break *deadline,
            }
            self.meter.run(|| drop(output));
            assert!(sent <= self.config.max_queued && told <= 10_000, "{sent} datagrams, {told} events");
        };
        self.deadline = deadline;
        self.model.check_deadline(deadline, self.config.call_timeout);
        let again = self.machine().act(Client::poll_output);
        assert_eq!(again, Output::Wait(deadline), "a second drain yields nothing");
        let client = self.client.as_mut().expect("it is there until the end");
        self.model.check_pools(client);
        if self.paged {
            self.model.paged();
        }
        (self.drained, self.cancelled, self.paged, self.handed) = (true, false, false, 0);
        sent + told
    }

    /// It sends something.
    fn sent(&mut self, to: SocketAddr, datagram: &[u8]) {
        assert!((0..5).any(|number| server(number) == to), "to {to}, which is no broadcaster");
        assert!(datagram.len() <= MAX_DATAGRAM, "{} bytes", datagram.len());
        let dropped = self.machine().stats().outputs_dropped;
        self.liar.hear(to, datagram, self.model.ordered, dropped);
        // What a call has led into is left when it ends.
        if datagram.get(1) == Some(&LEAVE) {
            return;
        }
        if !self.model.only_searches() || self.cancelled || self.paged || self.handed > 1 {
            return self.searching.clear();
        }
        let now = self.clock.latest();
        let of = now;
        self.searching.retain(|at| *at + Duration::from_secs(1) > of);
        self.searching.push_back(now);
        assert!(self.searching.len() <= 2, "{:?} within a second, while it searches", self.searching);
    }

    fn check_memory(&self) {
        let count = self.client.as_ref().map_or(1, Twins::count);
        self.meter.check(count * memory(&self.config));
    }

    /// All calls end, and all is given back.
    fn finish(&mut self) {
        self.drain();
        let end = self.clock.latest() + self.config.call_timeout.saturating_mul(2);
        self.clock.go_to(end);
        self.timeout();
        assert!(self.model.under_way() == 0 || end == Instant::NEVER, "calls that never end");
        let client = self.client.take();
        self.meter.run(|| drop(client));
        assert_eq!(self.meter.bytes(), 0, "a client that is gone keeps something");
    }
}

/// Small limits, and whether there are two clients.
fn config(input: &mut Input<'_>) -> (ClientConfig, bool) {
    let mut config = ClientConfig::default();
    let choices = input.u8();
    if choices & 1 == 1 {
        config.broadcasters = vec![server(1)];
    }
    if choices & 6 == 6 {
        config.max_calls = input.one_to(4);
        config.max_pools = input.one_to(3);
        config.max_queued = input.one_to(8);
        config.max_events = usize::from(input.u8() % 8);
    }
    if choices & 0x18 == 0x18 {
        config.call_timeout = Duration::from_millis(u64::from(input.u16()));
        config.resend_after = Duration::from_millis(input.u8().into());
    }
    (config, choices >= 0xf0)
}

/// The members that there may be here, for all have low numbers.
const MEMBERS: usize = 6;

/// What [`ClientConfig`] states, in bytes: each pool's roster while others of it come, from two broadcasters, and outcomes
/// that are all lists.
fn memory(config: &ClientConfig) -> usize {
    let pool = 4_096 + 4 * 280 * MEMBERS;
    let call = 4_096 + 16 * 1_024;
    let queued = 512 * config.max_events + 2_048 * config.max_queued;
    config.max_pools * pool + config.max_calls * call + queued + 16 * 1_024
}
