//! What happens to a program and its links.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use poolmesh_smol::{Epoch, Member, Membership, PeerId, PoolEvent, PoolId, PoolNews, Term};

use super::words::{Tally, Told};

/// A pool of programs.
#[derive(Debug)]
pub(super) struct Pool {
    size: u16,
    /// How many were not told yet that it is back.
    away: AtomicU16,
}

impl Pool {
    pub(super) fn new(size: u16) -> Self {
        Self { size, away: AtomicU16::new(size) }
    }

    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// One more was told that it is back. When all were, it is said.
    pub(super) fn is_back_for_one(&self) {
        if self.away.fetch_sub(1, Ordering::Relaxed) == 1 {
            println!("{}", Told::Back);
        }
    }
}

/// What a program knows of its pool that must outlive the broadcaster.
#[derive(Debug, PartialEq, Eq)]
struct Lasting {
    pool: PoolId,
    members: Vec<(Member, SocketAddr)>,
    host: Member,
    term: Term,
}

/// What has happened to one program.
#[derive(Debug, Default)]
pub(super) struct Account(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// What it knew when watching began, and of what epoch.
    before: Option<(Lasting, Epoch)>,
    linked: u64,
    lost: u64,
    sent: u64,
    unsent: u64,
    received: u64,
    out_of_turn: u64,
    /// The number of the latest event of each peer, and what it was when watching began.
    heard: BTreeMap<PeerId, (u64, u64)>,
    restored: bool,
    unreachable: bool,
    other: u64,
}

impl Account {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn linked(&self) {
        self.entries().linked += 1;
    }

    pub(super) fn lost(&self) {
        self.entries().lost += 1;
    }

    /// It has said something on so many links, of which some had no room.
    pub(super) fn said(&self, links: usize, refused: usize) {
        let mut entries = self.entries();
        entries.sent += (links - refused) as u64;
        entries.unsent += refused as u64;
    }

    /// A peer has said something.
    pub(super) fn hear(&self, peer: PeerId, payload: &[u8]) {
        let mut entries = self.entries();
        entries.received += 1;
        let number = payload.try_into().map_or(0, u64::from_le_bytes);
        let (latest, _) = entries.heard.entry(peer).or_default();
        let in_turn = number == *latest + 1;
        *latest = number;
        entries.out_of_turn += u64::from(!in_turn);
    }

    pub(super) fn watch(&self, membership: Option<Membership>) {
        let mut entries = self.entries();
        entries.before = membership.map(|membership| (lasting(&membership), membership.epoch()));
        entries.heard.values_mut().for_each(|(latest, before)| *before = *latest);
    }

    /// Something is new in the pool. Whether it is that it is back, for the first time.
    pub(super) fn told(&self, news: &PoolNews) -> bool {
        let mut entries = self.entries();
        if entries.before.is_none() {
            return false;
        }
        match news {
            PoolNews::Event { event: PoolEvent::Restored, .. } if !entries.restored => {
                entries.restored = true;
                return true;
            }
            PoolNews::Event { event: PoolEvent::Unreachable, .. } if !entries.unreachable => {
                entries.unreachable = true;
            }
            PoolNews::Event { .. } | PoolNews::Ended { .. } | _ => {
                eprintln!("told: {news:?}");
                entries.other += 1;
            }
        }
        false
    }

    /// What has happened so far, and whether what lasts is what it was, in a pool that was brought back.
    pub(super) fn tally(&self, ends: usize, others: u64, membership: Option<Membership>) -> Tally {
        let entries = self.entries();
        let same = membership.zip(entries.before.as_ref()).is_some_and(|(now, (before, epoch))| {
            lasting(&now) == *before && now.epoch().era() != epoch.era()
        });
        let carried = entries.heard.values().filter(|(latest, before)| latest > before).count();
        Tally {
            ends: ends as u64,
            lost: entries.lost,
            made_anew: entries.linked.saturating_sub(others),
            carried: carried as u64,
            sent: entries.sent,
            received: entries.received,
            unsent: entries.unsent,
            out_of_turn: entries.out_of_turn,
            restored: entries.restored.into(),
            unreachable: entries.unreachable.into(),
            other: entries.other,
            changed: (!same).into(),
        }
    }
}

fn lasting(membership: &Membership) -> Lasting {
    let members = membership.members().iter().map(|member| (member.number, member.address)).collect();
    Lasting { pool: membership.id(), members, host: membership.host(), term: membership.term() }
}
