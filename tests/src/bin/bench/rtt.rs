//! How long a frame takes there and back, against bare connections.

use poolmesh_testkit::patience::now;

use crate::Fallible;
use crate::cli::Options;
use crate::clock;
use crate::contest::{Measure, Round, Subject, Value};
use crate::link::PEERS;
use crate::side::Side;
use crate::table::{Cores, Row};

/// Who plays, and against which bare connections.
const COMPARED: [(&str, &str); 2] = [("std", "raw"), ("smol", "raw-smol")];
const PLAYERS: [&str; 4] = ["raw", "raw-smol", "std", "smol"];
const MEASURES: [Measure; 3] = [Measure::P50, Measure::P99, Measure::BothCpu];
const WHAT: &str = "ping-pong of 32 B";

/// Who is held against whom: peers against bare connections, too.
fn compared() -> impl Iterator<Item = (&'static str, &'static str)> {
    COMPARED.into_iter().chain(PEERS.iter().map(|peer| (*peer, "raw")))
}

/// Two who are connected.
struct Pair {
    player: &'static str,
    echo: Side,
    pinger: Side,
}

impl Pair {
    fn start(player: &'static str) -> Fallible<Self> {
        let echo = Side::start(["echo", player])?;
        let pinger = Side::start(["pinger", player, echo.ready()])?;
        Ok(Self { player, echo, pinger })
    }

    fn subject(&mut self) -> Subject<'_> {
        Subject::new(self.player, |frames| self.play(frames))
    }

    fn play(&mut self, frames: u64) -> Fallible<Round> {
        let before = (self.echo.used()?, self.pinger.used()?);
        let start = now();
        let times = self.pinger.ask(&frames.to_string())?;
        let elapsed = start.elapsed();
        let both = [(&mut self.echo, before.0), (&mut self.pinger, before.1)];
        let mut cpu = 0.0;
        for (side, before) in both {
            cpu += side.used()?.since(before, Measure::BothCpu, frames).value;
        }
        let mut values = vec![Value { measure: Measure::BothCpu, value: cpu, allocations: None }];
        for (measure, nanos) in [Measure::P50, Measure::P99].into_iter().zip(times.split(' ')) {
            values.push(Value { measure, value: nanos.parse::<f64>()? / 1e3, allocations: None });
        }
        Ok(Round { elapsed, values })
    }
}

/// Measures it.
pub(crate) fn run(options: &Options) -> Fallible<Vec<Row>> {
    let cores = clock::cores()?;
    let mut pairs =
        PLAYERS.into_iter().chain(PEERS.iter().copied()).map(Pair::start).collect::<Fallible<Vec<_>>>()?;
    let mut rows = Vec::new();
    for on in options.cores(cores.len()) {
        rows.extend(measure(options, &cores, on, &mut pairs)?);
    }
    Ok(rows)
}

fn measure(options: &Options, cores: &[usize], on: Cores, pairs: &mut [Pair]) -> Fallible<Vec<Row>> {
    let (first, last) = on.choose(cores)?;
    for pair in pairs.iter_mut() {
        pair.echo.pin(&[first])?;
        pair.pinger.pin(&[last])?;
    }
    let outcome = options.plan().hold(WHAT, on, 100, pairs.iter_mut().map(Pair::subject).collect())?;
    let mut rows = Vec::new();
    for measure in MEASURES {
        rows.extend(compared().filter_map(|(ours, raw)| outcome.row(measure, ours, raw)));
    }
    Ok(rows)
}
