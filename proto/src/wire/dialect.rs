//! Which encoding a datagram is in.

use super::native::FIRST_BYTE;

/// What a client and a broadcaster speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// poolmesh's own wire: [`native`](super::native).
    #[default]
    Native,
    /// The wire of gop2p (repository zaixrx/gop2p at 0b33cd8): [`classic`](super::classic).
    Classic,
}

impl Dialect {
    /// The dialect that a datagram is in, by its first byte. What is not native is classic, whose decoder then says what
    /// is wrong with it: no type of the classic dialect is [`FIRST_BYTE`].
    #[must_use]
    #[inline]
    pub fn of(datagram: &[u8]) -> Self {
        if datagram.first() == Some(&FIRST_BYTE) { Self::Native } else { Self::Classic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells() {
        let of = |datagram: &[u8]| Dialect::of(datagram);
        assert_eq!(of(&[0xa1]), Dialect::Native);
        assert_eq!([of(&[]), of(&[0]), of(&[5, 0xa1]), of(&[0xa2])], [Dialect::Classic; 4]);
    }
}
