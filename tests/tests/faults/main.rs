//! Real sockets under fault, on both runtimes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::wildcard_enum_match_arm,
    reason = "tests: a panic is how they fail, and they name what they look for"
)]

#[cfg(unix)]
mod alone;
#[cfg(unix)]
mod crew;
#[cfg(unix)]
mod crowd;
mod cut;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod meshed;
mod ports;
#[cfg(unix)]
mod restart;
#[cfg(unix)]
mod unread;

use std::alloc::System;
use std::time::Duration;

use poolmesh_proto::MeshConfig;
use poolmesh_testkit::runtime::{Mesh, Runtime};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts for the whole process: who wants to know of his own memory runs [`alone`].
#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Two meshes with a link between them: the one that accepted it, and the link as each has it.
struct Linked<R: Runtime> {
    _here: R::Mesh,
    there: R::Mesh,
    to_there: R::Peer,
    to_here: R::Peer,
}

fn linked<R: Runtime>() -> Linked<R> {
    let (here, there) = (mesh::<R>(|_| {}), mesh::<R>(|_| {}));
    let at = there.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let to_there = here.connect_to_peer(&at.to_string()).unwrap();
    let to_here = there.accept().unwrap();
    Linked { _here: here, there, to_there, to_here }
}

fn mesh<R: Runtime>(change: impl FnOnce(&mut MeshConfig)) -> R::Mesh {
    let mut config = MeshConfig::default();
    change(&mut config);
    <R::Mesh as Mesh<R>>::with_config(config)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
