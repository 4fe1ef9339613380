//! Tags and keyed bytes (PROTOCOL.md, section 1.2): SipHash-2-4 of Aumasson and Bernstein (2012).

use core::fmt;
use core::hint::black_box;

use super::field::{self, Field, Parsed, Put};
use super::{Cookie, Tx};

/// A key of 16 bytes. It shows itself to nobody who formats it.
#[derive(Clone, Copy)]
pub struct Key([u8; 16]);

impl Key {
    /// Sixteen zero bytes: the key of what guards against damage only.
    pub const ZERO: Self = Self([0; 16]);

    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key of a request's tag, and of the tags of its answers: its `tx`, then its `cookie`, eight zero bytes if it
    /// has none.
    #[must_use]
    pub fn of_request(tx: Tx, cookie: Option<Cookie>) -> Self {
        let cookie = cookie.map_or(0, Cookie::get);
        Self((u128::from(tx.get()) | u128::from(cookie) << 64).to_le_bytes())
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Takes the same time whatever differs.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl<'a> Field<'a> for Key {
    /// `key = id`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        field::id(input).map(|(rest, bytes)| (rest, Self(bytes)))
    }

    fn write(&self, out: &mut impl Put) {
        out.put(&self.0);
    }
}

/// What makes a ticket of what a member knows (PROTOCOL.md, section 7).
#[derive(Clone, Copy)]
pub struct Seal([u8; 16]);

impl Seal {
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
}

/// Takes the same time whatever differs.
impl PartialEq for Seal {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl Eq for Seal {}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

impl<'a> Field<'a> for Seal {
    /// `seal = id`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        field::id(input).map(|(rest, bytes)| (rest, Self(bytes)))
    }

    fn write(&self, out: &mut impl Put) {
        out.put(&self.0);
    }
}

/// The tag over `bytes`: SipHash-2-4 with 64 bits of output.
#[must_use]
// Where the length is known it takes a third less.
#[inline(always)]
pub fn tag(key: &Key, bytes: &[u8]) -> [u8; 8] {
    let mut hash = SipHash::new(key, 0);
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk() {
        hash.word(u64::from_le_bytes(*word));
        rest = behind;
    }
    hash.word(last_word(rest, bytes.len()));
    hash.finish(0xff).to_le_bytes()
}

/// The PRF over `bytes`: SipHash-2-4 with 128 bits of output.
#[must_use]
pub fn prf(key: &Key, bytes: &[u8]) -> [u8; 16] {
    let mut prf = Prf::new(key);
    prf.put(bytes);
    prf.finish()
}

/// The PRF over what is put into it.
pub(super) struct Prf {
    hash: SipHash,
    /// What is not yet a word, in so many of its first bytes.
    partial: [u8; 8],
    filled: usize,
    len: usize,
}

impl Prf {
    pub(super) fn new(key: &Key) -> Self {
        Self { hash: SipHash::new(key, 0xee), partial: [0; 8], filled: 0, len: 0 }
    }

    pub(super) fn finish(mut self) -> [u8; 16] {
        let rest = self.partial.get(..self.filled).unwrap_or_default();
        self.hash.word(last_word(rest, self.len));
        let first = self.hash.finish(0xee);
        self.hash.v1 ^= 0xdd;
        self.hash.rounds(4);
        (u128::from(first) | u128::from(self.hash.all()) << 64).to_le_bytes()
    }
}

impl Put for Prf {
    fn put(&mut self, bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len());
        for byte in bytes {
            if let Some(place) = self.partial.get_mut(self.filled) {
                *place = *byte;
                self.filled += 1;
            }
            if self.filled == self.partial.len() {
                self.hash.word(u64::from_le_bytes(self.partial));
                self.filled = 0;
            }
        }
    }
}

