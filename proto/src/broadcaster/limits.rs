//! The limits of the native dialect.

use core::time::Duration;

use crate::wire::native::SHORTEST_INTERVAL;

/// What a broadcaster allows in the native dialect (PROTOCOL.md, section 8). Take the default and change what is to
/// differ.
///
/// A **source** is an IPv4 address, or the first 64 bits of an IPv6 address. Whatever is beyond a limit is refused by a
/// code, or dropped, and counted in [`BroadcasterStats`](super::BroadcasterStats). Of who has not proven its address nothing
/// is kept.
///
/// In memory a broadcaster takes for this dialect, from the first datagram on that is of it, at most, in bytes
///
/// - 200 a member on IPv4 and 250 on IPv6, and what it says of itself; of those 130 are kept for the next when it has left.
///   Who is offered a place takes as much, and so does, beyond `members`, who is offered another place than it has, until
///   it takes it;
/// - 300 a pool, and its name, its metadata and 19 for each broadcaster that it names; of those 206 are kept for the next
///   when it has ended;
/// - while a pool comes back, 120 more for each member, and its spec again for each ticket;
/// - 300 for each pool that has ended, for as many as there may be pools, and for 1,024 at least, the latest. If that was while
///   it came back, 350 more, 24 for each member that its hosts sent away meanwhile, of 1,024 at most, and 24 for each of its
///   eras that ended so, of 16 at most;
/// - 24 a place of the table of sources;
/// - 1,500 for each datagram that may be queued (`max_queued`), for changes that members are still to be told: what is beyond
///   they learn by their next pings. Each of those datagrams takes as much itself
///   ([`BroadcasterConfig`](super::BroadcasterConfig));
/// - 256 KiB for itself.
///
/// 100,000 members in pools of eight take 176 bytes each, and their pools 286.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pools at a time. Default: 100,000.
    pub pools: usize,
    /// Pools at a time that were made by one source, or brought back by it. Default: 64. Programs behind one router
    /// share theirs.
    pub pools_per_source: usize,
    /// Members of all pools together, those among them to whom a place is offered. Default: 400,000.
    pub members: usize,
    /// The same of one source. Default: 256.
    pub members_per_source: usize,
    /// The most seats that a pool may have. Default, and most there can be: 1,024.
    pub seats: u16,
    /// The longest metadata of a pool, in bytes. Default, and most there can be: 512.
    pub metadata: usize,
    /// The most that a member may say of itself, in bytes. Default, and most there can be: 128.
    pub about: usize,
    /// The most broadcasters that a pool may name. Default, and most there can be: 4.
    pub broadcasters: usize,
    /// Requests of a source that has proven its address, and what its members order or move, a second: whatever others are told
    /// of. Default: 50. Of requests beyond, one in ten is answered, by a refusal; of orders, each; a move is dropped. At 0 there
    /// are only those in a row, once.
    pub requests_per_second: u32,
    /// How many of them may come at once. Default: 200.
    pub requests_in_a_row: u32,
    /// Messages of a member, a second, and each page behind the first that one draws. Default: 32. Those beyond are
    /// dropped. At 0 there are only those in a row, once.
    pub messages_per_second: u32,
    /// How many of them may come at once. Default: 64.
    pub messages_in_a_row: u32,
    /// Codes of no pool that a source may ask for within a minute. Default: 20. It is refused whatever code it asks for
    /// until the minute is over.
    pub wrong_codes_per_minute: u32,
    /// How often members are asked to ping: 100 ms, for what is less is taken as that, to 65 s. Default: 3 s. It is to be well
    /// below the timeout.
    pub interval: Duration,
    /// How long a member may be silent: 1 ms to 65 s. Default: 10 s.
    pub timeout: Duration,
    /// How long a place that is offered is kept for who doesn't take it. Default: 8 s, as long as a call lasts.
    pub offer: Duration,
    /// Pools that are looked at for one page of a list. Default: 512.
    pub list_scan: usize,
    /// Places of the table in which is kept what sources may ask. Default: 16,384. Which sources share a place depends on
    /// a random key. It takes 24 bytes a place. At least 1, and at most 1,048,576: what is more is taken as that.
    pub sources: usize,
}

impl Limits {
    /// Nobody is asked to ping more often, whatever [`interval`](Self::interval) says.
    pub const SHORTEST_INTERVAL: Duration = SHORTEST_INTERVAL;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pools: 100_000,
            pools_per_source: 64,
            members: 400_000,
            members_per_source: 256,
            seats: 1_024,
            metadata: 512,
            about: 128,
            broadcasters: 4,
            requests_per_second: 50,
            requests_in_a_row: 200,
            messages_per_second: 32,
            messages_in_a_row: 64,
            wrong_codes_per_minute: 20,
            interval: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            offer: Duration::from_secs(8),
            list_scan: 512,
            sources: 16_384,
        }
    }
}
