//! Calls that wait until every address they named is connected or given up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::{ConnectId, ConnectReport, DialFailure, PeerId};

#[derive(Debug)]
struct Connect {
    waiting: BTreeSet<SocketAddr>,
    report: ConnectReport,
}

/// The calls under way, in the order they were made.
#[derive(Debug)]
pub(super) struct Connects {
    calls: BTreeMap<ConnectId, Connect>,
    next: u64,
}

impl Connects {
    pub(super) const fn new() -> Self {
        Self { calls: BTreeMap::new(), next: 0 }
    }

    /// A call that waits for `waiting` and has `connected` already.
    pub(super) fn add(
        &mut self,
        waiting: BTreeSet<SocketAddr>,
        connected: Vec<(SocketAddr, PeerId)>,
    ) -> ConnectId {
        let id = ConnectId(self.next);
        self.next += 1;
        let report = ConnectReport { id, connected, failed: Vec::new() };
        self.calls.insert(id, Connect { waiting, report });
        id
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn remove(&mut self, id: ConnectId) {
        self.calls.remove(&id);
    }

    /// Notes what became of `address`, for every call that waits for it.
    pub(super) fn settle(&mut self, address: SocketAddr, fate: Result<PeerId, DialFailure>) {
        for call in self.calls.values_mut() {
            if call.waiting.remove(&address) {
                match fate {
                    Ok(peer) => call.report.connected.push((address, peer)),
                    Err(failure) => call.report.failed.push((address, failure)),
                }
            }
        }
    }

    /// A call that waits for nothing any more.
    pub(super) fn pop_settled(&mut self) -> Option<ConnectReport> {
        let id = *self.calls.iter().find(|(_, call)| call.waiting.is_empty())?.0;
        self.calls.remove(&id).map(|call| call.report)
    }
}
