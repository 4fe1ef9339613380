//! How much memory there is to read into.

use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use super::frame::FrameReader;

/// What a link that says little reads into, in bytes.
const FIRST: usize = 4 * 1_024;
/// What one that says much reads into. Frames of 1 KiB come a tenth faster than by reads of a quarter of it.
const MOST: usize = FrameReader::SLACK;
/// So many long frames are to fit one block: each one that stands across two is copied.
const LONG_FRAMES: usize = 4;
/// A block for long frames, at least, in bytes.
const LONG_BLOCK: usize = 64 * 1_024;
/// After so many reads in a row that took less than a quarter of the block, half of it will do.
const LITTLE: u8 = 64;

/// The size of the blocks that are read into: it follows what comes.
#[derive(Debug)]
pub(super) struct Room {
    block: usize,
    /// What there was for the next read, in bytes.
    spare: usize,
    /// Whether a read has filled it, and it was most of a block.
    full: bool,
    /// Reads in a row that took little of it.
    little: u8,
    /// Whether the block goes as soon as it is empty: a frame has one of its own, or it is larger than is needed.
    goes: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self { block: FIRST, spare: 0, full: false, little: 0, goes: false }
    }
}

impl Room {
    /// Something was read into `buffer`.
    pub(super) fn filled(&mut self, buffer: &BytesMut) {
        self.full = buffer.len() == buffer.capacity() && self.spare > self.block / 2;
        self.little = if buffer.len() < self.block / 4 { self.little + 1 } else { 0 };
        if self.little == LITTLE {
            self.little = 0;
            if self.block > FIRST {
                (self.block, self.goes) = ((self.block / 2).max(FIRST), true);
            }
        }
    }

    /// Whole frames were taken out of `buffer`.
    pub(super) fn emptied(&mut self, buffer: &mut BytesMut) {
        if self.goes && buffer.is_empty() {
            (*buffer, self.goes) = (BytesMut::new(), false);
        }
    }

    /// Makes room behind the start of a frame that will have `whole` bytes, or 0 if that is not known.
    pub(super) fn make(&mut self, buffer: &mut BytesMut, whole: usize) {
        self.see_to(buffer, whole);
        self.spare = buffer.capacity() - buffer.len();
    }

    fn see_to(&mut self, buffer: &mut BytesMut, whole: usize) {
        let grows = mem::take(&mut self.full) && self.block < MOST;
        if grows {
            self.block = (self.block * 2).min(MOST);
        }
        if whole > self.block {
            self.block = whole.saturating_mul(LONG_FRAMES).clamp(LONG_BLOCK, FrameReader::SLACK);
        }
        if whole > self.block {
            self.goes = true;
            let left = whole.saturating_sub(buffer.len());
            // Not at every read: what is made larger may have to be moved.
            if buffer.capacity() - buffer.len() < left.min(LONG_BLOCK) {
                grow(buffer, buffer.len() + left.min(FrameReader::SLACK));
            }
            return;
        }
        let wanted = (self.block - buffer.len().min(self.block)).max(1);
        let spare = buffer.capacity() - buffer.len();
        // What is left of a block of which events are held will do as long as the frame fits.
        let enough = wanted.min((self.block / 8).max(whole.saturating_sub(buffer.len())));
        if spare < wanted && !buffer.try_reclaim(wanted) && (grows || spare < enough) {
            let mut block = BytesMut::with_capacity(buffer.len() + wanted);
            block.extend_from_slice(buffer);
            *buffer = block;
        }
    }
}

