//! The settings of a client.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::wire::Dialect;
use crate::wire::native::Application;

/// The settings and limits of a [`Client`](super::Client). Take the default and change what is to differ.
///
/// In memory a native client takes at most, in bytes
///
/// - 4,096 for each of `max_pools`, and 280 for each member of a pool: three times as much while another roster comes, and
///   one from another broadcaster that has the pool, too;
/// - 4,096 for each of `max_calls`, and for each outcome that nobody has polled 16 KiB if it is a list, or 128 for each
///   member of the pool that it tells of;
/// - 512 for each of `max_events`, 2,048 for each of `max_queued`, and 16 KiB for itself.
///
/// A pool has at most 1,024 members. A classic client takes at most about 1 KiB for each of `max_calls` and `max_pools`, 512 bytes for each of
/// `max_queued`, 8 KiB, and what the outcomes hold that nobody has polled: lists take up to 36 times as much as their
/// bytes did, and 160 KiB at most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// What the client speaks. Default: [`Dialect::Native`].
    pub dialect: Dialect,
    /// Native: whose pools they are. Default: [`Application::POOLMESH`]. Programs that share a broadcaster and are not to see
    /// each other's pools take different ones.
    pub application: Application,
    /// Native: other broadcasters, which are asked in turn when the one before has not answered for 2 s, or doesn't have the pool
    /// that is to be joined. A call begins with the one that has answered last, and the first call with the client's first.
    /// Each lists its own pools. At most 3, others are ignored. Default: none.
    pub broadcasters: Vec<SocketAddr>,
    /// Within this time every call has its outcome; [`resume`](super::Client::resume) within twice as long. Default: 8 s; classic
    /// 5 s.
    pub call_timeout: Duration,
    /// After this time without an answer a request is sent again. Default: 250 ms.
    ///
    /// Native: then after half as long again each time, up to 1 s, each made shorter or longer by up to a quarter at random.
    /// Classic: list and join each time after twice as long.
    pub resend_after: Duration,
    /// Classic: after this time without an answer create is sent again; `None`: never. Default: 2 s.
    ///
    /// It must be longer than the broadcaster's ping timeout (default 1 s): a pool of which the answer was lost has
    /// then ended, for nobody has pinged it, so that a repetition leaves no second pool.
    pub recreate_after: Option<Duration>,
    /// Classic: how often a hosted pool is pinged. Default: 200 ms. It must be well below the broadcaster's ping timeout.
    /// Native clients ping as often as the broadcaster says.
    pub ping_interval: Duration,
    /// Calls at a time, from the call until its outcome has been polled. Default: 64.
    pub max_calls: usize,
    /// Pools at a time that the client is a member of, or asks to be; classic: that it hosts. Default: 64.
    pub max_pools: usize,
    /// Datagrams queued until the driver polls them. Default: 256. More are dropped and counted, as if lost.
    pub max_queued: usize,
    /// Native: events of pools, told and not polled yet. Default: 1,024. More are not told, but for one
    /// [`PoolEvent::Missed`](super::PoolEvent::Missed) a pool.
    pub max_events: usize,
    /// The longest answer that is read, in bytes. Default: 65,535: all there are. Longer ones are ignored.
    pub max_datagram: usize,
}

impl ClientConfig {
    /// The settings of a client that speaks the classic dialect, with those values that are marked so.
    #[must_use]
    pub fn classic() -> Self {
        Self { dialect: Dialect::Classic, call_timeout: Duration::from_secs(5), ..Self::default() }
    }
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            dialect: Dialect::Native,
            application: Application::POOLMESH,
            broadcasters: Vec::new(),
            call_timeout: Duration::from_secs(8),
            resend_after: Duration::from_millis(250),
            recreate_after: Some(Duration::from_secs(2)),
            ping_interval: Duration::from_millis(200),
            max_calls: 64,
            max_pools: 64,
            max_queued: 256,
            max_events: 1_024,
            max_datagram: 65_535,
        }
    }
}
