//! The ids of pools: 16 bytes in datagrams, the text of a UUID for people.

use core::fmt;

use super::field::{self, Field, Parsed, Put};
use crate::PoolId;

/// The id of a pool as it stands in datagrams: any 16 bytes, ordered as byte strings (PROTOCOL.md, section 3.4).
///
/// To people it is a [`PoolId`] that is the text of a UUID, in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolUuid([u8; 16]);

/// Before which bytes there is a dash in the text.
const DASHES: [usize; 4] = [4, 6, 8, 10];

impl PoolUuid {
    /// Sixteen zero bytes: a list from its start.
    pub const NIL: Self = Self([0; 16]);

    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The id before it in order: a list after that begins with this pool (PROTOCOL.md, section 7.3). That of the first
    /// is itself.
    #[must_use]
    pub fn before(self) -> Self {
        Self(u128::from_be_bytes(self.0).saturating_sub(1).to_be_bytes())
    }

    /// The text of the UUID, in lower case.
    fn text(self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let mut places = text.iter_mut();
        for (at, byte) in self.0.iter().enumerate() {
            if DASHES.contains(&at) {
                places.next();
            }
            for digit in [byte >> 4, byte & 0xf] {
                if let Some(place) = places.next() {
                    *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
                }
            }
        }
        text
    }
}

impl From<PoolUuid> for PoolId {
    fn from(id: PoolUuid) -> Self {
        Self::of_uuid(id.text())
    }
}

/// Upper case is read, too.
impl TryFrom<PoolId> for PoolUuid {
    type Error = NotAUuid;

    fn try_from(id: PoolId) -> Result<Self, NotAUuid> {
        let mut text = id.as_bytes().iter();
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            if DASHES.contains(&at) && text.next() != Some(&b'-') {
                return Err(NotAUuid);
            }
            let mut digit = || text.next().and_then(|digit| char::from(*digit).to_digit(16)).ok_or(NotAUuid);
            *byte = u8::try_from(digit()? << 4 | digit()?).map_err(|_| NotAUuid)?;
        }
        if text.next().is_none() { Ok(Self(bytes)) } else { Err(NotAUuid) }
    }
}

impl fmt::Display for PoolUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PoolId::from(*self).fmt(f)
    }
}

impl fmt::Debug for PoolUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolUuid({self})")
    }
}

impl<'a> Field<'a> for PoolUuid {
    /// `pool = id`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        field::id(input).map(|(rest, bytes)| (rest, Self(bytes)))
    }

    fn write(&self, out: &mut impl Put) {
        out.put(&self.0);
    }
}

/// The name of a pool is not the text of a UUID, so no pool of this dialect has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAUuid;

impl fmt::Display for NotAUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of the pool is not a UUID")
    }
}

impl core::error::Error for NotAUuid {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const TEXT: &str = "306c97f9-4b65-451f-a914-68a573d71508";

    fn uuid(text: &str) -> Option<PoolUuid> {
        PoolUuid::try_from(text.parse::<PoolId>().unwrap()).ok()
    }

    #[test]
    fn a_uuid_is_text_and_bytes() {
        let id = uuid(TEXT).unwrap();
        assert_eq!(u128::from_be_bytes(id.bytes()), 0x306c_97f9_4b65_451f_a914_68a5_73d7_1508);
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(alloc::format!("{id:?}"), alloc::format!("PoolUuid({TEXT})"));
        assert_eq!(uuid(&TEXT.to_uppercase()), Some(id));
    }

    #[test]
    fn nothing_else_is() {
        assert_eq!(NotAUuid.to_string(), "the id of the pool is not a UUID");
        for text in
            ["x", &TEXT[1..], &TEXT.replace('-', ""), &TEXT.replace('6', "g"), &TEXT.replace('-', "0")]
        {
            assert_eq!(uuid(text), None, "{text}");
        }
        assert_eq!(uuid(&alloc::format!("{TEXT}0")), None);
    }

    #[test]
    fn the_one_before_is_less_by_one() {
        assert_eq!(uuid("00000000-0000-0000-0000-000000000100").unwrap().before().bytes()[14..], [0, 0xff]);
        assert_eq!(PoolUuid::NIL.before(), PoolUuid::NIL);
    }
}
