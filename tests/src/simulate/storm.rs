//! Faults, one after the other, and their end.

use std::time::Duration;

use super::lobby::Lobby;
use crate::sim::{Lateness, NodeId, State, StreamWeather, Weather};

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
    pub(super) fn new(lobby: &Lobby, length: Duration) -> Self {
        Self { end: lobby.world.now() + length, repairs: Vec::new() }
    }

    /// Lets it rage until its end.
    ///
    /// # Errors
    /// If something did not hold.
    pub(super) fn rage(mut self, lobby: &mut Lobby) -> Result<(), crate::sim::Violation> {
        self.change_weather(lobby);
        loop {
            let wait = lobby.rng.exponential(lobby.setup.fault_every);
            let next = lobby.world.now() + Duration::from_micros(wait);
            self.pass(lobby, next.min(self.end))?;
            if lobby.world.now() >= self.end {
                return Ok(());
            }
            self.strike(lobby);
        }
    }

    /// Lets time pass until `end`, and repairs what is to be repaired meanwhile.
    fn pass(&mut self, lobby: &mut Lobby, end: Duration) -> Result<(), crate::sim::Violation> {
        while let Some(place) = self.first_repair(end) {
            let (at, repair) = self.repairs.swap_remove(place);
            let wait = at.saturating_sub(lobby.world.now());
            lobby.world.run_for(wait)?;
            match repair {
                Repair::Restart(node) => lobby.restart(node),
                Repair::Thaw(node) => lobby.world.thaw(node),
                Repair::Heal => lobby.world.heal(),
            }
        }
        let wait = end.saturating_sub(lobby.world.now());
        lobby.world.run_for(wait)
    }

    fn first_repair(&self, end: Duration) -> Option<usize> {
        let due = self.repairs.iter().enumerate().filter(|(_, (at, _))| *at <= end);
        due.min_by_key(|(place, (at, _))| (*at, *place)).map(|(place, _)| place)
    }

    fn later(&mut self, lobby: &mut Lobby, mean: Duration, repair: Repair) {
        let wait = lobby.rng.exponential(mean);
        self.repairs.push((lobby.world.now() + Duration::from_micros(wait), repair));
    }

    fn strike(&mut self, lobby: &mut Lobby) {
        let faults = lobby.options.faults;
        let node = lobby.some_node();
        match lobby.rng.below(10) {
            0..2 => self.change_weather(lobby),
            2 if faults.partitions => self.part(lobby),
            3 | 4 if faults.crashes => {
                let running = lobby.world.state(node) == Some(State::Running);
                if running {
                    let dark = lobby.rng.chance(300_000);
                    lobby.world.crash(node, dark);
                    self.later(lobby, Duration::from_secs(30), Repair::Restart(node));
                }
            }
            5 if faults.freezes => {
                let clock = lobby.rng.chance(300_000);
                lobby.world.freeze(node, clock);
                self.later(lobby, Duration::from_secs(20), Repair::Thaw(node));
            }
            6 if faults.clocks => {
                let ppm = lobby.rng.range(0, 200_000) as i32 - 100_000;
                lobby.world.drift(node, ppm);
            }
            7 if faults.clocks => {
                let most = *lobby.rng.pick(&[1_000, 1_000_000, 600_000_000]);
                let micros = lobby.rng.range(0, 2 * most) as i64 - most as i64;
                lobby.world.jump(node, micros);
            }
            8 if faults.driver => {
                let lateness = Lateness::some(&mut lobby.rng);
                if let Some(place) = lobby.world.lateness(node) {
                    *place = lateness;
                }
            }
            9 if faults.streams => lobby.world.cut_some(300_000),
            _ => {}
        }
    }

    fn change_weather(&self, lobby: &mut Lobby) {
        let faults = lobby.options.faults;
        let rng = &mut lobby.rng;
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
        *lobby.world.weather() = weather;
    }

    fn part(&mut self, lobby: &mut Lobby) {
        if lobby.rng.chance(500_000) {
            let (from, to) = (lobby.some_node(), lobby.some_node());
            lobby.world.block(from, to, true);
        } else {
            let count = lobby.rng.range(1, 3);
            let nodes: Vec<NodeId> = (0..count).map(|_| lobby.some_node()).collect();
            lobby.world.isolate(&nodes);
        }
        self.later(lobby, Duration::from_secs(30), Repair::Heal);
    }
}
