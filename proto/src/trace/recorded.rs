//! A broadcaster that writes down what it is told.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::{Digest, Input, Polled, Recorder, Start};
use crate::log::warn;
use crate::{
    Broadcaster, BroadcasterConfig, BroadcasterEvent, BroadcasterStats, Instant, Machine, Output,
    RandomSource,
};

/// The program of which a recorded broadcaster's trace tells.
const PROGRAM: u32 = 0;

/// Where the bytes of a trace go.
pub trait Sink {
    /// Why they can't.
    type Error: fmt::Display;

    /// Appends `bytes` to the trace, so that they are there even if this program is killed.
    ///
    /// # Errors
    /// If that can't be done. Then nothing more is recorded.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// A trace in memory.
impl Sink for &mut Vec<u8> {
    type Error = core::convert::Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// What recording may take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordLimits {
    /// The length of the trace in bytes, from which on nothing more is recorded. Default: 1 GiB. It is exceeded by one
    /// datagram and what came of it at most.
    pub max_bytes: u64,
    /// What was recorded is written when it is as many bytes. Default: 64 KiB. It takes at most twice that memory, and a
    /// datagram's.
    pub max_waiting: usize,
    /// What was recorded is written after this time. Default: 1 s.
    pub write_after: Duration,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, max_waiting: 64 * 1_024, write_after: Duration::from_secs(1) }
    }
}

/// A [`Broadcaster`] whose inputs, random numbers and outputs (as digests) go into a trace.
///
/// What it does is what the broadcaster does. It wants to be woken to write what waits, and is told of timeouts that
/// are of no concern to the broadcaster; these are not recorded. A trace that can't be written, or is full, ends, which
/// is logged; the broadcaster goes on. Dropping it writes what waits.
///
/// A trace holds the broadcaster's secrets: the one of its config, and what it drew others from. Who has it can make
/// tickets, and speak as any member.
///
/// A datagram costs the time to copy it, and to take the digest of what comes of it. In the trace it takes its own
/// length and about 30 bytes.
#[derive(Debug)]
pub struct RecordedBroadcaster<R, S: Sink> {
    broadcaster: Broadcaster<Noted<R>>,
    recording: Option<Recording<S>>,
    /// The latest time that was told.
    now: Instant,
    /// After the broadcaster has said that it waits, and was told nothing since: until when.
    waits: Option<Option<Instant>>,
}

impl<R: RandomSource, S: Sink> RecordedBroadcaster<R, S> {
    /// A broadcaster without pools, which draws the ids it makes from `random`. Its trace goes to `sink`.
    #[must_use]
    pub fn new(config: BroadcasterConfig, random: R, limits: RecordLimits, sink: S) -> Self {
        let mut recording = Recording {
            recorder: Recorder::new(),
            sink,
            limits,
            write_at: Instant::ZERO,
            digest: Digest::new(),
            outputs: 0,
        };
        recording.record(Instant::ZERO, &Input::Start(Start::Broadcaster(Box::new(config.clone()))));
        let random = Noted { random, drawn: Vec::new() };
        Self {
            broadcaster: Broadcaster::new(config, random),
            // At once, so that a trace that can't be written shows at the start.
            recording: recording.write().then_some(recording),
            now: Instant::ZERO,
            waits: None,
        }
    }

    /// As [`Broadcaster::stats`].
    #[must_use]
    pub fn stats(&self) -> BroadcasterStats {
        self.broadcaster.stats()
    }

    /// Whether what happens is still recorded.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// Writes down an input, before the broadcaster is told.
    fn input(&mut self, now: Instant, input: impl FnOnce() -> Input) {
        let Some(recording) = &mut self.recording else { return };
        // Outputs that were polled, but not to the end.
        recording.polled(self.now);
        if recording.is_full() {
            warn!(bytes = recording.recorder.total(), "the trace is as long as it may be: recording stops");
            self.recording = None;
        } else {
            recording.record(now, &input());
        }
        self.now = now;
        self.waits = None;
    }

    /// Writes down what the input has drawn.
    fn drawn(&mut self) {
        for bits in self.broadcaster.random_mut().drawn.drain(..) {
            if let Some(recording) = &mut self.recording {
                recording.record(self.now, &Input::Drawn(bits));
            }
        }
    }

