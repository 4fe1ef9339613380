//! What a simulation is asked for, and what follows from its seed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use poolmesh_proto::BroadcasterConfig;

use super::attacker::HELD;
use crate::sim::{PeerConfig, Rng};

/// More nodes take too long to be run to the end: with so many an hour takes a minute, for all link to all.
pub const MAX_NODES: usize = 128;

/// What a seed is run with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What all chance follows from.
    pub seed: u64,
    /// How long it runs, in virtual hours.
    pub hours: u32,
    /// Broadcasters, peers and foreign peers together; at least 3, at most [`MAX_NODES`].
    pub nodes: usize,
    /// Attackers beside those.
    pub attackers: usize,
    /// What may go wrong.
    pub faults: Faults,
    /// What they speak.
    pub dialect: Speech,
}

/// What the nodes of a simulation speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speech {
    /// The native dialect.
    #[default]
    Native,
    /// The classic dialect.
    Classic,
    /// Some peers the one, some the other, at the same broadcasters.
    Both,
}

impl FromStr for Speech {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "native" => Ok(Self::Native),
            "classic" => Ok(Self::Classic),
            "both" => Ok(Self::Both),
            _ => Err(format!("no dialect is named {text:?}; there are native, classic, both")),
        }
    }
}

impl fmt::Display for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Classic => "classic",
            Self::Both => "both",
        })
    }
}

/// What may go wrong in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Datagrams and pieces of streams are late, lost, doubled, replayed, reordered.
    pub network: bool,
    /// They are changed and cut short.
    pub spoil: bool,
    /// Streams are cut, their pieces and buffers small, their readers slow.
    pub streams: bool,
    /// Nodes are cut off from each other, in one or both directions.
    pub partitions: bool,
    /// Programs crash and start anew; machines lose power.
    pub crashes: bool,
    /// Programs stop and go on.
    pub freezes: bool,
    /// Clocks drift and jump.
    pub clocks: bool,
    /// The loops that drive the machines are late, early, and say things twice.
    pub driver: bool,
}

/// The names of the faults, with what each switches.
type Named = (&'static str, fn(&mut Faults) -> &mut bool);

const NAMES: [Named; 8] = [
    ("network", |faults| &mut faults.network),
    ("spoil", |faults| &mut faults.spoil),
    ("streams", |faults| &mut faults.streams),
    ("partitions", |faults| &mut faults.partitions),
    ("crashes", |faults| &mut faults.crashes),
    ("freezes", |faults| &mut faults.freezes),
    ("clocks", |faults| &mut faults.clocks),
    ("driver", |faults| &mut faults.driver),
];

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self::all(false);
    /// Everything does.
    pub const ALL: Self = Self::all(true);

    const fn all(on: bool) -> Self {
        Self {
            network: on,
            spoil: on,
            streams: on,
            partitions: on,
            crashes: on,
            freezes: on,
            clocks: on,
            driver: on,
        }
    }
}

impl FromStr for Faults {
    type Err = String;

    /// `all`, `none`, or names with commas between them.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => Self::NONE,
        };
        for name in text.split(',') {
            let Some((_, switch)) = NAMES.iter().find(|(known, _)| *known == name) else {
                if name == "all" || name == "none" {
                    return Err(format!("{name} stands alone"));
                }
                let known: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                return Err(format!("no fault is named {name:?}; there are all, none, {}", known.join(", ")));
            };
            *switch(&mut faults) = true;
        }
        Ok(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut copy = *self;
        let on: Vec<&str> =
            NAMES.iter().filter(|(_, switch)| *switch(&mut copy)).map(|(name, _)| *name).collect();
        match on.len() {
            0 => f.write_str("none"),
            8 => f.write_str("all"),
            _ => f.write_str(&on.join(",")),
        }
    }
}

/// What follows from the seed before anything happens.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many of the nodes are broadcasters.
    pub broadcasters: usize,
    /// How many are foreign peers.
    pub foreign: usize,
    /// How long programs wait between two acts, on average.
    pub act_every: Duration,
    /// How long it is from one fault to the next, on average.
    pub fault_every: Duration,
    /// The longest payload that is sent, in bytes.
    pub longest: usize,
    /// Whether attackers forge crowds, too: pools with more peers than an answer names.
    pub crowds: bool,
    /// The broadcasters' settings.
    pub broadcaster: BroadcasterConfig,
    /// The peers' settings.
    pub peer: PeerConfig,
}

