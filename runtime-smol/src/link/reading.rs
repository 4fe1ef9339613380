//! The half of a link's task that reads, and hands out what came.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::panic;
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;
use poolmesh_proto::{CloseReason, Fault, Instant, LinkEvents};
use poolmesh_sockets::tcp;
use smol::Async;
use smol::future::{FutureExt, yield_now};

use super::{Owner, Peer};

/// After so many reads that did not have to wait the task lets others go on.
const TURN: u32 = 4;

/// What a link's task reads into, and how it takes turns.
#[derive(Default)]
struct Reader {
    buffer: BytesMut,
    /// Reads in a row that did not have to wait.
    ready: u32,
}

impl Peer {
    /// Reads until the end. Should a handler panic, the link ends, so that the mesh doesn't wait for it.
    pub(super) async fn read(&self, stream: &Async<TcpStream>, owner: &Arc<impl Owner>) {
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
        let mut reader = Reader::default();
        let mut events = shared.lock().link.poll_events();
        loop {
            match events {
                Some(LinkEvents::Received(frames)) => owner.received(self, &frames).await,
                Some(LinkEvents::Closed(reason)) => return self.end(stream, owner, reason),
                Some(LinkEvents::Writable) => drop(shared.room.notify(usize::MAX)),
                Some(_) => {}
                None => {
                    events = self.wait_and_read(stream, &mut reader).await;
                    continue;
                }
            }
            let mut state = shared.lock();
            state.link.handle_timeout(shared.clock.now());
            events = state.link.poll_events();
        }
    }

    /// There is no event: reads once, or waits if nothing is to be read any more.
    async fn wait_and_read(&self, stream: &Async<TcpStream>, reader: &mut Reader) -> Option<LinkEvents> {
        let shared = &self.shared;
        let room = shared.room.listen();
        let interest = {
            let mut state = shared.lock();
            state.link.make_room(&mut reader.buffer);
            state.link.interest()
        };
        if !interest.read {
            // The peer has closed, and the last of ours is being written.
            room.or(shared.clock.reach(interest.deadline)).await;
            let mut state = shared.lock();
            state.link.handle_timeout(shared.clock.now());
            return state.link.poll_events();
        }
        drop(room);
        let read = self.read_once(stream, reader, interest.deadline).await;
        let now = shared.clock.now();
        let mut state = shared.lock();
        let link = &mut state.link;
        match read {
            None => link.handle_timeout(now),
            Some(Ok(0)) => link.handle_eof(now),
            Some(Ok(_)) => link.handle_read(now, &mut reader.buffer),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Some(Err(error)) => link.handle_failure(now, Fault::from(&error)),
        }
        if !link.is_open() {
            shared.work.notify(1);
        }
        link.poll_events()
    }

    /// Reads what there is, or waits for it until `deadline`.
    async fn read_once(
        &self,
        stream: &Async<TcpStream>,
        reader: &mut Reader,
        deadline: Option<Instant>,
    ) -> Option<io::Result<usize>> {
        reader.ready += 1;
        if reader.ready >= TURN {
            reader.ready = 0;
            yield_now().await;
        }
        loop {
            match tcp::read(stream.get_ref(), &mut reader.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Some(read),
            }
            reader.ready = 0;
            let late = async {
                self.shared.clock.reach(deadline).await;
                None
            };
            let readable = async { Some(stream.readable().await) };
            match readable.or(late).await {
                None => return None,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(())) => {}
            }
        }
    }

    fn end(&self, stream: &Async<TcpStream>, owner: &Arc<impl Owner>, reason: CloseReason) {
        // That the connection is gone already is no harm.
        let _ = stream.get_ref().shutdown(Shutdown::Both);
        // The task alone holds it now.
        self.shared.lock().stream = None;
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
