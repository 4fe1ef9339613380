//! How a broadcaster names its pools, so that a name leads straight to its pool.

use crate::PoolId;
use crate::wire::uuid;

/// The number behind a pool id: a random UUID (version 4) in which 32 bits are the pool's slot, blinded by 64 others
/// of its bits so that ids look alike in nothing. To find a pool is to read its slot and to compare the number.
/// It is kept as the bytes of the UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PoolKey([u8; 16]);

const VERSION: u128 = 0xf << 76;
const VERSION_4: u128 = 0x4 << 76;
const VARIANT: u128 = 0x3 << 62;
const VARIANT_RFC: u128 = 0x2 << 62;
const SLOT: u128 = 0xffff_ffff;
/// 2^64 divided by the golden ratio, which spreads bits well when multiplied with.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl PoolKey {
    pub(super) fn new(slot: u32, random: u128) -> Self {
        let uuid = (random & !VERSION & !VARIANT) | VERSION_4 | VARIANT_RFC;
        let upper = (uuid >> 64) as u64;
        Self(((uuid & !SLOT) | u128::from(slot ^ blind(upper))).to_be_bytes())
    }

    #[inline]
    fn slot(self) -> u32 {
        let [a, b, c, d, e, f, g, h, .., w, x, y, z] = self.0;
        u32::from_be_bytes([w, x, y, z]) ^ blind(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The number behind an id, none if it is no lower-case UUID.
    #[inline]
    pub(super) fn parse(id: &[u8]) -> Option<Self> {
        uuid::parse(id.try_into().ok()?).map(Self)
    }

    /// The id: a lower-case UUID of 36 bytes.
    pub(super) fn id(self) -> PoolId {
        let mut text = [0; uuid::LEN];
        uuid::write(&self.0, &mut text);
        PoolId::of_uuid(text)
    }

    /// The bytes of the UUID.
    #[inline]
    pub(super) fn uuid(&self) -> &[u8; 16] {
        &self.0
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
    #[inline]
    pub(super) fn slot(self, key: PoolKey) -> u32 {
        key.slot() >> self.bits
    }

    /// The slot of its shard that an id leads to: any if it is none.
    #[inline]
    pub(super) fn slot_of_text(self, id: &[u8; uuid::LEN]) -> u32 {
        let (upper, last) = uuid::ends(id);
        (last ^ blind(upper)) >> self.bits
    }

    /// The shard that a key leads to. There may be fewer.
    #[cfg(feature = "std")]
    pub(super) fn shard(self, key: PoolKey) -> u32 {
        key.slot() & !(u32::MAX << self.bits)
    }
}

/// What hides the slot in an id: the upper half of its bits, mixed.
#[inline]
fn blind(upper: u64) -> u32 {
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
        let hidden_by =
            |bits: u32| u128::from_be_bytes(PoolKey::new(bits, u128::from(bits) << 96).0) as u32 ^ bits;
        let masks: BTreeSet<u32> = (0..100).map(hidden_by).collect();
        assert_eq!(masks.len(), 100, "each by other bits");
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