impl Setup {
    /// Draws it.
    #[must_use]
    pub fn draw(options: &Options, rng: &mut Rng) -> Self {
        let peers = options.nodes.max(3) - 1;
        let broadcasters = 1 + usize::from(peers >= 5 && rng.chance(300_000));
        let foreign = usize::from(peers >= 4 && rng.chance(500_000));
        let (broadcaster, ping_timeout) = broadcaster(options, rng);
        let (peer, longest) = peer(options, rng, ping_timeout);
        Self {
            broadcasters,
            foreign,
            act_every: Duration::from_secs(rng.range(5, 40)),
            fault_every: Duration::from_secs(rng.range(5, 60)),
            longest,
            // Seldom: whoever joins such a pool dials for a long time.
            crowds: rng.chance(100_000),
            broadcaster,
            peer,
        }
    }
}

/// Whoever may be in one pool.
fn everyone(options: &Options) -> usize {
    options.nodes + options.attackers
}

fn broadcaster(options: &Options, rng: &mut Rng) -> (BroadcasterConfig, Duration) {
    // A minute more often than a second: the less there is to ping, the more hours fit into one.
    let ping_timeout = Duration::from_secs(*rng.pick(&[1, 5, 15, 30, 30, 60, 60, 60]));
    let mut config = BroadcasterConfig::default().with_classic();
    config.ping_timeout = ping_timeout;
    config.max_pools_per_source = *rng.pick(&[3, 16, 64]);
    // At the least as many as attackers may take, and some: else nobody could make a pool even when the storm is over.
    let least = options.attackers * config.max_pools_per_source + 8;
    config.max_pools = *rng.pick(&[least, least + 1_000]);
    // All may meet in one pool, and attackers join them.
    config.max_peers = everyone(options).max(*rng.pick(&[16, 256]));
    (config, ping_timeout)
}

fn peer(options: &Options, rng: &mut Rng, ping_timeout: Duration) -> (PeerConfig, usize) {
    let mut config = PeerConfig::classic();
    let client = &mut config.client;
    client.ping_interval = ping_timeout / *rng.pick(&[3, 5]);
    client.recreate_after = Some(ping_timeout + Duration::from_secs(1)).filter(|_| rng.chance(800_000));
    client.call_timeout = Duration::from_secs(rng.range(2, 20));
    client.resend_after = Duration::from_millis(rng.range(100, 1_000));
    client.max_calls = *rng.pick(&[2, 64]);
    client.max_pools = *rng.pick(&[1, 64]);
    let mesh = &mut config.mesh;
    mesh.max_dialing = *rng.pick(&[1, 3, 64]);
    mesh.dial_timeout = Duration::from_millis(rng.range(500, 4_000));
    mesh.dial_deadline = Duration::from_secs(rng.range(2, 8));
    mesh.dial_attempts = rng.range(1, 6) as u32;
    // All may dial one at once, and two each other; attackers hold some links beside.
    let links = 2 * options.nodes + HELD * options.attackers;
    mesh.max_links = mesh.max_links.max(links);
    mesh.max_pending_accepts = options.nodes.max(*rng.pick(&[8, 64]));
    mesh.max_queued_total = *rng.pick(&[100_000, 10_000_000]);
    let link = &mut mesh.link;
    link.max_frame = *rng.pick(&[100, 1_000, 4_000, 4_000, 100_000]);
    link.max_queued = *rng.pick(&[500, 20_000, 1_000_000]);
    link.max_received = *rng.pick(&[1, 1_000, 128 * 1_024]);
    link.pack = *rng.pick(&[1, 100, 64 * 1_024]);
    // Those who come one by one, a second each, wait in silence for the last of them.
    let silence = options.nodes as u64 + 30;
    link.idle_timeout =
        Some(Duration::from_secs(rng.range(60, 600).max(silence))).filter(|_| rng.chance(300_000));
    link.frame_timeout = Some(Duration::from_secs(rng.range(1, 60))).filter(|_| rng.chance(300_000));
    // With the name of four bytes that the longest events have, and its length.
    let longest = link.max_frame - 8;
    (config, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_leave_room_for_all_that_there_are() {
        for seed in 0..50 {
            let options = Options {
                seed,
                hours: 1,
                nodes: MAX_NODES,
                attackers: MAX_NODES,
                faults: Faults::ALL,
                dialect: Speech::Classic,
            };
            let setup = Setup::draw(&options, &mut Rng::new(seed));
            assert!(setup.broadcaster.max_peers >= 2 * MAX_NODES);
            assert!(setup.peer.mesh.max_pending_accepts >= MAX_NODES);
            assert!(setup.peer.mesh.max_links >= 2 * MAX_NODES);
        }
    }

    #[test]
    fn faults_have_names() {
        assert_eq!("all".parse(), Ok(Faults::ALL));
        assert_eq!("none".parse(), Ok(Faults::NONE));
        let some: Faults = "clocks,network".parse().unwrap();
        assert!(some.clocks && some.network && !some.driver);
        assert_eq!(some.to_string(), "network,clocks");
        assert_eq!("clocks,all".parse::<Faults>(), Err("all stands alone".to_owned()));
        assert!("weather".parse::<Faults>().unwrap_err().contains("partitions"));
    }
}
