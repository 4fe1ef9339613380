//! What a NAT does to the classic dialect.

use std::time::Duration;

use poolmesh_testkit::sim::{Filtering, Mapping, NatConfig, PeerConfig};

use crate::lobby::{Plain, SECOND, host, join, peer, world};

fn behind(config: NatConfig) -> (poolmesh_testkit::sim::World<Plain>, [poolmesh_testkit::sim::NodeId; 3]) {
    let (mut world, broadcaster) = world(1);
    let outside = peer(&mut world, broadcaster);
    let nat = world.nat(config);
    let inside = world.peer_behind(nat, Plain::default(), broadcaster, PeerConfig::classic());
    (world, [broadcaster, outside, inside])
}

#[test]
fn who_is_behind_a_nat_can_dial_and_is_seen_by_the_outer_address() {
    let (mut world, [_, outside, inside]) = behind(NatConfig::default());
    let pool = host(&mut world, outside);
    join(&mut world, inside, pool);
    let seen = world.app(inside).unwrap().pool.as_ref().unwrap().you();
    assert_eq!(seen.ip().to_string(), "198.19.0.0");
    assert_eq!(world.honest_links(outside), [inside]);
}

#[test]
fn who_is_behind_a_nat_can_not_be_dialed() {
    let (mut world, [_, outside, inside]) = behind(NatConfig::default());
    let pool = host(&mut world, inside);
    join(&mut world, outside, pool);
    assert_eq!(world.app(outside).unwrap().unreachable, 1);
    assert_eq!(world.honest_links(outside), []);
}

#[test]
fn two_behind_one_nat_do_not_reach_each_other_by_the_addresses_that_are_told() {
    let (mut world, broadcaster) = world(1);
    let nat = world.nat(NatConfig { hairpin: true, ..NatConfig::default() });
    let [ann, bob] =
        [(), ()].map(|()| world.peer_behind(nat, Plain::default(), broadcaster, PeerConfig::classic()));
    let pool = host(&mut world, ann);
    join(&mut world, bob, pool);
    assert_eq!(world.app(bob).unwrap().unreachable, 1, "no stream gets in, and none turns back");
}

/// Whether a pool that is hosted behind this NAT lives for a minute, pinged every ten seconds.
fn lives(lifetime: Duration, mapping: Mapping) -> bool {
    let config = NatConfig { lifetime, mapping, filtering: Filtering::EndpointIndependent, hairpin: false };
    let mut world = poolmesh_testkit::sim::World::new(1);
    let mut settings = poolmesh_proto::BroadcasterConfig::default().with_classic();
    settings.ping_timeout = SECOND * 30;
    let broadcaster = world.broadcaster(settings);
    let nat = world.nat(config);
    let mut peer = PeerConfig::classic();
    peer.client.ping_interval = SECOND * 10;
    let inside = world.peer_behind(nat, Plain::default(), broadcaster, peer);
    host(&mut world, inside);
    world.run_for(SECOND * 60).unwrap();
    world.broadcaster_stats(broadcaster).unwrap().1 == 1
}

#[test]
fn a_host_lives_as_long_as_its_nat_remembers_it() {
    assert!(lives(SECOND * 11, Mapping::EndpointIndependent));
    assert!(lives(SECOND * 11, Mapping::AddressAndPortDependent));
    assert!(!lives(SECOND * 9, Mapping::EndpointIndependent), "each ping comes from a new address");
}

#[test]
fn a_nat_that_restarts_ends_the_pools_behind_it() {
    let (mut world, [broadcaster, _, _]) = behind(NatConfig::default());
    let nat = world.nat(NatConfig::default());
    let inside = world.peer_behind(nat, Plain::default(), broadcaster, PeerConfig::classic());
    host(&mut world, inside);
    world.flush(nat);
    world.run_for(SECOND * 5).unwrap();
    assert_eq!(world.app(inside).unwrap().ended, 1);
    assert_eq!(world.broadcaster_stats(broadcaster).unwrap().1, 0);
}
