//! The limits of a mesh.

use core::time::Duration;

use crate::LinkConfig;

/// The limits of a [`Mesh`](super::Mesh). Take the default and change what is to differ.
///
/// The peers of a mesh can make it take at most `max_queued_total` bytes of queued events, and for each link the
/// longest frame and [`LinkConfig::max_received`] in received ones: lower [`LinkConfig::max_frame`] where that is
/// too much.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MeshConfig {
    /// The limits of each link.
    pub link: LinkConfig,
    /// Links at a time. Default: 256. Further connections are refused and counted.
    pub max_links: usize,
    /// Accepted links of which the application has not been told yet. Default: 64. Further connections are refused
    /// and counted.
    pub max_pending_accepts: usize,
    /// Bytes queued on all links together. Default: 256 MiB.
    pub max_queued_total: usize,
    /// Received events that wait for the application, from which on a runtime reads and accepts no more. Default:
    /// 1,024. Of no concern to the machine itself.
    pub max_waiting_events: usize,
    /// Bytes in received events that wait for the application, from which on a runtime reads and accepts no more.
    /// Default: 4 MiB; what they keep alive is at most twice as much. Of no concern to the machine itself.
    pub max_waiting_bytes: usize,
    /// Connections being dialed at a time. Default: 64, more than a classic answer lists. Others wait for their turn, so
    /// that connecting to n addresses takes at most n / 64 times `dial_deadline`, rounded up.
    pub max_dialing: usize,
    /// Addresses dialed or waiting to be. Default: 1,024.
    pub max_dials: usize,
    /// How long one attempt at a connection may take. Default: 2 s.
    pub dial_timeout: Duration,
    /// How often an address is tried before its peer counts as unreachable. Default: 5.
    pub dial_attempts: u32,
    /// How long after the first failed attempt the second is made, each further one after twice as long. Default:
    /// 100 ms.
    pub dial_backoff: Duration,
    /// After this time since the first attempt a peer counts as unreachable, however many attempts were made.
    /// Default: 5 s.
    pub dial_deadline: Duration,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            link: LinkConfig::default(),
            max_links: 256,
            max_pending_accepts: 64,
            max_queued_total: 256 * 1_024 * 1_024,
            max_waiting_events: 1_024,
            max_waiting_bytes: 4 * 1_024 * 1_024,
            max_dialing: 64,
            max_dials: 1_024,
            dial_timeout: Duration::from_secs(2),
            dial_attempts: 5,
            dial_backoff: Duration::from_millis(100),
            dial_deadline: Duration::from_secs(5),
        }
    }
}
