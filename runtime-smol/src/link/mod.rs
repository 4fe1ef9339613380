//! One link: a task that reads and writes, and the machine between the two.

mod batch;
mod reading;
mod shared;
mod writing;

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, PoisonError};

use event_listener::EventListener;
use poolmesh_proto::driver::Handlers;
use poolmesh_proto::wire::Frames;
use poolmesh_proto::{
    CloseReason, Encoded, Instant, Link, LinkStats, MessageRef, Payload, PeerId, SendError, Side,
};
use smol::Async;

pub use batch::SendBatch;
use shared::Shared;

use crate::clock::Clock;
use crate::sink::EventSink;

type OnDisconnect = Box<dyn FnOnce(&Peer, CloseReason) + Send>;

/// What a mesh does about its links.
pub(crate) trait Owner: Send + Sync + 'static {
    /// A peer sent events.
    fn received(self: &Arc<Self>, peer: &Peer, frames: &Frames) -> impl Future<Output = ()> + Send;
    /// A link has ended.
    fn ended(self: &Arc<Self>, peer: &Peer, reason: CloseReason);
}

/// A link to a peer. Clones are the same link.
///
/// gop2p: `Peer`. I/O runs from the start, there is no `HandlePeerIO`. Dropping it doesn't end the link;
/// [`disconnect`](Self::disconnect) does, and closing the mesh.
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

/// Two are equal if they are the same link.
impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Peer {}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shared { id, address, side, .. } = &*self.shared;
        f.debug_struct("Peer")
            .field("id", id)
            .field("address", address)
            .field("side", side)
            .finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn new((id, link): (PeerId, Link), address: SocketAddr, side: Side, clock: Clock) -> Self {
        let shared = Shared::new(id, link, address, side, clock);
        Self { shared: Arc::new(shared) }
    }

    /// Starts the task, which ends with the link. It alone holds the connection, so that it is closed with it.
    pub(crate) fn start(&self, stream: Async<TcpStream>, owner: &Arc<impl Owner>) {
        let (peer, owner, stream) = (self.clone(), Arc::clone(owner), Arc::new(stream));
        self.shared.lock().stream = Some(Arc::clone(&stream));
        smol::spawn(async move {
            // Side by side: a task that did one at a time would wait for a peer that does the same.
            smol::future::zip(peer.read(&stream, &owner), peer.shared.write(&stream)).await;
        })
        .detach();
    }

    /// Names this link within its mesh.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.shared.id
    }

    /// Where the peer is. Of an accepted link the port names nobody: it is another than that of the roster. To know which member of a
    /// pool a peer is, have each side say its number (`PoolInfo::me`) by an event of your own as soon as they are linked, as the
    /// chats of the examples do.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Who opened the link.
    #[must_use]
    pub fn side(&self) -> Side {
        self.shared.side
    }

    /// Whether events can be sent.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.lock().link.is_open()
    }

    /// Bytes that wait to be written, or are being written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.lock().link.queued()
    }

    /// What was sent, received and skipped so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.shared.lock().link.stats()
    }

    /// Sends an event; waits, without limit, while too much waits to be written already. Should the future be dropped,
    /// the event is either sent whole or not at all. gop2p: `Peer.Send`.
    ///
    /// It is written at once, by the calling task if nothing else waits. Many events in a row go out together: see
    /// [`batch`](Self::batch).
    ///
    /// # Errors
    /// If the event is too long or the link closed.
    pub async fn send<'a>(
        &self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'a>>,
    ) -> Result<(), SendError> {
        let (name, payload) = (name.as_ref(), payload.into());
        loop {
            match self.shared.send_or_listen(|link| link.send(name, &payload)) {
                Ok(result) => return result,
                Err(room) => room.await,
            }
        }
    }

    /// Sends an event if there is room for it now.
    ///
    /// # Errors
    /// If there is no room, the event is too long, or the link closed.
    pub fn try_send<'a>(
        &self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'a>>,
    ) -> Result<(), SendError> {
        self.shared.send(|link| link.send(name, payload))
    }

    /// Sends an event if there is room for it now: one that was encoded for many, at about `now`.
    pub(crate) fn send_encoded(&self, now: Instant, event: &Encoded) -> Result<(), SendError> {
        self.shared.send_encoded(now, event)
    }

    /// Events that are packed before they are sent, for whoever has many: it takes no lock for each, and one write for
    /// all.
    pub fn batch(&self) -> SendBatch<'_> {
        SendBatch::new(self)
    }

    /// A [`Sink`](futures_sink::Sink) of events, as pairs of name and payload.
    #[must_use]
    pub fn sink(&self) -> EventSink {
        EventSink::new(self.clone())
    }

    /// Has `handler` called with every event of that name, in the order they come, on the link's own task: while it
    /// runs, nothing is read from this peer, and it must not block. It stands before a handler of the mesh for the
    /// same name. The event is looked at where it lies; [`MessageRef::to_message`] is for what is to be kept. gop2p:
    /// `Peer.On`.
    ///
    /// What came before it is set has gone elsewhere: to miss nothing, set it on the mesh before connecting.
    pub fn on(&self, name: &str, handler: impl Fn(&Self, MessageRef<'_>) + Send + Sync + 'static) {
        self.shared.handlers.set(name, Arc::new(handler));
    }

    /// Takes the handler for that name away.
    pub fn off(&self, name: &str) {
        self.shared.handlers.remove(name);
    }

    /// Has `handler` called once when the link has ended, at once if it has already. gop2p: the `disconnected`
    /// event, which there a peer can forge.
    pub fn on_disconnect(&self, handler: impl FnOnce(&Self, CloseReason) + Send + 'static) {
        let mut ending = self.shared.ending.lock().unwrap_or_else(PoisonError::into_inner);
        match ending.reason {
            None => ending.handlers.push(Box::new(handler)),
            Some(reason) => {
                drop(ending);
                handler(self, reason);
            }
        }
    }

    /// Closes the link once what is queued is written, within [`LinkConfig::close_timeout`]. gop2p: `Disconnect`,
    /// which there leaves the connection open.
    ///
    /// [`LinkConfig::close_timeout`]: poolmesh_proto::LinkConfig::close_timeout
    pub fn disconnect(&self) {
        self.shared.lock().link.close(self.shared.clock.now());
        self.shared.stop_receiving();
        self.shared.work.notify(usize::MAX);
        self.shared.room.notify(usize::MAX);
    }

    pub(crate) fn handlers(&self) -> &Handlers<Self> {
        &self.shared.handlers
    }

    /// Whether what the peer has sent is to be handed out: not once the link was closed here.
    pub(crate) fn is_receiving(&self) -> bool {
        self.shared.is_receiving()
    }

    /// Listens for something having been written.
    pub(crate) fn room(&self) -> EventListener {
        self.shared.room.listen()
    }
}
