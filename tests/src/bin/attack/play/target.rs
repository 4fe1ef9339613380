//! The broadcaster that is attacked, from its start to its end.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use clap::Args;

use crate::Fallible;
use crate::clock::now;
use crate::crowd::Crowd;
use crate::enclosure::Enclosure;
use crate::server::Server;
use crate::verdict::Verdict;

/// What is attacked
#[derive(Args, Clone, Debug)]
pub(super) struct Flags {
    /// Where it listens
    #[arg(long, value_name = "ADDR", default_value = "198.19.0.1:7777")]
    pub(super) at: SocketAddrV4,

    /// From what number all chance follows
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,

    /// What starts it
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// A broadcaster that runs, in a network that nothing leaves.
#[derive(Debug)]
pub(super) struct Target<'a> {
    flags: &'a Flags,
    pub(super) enclosure: Enclosure,
    pub(super) server: Server,
}

/// A time without a broadcaster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) killed: Instant,
    /// When it answered again.
    pub(super) over: Instant,
}

impl<'a> Target<'a> {
    /// Looks whether there is a way out, and starts it.
    pub(super) fn start(flags: &'a Flags) -> Fallible<Self> {
        let enclosure = Enclosure::check()?;
        Ok(Self { flags, enclosure, server: flags.start(enclosure)? })
    }

    /// Honest clients of it.
    pub(super) fn crowd(&self) -> Fallible<Crowd> {
        Crowd::new(self.enclosure, self.flags.at, self.flags.seed)
    }

    /// Kills it, as a machine that loses its power, and starts it again when `meanwhile` has come to its end.
    pub(super) fn outage(&mut self, meanwhile: impl FnOnce() -> Fallible<()>) -> Fallible<Outage> {
        let killed = now();
        self.server.kill()?;
        meanwhile()?;
        self.server = self.flags.start(self.enclosure)?;
        let over = now();
        println!("killed, and answering again {:.0} ms later", (over - killed).as_secs_f64() * 1e3);
        Ok(Outage { killed, over })
    }

    /// Has it end, the last thing in which it can break a promise, and says whether all held.
    pub(super) fn end(mut self, mut verdict: Verdict) -> Fallible<()> {
        let stopped = self.server.stop();
        verdict.check(stopped.is_ok(), format_args!("the broadcaster ran and stopped well: {stopped:?}"));
        verdict.done()
    }
}

impl Flags {
    fn start(&self, enclosure: Enclosure) -> Fallible<Server> {
        Server::start(&self.command, self.at, enclosure)
    }
}

impl Outage {
    /// All must be back within so many intervals.
    const INTERVALS: u32 = 2;
    /// After this it is over, whoever is back.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// How long after the outage all must be back, if members ping so often.
    pub(super) fn bound(interval: Duration) -> Duration {
        interval * Self::INTERVALS
    }

    /// Until when those who are not back are waited for.
    pub(super) fn deadline(&self) -> Instant {
        self.over + Self::PATIENCE
    }
}
