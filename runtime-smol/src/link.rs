//! One link: a task that reads and writes, and the machine between the two.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use event_listener::{Event as Signal, EventListener};
use poolmesh_proto::driver::Handlers;
use poolmesh_proto::{
    CloseReason, Fault, Instant, Link, LinkEvent, LinkStats, Message, PeerId, SendError, Side, Write,
};
use smol::Async;
use smol::future::{FutureExt, yield_now};
use smol::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::Clock;
use crate::sink::EventSink;

/// What is read at a time, in bytes.
const READ: usize = 64 * 1_024;

/// After so many events the task lets others go on.
const TURNS: u32 = 64;

type OnDisconnect = Box<dyn FnOnce(&Peer, CloseReason) + Send>;

/// What a mesh does about its links.
pub(crate) trait Owner: Send + Sync + 'static {
    /// A peer sent an event.
    fn received(self: &Arc<Self>, peer: &Peer, message: Message) -> impl Future<Output = ()> + Send;
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

pub(crate) struct Shared {
    id: PeerId,
    address: SocketAddr,
    side: Side,
    clock: Clock,
    link: Mutex<Link>,
    /// There may be something to write, or the end has come.
    work: Signal,
    /// There may be room for more.
    room: Signal,
    handlers: Handlers<Peer>,
    ending: Mutex<Ending>,
}

#[derive(Default)]
struct Ending {
    reason: Option<CloseReason>,
    handlers: Vec<OnDisconnect>,
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
        let shared = Shared {
            id,
            address,
            side,
            clock,
            link: Mutex::new(link),
            work: Signal::new(),
            room: Signal::new(),
            handlers: Handlers::new(),
            ending: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the task, which ends with the link. It alone holds the connection, so that it is closed with it.
    pub(crate) fn start(&self, stream: Async<TcpStream>, owner: &Arc<impl Owner>) {
        let (peer, owner) = (self.clone(), Arc::clone(owner));
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

    /// Where the peer is. Of an accepted link the port names nobody.
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
        self.shared.lock().is_open()
    }

    /// Bytes that wait to be written, or are being written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.lock().queued()
    }

