//! Many peers, meshed with each other through loopback: who is linked with whom is exactly what the rules say.
//!
//! The rules: who joins a pool dials everyone the answer names, and nobody else; one that is linked already is not dialed
//! again; who was there dials nobody. A classic answer names about 59 peers, so that more than that mesh fully in several
//! pools at once: one for each pair of groups of peers, entered in the same order by all. In a single pool the late ones
//! get to know some of the early ones only; the links are compared with what each answer named.

use std::collections::{BTreeMap, BTreeSet};

use poolmesh_proto::{BroadcasterConfig, PoolId};
use poolmesh_testkit::patience::until;
use poolmesh_testkit::runtime::{Runtime, Serving, Smol, Std};

use super::Duration;
use super::alone::{alone, alone_and_long, set_files};
use super::crew::{Crew, Elsewhere, Here, serve};

/// Beside the one who asks, a classic answer names so many peers with addresses as long as these.
const NAMED: usize = 58;

/// Two groups of so many are all named in an answer.
const GROUP: usize = 28;

/// How peers come to know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pools {
    One,
    OneForEachPairOfGroupsOf(usize),
}

impl Pools {
    /// The pools that a peer enters, in order.
    fn of(self, peer: usize, peers: usize) -> Vec<(usize, usize)> {
        let Self::OneForEachPairOfGroupsOf(size) = self else { return vec![(0, 0)] };
        let (own, groups) = (peer / size, peers.div_ceil(size));
        match groups {
            1 => vec![(0, 0)],
            _ => (0..groups)
                .filter(|other| *other != own)
                .map(|other| (own.min(other), own.max(other)))
                .collect(),
        }
    }
}

fn broadcaster(peers: usize) -> Serving {
    let mut config = BroadcasterConfig::default().with_classic();
    config.max_peers = peers;
    // Many threads on few processors: pings may be late.
    config.ping_timeout = Duration::from_secs(30);
    <Smol as Runtime>::serve("127.0.0.1:0".parse().unwrap(), config).unwrap()
}

/// One after the other, every peer enters its pools; then who is linked with whom is looked at.
fn mesh(crew: &mut impl Crew, peers: usize, pools: Pools) {
    let mut ids: BTreeMap<(usize, usize), PoolId> = BTreeMap::new();
    let mut numbers = BTreeMap::new();
    let mut expected: Vec<BTreeSet<usize>> = Vec::new();
    for peer in 0..peers {
        let mut told = BTreeSet::new();
        for pool in pools.of(peer, peers) {
            let entered = crew.enter(peer, ids.get(&pool).copied());
            ids.insert(pool, entered.pool);
            numbers.insert(entered.you, peer);
            let number = |addresses: &[_]| addresses.iter().map(|at| numbers[at]).collect::<BTreeSet<_>>();
            let named = number(&entered.named);
            assert!(named.iter().all(|other| *other < peer), "{named:?} were there before {peer}");
            assert_eq!(
                (number(&entered.connected), entered.failed),
                (named.clone(), 0),
                "{peer} reaches all"
            );
            told.extend(named);
        }
        expected.push(told);
    }
    assert_eq!(numbers.len(), peers);
    let links: usize = expected.iter().map(BTreeSet::len).sum();
    let all = peers * (peers - 1) / 2;
    match pools {
        Pools::One => {
            let late = (0..peers).find(|peer| expected[*peer].len() < NAMED.min(*peer));
            assert_eq!(late, None, "an answer names as many as it can");
        }
        Pools::OneForEachPairOfGroupsOf(_) => assert_eq!(links, all, "every pair"),
    }
    for (peer, named) in expected.iter().enumerate() {
        let dialers = expected.iter().filter(|others| others.contains(&peer)).count();
        // The one who has dialed may know before the one who is to accept.
        until("all are accepted", || crew.held(peer).accepted >= dialers);
        let held = crew.held(peer);
        assert_eq!(held.accepted, dialers, "{peer} was dialed by each once");
        let dialed: BTreeSet<_> = held.dialed.iter().map(|at| numbers[at]).collect();
        assert_eq!((&dialed, held.dialed.len()), (named, dialed.len()), "{peer} has dialed each once");
    }
    println!("{peers} peers, {} pools, {links} links of {all} pairs", ids.len());
}

fn in_one_process<R: Runtime>(peers: usize, pools: Pools) {
    let files = set_files(u64::MAX);
    let needed = peers * peers + 2 * peers + 100;
    if files < needed as u64 {
        println!("skipped: {peers} peers need {needed} files, {files} can be had");
        return;
    }
    let server = broadcaster(peers);
    mesh(&mut Here::<R>::new(server.local, peers), peers, pools);
    // The process ends with everything in it: so many links are not closed one by one.
}

#[test]
fn std_peers_in_several_pools() {
    let check = || in_one_process::<Std>(24, Pools::OneForEachPairOfGroupsOf(8));
    alone("meshed::std_peers_in_several_pools", check);
}

#[test]
fn smol_peers_in_several_pools() {
    let check = || in_one_process::<Smol>(36, Pools::OneForEachPairOfGroupsOf(9));
    alone("meshed::smol_peers_in_several_pools", check);
}

/// More than an answer names.
#[test]
fn smol_peers_in_one_pool() {
    alone("meshed::smol_peers_in_one_pool", || in_one_process::<Smol>(64, Pools::One));
}

/// Four threads a link, two at each end.
#[test]
#[ignore = "takes 13,000 threads"]
fn std_peers_fill_a_process() {
    let check = || in_one_process::<Std>(80, Pools::OneForEachPairOfGroupsOf(GROUP));
    alone_and_long("meshed::std_peers_fill_a_process", check);
}

#[test]
#[ignore = "takes 20,000 files"]
fn smol_peers_fill_a_process() {
    let check = || in_one_process::<Smol>(138, Pools::OneForEachPairOfGroupsOf(GROUP));
    alone_and_long("meshed::smol_peers_fill_a_process", check);
}

fn in_several_processes(name: &str, peers: usize, per_process: usize, pools: Pools) {
    if serve::<Smol>() {
        return;
    }
    set_files(u64::MAX);
    let server = broadcaster(peers);
    mesh(&mut Elsewhere::new(name, server.local, peers, per_process), peers, pools);
}

/// 124,750 links, and a file for each end.
#[test]
#[ignore = "takes 250,000 files and some minutes"]
fn five_hundred_in_several_pools() {
    let pools = Pools::OneForEachPairOfGroupsOf(GROUP);
    in_several_processes("meshed::five_hundred_in_several_pools", 500, 39, pools);
}

#[test]
#[ignore = "takes 60,000 files"]
fn five_hundred_in_one_pool() {
    in_several_processes("meshed::five_hundred_in_one_pool", 500, 125, Pools::One);
}
