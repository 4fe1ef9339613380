//! Where a stream of frames stands.

/// Counts frames as their bytes go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frames {
    /// The length of the frame that has begun, as far as it was seen.
    length: u32,
    /// How many of its four bytes were.
    seen: u32,
    /// Bytes of its body that have not gone by.
    left: u64,
}

impl Frames {
    /// The beginning of a stream.
    pub(super) const START: Self = Self { length: 0, seen: 0, left: 0 };

    /// Follows further bytes. Answers how many frames begin in them.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> usize {
        let mut begun = 0;
        while let Some((first, behind)) = bytes.split_first() {
            if self.left > 0 {
                let passed = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= passed as u64;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            begun += usize::from(self.seen == 0);
            self.length |= u32::from(*first) << (8 * self.seen);
            self.seen += 1;
            bytes = behind;
            if self.seen == 4 {
                *self = Self { left: self.length.into(), ..Self::START };
            }
        }
        begun
    }

    /// Whether the last frame is whole.
    pub(super) fn whole(self) -> bool {
        self.seen == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_wherever_the_stream_is_cut() {
        let stream = b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c";
        for size in 1..=stream.len() {
            let mut frames = Frames::START;
            let begun: usize = stream.chunks(size).map(|piece| frames.follow(piece)).sum();
            assert!(begun == 3 && frames.whole(), "in pieces of {size}");
        }
        for cut in [1, 4, 5, 7, 14] {
            let mut frames = Frames::START;
            frames.follow(&stream[..cut]);
            assert!(!frames.whole(), "cut at {cut}");
        }
    }
}
