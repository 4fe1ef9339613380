//! The broadcaster's death, and members that come back.

use std::net::SocketAddr;
use std::time::Duration;

use poolmesh_proto::wire::native::{Address, PoolSpec, Secret};
use poolmesh_proto::{
    BroadcasterConfig, CallFailed, ClientConfig, Membership, PoolEnd, PoolEvent, PoolId, Refusal, Saved,
};

use super::{
    Server, agree, broadcaster_config, client, client_config, client_with, cut_off, ended, expect_numbers,
    mesh, news, numbered,
};
use crate::patience::until;
use crate::runtime::{Client, Mesh, Peer, Runtime};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// The times of those who come back are fixed: two datagrams a second, a ping again after a second. Their broadcaster
/// publishes the pool when as many have come as it had members, or after two intervals; their tickets hold for the timeout
/// or 10 s, whichever is longer (PROTOCOL.md, section 7.2).
fn with_key<R: Runtime>() -> BroadcasterConfig {
    let mut config = broadcaster_config::<R>();
    config.secret = Some(Secret::new([7; 32]));
    (config.limits.interval, config.limits.timeout) = (Duration::from_millis(1_500), Duration::from_secs(5));
    config
}

/// What must not change, whichever broadcaster has the pool.
fn lasting(known: &Membership) -> (PoolId, Vec<(u32, SocketAddr)>, u32, u32, PoolSpec) {
    let members = known.members().iter().map(|member| (member.number.get(), member.address)).collect();
    (known.id(), members, known.host().get(), known.term().get(), known.spec().clone())
}

fn restored(event: PoolEvent) -> Option<()> {
    matches!(event, PoolEvent::Restored).then_some(())
}

/// Two members that are linked, of a pool with another host than its maker.
struct Pair<A: Runtime, B: Runtime> {
    one: A::Client,
    two: B::Client,
    a: A::Mesh,
    b: B::Mesh,
    pool: PoolId,
}

impl<A: Runtime, B: Runtime> Pair<A, B> {
    fn new(broadcaster: SocketAddr, others: &[SocketAddr]) -> Self {
        let config = |mut config: ClientConfig| {
            config.broadcasters = others.to_vec();
            config
        };
        let one = client_with::<A>(broadcaster, config(client_config::<A>()));
        let two = client_with::<B>(broadcaster, config(client_config::<B>()));
        let (a, b) = (mesh::<A>(), mesh::<B>());
        let created = one.create_with(&PoolSpec::default().named("duel").unwrap(), b"one").unwrap();
        let pool = created.id();
        a.connect_to_pool(&one, &created).unwrap();
        let joined = two.join_with(pool, b"two").unwrap();
        b.connect_to_pool(&two, &joined).unwrap();
        until("the link stands at both ends", || a.peers().len() == 1 && b.peers().len() == 1);
        one.hand_over(pool, joined.me().unwrap()).unwrap();
        until("it is host", || two.membership(pool).is_some_and(|known| known.is_host()));
        agree(pool, &[&one], &[&two]);
        Self { one, two, a, b, pool }
    }

    fn lasting(&self) -> (PoolId, Vec<(u32, SocketAddr)>, u32, u32, PoolSpec) {
        lasting(&self.one.membership(self.pool).unwrap())
    }

    /// That the link stands, whatever the broadcaster does.
    fn talk(&self) {
        let mut events = self.b.events();
        self.a.peers()[0].send(b"n", numbered(0, 4)).unwrap();
        expect_numbers::<B>(&mut events, 0..1);
        assert_eq!((self.a.peers().len(), self.b.stats().dialed), (1, 1));
    }
}

/// A broadcaster that starts again with its key has the pool back: its id, its members, their numbers, its host and term.
pub fn a_restart_with_the_key<A: Runtime, B: Runtime>() {
    let mut server = Server::start_with::<A>(ANY, with_key::<A>());
    let pair = Pair::<A, B>::new(server.address(), &[]);
    let before = pair.lasting();
    let generation = pair.one.membership(pair.pool).unwrap().epoch();
    let (mut told_one, mut told_two) = (pair.one.events(), pair.two.events());
    server.stop();
    pair.talk();
    server.restart::<A>();
    news::<A, _>(&mut told_one, restored);
    news::<B, _>(&mut told_two, restored);
    agree(pair.pool, &[&pair.one], &[&pair.two]);
    assert_eq!(pair.lasting(), before);
    assert_ne!(pair.one.membership(pair.pool).unwrap().epoch(), generation, "it is another era");
    pair.talk();
    // It is a pool like any other.
    let three = client::<A>(server.address());
    assert_eq!(three.list().unwrap()[0].name(), "duel");
    assert_eq!(three.join(pair.pool).unwrap().members().len(), 3);
    pair.two.kick(pair.pool, three.membership(pair.pool).unwrap().me()).unwrap();
}

