//! The limits of a broadcaster.

use core::time::Duration;

use super::Limits;
use crate::wire::native::{MAX_DATAGRAM, Secret};

/// The limits of a [`Broadcaster`](super::Broadcaster): those of the classic dialect, and with `limits` those of the native
/// one. Take the default and change what is to differ.
///
/// In memory a broadcaster takes for the classic dialect at most, in bytes (for the native one see [`Limits`])
///
/// - 120 a pool, for the most pools there were at a time: what one that has ended leaves is kept for the next. 40 more if
///   its host's address has a scope or a flow label;
/// - 32 for the peers of a pool, 14 for each on IPv4 and 38 on IPv6, while the pool lives;
/// - 1,500 an answer that may be queued (`max_queued`), with the event that may be queued beside it;
/// - 128 KiB for itself, and 24 a place of the table of sources (`limits.sources`) once it is answering so much that it has
///   to look at who asks.
///
/// Of several machines that are one broadcaster (`Shard`) each takes that, and for a pool 26 more.
///
/// A million pools on IPv4 take 94 MB, and 190 MB with five peers each. Answers are cut from blocks of 32 KiB: one that
/// the driver keeps for long keeps its block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcasterConfig {
    /// How long a pool lives after its creation or its host's last ping. Default: 1 s, as gop2p. At zero a pool
    /// ends as soon as it is made.
    pub ping_timeout: Duration,
    /// Pools at a time. Default: 65,536.
    pub max_pools: usize,
    /// Pools at a time whose hosts share one source: an IPv4 address, or an IPv6 /64. Default: 1,024. Programs on
    /// one machine or behind one router share theirs.
    pub max_pools_per_source: usize,
    /// Peers of one pool, its host included. Default: 256. Peers never leave a pool on the classic wire, and an
    /// answer names about 59 of them.
    pub max_peers: usize,
    /// Peers of all pools together, hosts not counted. Default: 1,048,576.
    pub max_peers_total: usize,
    /// Datagrams queued until the driver polls them. Default: 4,096. More are dropped and counted.
    pub max_queued: usize,
    /// The longest request that is read, in bytes. Default: 1,024, as gop2p. A longer one is refused.
    pub max_datagram: usize,
    /// Whether the classic dialect is spoken. Default: no, and its datagrams are counted and ignored.
    pub classic: bool,
    /// Requests of the classic dialect that one source is answered, a second. Default: 1,000. More are dropped and counted;
    /// pings that keep a pool alive draw no answer.
    pub classic_answers_per_second: u32,
    /// How many of them may come at once. Default: 4,000.
    pub classic_answers_in_a_row: u32,
    /// The limits of the native dialect.
    pub limits: Limits,
    /// What tickets are made with: a broadcaster that has the same takes them. None: it is drawn from the random source.
    pub secret: Option<Secret>,
}

impl BroadcasterConfig {
    /// The longest datagram that is read in any dialect, in bytes. A driver receives so much, and one more, so that the machine
    /// sees what is too long.
    #[must_use]
    pub fn longest_datagram(&self) -> usize {
        self.max_datagram.max(MAX_DATAGRAM)
    }

    /// With the classic dialect besides the native one.
    #[must_use]
    pub fn with_classic(mut self) -> Self {
        self.classic = true;
        self
    }
}

impl Default for BroadcasterConfig {
    fn default() -> Self {
        Self {
            ping_timeout: Duration::from_secs(1),
            max_pools: 65_536,
            max_pools_per_source: 1_024,
            max_peers: 256,
            max_peers_total: 1_048_576,
            max_queued: 4_096,
            max_datagram: 1_024,
            classic: false,
            classic_answers_per_second: 1_000,
            classic_answers_in_a_row: 4_000,
            limits: Limits::default(),
            secret: None,
        }
    }
}
