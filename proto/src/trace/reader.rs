//! A trace out of a file's bytes.

use alloc::string::String;
use core::iter::FusedIterator;

use bytes::{Buf, BytesMut};

use super::entries::entry;
use super::fields::{Bad, number, raw, unwrapped};
use super::{Entry, MAGIC, TraceError, TraceFault, VERSION};
use crate::Instant;

/// The longest entry that a reader takes unless it is told otherwise, in bytes: 64 MiB.
pub const MAX_ENTRY: usize = 64 * 1_024 * 1_024;

/// The longest header that is taken, beyond its first fields, in bytes.
const MAX_HEADER: usize = 1_024;

/// What a trace says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Which version of the format it is in.
    pub version: u64,
    /// Which program wrote it. Digests are compared with what machines of that version do.
    pub writer: String,
}

/// What stands at the front of some bytes, and how many of them it takes.
enum Front {
    Header(usize),
    Entry(Entry, usize),
    /// The beginning of either, of which at least that many bytes are missing.
    Part(u64),
}

/// A place in a file: where the next entry begins, and what it builds upon.
#[derive(Clone, Debug)]
struct Place {
    /// In bytes from the start of the file.
    offset: u64,
    max_entry: usize,
    header: Option<Header>,
    /// The time of the latest entry.
    now: Instant,
}

impl Place {
    const fn start(max_entry: usize) -> Self {
        Self { offset: 0, max_entry, header: None, now: Instant::ZERO }
    }

    /// Reads what stands here, and goes behind it.
    fn read(&mut self, file: &[u8]) -> Result<Front, TraceError> {
        let front = if self.header.is_some() { self.entry(file) } else { self.opening(file) };
        let front = front.map_err(|bad| {
            let at = (bad.rest.as_ptr() as usize).saturating_sub(file.as_ptr() as usize);
            TraceError { offset: self.offset + at as u64, fault: bad.fault }
        })?;
        match front {
            Front::Header(len) | Front::Entry(_, len) => self.offset += len as u64,
            Front::Part(_) => {}
        }
        Ok(front)
    }

    fn opening<'a>(&mut self, file: &'a [u8]) -> Result<Front, Bad<'a>> {
        let Some(rest) = file.strip_prefix(MAGIC) else {
            if MAGIC.starts_with(file) {
                return Ok(Front::Part((MAGIC.len() - file.len()) as u64 + 2));
            }
            return Err(Bad { rest: file, fault: TraceFault::NotATrace });
        };
        let Some((behind, version)) = length(rest)? else { return Ok(Front::Part(2)) };
        if version != VERSION {
            return Err(Bad { rest, fault: TraceFault::UnknownVersion { version } });
        }
        let (fields, behind) = match delimited(behind, MAX_HEADER)? {
            Ok(parts) => parts,
            Err(missing) => return Ok(Front::Part(missing)),
        };
        // What stands behind its fields is of a later version, and nothing that matters.
        let (_, writer) = raw(fields).map_err(unwrapped)?;
        self.header = Some(Header { version, writer: String::from_utf8_lossy(writer).into_owned() });
        Ok(Front::Header(file.len() - behind.len()))
    }

    fn entry<'a>(&mut self, file: &'a [u8]) -> Result<Front, Bad<'a>> {
        match delimited(file, self.max_entry)? {
            Ok((body, behind)) => {
                let entry = entry(self.now, body)?;
                self.now = entry.now;
                Ok(Front::Entry(entry, file.len() - behind.len()))
            }
            Err(missing) => Ok(Front::Part(missing)),
        }
    }

    /// Whether the file may end with what stands here: nothing, or something whole.
    fn may_end(&self, file: &[u8]) -> Result<(), TraceError> {
        let nothing = self.header.is_some() && file.is_empty();
        match if nothing { return Ok(()) } else { self.clone().read(file)? } {
            Front::Part(missing) => {
                Err(TraceError { offset: self.offset, fault: TraceFault::Cut { missing } })
            }
            Front::Header(_) | Front::Entry(..) => Ok(()),
        }
    }
}

