//! The death of a broadcaster, and what comes after it.

use core::net::SocketAddr;
use core::time::Duration;

use poolmesh_proto::wire::native::{Address, PoolSpec};
use poolmesh_proto::{BroadcasterConfig, Membership, PoolEnd, PoolEvent, PoolId};

use super::lobby::pool_of;
use super::world::{INTERVAL, TIMEOUT, World, with_secret};

/// Who is who, and who is host: what a pool is back with.
fn who(membership: &Membership) -> Vec<(u32, SocketAddr)> {
    let host = (membership.host().get(), SocketAddr::from(([0, 0, 0, 0], membership.term().get() as u16)));
    let members = membership.members().iter().map(|member| (member.number.get(), member.address));
    members.chain([host]).collect()
}

fn news(world: &World, node: usize, pool: PoolId) -> Vec<PoolEvent> {
    world.nodes[node].news.iter().filter(|(of, _)| *of == pool).map(|(_, event)| event.clone()).collect()
}

/// A pool of so many that names these broadcasters.
fn pool_at(world: &mut World, servers: &[SocketAddr], count: usize) -> (PoolId, Vec<usize>) {
    let (pool, nodes) = pool_of(world, servers, count);
    let named: Vec<_> =
        world.membership(nodes[0], pool).spec().as_spec().broadcasters().map(Address::get).collect();
    assert_eq!(named, if servers.len() > 1 { servers.to_vec() } else { vec![] });
    (pool, nodes)
}

#[test]
fn a_broadcaster_that_starts_again_with_its_secret_has_its_pools_back() {
    for (seed, down) in [(1, 0), (2, 0), (3, 2), (4, 30)] {
        let mut world = World::new(seed);
        let server = world.serve(&with_secret());
        let pools: Vec<_> = (0..20).map(|_| pool_at(&mut world, &[server], 8)).collect();
        let before: Vec<_> =
            pools.iter().map(|(pool, nodes)| who(world.membership(nodes[0], *pool))).collect();
        let killed = world.now;
        world.kill(server);
        world.run(Duration::from_secs(down));
        world.start(server, &with_secret());
        let most = if down < 10 { INTERVAL * 2 } else { INTERVAL * 4 };
        world.run_until(most, |world| {
            let back = |(pool, nodes): &(PoolId, Vec<usize>)| {
                world.agree(*pool, nodes)
                    && nodes.iter().all(|node| news(world, *node, *pool).contains(&PoolEvent::Restored))
            };
            pools.iter().all(back)
        });
        for ((pool, nodes), before) in pools.iter().zip(before) {
            for node in nodes {
                assert_eq!(who(world.membership(*node, *pool)), before);
                let mut told = news(&world, *node, *pool);
                told.retain(|event| *event != PoolEvent::Unreachable);
                assert_eq!(told, [PoolEvent::Restored]);
                assert!(world.most_in_a_second(*node, killed) <= 2, "{:?}", world.nodes[*node].sent);
            }
        }
        world.run(TIMEOUT * 2);
        for (pool, nodes) in &pools {
            assert!(world.agree(*pool, nodes));
        }
    }
}

#[test]
fn without_its_secret_its_pools_are_lost() {
    let mut world = World::new(5);
    let server = world.serve(&BroadcasterConfig::default());
    let (pool, nodes) = pool_at(&mut world, &[server], 4);
    world.kill(server);
    world.start(server, &BroadcasterConfig::default());
    world.run(INTERVAL * 2);
    for node in nodes {
        assert_eq!(world.nodes[node].ended, [(pool, PoolEnd::Lost)]);
        assert_eq!(world.nodes[node].client.pools().count(), 0);
    }
    assert_eq!(world.server(server).pool_count(), 0);
}

#[test]
fn another_broadcaster_of_the_same_secret_takes_over() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        let servers = [(); 2].map(|()| world.serve(&with_secret()));
        let (pool, nodes) = pool_at(&mut world, &servers, 6);
        let before = who(world.membership(nodes[0], pool));
        world.kill(servers[0]);
        let all = nodes.clone();
        let took = world.run_until(Duration::from_secs(20), |world| {
            let there = |node: &usize| world.membership(*node, pool).broadcaster() == servers[1];
            all.iter().all(there) && world.agree(pool, &all)
        });
        assert!(took < Duration::from_secs(16), "{took:?}");
        for node in &nodes {
            assert_eq!(who(world.membership(*node, pool)), before);
            assert_eq!(news(&world, *node, pool), [PoolEvent::Unreachable, PoolEvent::Restored]);
        }
        let late = world.join_in(&servers);
        world.pool(late, |client, now| client.join(now, pool));
        world.done(nodes[0], |client, now| client.lock(now, pool, true));
        let mut more = nodes.clone();
        more.push(late);
        world.run(Duration::from_millis(100));
        assert!(world.agree(pool, &more));
    }
}

