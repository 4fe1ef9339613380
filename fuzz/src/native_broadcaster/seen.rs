//! What epochs were said to be: equal epochs mean equal rosters, equal specs and the same host, and in an era a term
//! has one host.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use poolmesh_proto::wire::native::{Change, Page, PageStart, PoolSpec, PoolUuid, Seal, State};

/// The members of a roster, by their numbers: where they are, and what they say of themselves.
pub(super) type Members = BTreeMap<u32, (SocketAddr, Vec<u8>)>;

/// A whole roster, as a client has it.
#[derive(Clone, Debug)]
pub(super) struct Roster {
    pub(super) state: State,
    pub(super) spec: PoolSpec,
    pub(super) members: Members,
}

impl Roster {
    /// What is new since this one, if it is the next of its era.
    pub(super) fn apply<'a>(&mut self, state: State, changes: impl Iterator<Item = Change<'a>>) {
        self.state = state;
        for change in changes {
            match change {
                Change::Joined(entry) => {
                    let new = (entry.address.get(), entry.about.get().to_vec());
                    assert!(self.members.insert(entry.member.get(), new).is_none(), "who is there joins");
                }
                Change::Left { member, .. } => {
                    assert!(self.members.remove(&member.get()).is_some(), "nobody leaves");
                }
                Change::About { member, about } => {
                    self.members.get_mut(&member.get()).expect("somebody").1 = about.get().to_vec();
                }
                Change::Moved { member, address } => {
                    self.members.get_mut(&member.get()).expect("somebody").0 = address.get();
                }
                Change::Spec(spec) => self.spec = spec.into(),
            }
        }
    }
}

/// Some of the members of an epoch: all whose numbers are from `first` to `last`.
#[derive(Debug)]
struct Part {
    first: u32,
    last: u32,
    members: Members,
}

#[derive(Debug)]
struct Epoch {
    /// Without the seal, which is the receiver's, and without the number of the next member: it is given with an offer,
    /// which changes nothing yet.
    state: State,
    spec: Option<PoolSpec>,
    parts: Vec<Part>,
}

/// All that was ever said.
#[derive(Debug, Default)]
pub(super) struct Seen {
    epochs: BTreeMap<([u8; 16], u64, u32), Epoch>,
    hosts: BTreeMap<([u8; 16], u64, u32), u32>,
}

impl Seen {
    /// A page was said.
    pub(super) fn page(&mut self, pool: PoolUuid, page: &Page<'_>) {
        let first = match &page.start {
            PageStart::First(spec) => {
                self.spec(pool, &page.state, (*spec).into());
                0
            }
            PageStart::From(member) => member.get(),
        };
        let entry = |(member, address, about): (u32, SocketAddr, &[u8])| (member, (address, about.to_vec()));
        let entries = page.entries.map(|one| (one.member.get(), one.address.get(), one.about.get()));
        let members: Members = entries.map(entry).collect();
        let last =
            if page.more { members.last_key_value().map_or(first, |(last, _)| *last) } else { u32::MAX };
        self.part(pool, &page.state, Part { first, last, members });
    }

    /// A client has this roster.
    pub(super) fn whole(&mut self, pool: PoolUuid, roster: &Roster) {
        self.spec(pool, &roster.state, roster.spec.clone());
        self.part(pool, &roster.state, Part { first: 0, last: u32::MAX, members: roster.members.clone() });
    }

    fn spec(&mut self, pool: PoolUuid, state: &State, spec: PoolSpec) {
        let epoch = self.state(pool, state);
        let known = epoch.spec.get_or_insert_with(|| spec.clone());
        assert_eq!(*known, spec, "equal epochs, other specs");
        let base = state.base.filter(|_| state.epoch.number() == 1);
        let base = base.and_then(|base| self.epochs.get(&(pool.bytes(), base.era(), base.number())));
        if let Some(known) = base.and_then(|base| base.spec.as_ref()) {
            assert_eq!(*known, spec, "brought back with another spec: {state:?}");
        }
    }

    fn part(&mut self, pool: PoolUuid, state: &State, part: Part) {
        let epoch = self.state(pool, state);
        if part.first == 0 && part.last == u32::MAX {
            assert_eq!(part.members.len(), usize::from(state.count.get()), "{part:?} of {state:?}");
            assert!(
                part.members.contains_key(&state.host.get()),
                "the host is no member: {part:?} of {state:?}"
            );
        }
        assert!(part.members.len() <= usize::from(state.count.get()), "{part:?} of {state:?}");
        let highest = part.members.last_key_value().map_or(0, |(highest, _)| *highest);
        assert!(highest < state.next.get(), "{part:?} of {state:?}");
        for known in &epoch.parts {
            let (first, last) = (part.first.max(known.first), part.last.min(known.last));
            if first <= last {
                let (one, other) = (part.members.range(first..=last), known.members.range(first..=last));
                assert!(one.eq(other), "equal epochs, other rosters: {part:?}, {known:?} of {state:?}");
            }
        }
        if epoch.parts.len() < 8 {
            epoch.parts.push(part);
        }
    }

    /// An epoch was named.
    fn state(&mut self, pool: PoolUuid, state: &State) -> &mut Epoch {
        let state = State { seal: Seal::new([0; 16]), next: state.host, ..*state };
        let (pool, era, number) = (pool.bytes(), state.epoch.era(), state.epoch.number());
        let host = *self.hosts.entry((pool, era, state.term.get())).or_insert_with(|| state.host.get());
        assert_eq!(host, state.host.get(), "a term has two hosts: {state:?}");
        let of_era = |number| (pool, era, number);
        if let Some((_, before)) = self.epochs.range(of_era(0)..of_era(number)).next_back() {
            follows(&before.state, &state);
        }
        if let Some(after) = number.checked_add(1) {
            if let Some((_, after)) = self.epochs.range(of_era(after)..=of_era(u32::MAX)).next() {
                follows(&state, &after.state);
            }
        }
        assert!(state.purged <= number, "{state:?}");
        let new = Epoch { state, spec: None, parts: Vec::new() };
        let epoch = self.epochs.entry(of_era(number)).or_insert(new);
        assert_eq!(epoch.state, state, "equal epochs, other states");
        epoch
    }

    /// A state was said without a roster.
    pub(super) fn said(&mut self, pool: PoolUuid, state: &State) {
        self.state(pool, state);
    }
}

/// In an era nothing is taken back.
fn follows(before: &State, after: &State) {
    let brought_back = |state: &State| (state.generation, state.base);
    assert_eq!(brought_back(before), brought_back(after), "{before:?}, then {after:?}");
    assert!(before.term <= after.term && before.purged <= after.purged, "{before:?}, then {after:?}");
    // A kick that came between them.
    assert!(
        before.purged == after.purged || after.purged > before.epoch.number(),
        "{before:?}, then {after:?}"
    );
}
