//! What a link says to its driver and its application.

use alloc::collections::VecDeque;
use core::fmt;

use bytes::{Buf, Bytes};

#[cfg(doc)]
use super::{Link, LinkConfig};
use crate::wire::{Frames, Message};
use crate::{Fault, Instant};

/// What a [`Link`] tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The peer sent an event.
    Received(Message),
    /// After [`SendError::Full`]: there is room again.
    Writable,
    /// The link has ended. The last event.
    Closed(CloseReason),
}

/// What [`Link::poll_events`] tells: a [`LinkEvent`], or many events that came together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvents {
    /// The peer sent events, and perhaps frames that hold none.
    Received(Frames),
    /// After [`SendError::Full`]: there is room again.
    Writable,
    /// The link has ended. The last event.
    Closed(CloseReason),
}

/// Why a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was closed here, and everything queued was written.
    Local,
    /// It was closed here, and this many bytes could not be written in time.
    Unwritten {
        /// How many, as far as is known.
        bytes: usize,
    },
    /// The peer closed it.
    Remote,
    /// The peer closed it, or was cut off, in the middle of a frame.
    CutShort,
    /// The peer announced a frame that is longer than the limit.
    FrameTooLong {
        /// The length it announced, in bytes.
        len: u32,
    },
    /// The peer began a frame and didn't end it within the frame timeout.
    FrameTooSlow {
        /// How much of it came, in bytes.
        bytes: usize,
    },
    /// Nothing came from the peer for the idle timeout.
    Idle,
    /// The connection failed.
    Failed(Fault),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed here"),
            Self::Unwritten { bytes } => write!(f, "closed here, {bytes} bytes unwritten"),
            Self::Remote => f.write_str("closed by peer"),
            Self::CutShort => f.write_str("closed by peer within a frame"),
            Self::FrameTooLong { len } => write!(f, "peer announced a frame of {len} bytes, over the limit"),
            Self::FrameTooSlow { bytes } => {
                write!(f, "peer took too long over a frame, of which {bytes} bytes came")
            }
            Self::Idle => f.write_str("idle"),
            Self::Failed(fault) => write!(f, "{fault}"),
        }
    }
}

/// Why an event can't be sent. Nothing of it was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// Too much waits to be written already; [`LinkEvent::Writable`] follows.
    Full,
    /// The frame would be longer than the limit, or than all memory the link may take.
    TooLong {
        /// The length of its body, in bytes.
        len: usize,
        /// The most it may be.
        max: usize,
    },
    /// The link is closed, or being closed.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the peer reads too slowly: too much waits to be written"),
            Self::TooLong { len, max } => {
                write!(f, "an event of {len} bytes is longer than the {max} that the config allows")
            }
            Self::Closed => f.write_str("the link is closed"),
        }
    }
}

impl core::error::Error for SendError {}

/// The next thing to do with the writing half of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Write {
    /// Write all of this.
    Bytes(Bytes),
    /// Close the writing half, and go on reading. Comes once.
    Finish,
}

/// What [`Link::poll_chunks`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WriteKind {
    /// Write all of the chunks.
    Chunks,
    /// Close the writing half, and go on reading. Comes once.
    Finish,
}

/// Who is to write what was queued: see [`Link::turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// Whoever has queued it, as much as the connection takes without waiting. The rest is for the writer.
    Sender,
    /// The writer, which waits for something to do, or has to look anew how long it waits.
    Writer,
    /// Nobody: the writer is at it.
    Nobody,
}

/// Pieces that go out by one vectored write, or by as many as it takes.
///
/// ```
/// use poolmesh_proto::{Chunks, Instant, Link, LinkConfig};
///
/// let mut link = Link::new(LinkConfig::default(), Instant::ZERO);
/// link.send("long", vec![7; 20_000])?;
/// let mut chunks = Chunks::default();
/// link.poll_chunks(&mut chunks);
/// let pieces: Vec<_> = chunks.slices().map(<[u8]>::len).collect();
/// assert_eq!(pieces, [12, 20_000], "the payload is not copied");
/// chunks.advance(512); // so much was written
/// assert_eq!(chunks.len(), 19_500);
/// # Ok::<(), poolmesh_proto::SendError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    chunks: VecDeque<Bytes>,
    /// Bytes in them.
    len: usize,
}

impl Chunks {
    /// The most pieces there are, fewer than systems take in one write.
    pub const MOST: usize = 16;

    /// Bytes that are left to write.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is left to write, in order. No piece is empty.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(Bytes::as_ref)
    }

    /// The same, as the system wants it. Returns how many places of `slices` were filled.
    #[cfg(feature = "std")]
    pub fn io_slices<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(self.slices());
        filled.map(|(place, slice)| *place = std::io::IoSlice::new(slice)).count()
    }

    /// Writes as much as one vectored write takes, and says how many bytes that is. They are not
    /// [advanced](Self::advance) over.
    ///
    /// # Errors
    /// Those of `writer`.
    #[cfg(feature = "std")]
    pub fn write_to(&self, mut writer: impl std::io::Write) -> std::io::Result<usize> {
        let mut slices = [std::io::IoSlice::new(&[]); Self::MOST];
        let count = self.io_slices(&mut slices);
        writer.write_vectored(slices.get(..count).unwrap_or_default())
    }

    /// The first `written` bytes are written.
    pub fn advance(&mut self, mut written: usize) {
        self.len = self.len.saturating_sub(written);
        while let Some(front) = self.chunks.front_mut() {
            if written < front.len() {
                return front.advance(written);
            }
            written -= front.len();
            self.chunks.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
        self.len = 0;
    }

    pub(super) fn count(&self) -> usize {
        self.chunks.len()
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }
}

/// What a link waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// When to call [`Link::handle_timeout`], if at all. In the past while events wait to be polled, or received
    /// bytes to be looked at by polling.
    pub deadline: Option<Instant>,
    /// Whether to read from the connection and hand in what comes. False while the application does not keep up,
    /// and after the end.
    pub read: bool,
    /// Whether [`Link::poll_transmit`] has something.
    pub write: bool,
}

/// What a [`Link`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Events handed out, with those that are handed out together.
    pub received: u64,
    /// Events queued.
    pub sent: u64,
    /// Events refused because too much waited to be written.
    pub full: u64,
    /// Empty frames, skipped.
    pub empty: u64,
    /// Frames without room for their event's name, skipped.
    pub malformed: u64,
}
