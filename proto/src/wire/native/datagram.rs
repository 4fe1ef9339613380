//! The form that all datagrams have (PROTOCOL.md, section 1).

use core::time::Duration;

use bytes::{BufMut as _, BytesMut};
use nom::bytes::complete::take;

use super::fault::{Fault, fault};
use super::field::{self, Field, Parsed, Put};
use super::sip::{same, tag};
use super::{Cookie, Key};

/// The first byte of every datagram of this dialect.
pub const FIRST_BYTE: u8 = 0xa1;

/// The longest datagram, in bytes.
pub const MAX_DATAGRAM: usize = 1_200;

/// No member pings more often, and no broadcaster asks for it.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// So many pages a question draws at most.
pub(crate) const PAGES: usize = 8;

/// The bytes of the shortest message of a member. So what answers who can't be verified is never longer than what
/// asked.
pub const LEAST_MESSAGE: usize = 30;

/// The bytes of the shortest request: a `Create` whose texts are empty.
pub const LEAST_REQUEST: usize = 50;

/// The bytes of the longest datagram that goes to an address that has not proven itself: `Cookie` and `Prove`.
pub const LONGEST_TO_UNPROVEN: usize = HEADER + 8 + size_of::<Cookie>() + TAG;

const _: () = assert!(LONGEST_TO_UNPROVEN <= LEAST_MESSAGE && LONGEST_TO_UNPROVEN <= LEAST_REQUEST);

/// From this type on it is from a broadcaster.
const BROADCASTERS: u8 = 0x80;
const HEADER: usize = 2;
const TAG: usize = 8;

/// Who wrote a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Broadcaster,
}

/// A datagram of the other side, of which the tag and the fields have not been looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed<'a> {
    pub(super) kind: u8,
    /// What is between the type and the tag.
    pub(super) fields: &'a [u8],
    whole: &'a [u8],
}

/// `datagram = 0xA1, u8 type, fields, skipped, 8 bytes tag`
pub(super) fn open(datagram: &[u8], from: Side) -> Result<Closed<'_>, Fault> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(Fault::TooLong);
    }
    let (rest, first) = field::byte(datagram).map_err(fault)?;
    if first != FIRST_BYTE {
        return Err(Fault::OtherDialect);
    }
    let (rest, kind) = field::byte(rest).map_err(fault)?;
    if (kind < BROADCASTERS) != (from == Side::Client) {
        return Err(Fault::WrongSide);
    }
    let (_, fields) = before_tag(rest).map_err(fault)?;
    Ok(Closed { kind, fields, whole: datagram })
}

/// `all but the last 8 bytes`
fn before_tag(input: &[u8]) -> Parsed<'_, &[u8]> {
    match input.len().checked_sub(TAG) {
        Some(len) => take(len)(input),
        None => Err(nom::Err::Error(Fault::Truncated)),
    }
}

impl<'a> Closed<'a> {
    /// With what is left of the fields.
    pub(super) fn with_fields(self, fields: &'a [u8]) -> Self {
        Self { fields, ..self }
    }

    /// The bytes of the whole datagram.
    pub(super) fn len(&self) -> usize {
        self.whole.len()
    }

    /// Looks at the tag.
    pub(super) fn check(&self, key: &Key) -> Result<(), Fault> {
        match self.whole.split_last_chunk() {
            Some((tagged, written)) if same(written, &tag(key, tagged)) => Ok(()),
            _ => Err(Fault::WrongTag),
        }
    }
}

/// A datagram that is being written at the end of a buffer. If it is given up the buffer is left as it was.
#[derive(Debug)]
pub(super) struct Draft<'o> {
    out: &'o mut BytesMut,
    start: usize,
    finished: bool,
}

impl<'o> Draft<'o> {
    pub(super) fn new(out: &'o mut BytesMut, kind: u8) -> Self {
        let start = out.len();
        out.put_slice(&[FIRST_BYTE, kind]);
        Self { out, start, finished: false }
    }

    /// Fills up with zero bytes, so that with its tag it has at least so many.
    pub(super) fn pad(&mut self, least: usize) {
        let end = self.start + least.saturating_sub(TAG);
        if self.out.len() < end {
            self.out.resize(end, 0);
        }
    }

    /// How many bytes are written. It is what [`Draft::set`] takes as the place of what is written next.
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Writes over what was written at this place.
    pub(super) fn set<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        let place = self.out.get_mut(self.start + at..).and_then(|rest| rest.first_chunk_mut());
        if let Some(place) = place {
            *place = bytes;
        }
    }

    /// Writes an item if there is room for it and the tag, and says whether.
    pub(super) fn fit<'a>(&mut self, item: &impl Field<'a>) -> bool {
        let before = self.out.len();
        item.write(self);
        let fits = self.len() + TAG <= MAX_DATAGRAM;
        if !fits {
            self.out.truncate(before);
        }
        fits
    }

    /// Writes the tag.
    pub(super) fn finish(mut self, key: &Key) {
        let tagged = self.out.get(self.start..).unwrap_or_default();
        let tag = tag(key, tagged);
        self.out.put_slice(&tag);
        self.finished = true;
    }
}

impl Put for Draft<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::About;
    use super::*;

    #[test]
    fn what_is_given_up_leaves_nothing() {
        let mut out = BytesMut::from(&b"before"[..]);
        Draft::new(&mut out, 7).put(b"fields");
        assert_eq!(&out[..], b"before");
    }

    #[test]
    fn a_datagram_is_padded_up_to_its_tag() {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut draft = Draft::new(&mut out, 7);
        draft.put(b"f");
        draft.pad(20);
        draft.finish(&Key::ZERO);
        assert_eq!(&out[..18], b"before\xa1\x07f\0\0\0\0\0\0\0\0\0");
        assert_eq!(out.len(), 26);
        assert_eq!(out[18..], tag(&Key::ZERO, &out[6..18]));
        let closed = open(&out[6..], Side::Client).unwrap();
        assert_eq!((closed.kind, closed.fields), (7, &b"f\0\0\0\0\0\0\0\0\0"[..]));
        assert_eq!(
            (closed.check(&Key::ZERO), closed.check(&Key::new([1; 16]))),
            (Ok(()), Err(Fault::WrongTag))
        );
    }

    #[test]
    fn an_item_is_written_whole_or_not_at_all() {
        let mut out = BytesMut::new();
        let mut draft = Draft::new(&mut out, 7);
        let about = About::new(&[7; 98]).unwrap();
        assert_eq!((0..20).filter(|_| draft.fit(&about)).count(), 12);
        assert_eq!(draft.len(), 2 + 12 * 99);
        assert!(draft.fit(&About::new(&[7]).unwrap()));
        assert!(!draft.fit(&About::default()));
        draft.finish(&Key::ZERO);
        assert_eq!(out.len(), MAX_DATAGRAM);
    }

    #[test]
    fn the_form_is_looked_at_first() {
        let is = |datagram: &[u8]| open(datagram, Side::Broadcaster).map(|closed| closed.kind);
        assert_eq!(is(b""), Err(Fault::Truncated));
        assert_eq!(is(b"\x03"), Err(Fault::OtherDialect));
        assert_eq!(is(b"\xa1"), Err(Fault::Truncated));
        assert_eq!(is(b"\xa1\x7f"), Err(Fault::WrongSide));
        assert_eq!(is(b"\xa1\x80"), Err(Fault::Truncated));
        assert_eq!(is(b"\xa1\x8012345678"), Ok(0x80));
        assert_eq!(is(&[0xa1; 1_200]), Ok(0xa1));
        assert_eq!(is(&[0xa1; 1_201]), Err(Fault::TooLong));
    }
}
