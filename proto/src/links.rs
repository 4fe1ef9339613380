//! Many links in one thread.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use bytes::{Bytes, BytesMut};

use crate::deadlines::Deadlines;
use crate::{
    Chunks, Fault, Instant, Link, LinkEvent, LinkEvents, Payload, PeerId, SendError, Write, WriteKind,
};

/// One thing to do for the driver of [`Links`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "dropping an output loses bytes or an event"]
pub enum LinksOutput {
    /// Write this to the peer's connection; when all of it is written, say so with [`Links::handle_written`]. Only
    /// then comes the next for that peer.
    Write {
        /// Whose connection.
        peer: PeerId,
        /// What to write.
        write: Write,
    },
    /// Tell the application. After [`LinkEvent::Closed`], which is also for
    /// [`Mesh::handle_closed`](crate::Mesh::handle_closed), the link is gone from here: drop the connection.
    Event {
        /// Whose link.
        peer: PeerId,
        /// What happened.
        event: LinkEvent,
    },
    /// Nothing is left to do until the next input, or until this deadline if there is one.
    Wait(Option<Instant>),
}

/// The links of a program that runs them all in one thread, beside its [`Mesh`](crate::Mesh).
///
/// Its outputs name the link that has something to do, so that none has to be looked for. Inputs about a peer that
/// is not, or no longer, here are ignored.
#[derive(Debug)]
pub struct Links {
    links: BTreeMap<PeerId, Slot>,
    /// The links that may have an output.
    ready: BTreeSet<PeerId>,
    /// Where `ready` was left, so that a busy link doesn't keep the others waiting.
    turn: Option<PeerId>,
    now: Instant,
    deadlines: Deadlines<PeerId>,
}

#[derive(Debug)]
struct Slot {
    link: Link,
    /// A write was handed out and is not done.
    writing: bool,
}

