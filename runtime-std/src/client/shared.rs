//! What a client's handles and its thread share: the machine, and the socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use poolmesh_proto::driver::{PoolNews, Severity};
use poolmesh_proto::{
    CallId, ClientConfig, ClientEvent, Instant, Machine, Outcome, Output, PoolId, Transmit,
};
use poolmesh_sockets::tcp::{self, HeldPort};

use super::events::PoolFeed;
use crate::clock::Clock;
use crate::mesh::Dialer;
use crate::sockets;

/// The receiver looks up at least this often, should it not be woken when the client is closed.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Closes the client when the last clone goes; its thread holds only what is shared.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    receiver: Mutex<Option<JoinHandle<()>>>,
}

pub(super) struct Shared {
    pub(super) clock: Clock,
    socket: UdpSocket,
    pub(super) broadcaster: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) feed: Arc<PoolFeed>,
    state: Mutex<State>,
    changed: Condvar,
}

pub(super) struct State {
    pub(super) machine: poolmesh_proto::Client,
    deadline: Option<Instant>,
    pub(super) outcomes: BTreeMap<CallId, Outcome>,
    /// The meshes that are in pools, by these.
    pub(super) dialers: BTreeMap<PoolId, Dialer>,
    /// The TCP port of our number, for a mesh.
    pub(super) held: Option<HeldPort>,
    closed: bool,
}

impl State {
    /// Has the mesh in a pool do what follows from news.
    fn follow(&mut self, news: &PoolNews) {
        if matches!(news, PoolNews::Ended { .. }) {
            self.dialers.remove(&news.pool());
        }
        if let Some(address) = news.to_dial(&self.machine) {
            if let Some(dialer) = self.dialers.get(&news.pool()) {
                dialer.dial(address);
            }
        }
    }
}

impl Owner {
    pub(super) fn start(broadcaster: SocketAddr, config: ClientConfig) -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let own = tcp::udp_with_tcp_port(broadcaster)?;
        let max_datagram = config.max_datagram;
        let feed = Arc::new(PoolFeed::new(&config));
        let state = State {
            deadline: None,
            outcomes: BTreeMap::new(),
            machine: poolmesh_proto::Client::new(config, broadcaster, seed),
            dialers: BTreeMap::new(),
            held: Some(own.held),
            closed: false,
        };
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            socket: own.udp,
            broadcaster,
            local: own.local,
            feed,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let receiver = thread::Builder::new().name("poolmesh-client".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.receive(max_datagram)
        })?;
        Ok(Self { shared, receiver: Mutex::new(Some(receiver)) })
    }

    pub(super) fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.held = None;
        state.machine.close();
        self.shared.pump(&mut state);
        drop(state);
        self.shared.feed.end();
        self.shared.changed.notify_all();
        // A datagram of its own wakes the receiver. Should a system not let it pass, the receiver looks up by itself.
        if let Ok(own) = self.shared.socket.local_addr() {
            let _ = self.shared.socket.send_to(&[], sockets::loopback(own));
        }
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(receiver) = receiver {
            let _ = receiver.join();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is left in order whoever panics: its methods don't.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change or for the machine's deadline, which it then keeps.
    pub(super) fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut state = match state.deadline {
            Some(deadline) => {
                let waited = self.changed.wait_timeout(state, self.clock.until(deadline));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
        self.keep_time(&mut state);
        state
    }

    fn keep_time(&self, state: &mut State) {
        let now = self.clock.now();
        if state.deadline.is_some_and(|deadline| deadline <= now) {
            state.machine.handle_timeout(now);
            self.pump(state);
        }
    }

    /// Does what the machine says until it waits.
    pub(super) fn pump(&self, state: &mut State) {
        loop {
            match state.machine.poll_output() {
                Output::Transmit(transmit) => self.transmit(&transmit),
                Output::Event(ClientEvent::Finished { call, outcome }) => {
                    state.outcomes.insert(call, outcome);
                    self.changed.notify_all();
                }
                Output::Event(event) => {
                    if let Some(news) = PoolNews::of(event) {
                        state.follow(&news);
                        self.feed.tell(news);
                    }
                }
                Output::Wait(deadline) => {
                    if deadline != state.deadline {
                        state.deadline = deadline;
                        // Whoever waits for the old one is to wait for this one.
                        self.changed.notify_all();
                    }
                    return;
                }
            }
        }
    }

    /// Sends a datagram. One that can't be sent is one that was lost: what matters is sent again.
    fn transmit(&self, Transmit { destination, payload }: &Transmit) {
        let _ = self.socket.send_to(payload, *destination);
    }

    /// The receiver: takes datagrams in, and keeps the time of the pings.
    fn receive(&self, max_datagram: usize) {
        // One byte more than is read, so that the machine sees what is too long.
        let mut buffer = vec![0; max_datagram.saturating_add(1).min(1 << 16)];
        loop {
            let mut state = self.lock();
            self.keep_time(&mut state);
            if state.closed {
                return;
            }
            let wait = state.deadline.map_or(LONGEST_WAIT, |deadline| self.clock.until(deadline));
            drop(state);
            // Zero would wait for ever.
            let wait = wait.clamp(Duration::from_millis(1), LONGEST_WAIT);
            let received =
                self.socket.set_read_timeout(Some(wait)).and_then(|()| self.socket.recv_from(&mut buffer));
            match received {
                Ok((len, from)) => {
                    let mut state = self.lock();
                    let datagram = buffer.get(..len).unwrap_or_default();
                    state.machine.handle_datagram(self.clock.now(), from, datagram);
                    self.pump(&mut state);
                }
                Err(error) if Severity::of(&error) == Severity::Harmless => {}
                // Nothing else can be done than to try again: the calls end by their deadlines.
                Err(_) => drop(self.changed.wait_timeout(self.lock(), Severity::PAUSE)),
            }
        }
    }
}
