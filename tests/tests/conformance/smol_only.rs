//! What only futures can do: sinks, streams, and being dropped midway.

use std::net::UdpSocket;
use std::time::Duration;

use futures_util::SinkExt;
use poolmesh_smol::proto::wire::Dialect;
use poolmesh_smol::{
    Client, CloseReason, Event, Events, LinkConfig, Mesh, MeshConfig, Peer, PoolId, SendError,
};
use poolmesh_testkit::conformance::{Server, client_config};
use poolmesh_testkit::patience::{guarded, until};
use poolmesh_testkit::raw::{RawPeer, SilentPort};
use poolmesh_testkit::runtime::{ClassicSmol, Runtime, Smol};
use smol::future::{self, FutureExt};
use smol::stream::StreamExt;
use smol::{Timer, block_on};

/// Polls a future a few times, then drops it. Its output, if it was ready by then.
async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let stop = async {
        for _ in 0..times {
            future::yield_now().await;
        }
        None
    };
    async { Some(future.await) }.or(stop).await
}

/// Lets a future run for some time, then drops it. Its output, if it was ready by then.
async fn within<T>(micros: u64, future: impl Future<Output = T>) -> Option<T> {
    let late = async {
        Timer::after(Duration::from_micros(micros)).await;
        None
    };
    async { Some(future.await) }.or(late).await
}

