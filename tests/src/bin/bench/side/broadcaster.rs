//! Our broadcasters, as a user of the runtimes has them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use poolmesh_proto::BroadcasterConfig;

use super::serve;
use crate::Fallible;

/// On what it runs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Runtime {
    Std,
    /// On std, through io_uring.
    StdUring,
    Smol,
}

/// Room for all pools that any benchmark makes, from one source, none of which ends by itself.
fn config() -> BroadcasterConfig {
    const POOLS: usize = 1 << 20;
    let mut config = BroadcasterConfig::default().with_classic();
    config.ping_timeout = Duration::from_secs(24 * 3_600);
    config.max_pools = POOLS;
    config.max_pools_per_source = POOLS;
    config.classic_answers_in_a_row = u32::MAX;
    let limits = &mut config.limits;
    (limits.pools, limits.pools_per_source) = (POOLS, POOLS);
    (limits.members, limits.members_per_source) = (POOLS, POOLS);
    (limits.requests_per_second, limits.requests_in_a_row) = (1_000_000, u32::MAX);
    (limits.messages_per_second, limits.messages_in_a_row) = (1_000_000, u32::MAX);
    // As long as can be.
    limits.timeout = Duration::from_secs(65);
    config
}

/// Serves on a free port of the loopback, which it says, in as many threads.
pub(crate) fn play(runtime: Runtime, threads: usize) -> Fallible<()> {
    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    match runtime {
        Runtime::Std | Runtime::StdUring => {
            for mut server in poolmesh_std::BroadcasterServer::bind_shards(address, &config(), threads)? {
                address = server.local_addr();
                if matches!(runtime, Runtime::StdUring) {
                    server.use_uring()?;
                }
                thread::spawn(move || ended(server.run(|_| {})));
            }
        }
        Runtime::Smol => {
            for server in poolmesh_smol::BroadcasterServer::bind_shards(address, &config(), threads)? {
                address = server.local_addr();
                thread::spawn(move || ended(smol::block_on(server.run(|_| {}))));
            }
        }
    }
    serve(&address.to_string())
}

/// A server doesn't end by itself: whoever waits for its answers is to learn that it did.
pub(crate) fn ended<T>(result: Result<T, impl std::fmt::Display>) {
    if let Err(error) = result {
        eprintln!("bench: the server ended: {error}");
    }
    process::exit(1);
}
