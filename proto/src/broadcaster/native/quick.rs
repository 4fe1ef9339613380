//! The quick way of the pings: nearly all that comes is pings of members who have the latest roster.

use core::net::SocketAddr;

use super::Native;
use super::places::Standing;
use super::pools::Phase;
use crate::Instant;
use crate::broadcaster::BroadcasterStats;
use crate::broadcaster::answers::Answers;
use crate::wire::native::{Handle, QuickPing, pong};

impl Native {
    /// Takes in a ping if there is nothing to be said but that it was heard. Otherwise nothing has happened, and it is
    /// taken in as [`Native::message`] says.
    pub(in crate::broadcaster) fn quick_ping(
        &mut self,
        now: Instant,
        answers: &mut Answers,
        stats: &mut BroadcasterStats,
        from: SocketAddr,
        datagram: &[u8],
    ) -> bool {
        let Some(ping) = QuickPing::read(datagram) else { return false };
        let Some(place) = self.places.get_mut(ping.handle.0) else { return false };
        let Some(pool) = self.pools.get(place.pool) else { return false };
        let is_quick = place.standing == Standing::Member
            && ping.count > place.count
            && pool.phase == Phase::Live
            && (pool.era, pool.number) == (ping.era, ping.number)
            && place.address.is(from)
            && ping.is_of(&place.key)
            && self.messages.take(&mut place.spent, now);
        if is_quick {
            place.count = ping.count;
            place.heard = now;
            place.named = true;
            stats.pings += 1;
            answers.write_short(from, &pong(Handle(ping.handle.0), ping.count, &place.key));
        }
        is_quick
    }
}
