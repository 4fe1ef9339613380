//! The flags of the classic dialect.

use std::time::Duration;

use clap::Args;
use poolmesh_proto::BroadcasterConfig;

use super::positive_duration;

/// Whether it is spoken, and within which limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Classic dialect")]
pub(super) struct ClassicFlags {
    /// Speak the classic dialect, too: the wire of gop2p, which proves nothing about who speaks
    #[arg(long)]
    classic: bool,

    /// How long a pool lives without a ping of its host
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = positive_duration, requires = "classic")]
    ping_timeout: Duration,

    /// Pools at a time
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_pools, requires = "classic")]
    max_pools: usize,

    /// Pools at a time hosted from one IPv4 address or IPv6 /64
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_pools_per_source, requires = "classic")]
    max_pools_per_source: usize,

    /// Peers of one pool, its host included
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_peers, requires = "classic")]
    max_peers: usize,

    /// Peers of all pools together, hosts not counted
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_peers_total, requires = "classic")]
    max_peers_total: usize,

    /// The longest request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = BroadcasterConfig::default().max_datagram, requires = "classic")]
    max_datagram: usize,

    /// Requests of one IPv4 address or IPv6 /64 that are answered, a second
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().classic_answers_per_second, requires = "classic")]
    classic_answers_per_second: u32,

    /// Requests in a row that are answered, if the source was quiet before
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().classic_answers_in_a_row, requires = "classic")]
    classic_answers_in_a_row: u32,
}

impl ClassicFlags {
    pub(super) fn set(&self, config: &mut BroadcasterConfig) {
        config.classic = self.classic;
        config.ping_timeout = self.ping_timeout;
        config.max_pools = self.max_pools;
        config.max_pools_per_source = self.max_pools_per_source;
        config.max_peers = self.max_peers;
        config.max_peers_total = self.max_peers_total;
        config.max_datagram = self.max_datagram;
        config.classic_answers_per_second = self.classic_answers_per_second;
        config.classic_answers_in_a_row = self.classic_answers_in_a_row;
    }
}
