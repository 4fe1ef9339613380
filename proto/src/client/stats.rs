//! What a client counts.

/// What a [`Client`](super::Client) counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Datagrams sent, repetitions and pings included.
    pub sent: u64,
    /// Of those, repetitions of requests and orders.
    pub resent: u64,
    /// Datagrams ignored because they came from another address than a broadcaster's that was asked.
    pub foreign: u64,
    /// Datagrams ignored because they are no answer, or too long.
    pub spoiled: u64,
    /// Datagrams ignored because their tag is wrong: damaged, forged, or of a session that is over. In the native dialect
    /// only.
    pub forged: u64,
    /// Answers ignored because nobody waits for them: late, duplicate, or never asked for.
    pub unexpected: u64,
    /// Datagrams dropped because the driver didn't poll.
    pub outputs_dropped: u64,
    /// Events of pools that were not told because nobody polled: see [`PoolEvent::Missed`](super::PoolEvent::Missed).
    pub events_missed: u64,
}
