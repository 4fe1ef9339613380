//! Datagrams that hold lists are written item by item, as many as fit.

use bytes::BytesMut;

use super::answer::POOLS;
use super::datagram::Draft;
use super::field::{Field, Put as _};
use super::notice::{CHANGED, PAGE};
use super::{Change, Entry, Handle, Key, Listing, Member, PageStart, PoolUuid, State, Tx};

/// Writes items and counts them.
#[derive(Debug)]
struct List<'o> {
    draft: Draft<'o>,
    /// Where their number stands.
    at: usize,
    count: u8,
}

impl<'o> List<'o> {
    fn new(mut draft: Draft<'o>) -> Self {
        let at = draft.len();
        draft.put_u8(0);
        Self { draft, at, count: 0 }
    }

    fn push<'a>(&mut self, item: &impl Field<'a>) -> bool {
        match self.count.checked_add(1) {
            Some(count) if self.draft.fit(item) => {
                self.count = count;
                true
            }
            _ => false,
        }
    }

    fn finish(mut self, key: &Key) {
        self.draft.set(self.at, [self.count]);
        self.draft.finish(key);
    }
}

/// Writes the answer to `List`. Dropped before it is finished it leaves nothing behind.
#[derive(Debug)]
pub struct PoolsWriter<'o> {
    list: List<'o>,
    next: usize,
    last: Option<PoolUuid>,
}

impl<'o> PoolsWriter<'o> {
    /// Begins the answer to the request of this `tx` at the end of `out`.
    #[must_use]
    pub fn new(out: &'o mut BytesMut, tx: Tx) -> Self {
        let mut draft = Draft::new(out, POOLS);
        tx.write(&mut draft);
        let next = draft.len();
        PoolUuid::NIL.write(&mut draft);
        Self { list: List::new(draft), next, last: None }
    }

    /// Adds a pool if it fits, and says whether. Their ids ascend: one that is not greater than the last is not added.
    #[must_use = "it may not have fit"]
    pub fn push(&mut self, listing: &Listing<'_>) -> bool {
        let fits = self.last < Some(listing.pool) && self.list.push(listing);
        if fits {
            self.last = Some(listing.pool);
        }
        fits
    }

    /// Writes the rest, with the key of the request. `next` is what to ask for after these pools, if there may be
    /// more: the id of the last pool that was looked at. It is never written as less than that of the last one added.
    pub fn finish(mut self, key: &Key, next: Option<PoolUuid>) {
        if let Some(next) = next {
            self.list.draft.set(self.next, Some(next).max(self.last).unwrap_or(next).bytes());
        }
        self.list.finish(key);
    }
}

/// Writes a page of the roster. Dropped before it is finished it leaves nothing behind.
#[derive(Debug)]
pub struct PageWriter<'o> {
    list: List<'o>,
    more: usize,
    /// The number that the next member has at least; none if there is no higher one.
    from: Option<u32>,
}

impl<'o> PageWriter<'o> {
    /// Begins a page at the end of `out`, which answers what has this count.
    #[must_use]
    pub fn new(
        out: &'o mut BytesMut,
        handle: Handle,
        count: u32,
        start: &PageStart<'_>,
        state: &State,
    ) -> Self {
        let mut draft = Draft::new(out, PAGE);
        handle.write(&mut draft);
        draft.put_u32(count);
        let from = match start {
            PageStart::First(_) => 0,
            PageStart::From(member) => member.get(),
        };
        draft.put_u32(from);
        state.write(&mut draft);
        if let PageStart::First(spec) = start {
            spec.write(&mut draft);
        }
        let more = draft.len();
        draft.put_u8(0);
        Self { list: List::new(draft), more, from: Some(from) }
    }

    /// Adds a member if it fits, and says whether; the first one always does. Their numbers ascend from where the page
    /// begins: one that is lower, or not higher than the last, is not added.
    #[must_use = "it may not have fit"]
    pub fn push(&mut self, entry: &Entry<'_>) -> bool {
        let member = entry.member.get();
        let fits = self.from.is_some_and(|from| from <= member) && self.list.push(entry);
        if fits {
            self.from = member.checked_add(1);
        }
        fits
    }

    /// The member to begin the next page from: one behind the last added.
    #[must_use]
    pub fn next(&self) -> Option<Member> {
        self.from.and_then(Member::new)
    }

    /// Writes the rest, with the key of the session. `more` says whether there are members behind these; a page
    /// without any says that there are none.
    pub fn finish(mut self, key: &Key, more: bool) {
        self.list.draft.set(self.more, [u8::from(more && self.list.count > 0)]);
        self.list.finish(key);
    }
}

/// Writes what has changed in a pool. Dropped before it is finished it leaves nothing behind.
#[derive(Debug)]
pub struct ChangedWriter<'o> {
    list: List<'o>,
}

impl<'o> ChangedWriter<'o> {
    /// Begins at the end of `out`.
    #[must_use]
    pub fn new(out: &'o mut BytesMut, handle: Handle, state: &State) -> Self {
        let mut draft = Draft::new(out, CHANGED);
        handle.write(&mut draft);
        state.write(&mut draft);
        Self { list: List::new(draft) }
    }

    /// Adds a change if it fits, and says whether; the first one always does. What doesn't fit is told by the next
    /// epoch.
    #[must_use = "it may not have fit"]
    pub fn push(&mut self, change: &Change<'_>) -> bool {
        self.list.push(change)
    }

    /// Writes the rest, with the key of the session.
    pub fn finish(self, key: &Key) {
        self.list.finish(key);
    }
}
