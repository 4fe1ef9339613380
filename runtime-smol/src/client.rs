//! The client of a broadcaster: one task that receives and keeps the time, and calls that wait.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event as Signal;
use poolmesh_proto::driver::Severity;
use poolmesh_proto::{
    CallError, CallFailed, CallId, ClientConfig, ClientEvent, ClientStats, Instant, Machine, Outcome, Output,
    PoolId, PoolInfo,
};
use poolmesh_sockets::tcp::{self, HeldPort};
use smol::future::{FutureExt, yield_now};
use smol::net::AsyncToSocketAddrs;
use smol::{Async, Task, Timer};

use crate::clock::Clock;
use crate::sockets;

/// A client of one broadcaster. Clones are the same client.
///
/// gop2p: `broadcast.CreateHandle` and `Connect`. Several calls can be awaited at a time; each ends within
/// [`ClientConfig::call_timeout`], and one whose future is dropped is forgotten. It is closed when the last clone is
/// dropped.
///
/// ```no_run
/// use poolmesh_smol::Client;
///
/// # smol::block_on(async {
/// let client = Client::connect("127.0.0.1:6969").await?;
/// let pool = client.create().await?; // pinged from now on
/// println!("{} pools", client.list().await?.len());
/// # Ok::<(), Box<dyn std::error::Error>>(()) });
/// ```
#[derive(Clone)]
pub struct Client {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    receiver: Mutex<Option<Task<()>>>,
}