/// A number that may not be all there.
fn length(input: &[u8]) -> Result<Option<(&[u8], u64)>, Bad<'_>> {
    match number(input).map_err(unwrapped) {
        Ok(whole) => Ok(Some(whole)),
        Err(Bad { fault: TraceFault::Short { .. }, .. }) => Ok(None),
        Err(bad) => Err(bad),
    }
}

/// A length, that many bytes, and what is behind them; or how many bytes are missing at least.
#[expect(clippy::type_complexity, reason = "it is for the two callers above")]
fn delimited(input: &[u8], max: usize) -> Result<Result<(&[u8], &[u8]), u64>, Bad<'_>> {
    let Some((behind, len)) = length(input)? else { return Ok(Err(1)) };
    if len > max as u64 {
        return Err(Bad { rest: input, fault: TraceFault::TooLong { len, max } });
    }
    // It is at most what a `usize` holds.
    Ok(behind.split_at_checked(len as usize).ok_or_else(|| len - behind.len() as u64))
}

/// Reads a trace that comes in chunks, as a file is read.
///
/// While entries are taken out it takes at most twice the memory of one entry and one chunk, and reserves nothing on the
/// strength of a length that the file claims. An entry takes at most five times the bytes it was read from, and 1 KiB.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    place: Place,
    failed: Option<TraceError>,
}

impl Reader {
    /// A reader at the start of a file. It takes entries of up to [`MAX_ENTRY`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_entry(MAX_ENTRY)
    }

    /// A reader that takes entries of up to `max_entry` bytes.
    #[must_use]
    pub fn with_max_entry(max_entry: usize) -> Self {
        Self { buffer: BytesMut::new(), place: Place::start(max_entry), failed: None }
    }

    /// Takes in the next bytes of the file.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(chunk);
        }
    }

    /// The next entry, or none if more of the file is needed for it.
    ///
    /// # Errors
    /// If it can't be read. There are no more entries then, only this error again.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TraceError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            match self.place.read(&self.buffer) {
                Ok(Front::Entry(entry, len)) => {
                    self.buffer.advance(len);
                    return Ok(Some(entry));
                }
                Ok(Front::Header(len)) => self.buffer.advance(len),
                Ok(Front::Part(_)) => return Ok(None),
                Err(error) => {
                    self.failed = Some(error);
                    self.buffer = BytesMut::new();
                    return Err(error);
                }
            }
        }
    }

    /// What the trace says of itself, once that was read.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.place.header.as_ref()
    }

    /// Where the next entry begins, in bytes from the start of the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.place.offset
    }

    /// Says that the file has ended, when every entry was taken out.
    ///
    /// # Errors
    /// [`TraceFault::Cut`] if it ends within an entry or the header, and the error there was before, if any.
    pub fn finish(&self) -> Result<(), TraceError> {
        self.failed.map_or_else(|| self.place.may_end(&self.buffer), Err)
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

/// The entries of a trace that is all in memory. An error is the last thing to come: a file that is cut gives all
/// entries before the cut, then [`TraceFault::Cut`].
#[must_use]
pub fn entries(file: &[u8]) -> Entries<'_> {
    Entries { rest: file, place: Place::start(MAX_ENTRY), ended: false }
}

/// What [`entries`] gives.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    place: Place,
    ended: bool,
}

impl Entries<'_> {
    /// Where the next entry begins, in bytes from the start of the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.place.offset
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let (read, len) = match self.place.read(self.rest) {
                Ok(Front::Entry(entry, len)) => (Some(Ok(entry)), len),
                Ok(Front::Header(len)) => (None, len),
                Ok(Front::Part(_)) => {
                    self.ended = true;
                    return self.place.may_end(self.rest).err().map(Err);
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            };
            self.rest = self.rest.get(len..).unwrap_or_default();
            if read.is_some() {
                return read;
            }
        }
        None
    }
}

impl FusedIterator for Entries<'_> {}
