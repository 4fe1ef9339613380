//! Clients and a broadcaster together: who is in the pool, who is host, what is lost on the way.

use core::time::Duration;

use poolmesh_proto::wire::native::{LeaveReason, PoolSpec, Refusal, Seats};
use poolmesh_proto::{
    BroadcasterConfig, CallError, Door, ListFilter, Outcome, PoolEnd, PoolEvent, PoolId,
    Refusal as AnyRefusal, Saved,
};

use super::world::{INTERVAL, TIMEOUT, World};

/// A pool of so many, whose first is host.
pub(super) fn pool_of(
    world: &mut World,
    servers: &[core::net::SocketAddr],
    count: usize,
) -> (PoolId, Vec<usize>) {
    let nodes: Vec<_> = (0..count).map(|_| world.join_in(servers)).collect();
    let pool = world.pool(nodes[0], |client, now| client.create(now)).id();
    for node in &nodes[1..] {
        world.pool(*node, |client, now| client.join(now, pool));
    }
    let all = nodes.clone();
    world.run_until(INTERVAL * 3, |world| world.agree(pool, &all));
    for node in &nodes {
        world.nodes[*node].news.clear();
    }
    (pool, nodes)
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(AnyRefusal::Native(refusal))
}

#[test]
fn a_pool_is_made_listed_joined_and_left() {
    let mut world = World::new(1);
    let server = world.serve(&BroadcasterConfig::default());
    let [ann, bob, carl] = [(); 3].map(|()| world.join_in(&[server]));
    let spec = PoolSpec::new(Seats::new(3).unwrap()).named("duel").unwrap().with_metadata(b"m").unwrap();
    let made = world.pool(ann, |client, now| client.create_with(now, &spec, b"ann"));
    assert!(made.is_host() && made.members().len() == 1 && made.members()[0].about == b"ann"[..]);
    let Outcome::Listed(page) = world.outcome(bob, |client, now| client.list(now)) else { panic!() };
    let [listed] = &page.pools[..] else { panic!("{page:?}") };
    assert_eq!((listed.id(), listed.name(), listed.members(), listed.free()), (made.id(), "duel", 1, 2));
    let filter = ListFilter { prefix: "other".into(), ..ListFilter::default() };
    let Outcome::Listed(page) = world.outcome(bob, |client, now| client.list_with(now, &filter)) else {
        panic!()
    };
    assert!(page.pools.is_empty());
    let by_code = world.pool(bob, |client, now| client.join_by_code(now, made.code().unwrap()));
    assert_eq!(
        (by_code.id(), by_code.to_dial().collect::<Vec<_>>()),
        (made.id(), vec![world.nodes[ann].address])
    );
    let joined = world.pool(carl, |client, now| client.join_with(now, made.id(), b"carl"));
    assert_eq!(joined.to_dial().count(), 2);
    world.run(Duration::from_millis(100));
    assert!(world.agree(made.id(), &[ann, bob, carl]));
    let came: Vec<_> = world.nodes[ann].news.iter().map(|(_, event)| event.clone()).collect();
    assert!(
        matches!(&came[..], [PoolEvent::Joined(_), PoolEvent::Joined(carl)] if carl.about == b"carl"[..])
    );
    let dan = world.join_in(&[server]);
    assert_eq!(world.outcome(dan, |client, now| client.join(now, made.id())), refused(Refusal::Full));
    world.done(bob, |client, now| client.leave(now, made.id()));
    assert_eq!(world.nodes[bob].ended, [(made.id(), PoolEnd::Left)]);
    world.run(Duration::from_millis(100));
    assert!(world.agree(made.id(), &[ann, carl]));
    let left = world.nodes[carl].news.last().unwrap();
    assert!(matches!(&left.1, PoolEvent::Left { reason: Some(LeaveReason::Left), .. }));
    world.pool(dan, |client, now| client.join(now, made.id()));
}

