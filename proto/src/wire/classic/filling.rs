//! Texts of answers, written in place: a list has dozens of ids, a join answer dozens of addresses.

use core::fmt::{self, Write};
use core::net::{SocketAddr, SocketAddrV4};

use bytes::BytesMut;

/// A place in an answer that is filled from its start, item by item, each whole or not at all.
pub(super) struct Filling<'a> {
    place: &'a mut [u8],
    filled: usize,
}

impl<'a> Filling<'a> {
    /// Appends to `out` what `fill` fills, at most `most` bytes.
    pub(super) fn append(out: &mut BytesMut, most: usize, fill: impl FnOnce(&mut Filling<'_>)) {
        let start = out.len();
        out.resize(start + most, 0);
        let mut filling = Filling { place: out.get_mut(start..).unwrap_or_default(), filled: 0 };
        fill(&mut filling);
        let filled = filling.filled;
        out.truncate(start + filled);
    }

    /// Puts in an item, behind a space if it is not the first. False if it finds no room.
    #[inline]
    pub(super) fn item(&mut self, bytes: &[u8]) -> bool {
        let start = self.filled + usize::from(self.filled > 0);
        let end = start.saturating_add(bytes.len());
        let Some(place) = self.place.get_mut(start..end) else { return false };
        place.copy_from_slice(bytes);
        if let Some(space) = self.place.get_mut(self.filled..start) {
            space.fill(b' ');
        }
        self.filled = end;
        true
    }

    /// Puts in an address as an item: `ip ":" port`, IPv6 in brackets.
    pub(super) fn address(&mut self, address: SocketAddr) -> bool {
        let mut text = Text::default();
        match address {
            SocketAddr::V4(address) => text.ipv4(address),
            // The longest has 58 bytes, so it always fits.
            SocketAddr::V6(address) => drop(write!(text, "{address}")),
        }
        self.item(text.as_bytes())
    }
}

/// The text of an address.
struct Text {
    bytes: [u8; 64],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }
}

impl Text {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// By hand: the general way takes a dozen times as long.
    fn ipv4(&mut self, address: SocketAddrV4) {
        let [a, b, c, d] = address.ip().octets();
        for (octet, behind) in [(a, b'.'), (b, b'.'), (c, b'.'), (d, b':')] {
            let (digits, len) = octet_text(octet, behind);
            self.put(digits, len);
        }
        let port = address.port();
        let [high, mid, low] = [port / 10_000, port / 100 % 100, port % 100].map(|part| part as u8);
        let [m, l] = [two_digits(mid), two_digits(low)];
        let digits = [b'0' + high, m[0], m[1], l[0], l[1]];
        let zeros = digits.iter().take(4).take_while(|digit| **digit == b'0').count();
        for digit in digits.into_iter().skip(zeros) {
            self.byte(digit);
        }
    }

    /// Puts in the first `len` of four bytes.
    #[inline]
    fn put(&mut self, bytes: [u8; 4], len: usize) {
        if let Some(place) = self.bytes.get_mut(self.len..).and_then(|place| place.first_chunk_mut()) {
            *place = bytes;
            self.len += len;
        }
    }
}

/// A number below 100.
#[inline]
fn two_digits(number: u8) -> [u8; 2] {
    [b'0' + number / 10, b'0' + number % 10]
}

/// An octet and what is behind it, in so many of the bytes.
#[inline]
fn octet_text(octet: u8, behind: u8) -> ([u8; 4], usize) {
    let ([tens, ones], hundreds) = (two_digits(octet % 100), b'0' + octet / 100);
    match octet {
        0..=9 => ([ones, behind, 0, 0], 2),
        10..=99 => ([tens, ones, behind, 0], 3),
        100.. => ([hundreds, tens, ones, behind], 4),
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    fn filled(most: usize, fill: impl FnOnce(&mut Filling<'_>)) -> BytesMut {
        let mut out = BytesMut::from(&b"x"[..]);
        Filling::append(&mut out, most, fill);
        out
    }

    #[test]
    fn items_have_a_space_between_them_and_come_whole() {
        let out = filled(6, |filling| {
            assert!(filling.item(b"ab") && filling.item(b"") && filling.item(b"cd"));
            assert!(!filling.item(b""), "there is no room for the space");
        });
        assert_eq!(out[..], b"xab  cd"[..]);
        let out =
            filled(5, |filling| assert!(filling.item(b"ab") && !filling.item(b"cde") && filling.item(b"cd")));
        assert_eq!(out[..], b"xab cd"[..]);
        assert_eq!(filled(9, |_| {})[..], b"x"[..]);
    }

    #[test]
    fn addresses_are_written_as_std_writes_them() {
        let mut number = 1u32;
        for _ in 0..2_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let address = SocketAddr::from((number.to_be_bytes(), (number >> 7) as u16 >> (number % 16)));
            assert_eq!(
                filled(99, |filling| assert!(filling.address(address)))[1..],
                *address.to_string().as_bytes()
            );
        }
        for address in ["0.0.0.0:0", "255.255.255.255:65535", "1.10.100.9:10", "[::]:0"] {
            let parsed = address.parse().unwrap();
            assert_eq!(filled(99, |filling| assert!(filling.address(parsed)))[1..], *address.as_bytes());
        }
        let longest = format!("[{}%4294967295]:65535", ["ffff"; 8].join(":"));
        let parsed = longest.parse().unwrap();
        assert_eq!(filled(99, |filling| assert!(filling.address(parsed)))[1..], *longest.as_bytes());
    }
}
