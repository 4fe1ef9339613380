//! How a replay departs from what was recorded.

use core::fmt;

use super::super::{Entry, Polled};
use crate::Instant;

/// A replay departs from its trace: where, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which entry; the first of a trace is 1.
    pub number: u64,
    /// Its program.
    pub program: u32,
    /// Its time.
    pub now: Instant,
    /// How.
    pub departure: Departure,
}

impl Difference {
    pub(super) fn new(number: u64, entry: &Entry, departure: Departure) -> Self {
        Self { number, program: entry.program, now: entry.now, departure }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, program, now, departure } = self;
        write!(f, "entry {number} (program {program}, at {} µs): {departure}", now.as_micros())
    }
}

impl core::error::Error for Difference {}

/// How a replay departs from what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Departure {
    /// A machine was polled, and had fewer outputs.
    Outputs {
        /// Which.
        machine: Polled,
        /// How many there should be, the `Wait` among them.
        expected: u32,
        /// How many came.
        came: u32,
    },
    /// A machine was polled, and had other outputs.
    Digest {
        /// Which.
        machine: Polled,
        /// Of what it said then.
        expected: u64,
        /// Of what it says now.
        came: u64,
    },
    /// A machine drew more or fewer random numbers.
    Draws {
        /// How many it should have drawn.
        expected: usize,
        /// How many it drew.
        came: usize,
    },
    /// Random numbers, but not behind an input that can draw some.
    DrawnByNobody,
    /// The program was not started.
    NotStarted,
    /// The program has no such machine.
    OtherProgram,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outputs { machine, expected, came } => {
                write!(f, "{machine:?}: {expected} outputs were recorded, {came} came")
            }
            Self::Digest { machine, expected, came } => {
                write!(f, "{machine:?}: outputs of digest {expected:016x} were recorded, of {came:016x} came")
            }
            Self::Draws { expected, came } => {
                write!(f, "{expected} random numbers were recorded, {came} were drawn")
            }
            Self::DrawnByNobody => f.write_str("random numbers that nothing has drawn"),
            Self::NotStarted => f.write_str("the program was not started"),
            Self::OtherProgram => f.write_str("the program has no such machine"),
        }
    }
}

impl core::error::Error for Departure {}
