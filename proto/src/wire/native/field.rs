//! The kinds of fields (PROTOCOL.md, section 1.1), and where they are written to.

use bytes::{BufMut, BytesMut};
use nom::IResult;
use nom::bytes::complete::take;
use nom::number::complete::{le_u8, le_u16, le_u32, le_u64};

use super::fault::Fault;

pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// Something that stands in datagrams.
pub trait Field<'a>: Copy {
    /// Reads one off the front of `input`.
    fn read(input: &'a [u8]) -> Parsed<'a, Self>;

    /// Writes it.
    fn write(&self, out: &mut impl Put);
}

/// Where fields are written to: into a datagram, or into a hash.
pub trait Put {
    /// Takes these bytes.
    fn put(&mut self, bytes: &[u8]);

    /// `u8`
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// `u16 = 2 bytes, little endian`
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    /// `u32 = 4 bytes, little endian`
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// `u64 = 8 bytes, little endian`
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// `bytes8 = u8 length, bytes`, of what is bounded to 255 bytes by its type.
    fn put_bytes8(&mut self, bytes: &[u8]) {
        self.put_u8(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        self.put(bytes);
    }

    /// `bytes16 = u16 length, bytes`, of what is bounded to 65,535 bytes by its type.
    fn put_bytes16(&mut self, bytes: &[u8]) {
        self.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        self.put(bytes);
    }
}

impl Put for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

/// What was read, if it may be there.
pub(super) fn allowed<T>(rest: &[u8], value: Option<T>) -> Parsed<'_, T> {
    match value {
        Some(value) => Ok((rest, value)),
        None => Err(nom::Err::Error(Fault::BadValue)),
    }
}

/// `u8`
pub(super) fn byte(input: &[u8]) -> Parsed<'_, u8> {
    le_u8(input)
}

/// `u16 = 2 bytes, little endian`
pub(super) fn u16(input: &[u8]) -> Parsed<'_, u16> {
    le_u16(input)
}

/// `u32 = 4 bytes, little endian`
pub(super) fn u32(input: &[u8]) -> Parsed<'_, u32> {
    le_u32(input)
}

/// `u64 = 8 bytes, little endian`
pub(super) fn u64(input: &[u8]) -> Parsed<'_, u64> {
    le_u64(input)
}

/// `N bytes`
pub(super) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    let (rest, bytes) = take(N)(input)?;
    allowed(rest, bytes.first_chunk().copied())
}

/// `id = 16 bytes`
pub(super) fn id(input: &[u8]) -> Parsed<'_, [u8; 16]> {
    array(input)
}

/// `bytes8 = u8 length, bytes`
pub(super) fn bytes8(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, len) = byte(input)?;
    take(len)(input)
}

/// `bytes16 = u16 length, bytes`
pub(super) fn bytes16(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (input, len) = u16(input)?;
    take(len)(input)
}

/// `text8 = u8 length, UTF-8`
pub(super) fn text8(input: &[u8]) -> Parsed<'_, &str> {
    let (rest, bytes) = bytes8(input)?;
    allowed(rest, core::str::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::super::fault::fault;
    use super::*;

    #[test]
    fn numbers_are_little_endian() {
        assert_eq!(u16(b"\x01\x02\x03"), Ok((&b"\x03"[..], 0x0201)));
        assert_eq!(u32(b"\x01\x02\x03\x04"), Ok((&b""[..], 0x0403_0201)));
        assert_eq!(u64(b"\x01\x02\x03\x04\x05\x06\x07\x08"), Ok((&b""[..], 0x0807_0605_0403_0201)));
        let mut out = BytesMut::new();
        Put::put_u16(&mut out, 0x0201);
        Put::put_u32(&mut out, 0x0403_0201);
        Put::put_u64(&mut out, 0x0807_0605_0403_0201);
        assert_eq!(&out[..], b"\x01\x02\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08");
    }

    #[test]
    fn a_field_that_ends_too_early_says_so() {
        assert_eq!(byte(b"").map_err(fault), Err(Fault::Truncated));
        assert_eq!(u64(&[0; 7]).map_err(fault), Err(Fault::Truncated));
        assert_eq!(id(&[0; 15]).map_err(fault), Err(Fault::Truncated));
        assert_eq!(bytes8(b"\x03ab").map_err(fault), Err(Fault::Truncated));
        assert_eq!(bytes16(b"\x03\0ab").map_err(fault), Err(Fault::Truncated));
        assert_eq!(text8(b"\x03ab").map_err(fault), Err(Fault::Truncated));
    }

    #[test]
    fn texts_are_utf_8() {
        assert_eq!(text8(b"\x02\xc3\xa4x"), Ok((&b"x"[..], "ä")));
        assert_eq!(text8(b"\x01\xc3").map_err(fault), Err(Fault::BadValue));
    }
}
