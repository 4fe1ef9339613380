//! The roster of a pool: gathered from pages, changed by what is told, compared with the one before.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::client::PoolEvent;
use crate::wire::PoolMember;
use crate::wire::native::{
    Change, Entry, Epoch, Items, Member, PAGES, Page, PageStart, PoolSpec, Seats, State,
};

/// No roster is longer.
const MOST: usize = Seats::MAX as usize;

/// Members in the order of their numbers.
pub(super) type Members = Vec<PoolMember>;

fn kept(entry: &Entry<'_>) -> PoolMember {
    PoolMember {
        number: entry.member,
        address: entry.address.get(),
        about: Bytes::copy_from_slice(entry.about.get()),
    }
}

fn place(members: &Members, member: Member) -> Result<usize, usize> {
    members.binary_search_by_key(&member, |member| member.number)
}

/// A change doesn't fit the roster that it should be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit;

/// Makes a change in a roster, and says what is new.
pub(super) fn change(
    members: &mut Members,
    spec: &mut PoolSpec,
    change: Change<'_>,
) -> Result<PoolEvent, Misfit> {
    match change {
        Change::Joined(entry) => match place(members, entry.member) {
            Err(at) if members.len() < MOST => {
                members.insert(at, kept(&entry));
                Ok(PoolEvent::Joined(kept(&entry)))
            }
            _ => Err(Misfit),
        },
        Change::Left { member, reason } => {
            let at = place(members, member).map_err(|_| Misfit)?;
            Ok(PoolEvent::Left { member: members.remove(at), reason: Some(reason) })
        }
        Change::About { member, about } => {
            let member = find(members, member)?;
            member.about = Bytes::copy_from_slice(about.get());
            Ok(PoolEvent::About(member.clone()))
        }
        Change::Moved { member, address } => {
            let member = find(members, member)?;
            member.address = address.get();
            Ok(PoolEvent::Moved(member.clone()))
        }
        Change::Spec(new) => {
            *spec = new.into();
            Ok(PoolEvent::Spec)
        }
    }
}

fn find(members: &mut Members, member: Member) -> Result<&mut PoolMember, Misfit> {
    let at = place(members, member).map_err(|_| Misfit)?;
    members.get_mut(at).ok_or(Misfit)
}

/// What differs between two rosters of one pool. `same`: whether numbers mean the same members in both, whatever their
/// addresses.
pub(super) fn differences(old: &Members, new: &Members, same: bool, tell: &mut impl FnMut(PoolEvent)) {
    let is = |one: &PoolMember, other: &PoolMember| {
        one.number == other.number && (same || one.address == other.address)
    };
    let found = |members: &Members, member: &PoolMember| {
        place(members, member.number)
            .ok()
            .and_then(|at| members.get(at))
            .filter(|other| is(member, other))
            .cloned()
    };
    for member in old {
        if found(new, member).is_none() {
            tell(PoolEvent::Left { member: member.clone(), reason: None });
        }
    }
    for member in new {
        match found(old, member) {
            None => tell(PoolEvent::Joined(member.clone())),
            Some(before) => {
                if before.address != member.address {
                    tell(PoolEvent::Moved(member.clone()));
                }
                if before.about != member.about {
                    tell(PoolEvent::About(member.clone()));
                }
            }
        }
    }
}

/// A roster that is not whole yet.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) state: State,
    pub(super) spec: PoolSpec,
    pub(super) members: Members,
    /// The number from which on members are not known.
    from: u32,
    /// Pages of the same epoch that have come before one that is missing.
    ahead: Vec<Ahead>,
}

/// A page behind one that is missing.
#[derive(Debug)]
struct Ahead {
    from: u32,
    members: Members,
    more: bool,
}

/// What a page is to those that were gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next one.
    Fits,
    /// One that was known.
    Known,
    /// Between them others are missing.
    Missed,
}

/// What a page brings.
#[derive(Debug)]
pub(super) enum Turned {
    /// It was no news.
    Old,
    /// There are others, from this member on.
    More(Member, Next),
    /// It has begun anew: the first page is wanted.
    Anew,
    /// All members are known.
    Whole(Pages),
}

impl Pages {
    fn epoch(&self) -> Epoch {
        self.state.epoch
    }

    /// Whether what was told of this epoch is in what was begun with.
    pub(super) fn knows(&self, epoch: Epoch) -> bool {
        epoch.era() == self.epoch().era() && epoch.number() <= self.epoch().number()
    }

    /// Keeps a page that lies behind one that is missing. Whether it is new.
    fn keep(&mut self, page: &Page<'_>) -> bool {
        let PageStart::From(from) = page.start else { return false };
        let from = from.get();
        if from <= self.from || self.ahead.iter().any(|ahead| ahead.from == from) {
            return false;
        }
        let members: Members = page.entries.map(|entry| kept(&entry)).collect();
        let kept = self.members.len() + self.ahead.iter().map(|ahead| ahead.members.len()).sum::<usize>();
        if self.ahead.len() < PAGES && kept + members.len() <= MOST {
            self.ahead.push(Ahead { from, members, more: page.more });
        }
        true
    }

