//! Traces, played for a developer: what the machines were told and what they said, a line each.
//!
//! A trace is recorded by `poolmesh-broadcaster --record FILE`, by the simulator ([`crate::sim`]), or by a program that
//! uses [`poolmesh_proto::trace`] itself.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read, Write};

use poolmesh_proto::trace::{
    AnyOutput, Difference, Entry, Header, Input, Reader, Recorder, Replay, Start, Summary, TraceError,
    TraceFault,
};
use poolmesh_proto::wire::classic;
use poolmesh_proto::{LinkEvent, LinksOutput, Output, Write as LinkWrite};

/// How much is read at a time, in bytes.
const CHUNK: usize = 64 * 1_024;

/// Outputs that are shown when they are not those that were recorded.
const SHOWN: usize = 16;

/// What became of a trace that was played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// What the trace says of itself.
    pub header: Option<Header>,
    /// What was played.
    pub summary: Summary,
    /// Where the trace is cut, if it is: whoever wrote it was killed. All before that was played and is as it was.
    pub cut: Option<TraceError>,
}

/// Why a trace could not be played to its end.
#[derive(Debug)]
pub enum Failure {
    /// The file can't be read, or the log not be written.
    Io(io::Error),
    /// It is no trace, or spoiled.
    Trace(TraceError),
    /// The machines don't do what they did.
    Different {
        /// The first difference.
        difference: Difference,
        /// What they said there, the first of it.
        came: Vec<String>,
        /// What the trace says of itself.
        header: Option<Header>,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Trace(error) => write!(f, "{error}"),
            Self::Different { difference, came, header } => {
                write!(f, "{difference}")?;
                for output in came {
                    write!(f, "\n    came: {output}")?;
                }
                let writer = header.as_ref().map_or("", |header| &header.writer);
                write!(f, "\n    recorded by {writer:?}")
            }
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Plays a trace against the machines of this build, and compares all that they say with what they said when it was
/// recorded. Into `log` goes a line for each entry and each output.
///
/// # Errors
/// If the trace can't be read, or at the first difference.
pub fn replay(mut file: impl Read, mut log: Option<&mut dyn Write>) -> Result<Replayed, Failure> {
    let (mut reader, mut replay) = (Reader::new(), Replay::new());
    let mut lines = Lines::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let len = match file.read(&mut chunk) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        reader.push(chunk.get(..len).unwrap_or_default());
        while let Some(entry) = reader.next_entry().map_err(Failure::Trace)? {
            let line = log.is_some().then(|| lines.of(&entry));
            let played = replay.entry(entry);
            if let (Some(log), Some(line)) = (&mut log, line) {
                writeln!(log, "{line}")?;
                for output in replay.outputs() {
                    writeln!(log, "{:>27} {}", "->", describe_output(output))?;
                }
            }
            played.map_err(|difference| different(difference, &replay, &reader))?;
        }
        if len == 0 {
            break;
        }
    }
    let cut = match reader.finish() {
        Ok(()) => None,
        Err(error) if matches!(error.fault, TraceFault::Cut { .. }) && reader.header().is_some() => {
            Some(error)
        }
        Err(error) => return Err(Failure::Trace(error)),
    };
    let summary = replay.finish().map_err(|difference| different(difference, &replay, &reader))?;
    Ok(Replayed { header: reader.header().cloned(), summary, cut })
}

/// Writes entries as a trace, such as those of [`World::take_record`](crate::sim::World::take_record).
///
/// # Errors
/// If they can't be written.
pub fn write<'a>(entries: impl IntoIterator<Item = &'a Entry>, mut file: impl Write) -> io::Result<()> {
    let mut recorder = Recorder::new();
    for Entry { program, now, input } in entries {
        recorder.record(*program, *now, input);
        if recorder.waiting() >= CHUNK {
            file.write_all(&recorder.take())?;
        }
    }
    file.write_all(&recorder.take())?;
    file.flush()
}

fn different(difference: Difference, replay: &Replay, reader: &Reader) -> Failure {
    let outputs = replay.outputs();
    let mut came: Vec<_> = outputs.iter().take(SHOWN).map(describe_output).collect();
    if let Some(more @ 1..) = outputs.len().checked_sub(SHOWN) {
        came.push(format!("and {more} more"));
    }
    Failure::Different { difference, came, header: reader.header().cloned() }
}

/// What a line needs to know of those before.
#[derive(Default)]
struct Lines {
    number: u64,
    broadcasters: BTreeSet<u32>,
}

impl Lines {
    /// `number time program input`
    fn of(&mut self, entry: &Entry) -> String {
        self.number += 1;
        if let Input::Start(start) = &entry.input {
            if matches!(start, Start::Broadcaster(_)) {
                self.broadcasters.insert(entry.program);
            } else {
                self.broadcasters.remove(&entry.program);
            }
        }
        let micros = entry.now.as_micros();
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let input = self.describe(entry);
        format!("{:>8} {seconds:>8}.{micros:06} #{} {input}", self.number, entry.program)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is short is shown as it is")]
    fn describe(&self, Entry { program, input, .. }: &Entry) -> String {
        match input {
            Input::Datagram { from, datagram } => {
                let meaning = if self.broadcasters.contains(program) {
                    meaning(classic::decode_request(datagram))
                } else {
                    meaning(classic::decode_response(datagram))
                };
                format!("Datagram from {from}, {} bytes: {meaning}", datagram.len())
            }
            Input::Polled { machine, outputs, digest } => {
                format!("Polled {machine:?}: {outputs} outputs, digest {digest:016x}")
            }
            Input::Drawn(bits) => format!("Drawn {bits:032x}"),
            Input::Send { peer, name, payload } => {
                format!("Send to {peer}: {:?}, {} bytes", name.escape_ascii().to_string(), payload.len())
            }
            Input::SendToAll { name, payload } => {
                format!("SendToAll: {:?}, {} bytes", name.escape_ascii().to_string(), payload.len())
            }
            Input::Bytes(peer, bytes) => format!("Bytes from {peer}: {} bytes", bytes.len()),
            other => format!("{other:?}"),
        }
    }
}

fn meaning<T: fmt::Debug, E: fmt::Display>(decoded: Result<T, E>) -> String {
    decoded.map_or_else(|fault| format!("spoiled: {fault}"), |meaning| format!("{meaning:?}"))
}

fn describe_output(output: &AnyOutput) -> String {
    match output {
        AnyOutput::Broadcaster(output) => {
            describe_datagram(output, |payload| meaning(classic::decode_response(payload)))
        }
        AnyOutput::Client(output) => {
            describe_datagram(output, |payload| meaning(classic::decode_request(payload)))
        }
        AnyOutput::Mesh(output) => format!("{output:?}"),
        AnyOutput::Links(LinksOutput::Write { peer, write: LinkWrite::Bytes(bytes) }) => {
            format!("Write to {peer}: {} bytes", bytes.len())
        }
        AnyOutput::Links(LinksOutput::Event { peer, event: LinkEvent::Received(message) }) => {
            format!("Received from {peer}: {message:?}")
        }
        AnyOutput::Links(output) => format!("{output:?}"),
    }
}

fn describe_datagram<E: fmt::Debug>(output: &Output<E>, meaning: impl Fn(&[u8]) -> String) -> String {
    match output {
        Output::Transmit(datagram) => {
            let (to, payload) = (datagram.destination, &datagram.payload);
            format!("Transmit to {to}, {} bytes: {}", payload.len(), meaning(payload))
        }
        Output::Event(_) | Output::Wait(_) => format!("{output:?}"),
    }
}
