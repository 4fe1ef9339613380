//! Two links that share memory, and how their drivers deal with them.

use bytes::{Bytes, BytesMut};
use poolmesh_proto::{
    Budget, Chunks, CloseReason, Instant, Link, LinkConfig, LinkEvent, LinkEvents, Message, Write, WriteKind,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Near,
    Far,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// What a link tells, one event at a time or all that came together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Received(Vec<Message>),
    Writable,
    Closed(CloseReason),
}

/// A link, and what its driver reads into if it reads in place.
#[derive(Debug)]
struct Driven {
    link: Link,
    buffer: BytesMut,
}

#[derive(Debug)]
pub(super) struct Pair {
    near: Driven,
    far: Driven,
    pub(super) budget: Budget,
}

impl Pair {
    pub(super) fn new(config: &LinkConfig, shared: usize) -> Self {
        let budget = Budget::new(shared);
        let driven = || {
            let link = Link::with_budget(config.clone(), Instant::ZERO, budget.clone());
            Driven { link, buffer: BytesMut::new() }
        };
        Self { near: driven(), far: driven(), budget }
    }

    pub(super) fn get(&self, side: Side) -> &Link {
        match side {
            Side::Near => &self.near.link,
            Side::Far => &self.far.link,
        }
    }

    pub(super) fn link(&mut self, side: Side) -> &mut Link {
        &mut self.driven(side).link
    }

    fn driven(&mut self, side: Side) -> &mut Driven {
        match side {
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        }
    }

    /// Makes room to read in place, and says how much there is.
    pub(super) fn make_room(&mut self, side: Side) -> usize {
        let Driven { link, buffer } = self.driven(side);
        link.make_room(buffer);
        buffer.capacity() - buffer.len()
    }

    /// Reads in place, as much as there is room for at the most.
    pub(super) fn read(&mut self, side: Side, now: Instant, bytes: &[u8]) {
        let Driven { link, buffer } = self.driven(side);
        buffer.extend_from_slice(bytes);
        link.handle_read(now, buffer);
    }

    /// The next to write, by itself or with what goes into one vectored write.
    pub(super) fn poll_write(&mut self, side: Side, together: bool) -> Option<Write> {
        let link = self.link(side);
        if !together {
            return link.poll_transmit();
        }
        let mut chunks = Chunks::default();
        let kind = link.poll_chunks(&mut chunks)?;
        assert!(chunks.slices().count() <= Chunks::MOST, "more pieces than a system takes");
        let bytes: Vec<u8> = chunks.slices().flatten().copied().collect();
        assert_eq!(bytes.len(), chunks.len());
        match kind {
            WriteKind::Chunks => Some(Write::Bytes(Bytes::from(bytes))),
            WriteKind::Finish => {
                assert!(bytes.is_empty(), "nothing is left to write");
                Some(Write::Finish)
            }
        }
    }

    /// # Panics
    /// If the link tells what is not known here.
    pub(super) fn poll_told(&mut self, side: Side, together: bool) -> Option<Told> {
        let link = self.link(side);
        Some(if together {
            match link.poll_events()? {
                LinkEvents::Received(frames) => {
                    let messages: Vec<_> = frames.iter().map(|event| event.to_message()).collect();
                    assert_eq!(messages.len(), frames.messages());
                    Told::Received(messages)
                }
                LinkEvents::Writable => Told::Writable,
                LinkEvents::Closed(reason) => Told::Closed(reason),
                other => panic!("{other:?} is not known here"),
            }
        } else {
            match link.poll_event()? {
                LinkEvent::Received(message) => Told::Received(vec![message]),
                LinkEvent::Writable => Told::Writable,
                LinkEvent::Closed(reason) => Told::Closed(reason),
                other => panic!("{other:?} is not known here"),
            }
        })
    }
}
