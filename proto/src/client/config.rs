//! The settings of a client.

use core::time::Duration;

use crate::wire::Dialect;

/// The settings and limits of a [`Client`](super::Client). Take the default and change what is to differ.
///
/// In memory a client takes at most about 1 KiB for each of `max_calls` and `max_hosted`, 512 bytes for each of
/// `max_queued`, 8 KiB, and what the outcomes hold that nobody has polled: lists take up to 32 times as much as their
/// bytes did, and [`MAX_DECODED`](crate::wire::MAX_DECODED) at most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// What the client speaks. Default: [`Dialect::Native`].
    pub dialect: Dialect,
    /// Within this time every call has its outcome. Default: 5 s.
    pub call_timeout: Duration,
    /// After this time without an answer list and join are sent again, each time after twice as long. Default:
    /// 250 ms.
    pub resend_after: Duration,
    /// After this time without an answer create is sent again; `None`: never. Default: 2 s.
    ///
    /// It must be longer than the broadcaster's ping timeout (default 1 s): a pool of which the answer was lost has
    /// then ended, for nobody has pinged it, so that a repetition leaves no second pool.
    pub recreate_after: Option<Duration>,
    /// How often a hosted pool is pinged. Default: 200 ms. It must be well below the broadcaster's ping timeout.
    pub ping_interval: Duration,
    /// Calls at a time, from the call until its outcome has been polled. Default: 64.
    pub max_calls: usize,
    /// Pools hosted at a time. Default: 64.
    pub max_hosted: usize,
    /// Datagrams queued until the driver polls them. Default: 256. More are dropped and counted, as if lost.
    pub max_queued: usize,
    /// The longest answer that is read, in bytes. Default: 65,535: all there are. Longer ones are ignored.
    pub max_datagram: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            dialect: Dialect::Native,
            call_timeout: Duration::from_secs(5),
            resend_after: Duration::from_millis(250),
            recreate_after: Some(Duration::from_secs(2)),
            ping_interval: Duration::from_millis(200),
            max_calls: 64,
            max_hosted: 64,
            max_queued: 256,
            max_datagram: 65_535,
        }
    }
}
