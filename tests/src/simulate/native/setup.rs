//! What follows from the seed of an hour of the native dialect before anything happens.

use std::time::Duration;

use poolmesh_proto::{BroadcasterConfig, Limits};

use crate::sim::{Filtering, Mapping, NatConfig, PeerConfig, Rng};
use crate::simulate::options::Options;

/// The settings of an hour of the native dialect.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// How many of the nodes are broadcasters.
    pub(super) broadcasters: usize,
    /// How many peers of the classic dialect there are.
    pub(super) classic: usize,
    /// How many of the others are behind NATs.
    pub(super) behind: usize,
    pub(super) nat: NatConfig,
    /// How long programs wait between two acts, on average.
    pub(super) act_every: Duration,
    /// How long it is from one fault to the next, on average.
    pub(super) fault_every: Duration,
    /// How often an attacker strikes, on average.
    pub(super) strike_every: Duration,
    /// How many of the restarts of a broadcaster find no key, in a million.
    pub(super) keyless: u32,
    pub(super) broadcaster: BroadcasterConfig,
    pub(super) peer: PeerConfig,
    /// That of peers of the classic dialect.
    pub(super) classic_peer: PeerConfig,
}

impl Setup {
    pub(super) fn draw(options: &Options, both: bool, rng: &mut Rng) -> Self {
        let nodes = options.nodes.max(3);
        let broadcasters = 1 + usize::from(nodes >= 5 && rng.chance(500_000));
        let classic = if both { (nodes - broadcasters) / 3 } else { 0 };
        let peers = nodes - broadcasters - classic;
        let behind = if rng.chance(500_000) { rng.below(peers as u64 / 2 + 1) as usize } else { 0 };
        let limits = limits(options, rng);
        let mut broadcaster = BroadcasterConfig::default();
        broadcaster.classic = both;
        broadcaster.ping_timeout = Duration::from_secs(*rng.pick(&[5, 30, 60]));
        broadcaster.limits = limits;
        let mut classic_peer = PeerConfig::classic();
        classic_peer.client.ping_interval = broadcaster.ping_timeout / 3;
        let mut peer = PeerConfig::default();
        peer.client.max_calls = *rng.pick(&[3, 64]);
        peer.client.max_pools = *rng.pick(&[2, 64]);
        for config in [&mut classic_peer, &mut peer] {
            config.mesh.max_dialing = *rng.pick(&[1, 3, 64]);
            config.mesh.max_links = config.mesh.max_links.max(4 * options.nodes);
            config.mesh.dial_timeout = Duration::from_secs(3);
            config.mesh.dial_deadline = Duration::from_secs(4);
        }
        Self {
            broadcasters,
            classic,
            behind,
            nat: nat(rng),
            act_every: Duration::from_secs(rng.range(5, 40)),
            fault_every: Duration::from_secs(rng.range(5, 60)),
            strike_every: Duration::from_secs(rng.range(1, 6)),
            keyless: *rng.pick(&[0, 300_000, 1_000_000]),
            broadcaster,
            peer,
            classic_peer,
        }
    }
}

fn limits(options: &Options, rng: &mut Rng) -> Limits {
    let mut limits = Limits::default();
    limits.interval = Duration::from_secs(*rng.pick(&[3, 3, 5]));
    limits.timeout = limits.interval * 7 / 2;
    // Either all share one place, or hardly any two do.
    limits.sources = *rng.pick(&[1, 1 << 18]);
    // All may be behind one NAT, and attackers take what they may beside.
    let everyone = options.nodes + options.attackers;
    limits.pools_per_source = everyone.max(*rng.pick(&[16, 64]));
    limits.members_per_source = (4 * everyone).max(*rng.pick(&[64, 256]));
    if rng.chance(300_000) {
        // So few that they are all taken in a storm, and enough for a meeting.
        limits.pools = everyone;
        limits.pools_per_source = everyone;
        limits.members = 3 * everyone;
        limits.members_per_source = 2 * everyone;
    }
    limits
}

fn nat(rng: &mut Rng) -> NatConfig {
    NatConfig {
        mapping: *rng.pick(&[Mapping::EndpointIndependent, Mapping::AddressAndPortDependent]),
        filtering: *rng.pick(&[
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ]),
        lifetime: Duration::from_secs(*rng.pick(&[30, 120])),
        hairpin: rng.chance(500_000),
    }
}
