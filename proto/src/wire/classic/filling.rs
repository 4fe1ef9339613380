//! Texts of answers, written in place: a list has dozens of ids, a join answer dozens of addresses.

use core::fmt::{self, Write};
use core::net::{SocketAddr, SocketAddrV4};

use super::{AnswerRoom, MAX_ANSWER};
use crate::wire::uuid;

/// Type byte and length of the one string that an answer consists of.
pub(super) const ANSWER_HEADER: usize = 5;

/// The text of an answer, which is filled item by item, each whole or not at all. An item is written where it is to stand,
/// and counts if it ends in time: what lies behind the end is nobody's.
pub(super) struct Filling<'a> {
    room: &'a mut AnswerRoom,
    /// Where the next item begins: behind a space.
    next: usize,
}

impl<'a> Filling<'a> {
    pub(super) fn new(room: &'a mut AnswerRoom) -> Self {
        Self { room, next: ANSWER_HEADER }
    }

    /// Puts in an item. False if it finds no room.
    pub(super) fn item(&mut self, bytes: &[u8]) -> bool {
        let room = self.room.get_mut(self.next..).and_then(|room| room.split_at_mut_checked(bytes.len()));
        let Some((place, [space, ..])) = room else { return false };
        place.copy_from_slice(bytes);
        *space = b' ';
        self.keep(bytes.len())
    }

    /// Puts in the text of a UUID as an item.
    #[inline]
    pub(super) fn uuid(&mut self, uuid: &[u8; 16]) -> bool {
        let room = self.room.get_mut(self.next..).and_then(|room| room.split_first_chunk_mut());
        let Some((place, [space, ..])) = room else { return false };
        uuid::write(uuid, place);
        *space = b' ';
        self.keep(uuid::LEN)
    }

    /// Puts in an address as an item: `ip ":" port`, IPv6 in brackets.
    #[inline]
    pub(super) fn address(&mut self, address: SocketAddr) -> bool {
        match address {
            SocketAddr::V4(address) => self.ipv4(address),
            SocketAddr::V6(_) => self.any_address(address),
        }
    }

    /// By hand: the general way takes thirty times as long.
    #[inline]
    fn ipv4(&mut self, address: SocketAddrV4) -> bool {
        let [a, b, c, d] = address.ip().octets();
        let ((first, first_len), (second, second_len)) = (two_octets(a, b), two_octets(c, d));
        let second = second ^ u64::from(b'.' ^ b':') << (8 * second_len - 8);
        let (port, port_len) = port_text(address.port());
        // Each is stored as eight bytes; the next begins where it ends.
        let len = first_len + second_len + port_len;
        let place: Option<&mut [u8; 24]> =
            self.room.get_mut(self.next..).and_then(|room| room.first_chunk_mut());
        let Some(place) = place else { return false };
        for (at, text) in [(0, first), (first_len, second), (first_len + second_len, port)] {
            if let Some(place) = place.get_mut(at..).and_then(|place| place.first_chunk_mut()) {
                *place = text.to_le_bytes();
            }
        }
        self.keep(len)
    }

    #[inline(never)]
    fn any_address(&mut self, address: SocketAddr) -> bool {
        let Some(place) = self.room.get_mut(self.next..) else { return false };
        let mut text = Text { place, len: 0 };
        // The longest has 58 bytes, and there is room for it.
        let _ = write!(text, "{address} ");
        let len = text.len - 1;
        self.keep(len)
    }

    /// Keeps an item that was written, if it ends in time.
    #[inline]
    fn keep(&mut self, len: usize) -> bool {
        let end = self.next + len;
        let fits = end <= MAX_ANSWER;
        if fits {
            self.next = end + 1;
        }
        fits
    }

    /// The answer is complete, and of that type. Its length.
    pub(super) fn finish(self, kind: u8) -> usize {
        // Without the space that stands before the next.
        let end = if self.next > ANSWER_HEADER { self.next - 1 } else { ANSWER_HEADER };
        put_header(kind, end - ANSWER_HEADER, self.room);
        end
    }
}

/// Writes what stands before the text of an answer.
pub(super) fn put_header(kind: u8, len: usize, room: &mut AnswerRoom) {
    let [first, a, b, c, d, ..] = room;
    *first = kind;
    [*a, *b, *c, *d] = (len as u32).to_le_bytes();
}

