//! One link: a thread that reads, a thread that writes, and the machine between them.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_proto::driver::Handlers;
use poolmesh_proto::{
    CloseReason, Fault, Instant, Link, LinkEvent, LinkStats, Message, PeerId, SendError, Side, Write,
};

use crate::clock::Clock;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What is read at a time, in bytes.
const READ: usize = 64 * 1_024;
/// A writer whose peer doesn't read looks this often whether the link has ended meanwhile.
const WRITE_CHECK: Duration = Duration::from_millis(200);

type OnDisconnect = Box<dyn FnOnce(&Peer, CloseReason) + Send>;

/// What a mesh does about its links.
pub(crate) trait Owner: Send + Sync + 'static {
    /// A peer sent an event.
    fn received(self: &Arc<Self>, peer: &Peer, message: Message);
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
    work: Condvar,
    /// There may be room for more.
    room: Condvar,
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
            work: Condvar::new(),
            room: Condvar::new(),
            handlers: Handlers::default(),
            ending: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the threads, which end with the link. They alone hold the connection, so that it is closed with it.
    pub(crate) fn start(&self, stream: TcpStream, owner: &Arc<impl Owner>) {
        let stream = Arc::new(stream);
        let started = self.spawn("poolmesh-write", &stream, Shared::write).and_then(|()| {
            let (peer, owner) = (self.clone(), Arc::clone(owner));
            self.spawn("poolmesh-read", &stream, move |_, stream| peer.read(stream, &owner))
        });
        if let Err(error) = started {
            self.shared.lock().handle_failure(self.shared.clock.now(), Fault::from(&error));
            self.read(&stream, owner);
        }
    }

    fn spawn(
        &self,
        name: &str,
        stream: &Arc<TcpStream>,
        run: impl FnOnce(&Shared, &TcpStream) + Send + 'static,
    ) -> io::Result<()> {
        let (shared, stream) = (Arc::clone(&self.shared), Arc::clone(stream));
        thread::Builder::new().name(name.into()).spawn(move || run(&shared, &stream)).map(drop)
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

    /// Queues an event, which is then written at once; waits, without limit, while too much waits to be written already. gop2p: `Peer.Send`.
    ///
    /// # Errors
    /// If the event is too long or the link closed.
    pub fn send(&self, name: impl AsRef<[u8]>, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let (name, payload) = (name.as_ref(), payload.into());
        let mut link = self.shared.lock();
        loop {
            match self.shared.send(&mut link, name, payload.clone()) {
                Err(SendError::Full) => {
                    link = self.shared.room.wait(link).unwrap_or_else(PoisonError::into_inner);
                }
                result => return result,
            }
        }
    }

    /// Sends an event if there is room for it now.
    ///
    /// # Errors
    /// If there is no room, the event is too long, or the link closed.
    pub fn try_send(&self, name: impl AsRef<[u8]>, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.shared.send(&mut self.shared.lock(), name.as_ref(), payload.into())
    }

    /// Has `handler` called with every event of that name, in the order they come, on the link's own thread: while
    /// it runs, nothing is read from this peer. It stands before a handler of the mesh for the same name. gop2p:
    /// `Peer.On`.
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
        self.shared.work.notify_one();
        self.shared.room.notify_all();
    }

    #[cfg(all(test, poolmesh_loom))]
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn handlers(&self) -> &Handlers<Self> {
        &self.shared.handlers
    }

    /// The reading thread. Should a handler panic, the link ends, so that the mesh doesn't wait for it.
    fn read(&self, stream: &TcpStream, owner: &Arc<impl Owner>) {
        let reading = panic::AssertUnwindSafe(|| self.read_on(stream, owner));
        if let Err(payload) = panic::catch_unwind(reading) {
            let reason = CloseReason::Failed(Fault::HandlerPanicked);
            self.shared.abandon();
            self.end(stream, owner, reason);
            panic::resume_unwind(payload);
        }
    }

    /// Hands events out, then reads on.
    fn read_on(&self, stream: &TcpStream, owner: &Arc<impl Owner>) {
        let shared = &self.shared;
        let mut buffer = vec![0; READ];
        loop {
            // Bound first: the lock must not be held while the event is handed out.
            let event = {
                let mut link = shared.lock();
                link.handle_timeout(shared.clock.now());
                link.poll_event()
            };
            match event {
                Some(LinkEvent::Received(message)) => {
                    owner.received(self, message);
                    continue;
                }
                Some(LinkEvent::Closed(reason)) => return self.end(stream, owner, reason),
                Some(LinkEvent::Writable) => {
                    shared.room.notify_all();
                    continue;
                }
                Some(_) => continue,
                None => {}
            }
            let link = shared.lock();
            let interest = link.interest();
            if interest.read {
                drop(link);
                shared.read_once(stream, &mut buffer, interest.deadline);
            } else {
                // The peer has closed, and the last of ours is being written.
                drop(shared.wait(link, &shared.room, interest.deadline));
            }
        }
    }

    fn end(&self, stream: &TcpStream, owner: &Arc<impl Owner>, reason: CloseReason) {
        // That the connection is gone already is no harm.
        let _ = stream.shutdown(Shutdown::Both);
        self.shared.work.notify_all();
        self.shared.room.notify_all();
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

    /// Queues an event. The writer waits only while nothing is queued, so only then it is woken.
    fn send(&self, link: &mut Link, name: &[u8], payload: Bytes) -> Result<(), SendError> {
        let idle = link.queued() == 0;
        let result = link.send(name, payload);
        // Refused for want of memory shared with others, it has a new deadline to wait for.
        if idle {
            self.work.notify_one();
        }
        result
    }

    /// Ends the link, whatever it is about.
    fn abandon(&self) {
        let mut link = self.lock();
        link.handle_failure(self.clock.now(), Fault::HandlerPanicked);
        while link.poll_event().is_some() {}
    }

    fn read_once(&self, mut stream: &TcpStream, buffer: &mut [u8], deadline: Option<Instant>) {
        // Zero would wait for ever.
        let wait = deadline.map(|deadline| self.clock.until(deadline).max(Duration::from_millis(1)));
        let read = stream.set_read_timeout(wait).and_then(|()| stream.read(buffer));
        let now = self.clock.now();
        let mut link = self.lock();
        match read {
            Ok(0) => link.handle_eof(now),
            Ok(len) => link.handle_bytes(now, Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if wait.is_some() && timed_out(&error) => link.handle_timeout(now),
            Err(error) => link.handle_failure(now, Fault::from(&error)),
        }
        drop(link);
        self.work.notify_one();
    }

    /// Waits for a change or for `deadline`, which it then keeps.
    fn wait<'a>(
        &'a self,
        link: MutexGuard<'a, Link>,
        changed: &Condvar,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, Link> {
        let mut link = match deadline {
            Some(deadline) => {
                let waited = changed.wait_timeout(link, self.clock.until(deadline));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => changed.wait(link).unwrap_or_else(PoisonError::into_inner),
        };
        link.handle_timeout(self.clock.now());
        link
    }

    /// The writing thread.
    fn write(&self, stream: &TcpStream) {
        while let Some(write) = self.next_write() {
            self.carry_out(stream, write);
        }
        // Wakes the reader. That the connection is gone already is no harm.
        let _ = stream.shutdown(Shutdown::Both);
        self.room.notify_all();
    }

    /// Waits for the next thing to write, which says that the one before is done; none at the end.
    pub(crate) fn next_write(&self) -> Option<Write> {
        let mut link = self.lock();
        loop {
            let queued = link.queued();
            let write = link.poll_transmit();
            // Asking has made room; or others that share the memory have.
            if link.queued() < queued || link.interest().deadline == Some(Instant::ZERO) {
                self.room.notify_all();
            }
            if write.is_some() || link.is_ended() {
                return write;
            }
            // Events are the reader's to poll; that some wait is no reason to look again.
            let deadline = link.interest().deadline.filter(|at| *at > Instant::ZERO);
            link = self.wait(link, &self.work, deadline);
        }
    }

    fn carry_out(&self, stream: &TcpStream, write: Write) {
        let done = match write {
            Write::Bytes(bytes) => self.write_all(stream, &bytes),
            Write::Finish => stream.shutdown(Shutdown::Write),
        };
        if let Err(error) = done {
            self.lock().handle_failure(self.clock.now(), Fault::from(&error));
            // Wakes the reader.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Writes until all is written or the link has ended.
    fn write_all(&self, mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        stream.set_write_timeout(Some(WRITE_CHECK))?;
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => {
                    let mut link = self.lock();
                    link.handle_timeout(self.clock.now());
                    if link.is_ended() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Systems differ in what they call a timeout of a socket.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What a model of the threads does in place of the reading thread.
#[cfg(all(test, poolmesh_loom))]
impl Shared {
    /// Looks for an event.
    pub(crate) fn look(&self) {
        let event = self.lock().poll_event();
        if let Some(LinkEvent::Writable) = event {
            self.room.notify_all();
        }
    }

    /// The peer has closed, too.
    pub(crate) fn eof(&self) {
        self.lock().handle_eof(self.clock.now());
        self.work.notify_one();
    }
}
