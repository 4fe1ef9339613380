//! What a client lives through: calls, answers that fit and answers that don't, and a broadcaster that may be gone.

mod answers;
mod model;

use core::net::SocketAddr;
use core::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, classic};
use poolmesh_proto::{
    CallError, Client, ClientConfig, ClientEvent, Instant, Machine, Output, PoolId, PoolListing,
};

use crate::clock::Clock;
use crate::input::Input;
use crate::memory::Live;
use crate::twins::Twins;
use model::Model;

/// Operations of one input, at most.
const MOST_STEPS: usize = 64;

/// The longest datagram that is made here, in bytes.
const LONGEST: usize = 1_200;

/// What [`ClientConfig`] states, in bytes: a call or a hosted pool, a queued datagram, and what it takes for itself.
const CALL_OR_HOSTED: usize = 1_024;
const DATAGRAM: usize = 512;
const OWN: usize = 8 * 1_024;

/// A list in memory is at most this many times as long as on the wire: an id of one byte, and the space behind it.
const PER_BYTE: usize = size_of::<PoolListing>() / 2;
const LONGEST_LIST: usize = 160 * 1_024;

/// Does what the bytes say, sometimes to two of them. Every call ends once, in time, with an outcome that is one of
/// what was asked; what is pinged is what was told; counts and memory stay within what is stated; deadlines lie ahead
/// after a drain; the same inputs give the same outputs.
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
        world.check_counts();
    }
    world.finish();
}

fn server() -> SocketAddr {
    ([192, 0, 2, 9], 6_969).into()
}

/// One of a few pools.
fn pool(choice: u8) -> PoolId {
    PoolId::new(&[b'p', b'a' + choice % 16]).expect("two letters are an id")
}

/// One client, its application and its network.
struct World {
    client: Twins<Client>,
    config: ClientConfig,
    model: Model,
    clock: Clock,
    deadline: Option<Instant>,
    /// Where a datagram is put together.
    scratch: BytesMut,
    /// Nothing waits to be polled.
    drained: bool,
    /// Datagrams it has said to send.
    sent: u64,
    /// The longest answer that was handed in, in bytes.
    longest: usize,
    live: Live,
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let (config, twice) = config(input);
        let model = Model::new(MOST_STEPS);
        let scratch = BytesMut::with_capacity(LONGEST);
        let live = Live::start();
        let client = Twins::new(|| Client::new(config.clone(), server(), [7; 32]), twice);
        Self {
            client,
            config,
            model,
            clock: Clock::default(),
            deadline: None,
            scratch,
            drained: true,
            sent: 0,
            longest: 0,
            live,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 20 {
            0 => self.call(Request::List),
            1 | 2 => self.call(Request::Create),
            3 | 4 => self.call(Request::Join(pool(input.u8()))),
            5 => self.cancel(input.u8()),
            6 => self.release(input.u8()),
            7..=9 => self.answer(input, answers::fitting),
            10 => self.answer(input, answers::any),
            11 => self.spoiled(input),
            12 => self.foreign(input),
            13 => self.clock.millis(input),
            14 => self.clock.micros(input),
            15 => self.rare(input),
            16 => self.clock.go_to(self.deadline.unwrap_or_default()),
            17 => self.timeout(),
            18 => self.poll(),
            _ => self.drain(),
        }
    }

    /// What ends most of what there is, and so comes seldom.
    fn rare(&mut self, input: &mut Input<'_>) {
        match input.u8() {
            0 => self.close(),
            1..=31 => self.clock.jump(input),
            _ => self.timeout(),
        }
    }

    /// What time it is, for an input.
    fn now(&mut self) -> Instant {
        let now = self.clock.now();
        self.model.input(self.clock.latest(), self.drained);
        self.drained = false;
        now
    }

    fn call(&mut self, request: Request) {
        let now = self.now();
        let (untold, closed) = (self.model.untold(), self.model.is_closed());
        let call = self.client.act(|client| match request {
            Request::List => client.list(now),
            Request::Create | Request::Ping(_) => client.create(now),
            Request::Join(pool) => client.join(now, pool),
        });
        match call {
            Ok(call) => {
                assert!(!closed && untold < self.config.max_calls);
                self.model.called(call, request, self.clock.latest() + self.config.call_timeout);
            }
            Err(CallError::TooManyCalls { limit }) => {
                assert!(untold >= limit && limit == self.config.max_calls);
            }
            Err(CallError::TooManyPools { limit }) => {
                let creating = self.model.creating();
                assert!(request == Request::Create && limit == self.config.max_pools);
                assert!(self.client.pools().count() + creating >= limit);
            }
            Err(error) => assert!(error == CallError::Closed && closed),
        }
    }

    /// What is queued is polled before if the call may be over, so that what it has made is known.
    fn cancel(&mut self, choice: u8) {
        let Some(call) = self.model.choose(choice).map(|call| call.id) else { return };
        if self.model.is_told(call) {
            self.drain();
        }
        self.client.act(|client| client.cancel(call));
        self.model.cancelled(call);
    }

    fn release(&mut self, choice: u8) {
        self.drain();
        // Those that are hosted, and one that isn't.
        let hosted = usize::from(choice) % (self.model.hosted().len() + 1);
        let pool = self.model.hosted().get(hosted).copied().unwrap_or_else(|| pool(choice));
        let was_hosted = self.model.released(&pool);
        assert_eq!(self.client.act(|client| client.release(pool)), was_hosted);
    }

    fn close(&mut self) {
        self.drain();
        self.client.act(Client::close);
        self.model.close();
        self.drain();
        assert_eq!(self.model.untold(), 0, "closing ends every call");
    }

