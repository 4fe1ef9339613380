//! What a broadcaster counts.

use crate::wire::native::Refusal;

macro_rules! stats {
    ($(#[$docs:meta])* $name:ident { $($(#[$doc:meta])* $count:ident,)* }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$doc])* pub $count: u64,)*
        }

        /// What several machines did together.
        impl core::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(machines: I) -> Self {
                machines.fold(Self::default(), |sum, machine| Self { $($count: sum.$count + machine.$count,)* })
            }
        }
    };
}

stats!(
    /// What a [`Broadcaster`](super::Broadcaster) did and refused since it was made. Every refusal is in one of these, and
    /// every datagram that was dropped.
    BroadcasterStats {
        /// Datagrams taken in, of every kind.
        datagrams,
        /// Pools made, those brought back not among them.
        pools_created,
        /// Pools that ended.
        pools_ended,
        /// Peers that joined a pool for the first time, members who came back not among them.
        peers_joined,
        /// Lists given.
        lists,
        /// Pings that kept a pool alive, or a member.
        pings,
        /// Requests and orders answered by an error, for whatever reason. The counts below that start alike are parts of
        /// it.
        refused,
        /// Joins and pings of pools that don't exist.
        refused_unknown_pool,
        /// Requests refused because a limit was reached: of what there is in all, of one source or of one pool.
        refused_by_limit,
        /// Datagrams of the classic dialect that are no request, or too long for one.
        refused_malformed,
        /// Because the source asks too often, or has asked for too many wrong codes.
        refused_busy,
        /// Because the pool is locked.
        refused_locked,
        /// Because the pool is coming back.
        refused_recovering,
        /// Because a ticket was not made with this secret.
        refused_bad_ticket,
        /// Because what a ticket or a request speaks of is over.
        refused_stale,
        /// Because the one who ordered is not the host.
        refused_not_host,
        /// Because the pool has no such member.
        refused_no_such_member,
        /// Datagrams ignored without an answer: empty ones, and answers of other broadcasters.
        ignored,
        /// Answers, notices and events dropped because the driver didn't poll.
        outputs_dropped,
        /// Members who left, for whatever reason, their pools going on without them.
        members_left,
        /// Those of them who were silent for too long.
        members_timed_out,
        /// Members who came back with a ticket.
        members_returned,
        /// Hosts who were followed by another.
        hosts_changed,
        /// Pools published after they were brought back.
        pools_restored,
        /// Orders carried out.
        orders,
        /// Places offered that nobody took.
        offers_void,
        /// Requests without a valid cookie, which were given one.
        cookies_given,
        /// Messages of nobody, which were answered by that.
        unknown,
        /// Messages from other addresses than their members', which were asked to prove theirs.
        proofs_asked,
        /// Datagrams of the native dialect dropped because they can't be read.
        dropped_malformed,
        /// Requests dropped because their tag is wrong.
        dropped_wrong_tag,
        /// Messages of members dropped because their count is not higher than the last.
        dropped_replayed,
        /// Messages of members dropped because they came too fast.
        dropped_too_fast,
        /// Questions about a pool that is coming back.
        dropped_recovering,
        /// Requests dropped because the source asks too often.
        dropped_busy,
        /// Datagrams of the classic dialect dropped because it isn't spoken.
        dropped_classic,
        /// Requests of the classic dialect dropped because the source is answered too often.
        dropped_classic_busy,
        /// Changes that not all members were told of: they are with their next ping.
        changes_dropped,
    }
);

impl BroadcasterStats {
    /// Counts a refusal of the native dialect.
    pub(super) fn count(&mut self, refusal: Refusal) {
        self.refused += 1;
        let part = match refusal {
            Refusal::NoSuchPool => &mut self.refused_unknown_pool,
            Refusal::Limit
            | Refusal::Full
            | Refusal::TooManyPools
            | Refusal::TooManyPoolsOfSource
            | Refusal::TooManyMembers
            | Refusal::TooManyMembersOfSource => &mut self.refused_by_limit,
            Refusal::Locked => &mut self.refused_locked,
            Refusal::Busy { .. } => &mut self.refused_busy,
            Refusal::Recovering { .. } => &mut self.refused_recovering,
            Refusal::BadTicket => &mut self.refused_bad_ticket,
            Refusal::Stale => &mut self.refused_stale,
            Refusal::NotHost => &mut self.refused_not_host,
            Refusal::NoSuchMember => &mut self.refused_no_such_member,
            // No broadcaster says it.
            Refusal::Other(_) => return,
        };
        *part += 1;
    }
}