    /// Takes a page. `pages` is what there was before.
    pub(super) fn turn(pages: &mut Option<Self>, page: &Page<'_>) -> Turned {
        let epoch = page.state.epoch;
        let known = pages.take();
        if let Some(mut known) = known {
            let older = epoch.era() == known.epoch().era() && epoch.number() < known.epoch().number();
            let expected = matches!(page.start, PageStart::From(from) if from.get() == known.from);
            if older || epoch == known.epoch() && !expected {
                let next = if !older && known.keep(page) { Next::Missed } else { Next::Known };
                let wanted = Member::new(known.from).filter(|_| !older);
                *pages = Some(known);
                return wanted.map_or(Turned::Old, |wanted| Turned::More(wanted, next));
            }
            if epoch == known.epoch() {
                return known.append(pages, page);
            }
        }
        match page.start {
            PageStart::First(spec) => {
                let new = Self {
                    state: page.state,
                    spec: spec.into(),
                    members: Members::new(),
                    from: 0,
                    ahead: Vec::new(),
                };
                new.append(pages, page)
            }
            PageStart::From(_) => Turned::Anew,
        }
    }

    fn append(mut self, pages: &mut Option<Self>, page: &Page<'_>) -> Turned {
        self.members.extend(page.entries.map(|entry| kept(&entry)));
        let mut more = page.more;
        let next = loop {
            let next = self.members.last().and_then(|last| Member::new(last.number.get().wrapping_add(1)));
            let is_next = |ahead: &Ahead| more && Some(ahead.from) == next.map(Member::get);
            let Some(at) = self.ahead.iter().position(is_next) else { break next };
            let ahead = self.ahead.swap_remove(at);
            self.members.extend(ahead.members);
            more = ahead.more;
        };
        if self.members.len() > MOST {
            return Turned::Anew;
        }
        match next.filter(|_| more) {
            Some(next) => {
                self.from = next.get();
                *pages = Some(self);
                Turned::More(next, Next::Fits)
            }
            None => Turned::Whole(self),
        }
    }

    /// Takes what is told, if it is the next epoch of the one that was begun with: for the members that are known. Whether it
    /// was that.
    pub(super) fn follow(&mut self, state: &State, changes: Items<'_, Change<'_>>) -> bool {
        if !follows(self.epoch(), state.epoch) {
            return false;
        }
        self.state = *state;
        self.ahead.clear();
        for new in changes {
            let of = match new {
                Change::Joined(entry) => Some(entry.member),
                Change::Left { member, .. } | Change::About { member, .. } | Change::Moved { member, .. } => {
                    Some(member)
                }
                Change::Spec(_) => None,
            };
            if of.is_none_or(|of| of.get() < self.from) {
                // If it doesn't fit, the roster isn't whole in the end.
                let _ = change(&mut self.members, &mut self.spec, new);
            }
        }
        true
    }
}

/// Whether an epoch is the next of its era.
pub(super) fn follows(epoch: Epoch, next: Epoch) -> bool {
    epoch.era() == next.era() && epoch.number().checked_add(1) == Some(next.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u32, port: u16, about: &'static [u8]) -> PoolMember {
        let number = Member::new(number).unwrap();
        PoolMember { number, address: ([192, 0, 2, 1], port).into(), about: Bytes::from_static(about) }
    }

    fn told(same: bool) -> Vec<PoolEvent> {
        let old = [member(1, 1, b"a"), member(2, 2, b"b"), member(3, 3, b"c")];
        let new = [member(2, 2, b"B"), member(3, 9, b"c"), member(4, 4, b"d")];
        let mut told = Vec::new();
        differences(&old.to_vec(), &new.to_vec(), same, &mut |event| told.push(event));
        told
    }

    #[test]
    fn what_differs_is_told_once_each() {
        let left = |member| PoolEvent::Left { member, reason: None };
        assert_eq!(
            told(true),
            [
                left(member(1, 1, b"a")),
                PoolEvent::About(member(2, 2, b"B")),
                PoolEvent::Moved(member(3, 9, b"c")),
                PoolEvent::Joined(member(4, 4, b"d")),
            ]
        );
    }

    #[test]
    fn numbers_of_another_lineage_mean_the_same_member_at_the_same_address_only() {
        let left = |member| PoolEvent::Left { member, reason: None };
        assert_eq!(
            told(false),
            [
                left(member(1, 1, b"a")),
                left(member(3, 3, b"c")),
                PoolEvent::About(member(2, 2, b"B")),
                PoolEvent::Joined(member(3, 9, b"c")),
                PoolEvent::Joined(member(4, 4, b"d")),
            ]
        );
    }
}
