//! The client of a broadcaster: one thread that receives, and calls that wait.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use poolmesh_proto::driver::Severity;
use poolmesh_proto::{
    CallError, CallFailed, CallId, ClientConfig, ClientEvent, ClientStats, Instant, Machine, Outcome, Output,
    PoolId, PoolInfo,
};
use poolmesh_sockets::tcp::{self, HeldPort};
use socket2::SockRef;

use crate::clock::Clock;
use crate::sockets;

/// The receiver looks up at least this often, should a system not wake it when the socket is shut down.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A client of one broadcaster. Clones are the same client.
///
/// gop2p: `broadcast.CreateHandle` and `Connect`. Calls can be made from several threads at a time; each ends within
/// [`ClientConfig::call_timeout`]. It is closed when the last clone is dropped.
///
/// ```no_run
/// use poolmesh_std::Client;
///
/// let client = Client::connect("127.0.0.1:6969")?;
/// let pool = client.create()?; // pinged from now on
/// println!("{} pools", client.list()?.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Client {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    receiver: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    clock: Clock,
    socket: UdpSocket,
    broadcaster: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    machine: poolmesh_proto::Client,
    deadline: Option<Instant>,
    outcomes: BTreeMap<CallId, Outcome>,
    /// Ends of hosted pools that nobody has asked for; the oldest are forgotten beyond `max_ended`.
    ended: VecDeque<PoolId>,
    max_ended: usize,
    /// The TCP port of our number, for a mesh.
    held: Option<HeldPort>,
    closed: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("broadcaster", &self.broadcaster()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the broadcaster at `broadcaster`, a name or an address with a port. Sends nothing yet.
    ///
    /// # Errors
    /// If the name can't be resolved, no socket can be opened, or the system has no random numbers.
    pub fn connect(broadcaster: impl ToSocketAddrs + std::fmt::Debug) -> io::Result<Self> {
        Self::connect_with(broadcaster, ClientConfig::classic())
    }

    /// As [`connect`](Self::connect), with settings and limits.
    ///
    /// # Errors
    /// If the name can't be resolved, no socket can be opened, or the system has no random numbers.
    pub fn connect_with(
        broadcaster: impl ToSocketAddrs + std::fmt::Debug,
        config: ClientConfig,
    ) -> io::Result<Self> {
        let broadcaster = sockets::resolve(broadcaster)?;
        let (socket, held) = tcp::udp_with_tcp_port(broadcaster)?;
        let max_datagram = config.max_datagram;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let state = State {
            deadline: None,
            outcomes: BTreeMap::new(),
            ended: VecDeque::new(),
            max_ended: config.max_pools,
            machine: poolmesh_proto::Client::new(config, broadcaster, seed),
            held: Some(held),
            closed: false,
        };
        let shared = Arc::new(Shared {
            clock: Clock::start(),
            socket,
            broadcaster,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let receiver = thread::Builder::new().name("poolmesh-client".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.receive(max_datagram)
        })?;
        Ok(Self { owner: Arc::new(Owner { shared, receiver: Mutex::new(Some(receiver)) }) })
    }

    /// The pools there are. gop2p: `GetPoolIDs`.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way.
    pub fn list(&self) -> Result<Vec<PoolId>, CallFailed> {
        let page = self.call(poolmesh_proto::Client::list)?.into_list(self.broadcaster())?;
        Ok(page.ids().collect())
    }

    /// A new pool with this program as its host, which pings it from now on. gop2p: `CreatePool`.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way or pools hosted.
    pub fn create(&self) -> Result<PoolInfo, CallFailed> {
        self.call(poolmesh_proto::Client::create)?.into_pool(self.broadcaster())
    }

    /// Becomes a peer of a pool. gop2p: `JoinPool`, which waits for ever for a pool that doesn't exist.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way.
    pub fn join(&self, pool: PoolId) -> Result<PoolInfo, CallFailed> {
        self.call(|machine, now| machine.join(now, pool))?.into_pool(self.broadcaster())
    }

    /// Stops pinging a hosted pool, which then ends. Whether it was hosted. gop2p: to end `Ping`.
    pub fn release(&self, pool: PoolId) -> bool {
        self.shared().lock().machine.release(pool)
    }

    /// Waits until a hosted pool has ended; none if the client was closed. The classic wire doesn't answer pings: while the
    /// broadcaster is gone nothing is known of the pool, and its end is told when the broadcaster is back.
    pub fn next_ended(&self) -> Option<PoolId> {
        let mut state = self.shared().lock();
        loop {
            if let Some(pool) = state.ended.pop_front() {
                return Some(pool);
            }
            if state.closed {
                return None;
            }
            state = self.shared().wait(state);
        }
    }

    /// Whom it asks.
    #[must_use]
    pub fn broadcaster(&self) -> SocketAddr {
        self.shared().broadcaster
    }

    /// Its own UDP address.
    ///
    /// # Errors
    /// If the system doesn't tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared().socket.local_addr()
    }

    /// What was sent and ignored so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.shared().lock().machine.stats()
    }

    /// Ends every call, stops pinging, closes the socket once all clones are gone. gop2p: `Close`.
    pub fn close(&self) {
        self.owner.close();
    }

    /// The TCP socket that holds our port number, once.
    pub(crate) fn take_held(&self) -> Option<HeldPort> {
        self.shared().lock().held.take()
    }

    fn shared(&self) -> &Shared {
        &self.owner.shared
    }

    /// Makes a call and waits for its outcome. Whoever waits keeps the machine's time.
    fn call(
        &self,
        make: impl FnOnce(&mut poolmesh_proto::Client, Instant) -> Result<CallId, CallError>,
    ) -> Result<Outcome, CallFailed> {
        let shared = self.shared();
        let mut state = shared.lock();
        let call = make(&mut state.machine, shared.clock.now())?;
        shared.pump(&mut state);
        loop {
            if let Some(outcome) = state.outcomes.remove(&call) {
                return Ok(outcome);
            }
            state = shared.wait(state);
        }
    }
}