    /// Writes what waits if it is time to.
    fn write_due(&mut self, now: Instant) {
        let due = self.recording.as_ref().is_some_and(|recording| recording.is_due(now));
        if due && self.recording.as_mut().is_some_and(|recording| !recording.write()) {
            self.recording = None;
        }
    }
}

impl<R: RandomSource, S: Sink> Machine for RecordedBroadcaster<R, S> {
    type Event = BroadcasterEvent;

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.input(now, || Input::Datagram { from, datagram: Bytes::copy_from_slice(datagram) });
        self.broadcaster.handle_datagram(now, from, datagram);
        self.drawn();
        self.write_due(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let early = self.waits.is_some_and(|until| until.is_none_or(|until| !until.is_due(now)));
        if !(early && self.is_recording()) {
            self.input(now, || Input::Timeout);
            self.broadcaster.handle_timeout(now);
            self.drawn();
        }
        self.write_due(now);
    }

    fn poll_output(&mut self) -> Output<BroadcasterEvent> {
        let output = self.broadcaster.poll_output();
        let Some(recording) = &mut self.recording else { return output };
        if self.waits.is_none() {
            recording.outputs = recording.outputs.saturating_add(1);
            recording.digest.output(&output);
        }
        let Output::Wait(until) = output else { return output };
        recording.polled(self.now);
        self.waits = Some(until);
        self.write_due(self.now);
        let write_at = self.recording.as_ref().and_then(Recording::wakes_at);
        Output::Wait([until, write_at].into_iter().flatten().min())
    }

    fn look_ahead<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        self.broadcaster.look_ahead(datagrams);
    }
}

/// A random source, and what was drawn from it.
#[derive(Debug)]
struct Noted<R> {
    random: R,
    drawn: Vec<u128>,
}

impl<R: RandomSource> RandomSource for Noted<R> {
    fn next_u128(&mut self) -> u128 {
        let bits = self.random.next_u128();
        self.drawn.push(bits);
        bits
    }
}

/// A trace on its way to its sink.
#[derive(Debug)]
struct Recording<S: Sink> {
    recorder: Recorder,
    sink: S,
    limits: RecordLimits,
    /// When what waits is due to be written.
    write_at: Instant,
    digest: Digest,
    /// How many outputs the digest holds.
    outputs: u32,
}

impl<S: Sink> Recording<S> {
    fn record(&mut self, now: Instant, input: &Input) {
        if self.recorder.waiting() == 0 {
            self.write_at = now + self.limits.write_after;
        }
        self.recorder.record(PROGRAM, now, input);
    }

    /// Writes down the outputs there were since the latest input.
    fn polled(&mut self, now: Instant) {
        if self.outputs > 0 {
            let (outputs, digest) = (self.outputs, self.digest.get());
            (self.outputs, self.digest) = (0, Digest::new());
            self.record(now, &Input::Polled { machine: Polled::Broadcaster, outputs, digest });
        }
    }

    fn is_full(&self) -> bool {
        self.recorder.total() >= self.limits.max_bytes
    }

    /// When it wants to write what waits.
    fn wakes_at(&self) -> Option<Instant> {
        (self.recorder.waiting() > 0).then_some(self.write_at)
    }

    fn is_due(&self, now: Instant) -> bool {
        let waiting = self.recorder.waiting();
        waiting >= self.limits.max_waiting.max(1) || (waiting > 0 && self.write_at.is_due(now))
    }

    /// Writes what waits. Whether that could be done.
    fn write(&mut self) -> bool {
        match self.sink.write(&self.recorder.take()) {
            Ok(()) => true,
            Err(error) => {
                let _ = &error;
                warn!(%error, "the trace can't be written: recording stops");
                false
            }
        }
    }
}

impl<S: Sink> Drop for Recording<S> {
    fn drop(&mut self) {
        if self.recorder.waiting() > 0 {
            self.write();
        }
    }
}

/// A trace that goes to a writer, such as a file; each time all the way.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct WriterSink<W>(pub W);

#[cfg(feature = "std")]
impl<W: std::io::Write> Sink for WriterSink<W> {
    type Error = std::io::Error;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }
}
