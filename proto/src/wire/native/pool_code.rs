//! The codes of pools, which a person can read out.

use core::fmt::{self, Write};
use core::str::FromStr;

use super::field::{self, Field, Parsed, Put, allowed};

/// The code of a pool, below 2⁴⁰. To a person it is eight characters (PROTOCOL.md, section 3.3).
///
/// ```
/// use poolmesh_proto::wire::native::PoolCode;
///
/// let code: PoolCode = "olii-abcd".parse()?;
/// assert_eq!(code.to_string(), "0111ABCD");
/// # Ok::<(), poolmesh_proto::wire::native::InvalidPoolCode>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolCode(u64);

/// Five bits each, without letters that look like digits or like each other (Crockford's base 32).
const CHARACTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LEN: u32 = 8;

impl PoolCode {
    /// All codes are below this number.
    pub const END: u64 = 1 << (5 * LEN);

    /// Takes the number; none if it is not below [`PoolCode::END`].
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number < Self::END).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

fn value(character: char) -> Option<u64> {
    let character = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    CHARACTERS.iter().zip(0..).find(|(one, _)| char::from(**one) == character).map(|(_, value)| value)
}

/// Case doesn't matter, `O` is `0`, `I` and `L` are `1`, and dashes and spaces are skipped.
impl FromStr for PoolCode {
    type Err = InvalidPoolCode;

    fn from_str(text: &str) -> Result<Self, InvalidPoolCode> {
        let mut number = 0;
        let mut len = 0;
        for character in text.chars().filter(|character| !matches!(character, '-' | ' ')) {
            number = number << 5 | value(character).ok_or(InvalidPoolCode)?;
            len += 1;
            if len > LEN {
                return Err(InvalidPoolCode);
            }
        }
        if len == LEN { Self::new(number).ok_or(InvalidPoolCode) } else { Err(InvalidPoolCode) }
    }
}

impl fmt::Display for PoolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..LEN).rev() {
            // Five bits lead to one of 32 characters.
            let bits = (self.0 >> (5 * place)) as usize % CHARACTERS.len();
            f.write_char(CHARACTERS.get(bits).copied().map_or('0', char::from))?;
        }
        Ok(())
    }
}

impl fmt::Debug for PoolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolCode({self})")
    }
}

impl<'a> Field<'a> for PoolCode {
    /// `code = u64, below 2⁴⁰`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, number) = field::u64(input)?;
        allowed(rest, Self::new(number))
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u64(self.0);
    }
}

/// A text is not the code of a pool: it has not eight characters, or one that codes don't have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPoolCode;

impl fmt::Display for InvalidPoolCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pool's code has eight letters and digits, and no U")
    }
}

impl core::error::Error for InvalidPoolCode {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn code(text: &str) -> Option<u64> {
        text.parse().ok().map(PoolCode::get)
    }

    #[test]
    fn the_highest_bits_come_first() {
        assert_eq!(PoolCode::new(1).unwrap().to_string(), "00000001");
        assert_eq!(PoolCode::new(PoolCode::END - 1).unwrap().to_string(), "ZZZZZZZZ");
        assert_eq!(PoolCode::new(1 << 35).unwrap().to_string(), "10000000");
        assert_eq!(PoolCode::new(PoolCode::END), None);
        assert_eq!(alloc::format!("{:?}", PoolCode::new(1).unwrap()), "PoolCode(00000001)");
        assert_eq!(code("0000000G"), Some(16));
        assert_eq!(code("ZZZZZZZZ"), Some(PoolCode::END - 1));
    }

    #[test]
    fn what_people_write_is_read() {
        for text in ["7h01-1abc", " 7HOi LABC", "7-H-0-1-1-A-B-C", "7hoIlabc"] {
            assert_eq!(code(text), code("7H011ABC"), "{text}");
            assert!(code(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_no_code_is_not() {
        assert_eq!(InvalidPoolCode.to_string(), "a pool's code has eight letters and digits, and no U");
        for text in ["", "1234567", "123456789", "1234567U", "1234567_", "1234567ä", "12345678\n"] {
            assert_eq!(text.parse::<PoolCode>(), Err(InvalidPoolCode), "{text}");
        }
    }
}
