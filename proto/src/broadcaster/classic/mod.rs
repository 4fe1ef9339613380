//! The classic dialect's half: pools that live by their hosts' pings, and whose peers never leave.

#[cfg(not(feature = "std"))]
#[path = "alone.rs"]
mod shards;
#[cfg(feature = "std")]
mod shards;

mod ending;
mod peers;
mod pool_key;
mod pools;
mod requests;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

#[cfg(feature = "std")]
pub use shards::Shard;
#[cfg(not(feature = "std"))]
pub(super) use shards::Shard;

use super::BroadcasterConfig;
use pool_key::PoolKey;
use pools::Pools;

/// What a broadcaster keeps of this dialect.
#[derive(Debug)]
pub(super) struct Classic {
    pub(super) pools: Pools,
    /// Memory for a list.
    listed: Vec<PoolKey>,
    /// If it is not alone.
    shard: Option<Shard>,
}

impl Classic {
    pub(super) fn new(config: &BroadcasterConfig, shard: Option<Shard>) -> Self {
        let numbering = shard.as_ref().map(Shard::numbering).unwrap_or_default();
        Self { pools: Pools::new(config.ping_timeout, numbering), listed: Vec::new(), shard }
    }

    /// Whether it is alone, or the first of the shards.
    pub(super) fn is_first_shard(&self) -> bool {
        self.shard.as_ref().is_none_or(Shard::is_first)
    }
}
