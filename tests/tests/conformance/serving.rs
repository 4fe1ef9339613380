//! What the loops of both servers promise. All that is asked waits in the socket before they begin, or is asked by the
//! thread that serves, so that each run is the same.

use std::cell::Cell;
use std::convert::identity;
use std::net::UdpSocket;
use std::time::Duration;

use poolmesh_proto::{BroadcasterConfig, BroadcasterEvent, PoolId};
use poolmesh_testkit::patience::{PATIENCE, guarded};
use smol::future::{self, FutureExt};

/// Requests enough for some batches, and a part of one.
const MANY: usize = 3 * 32 + 5;

/// Far more than are served before others have their turn.
const TOO_MANY: usize = 10_000;

const CREATE: [u8; 1] = [0];

/// Limits that are not reached.
fn config() -> BroadcasterConfig {
    let mut config = BroadcasterConfig::default().with_classic();
    config.ping_timeout = 6 * PATIENCE;
    config.max_pools_per_source = usize::MAX;
    config
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn answer(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 2_000];
    let len = client.recv(&mut buffer).unwrap();
    buffer.truncate(len);
    buffer
}

fn created(event: BroadcasterEvent) -> Option<PoolId> {
    match event {
        BroadcasterEvent::PoolCreated { pool, .. } => Some(pool),
        _ => None,
    }
}

/// The same for all servers; `$done` turns what a call gives into its result, `$prepare` what was bound into what serves.
macro_rules! serving {
    ($runtime:ident, $lib:ident, $done:path, $prepare:path) => {
        mod $runtime {
            use super::*;

            fn bind(config: BroadcasterConfig) -> $lib::BroadcasterServer {
                $prepare($lib::BroadcasterServer::bind("127.0.0.1:0".parse().unwrap(), config).unwrap())
            }

            /// A burst is answered in order, also by a broadcaster that queues one answer at most.
            fn burst(config: BroadcasterConfig) {
                let server = bind(config);
                let (stopper, meter) = (server.stopper(), server.meter());
                let client = client();
                for _ in 0..MANY {
                    client.send_to(&CREATE, server.local_addr()).unwrap();
                }
                let mut pools = Vec::new();
                let stats = $done(server.run(|event| {
                    pools.extend(created(event));
                    if pools.len() == MANY {
                        stopper.stop();
                    }
                }));
                let stats = stats.unwrap();
                assert_eq!((stats.pools_created, stats.outputs_dropped), (MANY as u64, 0));
                assert_eq!((meter.read().sent, meter.read().unsent), (MANY as u64, 0));
                assert_eq!(meter.read().dropped.unwrap_or(0), 0);
                for pool in pools {
                    let answer = String::from_utf8(answer(&client)).unwrap();
                    assert!(answer.contains(&pool.to_string()), "{answer} is not of {pool}");
                }
            }

            #[test]
            fn a_burst_is_answered_in_order() {
                guarded(|| burst(config()));
            }

            #[test]
            fn answers_are_sent_before_more_are_made() {
                guarded(|| {
                    let mut config = config();
                    config.max_queued = 1;
                    burst(config);
                });
            }

            /// Each pool ends with the next request, so that two datagrams come of each.
            #[test]
            fn a_batch_may_have_more_answers_than_requests() {
                guarded(|| {
                    let mut config = config();
                    config.ping_timeout = Duration::ZERO;
                    let server = bind(config);
                    let (stopper, meter, client) = (server.stopper(), server.meter(), client());
                    for _ in 0..MANY {
                        client.send_to(&CREATE, server.local_addr()).unwrap();
                    }
                    let mut ended = 0;
                    let stats = $done(server.run(|event| {
                        ended += usize::from(matches!(event, BroadcasterEvent::PoolEnded { .. }));
                        if ended == MANY {
                            stopper.stop();
                        }
                    }));
                    assert_eq!(stats.unwrap().pools_ended, MANY as u64);
                    assert_eq!((meter.read().sent, meter.read().unsent), (2 * MANY as u64, 0));
                    for _ in 0..MANY {
                        assert_eq!([answer(&client)[0], answer(&client)[0]], [3, 5]);
                    }
                });
            }

            #[test]
            fn a_request_that_is_too_long_is_refused() {
                guarded(|| {
                    let config = config();
                    let (longest, server) = (config.max_datagram, bind(config));
                    let (stopper, client) = (server.stopper(), client());
                    for len in [longest, longest + 1, longest + 100] {
                        // A request to create, and bytes that nobody asks for.
                        client.send_to(&vec![0; len], server.local_addr()).unwrap();
                    }
                    client.send_to(&CREATE, server.local_addr()).unwrap();
                    let mut pools = 0;
                    let stats = $done(server.run(|_| {
                        pools += 1;
                        if pools == 2 {
                            stopper.stop();
                        }
                    }));
                    let stats = stats.unwrap();
                    assert_eq!((stats.pools_created, stats.refused_malformed), (2, 2));
                    assert_eq!([(); 4].map(|()| answer(&client)[0]), [3, 4, 4, 3]);
                });
            }

            #[test]
            fn a_flood_does_not_keep_it_from_stopping() {
                guarded(|| {
                    let server = bind(config());
                    let (at, stopper, client) = (server.local_addr(), server.stopper(), client());
                    let mut asked = 1;
                    client.send_to(&CREATE, at).unwrap();
                    let stats = $done(server.run(|_| {
                        if asked < TOO_MANY {
                            asked += 1;
                            client.send_to(&CREATE, at).unwrap();
                        }
                        stopper.stop();
                    }));
                    assert!(stats.unwrap().pools_created <= 32);
                });
            }
        }
    };
}

