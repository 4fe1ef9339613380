//! UUIDs as text: 32 lower-case digits in five groups with dashes between them.

/// The length of the text, in bytes.
pub(crate) const LEN: usize = 36;

/// Where in the text eight digits stand: four, and four more. Between them are dashes.
const DIGITS: [[usize; 2]; 4] = [[0, 4], [9, 14], [19, 24], [28, 32]];
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// The two digits of each byte.
static PAIRS: [[u8; 2]; 256] = {
    const fn digit(value: u8) -> u8 {
        if value < 10 { b'0' + value } else { b'a' + value - 10 }
    }

    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(
            clippy::indexing_slicing,
            reason = "there is no other way in a constant, and it is checked there"
        )]
        {
            pairs[byte] = [digit((byte >> 4) as u8), digit((byte & 0x0f) as u8)];
        }
        byte += 1;
    }
    pairs
};

/// Writes the text of a UUID.
#[inline]
pub(crate) fn write(uuid: &[u8; 16], text: &mut [u8; LEN]) {
    let mut at = 0;
    for byte in uuid {
        if DASHES.contains(&at) {
            if let Some(place) = text.get_mut(at) {
                *place = b'-';
            }
            at += 1;
        }
        if let (Some(place), Some(pair)) = (text.get_mut(at..at + 2), PAIRS.get(usize::from(*byte))) {
            place.copy_from_slice(pair);
        }
        at += 2;
    }
}

/// The UUID of a text, none if it is no lower-case one.
#[inline]
pub(crate) fn parse(text: &[u8; LEN]) -> Option<[u8; 16]> {
    let mut uuid = 0;
    let mut wrong = 0;
    for at in DIGITS {
        let (values, not_digits) = values(eight(text, at));
        wrong |= not_digits;
        uuid = uuid << 32 | u128::from(packed(values));
    }
    let dashes = DASHES.iter().all(|at| text.get(*at) == Some(&b'-'));
    (wrong == 0 && dashes).then(|| uuid.to_be_bytes())
}

/// The first eight bytes and the last four of the UUID of a text, as numbers. Anything if it is no UUID.
#[inline]
pub(crate) fn ends(text: &[u8; LEN]) -> (u64, u32) {
    let [first, second, _, last] = DIGITS.map(|at| packed(values(eight(text, at)).0));
    (u64::from(first) << 32 | u64::from(second), last)
}

/// Eight digits of a text, the first one highest.
#[inline]
fn eight(text: &[u8; LEN], at: [usize; 2]) -> u64 {
    let [first, second] = at.map(|at| {
        text.get(at..).and_then(|text| text.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
    });
    u64::from(first) << 32 | u64::from(second)
}

/// The same byte eight times.
const fn all(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// What eight digits stand for, all at once, each in its byte; and something other than zero if one is no digit.
#[inline]
fn values(text: u64) -> (u64, u64) {
    // Letters have a bit that digits don't have. Without what is between the two, they follow each other.
    let letters = text >> 6 & all(0x01);
    let values = (text - u64::from(b'a' - b'9' - 1) * letters) ^ all(b'0');
    // From 10 on they must have been letters, and only then: 6 more have that bit. There is none from 16 on.
    let wrong = values | (values.wrapping_add(all(6)) ^ letters << 4);
    (values, wrong & all(0xf0))
}

/// The number that eight values below 16 are.
#[inline]
fn packed(values: u64) -> u32 {
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    (fours | fours >> 16) as u32
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_uuid_is_written_as_numbers_are_and_comes_back() {
        let mut number = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210_u128;
        for _ in 0..1_000 {
            number = number.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(1);
            let hex = format!("{number:032x}");
            let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            let expected = groups.join("-");
            let mut text = [0; LEN];
            write(&number.to_be_bytes(), &mut text);
            assert_eq!(text, expected.as_bytes());
            assert_eq!(parse(&text), Some(number.to_be_bytes()));
            assert_eq!(ends(&text), ((number >> 64) as u64, number as u32));
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_spoils_it() {
        let mut text = [0; LEN];
        write(&[0xfa; 16], &mut text);
        for at in 0..LEN {
            for byte in 0..=u8::MAX {
                let mut other = text;
                other[at] = byte;
                let good = if DASHES.contains(&at) {
                    byte == b'-'
                } else {
                    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
                };
                assert_eq!(parse(&other).is_some(), good, "{byte} at {at}");
                // What it is doesn't matter.
                let _any = ends(&other);
            }
        }
    }
}
