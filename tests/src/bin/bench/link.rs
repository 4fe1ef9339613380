//! What frames cost one way, against bare connections.

use poolmesh_testkit::patience::now;

use crate::cli::Options;
use crate::clock;
use crate::contest::{Measure, Round, Subject, Value};
use crate::side::Side;
use crate::table::{Cores, Row};
use crate::{Fallible, fanout};

/// Bare connections.
const YARDSTICK: &str = "raw";
/// What many would take instead: tokio with a codec, and streams that are encrypted.
pub(crate) const PEERS: &[&str] =
    if cfg!(feature = "bench-peers") { &["tokio", "libp2p", "quinn"] } else { &["tokio"] };
/// Ours, by runtime.
const OURS: [&str; 2] = ["std", "smol"];

/// One way to send and receive.
struct Job {
    what: &'static str,
    shape: &'static str,
    style: &'static str,
    handling: &'static str,
    measures: &'static [Measure],
    /// Frames at least in a round.
    step: u64,
}

/// What keeps payloads.
const KEEPS: &str = "keeps";

/// Frames of 32 bytes in batches, looked at.
const SMALL: Job = Job {
    what: "32 B frames",
    shape: "small",
    style: "batch",
    handling: "looks",
    measures: &[Measure::SenderCpu, Measure::ReceiverCpu, Measure::BothCpu, Measure::Rate],
    step: 4_096,
};

const JOBS: [Job; 5] = [
    SMALL,
    Job { what: "32 B frames, each sent alone", style: "single", measures: &[Measure::SenderCpu], ..SMALL },
    Job {
        what: "32 B frames, payloads kept",
        handling: KEEPS,
        measures: &[Measure::ReceiverCpu, Measure::BothCpu, Measure::Rate],
        ..SMALL
    },
    Job { what: "1 KiB frames", shape: "kilo", step: 256, ..SMALL },
    Job { what: "64 KiB payloads", shape: "bulk", step: 16, ..SMALL },
];

/// Measures all that was asked for.
pub(crate) fn run(options: &Options) -> Fallible<Vec<Row>> {
    let cores = clock::cores()?;
    let mut rows = Vec::new();
    for job in JOBS.iter().filter(|job| options.wants(job.what)) {
        let mut pairs = Vec::new();
        for maker in [YARDSTICK].into_iter().chain(PEERS.iter().copied()).chain(OURS) {
            pairs.push(Pair::start(maker, job)?);
        }
        for on in options.cores(cores.len()) {
            rows.extend(job.measure(options, &cores, on, &mut pairs)?);
        }
    }
    rows.extend(fanout::run(options, &cores)?);
    Ok(rows)
}

/// Two who are connected.
struct Pair {
    maker: &'static str,
    sender: Side,
    receiver: Side,
}

impl Pair {
    fn start(maker: &'static str, job: &Job) -> Fallible<Self> {
        let receiver = Side::start(["receiver", maker, job.shape, job.handling])?;
        let sender = Side::start(["sender", maker, job.style, job.shape, receiver.ready()])?;
        Ok(Self { maker, sender, receiver })
    }

    fn subject(&mut self) -> Subject<'_> {
        Subject::new(self.maker, |frames| self.play(frames))
    }

    fn play(&mut self, frames: u64) -> Fallible<Round> {
        let (sender, receiver) = (self.sender.used()?, self.receiver.used()?);
        self.receiver.ask(&format!("expect {frames}"))?;
        let start = now();
        self.sender.tell(&frames.to_string())?;
        self.receiver.ask("wait")?;
        let elapsed = start.elapsed();
        self.sender.hear()?;
        let rate = frames as f64 / elapsed.as_secs_f64() / 1e3;
        let sender = self.sender.used()?.since(sender, Measure::SenderCpu, frames);
        let receiver = self.receiver.used()?.since(receiver, Measure::ReceiverCpu, frames);
        // What the system does on the way is done by the one or by the other, from run to run.
        let both = Value {
            measure: Measure::BothCpu,
            value: sender.value + receiver.value,
            allocations: sender.allocations.zip(receiver.allocations).map(|(sent, received)| sent + received),
        };
        let rate = Value { measure: Measure::Rate, value: rate, allocations: None };
        let values = vec![sender, receiver, both, rate];
        Ok(Round { elapsed, values })
    }
}

impl Job {
    fn measure(
        &self,
        options: &Options,
        cores: &[usize],
        on: Cores,
        pairs: &mut [Pair],
    ) -> Fallible<Vec<Row>> {
        let (first, last) = on.choose(cores)?;
        for pair in pairs.iter_mut() {
            pair.receiver.pin(&[first])?;
            pair.sender.pin(&[last])?;
        }
        let outcome =
            options.plan().hold(self.what, on, self.step, pairs.iter_mut().map(Pair::subject).collect())?;
        let mut rows = Vec::new();
        for measure in self.measures {
            let all = OURS.into_iter().chain(PEERS.iter().copied());
            rows.extend(all.filter_map(|one| outcome.row(*measure, one, YARDSTICK)));
            // What is kept is what peers hand out, too.
            for peer in PEERS.iter().filter(|_| self.handling == KEEPS) {
                rows.extend(OURS.into_iter().filter_map(|ours| outcome.row(*measure, ours, peer)));
            }
        }
        Ok(rows)
    }
}
