//! What is known of all pools of the native dialect together, whoever said it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{Handle, Joined, Key, Member, PoolUuid};
use poolmesh_proto::{Membership, PoolId};

use crate::sim::fingerprint::Fingerprint;

/// A session that a broadcaster has given.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Given {
    pub(in crate::sim) key: Key,
    pub(in crate::sim) pool: PoolUuid,
    pub(in crate::sim) member: Member,
}

/// Everything that all broadcasters and members must agree about, for ever.
#[derive(Debug, Default)]
pub(in crate::sim) struct Book {
    given: BTreeMap<(SocketAddr, Handle), Vec<Given>>,
    /// What holds with an epoch, as one number.
    epochs: BTreeMap<(PoolId, u64, u32), u64>,
    hosts: BTreeMap<(PoolId, u64, u32), Member>,
    eras: BTreeMap<(PoolId, u64), (SocketAddr, u32)>,
}

impl Book {
    /// A broadcaster has offered a place.
    pub(in crate::sim) fn give(&mut self, broadcaster: SocketAddr, joined: &Joined) {
        let Joined { key, pool, member, handle, .. } = *joined;
        let given = self.given.entry((broadcaster, handle)).or_default();
        if given.last().is_none_or(|last| last.key != key) {
            given.push(Given { key, pool, member });
        }
    }

    /// The session for whose key something holds.
    pub(in crate::sim) fn given(
        &self,
        broadcaster: SocketAddr,
        handle: Handle,
        holds: impl Fn(&Key) -> bool,
    ) -> Option<Given> {
        let given = self.given.get(&(broadcaster, handle))?;
        given.iter().rev().find(|given| holds(&given.key)).copied()
    }

    /// An era is a broadcaster's, and of one generation.
    pub(in crate::sim) fn era(
        &mut self,
        broadcaster: SocketAddr,
        pool: PoolUuid,
        era: u64,
        generation: u32,
    ) -> Result<(), String> {
        let own = (broadcaster, generation);
        let known = *self.eras.entry((pool.into(), era)).or_insert(own);
        if known == own {
            Ok(())
        } else {
            Err(format!("P5: era {era} of {pool} is that of {known:?} and of {own:?}"))
        }
    }

    pub(in crate::sim) fn generation(&self, pool: PoolId, era: u64) -> Option<u32> {
        self.eras.get(&(pool, era)).map(|(_, generation)| *generation)
    }

    /// P5, M5: what a member knows with an epoch is what everybody knows who has it, and a term has one host.
    pub(in crate::sim) fn knows(&mut self, membership: &Membership) -> Result<(), String> {
        let (pool, epoch) = (membership.id(), membership.epoch());
        let mut print = Fingerprint::default();
        print.bytes(format!("{:?}", membership.spec()).as_bytes());
        print.number(membership.host().get().into());
        print.number(membership.term().get().into());
        for member in membership.members() {
            print.number(member.number.get().into());
            print.bytes(format!("{:?}", member.address).as_bytes());
            print.bytes(&member.about);
        }
        let known = *self.epochs.entry((pool, epoch.era(), epoch.number())).or_insert_with(|| print.get());
        if known != print.get() {
            return Err(format!("P5: at {epoch:?} of {pool} not all know the same: {membership:?}"));
        }
        let term = membership.term().get();
        let host = *self.hosts.entry((pool, epoch.era(), term)).or_insert_with(|| membership.host());
        if host != membership.host() {
            return Err(format!("M5: {host} and {} are hosts of {pool} in term {term}", membership.host()));
        }
        Ok(())
    }
}
