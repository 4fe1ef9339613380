//! A broadcaster in several threads, asked by many: they reach different threads, and can't tell.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};

use bytes::BytesMut;
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_proto::{BroadcasterConfig, PoolId};
use poolmesh_testkit::patience::{PATIENCE, guarded};
use poolmesh_testkit::runtime::{Runtime, SmolInFour, StdInFour};

/// So many that each of four threads is reached, but for once in 10⁷ times.
const MANY: usize = 64;

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn ask(client: &UdpSocket, at: SocketAddr, request: &Request) -> Response {
    let mut datagram = BytesMut::new();
    classic::encode_request(request, &mut datagram);
    client.send_to(&datagram, at).unwrap();
    let mut answer = [0; 2_000];
    let (len, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!(from, at, "whoever answers, it is the same address");
    classic::decode_response(&answer[..len]).unwrap()
}

fn made(client: &UdpSocket, at: SocketAddr) -> Option<PoolId> {
    match ask(client, at, &Request::Create) {
        Response::Joined(pool) => Some(pool.id()),
        _ => None,
    }
}

fn many_are_served<R: Runtime>() {
    let mut config = BroadcasterConfig::default().with_classic();
    config.ping_timeout = 6 * PATIENCE;
    config.max_pools = classic::LIST_CAPACITY;
    config.max_peers_total = 2 * MANY;
    let serving = R::serve("127.0.0.1:0".parse().unwrap(), config.clone()).unwrap();
    let (at, clients) = (serving.local, Vec::from_iter((0..MANY).map(|_| client())));

    let pools = BTreeSet::from_iter(clients.iter().filter_map(|client| made(client, at)));
    assert_eq!(pools.len(), config.max_pools, "as many as all threads may hold together");
    for client in &clients {
        let Response::Pools(listed) = ask(client, at, &Request::List) else { panic!("not a list") };
        assert_eq!(BTreeSet::from_iter(listed), pools, "each lists all");
    }
    for (number, pool) in pools.iter().take(3).enumerate() {
        let joined = clients.iter().filter(|client| {
            matches!(ask(client, at, &Request::Join(*pool)), Response::Joined(info) if info.id() == *pool)
        });
        // The host's own join is not counted.
        let expected = if number < 2 { MANY } else { 3 };
        assert_eq!(joined.count(), expected);
    }

    (serving.stop)();
    for client in clients {
        client.send_to(&[], at).unwrap();
    }
    let stats = serving.thread.join().unwrap().unwrap();
    assert_eq!((stats.pools_created, stats.lists), (config.max_pools as u64, MANY as u64));
    assert_eq!(stats.peers_joined, 2 * MANY as u64);
}

#[test]
fn many_are_served_on_std() {
    guarded(many_are_served::<StdInFour>);
}

#[test]
fn many_are_served_on_smol() {
    guarded(many_are_served::<SmolInFour>);
}

/// The same for both servers; `$done` turns what a call gives into its result.
macro_rules! one_of_several {
    ($runtime:ident, $lib:ident, $done:path) => {
        mod $runtime {
            use super::*;

            fn two() -> [$lib::BroadcasterServer; 2] {
                let at = "127.0.0.1:0".parse().unwrap();
                let servers =
                    $lib::BroadcasterServer::bind_shards(at, &BroadcasterConfig::default().with_classic(), 2);
                servers.unwrap().try_into().unwrap()
            }

            #[test]
            fn none_serves_without_the_others() {
                guarded(|| {
                    let [one, other] = two();
                    drop(other);
                    assert_eq!($done(one.run(|_| {})).unwrap().datagrams, 0);
                });
            }

            #[test]
            fn there_are_some_but_not_too_many() {
                for count in [0, 257] {
                    let at = "127.0.0.1:0".parse().unwrap();
                    let servers = $lib::BroadcasterServer::bind_shards(
                        at,
                        &BroadcasterConfig::default().with_classic(),
                        count,
                    );
                    assert_eq!(servers.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
                }
            }
        }
    };
}

one_of_several!(on_std, poolmesh_std, std::convert::identity);
one_of_several!(on_smol, poolmesh_smol, smol::block_on);
