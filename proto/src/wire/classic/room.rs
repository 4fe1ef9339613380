//! How much memory there is to read into.

use alloc::vec::Vec;
use core::mem;

use bytes::{Bytes, BytesMut};

use super::frame::FrameReader;

/// What a link that says little reads into, in bytes.
const FIRST: usize = 4 * 1_024;
/// What one that says much reads into. Larger reads gain nothing, and leave the caches.
const MOST: usize = 64 * 1_024;
/// So many long frames are to fit one block: each one that stands across two is copied.
const LONG_FRAMES: usize = 4;

/// The size of the blocks that are read into: it follows what comes.
#[derive(Debug)]
pub(super) struct Room {
    block: usize,
    /// Whether a read has filled all there was.
    full: bool,
    /// Whether a frame longer than a block has one of its own.
    own: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self { block: FIRST, full: false, own: false }
    }
}

impl Room {
    /// Something was read into `buffer`.
    pub(super) fn filled(&mut self, buffer: &BytesMut) {
        self.full = buffer.len() == buffer.capacity();
    }

    /// Whole frames were taken out of `buffer`.
    pub(super) fn emptied(&mut self, buffer: &mut BytesMut) {
        if self.own && buffer.is_empty() {
            // It is as long as the frame was: nothing to keep.
            (*buffer, self.own) = (BytesMut::new(), false);
        }
    }

    /// Makes room behind the start of a frame that will have `whole` bytes, or 0 if that is not known.
    pub(super) fn make(&mut self, buffer: &mut BytesMut, whole: usize) {
        let grows = mem::take(&mut self.full) && self.block < MOST;
        if grows {
            self.block *= 2;
        }
        if whole > self.block {
            self.block = whole.saturating_mul(LONG_FRAMES).clamp(MOST, FrameReader::SLACK);
        }
        if whole > self.block {
            self.own = true;
            return grow(buffer, whole.min(buffer.len() + FrameReader::SLACK));
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
        let mut sizes = [0; 7];
        for size in &mut sizes {
            room.make(&mut buffer, 0);
            *size = read(&mut buffer, usize::MAX);
            room.filled(&buffer);
            buffer.clear();
            room.emptied(&mut buffer);
        }
        assert_eq!(sizes, [4_096, 8_192, 16_384, 32_768, 65_536, 65_536, 65_536]);
        let (mut room, mut buffer) = (Room::default(), BytesMut::new());
        for _ in 0..100 {
            room.make(&mut buffer, 0);
            read(&mut buffer, 4_095);
            room.filled(&buffer);
            buffer.clear();
        }
        assert_eq!(room.block, FIRST, "a read that is not full asks for no more");
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
}
