//! Faults, one after the other, and their end.

use std::time::Duration;

use super::options::Faults;
use crate::sim::{App, Lateness, NodeId, Rng, State, StreamWeather, Violation, Weather, World};

/// Where a storm can rage.
pub(super) trait Stage {
    /// What peers run.
    type Program: App;

    /// Kinds of strikes there are: ten, and those that [`Stage::strike`] knows.
    const KINDS: u64 = 10;

    fn world(&mut self) -> &mut World<Self::Program>;

    /// The chance of what happens to the world, apart from the chance in it.
    fn rng(&mut self) -> &mut Rng;

    fn faults(&self) -> Faults;

    /// How long it is from one fault to the next, on average.
    fn fault_every(&self) -> Duration;

    /// Any node but an attacker.
    fn some_node(&mut self) -> NodeId;

    /// Starts a crashed node anew.
    fn restart(&mut self, node: NodeId);

    /// Whatever else can go wrong here.
    fn strike(&mut self) {}
}

/// A fault that ends.
#[derive(Clone, Copy, Debug)]
enum Repair {
    Restart(NodeId),
    Thaw(NodeId),
    Heal,
}

/// The faults of one storm.
#[derive(Debug)]
pub(super) struct Storm {
    end: Duration,
    repairs: Vec<(Duration, Repair)>,
}

impl Storm {
    /// A storm of that length.
    pub(super) fn new<S: Stage>(stage: &mut S, length: Duration) -> Self {
        Self { end: stage.world().now() + length, repairs: Vec::new() }
    }

    /// Lets it rage until its end.
    ///
    /// # Errors
    /// If something did not hold.
    pub(super) fn rage<S: Stage>(mut self, stage: &mut S) -> Result<(), Violation> {
        self.change_weather(stage);
        loop {
            let every = stage.fault_every();
            let wait = stage.rng().exponential(every);
            let next = stage.world().now() + Duration::from_micros(wait);
            self.pass(stage, next.min(self.end))?;
            if stage.world().now() >= self.end {
                return Ok(());
            }
            self.strike(stage);
        }
    }

    /// Lets time pass until `end`, and repairs what is to be repaired meanwhile.
    fn pass<S: Stage>(&mut self, stage: &mut S, end: Duration) -> Result<(), Violation> {
        while let Some(place) = self.first_repair(end) {
            let (at, repair) = self.repairs.swap_remove(place);
            let wait = at.saturating_sub(stage.world().now());
            stage.world().run_for(wait)?;
            match repair {
                Repair::Restart(node) => stage.restart(node),
                Repair::Thaw(node) => stage.world().thaw(node),
                Repair::Heal => stage.world().heal(),
            }
        }
        let wait = end.saturating_sub(stage.world().now());
        stage.world().run_for(wait)
    }

    fn first_repair(&self, end: Duration) -> Option<usize> {
        let due = self.repairs.iter().enumerate().filter(|(_, (at, _))| *at <= end);
        due.min_by_key(|(place, (at, _))| (*at, *place)).map(|(place, _)| place)
    }

    fn later<S: Stage>(&mut self, stage: &mut S, mean: Duration, repair: Repair) {
        let wait = stage.rng().exponential(mean);
        self.repairs.push((stage.world().now() + Duration::from_micros(wait), repair));
    }

    fn strike<S: Stage>(&mut self, stage: &mut S) {
        let faults = stage.faults();
        let node = stage.some_node();
        match stage.rng().below(S::KINDS) {
            0..2 => self.change_weather(stage),
            2 if faults.partitions => self.part(stage),
            3 | 4 if faults.crashes => {
                let running = stage.world().state(node) == Some(State::Running);
                if running {
                    let dark = stage.rng().chance(300_000);
                    stage.world().crash(node, dark);
                    self.later(stage, Duration::from_secs(30), Repair::Restart(node));
                }
            }
            5 if faults.freezes => {
                let clock = stage.rng().chance(300_000);
                stage.world().freeze(node, clock);
                self.later(stage, Duration::from_secs(20), Repair::Thaw(node));
            }
            6 if faults.clocks => {
                let ppm = stage.rng().range(0, 200_000) as i32 - 100_000;
                stage.world().drift(node, ppm);
            }
            7 if faults.clocks => {
                let most = *stage.rng().pick(&[1_000, 1_000_000, 600_000_000]);
                let micros = stage.rng().range(0, 2 * most) as i64 - most as i64;
                stage.world().jump(node, micros);
            }
            8 if faults.driver => {
                let lateness = Lateness::some(stage.rng());
                if let Some(place) = stage.world().lateness(node) {
                    *place = lateness;
                }
            }
            9 if faults.streams => stage.world().cut_some(300_000),
            10.. => stage.strike(),
            _ => {}
        }
    }

    fn change_weather<S: Stage>(&self, stage: &mut S) {
        let faults = stage.faults();
        let rng = stage.rng();
        let mut weather = if faults.network { Weather::rough(rng) } else { Weather::calm() };
        if faults.streams {
            weather.streams = StreamWeather::rough(rng);
            if !faults.spoil {
                weather.streams.corrupt = 0;
            }
        }
        if faults.spoil {
            weather.spoil(rng);
        }
        *stage.world().weather() = weather;
    }

    fn part<S: Stage>(&mut self, stage: &mut S) {
        if stage.rng().chance(500_000) {
            let (from, to) = (stage.some_node(), stage.some_node());
            stage.world().block(from, to, true);
        } else {
            let count = stage.rng().range(1, 3);
            let nodes: Vec<NodeId> = (0..count).map(|_| stage.some_node()).collect();
            stage.world().isolate(&nodes);
        }
        self.later(stage, Duration::from_secs(30), Repair::Heal);
    }
}
