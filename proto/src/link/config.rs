//! The limits of a link.

use core::time::Duration;

/// The limits of a [`Link`](super::Link). Take the default and change what is to differ.
///
/// A link whose peer doesn't read takes at most `max_queued` bytes (or one frame, if that is longer), an eighth more,
/// twice what is packed into a write (`pack`, or 4 KiB if that is more), and about 100 bytes for each write where `pack`
/// makes writes small; one whose application doesn't read takes `max_received`, one frame, and 256 KiB. A link at rest
/// keeps what it has used last to read into and to pack: 4 KiB each, and after bursts up to 256 KiB to read into, which
/// 64 reads that took less than a quarter of it halve, and 64 KiB to pack, or 256 KiB after frames beyond that.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The longest frame body that is sent or taken, in bytes. Default: 16 MiB. A peer that announces a longer one
    /// loses the link.
    pub max_frame: usize,
    /// Bytes that wait to be written. Default: 1 MiB. A single frame may be longer, when nothing else waits.
    pub max_queued: usize,
    /// Bytes received and not yet polled from which on the link asks for no more. Default: 128 KiB.
    pub max_received: usize,
    /// Small frames are packed into one write up to this many bytes; none is split between two. Default: 64 KiB.
    /// At 1 every frame is a write of its own, which suits gop2p peers: their reader loses its place when a frame
    /// arrives in pieces.
    pub pack: usize,
    /// After this time without a byte from the peer the link ends. Default: never. The classic wire has no
    /// keepalive: a peer that has nothing to say is idle, too. There are 100 ms more for a second look, and the whole
    /// time once more if the driver has stood still: see [`Link`](super::Link).
    pub idle_timeout: Option<Duration>,
    /// A frame that isn't whole after this time, counted from when its first byte was looked at, ends the link.
    /// Default: never.
    ///
    /// It ends peers that are never idle, for they send a byte now and then, and never say anything. Where it is set,
    /// the longest event that honest peers send must come within it on the slowest line. It is off by default because
    /// silence is allowed by default, too: alone it would keep nobody out. The same is added as to
    /// `idle_timeout`.
    pub frame_timeout: Option<Duration>,
    /// How long a link that is being closed waits for what is queued to be written, and for the peer to close, too.
    /// Default: 1 s.
    pub close_timeout: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            max_frame: 16 * 1_024 * 1_024,
            max_queued: 1_024 * 1_024,
            max_received: 128 * 1_024,
            pack: 64 * 1_024,
            idle_timeout: None,
            frame_timeout: None,
            close_timeout: Duration::from_secs(1),
        }
    }
}