/// SipHash-2-4, after the paper's section 2 and its reference implementation, which adds the outputs of 128 bits. It stands
/// here because the core depends on nothing but its parser and its buffers; the tests hold it against a library.
struct SipHash {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl SipHash {
    /// What `v1` begins with says how long the output is.
    #[inline]
    fn new(key: &Key, output: u64) -> Self {
        let key = u128::from_le_bytes(key.0);
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        Self {
            v0: k0 ^ 0x736f_6d65_7073_6575,
            v1: k1 ^ 0x646f_7261_6e64_6f6d ^ output,
            v2: k0 ^ 0x6c79_6765_6e65_7261,
            v3: k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    fn rounds(&mut self, count: u32) {
        for _ in 0..count {
            self.v0 = self.v0.wrapping_add(self.v1);
            self.v1 = self.v1.rotate_left(13) ^ self.v0;
            self.v0 = self.v0.rotate_left(32);
            self.v2 = self.v2.wrapping_add(self.v3);
            self.v3 = self.v3.rotate_left(16) ^ self.v2;
            self.v0 = self.v0.wrapping_add(self.v3);
            self.v3 = self.v3.rotate_left(21) ^ self.v0;
            self.v2 = self.v2.wrapping_add(self.v1);
            self.v1 = self.v1.rotate_left(17) ^ self.v2;
            self.v2 = self.v2.rotate_left(32);
        }
    }

    #[inline]
    fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.rounds(2);
        self.v0 ^= word;
    }

    fn all(&self) -> u64 {
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline]
    fn finish(&mut self, output: u64) -> u64 {
        self.v2 ^= output;
        self.rounds(4);
        self.all()
    }
}

/// The word that ends the input: what is left of it, fewer than eight bytes, and the last byte of its length.
#[inline]
fn last_word(rest: &[u8], len: usize) -> u64 {
    let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    rest | (len as u64) << 56
}

/// Whether these are the same bytes. How long it takes depends on their number alone: all are looked at before anything
/// is decided.
#[inline]
pub(super) fn same<const N: usize>(these: &[u8; N], those: &[u8; N]) -> bool {
    // By eight bytes, as far as they go.
    let (words, others) = (these.chunks_exact(8), those.chunks_exact(8));
    let rest = words.remainder().iter().zip(others.remainder());
    let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let differs =
        words.zip(others).fold(0, |differs, (this, that)| black_box(differs | (word(this) ^ word(that))));
    let rest = rest.fold(0, |differs, (this, that)| black_box(differs | (this ^ that)));
    black_box(differs | u64::from(rest)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the paper's test values: 00 01 … 0f.
    const KEY: Key = Key([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

    /// So many bytes 00 01 02 …
    fn bytes(len: u8) -> alloc::vec::Vec<u8> {
        (0..len).collect()
    }

    #[test]
    fn a_tag_is_what_the_paper_says() {
        // Appendix A, and the reference implementation's first vectors.
        assert_eq!(tag(&KEY, &bytes(15)), 0xa129_ca61_49be_45e5_u64.to_le_bytes());
        assert_eq!(tag(&KEY, &[]), [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]);
        assert_eq!(tag(&KEY, &bytes(1)), [0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74]);
    }

    #[test]
    fn the_prf_is_what_the_reference_implementation_says() {
        let expected = 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293_u128;
        assert_eq!(prf(&KEY, &[]), expected.to_be_bytes());
        let expected = 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45_u128;
        assert_eq!(prf(&KEY, &bytes(1)), expected.to_be_bytes());
    }

    #[test]
    fn a_library_says_the_same() {
        use core::hash::Hasher as _;
        use siphasher::sip::SipHasher24;
        use siphasher::sip128::{Hasher128 as _, SipHasher24 as SipHasher24Of128};

        let mut key = [0; 16];
        for len in 0..=255 {
            let bytes = bytes(len);
            let expected = SipHasher24::new_with_key(&key).hash(&bytes);
            assert_eq!(tag(&Key(key), &bytes), expected.to_le_bytes(), "{len} bytes");
            let mut hasher = SipHasher24Of128::new_with_key(&key);
            hasher.write(&bytes);
            let expected = hasher.finish128();
            let drawn = prf(&Key(key), &bytes);
            assert_eq!(
                drawn,
                (u128::from(expected.h1) | u128::from(expected.h2) << 64).to_le_bytes(),
                "{len} bytes"
            );
            key = drawn;
        }
    }

    #[test]
    fn how_the_bytes_are_put_makes_no_difference() {
        let mut pieces = Prf::new(&KEY);
        pieces.put_u8(0);
        pieces.put_u16(0x0201);
        pieces.put_u32(0x0605_0403);
        pieces.put(&[7]);
        pieces.put_u64(0x0f0e_0d0c_0b0a_0908);
        assert_eq!(pieces.finish(), prf(&KEY, &bytes(16)));
    }

    #[test]
    fn a_request_s_key_is_its_tx_and_its_cookie() {
        let tx = Tx::new(0x0807_0605_0403_0201).unwrap();
        let key = Key::of_request(tx, Cookie::new(0x100f_0e0d_0c0b_0a09));
        assert_eq!(key.bytes(), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(Key::of_request(tx, None).bytes(), &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn any_bit_makes_a_difference() {
        assert!(same(&[7; 8], &[7; 8]));
        for bit in 0..64 {
            assert!(!same(&0u64.to_le_bytes(), &(1u64 << bit).to_le_bytes()), "{bit}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        assert_eq!(alloc::format!("{KEY:?} {:?}", Seal([1; 16])), "Key(..) Seal(..)");
    }
}