/// Gives `buffer` memory for `size` bytes and no more, where possible without a copy: `BytesMut` by itself would double.
fn grow(buffer: &mut BytesMut, size: usize) {
    if buffer.capacity() < size {
        let mut bytes = Vec::from(mem::take(buffer));
        bytes.reserve_exact(size.saturating_sub(bytes.len()));
        *buffer = BytesMut::from(Bytes::from(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads as much as there is room for, up to `most`.
    fn read(buffer: &mut BytesMut, most: usize) -> usize {
        let len = most.min(buffer.capacity() - buffer.len());
        buffer.resize(buffer.len() + len, 7);
        len
    }

    #[test]
    fn blocks_grow_as_long_as_reads_fill_them() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        let mut sizes = [0; 9];
        for size in &mut sizes {
            room.make(&mut buffer, 0);
            *size = read(&mut buffer, usize::MAX);
            room.filled(&buffer);
            buffer.clear();
            room.emptied(&mut buffer);
        }
        assert_eq!(sizes, [4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144, 262_144, 262_144]);
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        for _ in 0..100 {
            room.make(&mut buffer, 0);
            read(&mut buffer, 4_095);
            room.filled(&buffer);
            buffer.clear();
        }
        assert_eq!(room.block, FIRST, "a read that is not full asks for no more");
        for _ in 0..3 {
            // A frame that is kept leaves little to read into: to fill that is no sign of much.
            room.make(&mut buffer, 30_000);
            let kept = (read(&mut buffer, 100_000), buffer.split().freeze());
            room.make(&mut buffer, 0);
            assert_eq!((kept.0, read(&mut buffer, usize::MAX)), (100_000, 20_000));
            room.filled(&buffer);
            buffer.clear();
            room.make(&mut buffer, 0);
            assert_eq!(room.block, 120_000);
        }
        for block in [120_000, 240_000, 262_144, 262_144] {
            room.make(&mut buffer, 0);
            assert_eq!(room.block, block);
            read(&mut buffer, usize::MAX);
            room.filled(&buffer);
            buffer.clear();
        }
    }

    #[test]
    fn blocks_shrink_when_reads_take_little_of_them() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        let mut round = |len| {
            room.make(&mut buffer, 0);
            let capacity = buffer.capacity();
            read(&mut buffer, len);
            room.filled(&buffer);
            buffer.clear();
            room.emptied(&mut buffer);
            capacity
        };
        for _ in 0..9 {
            round(usize::MAX);
        }
        for shrunk in 0..6 {
            for number in 0..64 {
                assert_eq!(round(1_000), (256 * 1_024) >> shrunk, "read {number}");
            }
        }
        let last: Vec<usize> = (0..200).map(|_| round(1_000)).collect();
        assert_eq!(last, [4_096; 200], "and no further");
        round(usize::MAX);
        for _ in 0..200 {
            assert_eq!([round(10), round(2_048)], [8_192; 2], "not all took little");
        }
    }

    #[test]
    fn a_block_of_which_nobody_holds_a_slice_is_used_again() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        room.make(&mut buffer, 0);
        let memory = buffer.as_ptr();
        for _ in 0..100 {
            read(&mut buffer, 4_000);
            drop(buffer.split_to(3_990));
            room.make(&mut buffer, 0);
            assert_eq!((buffer.as_ptr(), buffer.len()), (memory, 10), "its rest has moved to the front");
            drop(buffer.split_to(10));
            room.make(&mut buffer, 0);
        }
        read(&mut buffer, 2_000);
        let kept = buffer.split_to(2_000).freeze();
        room.make(&mut buffer, 0);
        assert_eq!(buffer.capacity(), 2_096, "what is left of it will do");
        read(&mut buffer, 1_000);
        room.make(&mut buffer, 2_096);
        assert_eq!(buffer.capacity(), 2_096, "for a frame that just fits, too");
        room.make(&mut buffer, 2_097);
        assert!(buffer.capacity() == 4_096 && buffer.len() == 1_000 && kept[..] == [7; 2_000]);
        let kept = [kept, buffer.split_to(1_000).freeze()];
        read(&mut buffer, 4_096 - 1_000 - 511);
        room.make(&mut buffer, 0);
        assert!(
            buffer.capacity() == 4_096 && kept.iter().map(Bytes::len).sum::<usize>() == 3_000,
            "little is left"
        );
    }

    #[test]
    fn a_long_frame_gets_what_has_come_and_a_quarter_mebibyte() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        let whole = 3_000_000;
        room.make(&mut buffer, 0);
        let mut len = read(&mut buffer, 10);
        while len < whole {
            room.make(&mut buffer, whole);
            assert!(buffer.capacity() <= len + FrameReader::SLACK);
            len += read(&mut buffer, usize::MAX);
            room.filled(&buffer);
        }
        assert_eq!((len, buffer.len()), (whole, whole), "and nothing of the next");
        drop(buffer.split_to(whole));
        room.emptied(&mut buffer);
        room.make(&mut buffer, 0);
        assert_eq!(
            buffer.capacity(),
            FrameReader::SLACK,
            "blocks that four of them would fit, as far as allowed"
        );
        room.make(&mut buffer, 70_000);
        assert_eq!(buffer.capacity(), FrameReader::SLACK);
    }

    #[test]
    fn the_memory_of_a_long_frame_is_not_made_larger_at_every_read() {
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        let (whole, mut made) = (3_000_000, 0);
        read(&mut buffer, 0);
        while buffer.len() < whole {
            let before = buffer.capacity();
            room.make(&mut buffer, whole);
            made += u32::from(buffer.capacity() != before);
            read(&mut buffer, 1_000);
            room.filled(&buffer);
        }
        assert!(made < 20, "{made} times");
    }
}
