//! How pools of the classic dialect end, and how requests are refused.

use super::super::{Asker, Broadcaster, BroadcasterEvent, RandomSource};
use super::pools::Ended;
use crate::log::{debug, trace};
use crate::wire::{Refusal, classic};

impl<R: RandomSource> Broadcaster<R> {
    /// Ends the next pool whose time is up.
    pub(in crate::broadcaster) fn end_next_pool(&mut self) -> bool {
        let peers = self.classic.pools.peers();
        let Some(ended) = self.classic.pools.end_next(self.now) else { return false };
        self.ended(ended, peers);
        true
    }

    /// A pool has ended. All had so many peers before.
    fn ended(&mut self, Ended { key, host, notify }: Ended, peers: usize) {
        if let Some(shard) = &self.classic.shard {
            shard.ended(key, host.ip(), peers - self.classic.pools.peers());
        }
        let id = key.id();
        debug!(pool = %id, %host, "pool ended: its host was quiet");
        self.stats.pools_ended += 1;
        self.answers.send(notify, classic::write_pool_ended);
        self.answers.tell(BroadcasterEvent::PoolEnded { pool: id, host });
    }

    pub(super) fn refuse(&mut self, to: Asker, refusal: Refusal) {
        trace!(to = %to.address, %refusal, "refused");
        self.stats.refused += 1;
        self.answers.send(to, |room| classic::write_refusal(&refusal, room));
    }

    pub(super) fn refuse_unknown(&mut self, to: Asker, id: &[u8]) {
        trace!(to = %to.address, refusal = %Refusal::NoSuchPool(crate::wire::Words::new(id)), "refused");
        self.stats.refused += 1;
        self.stats.refused_unknown_pool += 1;
        // By the id as it lies there: who asks for what there isn't shall cost no memory.
        self.answers.send(to, |room| classic::write_no_such_pool(id, room));
    }
}
