//! A list, gathered from its pages.

use alloc::vec::Vec;

use crate::{ListFilter, PoolListing, PoolPage};

/// A list that is gathered page by page, for calls that give all of it.
///
/// ```
/// use poolmesh_proto::driver::Pages;
/// use poolmesh_proto::{ListFilter, PoolPage};
///
/// # let ask = |_: &ListFilter| PoolPage::default();
/// let (mut pages, mut filter) = (Pages::default(), ListFilter::default());
/// while let Some(next) = pages.take(&filter, ask(&filter)) {
///     filter = next;
/// }
/// println!("{} pools", pages.into_pools().len());
/// ```
#[derive(Debug, Default)]
pub struct Pages {
    pools: Vec<PoolListing>,
    taken: usize,
}

impl Pages {
    /// How many pages are gathered at most: some 3,000 pools with short names.
    pub const MOST: usize = 64;

    /// Takes in the page that `filter` brought. What to ask for next; none if that was all, or as many as are gathered.
    #[must_use = "there may be more"]
    pub fn take(&mut self, filter: &ListFilter, page: PoolPage) -> Option<ListFilter> {
        self.pools.extend(page.pools);
        self.taken += 1;
        let after = page.next.filter(|_| self.taken < Self::MOST)?;
        Some(ListFilter { after: Some(after), ..filter.clone() })
    }

    /// What was gathered.
    #[must_use]
    pub fn into_pools(self) -> Vec<PoolListing> {
        self.pools
    }
}