struct Shared {
    clock: Clock,
    socket: Async<UdpSocket>,
    broadcaster: SocketAddr,
    state: Mutex<State>,
    /// A call has an outcome, a pool has ended, the client is closed.
    changed: Signal,
    /// The receiver is to look at the deadline anew.
    hurry: Signal,
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

impl Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("broadcaster", &self.broadcaster()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the broadcaster at `broadcaster`, a name or an address with a port. Sends nothing yet.
    ///
    /// # Errors
    /// If the name can't be resolved, no socket can be opened, or the system has no random numbers.
    pub async fn connect(broadcaster: impl AsyncToSocketAddrs + Debug) -> io::Result<Self> {
        Self::connect_with(broadcaster, ClientConfig::classic()).await
    }

    /// As [`connect`](Self::connect), with settings and limits.
    ///
    /// # Errors
    /// If the name can't be resolved, no socket can be opened, or the system has no random numbers.
    pub async fn connect_with(
        broadcaster: impl AsyncToSocketAddrs + Debug,
        config: ClientConfig,
    ) -> io::Result<Self> {
        let broadcaster = sockets::resolve(broadcaster).await?;
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
            socket: Async::new(socket)?,
            broadcaster,
            state: Mutex::new(state),
            changed: Signal::new(),
            hurry: Signal::new(),
        });
        let receiver = smol::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.receive(max_datagram).await }
        });
        Ok(Self { owner: Arc::new(Owner { shared, receiver: Mutex::new(Some(receiver)) }) })
    }

    /// The pools there are. gop2p: `GetPoolIDs`.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way.
    pub async fn list(&self) -> Result<Vec<PoolId>, CallFailed> {
        let page = self.call(poolmesh_proto::Client::list).await?.into_list(self.broadcaster())?;
        Ok(page.ids().collect())
    }

    /// A new pool with this program as its host, which pings it from now on. gop2p: `CreatePool`.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way or pools hosted.
    pub async fn create(&self) -> Result<PoolInfo, CallFailed> {
        self.call(poolmesh_proto::Client::create).await?.into_pool(self.broadcaster())
    }

    /// Becomes a peer of a pool. gop2p: `JoinPool`, which waits for ever for a pool that doesn't exist.
    ///
    /// # Errors
    /// If the broadcaster refuses or doesn't answer, or too many calls are under way.
    pub async fn join(&self, pool: PoolId) -> Result<PoolInfo, CallFailed> {
        self.call(|machine, now| machine.join(now, pool)).await?.into_pool(self.broadcaster())
    }

    /// Stops pinging a hosted pool, which then ends. Whether it was hosted. gop2p: to end `Ping`.
    pub fn release(&self, pool: PoolId) -> bool {
        self.shared().lock().machine.release(pool)
    }

    /// Waits until a hosted pool has ended; none if the client was closed. The classic wire doesn't answer pings: while the
    /// broadcaster is gone nothing is known of the pool, and its end is told when the broadcaster is back.
    pub async fn next_ended(&self) -> Option<PoolId> {
        loop {
            let changed = self.shared().changed.listen();
            {
                let mut state = self.shared().lock();
                if let Some(pool) = state.ended.pop_front() {
                    return Some(pool);
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
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
        self.shared().socket.get_ref().local_addr()
    }

    /// What was sent and ignored so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.shared().lock().machine.stats()
    }

    /// Ends every call, stops pinging, closes the socket once all clones are gone. gop2p: `Close`.
    pub async fn close(&self) {
        self.owner.close();
        let receiver = self.owner.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(receiver) = receiver {
            receiver.await;
        }
    }

    /// The TCP socket that holds our port number, once.
    pub(crate) fn take_held(&self) -> Option<HeldPort> {
        self.shared().lock().held.take()
    }

    fn shared(&self) -> &Shared {
        &self.owner.shared
    }

    /// Makes a call and waits for its outcome. Should the future be dropped, the call is forgotten.
    async fn call(
        &self,
        make: impl FnOnce(&mut poolmesh_proto::Client, Instant) -> Result<CallId, CallError>,
    ) -> Result<Outcome, CallFailed> {
        let shared = self.shared();
        let call = {
            let mut state = shared.lock();
            let call = make(&mut state.machine, shared.clock.now())?;
            shared.pump(&mut state);
            call
        };
        shared.hurry.notify(1);
        let mut forget = Forget { shared, call, done: false };
        loop {
            let changed = shared.changed.listen();
            if let Some(outcome) = shared.lock().outcomes.remove(&call) {
                forget.done = true;
                return Ok(outcome);
            }
            changed.await;
        }
    }
}

/// Forgets a call whose future is dropped before its outcome was taken.
struct Forget<'a> {
    shared: &'a Shared,
    call: CallId,
    done: bool,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.shared.lock();
        state.machine.cancel(self.call);
        state.outcomes.remove(&self.call);
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
        self.shared.changed.notify(usize::MAX);
        self.shared.hurry.notify(usize::MAX);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The receiver's task is cancelled with its handle.
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is left in order whoever panics: its methods don't.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the machine says until it waits.
    fn pump(&self, state: &mut State) {
        loop {
            match state.machine.poll_output() {
                Output::Transmit(transmit) => self.transmit(&transmit.payload),
                Output::Event(ClientEvent::Finished { call, outcome }) => {
                    state.outcomes.insert(call, outcome);
                    self.changed.notify(usize::MAX);
                }
                Output::Event(ClientEvent::PoolEnded { pool, .. }) => {
                    if state.ended.len() >= state.max_ended {
                        state.ended.pop_front();
                    }
                    state.ended.push_back(pool);
                    self.changed.notify(usize::MAX);
                }
                Output::Event(_) => {}
                Output::Wait(deadline) => {
                    state.deadline = deadline;
                    return;
                }
            }
        }
    }

    /// Sends a datagram. One that can't be sent is one that was lost: what matters is sent again.
    fn transmit(&self, datagram: &[u8]) {
        let sent = self.socket.get_ref().send(datagram);
        if sent.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            // Word that the one before met a closed port; it comes once, and this one has not been sent.
            let _ = self.socket.get_ref().send(datagram);
        }
    }

    /// The receiver: takes datagrams in, and keeps the time.
    async fn receive(&self, max_datagram: usize) {
        // One byte more than is read, so that the machine sees what is too long.
        let mut buffer = vec![0; max_datagram.saturating_add(1).min(1 << 16)];
        loop {
            let hurry = self.hurry.listen();
            let deadline = {
                let mut state = self.lock();
                state.machine.handle_timeout(self.clock.now());
                self.pump(&mut state);
                if state.closed {
                    return;
                }
                state.deadline
            };
            let woken = async {
                hurry.or(self.clock.reach(deadline)).await;
                None
            };
            let received = async { Some(self.socket.recv(&mut buffer).await) };
            match received.or(woken).await {
                None => {}
                Some(Ok(len)) => {
                    {
                        let mut state = self.lock();
                        let datagram = buffer.get(..len).unwrap_or_default();
                        state.machine.handle_datagram(self.clock.now(), self.broadcaster, datagram);
                        self.pump(&mut state);
                    }
                    // Datagrams that come without end must not keep the rest waiting.
                    yield_now().await;
                }
                Some(Err(error)) if Severity::of(&error) == Severity::Harmless => {}
                // Nothing else can be done than to try again: the calls end by their deadlines.
                Some(Err(_)) => drop(Timer::after(Severity::PAUSE).await),
            }
        }
    }
}
