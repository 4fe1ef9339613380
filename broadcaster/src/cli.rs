//! The flags.

mod classic;
mod limits;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use poolmesh_proto::trace::RecordLimits;
use poolmesh_proto::{BroadcasterConfig, Limits, Shard};

use classic::ClassicFlags;
use limits::LimitFlags;

/// Lists, creates and joins pools of peers, over UDP.
///
/// Once it serves, it prints one line on standard output: `listening on ADDR`. It logs to standard error, as much as
/// RUST_LOG says (`RUST_LOG=debug` tells of each pool and each member). SIGTERM and Ctrl-C stop it.
#[derive(Debug, Parser)]
#[command(name = "poolmesh-broadcaster", version)]
pub(crate) struct Cli {
    /// Where to listen, a name or an address with a port; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6969", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// The file with the server's key, with which pools outlive it
    ///
    /// Started again with it, or another server with a copy of it, takes back the members that the first one had. It holds 32
    /// random bytes, as they are or as 64 hexadecimal digits, and is made if it isn't there, for its owner alone; programs that
    /// start at once make one. Whoever reads it can be anybody in any pool. A pipe or a device is refused.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// What it runs on
    #[arg(long, value_enum, default_value_t = Runtime::Std)]
    pub(crate) runtime: Runtime,

    /// How it receives and sends
    #[arg(long, value_enum, default_value_t = Io::Calls)]
    pub(crate) io: Io,

    /// In how many threads it serves, each with a socket of its own at the same port; more than one takes Linux
    ///
    /// What comes in the native dialect is handled by the first of them, whichever it reaches: without --classic they do nothing.
    /// The limits below are of all together. Answers queued are of each.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub(crate) threads: usize,

    /// Answers queued until they are sent
    #[arg(long, value_name = "N", default_value_t = BroadcasterConfig::default().max_queued)]
    max_queued: usize,

    /// Write all that the server is told to FILE, to be replayed by a developer
    ///
    /// The file of the run before is kept as FILE.before. Only its owner may read it: it holds the addresses of all
    /// who ask, the ids of all pools, and the key of --key-file. A request takes its own length and about 30 bytes. What was
    /// recorded is written after a second at the latest. If that fails the server says so and goes on without. It takes a
    /// server in one thread.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// The length of that file from which on nothing more is recorded, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = RecordLimits::default().max_bytes, requires = "record")]
    record_limit: u64,

    #[command(flatten)]
    limits: LimitFlags,

    #[command(flatten)]
    classic: ClassicFlags,
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
    /// The settings that the flags give, but for the key.
    pub(crate) fn config(&self) -> BroadcasterConfig {
        let mut config = BroadcasterConfig::default();
        config.max_queued = self.max_queued;
        config.limits = self.limits.limits();
        self.classic.set(&mut config);
        config
    }

    /// What two flags together can't mean, and what to do about it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Limits { interval, timeout, .. } = self.limits.limits();
        if interval < timeout {
            return Ok(());
        }
        Err(format!(
            "members that ping every {interval:?} fall silent after {timeout:?}, so that every pool ends: have --limit-interval a \
             third of --limit-timeout, or less"
        ))
    }

    /// The limits of the recording.
    pub(crate) fn record_limits(&self) -> RecordLimits {
        let mut limits = RecordLimits::default();
        limits.max_bytes = self.record_limit;
        limits
    }
}