impl Owner {
    fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.held = None;
        state.machine.close();
        self.shared.pump(&mut state);
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the receiver. That the socket is shut down already is no harm.
        let _ = SockRef::from(&self.shared.socket).shutdown(Shutdown::Both);
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
    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is left in order whoever panics: its methods don't.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change or for the machine's deadline, which it then keeps.
    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
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
    fn pump(&self, state: &mut State) {
        loop {
            match state.machine.poll_output() {
                Output::Transmit(transmit) => self.transmit(&transmit.payload),
                Output::Event(ClientEvent::Finished { call, outcome }) => {
                    state.outcomes.insert(call, outcome);
                    self.changed.notify_all();
                }
                Output::Event(ClientEvent::PoolEnded { pool, .. }) => {
                    if state.ended.len() >= state.max_ended {
                        state.ended.pop_front();
                    }
                    state.ended.push_back(pool);
                    self.changed.notify_all();
                }
                Output::Event(_) => {}
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
    fn transmit(&self, datagram: &[u8]) {
        let sent = self.socket.send(datagram);
        if sent.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // Word that the one before met a closed port; it comes once, and this one has not been sent.
            let _ = self.socket.send(datagram);
        }
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
                self.socket.set_read_timeout(Some(wait)).and_then(|()| self.socket.recv(&mut buffer));
            match received {
                Ok(len) => {
                    let mut state = self.lock();
                    let datagram = buffer.get(..len).unwrap_or_default();
                    state.machine.handle_datagram(self.clock.now(), self.broadcaster, datagram);
                    self.pump(&mut state);
                }
                Err(error) if Severity::of(&error) == Severity::Harmless => {}
                // Nothing else can be done than to try again: the calls end by their deadlines.
                Err(_) => drop(self.changed.wait_timeout(self.lock(), Severity::PAUSE)),
            }
        }
    }
}
