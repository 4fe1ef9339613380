//! What a broadcaster says to members (PROTOCOL.md, section 5).

use bytes::BytesMut;

use super::datagram::{Closed, Draft, FIRST_BYTE};
use super::fault::{Fault, fault};
use super::field::{self, Field, Parsed, Put, allowed};
use super::refusal::{read_outcome, write_outcome};
use super::sip::tag;
use super::{
    Change, ChangedWriter, Cookie, EndReason, Entry, Handle, Items, Key, Member, PageWriter, Refusal, Spec,
    State,
};

/// What a broadcaster says to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// The member's place at the broadcaster.
    pub handle: Handle,
    /// What is said.
    pub news: News<'a>,
}

/// What a broadcaster says to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// The member has the latest roster.
    Pong {
        /// The count of what is answered.
        count: u32,
    },
    /// A part of the roster.
    Page(Page<'a>),
    /// An order is carried out, or refused.
    Done {
        /// The count of the order.
        count: u32,
        /// What came of it.
        outcome: Result<(), Refusal>,
    },
    /// The pool has changed.
    Changed {
        /// What holds now.
        state: State,
        /// What is new since the epoch before. It may be empty: the host can have changed alone.
        changes: Items<'a, Change<'a>>,
    },
    /// The session is over.
    Ended(EndReason),
}

/// A part of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The count of what is answered.
    pub count: u32,
    /// Which part it is.
    pub start: PageStart<'a>,
    /// What holds now.
    pub state: State,
    /// Whether there are members behind these.
    pub more: bool,
    /// The members, their numbers ascending.
    pub entries: Items<'a, Entry<'a>>,
}

/// Where in the roster a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart<'a> {
    /// It is the first, and has the spec.
    First(Spec<'a>),
    /// It has members of this number and higher ones.
    From(Member),
}

const PONG: u8 = 0x90;
pub(super) const PAGE: u8 = 0x91;
const DONE: u8 = 0x92;
pub(super) const CHANGED: u8 = 0x98;
const ENDED: u8 = 0x99;

/// Whether it is the type of something that is said to members.
pub(super) fn is_notice(kind: u8) -> bool {
    matches!(kind, PONG | PAGE | DONE | CHANGED | ENDED)
}

/// Something said to a member, whose tag has not been looked at: anybody can write it.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedNotice<'a> {
    closed: Closed<'a>,
    handle: Handle,
}

impl<'a> UnverifiedNotice<'a> {
    /// `notice = u32 handle, news`
    pub(super) fn read(closed: Closed<'a>) -> Result<Self, Fault> {
        let (fields, handle) = Handle::read(closed.fields).map_err(fault)?;
        Ok(Self { closed: closed.with_fields(fields), handle })
    }

    /// The place of the member that it is for.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// What is said, if its tag is right. The key is that of the session.
    ///
    /// # Errors
    /// What is wrong with it, first of all its tag.
    pub fn verify(&self, key: &Key) -> Result<Notice<'a>, Fault> {
        self.closed.check(key)?;
        let (_, news) = news(self.closed.kind, self.closed.fields).map_err(fault)?;
        Ok(Notice { handle: self.handle, news })
    }
}

fn news(kind: u8, input: &[u8]) -> Parsed<'_, News<'_>> {
    match kind {
        PONG => field::u32(input).map(|(rest, count)| (rest, News::Pong { count })),
        PAGE => page(input).map(|(rest, page)| (rest, News::Page(page))),
        DONE => done(input),
        CHANGED => changed(input),
        ENDED => EndReason::read(input).map(|(rest, reason)| (rest, News::Ended(reason))),
        _ => Err(nom::Err::Error(Fault::UnknownType)),
    }
}

/// `page = u32 count, u32 from, state, [spec,] u8 more, u8 length, length × entry`; the spec if from is 0; the members'
/// numbers ascend from there on; more is 0 or 1, and 0 if there are no entries
fn page(input: &[u8]) -> Parsed<'_, Page<'_>> {
    let (input, count) = field::u32(input)?;
    let (input, from) = field::u32(input)?;
    let (input, state) = State::read(input)?;
    let (input, start) = match Member::new(from) {
        Some(from) => (input, PageStart::From(from)),
        None => Spec::read(input).map(|(rest, spec)| (rest, PageStart::First(spec)))?,
    };
    let (input, more) = field::byte(input)?;
    let (input, length) = field::byte(input)?;
    let (rest, entries) = Items::<Entry<'_>>::read(length, input)?;
    let numbers = entries.map(|entry| entry.member.get());
    let ascending = numbers.clone().is_sorted_by(|one, other| one < other);
    let from_there = numbers.clone().next().is_none_or(|first| first >= from);
    let is_more = more == 0 || more == 1 && length > 0;
    let page = Page { count, start, state, more: more == 1, entries };
    allowed(rest, (ascending && from_there && is_more).then_some(page))
}

/// `done = u32 count, outcome`
fn done(input: &[u8]) -> Parsed<'_, News<'_>> {
    let (input, count) = field::u32(input)?;
    let (rest, outcome) = read_outcome(input)?;
    Ok((rest, News::Done { count, outcome }))
}

/// `changed = state, u8 length, length × change`
fn changed(input: &[u8]) -> Parsed<'_, News<'_>> {
    let (input, state) = State::read(input)?;
    let (input, length) = field::byte(input)?;
    let (rest, changes) = Items::read(length, input)?;
    Ok((rest, News::Changed { state, changes }))
}