/// The address of a name, an IPv4 one if there is one, as the programs that talk to it choose.
fn address(text: &str) -> Result<SocketAddr, String> {
    let addresses = text.to_socket_addrs().map_err(|error| format!("{error}; write it as NAME:PORT"))?;
    addresses.min_by_key(SocketAddr::is_ipv6).ok_or_else(|| "the name has no address".to_owned())
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
        assert_eq!(parse(&[]).unwrap().config(), BroadcasterConfig::default());
        assert_eq!(parse(&["--classic"]).unwrap().config(), BroadcasterConfig::default().with_classic());
    }

    #[test]
    fn a_name_is_as_good_as_an_address() {
        let listen = |text: &str| parse(&["--listen", text]).map(|cli| cli.listen).ok();
        assert_eq!(listen("localhost:6969"), Some(([127, 0, 0, 1], 6969).into()));
        assert_eq!(listen("0.0.0.0:0"), Some(([0, 0, 0, 0], 0).into()));
        assert_eq!(listen("[::1]:7"), "[::1]:7".parse().ok());
        for wrong in ["localhost", "127.0.0.1", ":", "127.0.0.1:70000"] {
            assert_eq!(listen(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_limit_has_a_flag() {
        let flags = "--max-queued 5 --limit-pools 1 --limit-pools-per-source 2 --limit-members 3 \
                     --limit-members-per-source 4 --limit-seats 5 --limit-requests-per-second 6 \
                     --limit-requests-in-a-row 7 --limit-messages-per-second 8 --limit-messages-in-a-row 9 \
                     --limit-wrong-codes-per-minute 10 --limit-interval 110ms --limit-timeout 120ms --limit-sources 13";
        let config = parse(&flags.split_whitespace().collect::<Vec<_>>()).unwrap().config();
        let limits = &config.limits;
        assert_eq!((config.max_queued, limits.pools, limits.pools_per_source), (5, 1, 2));
        assert_eq!((limits.members, limits.members_per_source, limits.seats), (3, 4, 5));
        assert_eq!((limits.requests_per_second, limits.requests_in_a_row), (6, 7));
        assert_eq!((limits.messages_per_second, limits.messages_in_a_row), (8, 9));
        assert_eq!((limits.wrong_codes_per_minute, limits.sources), (10, 13));
        assert_eq!([limits.interval, limits.timeout], [110, 120].map(Duration::from_millis));
    }

    #[test]
    fn who_pings_is_not_silent() {
        let check = |flags: &[&str]| parse(flags).unwrap().check();
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["--limit-interval", "30s", "--limit-timeout", "60s"]), Ok(()));
        let error = check(&["--limit-interval", "30s"]).unwrap_err();
        assert!(error.contains("30s") && error.contains("--limit-timeout"), "{error}");
        assert!(check(&["--limit-interval", "10s"]).is_err());
    }

    #[test]
    fn every_setting_of_the_classic_dialect_has_a_flag() {
        let flags = "--classic --ping-timeout 250ms --max-pools 1 --max-pools-per-source 2 --max-peers 3 \
                     --max-peers-total 4 --max-datagram 6 --classic-answers-per-second 7 \
                     --classic-answers-in-a-row 8";
        let flags: Vec<_> = flags.split_whitespace().collect();
        let config = parse(&flags).unwrap().config();
        assert_eq!((config.classic, config.ping_timeout), (true, Duration::from_millis(250)));
        assert_eq!((config.max_pools, config.max_pools_per_source, config.max_peers), (1, 2, 3));
        assert_eq!((config.max_peers_total, config.max_datagram), (4, 6));
        assert_eq!((config.classic_answers_per_second, config.classic_answers_in_a_row), (7, 8));
        for flag in flags[1..].chunks(2) {
            let error = parse(flag).unwrap_err().to_string();
            assert!(error.contains("--classic"), "{flag:?} alone: {error}");
        }
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
    fn times_at_which_nobody_could_live_are_refused() {
        for flag in ["--ping-timeout", "--limit-interval", "--limit-timeout"] {
            for time in ["0s", "soon", "0.1ms"] {
                let wrong = parse(&["--classic", flag, time]);
                assert!(wrong.is_err() || (flag, time) == ("--ping-timeout", "0.1ms"), "{flag} {time}");
            }
        }
        assert!(parse(&["--limit-timeout", "66s"]).is_err(), "it is told in 16 bits");
        assert!(parse(&["--limit-interval", "99ms"]).is_err());
        assert!(parse(&["--limit-interval", "100ms"]).is_ok());
        assert!(parse(&["--limit-timeout", "65s"]).is_ok());
    }
}
