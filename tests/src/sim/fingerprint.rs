//! Everything that happened, in one number.

/// A running fingerprint. Two runs that differ in anything that was taken in differ in it, but by chance; it is no
/// defence against anybody. The same on every machine and in every build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    #[inline]
    pub(super) fn number(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref().filter_map(<[u8]>::first_chunk) {
            self.number(u64::from_le_bytes(*word));
        }
        let rest = words.remainder().iter().rev().fold(0, |rest, byte| rest << 8 | u64::from(*byte));
        self.number(rest);
    }

    pub(super) fn get(self) -> u64 {
        self.0 ^ self.0 >> 31
    }
}

/// The fingerprint of one event of a link.
pub(super) fn of_event(name: &[u8], payload: &[u8]) -> u64 {
    let mut print = Fingerprint::default();
    print.bytes(name);
    print.bytes(payload);
    print.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_fingerprint() {
        let all = [&b""[..], b"\0", b"\0\0", b"abcdefgh", b"abcdefgi", b"abcdefgh\0"];
        let prints: std::collections::BTreeSet<u64> = all.iter().map(|bytes| of_event(bytes, b"")).collect();
        assert_eq!(prints.len(), all.len());
        assert_ne!(of_event(b"a", b"b"), of_event(b"ab", b""));
    }
}
