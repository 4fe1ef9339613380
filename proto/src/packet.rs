//! What an application puts into an event: fields one after the other, without tags.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::fields;

/// Builds the payload of an event, field by field.
///
/// Integers are little endian; what has no method of its own goes in as [`bytes`](Self::bytes), a float say by its
/// `to_le_bytes`. Where gop2p's `Packet` differs: it writes a u16 as **four** bytes (the value, then
/// two zeros) and reads two, and it can't write a u64 at all. To a gop2p peer send a u32 instead, or a u16 followed
/// by a u16 of zero.
///
/// ```
/// use poolmesh_proto::{Packet, PacketReader};
///
/// let payload = Packet::new().string("hello").u16(7).freeze();
/// let mut reader = PacketReader::new(&payload);
/// assert_eq!(reader.string()?, "hello");
/// assert_eq!(reader.u16()?, 7);
/// assert_eq!(reader.u32().unwrap_err().to_string(), "a u32 is missing 4 of its 4 bytes");
/// # Ok::<(), poolmesh_proto::PacketError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Packet(BytesMut);

impl Packet {
    /// An empty payload.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one byte.
    pub fn u8(mut self, value: u8) -> Self {
        self.0.put_u8(value);
        self
    }

    /// Appends 2 bytes. gop2p writes 4.
    pub fn u16(mut self, value: u16) -> Self {
        self.0.put_u16_le(value);
        self
    }

    /// Appends 4 bytes.
    pub fn u32(mut self, value: u32) -> Self {
        self.0.put_u32_le(value);
        self
    }

    /// Appends 8 bytes. gop2p has no working counterpart.
    pub fn u64(mut self, value: u64) -> Self {
        self.0.put_u64_le(value);
        self
    }

    /// Appends a string: its length in bytes as a u32, then its bytes. It may be any bytes, as in gop2p. What lies
    /// beyond 4 GiB, far above any frame limit, is cut off.
    pub fn string(mut self, value: impl AsRef<[u8]>) -> Self {
        let bytes = value.as_ref();
        let bytes = usize::try_from(u32::MAX).ok().and_then(|most| bytes.get(..most)).unwrap_or(bytes);
        fields::put_string(&mut self.0, bytes);
        self
    }

    /// Appends a string array: one string of the items, joined by single spaces.
    ///
    /// # Errors
    /// If an item holds a space, or the only item is empty: such an array would be read as another one.
    pub fn strings<T: AsRef<[u8]>>(mut self, items: &[T]) -> Result<Self, AmbiguousArray> {
        if let Some(index) = items.iter().position(|item| item.as_ref().contains(&b' ')) {
            return Err(AmbiguousArray { index });
        }
        if matches!(items, [only] if only.as_ref().is_empty()) {
            return Err(AmbiguousArray { index: 0 });
        }
        fields::put_string_with(&mut self.0, |out| {
            for (index, item) in items.iter().enumerate() {
                out.put_bytes(b' ', usize::from(index > 0));
                out.put_slice(item.as_ref());
            }
        });
        Ok(self)
    }

    /// Appends bytes as they are, without a length.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.put_slice(bytes);
        self
    }

    /// The payload, ready to be sent, to one peer or to many.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        self.0.freeze()
    }
}

impl AsRef<[u8]> for Packet {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Packet> for Bytes {
    fn from(packet: Packet) -> Self {
        packet.freeze()
    }
}

/// An array of strings that the wire can't tell from another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousArray {
    /// The place of the item that is the cause: it holds a space, or it is empty and alone.
    pub index: usize,
}

impl fmt::Display for AmbiguousArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "item {} of a string array holds a space, or is empty and alone", self.index)
    }
}

impl core::error::Error for AmbiguousArray {}

/// Reads the payload of an event, field by field, in the order they were written.
///
/// A read that fails takes nothing: another kind of field can be tried at the same place.
#[derive(Clone, Debug)]
pub struct PacketReader<'a> {
    rest: &'a [u8],
}

impl<'a> PacketReader<'a> {
    /// Starts at the beginning of `payload`.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// If nothing is left.
    pub fn u8(&mut self) -> Result<u8, PacketError> {
        self.number("u8").map(u8::from_le_bytes)
    }

    /// Reads 2 bytes. What gop2p wrote as a u16 is 4: read another u16 behind it.
    ///
    /// # Errors
    /// If less is left.
    pub fn u16(&mut self) -> Result<u16, PacketError> {
        self.number("u16").map(u16::from_le_bytes)
    }

    /// Reads 4 bytes.
    ///
    /// # Errors
    /// If less is left.
    pub fn u32(&mut self) -> Result<u32, PacketError> {
        self.number("u32").map(u32::from_le_bytes)
    }

