//! What was recorded, made to happen again.

mod difference;
mod machines;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

pub use difference::{Departure, Difference};
pub use machines::AnyOutput;

use super::{Entry, Input};
use machines::Machines;

/// What a replay has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Entries played.
    pub entries: u64,
    /// Programs that run, each counted once however often it was started.
    pub programs: usize,
    /// How often machines were polled, with outputs that were compared.
    pub polls: u64,
    /// Outputs that came, the `Wait`s among them.
    pub outputs: u64,
}

/// Plays the entries of a trace: makes the machines of each program, tells them what they were told, and compares what
/// they say with what they said.
///
/// It can be fed anything: what makes no sense is a [`Difference`], too, after which it can go on. Its memory is that
/// of the machines, which the configs in the trace bound, and of the outputs of one poll.
///
/// ```
/// use poolmesh_proto::trace::{Recorder, RecordLimits, RecordedBroadcaster, Replay, entries};
/// use poolmesh_proto::{BroadcasterConfig, Instant, Machine, Output};
///
/// let mut file = Vec::new();
/// let mut broadcaster =
///     RecordedBroadcaster::new(BroadcasterConfig::default(), || 7, RecordLimits::default(), &mut file);
/// broadcaster.handle_datagram(Instant::ZERO, "192.0.2.1:5000".parse()?, &[0]);
/// while !matches!(broadcaster.poll_output(), Output::Wait(_)) {}
/// drop(broadcaster); // which writes what is left to be written
///
/// let mut replay = Replay::new();
/// for entry in entries(&file) {
///     replay.entry(entry?)?;
/// }
/// assert_eq!(replay.finish()?.polls, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Replay {
    programs: BTreeMap<u32, Machines>,
    held: Option<Held>,
    outputs: Vec<AnyOutput>,
    summary: Summary,
}

/// An input of a broadcaster, which may draw random numbers, and those that it drew: they stand behind it in the trace.
#[derive(Debug)]
struct Held {
    number: u64,
    entry: Entry,
    drawn: Vec<u128>,
}

impl Replay {
    /// Nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Plays the next entry. What may draw random numbers is played only when it is known which.
    ///
    /// # Errors
    /// If something else comes than was recorded. If it comes from the entry before as well, that one is told.
    pub fn entry(&mut self, entry: Entry) -> Result<(), Difference> {
        self.outputs.clear();
        self.summary.entries += 1;
        let number = self.summary.entries;
        if let Input::Drawn(bits) = entry.input {
            return match &mut self.held {
                Some(held) if held.entry.program == entry.program => {
                    held.drawn.push(bits);
                    Ok(())
                }
                _ => Err(Difference::new(number, &entry, Departure::DrawnByNobody)),
            };
        }
        let before = self.release();
        let (program, now) = (entry.program, entry.now);
        let result = self.play(number, entry);
        before?;
        result.map_err(|departure| Difference { number, program, now, departure })
    }

    /// Plays what was held back, for the trace has ended, and says what was done. The last input may have drawn more
    /// random numbers than were recorded: whoever recorded them was stopped, and nothing shows what came of it.
    ///
    /// # Errors
    /// If something else comes than was recorded.
    pub fn finish(&mut self) -> Result<Summary, Difference> {
        match self.release() {
            Err(Difference { departure: Departure::Draws { expected, came }, .. }) if came > expected => {}
            played => played?,
        }
        Ok(Summary { programs: self.programs.len(), ..self.summary })
    }

    /// What came when the latest entry was played, if that was [`Input::Polled`].
    #[must_use]
    pub fn outputs(&self) -> &[AnyOutput] {
        &self.outputs
    }

    /// Plays what was held back.
    fn release(&mut self) -> Result<(), Difference> {
        let Some(Held { number, entry, drawn }) = self.held.take() else { return Ok(()) };
        let expected = drawn.len();
        let Some(Machines::Broadcaster(broadcaster)) = self.programs.get_mut(&entry.program) else {
            return Err(Difference::new(number, &entry, Departure::NotStarted));
        };
        let came = broadcaster.handle(entry.now, &entry.input, drawn);
        if came == expected {
            Ok(())
        } else {
            Err(Difference::new(number, &entry, Departure::Draws { expected, came }))
        }
    }

    fn play(&mut self, number: u64, entry: Entry) -> Result<(), Departure> {
        let Entry { program, now, input } = entry;
        if let Input::Start(start) = input {
            self.programs.insert(program, Machines::start(start));
            return Ok(());
        }
        let machines = self.programs.get_mut(&program).ok_or(Departure::NotStarted)?;
        if let Input::Polled { machine, outputs, digest } = input {
            let polls = machines.poll(machine, outputs, &mut self.outputs).ok_or(Departure::OtherProgram)?;
            self.summary.polls += 1;
            self.summary.outputs += u64::from(polls.outputs);
            return polls.compare(machine, outputs, digest);
        }
        match machines {
            Machines::Broadcaster(_) if matches!(input, Input::Datagram { .. } | Input::Timeout) => {
                self.held = Some(Held { number, entry: Entry { program, now, input }, drawn: Vec::new() });
                Ok(())
            }
            Machines::Broadcaster(_) => Err(Departure::OtherProgram),
            Machines::Peer(peer) => peer.handle(now, input),
        }
    }
}
