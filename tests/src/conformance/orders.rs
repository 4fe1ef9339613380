//! What the host of a pool may have done, and others may not.

use poolmesh_proto::wire::native::{self, LeaveReason, Member, PoolSpec, Seats};
use poolmesh_proto::{CallError, CallFailed, PoolEnd, PoolEvent, PoolId, Refusal};

use super::{Server, agree, client, ended, news};
use crate::patience::until;
use crate::runtime::{Client, Runtime};

fn refused(refusal: native::Refusal) -> CallFailed {
    CallFailed::Refused(Refusal::Native(refusal))
}

/// A pool, its host, and one who has joined it.
fn two<A: Runtime, B: Runtime>(server: &Server) -> (A::Client, B::Client, PoolId, Member) {
    let (host, guest) = (client::<A>(server.address()), client::<B>(server.address()));
    let pool = host.create().unwrap().id();
    let me = guest.join(pool).unwrap().me().unwrap();
    until("the host knows it", || host.membership(pool).unwrap().member(me).is_some());
    (host, guest, pool, me)
}

/// Who is sent away is told so, as are the others; it may come back, as somebody else.
pub fn kick<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest, pool, member) = two::<A, B>(&server);
    let (mut told_host, mut told_guest) = (host.events(), guest.events());
    host.kick(pool, member).unwrap();
    assert_eq!(ended::<B>(&mut told_guest, pool), PoolEnd::Kicked);
    assert!(guest.membership(pool).is_none());
    let reason = news::<A, _>(&mut told_host, |event| match event {
        PoolEvent::Left { member: gone, reason } => Some((gone.number, reason)),
        _ => None,
    });
    assert_eq!(reason, (member, Some(LeaveReason::Kicked)));
    assert_eq!(host.kick(pool, member), Err(refused(native::Refusal::NoSuchMember)));
    assert!(guest.join(pool).unwrap().me() > Some(member));
}

/// Nobody comes into a locked pool, and all may again when it is open.
pub fn lock<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest) = (client::<A>(server.address()), client::<B>(server.address()));
    let pool = host.create().unwrap().id();
    host.lock(pool, true).unwrap();
    until("it is listed as locked", || guest.list().unwrap()[0].is_locked());
    assert_eq!(guest.join(pool), Err(refused(native::Refusal::Locked)));
    host.lock(pool, false).unwrap();
    assert_eq!(guest.join(pool).unwrap().members().len(), 2);
}

/// A pool that its host closes has ended for everyone, and nobody finds it.
pub fn close<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest, pool, _) = two::<A, B>(&server);
    let mut told = guest.events();
    host.close_pool(pool).unwrap();
    assert_eq!(ended::<B>(&mut told, pool), PoolEnd::Closed);
    assert!(host.membership(pool).is_none() && guest.membership(pool).is_none());
    assert_eq!(guest.list().unwrap(), []);
    assert_eq!(guest.join(pool), Err(refused(native::Refusal::NoSuchPool)));
}

/// A host may make another one host: one at a time, in a new term.
pub fn hand_over<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest, pool, member) = two::<A, B>(&server);
    let mut told = guest.events();
    host.hand_over(pool, member).unwrap();
    let (now, term, you) = news::<B, _>(&mut told, |event| match event {
        PoolEvent::Host { member, term, you } => Some((member, term.get(), you)),
        _ => None,
    });
    assert_eq!((now, term, you), (member, 2, true));
    agree(pool, &[&host], &[&guest]);
    assert_eq!(host.close_pool(pool), Err(CallFailed::Misuse(CallError::NotHost)));
    guest.close_pool(pool).unwrap();
}

/// The host decides what the pool is; everyone is told, and it is listed so.
pub fn change<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest, pool, _) = two::<A, B>(&server);
    let mut told = guest.events();
    let spec = PoolSpec::new(Seats::new(2).unwrap()).named("duel").unwrap().with_metadata(b"map 3").unwrap();
    host.change(pool, &spec).unwrap();
    news::<B, _>(&mut told, |event| matches!(event, PoolEvent::Spec).then_some(()));
    assert_eq!(guest.membership(pool).unwrap().spec(), &spec);
    // One decision after the other, though the first is not told yet.
    host.lock(pool, true).unwrap();
    let latest = host.latest_spec(pool).unwrap();
    assert_eq!(latest, spec.clone().locked(true));
    host.change(pool, &latest.locked(false)).unwrap();
    until("all is as it was", || guest.membership(pool).unwrap().spec() == &spec);
    let listed = guest.list().unwrap();
    assert_eq!((listed[0].name(), listed[0].metadata(), listed[0].free()), ("duel", &b"map 3"[..], 0));
    assert_eq!(client::<B>(server.address()).join(pool), Err(refused(native::Refusal::Full)));
}

/// What only the host may, nobody else can ask for; nor can one who is no member.
pub fn others_may_not<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (host, guest, pool, member) = two::<A, B>(&server);
    let not_host = Err(CallFailed::Misuse(CallError::NotHost));
    assert_eq!(guest.kick(pool, host.membership(pool).unwrap().me()), not_host);
    assert_eq!(guest.lock(pool, true), not_host);
    assert_eq!(guest.hand_over(pool, member), not_host);
    assert_eq!(guest.change(pool, &PoolSpec::default()), not_host);
    assert_eq!(guest.close_pool(pool), not_host);
    let stranger = client::<B>(server.address());
    let no_member = Err(CallFailed::Misuse(CallError::NotAMember { pool }));
    assert_eq!(stranger.leave(pool), no_member);
    assert_eq!(stranger.set_about(pool, b"here"), no_member);
    agree(pool, &[&host], &[&guest]);
}
