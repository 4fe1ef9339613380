//! How a broadcaster names its pools, so that a name leads straight to its pool.

use crate::PoolId;

/// Where injected randomness comes from.
///
/// A driver gives a cryptographic source, so that ids can't be guessed or made to repeat; a test gives a counter or
/// a seeded generator. Any `FnMut() -> u128` is one.
pub trait RandomSource {
    /// The next 128 random bits.
    fn next_u128(&mut self) -> u128;
}

impl<F: FnMut() -> u128> RandomSource for F {
    fn next_u128(&mut self) -> u128 {
        self()
    }
}

/// The number behind a pool id: a random UUID (version 4) in which 32 bits are the pool's slot, blinded by 64 others
/// of its bits so that ids look alike in nothing. To find a pool is to read its slot and to compare the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PoolKey(u128);

const VERSION: u128 = 0xf << 76;
const VERSION_4: u128 = 0x4 << 76;
const VARIANT: u128 = 0x3 << 62;
const VARIANT_RFC: u128 = 0x2 << 62;
const SLOT: u128 = 0xffff_ffff;
/// 2^64 divided by the golden ratio, which spreads bits well when multiplied with.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where in a UUID's text eight digits stand: four, and four more. Between them are dashes.
const DIGITS: [(usize, usize); 4] = [(0, 4), (9, 14), (19, 24), (28, 32)];
const DASHES: [usize; 4] = [8, 13, 18, 23];

impl PoolKey {
    pub(super) fn new(slot: u32, random: u128) -> Self {
        let uuid = (random & !VERSION & !VARIANT) | VERSION_4 | VARIANT_RFC;
        Self((uuid & !SLOT) | u128::from(slot ^ blind(uuid)))
    }

    fn slot(self) -> u32 {
        // The lowest 32 bits.
        self.0 as u32 ^ blind(self.0)
    }

    /// The number behind an id, none if it is no lower-case UUID.
    pub(super) fn parse(id: &[u8]) -> Option<Self> {
        let text: &[u8; 36] = id.try_into().ok()?;
        let mut key = 0;
        for (first, second) in DIGITS {
            let four = |at| Some(u32::from_be_bytes(*text.get(at..)?.first_chunk()?));
            key = key << 32 | u128::from(value(u64::from(four(first)?) << 32 | u64::from(four(second)?))?);
        }
        DASHES.iter().all(|at| text.get(*at) == Some(&b'-')).then_some(Self(key))
    }

    /// The id: a lower-case UUID of 36 bytes.
    pub(super) fn id(self) -> PoolId {
        let mut text = [b'-'; 36];
        let mut rest = self.0;
        for (first, second) in DIGITS.into_iter().rev() {
            let eight = digits(rest as u32);
            rest >>= 32;
            for (at, four) in [(first, (eight >> 32) as u32), (second, eight as u32)] {
                if let Some(place) = text.get_mut(at..).and_then(|text| text.first_chunk_mut()) {
                    *place = four.to_be_bytes();
                }
            }
        }
        PoolId::of_uuid(text)
    }
}

/// Which part of a key's slot is the shard's number, and which the slot's: none and all of it unless there are shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbering {
    /// How many of the lower bits are the shard's.
    bits: u32,
    shard: u32,
}

impl Numbering {
    /// That of a shard of so many.
    #[cfg(feature = "std")]
    pub(super) fn of(shard: u32, count: u32) -> Self {
        Self { bits: count.next_power_of_two().trailing_zeros(), shard }
    }

    /// What a slot of the shard is called in a key; none if the number is too large.
    pub(super) fn outside(self, slot: u32) -> Option<u32> {
        let moved = slot << self.bits;
        (moved >> self.bits == slot).then_some(moved | self.shard)
    }

    /// The slot of its shard that a key leads to.
    pub(super) fn slot(self, key: PoolKey) -> u32 {
        key.slot() >> self.bits
    }

    /// The shard that a key leads to. There may be fewer.
    #[cfg(feature = "std")]
    pub(super) fn shard(self, key: PoolKey) -> u32 {
        key.slot() & !(u32::MAX << self.bits)
    }
}

/// The same byte eight times.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The number that eight digits of text are, all at once; none if one is no lower-case digit.
fn value(text: u64) -> Option<u32> {
    // Letters have a bit that digits don't have, and their lower bits begin at 1.
    let values = (text & all(0x0f)) + 9 * (text >> 6 & all(0x01));
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    let value = (fours | fours >> 16) as u32;
    // Nothing else is written so.
    (digits(value) == text).then_some(value)
}

/// The eight digits of a number, as text.
fn digits(value: u32) -> u64 {
    let value = u64::from(value);
    let fours = (value | value << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (fours | fours << 8) & 0x00ff_00ff_00ff_00ff;
    let values = (pairs | pairs << 4) & all(0x0f);
    // From 10 on they are letters.
    let letters = (values + all(6)) >> 4 & all(0x01);
    values + all(b'0') + u64::from(b'a' - b'0' - 10) * letters
}

/// What hides the slot in an id: the upper half of its bits, mixed.
fn blind(uuid: u128) -> u32 {
    let upper = (uuid >> 64) as u64;
    (upper.wrapping_mul(SPREAD) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_id_leads_to_its_slot() {
        for (slot, random) in [(0, 0), (7, u128::MAX), (u32::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)]
        {
            let key = PoolKey::new(slot, random);
            assert_eq!(key.slot(), slot);
            assert_eq!(PoolKey::parse(key.id().as_bytes()), Some(key));
        }
    }

    #[test]
    fn an_id_does_not_show_its_slot() {
        let hidden_by = |bits: u32| PoolKey::new(bits, u128::from(bits) << 96).0 as u32 ^ bits;
        let masks: BTreeSet<u32> = (0..100).map(hidden_by).collect();
        assert_eq!(masks.len(), 100, "each by other bits");
    }

    #[test]
    fn any_function_is_a_random_source() {
        let mut bits = 5;
        let mut random = move || core::mem::replace(&mut bits, 7);
        assert_eq!([random.next_u128(), random.next_u128()], [5, 7]);
    }

    #[test]
    fn an_id_is_a_version_4_uuid() {
        let id = PoolKey::new(1, u128::MAX).id().to_string();
        assert_eq!(&id[..28], "ffffffff-ffff-4fff-bfff-ffff");
    }

    #[test]
    fn other_ids_are_nobodys() {
        for id in ["p", "ffffffff-ffff-4fff-bfff-fffffffffff", "FFFFFFFF-ffff-4fff-bfff-ffffffffffff"] {
            assert_eq!(PoolKey::parse(id.as_bytes()), None);
        }
    }
}