/// Without the key the pool is lost, which its members are told; nobody else can have it. Links stand.
pub fn a_restart_without_the_key<A: Runtime, B: Runtime>() {
    let mut server = Server::start::<A>();
    let pair = Pair::<A, B>::new(server.address(), &[]);
    let saved = pair.one.membership(pair.pool).unwrap().save();
    let (mut told_one, mut told_two) = (pair.one.events(), pair.two.events());
    server.restart::<A>();
    assert_eq!(ended::<A>(&mut told_one, pair.pool), PoolEnd::Lost);
    assert_eq!(ended::<B>(&mut told_two, pair.pool), PoolEnd::Lost);
    pair.talk();
    let refused = client::<A>(server.address()).resume(&saved).unwrap_err();
    assert!(matches!(refused, CallFailed::Refused(Refusal::Native(_))), "{refused}");
    assert_ne!(pair.one.create().unwrap().id(), pair.pool);
}

/// Members turn to the next of the pool's broadcasters when theirs is gone for good.
pub fn another_broadcaster<A: Runtime, B: Runtime>() {
    let mut first = Server::start_with::<A>(ANY, with_key::<A>());
    let second = Server::start_with::<B>(ANY, with_key::<B>());
    let pair = Pair::<A, B>::new(first.address(), &[second.address()]);
    let before = pair.lasting();
    let (mut told_one, mut told_two) = (pair.one.events(), pair.two.events());
    first.stop();
    let silent = |event| matches!(event, PoolEvent::Unreachable).then_some(());
    news::<A, _>(&mut told_one, silent);
    news::<A, _>(&mut told_one, restored);
    news::<B, _>(&mut told_two, restored);
    agree(pair.pool, &[&pair.one], &[&pair.two]);
    assert_eq!(pair.lasting(), before);
    pair.talk();
    let three = client::<A>(second.address());
    assert_eq!(three.join(pair.pool).unwrap().members().len(), 3);
    // Calls find it, too.
    assert_eq!(pair.one.list().unwrap()[0].id(), pair.pool);
}

/// A program that starts again is the member it was, with what it saved, and is linked to those who came after it, too.
pub fn a_program_that_starts_again<A: Runtime, B: Runtime>() {
    let server = Server::start_with::<A>(ANY, with_key::<A>());
    let (one, cable) = cut_off::<A>(&server);
    let (two, a, b) = (client::<B>(server.address()), mesh::<A>(), mesh::<B>());
    // Where the program finds it when the cable is cut.
    let direct = [Address::new(server.address()).unwrap()];
    let spec = PoolSpec::default().with_broadcasters(&direct).unwrap();
    let created = one.create_with(&spec, b"one").unwrap();
    a.connect_to_pool(&one, &created).unwrap();
    let pool = created.id();
    b.connect_to_pool(&two, &two.join(pool).unwrap()).unwrap();
    agree(pool, &[&one], &[&two]);
    let saved = one.membership(pool).unwrap().save().to_bytes();
    // It dies: nothing of what it says comes through.
    cable.cut();
    a.close();
    drop((one, a));
    until("its link has ended", || b.peers().is_empty());

    let again = client::<A>(server.address());
    let back = again.resume(&Saved::from_bytes(&saved).unwrap()).unwrap();
    assert_eq!((back.id(), back.me(), back.is_host(), back.members().len()), (pool, created.me(), true, 2));
    agree(pool, &[&again], &[&two]);
    let known = two.membership(pool).unwrap();
    assert_eq!((known.members()[0].address, &known.members()[0].about[..]), (back.you(), &b"one"[..]));
    let a = mesh::<A>();
    assert_eq!(a.connect_to_pool(&again, &back).unwrap().connected.len(), 1);
    until("they are linked", || b.peers().len() == 1);
    again.lock(pool, true).unwrap();
}
