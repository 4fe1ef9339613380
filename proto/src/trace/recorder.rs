//! A trace in the making.

use bytes::{BufMut, Bytes, BytesMut};

use super::entries::put_entry;
use super::fields::{put_bytes, put_number, put_size};
use super::{Input, MAGIC, VERSION};
use crate::Instant;

/// Who writes this: the version of this crate.
const WRITER: &str = concat!("poolmesh-proto ", env!("CARGO_PKG_VERSION"));

/// Turns inputs into the bytes of a trace file: the header, then an entry for each.
///
/// What was recorded waits here until it is [taken](Self::take): take it now and then, and write it to the end of the
/// file.
///
/// ```
/// use poolmesh_proto::Instant;
/// use poolmesh_proto::trace::{Input, Recorder, entries};
///
/// let mut recorder = Recorder::new();
/// recorder.record(0, Instant::from_micros(5), &Input::Timeout);
/// let file = recorder.take();
/// let read: Vec<_> = entries(&file).collect::<Result<_, _>>()?;
/// assert_eq!(read[0].now, Instant::from_micros(5));
/// # Ok::<(), poolmesh_proto::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    out: BytesMut,
    scratch: BytesMut,
    /// The time of the latest entry.
    now: Instant,
    taken: u64,
}

impl Recorder {
    /// The beginning of a trace.
    #[must_use]
    pub fn new() -> Self {
        let (mut out, mut header) = (BytesMut::from(MAGIC), BytesMut::new());
        put_number(VERSION, &mut out);
        put_bytes(WRITER.as_bytes(), &mut header);
        put_bytes(&header, &mut out);
        Self { out, scratch: header, now: Instant::ZERO, taken: 0 }
    }

    /// Appends an entry: this program was told that, at this time by its clock.
    pub fn record(&mut self, program: u32, now: Instant, input: &Input) {
        self.scratch.clear();
        put_entry(self.now, program, now, input, &mut self.scratch);
        put_size(self.scratch.len(), &mut self.out);
        self.out.put_slice(&self.scratch);
        self.now = now;
    }

    /// What was recorded since it was taken last. The first begins with the header.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        self.taken += self.out.len() as u64;
        self.out.split().freeze()
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// How many bytes the trace has so far, those that wait among them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.taken + self.out.len() as u64
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}