/// A server through io_uring, if the system has it: it serves in any case.
#[cfg(target_os = "linux")]
fn with_uring(mut server: poolmesh_std::BroadcasterServer) -> poolmesh_std::BroadcasterServer {
    if let Err(error) = server.use_uring() {
        println!("skipped: io_uring: {error}");
    }
    server
}

serving!(on_std, poolmesh_std, identity, identity);
#[cfg(target_os = "linux")]
serving!(on_std_with_uring, poolmesh_std, identity, with_uring);
serving!(on_smol, poolmesh_smol, smol::block_on, identity);

/// There is always another request, so that the server's task never has to wait.
#[test]
fn a_flood_does_not_starve_other_tasks() {
    guarded(|| {
        smol::block_on(async {
            let server =
                poolmesh_smol::BroadcasterServer::bind("127.0.0.1:0".parse().unwrap(), config()).unwrap();
            let (at, client, asked) = (server.local_addr(), client(), Cell::new(1));
            client.send_to(&CREATE, at).unwrap();
            let serve = async {
                let feed = |_| {
                    if asked.get() < TOO_MANY {
                        asked.set(asked.get() + 1);
                        client.send_to(&CREATE, at).unwrap();
                    }
                };
                server.run(feed).await.unwrap();
            };
            // It is asked after the server, each time that the thread has time for both.
            let other = future::yield_now();
            serve.or(other).await;
            assert!(asked.get() < 1_000, "another task had to wait for {} requests", asked.get());
        });
    });
}

#[test]
fn a_server_may_run_anywhere_and_be_dropped_anytime() {
    guarded(|| {
        let server =
            poolmesh_smol::BroadcasterServer::bind("127.0.0.1:0".parse().unwrap(), config()).unwrap();
        let (at, client) = (server.local_addr(), client());
        let task = smol::spawn(server.run(|_| {}));
        client.send_to(&CREATE, at).unwrap();
        assert_eq!(answer(&client)[0], 3);
        assert!(smol::block_on(task.cancel()).is_none());
        UdpSocket::bind(at).unwrap();
    });
}