/// The text of each octet and the dot behind it, the first byte lowest.
static OCTETS: [u32; 256] = {
    let mut texts = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let mut text = b'.' as u32;
        let mut rest = octet as u32;
        loop {
            text = text << 8 | (b'0' as u32 + rest % 10);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        #[expect(
            clippy::indexing_slicing,
            reason = "there is no other way in a constant, and it is checked there"
        )]
        {
            texts[octet] = text;
        }
        octet += 1;
    }
    texts
};

/// An octet's text with its dot, and how many bytes that are.
#[inline]
fn octet(octet: u8) -> (u64, usize) {
    let text = OCTETS.get(usize::from(octet)).copied().unwrap_or_default();
    (u64::from(text), 4 - text.leading_zeros() as usize / 8)
}

/// The same of two, one behind the other.
#[inline]
fn two_octets(first: u8, second: u8) -> (u64, usize) {
    let ((first, len), (second, more)) = (octet(first), octet(second));
    (first | second << (8 * len), len + more)
}

/// A port's text with a space behind it, the first byte lowest, and how many bytes the text has.
#[inline]
fn port_text(port: u16) -> (u64, usize) {
    let port = u64::from(port);
    let pairs = (port / 100 % 100) | ((port % 100) << 16);
    // Of both pairs at once: a tenth is 103 of 1,024 parts.
    let tens = ((pairs * 103) >> 10) & 0x000f_000f;
    let four = tens | ((pairs - 10 * tens) << 8);
    let digits = (port / 10_000) | (four << 8);
    // The last digit is there even if it is a zero.
    let zeros = (digits | 1 << 32).trailing_zeros() / 8;
    ((digits | 0x20_30_30_30_30_30) >> (8 * zeros), 5 - zeros as usize)
}

/// Text that is written into a place.
struct Text<'a> {
    place: &'a mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.place.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    fn filled(fill: impl FnOnce(&mut Filling<'_>)) -> Vec<u8> {
        let mut room = [b'x'; size_of::<AnswerRoom>()];
        let mut filling = Filling::new(&mut room);
        fill(&mut filling);
        let end = filling.finish(7);
        assert_eq!(room[..5], [&[7][..], &(end as u32 - 5).to_le_bytes()].concat());
        room[5..end].to_vec()
    }

    #[test]
    fn items_have_a_space_between_them_and_come_whole() {
        let out = filled(|filling| {
            assert!(filling.item(b"ab") && filling.item(b"") && filling.item(b"cd"));
        });
        assert_eq!(out, b"ab  cd");
        assert_eq!(filled(|_| {}), b"");
    }

    #[test]
    fn what_ends_too_late_is_not_there() {
        const TEXT: usize = MAX_ANSWER - ANSWER_HEADER;
        let v4: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:5000".parse().unwrap();
        for len in [14, 18, 36, 63] {
            let put = |filling: &mut Filling<'_>| match len {
                14 => filling.address(v4),
                18 => filling.address(v6),
                36 => filling.uuid(&[7; 16]),
                _ => filling.item(&[b'y'; 63]),
            };
            for left in 0..=len + 1 {
                let before = TEXT - left;
                let out = filled(|filling| {
                    assert!(filling.item(&vec![b'z'; before]));
                    assert_eq!(put(filling), left > len, "{len} bytes where {left} are left");
                    // The shortest fits if its space does.
                    assert_eq!(filling.item(b""), left > 0 && left != len + 1);
                });
                let expected = before + if left > len { len + 1 } else { usize::from(left > 0) };
                assert_eq!((out.len(), out[before - 1]), (expected, b'z'));
            }
        }
    }

    #[test]
    fn addresses_are_written_as_std_writes_them() {
        let same = |address: SocketAddr| {
            assert_eq!(filled(|filling| assert!(filling.address(address))), address.to_string().as_bytes());
        };
        let mut number = 1u32;
        for _ in 0..2_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            same(SocketAddr::from((number.to_be_bytes(), (number >> 7) as u16 >> (number % 16))));
        }
        for octet in 0..=u8::MAX {
            same(SocketAddr::from(([octet, 255 - octet, octet, 255 - octet], 10 * u16::from(octet))));
        }
        for port in 0..=u16::MAX {
            same(SocketAddr::from(([192, 0, 2, 1], port)));
        }
        for address in ["0.0.0.0:0", "255.255.255.255:65535", "1.10.100.9:10", "[::]:0"] {
            same(address.parse().unwrap());
        }
        let longest = format!("[{}%4294967295]:65535", ["ffff"; 8].join(":"));
        same(longest.parse().unwrap());
    }
}