#[test]
fn what_the_host_orders_all_see() {
    let mut world = World::new(2);
    let server = world.serve(&BroadcasterConfig::default());
    let (pool, nodes) = pool_of(&mut world, &[server], 4);
    let me = |world: &World, node: usize| world.membership(nodes[node], pool).me();
    let named = PoolSpec::default().named("new").unwrap();
    world.done(nodes[0], |client, now| client.change(now, pool, &named));
    world.done(nodes[0], |client, now| client.lock(now, pool, true));
    world.done(nodes[1], |client, now| client.set_about(now, pool, b"bob"));
    world.run(Duration::from_millis(100));
    for node in &nodes {
        let known = world.membership(*node, pool);
        assert_eq!(*known.spec(), named.clone().locked(true));
        assert_eq!(known.members()[1].about, b"bob"[..]);
    }
    let late = world.join_in(&[server]);
    assert_eq!(world.outcome(late, |client, now| client.join(now, pool)), refused(Refusal::Locked));
    let third = me(&world, 2);
    world.done(nodes[0], |client, now| client.kick(now, pool, third));
    world.run(Duration::from_millis(100));
    assert_eq!(world.nodes[nodes[2]].ended, [(pool, PoolEnd::Kicked)]);
    let second = me(&world, 1);
    world.done(nodes[0], |client, now| client.hand_over(now, pool, second));
    world.run(Duration::from_millis(100));
    assert!(world.membership(nodes[1], pool).is_host() && world.agree(pool, &[nodes[0], nodes[1], nodes[3]]));
    let now = world.now;
    let late = world.nodes[nodes[0]].client.kick(now, pool, second);
    assert_eq!(late, Err(CallError::NotHost));
    let gone = world.outcome(nodes[1], |client, now| client.kick(now, pool, third));
    assert_eq!(gone, refused(Refusal::NoSuchMember));
    world.done(nodes[1], |client, now| client.close_pool(now, pool));
    world.run(Duration::from_millis(100));
    for node in [0, 1, 3] {
        assert_eq!(world.nodes[nodes[node]].ended, [(pool, PoolEnd::Closed)]);
    }
    assert_eq!(world.server(server).pool_count(), 0);
}

#[test]
fn a_host_that_falls_silent_is_followed_by_the_oldest_member() {
    for seed in 0..5 {
        let mut world = World::new(seed);
        let server = world.serve(&BroadcasterConfig::default());
        let (pool, nodes) = pool_of(&mut world, &[server], 5);
        world.kill_client(nodes[0]);
        let rest = &nodes[1..];
        let took = world.run_until(TIMEOUT + INTERVAL, |world| {
            world.agree(pool, rest) && rest.iter().all(|node| world.membership(*node, pool).term().get() == 2)
        });
        assert!(took >= TIMEOUT - INTERVAL * 5 / 4);
        assert!(world.membership(nodes[1], pool).is_host());
        for node in rest {
            let news: Vec<_> = world.nodes[*node].news.iter().map(|(_, event)| event).collect();
            assert!(
                matches!(
                    &news[..],
                    [PoolEvent::Left { reason: Some(LeaveReason::TimedOut), .. }, PoolEvent::Host { .. }]
                ),
                "{news:?}"
            );
        }
    }
}

#[test]
fn who_is_released_or_closed_is_gone_at_once() {
    let mut world = World::new(3);
    let server = world.serve(&BroadcasterConfig::default());
    let (pool, nodes) = pool_of(&mut world, &[server], 3);
    assert!(world.nodes[nodes[2]].client.release(pool));
    world.drain_client(nodes[2]);
    world.nodes[nodes[0]].client.close();
    world.drain_client(nodes[0]);
    world.run(Duration::from_millis(100));
    assert!(world.agree(pool, &[nodes[1]]) && world.membership(nodes[1], pool).is_host());
}

#[test]
fn calls_are_answered_and_rosters_agree_whatever_is_lost_doubled_or_late() {
    for seed in 0..4 {
        let mut world = World::new(seed);
        let server = world.serve(&BroadcasterConfig::default());
        (world.loss, world.doubled, world.delay) = (200, 200, (5, 150));
        let hosts: Vec<_> = (0..12).map(|_| world.join_in(&[server])).collect();
        let pools: Vec<_> =
            hosts.iter().map(|host| world.pool(*host, |client, now| client.create(now)).id()).collect();
        let mut nodes: Vec<Vec<usize>> = hosts.iter().map(|host| vec![*host]).collect();
        for round in 0..36 {
            let node = world.join_in(&[server]);
            let place = round % pools.len();
            world.pool(node, |client, now| client.join(now, pools[place]));
            nodes[place].push(node);
        }
        // Some leave, some say something, all while datagrams are lost.
        for (pool, nodes) in pools.iter().zip(&mut nodes) {
            let leaver = nodes.pop().unwrap();
            assert_eq!(world.outcome(leaver, |client, now| client.leave(now, *pool)), Outcome::Done);
            world.done(nodes[1], |client, now| client.set_about(now, *pool, b"here"));
        }
        world.run(Duration::from_secs(30));
        (world.loss, world.doubled, world.delay) = (0, 0, (20, 20));
        let took = world.run_until(INTERVAL * 3, |world| {
            pools.iter().zip(&nodes).all(|(pool, nodes)| world.agree(*pool, nodes))
        });
        assert!(took <= INTERVAL * 3);
        assert_eq!(world.server(server).pool_count(), pools.len());
    }
}

