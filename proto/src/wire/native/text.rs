//! What pools and members say of themselves, within its bounds.

use core::fmt;

use super::field::{self, Field, Parsed, Put, allowed};

/// The name of a pool, or the beginning of one: at most [`Name::MAX_LEN`] bytes (PROTOCOL.md, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a str);

/// What a pool says of itself: any bytes, at most [`Metadata::MAX_LEN`] (PROTOCOL.md, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata<'a>(&'a [u8]);

/// What a member says of itself: any bytes, at most [`About::MAX_LEN`] (PROTOCOL.md, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct About<'a>(&'a [u8]);

fn within(len: usize, max: usize) -> Result<(), TextTooLong> {
    if len <= max { Ok(()) } else { Err(TextTooLong { len, max }) }
}

impl<'a> Name<'a> {
    /// The longest name, in bytes of UTF-8.
    pub const MAX_LEN: usize = 64;

    /// Takes a name.
    ///
    /// # Errors
    /// If it is too long.
    pub fn new(name: &'a str) -> Result<Self, TextTooLong> {
        within(name.len(), Self::MAX_LEN).map(|()| Self(name))
    }

    /// The name. It may hold anything, control characters, too.
    #[must_use]
    pub const fn get(self) -> &'a str {
        self.0
    }
}

impl<'a> Metadata<'a> {
    /// The most metadata, in bytes.
    pub const MAX_LEN: usize = 512;

    /// Takes metadata.
    ///
    /// # Errors
    /// If it is too long.
    pub fn new(metadata: &'a [u8]) -> Result<Self, TextTooLong> {
        within(metadata.len(), Self::MAX_LEN).map(|()| Self(metadata))
    }

    /// The bytes.
    #[must_use]
    pub const fn get(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> About<'a> {
    /// The most that a member can say of itself, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Takes what a member says of itself.
    ///
    /// # Errors
    /// If it is too long.
    pub fn new(about: &'a [u8]) -> Result<Self, TextTooLong> {
        within(about.len(), Self::MAX_LEN).map(|()| Self(about))
    }

    /// The bytes.
    #[must_use]
    pub const fn get(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Field<'a> for Name<'a> {
    /// `name = text8, at most 64 bytes`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, text) = field::text8(input)?;
        allowed(rest, Self::new(text).ok())
    }

    fn write(&self, out: &mut impl Put) {
        out.put_bytes8(self.0.as_bytes());
    }
}

impl<'a> Field<'a> for Metadata<'a> {
    /// `metadata = bytes16, at most 512 bytes`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bytes) = field::bytes16(input)?;
        allowed(rest, Self::new(bytes).ok())
    }

    fn write(&self, out: &mut impl Put) {
        out.put_bytes16(self.0);
    }
}

impl<'a> Field<'a> for About<'a> {
    /// `about = bytes8, at most 128 bytes`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bytes) = field::bytes8(input)?;
        allowed(rest, Self::new(bytes).ok())
    }

    fn write(&self, out: &mut impl Put) {
        out.put_bytes8(self.0);
    }
}

/// A text is longer than this dialect carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextTooLong {
    /// Its length in bytes.
    pub len: usize,
    /// The most there may be.
    pub max: usize,
}

impl fmt::Display for TextTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of {} bytes is longer than {} bytes", self.len, self.max)
    }
}

impl core::error::Error for TextTooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_their_bounds() {
        let (text, bytes) = (alloc::string::String::from_utf8(alloc::vec![b'x'; 65]).unwrap(), [7; 513]);
        assert_eq!(Name::new(&text), Err(TextTooLong { len: 65, max: 64 }));
        let too_long = alloc::format!("{}", TextTooLong { len: 65, max: 64 });
        assert_eq!(too_long, "a text of 65 bytes is longer than 64 bytes");
        assert_eq!(Metadata::new(&bytes), Err(TextTooLong { len: 513, max: 512 }));
        assert_eq!(About::new(&bytes[..129]), Err(TextTooLong { len: 129, max: 128 }));
        assert_eq!(Name::new(&text[1..]).map(|name| name.get().len()), Ok(64));
        assert_eq!(Metadata::new(&bytes[1..]).map(|metadata| metadata.get().len()), Ok(512));
        assert_eq!(About::new(&bytes[..128]).map(|about| about.get().len()), Ok(128));
    }
}
