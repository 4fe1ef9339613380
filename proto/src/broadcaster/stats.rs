//! What a broadcaster counts.

/// What a [`Broadcaster`](super::Broadcaster) did and refused since it was made. Every refusal is in one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcasterStats {
    /// Datagrams taken in, of every kind.
    pub datagrams: u64,
    /// Pools made.
    pub pools_created: u64,
    /// Pools that ended.
    pub pools_ended: u64,
    /// Peers that joined a pool for the first time.
    pub peers_joined: u64,
    /// Lists given.
    pub lists: u64,
    /// Pings that kept a pool alive.
    pub pings: u64,
    /// Requests answered by an error, for whatever reason. The counts below that start alike are parts of it.
    pub refused: u64,
    /// Joins and pings of pools that don't exist.
    pub refused_unknown_pool: u64,
    /// Requests refused because a limit was reached.
    pub refused_by_limit: u64,
    /// Datagrams that are no request, or too long for one.
    pub refused_malformed: u64,
    /// Datagrams ignored without an answer: empty ones, and answers of other broadcasters.
    pub ignored: u64,
    /// Answers, notices and events dropped because the driver didn't poll.
    pub outputs_dropped: u64,
}

/// What several machines did together.
impl core::iter::Sum for BroadcasterStats {
    fn sum<I: Iterator<Item = Self>>(machines: I) -> Self {
        machines.fold(Self::default(), |sum, machine| Self {
            datagrams: sum.datagrams + machine.datagrams,
            pools_created: sum.pools_created + machine.pools_created,
            pools_ended: sum.pools_ended + machine.pools_ended,
            peers_joined: sum.peers_joined + machine.peers_joined,
            lists: sum.lists + machine.lists,
            pings: sum.pings + machine.pings,
            refused: sum.refused + machine.refused,
            refused_unknown_pool: sum.refused_unknown_pool + machine.refused_unknown_pool,
            refused_by_limit: sum.refused_by_limit + machine.refused_by_limit,
            refused_malformed: sum.refused_malformed + machine.refused_malformed,
            ignored: sum.ignored + machine.ignored,
            outputs_dropped: sum.outputs_dropped + machine.outputs_dropped,
        })
    }
}