    /// Reads 8 bytes.
    ///
    /// # Errors
    /// If less is left.
    pub fn u64(&mut self) -> Result<u64, PacketError> {
        self.number("u64").map(u64::from_le_bytes)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// If it runs past the end, or is not UTF-8; [`string_bytes`](Self::string_bytes) reads such a one.
    pub fn string(&mut self) -> Result<&'a str, PacketError> {
        let before = self.rest;
        let bytes = self.string_bytes()?;
        core::str::from_utf8(bytes).map_err(|error| {
            self.rest = before;
            PacketError::NotUtf8 { valid_up_to: error.valid_up_to() }
        })
    }

    /// Reads a string as the bytes it consists of.
    ///
    /// # Errors
    /// If it runs past the end.
    pub fn string_bytes(&mut self) -> Result<&'a [u8], PacketError> {
        let (rest, bytes) = fields::string(self.rest).map_err(|error| {
            let missing = fields::shortfall(error).missing;
            let needed = (self.rest.len() as u64).saturating_add(missing);
            PacketError::Missing { what: "string", needed, missing }
        })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a string array, item by item. The empty string is the empty array.
    ///
    /// # Errors
    /// If its string runs past the end.
    pub fn strings(&mut self) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, PacketError> {
        self.string_bytes().map(fields::items)
    }

    /// Reads `len` bytes as they are.
    ///
    /// # Errors
    /// If less is left.
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], PacketError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.missing("run of bytes", len));
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn number<const LEN: usize>(&mut self, what: &'static str) -> Result<[u8; LEN], PacketError> {
        let Some((number, rest)) = self.rest.split_first_chunk() else {
            return Err(self.missing(what, LEN));
        };
        self.rest = rest;
        Ok(*number)
    }

    fn missing(&self, what: &'static str, needed: usize) -> PacketError {
        let missing = needed.saturating_sub(self.rest.len()) as u64;
        PacketError::Missing { what, needed: needed as u64, missing }
    }
}

/// Why a field can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketError {
    /// The payload ends within the field.
    Missing {
        /// The kind of field.
        what: &'static str,
        /// How many bytes the field takes in all, its own length included.
        needed: u64,
        /// How many of them are not there.
        missing: u64,
    },
    /// A string is not UTF-8.
    NotUtf8 {
        /// How many of its bytes are.
        valid_up_to: usize,
    },
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what, needed, missing } => {
                write!(f, "a {what} is missing {missing} of its {needed} bytes")
            }
            Self::NotUtf8 { valid_up_to } => {
                write!(f, "a string is not UTF-8 from its byte {valid_up_to} on")
            }
        }
    }
}

impl core::error::Error for PacketError {}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn fields_come_back_in_order() {
        let payload = Packet::new()
            .u8(1)
            .u16(2)
            .u32(3)
            .u64(4)
            .string("héllo")
            .strings(&["a", "", "b"])
            .unwrap()
            .bytes(&[9, 9])
            .freeze();
        let mut reader = PacketReader::new(&payload);
        assert_eq!(reader.u8(), Ok(1));
        assert_eq!(reader.u16(), Ok(2));
        assert_eq!(reader.u32(), Ok(3));
        assert_eq!(reader.u64(), Ok(4));
        assert_eq!(reader.string(), Ok("héllo"));
        let items: Vec<&[u8]> = reader.strings().unwrap().collect();
        assert_eq!(items, [b"a".as_slice(), b"", b"b"]);
        assert_eq!(reader.bytes(1), Ok(&[9][..]));
        assert_eq!(reader.rest(), [9]);
        assert_eq!(Bytes::from(Packet::new().u8(1)), [1][..]);
    }

    #[test]
    fn a_failed_read_says_what_is_missing_and_takes_nothing() {
        let mut reader = PacketReader::new(b"\x05\0\0\0abc");
        let missing = PacketError::Missing { what: "string", needed: 9, missing: 2 };
        assert_eq!(reader.string(), Err(missing));
        assert_eq!(reader.u64(), Err(PacketError::Missing { what: "u64", needed: 8, missing: 1 }));
        assert_eq!(
            reader.bytes(10),
            Err(PacketError::Missing { what: "run of bytes", needed: 10, missing: 3 })
        );
        assert_eq!(reader.u32(), Ok(5));

        let mut reader = PacketReader::new(b"\x02\0\0\0a\xff");
        assert_eq!(reader.string(), Err(PacketError::NotUtf8 { valid_up_to: 1 }));
        assert_eq!(reader.string_bytes(), Ok(&b"a\xff"[..]));
    }

    #[test]
    fn an_array_that_would_read_as_another_is_refused() {
        assert_eq!(Packet::new().strings(&["a", "b c"]), Err(AmbiguousArray { index: 1 }));
        assert_eq!(Packet::new().strings(&[""]), Err(AmbiguousArray { index: 0 }));
        assert_eq!(Packet::new().strings::<&str>(&[]).unwrap().freeze(), [0; 4][..]);
    }
}
