//! A program for these tests that does what it is told, and the worlds they begin with.

use std::time::Duration;

use poolmesh_proto::{
    BroadcasterConfig, ClientEvent, CloseReason, LinkEvent, MeshEvent, Outcome, PoolId, PoolInfo,
};
use poolmesh_testkit::sim::{App, AppEvent, Context, NodeId, PeerConfig, World};

/// Remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) pool: Option<PoolInfo>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) unreachable: usize,
    pub(crate) linked: usize,
    pub(crate) gone: Vec<CloseReason>,
    pub(crate) ended: usize,
    pub(crate) received: usize,
    pub(crate) writable: usize,
}

impl App for Plain {
    fn handle(&mut self, event: AppEvent, context: &mut Context<'_>) {
        match event {
            AppEvent::Client(ClientEvent::Finished { outcome, .. }) => {
                if let Outcome::Created(pool) | Outcome::Joined(pool) = &outcome {
                    self.pool = Some(pool.clone());
                    context.enter(pool).unwrap();
                }
                self.outcomes.push(outcome);
            }
            AppEvent::Client(ClientEvent::PoolEnded { .. }) => self.ended += 1,
            AppEvent::Mesh(MeshEvent::PeerConnected { .. }) => self.linked += 1,
            AppEvent::Mesh(MeshEvent::PeerUnreachable { .. }) => self.unreachable += 1,
            AppEvent::Mesh(MeshEvent::PeerGone { reason, .. }) => self.gone.push(reason),
            AppEvent::Link(_, LinkEvent::Received(_)) => self.received += 1,
            AppEvent::Link(_, LinkEvent::Writable) => self.writable += 1,
            _ => {}
        }
    }
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// An empty world with a broadcaster in it.
pub(crate) fn world(seed: u64) -> (World<Plain>, NodeId) {
    let mut world = World::new(seed);
    let broadcaster = world.broadcaster(BroadcasterConfig::default().with_classic());
    (world, broadcaster)
}

pub(crate) fn peer(world: &mut World<Plain>, broadcaster: NodeId) -> NodeId {
    world.peer(Plain::default(), broadcaster, PeerConfig::classic())
}

/// Has a peer host a pool.
pub(crate) fn host(world: &mut World<Plain>, node: NodeId) -> PoolId {
    world.with(node, |_, context| context.create()).unwrap().unwrap();
    world.run_for(SECOND).unwrap();
    world.app(node).unwrap().pool.as_ref().expect("a pool was made").id()
}

pub(crate) fn join(world: &mut World<Plain>, node: NodeId, pool: PoolId) {
    world.with(node, |_, context| context.join(pool)).unwrap().unwrap();
    world.run_for(SECOND * 7).unwrap();
}

/// Two peers that are linked: the one that was dialed, the one that dialed.
pub(crate) fn pair(seed: u64) -> (World<Plain>, NodeId, [NodeId; 2]) {
    let (mut world, broadcaster) = world(seed);
    let (ann, bob) = (peer(&mut world, broadcaster), peer(&mut world, broadcaster));
    let pool = host(&mut world, ann);
    join(&mut world, bob, pool);
    assert_eq!((world.honest_links(ann), world.honest_links(bob)), (vec![bob], vec![ann]));
    (world, broadcaster, [ann, bob])
}
