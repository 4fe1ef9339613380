//! The classic dialect's half: pools that live by their hosts' pings, and whose peers never leave.

#[cfg(not(feature = "std"))]
#[path = "alone.rs"]
mod shards;
#[cfg(feature = "std")]
mod shards;

mod by_id;
mod ending;
mod peers;
mod pool_key;
mod pools;
mod rate;
mod requests;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

#[cfg(feature = "std")]
pub use shards::Shard;
#[cfg(not(feature = "std"))]
pub(super) use shards::Shard;

use super::BroadcasterConfig;
use crate::Instant;
use crate::wire::native::PoolUuid;
use pool_key::PoolKey;
use pools::Pools;
use rate::AnswerRate;

/// What a broadcaster keeps of this dialect.
#[derive(Debug)]
pub(super) struct Classic {
    pub(super) pools: Pools,
    /// Memory for a list.
    listed: Vec<PoolKey>,
    answers: AnswerRate,
    /// If it is not alone.
    shard: Option<Shard>,
}

impl Classic {
    pub(super) fn new(config: &BroadcasterConfig, shard: Option<Shard>) -> Self {
        let numbering = shard.as_ref().map(Shard::numbering).unwrap_or_default();
        Self {
            pools: Pools::new(config.ping_timeout, numbering),
            listed: Vec::new(),
            answers: AnswerRate::new(config),
            shard,
        }
    }

    /// Pools with ids greater than this, of all shards, in their order: looks at so many or so, and hands in each until it is
    /// not taken. Answers after which id to go on, if there may be more.
    pub(super) fn list_after(
        &self,
        after: PoolUuid,
        scan: usize,
        now: Instant,
        take: impl FnMut(PoolUuid) -> bool,
    ) -> Option<PoolUuid> {
        match &self.shard {
            Some(shard) => shard.list_after(after, scan, take),
            None => self.pools.list_after(after, scan, now, take),
        }
    }

    /// Whether it is alone, or the first of the shards.
    pub(super) fn is_first_shard(&self) -> bool {
        self.shard.as_ref().is_none_or(Shard::is_first)
    }
}
