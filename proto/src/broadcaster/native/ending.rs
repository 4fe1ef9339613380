//! Pools end, and their members are told one by one.

use alloc::boxed::Box;
use core::net::SocketAddr;

use super::Native;
use super::desk::Desk;
use super::ended::Ended;
use super::lineage::Base;
use super::places::{NONE, Standing};
use crate::Transmit;
use crate::broadcaster::BroadcasterEvent;
use crate::log::debug;
use crate::wire::native::{EndReason, Handle, News, Notice};

impl Native {
    /// A pool ends that was published. Its members' sessions are over at once; all but this one are told.
    pub(super) fn end(&mut self, desk: &mut Desk<'_>, place: u32, host: SocketAddr, untold: Option<u32>) {
        let Some(pool) = self.pools.get(place) else { return };
        debug!(pool = %pool.id, "pool ended");
        desk.stats.pools_ended += 1;
        desk.answers.tell(BroadcasterEvent::PoolEnded { pool: pool.name(), host });
        if let Some(untold) = untold {
            self.take_out(untold);
        }
        self.dissolve(place);
    }

    /// Nobody finds a pool any more, and nobody can speak in it. Who is a member is to be told.
    pub(super) fn dissolve(&mut self, place: u32) {
        while let Some(offer) = self.pools.get(place).map(|pool| pool.offers).filter(|offer| *offer != NONE) {
            self.withdraw(offer);
        }
        self.take_news(place);
        self.remember(place);
        self.pools.hide(place);
        let Some(pool) = self.pools.get_mut(place) else { return };
        if let Some(recovery) = pool.recovery.take() {
            self.recoveries.remove(&(recovery.due, place));
        }
        self.members -= usize::from(core::mem::take(&mut pool.count));
        let mut next = pool.first;
        if next == NONE {
            return self.pools.take_back(place);
        }
        while let Some(member) = self.places.get_mut(next) {
            member.standing = Standing::Over;
            self.by_address.remove(place, member.address.told(), false);
            next = member.next;
        }
        self.ended.push_back(place);
    }

    /// Keeps of a pool that ends what says which tickets still hold. Those of eras that began here don't, without that.
    fn remember(&mut self, place: u32) {
        // One that nobody was a member of was none.
        let Some(pool) = self.pools.get(place).filter(|pool| pool.number > 0 || pool.base.is_some()) else {
            return;
        };
        let base = pool.base.map(|epoch| Base { epoch, came: pool.came });
        let silent = pool.silent.then_some(pool.purged);
        let early = pool.recovery.as_ref().and_then(|recovery| recovery.early(pool.era, base, silent));
        let ended =
            Ended { era: pool.era, generation: pool.generation, base, silent, early: early.map(Box::new) };
        self.gone.note((pool.application, pool.id), ended);
    }

    /// Tells the next member of a pool that has ended.
    pub(super) fn tell_end(&mut self, desk: &mut Desk<'_>) -> Option<Transmit> {
        let turn = *self.ended.front()?;
        let handle = self.pools.get(turn).map_or(NONE, |pool| pool.first);
        let destination = self.places.destination(handle);
        let place = self.places.get(handle)?;
        let (next, key) = (place.next, place.key);
        self.release(handle);
        if let Some(pool) = self.pools.get_mut(turn) {
            pool.first = next;
        }
        if next == NONE {
            self.ended.pop_front();
            self.pools.take_back(turn);
        }
        let notice = Notice { handle: Handle(handle), news: News::Ended(EndReason::PoolEnded) };
        let payload = desk.answers.written(|out| {
            // It has no list that could be too long.
            let _whole = notice.write(&key, out);
        });
        destination.map(|destination| Transmit { destination, payload })
    }
}
