//! An event on its way to many links.

use bytes::{BufMut, Bytes, BytesMut};

use super::Chunks;
use crate::Payload;
use crate::wire::{HEADER_LEN, header};

/// A short event that is encoded once, for many links: see [`Link::send_encoded`](super::Link::send_encoded).
///
/// ```
/// use poolmesh_proto::{Encoded, Instant, Link, LinkConfig};
///
/// let now = Instant::ZERO;
/// let mut links = [(); 3].map(|()| Link::new(LinkConfig::default(), now));
/// let event = Encoded::new("pos", &[7; 16]).ok_or("too long for that")?;
/// for link in &mut links {
///     if link.send_encoded(now, &event)? {
///         // A real driver writes `event.bytes()` to the socket, and keeps what it didn't take to be written first.
///         link.handle_written();
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Encoded {
    frame: Bytes,
}

impl Encoded {
    /// The longest frame there is, in bytes: what is longer better goes to each link by itself, which counts what it
    /// copies and shares what it can.
    pub const LONGEST: usize = Payload::BY_REFERENCE;

    /// Encodes an event, unless it is too long for this.
    #[must_use]
    pub fn new<'a>(name: impl AsRef<[u8]>, payload: impl Into<Payload<'a>>) -> Option<Self> {
        let (name, payload) = (name.as_ref(), payload.into());
        let payload = payload.as_slice();
        let len = HEADER_LEN.saturating_add(name.len()).saturating_add(payload.len());
        if len > Self::LONGEST {
            return None;
        }
        let mut frame = BytesMut::with_capacity(len);
        frame.put_slice(&header(name, payload.len()));
        frame.put_slice(name);
        frame.put_slice(payload);
        Some(Self { frame: frame.freeze() })
    }

    /// The whole frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.frame
    }

    /// Its length, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// Whether there is nothing, which never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frame.is_empty()
    }

    /// What is left to write of it when the first `written` bytes are written.
    #[must_use]
    pub fn rest(&self, written: usize) -> Chunks {
        let mut rest = Chunks::default();
        rest.push(self.frame.slice(written.min(self.frame.len())..));
        rest
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::{Budget, Instant, Link, LinkConfig, SendError, Turn, WriteKind};

    const LATER: Instant = later(1);

    const fn later(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    fn link(change: impl FnOnce(&mut LinkConfig)) -> Link {
        let mut config = LinkConfig::default();
        change(&mut config);
        Link::new(config, Instant::ZERO)
    }

    fn encoded(len: usize) -> Encoded {
        Encoded::new("e", vec![7; len]).unwrap()
    }

    /// All that the link writes.
    fn written(link: &mut Link) -> Vec<u8> {
        let (mut bytes, mut chunks) = (vec![], Chunks::default());
        while let Some(WriteKind::Chunks) = link.poll_chunks(&mut chunks) {
            chunks.slices().for_each(|slice| bytes.extend_from_slice(slice));
        }
        bytes
    }

    #[test]
    fn it_is_what_a_single_send_would_write() {
        for len in [0, 1, 20, Encoded::LONGEST - 9] {
            let (event, mut link) = (encoded(len), link(|_| {}));
            link.send("e", vec![7; len]).unwrap();
            assert_eq!((written(&mut link), event.len()), (event.bytes().to_vec(), 9 + len));
            assert!(!event.is_empty());
        }
        assert!(Encoded::new("e", vec![7; Encoded::LONGEST - 8]).is_none());
        assert!(Encoded::new(vec![7; Encoded::LONGEST], &[]).is_none());
    }

    #[test]
    fn it_is_handed_out_if_nothing_waits_and_queued_else() {
        let (event, mut link) = (encoded(20), link(|_| {}));
        assert_eq!(link.send_encoded(LATER, &event), Ok(true));
        assert_eq!((link.queued(), link.stats().sent, link.interest().write), (29, 1, false));
        // It is being written: the next one waits.
        assert_eq!(link.send_encoded(later(2), &event), Ok(false));
        assert_eq!((link.queued(), link.turn(|| later(2))), (58, Turn::Nobody));
        assert_eq!(written(&mut link), event.bytes());
        assert_eq!(link.queued(), 0);
        assert_eq!(link.send_encoded(later(3), &event), Ok(true));
        link.handle_written();
        assert_eq!((link.queued(), link.stats().sent), (0, 3));
        // It is one of a stream, which better goes into one write.
        assert_eq!(link.send_encoded(later(3), &event), Ok(false));
        assert_eq!((link.turn(|| later(3)), written(&mut link).len()), (Turn::Writer, 29));
    }

    #[test]
    fn it_is_refused_as_a_single_send_is() {
        let budget = Budget::new(100);
        let config = LinkConfig { max_frame: 50, max_queued: 70, ..LinkConfig::default() };
        let mut link = Link::with_budget(config, Instant::ZERO, budget.clone());
        assert_eq!(link.send_encoded(LATER, &encoded(46)), Err(SendError::TooLong { len: 51, max: 50 }));
        assert_eq!(link.send_encoded(LATER, &encoded(45)), Ok(true));
        assert_eq!(link.send_encoded(LATER, &encoded(20)), Err(SendError::Full), "over the link's own bound");
        assert_eq!((link.stats().full, budget.used()), (1, 54));
        link.handle_written();
        assert_eq!(budget.used(), 0);
        assert!(budget.take(90));
        assert_eq!(link.send_encoded(later(2), &encoded(20)), Err(SendError::Full), "others have the memory");
        assert_eq!(link.turn(|| later(2)), Turn::Writer, "there is a new deadline");
        assert_eq!((link.stats().full, link.stats().sent, budget.used()), (2, 1, 90));
        link.close(LATER);
        assert_eq!(link.send_encoded(LATER, &encoded(1)), Err(SendError::Closed));
    }

    #[test]
    fn what_is_left_of_it_can_be_written() {
        let event = encoded(20);
        let left = |written| event.rest(written).slices().map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(left(0), [event.bytes()]);
        assert_eq!(left(28), [[7]]);
        assert!(event.rest(29).is_empty() && event.rest(30).is_empty());
    }
}
