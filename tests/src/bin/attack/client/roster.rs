//! What a member knows of its pool (PROTOCOL.md, sections 4 and 5).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use poolmesh_proto::wire::native::{Change, Entry, Items, Member, Page, PageStart, PoolSpec, Seats, State};

/// The members: where they are and what they say of themselves.
pub(crate) type Members = BTreeMap<Member, (SocketAddr, Vec<u8>)>;

/// What a member knows of its pool, all of one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    pub(crate) state: State,
    pub(crate) spec: PoolSpec,
    pub(crate) members: Members,
}

/// What came of something that was told of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing new.
    Old,
    /// The roster is another.
    New,
    /// There is more to ask for: the page from this member on, or the first.
    Ask(Option<Member>),
}

/// The roster, and the pages of the one to come.
#[derive(Debug, Default)]
pub(super) struct Rosters {
    pub(super) whole: Option<Roster>,
    begun: Option<(Roster, Member)>,
}

impl Rosters {
    /// Takes a page.
    pub(super) fn page(&mut self, page: &Page<'_>) -> Told {
        if self.whole.as_ref().is_some_and(|whole| is_older(&page.state, &whole.state)) {
            return Told::Old;
        }
        let mut roster = match (page.start, self.begun.take()) {
            (PageStart::First(spec), _) => {
                Roster { state: page.state, spec: spec.into(), members: Members::new() }
            }
            (PageStart::From(from), Some((begun, next)))
                if begun.state.epoch == page.state.epoch && from == next =>
            {
                begun
            }
            (PageStart::From(_), _) => return Told::Ask(None),
        };
        roster.members.extend(page.entries.map(member));
        let next =
            roster.members.last_key_value().and_then(|(last, _)| Member::new(last.get().checked_add(1)?));
        match next.filter(|_| page.more) {
            Some(next) => {
                self.begun = Some((roster, next));
                Told::Ask(Some(next))
            }
            None => {
                self.whole = Some(roster);
                Told::New
            }
        }
    }

    /// Takes what has changed.
    pub(super) fn changed(&mut self, state: State, changes: Items<'_, Change<'_>>) -> Told {
        let Some(roster) = &mut self.whole else { return Told::Ask(None) };
        let (had, has) = (roster.state.epoch, state.epoch);
        if had.era() == has.era() && has.number() <= had.number() {
            return Told::Old;
        }
        if had.era() != has.era() || has.number() != had.number() + 1 {
            return Told::Ask(None);
        }
        for change in changes {
            roster.apply(&change);
        }
        roster.state = state;
        Told::New
    }
}

impl Roster {
    fn apply(&mut self, change: &Change<'_>) {
        match *change {
            Change::Joined(entry) => self.members.extend([member(entry)]),
            Change::Left { member, .. } => drop(self.members.remove(&member)),
            Change::About { member, about } => {
                self.members.entry(member).and_modify(|(_, said)| *said = about.get().to_vec());
            }
            Change::Moved { member, address } => {
                self.members.entry(member).and_modify(|(at, _)| *at = address.get());
            }
            Change::Spec(spec) => self.spec = spec.into(),
        }
    }

    /// Whether somebody else has the same. The seals differ: each is its member's own.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let state = State { seal: other.state.seal, ..self.state };
        state == other.state && self.spec == other.spec && self.members == other.members
    }

    /// Whether it holds together: as many members as it says, and the host and no later number among them.
    pub(crate) fn is_sound(&self) -> bool {
        let count = u16::try_from(self.members.len()).ok().and_then(Seats::new);
        count == Some(self.state.count)
            && self.members.contains_key(&self.state.host)
            && self.members.last_key_value().is_some_and(|(last, _)| *last < self.state.next)
    }
}

fn member(entry: Entry<'_>) -> (Member, (SocketAddr, Vec<u8>)) {
    (entry.member, (entry.address.get(), entry.about.get().to_vec()))
}

/// Of an era that goes on it is known what comes after what.
fn is_older(one: &State, other: &State) -> bool {
    let (one, other) = (one.epoch, other.epoch);
    one.era() == other.era() && one.number() < other.number()
}