/// Two linked meshes that queue and keep little, and the first one's link.
async fn linked() -> (Mesh, Mesh, Peer) {
    let mut config = MeshConfig::default();
    config.link.max_queued = 64 * 1_024;
    config.max_waiting_events = 16;
    let (a, b) = (Mesh::with_config(config.clone()), Mesh::with_config(config));
    let at = b.listen_on("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let peer = a.connect_to_peer(at).await.unwrap();
    b.accept().await.unwrap();
    (a, b, peer)
}

fn payload(number: u32, len: usize) -> Vec<u8> {
    let mut payload = vec![0; len.max(4)];
    payload[..4].copy_from_slice(&number.to_le_bytes());
    payload
}

fn number_of(event: &Event) -> Option<u32> {
    match event {
        Event::Received(_, message) => Some(u32::from_le_bytes(message.payload()[..4].try_into().unwrap())),
        _ => None,
    }
}

async fn received(events: &mut Events) -> u32 {
    loop {
        if let Some(number) = number_of(&events.next().await.unwrap()) {
            return number;
        }
    }
}

/// A thousand events through the sink to one who reads slowly, flushed and closed.
#[test]
fn a_sink_sends_flushes_and_closes() {
    guarded(|| {
        block_on(async {
            let (a, b, peer) = linked().await;
            let mut events = b.events();
            let mut sink = peer.sink();
            let send = async {
                for n in 0..1_000 {
                    sink.feed(("n", payload(n, 5_000))).await.unwrap();
                }
                SinkExt::<(&str, Vec<u8>)>::flush(&mut sink).await.unwrap();
                assert_eq!(peer.queued(), 0, "all is written");
                assert!(peer.is_connected(), "a flush is no close");
                sink.send(("n", payload(1_000, 10))).await.unwrap();
                sink.feed(("n", payload(1_001, 10))).await.unwrap();
                SinkExt::<(&str, Vec<u8>)>::close(&mut sink).await.unwrap();
                assert_eq!(peer.try_send("n", ""), Err(SendError::Closed));
                assert_eq!(sink.send(("n", payload(0, 4))).await, Err(SendError::Closed));
            };
            let read = async {
                for expected in 0..1_002 {
                    assert_eq!(received(&mut events).await, expected);
                }
                let Some(Event::Disconnected(_, reason)) = events.next().await else { panic!("no end") };
                assert_eq!(reason, CloseReason::Remote);
            };
            future::zip(send, read).await;
            a.close().await;
        });
    });
}

/// A sink to one who doesn't read waits, and is told when the link ends.
#[test]
fn a_sink_is_told_of_the_end() {
    guarded(|| {
        block_on(async {
            let mut config = MeshConfig::default();
            config.link.max_queued = 64 * 1_024;
            let mesh = Mesh::with_config(config);
            let (peer, raw) = RawPeer::dialed_by::<Smol>(&mesh);
            let mut sink = peer.sink();
            let mut fed = 0;
            while within(300_000, sink.feed(("n", payload(fed, 8_000)))).await.is_some() {
                fed += 1;
            }
            assert!(within(50_000, SinkExt::<(&str, Vec<u8>)>::flush(&mut sink)).await.is_none());
            raw.reset();
            assert_eq!(SinkExt::<(&str, Vec<u8>)>::flush(&mut sink).await, Err(SendError::Closed));
        });
    });
}

/// An event too long is the sink's error, and doesn't end it.
#[test]
fn a_sink_refuses_what_is_too_long() {
    guarded(|| {
        block_on(async {
            let (_a, b, peer) = linked().await;
            let mut events = b.events();
            let mut sink = peer.sink();
            let len = LinkConfig::default().max_frame;
            let error = sink.send(("n", vec![0; len])).await.unwrap_err();
            assert!(matches!(error, SendError::TooLong { .. }), "{error:?}");
            sink.send(("n", payload(1, 4))).await.unwrap();
            assert_eq!(received(&mut events).await, 1);
        });
    });
}

/// Events are a stream that ends with the mesh.
#[test]
fn events_are_a_stream_that_ends_with_the_mesh() {
    guarded(|| {
        block_on(async {
            let (a, b, peer) = linked().await;
            let events = b.events();
            let count = smol::spawn(events.filter_map(|event| number_of(&event)).count());
            for n in 0..100 {
                peer.send("n", payload(n, 4)).await.unwrap();
            }
            until("all have come", || b.peers()[0].stats().received == 100);
            a.close().await;
            until("the link has ended", || b.peers().is_empty());
            b.close().await;
            assert_eq!(count.await, 100);
        });
    });
}

/// `send` dropped midway has queued its event whole or not at all; `next` dropped midway takes nothing with it.
#[test]
fn dropping_send_and_next_loses_nothing() {
    guarded(|| {
        block_on(async {
            let (_a, b, peer) = linked().await;
            let mut events = b.events();
            let send = async {
                let (mut dropped, mut times) = (0, 0);
                for n in 0..2_000 {
                    let before = peer.stats().sent;
                    while polled(times % 3, peer.send("n", payload(n, 4_000))).await.is_none() {
                        assert_eq!(peer.stats().sent, before, "neither sent nor told");
                        (dropped, times) = (dropped + 1, times + 1);
                        future::yield_now().await;
                    }
                    times += 1;
                }
                dropped
            };
            let read = async {
                let (mut dropped, mut expected) = (0, 0);
                while expected < 2_000 {
                    match polled(expected as usize % 3, events.next()).await {
                        Some(event) => {
                            if let Some(number) = number_of(&event.unwrap()) {
                                assert_eq!(number, expected);
                                expected += 1;
                            }
                        }
                        None => {
                            dropped += 1;
                            future::yield_now().await;
                        }
                    }
                }
                dropped
            };
            let (sends, nexts) = future::zip(send, read).await;
            assert!(sends > 10 && nexts > 10, "{sends} sends and {nexts} nexts were dropped");
        });
    });
}

/// Events dropped while it waits, then made anew: the link goes on.
#[test]
fn a_waiting_reader_may_be_dropped() {
    guarded(|| {
        block_on(async {
            let (_a, b, peer) = linked().await;
            for n in 0..50 {
                let mut events = b.events();
                assert!(within(200, events.next()).await.is_none());
                peer.send("n", payload(n, 4)).await.unwrap();
                assert_eq!(received(&mut events).await, n);
            }
        });
    });
}

/// Calls dropped midway are forgotten: they count no more against the bound, and the next ones work.
fn dropped_calls_are_forgotten<R: Runtime>() {
    block_on(async {
        let server = Server::start::<R>();
        let mut config = client_config::<R>();
        config.max_calls = 2;
        let client = Client::connect_with(server.address(), config).await.unwrap();
        let unknown: PoolId = "11111111-2222-4333-8444-555555555555".parse().unwrap();
        for times in 0..200 {
            polled(times % 4, client.list()).await;
            polled(times % 4, client.join(unknown)).await;
            within(times as u64, client.list()).await;
        }
        assert!(client.list().await.unwrap().is_empty());
        let pool = client.create().await.unwrap();
        assert_eq!(client.join(pool.id()).await.unwrap(), pool);
    });
}

#[test]
fn dropping_calls_forgets_them() {
    guarded(dropped_calls_are_forgotten::<Smol>);
}

#[test]
fn dropping_calls_of_the_classic_dialect_forgets_them() {
    guarded(dropped_calls_are_forgotten::<ClassicSmol>);
}

/// A pool whose creation was given up is not kept alive.
fn a_dropped_create_leaves_nothing<R: Runtime>() {
    block_on(async {
        let server = Server::start::<R>();
        let client = Client::connect_with(server.address(), client_config::<R>()).await.unwrap();
        let (mut given_up, mut kept) = (0, vec![]);
        while given_up < 5 {
            match polled(0, client.create()).await {
                None => given_up += 1,
                // On a machine under load the answer may be there at once.
                Some(pool) => kept.push(pool.unwrap().id()),
            }
        }
        // Of what the classic wire can't tell apart, the first that was made is the one that counts.
        kept.push(client.create().await.unwrap().id());
        // Under load even that one may have ended before its first ping.
        let listed = || block_on(client.list()).unwrap();
        until("no other is left", || listed().iter().all(|pool| kept.contains(&pool.id())));
        if R::DIALECT == Dialect::Native {
            assert_eq!((client.pools(), listed().len()), (kept.clone(), kept.len()));
        }
    });
}

#[test]
fn a_dropped_create_leaves_no_pool() {
    guarded(a_dropped_create_leaves_nothing::<Smol>);
}

#[test]
fn a_dropped_create_of_the_classic_dialect_leaves_no_pool() {
    guarded(a_dropped_create_leaves_nothing::<ClassicSmol>);
}

/// A join that is dropped at any moment leaves nobody in the pool.
#[test]
fn a_dropped_join_leaves_the_pool() {
    guarded(|| {
        block_on(async {
            let server = Server::start::<Smol>();
            let host = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let guest = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let pool = host.create().await.unwrap().id();
            for times in 0..100 {
                if within(times * 20, guest.join(pool)).await.is_some() {
                    guest.leave(pool).await.unwrap();
                }
            }
            until("nobody is left but the host", || host.membership(pool).unwrap().members().len() == 1);
            assert!(guest.pools().is_empty());
            assert_eq!(guest.join(pool).await.unwrap().members().len(), 2);
        });
    });
}

/// Also if it has come into the pool by then, and only its future doesn't know yet.
#[test]
fn a_call_dropped_behind_its_outcome_leaves_the_pool() {
    guarded(|| {
        block_on(async {
            let server = Server::start::<Smol>();
            let host = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let guest = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let pool = host.create().await.unwrap().id();
            let mut join = Box::pin(guest.join(pool));
            assert!(future::poll_once(&mut join).await.is_none());
            until("the guest is in", || !guest.pools().is_empty());
            drop(join);
            assert!(guest.pools().is_empty());
            until("nobody is left but the host", || host.membership(pool).unwrap().members().len() == 1);
            let mut create = Box::pin(guest.create());
            assert!(future::poll_once(&mut create).await.is_none());
            until("there is another pool", || !guest.pools().is_empty());
            drop(create);
            assert!(guest.pools().is_empty());
            // Who is in is not put out by another call.
            guest.join(pool).await.unwrap();
            let mut again = Box::pin(guest.join(pool));
            let _ = future::poll_once(&mut again).await;
            drop(again);
            assert_eq!(guest.pools(), [pool]);
        });
    });
}

/// Events of pools are a stream that ends with the client, and whose futures may be dropped.
#[test]
fn events_of_pools_are_a_stream() {
    guarded(|| {
        block_on(async {
            let server = Server::start::<Smol>();
            let host = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let guest = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let mut events = host.events();
            let pool = host.create().await.unwrap().id();
            assert!(within(10_000, events.next()).await.is_none());
            let count = smol::spawn(events.count());
            for _ in 0..5 {
                guest.join(pool).await.unwrap();
                guest.leave(pool).await.unwrap();
            }
            until("all are gone", || host.membership(pool).is_some_and(|known| known.epoch().number() >= 11));
            host.close().await;
            assert_eq!(count.await, 10);
        });
    });
}

/// Nobody answers: calls that are dropped leave nothing behind, and those that wait still end in time.
#[test]
fn dropping_calls_that_nobody_answers() {
    guarded(|| {
        block_on(async {
            let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut config = client_config::<ClassicSmol>();
            (config.max_calls, config.call_timeout) = (2, Duration::from_millis(200));
            let client = Client::connect_with(silent.local_addr().unwrap(), config).await.unwrap();
            let waits = client.list();
            let drops = async {
                for _ in 0..50 {
                    assert!(within(500, client.create()).await.is_none());
                }
            };
            let (failed, ()) = future::zip(waits, drops).await;
            assert!(matches!(failed, Err(poolmesh_smol::CallFailed::TimedOut { .. })), "{failed:?}");
            assert!(within(1_000, client.events().next()).await.is_none());
        });
    });
}

/// Connecting dropped midway: what was dialed is dialed on, and asking again gives the one link.
#[test]
fn dropping_connects_breaks_nothing() {
    guarded(|| {
        block_on(async {
            let server = Server::start::<Smol>();
            let host = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let joiner = Client::connect_with(server.address(), client_config::<Smol>()).await.unwrap();
            let (a, b) = (Mesh::new(), Mesh::new());
            let created = host.create().await.unwrap();
            for times in 0..20 {
                polled(times % 3, a.connect_to_pool(&host, &created)).await;
            }
            let report = a.connect_to_pool(&host, &created).await.unwrap();
            assert_eq!(report.listening.unwrap().port(), created.you().port());
            let joined = joiner.join(created.id()).await.unwrap();
            for times in 0..50 {
                polled(times % 4, b.connect_to_pool(&joiner, &joined)).await;
                polled(times % 4, b.connect_to_peer(created.you())).await;
                polled(times % 4, a.accept()).await;
            }
            let report = b.connect_to_pool(&joiner, &joined).await.unwrap();
            assert_eq!((report.connected.len(), report.failed.len(), b.stats().dialed), (1, 0, 1));
            let mut events = a.events();
            report.connected[0].send("n", payload(7, 4)).await.unwrap();
            assert_eq!(received(&mut events).await, 7);
        });
    });
}

/// A dial that was given up by its caller still has its fate told as an event, and holds nothing up.
#[test]
fn a_dropped_connect_is_dialed_on() {
    guarded(|| {
        block_on(async {
            let port = SilentPort::take();
            let address = port.address();
            let mesh = Mesh::new();
            let mut events = mesh.events();
            assert!(within(20_000, mesh.connect_to_peer(address)).await.is_none());
            let listener = port.listen();
            let Some(Event::Connected(peer)) = events.next().await else { panic!("it is not dialed on") };
            assert_eq!(peer.address(), address);
            let _accepted = listener.accept().unwrap();
        });
    });
}

/// Closing dropped midway: the mesh is closed all the same.
#[test]
fn a_dropped_close_closes() {
    guarded(|| {
        block_on(async {
            let (a, b, peer) = linked().await;
            let mut events = b.events();
            peer.try_send("n", payload(1, 4)).unwrap();
            // On another thread the links may be closed before this one looks.
            let _done = polled(0, a.close()).await;
            assert_eq!(received(&mut events).await, 1);
            assert!(matches!(events.next().await, Some(Event::Disconnected(_, CloseReason::Remote))));
            a.close().await;
            assert!(a.peers().is_empty() && a.accept().await.is_none());
        });
    });
}
