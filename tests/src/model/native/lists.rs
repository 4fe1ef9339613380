//! What a list may name.

use std::collections::BTreeMap;

use poolmesh_proto::PoolId;
use poolmesh_proto::wire::native::{Application, Items, Listing, MAX_DATAGRAM, PoolCode, PoolUuid};

use super::state::{Stage, State};

/// The pools that a list is to name, from the first on.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Name, seats, members, whether it is locked, metadata, of those that fit the filter.
    pools: BTreeMap<PoolUuid, Named>,
    /// All that a broadcaster looks at for it, in that order.
    looked: Vec<PoolUuid>,
    /// How many it looks at, at the most.
    scan: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    code: Option<PoolCode>,
    locked: bool,
    members: u16,
    seats: u16,
    name: String,
    metadata: Vec<u8>,
}

impl Named {
    fn len(&self) -> usize {
        16 + 1 + 8 + 2 + 2 + 1 + self.name.len() + 2 + self.metadata.len()
    }
}

impl State {
    pub(super) fn listed(
        &self,
        application: Option<Application>,
        after: PoolUuid,
        free: u16,
        prefix: &str,
        classic: &[PoolId],
    ) -> Expected {
        let scan = self.limits.list_scan;
        let Some(application) = application else {
            let ids = classic.iter().filter_map(|id| PoolUuid::try_from(*id).ok()).filter(|id| *id > after);
            // Nothing is known of them that a filter could look at.
            let pools: BTreeMap<PoolUuid, Named> = ids.map(|id| (id, Named::default())).collect();
            let looked = pools.keys().copied().collect();
            return Expected { pools, looked, scan };
        };
        let mut pools = BTreeMap::new();
        let mut looked = Vec::new();
        for (id, pool) in
            self.pools.iter().filter(|(id, pool)| **id > after && pool.application == application)
        {
            looked.push(*id);
            let Stage::Live(line) = &pool.stage else { continue };
            let content = line.now();
            let spec = content.spec.as_spec();
            let members = content.members.len() as u16;
            let left = self.free_seats(*id);
            if !spec.hidden() && left >= free && spec.name().get().starts_with(prefix) {
                let (locked, seats) = (spec.locked(), spec.seats().get());
                let (name, metadata) = (spec.name().get().to_owned(), spec.metadata().get().to_vec());
                pools.insert(*id, Named { code: pool.code, locked, members, seats, name, metadata });
            }
        }
        Expected { pools, looked, scan }
    }
}

impl Expected {
    /// Whether a page says what it may.
    pub(super) fn allows(
        &self,
        next: Option<PoolUuid>,
        listings: Items<'_, Listing<'_>>,
        len: usize,
    ) -> Result<(), String> {
        let named: BTreeMap<PoolUuid, Named> = listings
            .map(|listing| {
                let named = listing.listed.map_or_else(Named::default, |listed| Named {
                    code: Some(listed.code),
                    locked: listed.locked,
                    members: listed.members,
                    seats: listed.seats.get(),
                    name: listed.name.get().to_owned(),
                    metadata: listed.metadata.get().to_vec(),
                });
                (listing.pool, named)
            })
            .collect();
        let due: BTreeMap<PoolUuid, Named> = match next {
            None => self.pools.clone(),
            Some(next) => self.pools.range(..=next).map(|(id, named)| (*id, named.clone())).collect(),
        };
        if named != due {
            return Err(format!("P2: a list of {named:?}, where there are {due:?}"));
        }
        let Some(next) = next else { return Ok(()) };
        let looked = self.looked.iter().filter(|id| **id <= next).count();
        let full = self
            .pools
            .range(next..)
            .find(|(id, _)| **id > next)
            .is_some_and(|(_, more)| len + more.len() > MAX_DATAGRAM);
        if looked >= self.scan || full {
            Ok(())
        } else {
            Err(format!("V7: a list ends at {next:?} without need"))
        }
    }
}
