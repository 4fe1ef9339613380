//! The peers of a program.

mod hub;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use event_listener::Event as Signal;
use poolmesh_proto::driver::{ConnectFailed, Handlers, Peers};
use poolmesh_proto::{
    ConnectError, ConnectId, ConnectReport, Encoded, Instant, MeshConfig, MeshStats, MessageRef, Payload,
    PeerId, PoolInfo, SendError,
};
use smol::net::AsyncToSocketAddrs;

use crate::clock::Clock;
use crate::events::{Events, Feed};
use crate::link::Peer;
use crate::{Client, PoolReport, sockets};
pub(crate) use hub::Dialer;
use hub::{Shared, State};

/// The peers of a program, and the links to them. Clones are the same mesh.
///
/// gop2p: `p2p.CreateHandle`. What peers send goes to the handler for the event's name, of the peer or else of the
/// mesh; without one to [`Events`], and without those nowhere: that is no error.
///
/// It is closed when the last clone is dropped, but a drop can't wait: what is queued is lost if the program ends
/// before the tasks have written it. Await [`close`](Self::close) first.
///
/// ```no_run
/// use poolmesh_smol::{Client, Mesh, Packet};
///
/// # smol::block_on(async {
/// let client = Client::connect("127.0.0.1:6969").await?;
/// let mesh = Mesh::new();
/// mesh.on("msg", |peer, event| println!("{}: {:?}", peer.address(), event.reader().string()));
/// let pool = client.join("306c97f9-4b65-451f-a914-68a573d71508".parse()?).await?;
/// let report = mesh.connect_to_pool(&client, &pool).await?;
/// println!("{} connected, {} not", report.connected.len(), report.failed.len());
/// mesh.send_to_all("msg", Packet::new().string("hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) });
/// ```
#[derive(Clone)]
pub struct Mesh {
    handle: Arc<Handle>,
}

/// Closes the mesh when the last clone goes; its tasks hold only what is shared.
struct Handle {
    shared: Arc<Shared>,
}

impl Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("peers", &self.peers()).finish_non_exhaustive()
    }
}

impl Default for Mesh {
    fn default() -> Self {
        Self::new()
    }
}

impl Mesh {
    /// A mesh without peers.
    #[must_use]
    pub fn new() -> Self {
        Self::with_config(MeshConfig::default())
    }

    /// A mesh without peers, with limits.
    #[must_use]
    pub fn with_config(config: MeshConfig) -> Self {
        let state = State {
            machine: poolmesh_proto::Mesh::new(config.clone()),
            deadline: None,
            links: Peers::default(),
            accepted: VecDeque::new(),
            reports: BTreeMap::new(),
            listener: None,
            retired: None,
            listen_error: None,
            held: None,
            dialing: BTreeMap::new(),
            closed: false,
        };
        let shared = Shared {
            clock: Clock::start(),
            state: Mutex::new(state),
            changed: Signal::new(),
            hurry: Signal::new(),
            feed: Arc::new(Feed::new(&config)),
            handlers: Handlers::default(),
            config,
        };
        let shared = Arc::new(shared);
        smol::spawn(Arc::clone(&shared).keep_time()).detach();
        Self { handle: Arc::new(Handle { shared }) }
    }

    /// Accepts links at this TCP port on all IPv4 interfaces, and no more where it did before; port 0 picks a free
    /// one. gop2p: `Listen`.
    ///
    /// # Errors
    /// If the port can't be had, or the mesh was closed.
    pub async fn listen(&self, port: u16) -> io::Result<SocketAddr> {
        self.listen_on((Ipv4Addr::UNSPECIFIED, port).into()).await
    }

    /// As [`listen`](Self::listen), at an address of choice.
    ///
    /// # Errors
    /// If the address can't be had, or the mesh was closed.
    pub async fn listen_on(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let mut state = self.shared().lock();
        state.machine.listen(address).map_err(|error| io::Error::new(io::ErrorKind::NotConnected, error))?;
        self.shared().pump(&mut state);
        state.listening()
    }

    /// Opens a link to the peer at `address`. One that stands already is given again. gop2p: `ConnectToPeer`.
    ///
    /// # Errors
    /// If the peer can't be reached within the bounds of the config, or the mesh was closed.
    pub async fn connect_to_peer(
        &self,
        address: impl AsyncToSocketAddrs + Debug,
    ) -> Result<Peer, ConnectFailed> {
        let address = sockets::resolve(address).await.map_err(ConnectFailed::Resolve)?;
        let (report, peers) = self.connect(|machine, now| machine.connect(now, [address])).await?;
        peers.into_iter().next().ok_or_else(|| ConnectFailed::of(&report, address))
    }