    /// Hands in an answer that `make` makes up.
    fn answer(&mut self, input: &mut Input<'_>, make: fn(&Model, &mut Input<'_>, &mut BytesMut)) {
        let mut datagram = core::mem::take(&mut self.scratch);
        datagram.clear();
        make(&self.model, input, &mut datagram);
        self.receive(server(), &datagram);
        self.scratch = datagram;
    }

    /// An answer with something wrong, or any bytes.
    fn spoiled(&mut self, input: &mut Input<'_>) {
        let mut datagram = core::mem::take(&mut self.scratch);
        datagram.clear();
        answers::spoiled(&self.model, input, &mut datagram);
        self.receive(server(), &datagram);
        self.scratch = datagram;
    }

    /// An answer that doesn't come from the broadcaster does nothing.
    fn foreign(&mut self, input: &mut Input<'_>) {
        self.timeout();
        let mut datagram = core::mem::take(&mut self.scratch);
        datagram.clear();
        answers::fitting(&self.model, input, &mut datagram);
        let foreign = self.client.stats().foreign;
        self.receive(([192, 0, 2, 9], 6_970).into(), &datagram);
        self.scratch = datagram;
        assert_eq!(self.client.stats().foreign, foreign + 1);
        let next = self.client.act(Client::poll_output);
        assert_eq!(next, Output::Wait(self.deadline), "it is ignored");
        self.drained = true;
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.now();
        self.longest = self.longest.max(datagram.len());
        self.client.act(|client| client.handle_datagram(now, from, datagram));
    }

    /// Says what time it is, and drains: what is due is done, and no more than that.
    fn timeout(&mut self) {
        self.drain();
        let before = self.sent;
        let most = self.model.untold() + self.model.hosted().len();
        let now = self.now();
        self.client.act(|client| client.handle_timeout(now));
        self.drain();
        assert!(self.sent - before <= most as u64, "a stall causes no burst");
        let latest = self.clock.latest();
        assert!(self.deadline.is_none_or(|at| at > latest), "{:?} is not after {latest:?}", self.deadline);
        self.model.check_none_late(latest);
    }

    /// Does everything that the client says.
    fn drain(&mut self) {
        self.check_memory();
        while self.poll_once() {}
        let again = self.client.act(Client::poll_output);
        assert_eq!(again, Output::Wait(self.deadline), "a second drain yields nothing");
        self.drained = true;
        assert!(self.client.pools().eq(self.model.hosted().iter().copied()), "it pings what was told");
        let stats = self.client.stats();
        assert_eq!(stats.sent, self.sent + stats.outputs_dropped);
        // No interval is shorter than a millisecond.
        let interval = self.config.ping_interval.max(Duration::from_millis(1));
        self.model.check_deadline(self.deadline, self.clock.latest() + interval);
    }

    fn poll(&mut self) {
        let more = self.poll_once();
        self.drained = self.drained && !more;
    }

    /// Does one thing that the client says. False if it waits.
    fn poll_once(&mut self) -> bool {
        match self.client.act(Client::poll_output) {
            Output::Transmit(transmit) => {
                assert_eq!(transmit.destination, server());
                let request = classic::decode_request(&transmit.payload).expect("a client sends requests");
                self.model.transmitted(&request);
                self.sent += 1;
            }
            Output::Event(ClientEvent::Finished { call, outcome }) => {
                self.model.finished(call, &outcome, self.clock.latest());
            }
            Output::Event(ClientEvent::PoolEnded { pool, .. }) => {
                assert!(self.model.released(&pool), "{pool} was not hosted");
            }
            Output::Event(event) => panic!("{event:?} is not known here"),
            Output::Wait(deadline) => {
                self.deadline = deadline;
                return false;
            }
        }
        true
    }

    fn check_counts(&self) {
        assert!(self.model.untold() <= self.config.max_calls);
        assert!(self.client.pools().count() <= self.config.max_pools);
    }

    /// What is in use is what [`ClientConfig`] states.
    fn check_memory(&self) {
        let entries = (self.config.max_calls + self.config.max_pools) * CALL_OR_HOSTED;
        let outcomes = self.config.max_calls * LONGEST_LIST.min(self.longest * PER_BYTE);
        let most = entries + outcomes + self.config.max_queued * DATAGRAM + OWN;
        self.live.check(self.client.count() * most);
    }

    /// Nobody answers any more: every call ends by its time.
    fn finish(&mut self) {
        self.timeout();
        let last = self.model.last_deadline().unwrap_or_default();
        if last != Instant::NEVER {
            self.clock.go_to(last.max(self.clock.latest()));
            self.timeout();
            assert_eq!(self.model.untold(), 0, "every call has its outcome");
        }
        self.check_memory();
    }
}

/// Small limits and short times, so that a few operations reach them, and whether there are two clients.
fn config(input: &mut Input<'_>) -> (ClientConfig, bool) {
    let mut config = ClientConfig::classic();
    config.call_timeout = match input.u8() {
        255 => Duration::MAX,
        time => Duration::from_millis(u64::from(time) * 8),
    };
    config.resend_after = Duration::from_millis(input.u8().into());
    config.recreate_after = match input.u8() {
        0 => None,
        time => Some(Duration::from_millis(u64::from(time) * 4)),
    };
    config.ping_interval = Duration::from_millis(input.u8().into());
    config.max_calls = input.one_to(8);
    config.max_pools = input.one_to(6);
    let bits = input.u8();
    config.max_queued = usize::from(bits % 16);
    config.max_datagram = if bits & 0x10 == 0 { 65_535 } else { 48 };
    (config, bits >= 0xf0)
}
