//! What can be asked for.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::contest::Plan;
use crate::side::Role;
use crate::table::Cores;

/// Measures what poolmesh costs, beside yardsticks in the same run.
///
/// Figures of a machine drift, those of a shared one by a third: the ratios are what carries over. Each is the median of
/// the ratios of all rounds, with their quartiles; those who are compared take turns. Processor time is that of a
/// process in which nothing else runs.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Requests to a broadcaster, against bare loops that receive and send as much
    Broadcaster(Options),
    /// Frames one way, and one event to many, against bare connections
    Link(Options),
    /// Frames there and back, one at a time, against bare connections
    Rtt(Options),
    /// Frames in memory, against a cursor over bytes
    Parse(Options),
    /// Pools in memory: what a ping costs of how many pools, and the bytes of each
    Pools(Options),
    /// One end of a benchmark, in a process of its own
    #[command(hide = true)]
    Side {
        #[command(subcommand)]
        role: Role,
    },
}

/// How it is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Rounds of each, at least 8 for figures that say something
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rounds: u16,

    /// How long a round takes, about
    #[arg(long, value_name = "MS", default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    round_ms: u64,

    /// Short rounds, two of each: whether it runs at all, no figures
    #[arg(long)]
    pub(crate) quick: bool,

    /// On how many cores
    #[arg(long, value_enum, default_value_t = OnCores::Both)]
    cores: OnCores,

    /// Only what has this in its name
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// Draw what grows with a number of links or pools into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Print JSON in place of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnCores {
    /// Both ends on one
    One,
    /// Each end on its own
    Two,
    /// First on one, then each on its own
    Both,
}

impl Options {
    pub(crate) fn plan(&self) -> Plan {
        if self.quick {
            return Plan { rounds: 2, round: Duration::from_millis(5) };
        }
        Plan { rounds: usize::from(self.rounds), round: Duration::from_millis(self.round_ms) }
    }

    /// On which cores to measure, if the machine has as many.
    pub(crate) fn cores(&self, there_are: usize) -> Vec<Cores> {
        let wanted = [(Cores::One, OnCores::Two), (Cores::Two, OnCores::One)];
        let wanted = wanted.into_iter().filter(|(_, unless)| self.cores != *unless).map(|(cores, _)| cores);
        wanted.filter(|cores| there_are > 1 || *cores == Cores::One).collect()
    }

    /// Whether this is to be measured.
    pub(crate) fn wants(&self, what: &str) -> bool {
        what.contains(&self.only)
    }

    /// Why nothing was measured.
    pub(crate) fn nothing(&self) -> Box<dyn Error + Send + Sync> {
        format!("nothing that is measured here has {:?} in its name; without --only all of it is", self.only)
            .into()
    }
}
