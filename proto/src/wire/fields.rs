//! The fields that datagrams and event bodies are made of.

use bytes::{BufMut, BytesMut};
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::le_u8;
use nom::{IResult, Parser};

/// The only thing that can be wrong with a field: that it ends too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortfall {
    /// How many bytes are missing.
    pub(crate) missing: u64,
}

impl<'a> ParseError<&'a [u8]> for Shortfall {
    fn from_error_kind(_: &'a [u8], _: ErrorKind) -> Self {
        Self { missing: 1 }
    }

    fn append(_: &'a [u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Shortfall>;

/// What went wrong, out of nom's wrapping. Complete parsers never answer `Incomplete`.
#[inline]
pub(crate) fn shortfall(error: nom::Err<Shortfall>) -> Shortfall {
    match error {
        nom::Err::Error(short) | nom::Err::Failure(short) => short,
        nom::Err::Incomplete(_) => Shortfall { missing: 1 },
    }
}

/// Runs a parser that reads exactly `len` bytes, or says how many of them are missing.
#[inline]
fn exactly<'a, P>(len: u32, parser: P, input: &'a [u8]) -> Parsed<'a, P::Output>
where
    P: Parser<&'a [u8], Error = Shortfall>,
{
    let have = input.len() as u64;
    let mut parser = parser;
    match u64::from(len).checked_sub(have) {
        Some(missing) if missing > 0 => Err(nom::Err::Error(Shortfall { missing })),
        _ => parser.parse(input),
    }
}

/// `u8`
#[inline]
pub(crate) fn byte(input: &[u8]) -> Parsed<'_, u8> {
    exactly(1, le_u8, input)
}

/// `u32 = 4 bytes, little endian`
#[inline]
pub(crate) fn u32(input: &[u8]) -> Parsed<'_, u32> {
    // nom's own reads byte by byte, of which compilers make a loop here and none there.
    let (input, bytes) = raw(4, input)?;
    Ok((input, bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))))
}

/// `len bytes`
#[inline]
pub(crate) fn raw(len: u32, input: &[u8]) -> Parsed<'_, &[u8]> {
    exactly(len, take(len), input)
}

/// `string = u32 length, bytes`
#[inline]
pub(crate) fn string(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, len) = u32(input)?;
    raw(len, input)
}

/// `string array = string of items joined by single spaces; the empty string is the empty array`
pub(crate) fn items(joined: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let none = joined.is_empty();
    joined.split(|byte| *byte == b' ').filter(move |_| !none)
}

/// Writes a `string` whose bytes `write` appends, and patches its length in afterwards.
#[inline]
pub(crate) fn put_string_with(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32_le(0);
    let start = out.len();
    write(out);
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..start) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

/// Writes a `string`. Its length is the caller's to bound: below 4 GiB.
#[inline]
pub(crate) fn put_string(out: &mut BytesMut, bytes: &[u8]) {
    put_string_with(out, |out| out.put_slice(bytes));
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn says_how_much_is_missing() {
        let missing = |input: &'static [u8]| string(input).map_err(shortfall).unwrap_err().missing;
        assert_eq!(missing(b""), 4);
        assert_eq!(missing(b"\x24\x00"), 2);
        assert_eq!(missing(b"\x24\x00\x00\x00abc"), 33);
        assert_eq!(missing(b"\xff\xff\xff\xff"), u64::from(u32::MAX));
    }

    #[test]
    fn the_empty_string_is_the_empty_array() {
        assert_eq!(items(b"").count(), 0);
        assert_eq!(items(b"a b").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(items(b"a ").collect::<Vec<_>>(), [b"a".as_slice(), b""]);
    }

    #[test]
    fn a_string_is_written_with_its_length() {
        let mut out = BytesMut::from(&b"x"[..]);
        put_string(&mut out, b"abc");
        assert_eq!(&out[..], b"x\x03\0\0\0abc");
    }
}
