//! The host goes, the pool stays.

use poolmesh_proto::wire::native::PoolSpec;
use poolmesh_proto::{PoolEnd, PoolEvent};

use super::{Server, agree, client, cut_off, ended, expect_numbers, mesh, news, numbered};
use crate::runtime::{Client, Mesh, Peer, Runtime};

fn host(event: PoolEvent) -> Option<(u32, u32, bool)> {
    match event {
        PoolEvent::Host { member, term, you } => Some((member.get(), term.get(), you)),
        _ => None,
    }
}

/// When the host leaves, who has been there longest is host, in the next term, and so on.
pub fn a_host_that_leaves_is_followed<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let [one, three] = [(); 2].map(|()| client::<A>(server.address()));
    let [two, four] = [(); 2].map(|()| client::<B>(server.address()));
    let pool = one.create().unwrap().id();
    two.join(pool).unwrap();
    three.join(pool).unwrap();
    four.join(pool).unwrap();
    let (mut told_two, mut told_three) = (two.events(), three.events());
    let mut told_four = four.events();
    one.leave(pool).unwrap();
    assert_eq!(news::<B, _>(&mut told_two, host), (2, 2, true));
    assert_eq!(news::<A, _>(&mut told_three, host), (2, 2, false));
    drop(two);
    assert_eq!(news::<A, _>(&mut told_three, host), (3, 3, true));
    assert_eq!(
        [news::<B, _>(&mut told_four, host), news::<B, _>(&mut told_four, host)],
        [(2, 2, false), (3, 3, false)]
    );
    three.kick(pool, four.membership(pool).unwrap().me()).unwrap();
    // Who comes back is a member like any other.
    assert!(!one.join(pool).unwrap().is_host());
    agree::<_, B::Client>(pool, &[&one, &three], &[]);
}

/// A host that falls silent is followed when its time is over; the links between the others are not touched. When it is
/// heard again, its pool has another host.
pub fn a_host_that_falls_silent_is_followed<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (one, cable) = cut_off::<A>(&server);
    let (two, three) = (client::<B>(server.address()), client::<A>(server.address()));
    let pool = one.create().unwrap().id();
    let (b, c) = (mesh::<B>(), mesh::<A>());
    b.connect_to_pool(&two, &two.join(pool).unwrap()).unwrap();
    let joined = three.join(pool).unwrap();
    let report = c.connect_to_pool(&three, &joined).unwrap();
    let to_two = report.connected.iter().find(|peer| peer.address() == joined.peers()[1]).unwrap();
    let (mut told_one, mut told_two, mut told_three) = (one.events(), two.events(), three.events());
    cable.cut();
    let mut events = b.events();
    to_two.send(b"n", numbered(0, 4)).unwrap();
    assert_eq!(news::<B, _>(&mut told_two, host), (2, 2, true));
    assert_eq!(news::<A, _>(&mut told_three, host), (2, 2, false));
    to_two.send(b"n", numbered(1, 4)).unwrap();
    expect_numbers::<B>(&mut events, 0..2);
    cable.mend();
    assert_eq!(ended::<A>(&mut told_one, pool), PoolEnd::Forgotten);
    assert!(!one.join(pool).unwrap().is_host());
}

/// A pool may be made so that it ends with its host.
pub fn a_pool_may_end_with_its_host<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest) = (client::<A>(server.address()), client::<B>(server.address()));
    let pool = host.create_with(&PoolSpec::default().ending_with_host(true), &[]).unwrap().id();
    guest.join(pool).unwrap();
    let mut told = guest.events();
    drop(host);
    assert_eq!(ended::<B>(&mut told, pool), PoolEnd::Closed);
}
