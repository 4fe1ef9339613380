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

/// Where in a UUID's text the two digits of each byte stand, and what stands between them.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const DASHES: [usize; 4] = [8, 13, 18, 23];

impl PoolKey {
    pub(super) fn new(slot: u32, random: u128) -> Self {
        let uuid = (random & !VERSION & !VARIANT) | VERSION_4 | VARIANT_RFC;
        Self((uuid & !SLOT) | u128::from(slot ^ blind(uuid)))
    }

    pub(super) fn slot(self) -> u32 {
        // The lowest 32 bits.
        self.0 as u32 ^ blind(self.0)
    }

    /// The number behind an id, none if it is no lower-case UUID.
    pub(super) fn parse(id: &PoolId) -> Option<Self> {
        let text: &[u8; 36] = id.as_bytes().try_into().ok()?;
        let mut key = [0; 16];
        // Looked at once, behind the loop.
        let mut all = 0;
        for (byte, place) in key.iter_mut().zip(PLACES) {
            let [high, low] = text.get(place..)?.first_chunk()?.map(value);
            all |= high | low;
            *byte = high << 4 | low & 0xf;
        }
        let dashed = DASHES.iter().all(|place| text.get(*place) == Some(&b'-'));
        (dashed && all < 16).then_some(Self(u128::from_be_bytes(key)))
    }

    /// The id: a lower-case UUID of 36 bytes.
    pub(super) fn id(self) -> PoolId {
        let mut text = [b'-'; 36];
        for (byte, place) in self.0.to_be_bytes().into_iter().zip(PLACES) {
            if let Some(digits) = text.get_mut(place..).and_then(|text| text.first_chunk_mut()) {
                *digits = [digit(byte >> 4), digit(byte & 0xf)];
            }
        }
        PoolId::of_uuid(text)
    }
}

/// The value of a digit, 16 or more if it is none.
fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => u8::MAX,
    }
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
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
            assert_eq!(PoolKey::parse(&key.id()), Some(key));
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
            assert_eq!(PoolKey::parse(&id.parse().unwrap()), None);
        }
    }
}