#[test]
fn a_member_that_is_seen_at_another_address_is_the_same_member() {
    let mut world = World::new(4);
    let server = world.serve(&BroadcasterConfig::default());
    let (pool, nodes) = pool_of(&mut world, &[server], 3);
    let me = world.membership(nodes[1], pool).me();
    world.rebind(nodes[1], 6_000);
    let all = nodes.clone();
    world.run_until(INTERVAL * 2, |world| world.agree(pool, &all));
    assert_eq!(world.membership(nodes[1], pool).me(), me);
    assert_eq!(world.membership(nodes[1], pool).you().port(), 6_000);
    let moved = |world: &World, node: usize| {
        world.nodes[node].news.iter().filter(|(_, event)| matches!(event, PoolEvent::Moved(_))).count()
    };
    assert_eq!((moved(&world, nodes[0]), moved(&world, nodes[2])), (1, 1));
    world.rebind(nodes[0], 6_001);
    world.done(nodes[0], |client, now| client.lock(now, pool, true));
    world.run_until(INTERVAL * 2, |world| world.agree(pool, &all));
    assert!(world.membership(nodes[2], pool).spec().as_spec().locked());
}

#[test]
fn a_program_that_starts_again_is_the_member_that_it_was() {
    let mut world = World::new(5);
    let server = world.serve(&BroadcasterConfig::default());
    let (pool, mut nodes) = pool_of(&mut world, &[server], 3);
    let (me, saved) = {
        let membership = world.membership(nodes[0], pool);
        (membership.me(), membership.save().to_bytes())
    };
    world.kill_client(nodes[0]);
    world.run(Duration::from_secs(4));
    nodes[0] = world.join_in(&[server]);
    let saved = Saved::from_bytes(&saved).unwrap();
    let info = world.pool(nodes[0], |client, now| client.resume(now, &saved));
    assert_eq!((info.me(), info.is_host(), info.members().len()), (Some(me), true, 3));
    let all = nodes.clone();
    world.run_until(INTERVAL, |world| world.agree(pool, &all));
    world.kill_client(nodes[0]);
    world.run(TIMEOUT + INTERVAL);
    let late = world.join_in(&[server]);
    let stale = world.outcome(late, |client, now| client.resume(now, &saved));
    assert_eq!(stale, refused(Refusal::Stale));
    let door = Door::Id(pool);
    let info = world.pool(late, |client, now| client.join_with(now, door, b""));
    assert!(!info.is_host() && info.me() > Some(me));
}

#[test]
fn a_large_pool_is_listed_to_all_its_members() {
    let mut world = World::new(6);
    let mut config = BroadcasterConfig::default();
    config.limits.members_per_source = 1_000;
    let server = world.serve(&config);
    let spec = PoolSpec::new(Seats::new(200).unwrap());
    let nodes: Vec<_> = (0..200).map(|_| world.join_in(&[server])).collect();
    let about = [b'x'; 100];
    let pool = world.pool(nodes[0], |client, now| client.create_with(now, &spec, &about)).id();
    let calls: Vec<_> = nodes[1..]
        .iter()
        .map(|node| (*node, world.call(*node, |client, now| client.join_with(now, pool, &about))))
        .collect();
    world.run(Duration::from_secs(8));
    for (node, call) in calls {
        let outcome = world.nodes[node].outcomes.get(&call);
        assert!(matches!(outcome, Some(Outcome::Joined(_))), "{outcome:?}");
    }
    let all = nodes;
    world.run_until(INTERVAL * 3, |world| world.agree(pool, &all));
}