#[test]
fn a_short_silence_is_no_loss() {
    let mut world = World::new(6);
    let server = world.serve(&with_secret());
    let (pool, nodes) = pool_at(&mut world, &[server], 4);
    let epoch = world.membership(nodes[0], pool).epoch();
    world.loss = 1_000;
    world.run(Duration::from_secs(6));
    world.loss = 0;
    world.run(TIMEOUT);
    assert!(world.agree(pool, &nodes));
    assert_eq!(world.membership(nodes[0], pool).epoch(), epoch, "nothing has changed");
    for node in nodes {
        assert!(
            news(&world, node, pool)
                .iter()
                .all(|event| matches!(event, PoolEvent::Unreachable | PoolEvent::Restored))
        );
    }
}

#[test]
fn a_member_that_was_away_too_long_is_forgotten() {
    let mut world = World::new(7);
    let server = world.serve(&with_secret());
    let (pool, nodes) = pool_at(&mut world, &[server], 3);
    let away = world.nodes[nodes[2]].address;
    world.blocked = vec![(away, server)];
    world.run(TIMEOUT + INTERVAL * 2);
    assert!(world.agree(pool, &nodes[..2]));
    world.blocked.clear();
    world.run(INTERVAL * 3);
    assert_eq!(world.nodes[nodes[2]].ended, [(pool, PoolEnd::Forgotten)]);
}

#[test]
fn one_pool_in_two_places_comes_together_again() {
    for seed in 0..3 {
        let mut world = World::new(seed);
        let servers = [(); 2].map(|()| world.serve(&with_secret()));
        let (pool, nodes) = pool_at(&mut world, &servers, 6);
        // Half of them can't see the first broadcaster any more, and bring the pool back at the other.
        world.blocked = nodes[3..].iter().map(|node| (world.nodes[*node].address, servers[0])).collect();
        world.run(TIMEOUT * 3);
        assert!(world.agree(pool, &nodes[..3]) && world.agree(pool, &nodes[3..]));
        assert_eq!(world.membership(nodes[3], pool).broadcaster(), servers[1]);
        world.blocked.clear();
        let all = nodes.clone();
        let took = world.run_until(INTERVAL * 30, |world| world.agree(pool, &all));
        assert!(took >= INTERVAL);
        assert_eq!(world.membership(nodes[3], pool).broadcaster(), servers[0]);
        world.run(TIMEOUT);
        assert!(world.agree(pool, &nodes));
        assert!(world.nodes.iter().all(|node| node.ended.is_empty()));
        assert_eq!(world.server(servers[1]).pool_count(), 0);
    }
}

#[test]
fn calls_go_to_the_broadcaster_that_answers() {
    let mut world = World::new(8);
    let servers = [(); 3].map(|()| world.serve(&with_secret()));
    world.kill(servers[0]);
    let ann = world.join_in(&servers);
    let spec = PoolSpec::default().with_broadcasters(&[Address::new(servers[1]).unwrap()]).unwrap();
    let pool = world.pool(ann, |client, now| client.create_with(now, &spec, b"")).id();
    assert_eq!(world.membership(ann, pool).broadcaster(), servers[1]);
    world.kill(servers[1]);
    let bob = world.join_in(&servers);
    let made = world.pool(bob, |client, now| client.create(now)).id();
    assert_eq!(world.membership(bob, made).broadcaster(), servers[2]);
}

#[test]
fn a_broadcaster_dies_again_and_again_while_datagrams_are_lost() {
    let mut world = World::new(9);
    let server = world.serve(&with_secret());
    let (pool, nodes) = pool_at(&mut world, &[server], 8);
    let before = who(world.membership(nodes[0], pool));
    (world.loss, world.doubled, world.delay) = (50, 50, (5, 60));
    for _ in 0..10 {
        world.kill(server);
        world.run(Duration::from_secs(2));
        world.start(server, &with_secret());
        world.run(Duration::from_secs(15));
    }
    (world.loss, world.doubled) = (0, 0);
    world.run(INTERVAL * 3);
    let members = world.members(pool);
    assert!(world.agree(pool, &members));
    assert!(members.len() >= 6, "{members:?}");
    let after = who(world.membership(members[0], pool));
    assert!(after.iter().take(members.len()).all(|member| before.contains(member)), "{after:?}");
}
