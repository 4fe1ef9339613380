//! The broadcaster: lists, creates and joins pools, and ends those whose hosts have gone quiet.

mod address;
mod answers;
mod chunks;
mod classic;
mod config;
mod limits;
mod machine;
mod native;
mod random;
mod rates;
mod sources;
mod stats;
mod wheel;

use alloc::boxed::Box;
use core::net::SocketAddr;

#[cfg(feature = "std")]
pub use classic::Shard;
#[cfg(not(feature = "std"))]
use classic::Shard;
pub use config::BroadcasterConfig;
pub use limits::Limits;
pub use random::RandomSource;
pub use stats::BroadcasterStats;

use crate::wire::canonical;
use crate::wire::native::{LeaveReason, Member, SHORTEST_INTERVAL, Term};
use crate::{Instant, Output, PoolId, Transmit};
use answers::Answers;
use classic::Classic;
use native::{Desk, Native};

/// What is stated for each datagram that may be queued, in bytes: members are still to be told changes of as much.
const QUEUED: usize = 1_500;

/// What a [`Broadcaster`] tells its driver. For logs and metrics: nothing has to be done. Dropped and counted if the
/// driver doesn't poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BroadcasterEvent {
    /// A pool was made.
    PoolCreated {
        /// The pool.
        pool: PoolId,
        /// Who hosts it.
        host: SocketAddr,
    },
    /// Somebody joined a pool for the first time.
    PeerJoined {
        /// The pool.
        pool: PoolId,
        /// Who.
        peer: SocketAddr,
    },
    /// A pool ended: of the classic dialect, because its host was quiet for the ping timeout; of the native one, because its
    /// last member has left, or its host wanted it so.
    PoolEnded {
        /// The pool.
        pool: PoolId,
        /// Who hosted it.
        host: SocketAddr,
    },
    /// A member left a pool that goes on without it. Of the native dialect.
    MemberLeft {
        /// The pool.
        pool: PoolId,
        /// Which member.
        member: Member,
        /// Where it was.
        address: SocketAddr,
        /// Why it left.
        reason: LeaveReason,
    },
    /// A pool has another host. Of the native dialect.
    HostChanged {
        /// The pool.
        pool: PoolId,
        /// Which member is host now.
        member: Member,
        /// The how manieth host it is.
        term: Term,
        /// Where it is.
        address: SocketAddr,
    },
    /// A pool is back that another broadcaster had, or this one before it was restarted. Of the native dialect.
    PoolRestored {
        /// The pool.
        pool: PoolId,
        /// How many members have come back with it.
        members: u16,
    },
}

/// Who has sent a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asker {
    /// As the driver's socket names it.
    address: SocketAddr,
}

impl Asker {
    /// The address as peers are told it.
    fn peer(self) -> SocketAddr {
        canonical(self.address)
    }
}

/// The broadcaster as a datagram machine. See [`Machine`](crate::Machine) for its contract.
///
/// It speaks the native dialect (`PROTOCOL.md` of this crate), and the classic one as well if its config says so: the first
/// byte of a datagram tells.
///
/// A ping costs a look-up in constant time and a store: when the pool or the member may have been silent for too long, a
/// timer wheel looks at the time of the last ping. All that one call may have to look at is what was made or pinged within
/// a 32nd of the timeout before, or since the call before.
///
/// In the native dialect what changes in a pool is told to its members when the driver polls, one datagram at a time. If it
/// doesn't poll, the latest changes are kept, and who was not told the others learns them by its next ping.
///
/// In the classic dialect answers are at most 1,024 bytes. A join answer names the asker and the host first, then who joined last; a list
/// that has to be cut begins where the one before ended, so that every pool gets its turn.
///
/// ```
/// use core::time::Duration;
/// use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output};
///
/// let mut seed = 7u128;
/// let random = move || { seed = seed.wrapping_mul(0x2d99787926d46932a4c1f32680f70c55) + 1; seed };
/// let mut broadcaster = Broadcaster::new(BroadcasterConfig::default().with_classic(), random);
///
/// let host = "192.0.2.1:5000".parse().unwrap();
/// broadcaster.handle_datagram(Instant::ZERO, host, &[0]); // create
/// let Output::Transmit(answer) = broadcaster.poll_output() else { panic!() };
/// assert_eq!(answer.destination, host);
///
/// while !matches!(broadcaster.poll_output(), Output::Wait(_)) {}
/// broadcaster.handle_timeout(Instant::ZERO + Duration::from_secs(1)); // no ping came
/// let Output::Transmit(notice) = broadcaster.poll_output() else { panic!() };
/// assert_eq!(&notice.payload[..], [5]);
/// ```
#[derive(Debug)]
pub struct Broadcaster<R> {
    config: BroadcasterConfig,
    random: R,
    now: Instant,
    classic: Classic,
    /// None before it is needed: its secrets are drawn then.
    native: Option<Box<Native>>,
    answers: Answers,
    stats: BroadcasterStats,
}

impl<R: RandomSource> Broadcaster<R> {
    /// A broadcaster without pools, which draws the ids it makes from `random`.
    #[must_use]
    pub fn new(config: BroadcasterConfig, random: R) -> Self {
        Self::with(config, random, None)
    }

