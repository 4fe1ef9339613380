//! Rounds in which several subjects take turns.
//!
//! Timings of a shared machine drift, by a third within hours. What is compared is therefore measured within the same
//! fractions of a second, and it is the ratios of each round that are looked at.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use poolmesh_testkit::patience::now;

use crate::clock::CpuClock;
use crate::stats::Quartiles;
use crate::table::{Cores, Row};
use crate::{Fallible, side};

/// What is measured of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    ServerCpu,
    SenderCpu,
    ReceiverCpu,
    /// Of both ends together.
    BothCpu,
    /// Of the thread in which it is all done.
    Cpu,
    Rate,
    P50,
    P99,
    /// That are held.
    Memory,
}

impl Measure {
    /// What it is, with its unit.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::ServerCpu => "CPU of the server, ns",
            Self::SenderCpu => "CPU of the sender, ns",
            Self::ReceiverCpu => "CPU of the receiver, ns",
            Self::BothCpu => "CPU of both ends, ns",
            Self::Cpu => "CPU, ns",
            Self::Rate => "thousand a second",
            Self::P50 => "p50, µs",
            Self::P99 => "p99, µs",
            Self::Memory => "bytes",
        }
    }
}

/// What was measured in a round, for each operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) measure: Measure,
    pub(crate) value: f64,
    /// Of the side that was measured, if it is one side.
    pub(crate) allocations: Option<f64>,
}

/// What one round of one subject came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// How long it took.
    pub(crate) elapsed: Duration,
    pub(crate) values: Vec<Value>,
}

impl Round {
    /// A round without sockets: what `work` took in this thread, for each of so many operations.
    pub(crate) fn of_this_thread(operations: u64, work: impl FnOnce() -> Fallible<()>) -> Fallible<Self> {
        let (clock, allocations, start) = (CpuClock::of_this_thread(), side::allocations(), now());
        let before = clock.read()?;
        work()?;
        let (cpu, elapsed) = (clock.read()? - before, start.elapsed());
        let allocations = side::allocations() - allocations;
        let value = Value {
            measure: Measure::Cpu,
            value: cpu.as_nanos() as f64 / operations as f64,
            allocations: Some(allocations as f64 / operations as f64),
        };
        Ok(Self { elapsed, values: vec![value] })
    }
}

/// One of those that are compared.
pub(crate) struct Subject<'a> {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Plays a round of so many operations.
    pub(crate) play: Box<dyn FnMut(u64) -> Fallible<Round> + 'a>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(name: &'static str, play: impl FnMut(u64) -> Fallible<Round> + 'a) -> Self {
        Self { name, play: Box::new(play) }
    }
}

/// How long it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Rounds of each subject that count.
    pub(crate) rounds: usize,
    /// How long a round is to be, about.
    pub(crate) round: Duration,
}

/// What all rounds came to, by subject.
#[derive(Debug)]
pub(crate) struct Outcome {
    what: String,
    cores: Cores,
    rounds: Vec<(&'static str, Vec<Round>)>,
}

impl Plan {
    /// Has the subjects take turns. Rounds begin with `step` operations, are made as long as they are to be, and are a
    /// multiple of it; those in which that is found out don't count.
    pub(crate) fn hold(
        self,
        what: impl Into<String>,
        cores: Cores,
        step: u64,
        mut subjects: Vec<Subject<'_>>,
    ) -> Fallible<Outcome> {
        let what = what.into();
        let mut operations = Vec::with_capacity(subjects.len());
        for subject in &mut subjects {
            progress(&format!("{what}, {}: {} warms up", cores.label(), subject.name));
            operations.push(self.warm_up(subject, step)?);
        }
        let mut rounds: Vec<_> = subjects.iter().map(|subject| (subject.name, Vec::new())).collect();
        for round in 1..=self.rounds {
            progress(&format!("{what}, {}: round {round} of {}", cores.label(), self.rounds));
            for ((subject, operations), (_, done)) in subjects.iter_mut().zip(&operations).zip(&mut rounds) {
                done.push((subject.play)(*operations)?);
            }
        }
        progress("");
        Ok(Outcome { what, cores, rounds })
    }

