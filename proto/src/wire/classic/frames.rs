//! Frames that came together.

use bytes::Bytes;

use super::frame::LENGTH_LEN;
use crate::wire::MessageRef;

/// What whole frames hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Their length.
    pub(super) bytes: usize,
    pub(super) messages: usize,
    pub(super) empty: usize,
    pub(super) malformed: usize,
}

impl Counts {
    /// Of one frame, which is whole.
    pub(super) fn of(frame: &[u8]) -> Self {
        let mut counts = Self { bytes: frame.len(), ..Self::default() };
        counts.frame(frame);
        counts
    }

    /// Counts a whole frame, not its bytes.
    #[inline]
    fn frame(&mut self, frame: &[u8]) {
        let body = frame.get(LENGTH_LEN..).unwrap_or_default();
        match split(body) {
            Some(_) => self.messages += 1,
            None if body.is_empty() => self.empty += 1,
            None => self.malformed += 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.messages += other.messages;
        self.empty += other.empty;
        self.malformed += other.malformed;
    }

    /// Takes away what was added.
    pub(super) fn take(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.messages -= other.messages;
        self.empty -= other.empty;
        self.malformed -= other.malformed;
    }
}

/// How far a stream goes in whole frames.
pub(super) struct Scan {
    pub(super) counts: Counts,
    /// Whether behind them one is announced that is longer than the limit.
    pub(super) too_long: bool,
}

impl Scan {
    pub(super) fn of(stream: &[u8], max_frame: usize) -> Self {
        let (mut counts, mut left, mut too_long) = (Counts::default(), stream, false);
        'runs: while let Some((len, _)) = next_len(left) {
            too_long = len > max_frame;
            if too_long {
                break;
            }
            // Often the next is as long. Where it is looked for there, and not behind what this one says, no length is
            // waited for: what comes is too much for the nearest cache.
            let whole = LENGTH_LEN.saturating_add(len);
            loop {
                let Some((frame, rest)) = left.split_at_checked(whole) else { break 'runs };
                counts.frame(frame);
                left = rest;
                if next_len(left).is_none_or(|(next, _)| next != len) {
                    break;
                }
            }
        }
        counts.bytes = stream.len() - left.len();
        Self { counts, too_long }
    }
}

/// The length in front of a body, and what is behind it.
#[inline]
fn next_len(stream: &[u8]) -> Option<(usize, &[u8])> {
    let (len, rest) = stream.split_first_chunk()?;
    // Where it doesn't fit it is too long in any case.
    Some((usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX), rest))
}

/// `body = string event name, payload`: how long the name is, and the two.
#[inline]
fn split(body: &[u8]) -> Option<(usize, &[u8])> {
    next_len(body).filter(|(name_len, rest)| *name_len <= rest.len())
}

/// Whole frames that came in one piece. To look at the events in them costs no copy, no allocation and no count of a
/// reference: [`MessageRef::to_message`] is for those that are to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    bytes: Bytes,
    counts: Counts,
}

impl Frames {
    pub(super) fn new(bytes: Bytes, counts: Counts) -> Self {
        Self { bytes, counts }
    }

    /// How many events there are.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.counts.messages
    }

    /// How many frames have length 0.
    #[must_use]
    pub fn empty(&self) -> usize {
        self.counts.empty
    }

    /// In how many frames the event's name runs past the end.
    #[must_use]
    pub fn malformed(&self) -> usize {
        self.counts.malformed
    }

    /// The events, in order.
    #[must_use]
    pub fn iter(&self) -> FramesIter<'_> {
        FramesIter { chunk: &self.bytes, left: &self.bytes }
    }
}

impl<'a> IntoIterator for &'a Frames {
    type Item = MessageRef<'a>;
    type IntoIter = FramesIter<'a>;

    fn into_iter(self) -> FramesIter<'a> {
        self.iter()
    }
}

/// The events of [`Frames`].
#[derive(Clone, Debug)]
pub struct FramesIter<'a> {
    chunk: &'a Bytes,
    left: &'a [u8],
}

impl<'a> Iterator for FramesIter<'a> {
    type Item = MessageRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<MessageRef<'a>> {
        loop {
            let (len, rest) = next_len(self.left)?;
            let (body, rest) = rest.split_at_checked(len)?;
            self.left = rest;
            if let Some((name_len, body)) = split(body) {
                return Some(MessageRef::new(body, name_len, self.chunk));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const STREAM: &[u8] =
        b"\x0a\0\0\0\x03\0\0\0msgabc\0\0\0\0\x05\0\0\0\x64\0\0\0a\x07\0\0\0\x03\0\0\0end\x11\0";

    #[test]
    fn a_scan_goes_as_far_as_frames_are_whole() {
        let counts = Counts { bytes: 38, messages: 2, empty: 1, malformed: 1 };
        let scan = Scan::of(STREAM, 10);
        assert_eq!((scan.counts, scan.too_long), (counts, false));
        let scan = Scan::of(STREAM, 9);
        assert_eq!((scan.counts, scan.too_long), (Counts::default(), true));
        let scan = Scan::of(&[STREAM, b"\0\0"].concat(), 16);
        assert_eq!((scan.counts, scan.too_long), (counts, true));
        assert_eq!(Scan::of(&STREAM[..13], 10).counts, Counts::default());
    }

    #[test]
    fn runs_of_frames_of_one_length_are_told_from_others() {
        let (short, long) = (&b"\x05\0\0\0\x01\0\0\0a"[..], &b"\x06\0\0\0\x01\0\0\0ab"[..]);
        let (short, long) = (short.repeat(3), long.repeat(2));
        let stream = [&short[..], &long, &[0; 8], &short].concat();
        for (cut, _) in stream.iter().enumerate() {
            let whole = (1..=cut).filter(|at| {
                let ends = |from: usize, len: usize, many: usize| {
                    at.checked_sub(from).is_some_and(|at| at % len == 0 && (1..=many).contains(&(at / len)))
                };
                ends(0, 9, 3) || ends(27, 10, 2) || ends(47, 4, 2) || ends(55, 9, 3)
            });
            let (ends, empty): (Vec<_>, Vec<_>) = whole.partition(|at| !(48..56).contains(at));
            let bytes = ends.iter().chain(&empty).copied().max().unwrap_or(0);
            let counts = Counts { bytes, messages: ends.len(), empty: empty.len(), malformed: 0 };
            let scan = Scan::of(&stream[..cut], 6);
            assert_eq!((scan.counts, scan.too_long), (counts, false), "{cut} bytes");
        }
        let scan = Scan::of(&stream, 5);
        assert_eq!((scan.counts.bytes, scan.counts.messages, scan.too_long), (27, 3, true));
    }

    #[test]
    fn the_events_come_out_in_order_without_what_holds_none() {
        let scan = Scan::of(STREAM, 10);
        let chunk = Bytes::from_static(STREAM).slice(..scan.counts.bytes);
        let frames = Frames::new(chunk.clone(), scan.counts);
        let events: Vec<_> = frames.iter().map(|event| (event.name(), event.payload())).collect();
        assert_eq!(events, [(&b"msg"[..], &b"abc"[..]), (b"end", b"")]);
        let kept: Vec<_> = frames.iter().map(|event| event.to_message()).collect();
        assert!(chunk.as_ptr_range().contains(&kept[0].payload().as_ptr()), "not copied");
        assert_eq!((frames.messages(), frames.empty(), frames.malformed()), (2, 1, 1));
        assert_eq!((kept[0].name(), kept[0].payload()), (&b"msg"[..], &b"abc"[..]));
    }
}