impl Links {
    /// No links.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            ready: BTreeSet::new(),
            turn: None,
            now: Instant::ZERO,
            deadlines: Deadlines::new(),
        }
    }

    /// Adds the link that a mesh has handed out for `peer`.
    pub fn insert(&mut self, peer: PeerId, link: Link) {
        self.links.insert(peer, Slot { link, writing: false });
        self.ready.insert(peer);
    }

    /// A link, to look at.
    #[must_use]
    pub fn get(&self, peer: PeerId) -> Option<&Link> {
        self.links.get(&peer).map(|slot| &slot.link)
    }

    /// The peers there are links to.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.links.keys().copied()
    }

    /// Queues an event for one peer.
    ///
    /// # Errors
    /// As [`Link::send`]; [`SendError::Closed`] too if there is no such link.
    pub fn send<'a>(
        &mut self,
        peer: PeerId,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'a>>,
    ) -> Result<(), SendError> {
        self.touch(peer, |slot| slot.link.send(name, payload)).unwrap_or(Err(SendError::Closed))
    }

    /// Queues an event for every peer, and says for which of them it could not be. A large payload is shared.
    pub fn send_to_all<'a>(
        &mut self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Payload<'a>>,
    ) -> Vec<(PeerId, SendError)> {
        let (name, payload) = (name.as_ref(), payload.into());
        let peers: Vec<PeerId> = self.peers().collect();
        let failed = |peer| self.send(peer, name, &payload).err().map(|error| (peer, error));
        peers.into_iter().filter_map(failed).collect()
    }

    /// As [`Link::close`].
    pub fn close(&mut self, now: Instant, peer: PeerId) {
        self.now = self.now.max(now);
        self.touch(peer, |slot| slot.link.close(now));
    }

    /// As [`Link::handle_bytes`].
    pub fn handle_bytes(&mut self, now: Instant, peer: PeerId, bytes: Bytes) {
        self.now = self.now.max(now);
        self.touch(peer, |slot| slot.link.handle_bytes(now, bytes));
    }

    /// As [`Link::make_room`]. The driver has a buffer for each link.
    pub fn make_room(&mut self, peer: PeerId, buffer: &mut BytesMut) {
        if let Some(slot) = self.links.get_mut(&peer) {
            slot.link.make_room(buffer);
        }
    }

    /// As [`Link::handle_read`].
    pub fn handle_read(&mut self, now: Instant, peer: PeerId, buffer: &mut BytesMut) {
        self.now = self.now.max(now);
        self.touch(peer, |slot| slot.link.handle_read(now, buffer));
    }

    /// As [`Link::poll_events`], for a driver that looks at what came together, as long as there is something. What it
    /// doesn't ask for here, [`poll_output`](Self::poll_output) tells one by one.
    ///
    /// After [`LinkEvents::Closed`] the link is gone from here, as after [`LinksOutput::Event`] with that.
    pub fn poll_events(&mut self, peer: PeerId) -> Option<LinkEvents> {
        let events = self.touch(peer, |slot| slot.link.poll_events()).flatten();
        if let Some(LinkEvents::Closed(_)) = events {
            self.forget(peer);
        }
        events
    }

    /// As [`Link::poll_chunks`], for a driver that writes vectored: unless a write for that peer is not done, of which
    /// [`handle_written`](Self::handle_written) tells as after [`LinksOutput::Write`]. What it doesn't ask for here,
    /// [`poll_output`](Self::poll_output) hands out piece by piece.
    pub fn poll_chunks(&mut self, peer: PeerId, chunks: &mut Chunks) -> Option<WriteKind> {
        let write = self.touch(peer, |slot| {
            let write = if slot.writing { None } else { slot.link.poll_chunks(chunks) };
            slot.writing |= write.is_some();
            write
        });
        write.flatten()
    }

    /// As [`Link::handle_eof`].
    pub fn handle_eof(&mut self, now: Instant, peer: PeerId) {
        self.now = self.now.max(now);
        self.touch(peer, |slot| slot.link.handle_eof(now));
    }

    /// As [`Link::handle_failure`].
    pub fn handle_failure(&mut self, now: Instant, peer: PeerId, fault: Fault) {
        self.now = self.now.max(now);
        self.touch(peer, |slot| slot.link.handle_failure(now, fault));
    }

    /// What [`LinksOutput::Write`] named for this peer, or [`poll_chunks`](Self::poll_chunks) filled in, is done.
    pub fn handle_written(&mut self, peer: PeerId) {
        self.touch(peer, |slot| slot.writing = false);
    }

    /// Says what time it is.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some(peer) = self.deadlines.pop_due(self.now) {
            self.touch(peer, |slot| slot.link.handle_timeout(now));
        }
    }

    /// Whether a peer's link wants to be handed more bytes. One that doesn't is full of events nobody polled.
    #[must_use]
    pub fn wants_read(&self, peer: PeerId) -> bool {
        self.get(peer).is_some_and(|link| link.interest().read)
    }

    /// The next thing to do. Call it until it answers [`LinksOutput::Wait`].
    pub fn poll_output(&mut self) -> LinksOutput {
        while let Some(peer) = self.next_ready() {
            let Some(slot) = self.links.get_mut(&peer) else {
                self.ready.remove(&peer);
                continue;
            };
            if let Some(event) = slot.link.poll_event() {
                if let LinkEvent::Closed(_) = event {
                    self.forget(peer);
                }
                return LinksOutput::Event { peer, event };
            }
            if !slot.writing {
                if let Some(write) = slot.link.poll_transmit() {
                    slot.writing = true;
                    return LinksOutput::Write { peer, write };
                }
            }
            // A transmit may have ended the link or made room, time may have passed it by: look again.
            let mut deadline = slot.link.interest().deadline;
            if deadline.is_some_and(|at| at.is_due(self.now)) {
                slot.link.handle_timeout(self.now);
                if slot.link.has_event() {
                    continue;
                }
                deadline = slot.link.interest().deadline;
            }
            self.ready.remove(&peer);
            match deadline {
                Some(at) => self.deadlines.set(peer, at),
                None => self.deadlines.clear(peer),
            }
        }
        LinksOutput::Wait(self.deadlines.earliest())
    }

    /// Takes turns among the links that may have an output.
    fn next_ready(&mut self) -> Option<PeerId> {
        let after = self
            .turn
            .and_then(|turn| self.ready.range((Bound::Excluded(turn), Bound::Unbounded)).next().copied());
        self.turn = after.or_else(|| self.ready.first().copied());
        self.turn
    }

    fn touch<T>(&mut self, peer: PeerId, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let slot = self.links.get_mut(&peer)?;
        self.ready.insert(peer);
        Some(act(slot))
    }

    fn forget(&mut self, peer: PeerId) {
        self.links.remove(&peer);
        self.ready.remove(&peer);
        self.deadlines.clear(peer);
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{CloseReason, Mesh, MeshConfig};

    const ZERO: Instant = Instant::ZERO;

    /// Links as a mesh hands them out.
    fn links(count: u16) -> (Links, Vec<PeerId>) {
        let mut mesh = Mesh::new(MeshConfig::default());
        let mut links = Links::default();
        for port in 0..count {
            let (peer, link) = mesh.handle_accepted(ZERO, ([127, 0, 0, 1], port).into()).unwrap();
            links.insert(peer, link);
        }
        assert_eq!(links.poll_output(), LinksOutput::Wait(None));
        let peers = links.peers().collect();
        (links, peers)
    }

    #[test]
    fn outputs_name_the_link_and_take_turns() {
        let (mut links, peers) = links(3);
        assert_eq!(links.send_to_all("e", &b"x"[..]), vec![]);
        let mut written = vec![];
        while let LinksOutput::Write { peer, write: Write::Bytes(_) } = links.poll_output() {
            written.push(peer);
        }
        assert_eq!(written, peers);
        links.send(peers[1], "e", &b"y"[..]).unwrap();
        assert_eq!(links.poll_output(), LinksOutput::Wait(None), "the write before is not done");
        links.handle_written(peers[1]);
        assert!(matches!(links.poll_output(), LinksOutput::Write { peer, .. } if peer == peers[1]));
    }

    #[test]
    fn what_came_together_is_looked_at_together_and_written_vectored() {
        let [(mut near, froms), (mut far, tos)] = [links(2), links(2)];
        let (from, to) = (froms[0], tos[0]);
        near.send(from, "long", vec![7; 20_000]).unwrap();
        let (mut chunks, mut buffer, mut events) = (Chunks::default(), BytesMut::new(), vec![]);
        while near.poll_chunks(from, &mut chunks) == Some(WriteKind::Chunks) {
            if events.is_empty() {
                near.send(from, "e", &b"x"[..]).unwrap();
            }
            assert_eq!(near.poll_chunks(from, &mut Chunks::default()), None, "the write before is not done");
            assert_eq!(near.poll_output(), LinksOutput::Wait(None));
            for slice in chunks.slices() {
                far.make_room(to, &mut buffer);
                assert!(buffer.capacity() > buffer.len());
                buffer.extend_from_slice(slice);
                far.handle_read(ZERO, to, &mut buffer);
                while let Some(LinkEvents::Received(frames)) = far.poll_events(to) {
                    events.extend(frames.iter().map(|event| (event.name().to_vec(), event.payload().len())));
                }
            }
            near.handle_written(from);
        }
        assert_eq!(events, [(b"long".to_vec(), 20_000), (b"e".to_vec(), 1)]);
        buffer.extend_from_slice(b"\x05\0\0\0\x01\0\0\0e");
        far.handle_read(ZERO, to, &mut buffer);
        let LinksOutput::Event { peer, event: LinkEvent::Received(message) } = far.poll_output() else {
            panic!("nobody asked for it before")
        };
        assert!(peer == to && message.is("e") && far.poll_events(to).is_none());
        far.handle_eof(ZERO, to);
        assert_eq!(far.poll_events(to), Some(LinkEvents::Closed(CloseReason::Remote)));
        assert_eq!(
            (far.peers().collect::<Vec<_>>(), far.poll_output()),
            (vec![tos[1]], LinksOutput::Wait(None))
        );
        assert_eq!((far.poll_events(to), far.poll_chunks(to, &mut chunks)), (None, None), "it is gone");
        far.make_room(to, &mut buffer);
        far.handle_read(ZERO, to, &mut buffer);
    }

    #[test]
    fn an_ended_link_is_gone_after_its_last_event() {
        let (mut links, peers) = links(2);
        links.handle_eof(ZERO, peers[0]);
        let event = LinkEvent::Closed(CloseReason::Remote);
        assert_eq!(links.poll_output(), LinksOutput::Event { peer: peers[0], event });
        assert_eq!(links.poll_output(), LinksOutput::Wait(None));
        assert_eq!(links.send(peers[0], "e", vec![]), Err(SendError::Closed));
        links.handle_bytes(ZERO, peers[0], Bytes::from_static(b"late"));
        assert_eq!(links.peers().collect::<Vec<_>>(), [peers[1]]);
    }

    #[test]
    fn a_link_can_be_looked_at_and_says_when_it_is_full() {
        let (mut links, peers) = links(1);
        assert!(links.get(peers[0]).is_some_and(Link::is_open) && links.wants_read(peers[0]));
        links.handle_bytes(ZERO, peers[0], vec![0; 128 * 1_024].into());
        assert!(!links.wants_read(peers[0]), "nobody polls");
        links.handle_failure(ZERO, peers[0], Fault::Reset);
        let event = LinkEvent::Closed(CloseReason::Failed(Fault::Reset));
        assert_eq!(links.poll_output(), LinksOutput::Event { peer: peers[0], event });
        assert!(links.get(peers[0]).is_none() && !links.wants_read(peers[0]));
    }

    #[test]
    fn a_close_ends_by_its_deadline() {
        let (mut links, peers) = links(1);
        links.close(ZERO, peers[0]);
        assert_eq!(links.poll_output(), LinksOutput::Write { peer: peers[0], write: Write::Finish });
        let LinksOutput::Wait(Some(deadline)) = links.poll_output() else { panic!("no deadline") };
        links.handle_timeout(deadline);
        let event = LinkEvent::Closed(CloseReason::Local);
        assert_eq!(links.poll_output(), LinksOutput::Event { peer: peers[0], event });
    }
}