    /// What was sent, received and skipped so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.shared.lock().stats()
    }

    /// Queues an event, which is then written at once; waits, without limit, while too much waits to be written already. Should the future be dropped, the event is
    /// either queued whole or not at all. gop2p: `Peer.Send`.
    ///
    /// # Errors
    /// If the event is too long or the link closed.
    pub async fn send(&self, name: impl AsRef<[u8]>, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let (name, payload) = (name.as_ref(), payload.into());
        loop {
            let room = self.shared.room.listen();
            match self.try_send(name, payload.clone()) {
                Err(SendError::Full) => room.await,
                result => return result,
            }
        }
    }

    /// Sends an event if there is room for it now.
    ///
    /// # Errors
    /// If there is no room, the event is too long, or the link closed.
    pub fn try_send(&self, name: impl AsRef<[u8]>, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let mut link = self.shared.lock();
        // The writer waits only while nothing is queued, so only then it is woken.
        let idle = link.queued() == 0;
        let result = link.send(name, payload);
        drop(link);
        // Refused for want of memory shared with others, it has a new deadline to wait for.
        if idle {
            self.shared.work.notify(1);
        }
        result
    }

    /// A [`Sink`](futures_sink::Sink) of events, as pairs of name and payload.
    #[must_use]
    pub fn sink(&self) -> EventSink {
        EventSink::new(self.clone())
    }

    /// Has `handler` called with every event of that name, in the order they come, on the link's own task: while it
    /// runs, nothing is read from this peer, and it must not block. It stands before a handler of the mesh for the
    /// same name. gop2p: `Peer.On`.
    ///
    /// What came before it is set has gone elsewhere: to miss nothing, set it on the mesh before connecting.
    pub fn on(&self, name: &str, handler: impl Fn(&Self, Message) + Send + Sync + 'static) {
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
        self.shared.lock().close(self.shared.clock.now());
        self.shared.work.notify(usize::MAX);
        self.shared.room.notify(usize::MAX);
    }

    pub(crate) fn handlers(&self) -> &Handlers<Self> {
        &self.shared.handlers
    }

    /// Listens for something having been written.
    pub(crate) fn room(&self) -> EventListener {
        self.shared.room.listen()
    }

    /// The reading half of the task. Should a handler panic, the link ends, so that the mesh doesn't wait for it.
    async fn read(&self, stream: &Async<TcpStream>, owner: &Arc<impl Owner>) {
        let reading = panic::AssertUnwindSafe(self.read_on(stream, owner)).catch_unwind();
        if let Err(payload) = reading.await {
            let reason = CloseReason::Failed(Fault::HandlerPanicked);
            self.shared.abandon();
            self.end(stream, owner, reason);
            panic::resume_unwind(payload);
        }
    }

    /// Hands events out, then reads on.
    async fn read_on(&self, stream: &Async<TcpStream>, owner: &Arc<impl Owner>) {
        let shared = &self.shared;
        let mut buffer = vec![0; READ];
        let mut turns = 0u32;
        loop {
            // A peer that sends without end must not keep the others of the executor waiting.
            turns += 1;
            if turns % TURNS == 0 {
                yield_now().await;
            }
            // Bound first: the lock must not be held while the event is handed out.
            let event = {
                let mut link = shared.lock();
                link.handle_timeout(shared.clock.now());
                link.poll_event()
            };
            match event {
                Some(LinkEvent::Received(message)) => {
                    owner.received(self, message).await;
                    continue;
                }
                Some(LinkEvent::Closed(reason)) => break self.end(stream, owner, reason),
                Some(LinkEvent::Writable) => {
                    shared.room.notify(usize::MAX);
                    continue;
                }
                Some(_) => continue,
                None => {}
            }
            let room = shared.room.listen();
            let interest = shared.lock().interest();
            if interest.read {
                yield_now().await;
                shared.read_once(stream, &mut buffer, interest.deadline).await;
            } else {
                // The peer has closed, and the last of ours is being written.
                room.or(shared.clock.reach(interest.deadline)).await;
                shared.lock().handle_timeout(shared.clock.now());
            }
        }
    }

    fn end(&self, stream: &Async<TcpStream>, owner: &Arc<impl Owner>, reason: CloseReason) {
        // That the connection is gone already is no harm.
        let _ = stream.get_ref().shutdown(Shutdown::Both);
        self.shared.work.notify(usize::MAX);
        self.shared.room.notify(usize::MAX);
        let mut ending = self.shared.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if ending.reason.is_some() {
            return;
        }
        ending.reason = Some(reason);
        let handlers = std::mem::take(&mut ending.handlers);
        drop(ending);
        owner.ended(self, reason);
        for handler in handlers {
            handler(self, reason);
        }
        // They may hold this very peer.
        self.shared.handlers.clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Link> {
        // The machine is left in order whoever panics: its methods don't.
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the link, whatever it is about.
    fn abandon(&self) {
        let mut link = self.lock();
        link.handle_failure(self.clock.now(), Fault::HandlerPanicked);
        while link.poll_event().is_some() {}
    }

    async fn read_once(&self, mut stream: &Async<TcpStream>, buffer: &mut [u8], deadline: Option<Instant>) {
        let timeout = async {
            self.clock.reach(deadline).await;
            None
        };
        let read = async { Some(stream.read(buffer).await) };
        let read = read.or(timeout).await;
        let now = self.clock.now();
        let mut link = self.lock();
        match read {
            None => link.handle_timeout(now),
            Some(Ok(0)) => link.handle_eof(now),
            Some(Ok(len)) => {
                link.handle_bytes(now, Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default()));
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Some(Err(error)) => link.handle_failure(now, Fault::from(&error)),
        }
        drop(link);
        self.work.notify(1);
    }

    /// The writing half of the task.
    async fn write(&self, stream: &Async<TcpStream>) {
        loop {
            let work = self.work.listen();
            let (write, ended, deadline, roomier) = {
                let mut link = self.lock();
                let queued = link.queued();
                let write = link.poll_transmit();
                (write, link.is_ended(), link.interest().deadline, link.queued() < queued)
            };
            // Asking has made room; or others that share the memory have.
            if roomier || deadline == Some(Instant::ZERO) {
                self.room.notify(usize::MAX);
            }
            match write {
                Some(write) => {
                    self.carry_out(stream, write).await;
                    // A peer that reads as fast as we write must not keep the others waiting.
                    yield_now().await;
                }
                None if ended => break,
                None => {
                    // Events are the reader's to poll; that some wait is no reason to look again.
                    let deadline = deadline.filter(|at| *at > Instant::ZERO);
                    work.or(self.clock.reach(deadline)).await;
                    self.lock().handle_timeout(self.clock.now());
                }
            }
        }
        // Wakes the reader. That the connection is gone already is no harm.
        let _ = stream.get_ref().shutdown(Shutdown::Both);
        self.room.notify(usize::MAX);
    }

    async fn carry_out(&self, stream: &Async<TcpStream>, write: Write) {
        let done = match write {
            Write::Bytes(bytes) => self.write_all(stream, &bytes).await,
            Write::Finish => stream.get_ref().shutdown(Shutdown::Write),
        };
        if let Err(error) = done {
            self.lock().handle_failure(self.clock.now(), Fault::from(&error));
            // Wakes the reader.
            let _ = stream.get_ref().shutdown(Shutdown::Both);
        }
    }

    /// Writes until all is written or the link has ended.
    async fn write_all(&self, mut stream: &Async<TcpStream>, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let work = self.work.listen();
            let deadline = {
                let mut link = self.lock();
                link.handle_timeout(self.clock.now());
                if link.is_ended() {
                    return Ok(());
                }
                link.interest().deadline.filter(|at| *at > Instant::ZERO)
            };
            let woken = async {
                work.or(self.clock.reach(deadline)).await;
                Ok(None)
            };
            let written = async { stream.write(bytes).await.map(Some) };
            match written.or(woken).await {
                Ok(None) => {}
                Ok(Some(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Some(len)) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
