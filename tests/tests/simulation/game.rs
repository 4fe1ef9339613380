//! A user's own program in the simulator: a toy game of eight peers, for an hour of virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmesh_proto::{BroadcasterConfig, ClientEvent, LinkEvent, MeshEvent, Outcome, Packet, PeerId, PoolId};
use poolmesh_testkit::sim::{App, AppEvent, Context, NodeId, PeerConfig, State, Weather, World};

/// Everybody has a position and tells everybody of it, once a second.
#[derive(Debug, Default)]
struct Game {
    /// Which pool to join; none to host one.
    join: Option<PoolId>,
    pool: Option<PoolId>,
    position: u32,
    others: BTreeMap<PeerId, u32>,
}

impl App for Game {
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
        match event {
            AppEvent::Started => {
                let call = match self.join {
                    Some(pool) => context.join(pool),
                    None => context.create(),
                };
                call.unwrap();
                context.wake_after(Duration::from_secs(1), 0);
            }
            AppEvent::Client(ClientEvent::Finished { outcome, .. }) => match outcome {
                Outcome::Created(pool) | Outcome::Joined(pool) => {
                    self.pool = Some(pool.id());
                    context.enter(&pool).unwrap();
                }
                other => context.log(format_args!("no pool: {other:?}")),
            },
            AppEvent::Woken(_) => {
                self.position += u32::from(context.rng().chance(500_000));
                context.send_to_all("at", Packet::new().u32(self.position));
                context.wake_after(Duration::from_secs(1), 0);
            }
            AppEvent::Link(peer, LinkEvent::Received(event)) if event.is("at") => {
                self.others.insert(peer, event.reader().u32().unwrap());
            }
            AppEvent::Mesh(MeshEvent::PeerGone { peer, .. }) => {
                self.others.remove(&peer);
            }
            _ => {}
        }
    }
}

/// Eight players; their world after an hour.
fn an_hour(seed: u64) -> (World<Game>, Vec<NodeId>) {
    let mut world = World::new(seed);
    world.weather().loss = 50_000; // one datagram of twenty
    let broadcaster = world.broadcaster(BroadcasterConfig::default().with_classic());
    let mut players = vec![world.peer(Game::default(), broadcaster, PeerConfig::classic())];
    world.run_for(Duration::from_secs(10)).unwrap();
    let join = world.app(players[0]).unwrap().pool;
    for _ in 1..8 {
        let player = world.peer(Game { join, ..Game::default() }, broadcaster, PeerConfig::classic());
        world.run_for(Duration::from_secs(5)).unwrap();
        players.push(player);
    }
    world.run_for(Duration::from_secs(3_600)).unwrap();
    (world, players)
}

#[test]
fn eight_players_see_each_other_for_an_hour() {
    let (world, players) = an_hour(7);
    for player in &players {
        let game = world.app(*player).unwrap();
        assert_eq!(game.others.len(), 7);
        for position in game.others.values() {
            assert!((1_500..2_100).contains(position), "half of 3,600 steps, or so: {position}");
        }
    }
}

#[test]
fn the_same_seed_brings_the_same_hour() {
    let (first, again, other) = (an_hour(1).0, an_hour(1).0, an_hour(2).0);
    assert_eq!(first.fingerprint(), again.fingerprint());
    assert_ne!(first.fingerprint(), other.fingerprint());
}

/// A way to try one's own program: storms by the seed, an invariant of one's own, and what must hold some time after.
#[test]
fn the_game_lives_through_storms() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        let broadcaster = world.broadcaster(BroadcasterConfig::default().with_classic());
        let mut config = PeerConfig::classic();
        config.mesh.link.idle_timeout = Some(Duration::from_secs(30));
        let mut players = vec![world.peer(Game::default(), broadcaster, config.clone())];
        world.run_for(Duration::from_secs(5)).unwrap();
        let join = world.app(players[0]).unwrap().pool;
        for _ in 0..4 {
            let player = Game { join, ..Game::default() };
            players.push(world.peer(player, broadcaster, config.clone()));
        }
        for _ in 0..20 {
            let weather = Weather::rough(world.rng());
            *world.weather() = weather;
            let player = *world.rng().pick(&players);
            match world.rng().below(4) {
                0 => world.crash(player, true),
                1 => world.isolate(&[player]),
                2 => world.freeze(player, false),
                _ => world.cut_some(300_000),
            }
            world.run_for(Duration::from_secs(20)).unwrap();
            if world.state(player) == Some(State::Dark) {
                let anew = Game { join, ..Game::default() };
                world.restart(player, anew, broadcaster, config.clone());
            }
            world.thaw(player);
            world.heal();
            let farthest = players.iter().filter_map(|node| world.app(*node)?.others.values().max()).max();
            if farthest.is_some_and(|far| u64::from(*far) > world.now().as_secs()) {
                world.fail("mine: somebody is farther than anybody can have come");
            }
        }
        world.calm();
        world.run_for(Duration::from_secs(120)).unwrap();
        for player in players {
            let heard = world.app(player).unwrap().others.len();
            assert_eq!(
                heard,
                world.honest_links(player).len(),
                "seed {seed}: {player} hears all it has links to"
            );
        }
    }
}
