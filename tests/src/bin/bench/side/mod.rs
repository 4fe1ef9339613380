//! The sides of a benchmark: each in a process of its own, so that its processor time and its allocations are its own.
//!
//! The program runs itself again as `bench side …`. Such a process says `ok …` when it is ready, and once for each line
//! that it is told; it ends with its input.

pub(crate) mod broadcaster;
pub(crate) mod crowd;
pub(crate) mod link;
pub(crate) mod rtt;

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use clap::Subcommand;

use crate::clock::{self, CpuClock};
use crate::contest::{Measure, Value};
use crate::yardstick::frames::Shape;
use crate::{ALLOCATOR, Fallible, yardstick};

/// Who can be a side.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// A broadcaster of ours. Says where it serves.
    Broadcaster {
        #[arg(value_enum)]
        runtime: broadcaster::Runtime,
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// The shortest server that answers requests of the same sizes. Says where it serves.
    Datagrams {
        #[arg(value_enum)]
        io: yardstick::udp::Io,
        /// The length of the answer to each kind of request, in bytes
        #[arg(required = true)]
        answers: Vec<usize>,
        /// That all requests are of the native dialect, and what their answer is
        #[arg(long)]
        native: Option<u8>,
    },
    /// Sends frames to a receiver.
    Sender {
        #[arg(value_enum)]
        maker: link::Maker,
        #[arg(value_enum)]
        style: link::Style,
        #[arg(value_enum)]
        shape: Shape,
        place: String,
    },
    /// Receives frames. Says where.
    Receiver {
        #[arg(value_enum)]
        maker: link::Maker,
        #[arg(value_enum)]
        shape: Shape,
        #[arg(value_enum)]
        handling: link::Handling,
    },
    /// Sends an event to many. Says where it takes connections, and acknowledgements.
    Announcer {
        #[arg(value_enum)]
        maker: link::Maker,
    },
    /// The many.
    Crowd { links: usize, announcer: SocketAddr, acknowledge: SocketAddr },
    /// Sends back each frame that comes. Says where it takes a connection.
    Echo {
        #[arg(value_enum)]
        player: rtt::Player,
    },
    /// Sends the next frame when the last has come back.
    Pinger {
        #[arg(value_enum)]
        player: rtt::Player,
        place: String,
    },
}

impl Role {
    /// Is that side, until its input ends.
    pub(crate) fn play(self) -> Fallible<()> {
        match self {
            Self::Broadcaster { runtime, threads } => broadcaster::play(runtime, threads),
            Self::Datagrams { io, answers, native } => yardstick::udp::play(io, &answers, native),
            Self::Sender { maker, style, shape, place } => link::send(maker, style, shape, place),
            Self::Receiver { maker, shape, handling } => link::receive(maker, shape, handling),
            Self::Announcer { maker } => crowd::announce(maker),
            Self::Crowd { links, announcer, acknowledge } => crowd::listen(links, announcer, acknowledge),
            Self::Echo { player } => rtt::echo(player),
            Self::Pinger { player, place } => rtt::ping(player, place),
        }
    }
}

/// Says that the side is ready, then does what it is told.
pub(crate) fn obey(ready: &str, mut act: impl FnMut(&str) -> Fallible<String>) -> Fallible<()> {
    say("ok", ready)?;
    for line in io::stdin().lines() {
        let line = line?;
        let done = match line.split_once(' ') {
            Some(("pin", cores)) => pin(cores).map(|()| String::new()),
            None if line == "allocations" => Ok(allocations().to_string()),
            Some(_) | None => act(&line),
        };
        match done {
            Ok(said) => say("ok", &said)?,
            Err(error) => say("failed", &error.to_string())?,
        }
    }
    Ok(())
}

/// For sides that serve without being told anything.
pub(crate) fn serve(ready: &str) -> Fallible<()> {
    obey(ready, |line| Err(format!("{line:?} means nothing to it").into()))
}

fn say(how: &str, what: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{how} {what}")?;
    out.flush()
}

fn pin(cores: &str) -> Fallible<()> {
    let cores: Result<Vec<usize>, _> = cores.split(',').map(str::parse).collect();
    clock::pin(&cores?)
}

/// Allocations and reallocations of this process so far.
pub(crate) fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// What a side has used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Processor time of all its threads.
    pub(crate) cpu: Duration,
    /// Allocations and reallocations.
    pub(crate) allocations: u64,
}

impl Used {
    /// What was used since, for each of so many operations.
    pub(crate) fn since(self, before: Self, measure: Measure, operations: u64) -> Value {
        let cpu = (self.cpu - before.cpu).as_nanos() as f64;
        let allocations = (self.allocations - before.allocations) as f64;
        Value { measure, value: cpu / operations as f64, allocations: Some(allocations / operations as f64) }
    }
}

/// Bytes that were allocated in this process and not given back.
pub(crate) fn bytes_alive() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// A side that was started.
#[derive(Debug)]
pub(crate) struct Side {
    process: Child,
    told: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    clock: CpuClock,
    ready: String,
}

impl Side {
    /// Starts a side in a process of its own and waits until it is ready.
    pub(crate) fn start<I: ToString>(role: impl IntoIterator<Item = I>) -> Fallible<Self> {
        let role: Vec<String> = role.into_iter().map(|part| part.to_string()).collect();
        let mut command = Command::new(env::current_exe()?);
        command.arg("side").args(&role).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let clock = CpuClock::of_process(process.id())?;
        let told = process.stdin.take();
        let said = BufReader::new(process.stdout.take().ok_or("a side without output")?);
        let mut side = Self { process, told, said, clock, ready: role.join(" ") };
        side.ready = side.hear()?;
        Ok(side)
    }

    /// What it said when it was ready.
    pub(crate) fn ready(&self) -> &str {
        &self.ready
    }

    /// Tells it something, without waiting for what it says.
    pub(crate) fn tell(&mut self, what: &str) -> Fallible<()> {
        let told = self.told.as_mut().ok_or("the side was told to end")?;
        // In one piece, so that it wakes once.
        told.write_all(format!("{what}\n").as_bytes())?;
        Ok(told.flush()?)
    }

    /// Waits for what it says.
    pub(crate) fn hear(&mut self) -> Fallible<String> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        match line.trim_end_matches('\n').split_once(' ').unwrap_or_default() {
            ("ok", said) => Ok(said.to_owned()),
            ("failed", why) => Err(format!("the side {:?}: {why}", self.ready).into()),
            _ => Err(format!("the side {:?} ended", self.ready).into()),
        }
    }

    /// Tells it something and waits for what it says.
    pub(crate) fn ask(&mut self, what: &str) -> Fallible<String> {
        self.tell(what)?;
        self.hear()
    }

    /// What it has used so far.
    pub(crate) fn used(&mut self) -> Fallible<Used> {
        let allocations = self.ask("allocations")?.parse()?;
        Ok(Used { cpu: self.clock.read()?, allocations })
    }

    /// Has it run on these cores alone.
    pub(crate) fn pin(&mut self, cores: &[usize]) -> Fallible<()> {
        let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
        self.ask(&format!("pin {}", cores.join(","))).map(drop)
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.told.take());
        // It ends by itself, unless it is stuck; that it is gone already is no harm.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
