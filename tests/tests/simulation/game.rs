//! A user's own program in the simulator: a toy game of eight peers, for an hour of virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmesh_proto::{BroadcasterConfig, ClientEvent, LinkEvent, MeshEvent, Outcome, Packet, PeerId, PoolId};
use poolmesh_testkit::sim::{App, AppEvent, Context, NodeId, PeerConfig, World};

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
    let broadcaster = world.broadcaster(BroadcasterConfig::default());
    let mut players = vec![world.peer(Game::default(), broadcaster, PeerConfig::default())];
    world.run_for(Duration::from_secs(10)).unwrap();
    let join = world.app(players[0]).unwrap().pool;
    for _ in 1..8 {
        let player = world.peer(Game { join, ..Game::default() }, broadcaster, PeerConfig::default());
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