/// The bytes of a [`News::Pong`], of which there are more than of all else.
#[inline]
pub(crate) fn pong(handle: Handle, count: u32, key: &Key) -> [u8; 18] {
    let [a, b, c, d] = handle.0.to_le_bytes();
    let [e, f, g, h] = count.to_le_bytes();
    let tagged = [FIRST_BYTE, PONG, a, b, c, d, e, f, g, h];
    let [s, t, u, v, w, x, y, z] = tag(key, &tagged);
    [FIRST_BYTE, PONG, a, b, c, d, e, f, g, h, s, t, u, v, w, x, y, z]
}

impl Notice<'_> {
    /// Appends what is said to `out`, with the key of the session, and answers how many items of its list, from the
    /// end, didn't fit: none of what was read. To write what was not read from a datagram there are [`PageWriter`] and
    /// [`ChangedWriter`].
    #[must_use = "what didn't fit is not told"]
    pub fn write(&self, key: &Key, out: &mut BytesMut) -> usize {
        let mut left = 0;
        match &self.news {
            News::Pong { count } => self.write_as(PONG, key, out, |draft| draft.put_u32(*count)),
            News::Done { count, outcome } => self.write_as(DONE, key, out, |draft| {
                draft.put_u32(*count);
                write_outcome(*outcome, draft);
            }),
            News::Ended(reason) => self.write_as(ENDED, key, out, |draft| reason.write(draft)),
            News::Page(page) => {
                let mut writer = PageWriter::new(out, self.handle, page.count, &page.start, &page.state);
                left = page.entries.len() - page.entries.take_while(|entry| writer.push(entry)).count();
                writer.finish(key, page.more || left > 0);
            }
            News::Changed { state, changes } => {
                let mut writer = ChangedWriter::new(out, self.handle, state);
                left = changes.len() - changes.take_while(|change| writer.push(change)).count();
                writer.finish(key);
            }
        }
        left
    }

    fn write_as(&self, kind: u8, key: &Key, out: &mut BytesMut, write: impl FnOnce(&mut Draft<'_>)) {
        let mut draft = Draft::new(out, kind);
        self.handle.write(&mut draft);
        write(&mut draft);
        draft.finish(key);
    }
}

/// What a broadcaster says to an address from which it got a member's message, without the key of a session. It guards
/// against damage only: anybody can write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The handle that was in the message.
    pub handle: Handle,
    /// The count that was in the message.
    pub count: u32,
    /// None: the handle is nobody's, or the tag was wrong (`Unknown`). Otherwise a member is known at another address,
    /// and may move to this one by the cookie (`Prove`).
    pub prove: Option<Cookie>,
}

const UNKNOWN: u8 = 0xa0;
const PROVE: u8 = 0xa1;

/// Whether it is the type of a challenge.
pub(super) fn is_challenge(kind: u8) -> bool {
    matches!(kind, UNKNOWN | PROVE)
}

impl Challenge {
    /// `challenge = u32 handle, u32 count, or u32 handle, u32 count, u64 cookie`
    pub(super) fn read(closed: &Closed<'_>) -> Result<Self, Fault> {
        closed.check(&Key::ZERO)?;
        let (input, handle) = Handle::read(closed.fields).map_err(fault)?;
        let (rest, count) = field::u32(input).map_err(fault)?;
        let prove = match closed.kind {
            PROVE => Some(Cookie::read(rest).map_err(fault)?.1),
            _ => None,
        };
        Ok(Self { handle, count, prove })
    }

    /// Appends it to `out`: 18 bytes, or 26 with a cookie.
    pub fn write(&self, out: &mut BytesMut) {
        let mut draft = Draft::new(out, if self.prove.is_some() { PROVE } else { UNKNOWN });
        self.handle.write(&mut draft);
        draft.put_u32(self.count);
        if let Some(cookie) = self.prove {
            cookie.write(&mut draft);
        }
        draft.finish(&Key::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{About, Address, Epoch, FromBroadcaster, Metadata, PoolSpec, Seal, Seats, Term};
    use super::*;

    const KEY: Key = Key::new([7; 16]);

    fn page(datagram: &[u8]) -> Page<'_> {
        let Ok(FromBroadcaster::Notice(notice)) = FromBroadcaster::read(datagram) else { panic!() };
        let News::Page(page) = notice.verify(&KEY).unwrap().news else { panic!() };
        page
    }

    #[test]
    fn what_did_not_fit_is_counted_and_there_is_more() {
        let number = |number| Member::new(number).unwrap();
        let state = State {
            epoch: Epoch::new(1, 1).unwrap(),
            generation: 0,
            base: None,
            came: 0,
            term: Term::new(1).unwrap(),
            host: number(1),
            next: number(100),
            purged: 0,
            count: Seats::new(99).unwrap(),
            seal: Seal::new([0; 16]),
        };
        let mut full = BytesMut::new();
        let from = PageStart::From(number(1));
        let mut writer = PageWriter::new(&mut full, Handle(3), 1, &from, &state);
        let address = Address::new("192.0.2.1:258".parse().unwrap()).unwrap();
        let entry = |member| Entry { member: number(member), address, about: About::default() };
        let fitted = (1..100).take_while(|member| writer.push(&entry(*member))).count();
        writer.finish(&KEY, false);

        let spec = PoolSpec::new(Seats::new(99).unwrap()).with_metadata(&[7; Metadata::MAX_LEN]).unwrap();
        let first = Page { start: PageStart::First(spec.as_spec()), ..page(&full) };
        let mut out = BytesMut::new();
        let left = Notice { handle: Handle(3), news: News::Page(first) }.write(&KEY, &mut out);
        let written = page(&out);
        assert_eq!((left + written.entries.len(), written.more), (fitted, true));
        assert!(left > 0 && written.entries.len() > 0, "{left}");

        out.clear();
        let again = page(&full);
        assert_eq!(Notice { handle: Handle(3), news: News::Page(again) }.write(&KEY, &mut out), 0);
        assert_eq!(out, full, "of what was read nothing is left");
    }
}
