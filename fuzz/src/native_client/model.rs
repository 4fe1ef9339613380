//! What an application knows of its calls and pools, from what it was told alone.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use poolmesh_proto::{CallId, Client, ClientEvent, Instant, Outcome, PoolEvent, PoolId, PoolInfo};

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    List,
    Create,
    Join,
    Resume,
    Order,
}

#[derive(Debug)]
struct Made {
    id: CallId,
    at: Instant,
    kind: Kind,
    done: bool,
}

impl Made {
    /// When its time is over.
    fn end(&self, timeout: Duration) -> Instant {
        self.at + if self.kind == Kind::Resume { timeout.saturating_mul(2) } else { timeout }
    }
}

/// A pool as its events tell it.
#[derive(Debug)]
struct Pool {
    members: BTreeMap<u32, (SocketAddr, Vec<u8>)>,
    /// The host and its term.
    host: Option<(u32, u32)>,
    /// Something was not told.
    missed: bool,
    silent: bool,
    /// It looks for a broadcaster: none has told it of the pool since it was silent.
    searches: bool,
    /// The call that led into it, if only one did.
    by: Option<CallId>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    calls: Vec<Made>,
    pools: BTreeMap<PoolId, Pool>,
    closed: bool,
    /// Orders that were given.
    pub(super) ordered: u32,
}

impl Model {
    pub(super) fn made(&mut self, id: CallId, at: Instant, kind: Kind) {
        assert!(!self.closed, "a call of a client that was closed");
        assert!(self.calls.iter().all(|call| call.id != id), "{id:?} twice");
        self.calls.push(Made { id, at, kind, done: false });
        self.ordered += u32::from(kind == Kind::Order);
    }

    pub(super) fn under_way(&self) -> usize {
        self.calls.iter().filter(|call| !call.done).count()
    }

    /// One of those that were made.
    pub(super) fn choose(&self, choice: u8) -> Option<CallId> {
        self.calls.get(usize::from(choice).checked_rem(self.calls.len())?).map(|call| call.id)
    }

    pub(super) fn pool(&self, choice: u8) -> Option<PoolId> {
        self.pools.keys().nth(usize::from(choice).checked_rem(self.pools.len())?).copied()
    }

