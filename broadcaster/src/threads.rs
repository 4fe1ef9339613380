//! A server in several threads.

use std::io;
use std::panic;
use std::thread::{self, Builder};

use poolmesh_proto::BroadcasterStats;

/// Runs each of `servers` on a thread of its own, until all have ended. What they did together, or the first error.
pub(crate) fn run_each<S: Send>(
    servers: Vec<S>,
    run: impl Fn(S) -> io::Result<BroadcasterStats> + Sync,
) -> io::Result<BroadcasterStats> {
    thread::scope(|scope| {
        let run = &run;
        // A server whose thread can't be had is dropped, which stops the others.
        let start = |(number, server)| {
            Builder::new().name(format!("serve-{number}")).spawn_scoped(scope, move || run(server))
        };
        let threads: Vec<_> = servers.into_iter().enumerate().map(start).collect();
        let end = |thread: io::Result<thread::ScopedJoinHandle<'_, _>>| {
            thread?.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
        };
        // All are waited for, whatever becomes of the first.
        let ends: Vec<_> = threads.into_iter().map(end).collect();
        ends.into_iter().sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(pings: u64) -> BroadcasterStats {
        let mut stats = BroadcasterStats::default();
        stats.pings = pings;
        stats
    }

    #[test]
    fn all_run_at_the_same_time_and_are_summed() {
        let together = std::sync::Barrier::new(3);
        let ran = run_each(vec![1, 2, 4], |pings| {
            together.wait();
            Ok(stats(pings))
        });
        assert_eq!(ran.unwrap(), stats(7));
    }

    #[test]
    fn an_error_of_one_is_told() {
        let ran = run_each(vec![1, 2], |number| {
            if number == 2 { Err(io::Error::other("of the second")) } else { Ok(stats(1)) }
        });
        assert_eq!(ran.unwrap_err().to_string(), "of the second");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn none_is_recorded_alone() {
        use poolmesh_proto::BroadcasterConfig;
        use poolmesh_proto::trace::RecordLimits;

        let (at, config) = ("127.0.0.1:0".parse().unwrap(), BroadcasterConfig::default().with_classic());
        let (mut trace, limits) = (Vec::new(), RecordLimits::default());
        let one = poolmesh_std::BroadcasterServer::bind_shards(at, &config, 2).unwrap().remove(0);
        let error = one.run_recorded(&mut trace, limits.clone(), |_| {}).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let one = poolmesh_smol::BroadcasterServer::bind_shards(at, &config, 2).unwrap().remove(0);
        let error = smol::block_on(one.run_recorded(&mut trace, limits, |_| {})).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(trace.is_empty());
    }
}
