//! What is played, each by a subcommand.

mod cable;
mod flood;
mod guess;
mod honest;
mod hosts;
mod links;
mod promises;
mod replay;
mod restart;
mod target;

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::Fallible;
use crate::linked;

/// Attacks a broadcaster, in a network of its own
///
/// It is run by `tests/attack/run`, which makes the network. Nothing is sent where there is a way out of it.
#[derive(Debug, Parser)]
#[command(name = "attack")]
pub(crate) struct Cli {
    #[command(subcommand)]
    play: Play,
}

#[derive(Debug, Subcommand)]
enum Play {
    Flood(flood::Options),
    Honest(honest::Options),
    Replay(replay::Options),
    Guess(guess::Options),
    Restart(restart::Options),
    Hosts(hosts::Options),
    Links(links::Options),
    #[command(hide = true)]
    Linked(linked::Options),
    Cable(cable::Options),
}

impl Cli {
    /// Plays it.
    ///
    /// # Errors
    /// If it can't be played, or if a promise didn't hold.
    pub(crate) fn play(self) -> Fallible<()> {
        match self.play {
            Play::Flood(options) => flood::play(&options),
            Play::Honest(options) => honest::play(&options),
            Play::Replay(options) => replay::play(&options),
            Play::Guess(options) => guess::play(&options),
            Play::Restart(options) => restart::play(&options),
            Play::Hosts(options) => hosts::play(&options),
            Play::Links(options) => links::play(&options),
            Play::Linked(options) => linked::run(&options),
            Play::Cable(options) => cable::play(&options),
        }
    }
}

/// A number of seconds.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|error| format!("{error}: write so many seconds"))
}
