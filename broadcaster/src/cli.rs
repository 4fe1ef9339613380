//! The flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use poolmesh_proto::trace::RecordLimits;
use poolmesh_proto::{BroadcasterConfig, Shard};

/// Lists, creates and joins pools of peers, over UDP.
///
/// Once it serves, it prints one line on standard output: `listening on ADDR`. It logs to standard error, as much as
/// RUST_LOG says (`RUST_LOG=debug` tells of each pool). SIGTERM and Ctrl-C stop it.
#[derive(Debug, Parser)]
#[command(name = "poolmesh-broadcaster", version)]
pub(crate) struct Cli {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6969")]
    pub(crate) listen: SocketAddr,

    /// How long a pool lives without a ping of its host
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = positive_duration)]
    ping_timeout: Duration,

    /// What it runs on
    #[arg(long, value_enum, default_value_t = Runtime::Std)]
    pub(crate) runtime: Runtime,

    /// How it receives and sends
    #[arg(long, value_enum, default_value_t = Io::Calls)]
    pub(crate) io: Io,

    /// In how many threads it serves, each with a socket of its own at the same port; more than one takes Linux
    ///
    /// The limits below are of all together. Answers queued are of each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub(crate) threads: usize,

    /// Pools at a time
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_pools)]
    max_pools: usize,

    /// Pools at a time hosted from one IPv4 address or IPv6 /64
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_pools_per_source)]
    max_pools_per_source: usize,

    /// Peers of one pool, its host included
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_peers)]
    max_peers: usize,

    /// Peers of all pools together, hosts not counted
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_peers_total)]
    max_peers_total: usize,

    /// Answers queued until they are sent
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_queued)]
    max_queued: usize,

    /// The longest request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = BroadcasterConfig::default().max_datagram)]
    max_datagram: usize,

    /// Write all that the server is told to FILE, to be replayed by a developer
    ///
    /// The file of the run before is kept as FILE.before. Only its owner may read it: it holds the addresses of all
    /// who ask and the ids of all pools. A request takes its own length and about 30 bytes. What was recorded is written
    /// after a second at the latest. If that fails the server says so and goes on without. It takes a server in one thread.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// The length of that file from which on nothing more is recorded, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = RecordLimits::default().max_bytes, requires = "record")]
    record_limit: u64,
}

/// What the server runs on.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Runtime {
    /// Blocking sockets, each in a thread
    Std,
    /// Async sockets of smol, each in a task
    Smol,
}

/// How the server receives and sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Io {
    /// A system call for each batch of datagrams
    Calls,
    /// io_uring (Linux 6.1, `--runtime std`, one thread): less processor time. If the system refuses it says so and
    /// makes calls
    Uring,
}

impl Cli {
    /// The limits that the flags give.
    pub(crate) fn config(&self) -> BroadcasterConfig {
        let mut config = BroadcasterConfig::default().with_classic();
        config.ping_timeout = self.ping_timeout;
        config.max_pools = self.max_pools;
        config.max_pools_per_source = self.max_pools_per_source;
        config.max_peers = self.max_peers;
        config.max_peers_total = self.max_peers_total;
        config.max_queued = self.max_queued;
        config.max_datagram = self.max_datagram;
        config
    }

    /// The limits of the recording.
    pub(crate) fn record_limits(&self) -> RecordLimits {
        let mut limits = RecordLimits::default();
        limits.max_bytes = self.record_limit;
        limits
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=Shard::MOST).contains(&count) => Ok(count),
        _ => Err(format!("must be a number from 1 to {}", Shard::MOST)),
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than nothing".into()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it as 1s or 500ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["poolmesh-broadcaster"], arguments].concat())
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(parse(&[]).unwrap().config(), BroadcasterConfig::default().with_classic());
    }

    #[test]
    fn every_limit_has_a_flag() {
        let flags = "--ping-timeout 250ms --max-pools 1 --max-pools-per-source 2 --max-peers 3 \
                     --max-peers-total 4 --max-queued 5 --max-datagram 6";
        let config = parse(&flags.split_whitespace().collect::<Vec<_>>()).unwrap().config();
        assert_eq!(config.ping_timeout, Duration::from_millis(250));
        assert_eq!((config.max_pools, config.max_pools_per_source, config.max_peers), (1, 2, 3));
        assert_eq!((config.max_peers_total, config.max_queued, config.max_datagram), (4, 5, 6));
    }

    #[test]
    fn a_recording_has_a_limit() {
        assert_eq!(parse(&["--record", "x"]).unwrap().record_limits(), RecordLimits::default());
        let limited = parse(&["--record", "x", "--record-limit", "7"]).unwrap();
        assert_eq!(limited.record_limits().max_bytes, 7);
        assert!(parse(&["--record-limit", "7"]).is_err(), "of nothing");
    }

    #[test]
    fn threads_are_counted() {
        let threads = |count: &str| parse(&["--threads", count]).map(|cli| cli.threads).ok();
        assert_eq!(
            ["0", "1", "256", "257", "-1", "all"].map(threads),
            [None, Some(1), Some(256), None, None, None]
        );
        assert_eq!(parse(&[]).unwrap().threads, 1);
    }

    #[test]
    fn a_pool_that_could_not_live_is_refused() {
        assert!(parse(&["--ping-timeout", "0s"]).is_err());
        assert!(parse(&["--ping-timeout", "soon"]).is_err());
    }
}