    /// How many operations take as long as a round is to be.
    fn warm_up(self, subject: &mut Subject<'_>, step: u64) -> Fallible<u64> {
        let mut steps = 1;
        loop {
            let elapsed = (subject.play)(steps * step)?.elapsed.max(Duration::from_micros(1));
            let factor = self.round.as_secs_f64() / elapsed.as_secs_f64();
            // Short rounds say little of long ones.
            if factor < 4.0 {
                return Ok(((steps as f64 * factor) as u64).max(1) * step);
            }
            steps = (steps as f64 * factor.min(16.0)) as u64;
        }
    }
}

impl Outcome {
    /// The row of what one subject took, beside another. None if one of them wasn't measured so.
    pub(crate) fn row(&self, measure: Measure, ours: &'static str, yardstick: &'static str) -> Option<Row> {
        let theirs = self.of(yardstick, measure);
        let ratios =
            self.of(ours, measure).into_iter().zip(&theirs).map(|(ours, theirs)| ours.value / theirs.value);
        Some(Row {
            yardstick: Some((yardstick, median(&theirs)?)),
            ratio: Quartiles::of(ratios),
            ..self.alone(measure, ours)?
        })
    }

    /// The row of what one subject took, beside nothing.
    pub(crate) fn alone(&self, measure: Measure, subject: &'static str) -> Option<Row> {
        let all = self.of(subject, measure);
        let allocations = Quartiles::of(all.iter().filter_map(|value| value.allocations));
        Some(Row {
            what: self.what.clone(),
            cores: self.cores,
            measure,
            subject,
            ours: median(&all)?,
            yardstick: None,
            ratio: None,
            allocations: allocations.map(|all| all.median),
            rounds: all.len(),
            size: None,
        })
    }

    fn of(&self, subject: &str, measure: Measure) -> Vec<Value> {
        let rounds = self.rounds.iter().filter(|(name, _)| *name == subject).flat_map(|(_, rounds)| rounds);
        rounds.flat_map(|round| &round.values).filter(|value| value.measure == measure).copied().collect()
    }
}

fn median(all: &[Value]) -> Option<Quartiles> {
    Quartiles::of(all.iter().map(|value| value.value))
}

/// Says on a terminal, in place of what was said before, what is under way.
pub(crate) fn progress(what: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // That nobody can be told is no reason to stop.
        let _ = write!(terminal, "\r\x1b[K{what}");
        let _ = terminal.flush();
    } else if !what.is_empty() && !what.contains("round") {
        let _ = writeln!(terminal, "{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(value: f64) -> Value {
        Value { measure: Measure::ServerCpu, value, allocations: Some(value * 2.0) }
    }

    /// A subject that takes a millisecond for ten operations.
    fn steady(name: &'static str, cost: f64) -> Subject<'static> {
        Subject::new(name, move |operations| {
            let elapsed = Duration::from_micros(100 * operations);
            Ok(Round { elapsed, values: vec![server(cost)] })
        })
    }

    #[test]
    fn a_round_is_as_long_as_planned_in_whole_steps() {
        let plan = Plan { rounds: 1, round: Duration::from_millis(200) };
        assert_eq!(plan.warm_up(&mut steady("a", 1.0), 32).unwrap(), 1_984);
        let short = Plan { round: Duration::from_micros(1), ..plan };
        assert_eq!(short.warm_up(&mut steady("a", 1.0), 32).unwrap(), 32);
    }

    #[test]
    fn the_ratio_is_that_of_each_round() {
        let drifting = |name, factor: f64| {
            let mut slower = [1.0, 10.0, 100.0].into_iter().cycle();
            Subject::new(name, move |_| {
                let cost = slower.next().unwrap_or_default() * factor;
                Ok(Round { elapsed: Duration::from_secs(1), values: vec![server(cost)] })
            })
        };
        let subjects = vec![drifting("raw", 1.0), drifting("std", 1.5)];
        let plan = Plan { rounds: 9, round: Duration::from_secs(1) };
        let outcome = plan.hold("ping", Cores::One, 1, subjects).unwrap();
        let row = outcome.row(Measure::ServerCpu, "std", "raw").unwrap();
        assert_eq!(row.ratio, Some(Quartiles { lower: 1.5, median: 1.5, upper: 1.5 }));
        assert_eq!((row.rounds, row.allocations), (9, Some(30.0)));
        assert!(outcome.row(Measure::Rate, "std", "raw").is_none());
    }
}