    /// Connects to a pool that `client` has created or joined: accepts links on the TCP port with the client's
    /// number, on all interfaces, and dials the peers that [`PoolInfo::to_dial`] names. Returns when each is connected or given
    /// up; that some were is no error but in the report. Who joins later dials us; in the native dialect a member that takes
    /// its place late, and of a lower number, is dialed when it comes. gop2p: `ConnectToPool` and `Listen`.
    ///
    /// # Errors
    /// If the pool lists more peers than may be dialed at a time, or the mesh was closed.
    pub async fn connect_to_pool(
        &self,
        client: &Client,
        pool: &PoolInfo,
    ) -> Result<PoolReport, ConnectFailed> {
        let (pool, held) = client.enter(pool, Dialer(Arc::downgrade(self.shared())));
        if held.is_some() {
            self.shared().lock().held = held;
        }
        let (report, connected) = self.connect(|machine, now| machine.enter(now, &pool)).await?;
        let listening = self.shared().lock().listening();
        Ok(PoolReport { connected, failed: report.failed, listening })
    }

    /// Waits for a peer that was accepted and is connected still; none if the mesh was closed. gop2p: `Accept`.
    /// The same peers come as [`Event::Connected`](crate::Event::Connected).
    pub async fn accept(&self) -> Option<Peer> {
        loop {
            let changed = self.shared().changed.listen();
            {
                let mut state = self.shared().lock();
                while let Some(id) = state.accepted.pop_front() {
                    if let Some(peer) = state.links.get(&id) {
                        return Some(peer.clone());
                    }
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// The events of this mesh, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.shared().feed))
    }

    /// Has `handler` called with every event of that name from any peer, on the task of the peer's link: it must not
    /// block. Peers on different links are handled at the same time.
    ///
    /// A handler that holds a clone of this mesh keeps it open until [`close`](Self::close). One that panics ends the
    /// link whose event it had, as failed. It can't await: it sends with [`Peer::try_send`].
    pub fn on(&self, name: &str, handler: impl Fn(&Peer, MessageRef<'_>) + Send + Sync + 'static) {
        self.shared().handlers.set(name, Arc::new(handler));
    }

    /// Takes the handler for that name away.
    pub fn off(&self, name: &str) {
        self.shared().handlers.remove(name);
    }

    /// The peers there are links to, longest connected first.
    #[must_use]
    pub fn peers(&self) -> Vec<Peer> {
        self.shared().lock().links.values().cloned().collect()
    }

    /// Sends an event to every peer that has room for it, and says who has not. Never waits: one slow peer doesn't
    /// keep the others waiting.
    ///
    /// It costs a system call for each peer at rest. Whoever has many events at a time packs them first, for each peer, by
    /// [`Peer::batch`] and [`SendBatch::try_flush`](crate::SendBatch::try_flush): one call for all of them.
    pub fn send_to_all<'a>(
        &self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'a>>,
    ) -> Vec<(Peer, SendError)> {
        let (name, payload) = (name.as_ref(), payload.into());
        let peers = self.shared().lock().links.all();
        match Encoded::new(name, &payload) {
            Some(event) => {
                let now = self.shared().clock.now();
                refused(&peers, |peer| peer.send_encoded(now, &event))
            }
            None => refused(&peers, |peer| peer.try_send(name, &payload)),
        }
    }

    /// What was dialed, accepted and refused so far.
    #[must_use]
    pub fn stats(&self) -> MeshStats {
        self.shared().lock().machine.stats()
    }

    /// Accepts and dials no more and closes every link; waits until they have ended, which takes at most
    /// [`LinkConfig::close_timeout`] and a little. gop2p: `Close`.
    ///
    /// [`LinkConfig::close_timeout`]: poolmesh_proto::LinkConfig::close_timeout
    pub async fn close(&self) {
        self.shared().begin_close();
        self.shared().wait_for_links().await;
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Makes a call and waits for its report. Should the future be dropped, the call is forgotten.
    async fn connect(
        &self,
        make: impl FnOnce(&mut poolmesh_proto::Mesh, Instant) -> Result<ConnectId, ConnectError>,
    ) -> Result<(ConnectReport, Vec<Peer>), ConnectFailed> {
        let shared = self.shared();
        let call = {
            let mut state = shared.lock();
            let call = make(&mut state.machine, shared.clock.now())?;
            shared.pump(&mut state);
            call
        };
        let _forget = Forget { shared, call };
        loop {
            let changed = shared.changed.listen();
            {
                let mut state = shared.lock();
                if let Some(report) = state.reports.remove(&call) {
                    let peer = |(_, id): &(SocketAddr, PeerId)| state.links.get(id).cloned();
                    let peers = report.connected.iter().filter_map(peer).collect();
                    return Ok((report, peers));
                }
            }
            changed.await;
        }
    }
}

/// Forgets a call, at its end or when its future is dropped.
struct Forget<'a> {
    shared: &'a Shared,
    call: ConnectId,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.machine.cancel(self.call);
        state.reports.remove(&self.call);
    }
}

/// Sends to all, and says who has refused it.
fn refused(peers: &[Peer], send: impl Fn(&Peer) -> Result<(), SendError>) -> Vec<(Peer, SendError)> {
    peers.iter().filter_map(|peer| send(peer).err().map(|error| (peer.clone(), error))).collect()
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.begin_close();
        // Nobody waits for the end of the listener's task: it is cancelled here. It holds what is shared, which holds it.
        let retired = self.shared.lock().retired.take();
        drop(retired);
    }
}