    /// One of several machines that are a broadcaster together (feature `std`): the one of this `shard`.
    ///
    /// What is asked of any of them is answered as if they were one, if each datagram is handled by its
    /// [owner](Shard::owner) and all are told the time. The limits on pools and on peers are of all together; `max_queued`
    /// and [`stats`](Self::stats) and the counts are each machine's own. No ping takes a lock.
    ///
    /// What one answers depends on what the others were told, and when. Beyond what [`BroadcasterConfig`] states a pool
    /// takes 26 bytes, at the most that there were at a time. The native dialect is spoken by the first shard alone; its lists
    /// name the classic pools of all.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn of_shard(config: BroadcasterConfig, random: R, shard: &Shard) -> Self {
        Self::with(config, random, Some(shard.share()))
    }

    fn with(mut config: BroadcasterConfig, random: R, shard: Option<Shard>) -> Self {
        config.limits.interval = config.limits.interval.max(SHORTEST_INTERVAL);
        Self {
            random,
            now: Instant::ZERO,
            classic: Classic::new(&config, shard),
            native: None,
            answers: Answers::new(config.max_queued),
            stats: BroadcasterStats::default(),
            config,
        }
    }

    /// How many pools there are, of both dialects.
    #[must_use]
    pub fn pool_count(&self) -> usize {
        self.classic.pools.len() + self.native.as_ref().map_or(0, |native| native.pool_count())
    }

    /// How many members all pools of the native dialect have together.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.native.as_ref().map_or(0, |native| native.member_count())
    }

    /// How many peers all pools of the classic dialect have together, their hosts not counted.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.classic.pools.peers()
    }

    /// What was done and refused so far.
    #[must_use]
    pub fn stats(&self) -> BroadcasterStats {
        BroadcasterStats { outputs_dropped: self.answers.dropped(), ..self.stats }
    }

    /// Where it draws its ids from.
    #[cfg(feature = "trace")]
    pub(crate) fn random_mut(&mut self) -> &mut R {
        &mut self.random
    }

    /// Moves on to `now` and ends what is due, as far as there is room for the notices; `poll_output` goes on.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if self.classic.pools.is_to_end_some(self.now) {
            self.end_pools();
        }
        if self.native.as_ref().is_some_and(|native| native.is_due(self.now)) {
            self.expire_native();
        }
    }

    /// The native half, if there is something that it keeps, and what it works with.
    #[inline]
    fn native_half(&mut self) -> (&mut Option<Box<Native>>, Desk<'_>) {
        let desk = Desk {
            now: self.now,
            limits: &self.config.limits,
            most_news: self.config.max_queued.saturating_mul(QUEUED),
            random: &mut self.random,
            answers: &mut self.answers,
            stats: &mut self.stats,
            classic: self.config.classic.then_some(&self.classic),
        };
        (&mut self.native, desk)
    }

    /// A datagram came whose first byte is that of the native dialect.
    #[inline]
    fn handle_native(&mut self, from: SocketAddr, datagram: &[u8]) {
        let (now, answers, stats) = (self.now, &mut self.answers, &mut self.stats);
        let native = self.native.as_mut();
        if !native.is_some_and(|native| native.quick_ping(now, answers, stats, from, datagram)) {
            self.handle_any_native(from, datagram);
        }
    }

    /// Apart, so that a ping does not save the registers that this needs. So is what follows.
    #[inline(never)]
    fn handle_any_native(&mut self, from: SocketAddr, datagram: &[u8]) {
        if self.native.is_none() {
            self.begin_native();
        }
        let (native, mut desk) = self.native_half();
        if let Some(native) = native {
            native.handle(&mut desk, from, datagram);
        }
    }

    /// Ends the classic pools whose time is up, as far as there is room for the notices.
    #[cold]
    #[inline(never)]
    fn end_pools(&mut self) {
        while self.answers.has_room() && self.end_next_pool() {}
    }

    /// What there is to do beside the answers: what is made only when it is asked for.
    #[cold]
    #[inline(never)]
    fn poll_more(&mut self) -> Option<Output<BroadcasterEvent>> {
        loop {
            if self.native.as_ref().is_some_and(|native| native.has_more()) {
                if let Some(told) = self.poll_native() {
                    return Some(Output::Transmit(told));
                }
            }
            if !self.end_next_pool() {
                return None;
            }
            if let Some(output) = self.answers.pop() {
                return Some(output);
            }
        }
    }

    #[cold]
    fn begin_native(&mut self) {
        let config = self.config.clone();
        let (native, mut desk) = self.native_half();
        *native = Some(Box::new(Native::new(&config, &mut desk)));
    }

    #[cold]
    fn expire_native(&mut self) {
        if let (Some(native), mut desk) = self.native_half() {
            native.expire(&mut desk);
        }
    }

    /// The next datagram of the native half that is made only when it is asked for.
    fn poll_native(&mut self) -> Option<Transmit> {
        let (native, mut desk) = self.native_half();
        native.as_mut()?.poll(&mut desk)
    }
}
