//! What is written down of a world, so that it can be played again.

use poolmesh_proto::Instant;
use poolmesh_proto::trace::{Digest, Digested, Entry, Input, Polled};

/// All that machines were told, in order.
#[derive(Debug, Default)]
pub(super) struct Tape {
    entries: Vec<Entry>,
}

impl Tape {
    pub(super) fn note(&mut self, program: usize, now: Instant, input: Input) {
        self.entries.push(Entry { program: program as u32, now, input });
    }

    /// One output was polled.
    pub(super) fn polled(&mut self, program: usize, now: Instant, machine: Polled, output: &impl Digested) {
        let mut digest = Digest::new();
        digest.output(output);
        self.note(program, now, Input::Polled { machine, outputs: 1, digest: digest.get() });
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}