    pub(super) fn cancelled(&mut self, id: CallId) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
            call.done = true;
        }
        self.pools.retain(|_, pool| pool.by != Some(id));
    }

    pub(super) fn released(&mut self, pool: PoolId, was: bool) {
        assert_eq!(self.pools.remove(&pool).is_some(), was, "{pool} was one of its pools, or not");
    }

    pub(super) fn closed(&mut self) {
        self.closed = true;
        self.pools.clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the only pool there is has lost its broadcaster, and nothing else is done.
    pub(super) fn only_searches(&self) -> bool {
        self.under_way() == 0 && self.pools.len() == 1 && self.pools.values().all(|pool| pool.searches)
    }

    /// A broadcaster tells of a pool: whoever was looking for one has found it, or nothing comes of it.
    pub(super) fn paged(&mut self) {
        for pool in self.pools.values_mut() {
            pool.searches = false;
        }
    }

    /// Something is told, at the latest time that was handed in.
    pub(super) fn told(&mut self, event: &ClientEvent, now: Instant, timeout: Duration) {
        match event {
            ClientEvent::Finished { call, outcome } => self.finished(*call, outcome, now, timeout),
            ClientEvent::PoolEnded { pool, .. } => {
                assert!(self.pools.remove(pool).is_some(), "{pool} has ended, and was not there");
            }
            ClientEvent::Pool { pool, event } => {
                let of = self
                    .pools
                    .get_mut(pool)
                    .unwrap_or_else(|| panic!("{event:?} of {pool}, which is not there"));
                of.told(event);
            }
            _ => {}
        }
    }

    fn finished(&mut self, id: CallId, outcome: &Outcome, now: Instant, timeout: Duration) {
        let call = self.calls.iter_mut().find(|call| call.id == id).expect("a call that was made");
        assert!(!call.done, "{id:?} has two outcomes, or was cancelled");
        call.done = true;
        match outcome {
            Outcome::Created(info) if call.kind == Kind::Create => self.entered(id, info),
            Outcome::Joined(info) if matches!(call.kind, Kind::Join | Kind::Resume) => {
                self.entered(id, info);
            }
            Outcome::Listed(_) if call.kind == Kind::List => {}
            Outcome::Done if call.kind == Kind::Order => {}
            Outcome::Refused(_) => {}
            Outcome::TimedOut { .. } => {
                assert!(call.end(timeout).is_due(now), "{id:?} has timed out early")
            }
            Outcome::Closed => assert!(self.closed),
            Outcome::Created(_) | Outcome::Joined(_) | Outcome::Listed(_) | Outcome::Done | _ => {
                panic!("{outcome:?} for {call:?}")
            }
        }
    }

    /// It is a member now, or was one already, of which everything was told.
    fn entered(&mut self, id: CallId, info: &PoolInfo) {
        let of = |one: &poolmesh_proto::PoolMember| (one.number.get(), (one.address, one.about.to_vec()));
        let members = info.members().iter().map(of).collect();
        let new = Pool { members, host: None, missed: false, silent: false, searches: false, by: Some(id) };
        let pool = self.pools.entry(info.id()).or_insert(new);
        pool.by = pool.by.filter(|by| *by == id);
    }

    /// Every call has had its outcome by now, whose time is over.
    pub(super) fn check_calls(&self, now: Instant, timeout: Duration) {
        for call in self.calls.iter().filter(|call| !call.done) {
            assert!(!call.end(timeout).is_due(now), "{call:?} has no outcome at {now:?}");
        }
    }

    /// It wakes for every call whose time will be over.
    pub(super) fn check_deadline(&self, deadline: Option<Instant>, timeout: Duration) {
        let deadline = deadline.unwrap_or(Instant::NEVER);
        for call in self.calls.iter().filter(|call| !call.done) {
            assert!(deadline <= call.end(timeout), "it sleeps until {deadline:?} over {call:?}");
        }
    }

    /// What was told comes to what the client knows.
    pub(super) fn check_pools(&mut self, client: &Client) {
        let mut pools: Vec<_> = client.pools().collect();
        pools.sort_unstable();
        assert!(pools.iter().eq(self.pools.keys()), "{pools:?} and {:?}", self.pools.keys());
        for (id, pool) in &mut self.pools {
            let membership = client.membership(id).expect("it was just named");
            let of = |one: &poolmesh_proto::PoolMember| (one.number.get(), (one.address, one.about.to_vec()));
            let members = membership.members().iter().map(of).collect();
            let host = (membership.host().get(), membership.term().get());
            if pool.missed {
                (pool.members, pool.missed) = (members, false);
                pool.host = None;
            } else {
                assert_eq!(pool.members, members, "of {id}, by events and by itself");
            }
            assert_eq!(*pool.host.get_or_insert(host), host, "the host of {id}, by events and by itself");
        }
    }
}

impl Pool {
    fn told(&mut self, event: &PoolEvent) {
        if self.missed {
            return;
        }
        match event {
            PoolEvent::Joined(one) => {
                let before = self.members.insert(one.number.get(), (one.address, one.about.to_vec()));
                assert_eq!(before, None, "{one:?} joined, who was there");
            }
            PoolEvent::Left { member, .. } => {
                let before = self.members.remove(&member.number.get());
                assert!(before.is_some(), "{member:?} left, who was not there");
            }
            PoolEvent::About(one) => {
                let known = self.members.get_mut(&one.number.get()).expect("somebody who is there");
                known.1 = one.about.to_vec();
                assert_eq!(known.0, one.address, "{one:?}");
            }
            PoolEvent::Moved(one) => {
                self.members.get_mut(&one.number.get()).expect("somebody who is there").0 = one.address;
            }
            PoolEvent::Host { member, term, .. } => self.host = Some((member.get(), term.get())),
            // That a broadcaster was found may be among it.
            PoolEvent::Missed => (self.missed, self.silent, self.searches) = (true, false, false),
            PoolEvent::Unreachable => {
                assert!(!self.silent, "unreachable twice");
                (self.silent, self.searches) = (true, true);
            }
            // It may have been away for too short to be missed.
            PoolEvent::Restored => (self.silent, self.searches) = (false, false),
            PoolEvent::Spec | _ => {}
        }
    }
}
