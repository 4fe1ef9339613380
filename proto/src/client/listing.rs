//! Lists of pools: what is asked for, and what comes.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::PoolId;
use crate::wire::native::{Listing, PoolCode, PoolUuid, Seats};

/// Which pools to list. The default lets all through that are not hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Pools whose names begin so, at most 64 bytes of UTF-8.
    pub prefix: String,
    /// Pools with at least so many free seats. One that is full has 0.
    pub free: u16,
    /// Pools of the classic dialect, in place of those of the client's application. They have neither names nor seats.
    pub classic: bool,
    /// Where to go on: [`PoolPage::next`] of the page before. None: from the start.
    pub after: Option<Cursor>,
}

/// Where a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub(crate) PoolUuid);

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolPage {
    /// The pools, in the order of their ids. It may be empty while there is more. In the classic dialect they are as many as
    /// fit an answer, in the broadcaster's order.
    pub pools: Vec<PoolListing>,
    /// What [`ListFilter::after`] is to be for the next part; none: there is no more. None in the classic dialect.
    pub next: Option<Cursor>,
}

impl PoolPage {
    /// The ids of the pools.
    pub fn ids(&self) -> impl Iterator<Item = PoolId> + '_ {
        self.pools.iter().map(PoolListing::id)
    }
}

/// Some pools of which nothing but the ids is known.
impl FromIterator<PoolId> for PoolPage {
    fn from_iter<I: IntoIterator<Item = PoolId>>(ids: I) -> Self {
        Self { pools: ids.into_iter().map(PoolListing::classic).collect(), next: None }
    }
}

/// What a list says of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolListing {
    id: PoolId,
    /// None of a pool of the classic dialect.
    listed: Option<Box<Listed>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    code: PoolCode,
    locked: bool,
    members: u16,
    seats: Seats,
    name: Box<str>,
    metadata: Box<[u8]>,
}

impl PoolListing {
    /// A pool of the classic dialect, of which nothing but the id is known.
    #[must_use]
    pub fn classic(id: PoolId) -> Self {
        Self { id, listed: None }
    }

    /// The pool's id.
    #[must_use]
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// The pool's name. It may hold anything, control characters, too. Empty if it is a classic one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.listed.as_ref().map_or("", |listed| &listed.name)
    }

    /// The code by which it is joined, too. None if it is a classic one.
    #[must_use]
    pub fn code(&self) -> Option<PoolCode> {
        self.listed.as_ref().map(|listed| listed.code)
    }

    /// How many members it has. 0 if it is a classic one.
    #[must_use]
    pub fn members(&self) -> u16 {
        self.listed.as_ref().map_or(0, |listed| listed.members)
    }

    /// How many members it may have. 0 if it is a classic one.
    #[must_use]
    pub fn seats(&self) -> u16 {
        self.listed.as_ref().map_or(0, |listed| listed.seats.get())
    }

    /// How many seats are free. 0 if it is a classic one.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.seats().saturating_sub(self.members())
    }

    /// Whether the host lets nobody in.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.locked)
    }

    /// Whether it is a pool of the classic dialect, which is joined in that.
    #[must_use]
    pub fn is_classic(&self) -> bool {
        self.listed.is_none()
    }

    /// What the pool says of itself: at most 512 bytes.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        self.listed.as_ref().map_or(&[], |listed| &listed.metadata)
    }
}

impl From<Listing<'_>> for PoolListing {
    fn from(listing: Listing<'_>) -> Self {
        let listed = listing.listed.map(|listed| {
            Box::new(Listed {
                code: listed.code,
                locked: listed.locked,
                members: listed.members,
                seats: listed.seats,
                name: listed.name.get().into(),
                metadata: listed.metadata.get().into(),
            })
        });
        Self { id: listing.pool.into(), listed }
    }
}

/// By what a pool is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Door {
    /// Its id.
    Id(PoolId),
    /// Its code, which a person can read out.
    Code(PoolCode),
}

impl From<PoolId> for Door {
    fn from(id: PoolId) -> Self {
        Self::Id(id)
    }
}

impl From<PoolCode> for Door {
    fn from(code: PoolCode) -> Self {
        Self::Code(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::native::{Listed, Metadata, Name};

    #[test]
    fn a_listing_is_kept_as_it_was_read() {
        let listed = Listed {
            code: PoolCode::new(5).unwrap(),
            locked: true,
            members: 3,
            seats: Seats::new(8).unwrap(),
            name: Name::new("duel").unwrap(),
            metadata: Metadata::new(b"m").unwrap(),
        };
        let pool = PoolListing::from(Listing { pool: PoolUuid::new([7; 16]), listed: Some(listed) });
        assert_eq!(
            (pool.name(), pool.metadata(), pool.id()),
            ("duel", &b"m"[..], PoolUuid::new([7; 16]).into())
        );
        assert_eq!((pool.members(), pool.seats(), pool.free()), (3, 8, 5));
        assert_eq!((pool.code(), PoolListing::classic(pool.id()).code()), (PoolCode::new(5), None));
        assert!(pool.is_locked() && !pool.is_classic());
        let classic = PoolListing::classic("p".parse().unwrap());
        assert_eq!((classic.name(), classic.metadata(), classic.free()), ("", &[][..], 0));
        assert!(!classic.is_locked() && classic.is_classic());
    }
}
