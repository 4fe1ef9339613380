//! What a client's handles and its task share: the machine, and the socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use event_listener::Event as Signal;
use poolmesh_proto::driver::{PoolNews, Severity};
use poolmesh_proto::{
    CallId, ClientConfig, ClientEvent, Instant, Machine, Outcome, Output, PoolId, Transmit,
};
use poolmesh_sockets::tcp::{self, HeldPort};
use smol::future::{FutureExt, yield_now};
use smol::{Async, Task, Timer};

use super::events::PoolFeed;
use crate::clock::Clock;
use crate::mesh::Dialer;

/// Closes the client when the last clone goes; its task holds only what is shared.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) receiver: Mutex<Option<Task<()>>>,
}

pub(super) struct Shared {
    pub(super) clock: Clock,
    socket: Async<UdpSocket>,
    pub(super) broadcaster: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) feed: Arc<PoolFeed>,
    state: Mutex<State>,
    /// A call has an outcome, or the client is closed.
    pub(super) changed: Signal,
    /// The receiver is to look at the deadline anew.
    pub(super) hurry: Signal,
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

/// Forgets a call whose future is dropped before its outcome was taken.
pub(super) struct Forget<'a> {
    pub(super) shared: &'a Shared,
    pub(super) call: CallId,
    pub(super) done: bool,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.shared.lock();
        state.machine.cancel(self.call);
        state.outcomes.remove(&self.call);
        self.shared.pump(&mut state);
        drop(state);
        self.shared.hurry.notify(1);
    }
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
            socket: Async::new(own.udp)?,
            broadcaster,
            local: own.local,
            feed,
            state: Mutex::new(state),
            changed: Signal::new(),
            hurry: Signal::new(),
        });
        let receiver = smol::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.receive(max_datagram).await }
        });
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
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The machine is left in order whoever panics: its methods don't.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the machine says until it waits.
    pub(super) fn pump(&self, state: &mut State) {
        loop {
            match state.machine.poll_output() {
                Output::Transmit(transmit) => self.transmit(&transmit),
                Output::Event(ClientEvent::Finished { call, outcome }) => {
                    state.outcomes.insert(call, outcome);
                    self.changed.notify(usize::MAX);
                }
                Output::Event(event) => {
                    if let Some(news) = PoolNews::of(event) {
                        state.follow(&news);
                        self.feed.tell(news);
                    }
                }
                Output::Wait(deadline) => {
                    state.deadline = deadline;
                    return;
                }
            }
        }
    }

    /// Sends a datagram. One that can't be sent is one that was lost: what matters is sent again.
    fn transmit(&self, Transmit { destination, payload }: &Transmit) {
        let _ = self.socket.get_ref().send_to(payload, *destination);
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
            let received = async { Some(self.socket.recv_from(&mut buffer).await) };
            match received.or(woken).await {
                None => {}
                Some(Ok((len, from))) => {
                    {
                        let mut state = self.lock();
                        let datagram = buffer.get(..len).unwrap_or_default();
                        state.machine.handle_datagram(self.clock.now(), from, datagram);
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
