//! Which program a pool is of.

use core::fmt;

use super::field::{self, Field, Parsed, Put, allowed};

/// Keeps programs apart that share a broadcaster: 16 bytes of the programmer's choosing, not all of them 0 (PROTOCOL.md,
/// section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Application([u8; 16]);

impl Application {
    /// The longest name, in bytes.
    pub const MAX_NAME: usize = 16;

    /// That of programs that have not chosen one: `poolmesh`.
    pub const POOLMESH: Self = Self(*b"poolmesh\0\0\0\0\0\0\0\0");

    /// Takes 16 bytes, such as those of a UUID; none if all of them are 0.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Takes a name, and fills up with zero bytes.
    ///
    /// # Errors
    /// If it is empty, longer than [`Application::MAX_NAME`] bytes, or holds a zero byte.
    pub fn named(name: &str) -> Result<Self, InvalidApplication> {
        let invalid = InvalidApplication { len: name.len() };
        if name.is_empty() || name.contains('\0') {
            return Err(invalid);
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..name.len()).ok_or(invalid)?.copy_from_slice(name.as_bytes());
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// The name if there is one, otherwise the bytes; nothing that could forge a line.
impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let name = self.0.get(..end).unwrap_or_default();
        write!(f, "Application({})", name.escape_ascii())
    }
}

impl<'a> Field<'a> for Application {
    /// `application = id, not sixteen zero bytes`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bytes) = field::id(input)?;
        allowed(rest, Self::new(bytes))
    }

    fn write(&self, out: &mut impl Put) {
        out.put(&self.0);
    }
}

/// Why something can't be the name of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidApplication {
    /// Its length in bytes.
    pub len: usize,
}

impl fmt::Display for InvalidApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = Application::MAX_NAME;
        write!(f, "an application's name has 1 to {most} bytes, none of them 0; this one has {}", self.len)
    }
}

impl core::error::Error for InvalidApplication {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_filled_up_with_zero_bytes() {
        let chess = Application::named("chess").unwrap();
        assert_eq!(&chess.bytes(), b"chess\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(alloc::format!("{chess:?}"), "Application(chess)");
        assert_eq!(Application::named("poolmesh"), Ok(Application::POOLMESH));
        assert_eq!(Application::named("0123456789abcdef").unwrap().bytes(), *b"0123456789abcdef");
    }

    #[test]
    fn not_every_name_is_one() {
        assert_eq!(Application::named(""), Err(InvalidApplication { len: 0 }));
        assert_eq!(Application::named("a\0"), Err(InvalidApplication { len: 2 }));
        assert_eq!(Application::named("0123456789abcdefg"), Err(InvalidApplication { len: 17 }));
        assert_eq!(Application::new([0; 16]), None);
        assert_eq!(
            alloc::format!("{}", InvalidApplication { len: 17 }),
            "an application's name has 1 to 16 bytes, none of them 0; this one has 17"
        );
    }
}
