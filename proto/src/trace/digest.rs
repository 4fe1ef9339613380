//! Many outputs in one number, the same on every machine.

use core::fmt::{self, Write};

/// A running digest: FNV-1a of 64 bits. It tells runs apart, and is no defence against anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// The digest of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes in bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Takes in what a value looks like when it is printed for debugging.
    pub fn debug(&mut self, value: &impl fmt::Debug) {
        // It never fails: `write_str` below doesn't.
        let _ = write!(self, "{value:?}");
    }

    /// The digest so far.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        let mut digest = Digest::new();
        digest.bytes(b"foobar");
        assert_eq!(digest.get(), 0x8594_4171_f739_67e8);
        let mut debug = Digest::new();
        debug.debug(&"foobar");
        assert_ne!(debug, digest, "with quotes");
    }
}
