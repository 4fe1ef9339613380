//! Who is in a pool: what everyone is told, and that everyone knows the same.

use poolmesh_proto::wire::native::{LeaveReason, PoolSpec};
use poolmesh_proto::{PoolEvent, PoolMember};

use super::{Server, agree, client, cut_off, news};
use crate::patience::until;
use crate::runtime::{Client, Runtime};

fn joined(event: PoolEvent) -> Option<PoolMember> {
    match event {
        PoolEvent::Joined(member) => Some(member),
        _ => None,
    }
}

fn left(event: PoolEvent) -> Option<(PoolMember, Option<LeaveReason>)> {
    match event {
        PoolEvent::Left { member, reason } => Some((member, reason)),
        _ => None,
    }
}

/// Who comes is told to all who are there, with its number, its address and what it says of itself; and it knows all of them.
pub fn who_comes_is_told<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, bob, cleo) =
        (client::<A>(server.address()), client::<B>(server.address()), client::<A>(server.address()));
    let mut told_host = host.events();
    let pool = host.create_with(&PoolSpec::default(), b"ann").unwrap();
    let mut told_bob = bob.events();
    let of_bob = bob.join_with(pool.id(), b"bob").unwrap();
    let member = news::<A, _>(&mut told_host, joined);
    assert_eq!((member.number.get(), &member.about[..], member.address), (2, &b"bob"[..], of_bob.you()));
    let of_cleo = cleo.join_with(pool.id(), b"cleo").unwrap();
    assert_eq!(news::<A, _>(&mut told_host, joined).about, "cleo");
    let member = news::<B, _>(&mut told_bob, joined);
    assert_eq!((member.number, member.address), (of_cleo.me().unwrap(), of_cleo.you()));
    let abouts = of_cleo.members().iter().map(|member| &member.about[..]);
    assert!(abouts.eq([&b"ann"[..], b"bob", b"cleo"]), "in the order of their coming");
    assert_eq!((of_cleo.host(), of_cleo.is_host(), pool.is_host()), (pool.you(), false, true));
    assert_eq!(of_cleo.code(), pool.code());
    agree(pool.id(), &[&host, &cleo], &[&bob]);
}

/// Whoever leaves, lets go of a pool, closes its client or drops it is gone at once: the others are told that it left.
pub fn leaving_is_told_at_once<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let host = client::<A>(server.address());
    let mut told = host.events();
    let pool = host.create().unwrap().id();
    let ways: [fn(B::Client, poolmesh_proto::PoolId); 4] = [
        |client, pool| client.leave(pool).unwrap(),
        |client, pool| assert!(client.release(pool)),
        |client, _| client.close(),
        |client, _| drop(client),
    ];
    for way in ways {
        let guest = client::<B>(server.address());
        let me = guest.join(pool).unwrap().me().unwrap();
        assert_eq!(news::<A, _>(&mut told, joined).number, me);
        way(guest, pool);
        let (member, reason) = news::<A, _>(&mut told, left);
        assert_eq!((member.number, reason), (me, Some(LeaveReason::Left)));
    }
    assert_eq!(host.membership(pool).unwrap().members().len(), 1);
}

/// One of whom nothing is heard any more is taken out when its time is over, and all are told.
pub fn who_falls_silent_is_taken_out<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let host = client::<A>(server.address());
    let mut told = host.events();
    let pool = host.create().unwrap().id();
    let (guest, cable) = cut_off::<B>(&server);
    let me = guest.join(pool).unwrap().me().unwrap();
    cable.cut();
    let (member, reason) = news::<A, _>(&mut told, left);
    assert_eq!((member.number, reason), (me, Some(LeaveReason::TimedOut)));
    // When it is heard again it learns that it is over.
    let mut told = guest.events();
    cable.mend();
    let reason = super::ended::<B>(&mut told, pool);
    assert_eq!(reason, poolmesh_proto::PoolEnd::Forgotten);
    assert!(guest.membership(pool).is_none());
    assert_ne!(guest.join(pool).unwrap().me(), Some(me), "it is a new member");
}

/// What a member says of itself may change, and everyone is told.
pub fn what_members_say_is_told<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest) = (client::<A>(server.address()), client::<B>(server.address()));
    let mut told = host.events();
    let pool = host.create().unwrap().id();
    guest.join_with(pool, b"before").unwrap();
    guest.set_about(pool, b"after").unwrap();
    let about = |event| match event {
        PoolEvent::About(member) => Some(member),
        _ => None,
    };
    assert_eq!(news::<A, _>(&mut told, about).about, "after");
    agree(pool, &[&host], &[&guest]);
    guest.set_about(pool, &[b'x'; 129]).unwrap_err();
}

/// Whoever comes and goes, in the end everyone knows the same.
pub fn everyone_knows_the_same<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let host = client::<A>(server.address());
    let pool = host.create().unwrap().id();
    let stay: Vec<_> = (0..3).map(|_| client::<A>(server.address())).collect();
    let others: Vec<_> = (0..3).map(|_| client::<B>(server.address())).collect();
    std::thread::scope(|scope| {
        for client in &stay {
            scope.spawn(move || client.join(pool).unwrap());
        }
        for client in &others {
            scope.spawn(move || {
                for _ in 0..5 {
                    client.join(pool).unwrap();
                    client.leave(pool).unwrap();
                }
                client.join(pool).unwrap();
            });
        }
    });
    agree(pool, &[&host, &stay[0], &stay[1], &stay[2]], &[&others[0], &others[1], &others[2]]);
    until("seven are there", || host.membership(pool).unwrap().members().len() == 7);
    let numbers: Vec<_> =
        host.membership(pool).unwrap().members().iter().map(|member| member.number.get()).collect();
    assert!(numbers.is_sorted() && numbers[6] >= 17, "no number is given twice: {numbers:?}");
}
