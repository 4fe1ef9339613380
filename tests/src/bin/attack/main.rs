//! Attackers of a broadcaster, and honest clients beside them, on real sockets. `tests/attack/run` makes a network
//! for them, and runs them; where there is a way out of the network, they do nothing.

#[cfg(not(target_os = "linux"))]
compile_error!("the attackers have raw sockets and networks of their own, which only Linux has so");

mod client;
mod clock;
mod crowd;
mod enclosure;
mod flood;
mod forge;
mod guesser;
mod linked;
mod packet;
mod party;
mod play;
mod pools;
mod quantiles;
mod server;
mod thieves;
mod verdict;
mod wire;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// Any reason why something failed.
type Reason = Box<dyn Error + Send + Sync>;

/// What can fail for any reason, which is then said.
type Fallible<T> = Result<T, Reason>;

fn main() -> ExitCode {
    match play::Cli::parse().play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("attack: {error}");
            ExitCode::FAILURE
        }
    }
}
