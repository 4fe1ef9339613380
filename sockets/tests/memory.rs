//! Nothing is allocated for a datagram, nor for a batch.
//!
//! The allocator counts for the whole process, so this has no test harness.

#![allow(clippy::unwrap_used, reason = "a rule that can't be checked fails")]

use std::alloc::System;
use std::net::UdpSocket;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_sockets::udp::{BATCH, Flushed, Receiver, Sender, Socket};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    for server in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(socket) = Socket::bind(server.parse().unwrap()) else {
            println!("skipped: no address like {server}");
            continue;
        };
        let client = UdpSocket::bind(server).unwrap();
        let mut receiver = Receiver::new(100);
        let mut sender = Sender::new();
        let payload = Bytes::from_static(&[1; 100]);
        let mut serve = |requests: usize| {
            for _ in 0..requests {
                client.send_to(&payload, socket.local_addr()).unwrap();
            }
            let mut served = 0;
            while served < requests {
                assert!(socket.wait_readable(PATIENCE).unwrap());
                served += receiver.receive(&socket).unwrap();
                for (_, from) in receiver.datagrams() {
                    sender.push(from, payload.clone());
                }
                assert_eq!(sender.flush(&socket), Flushed::All);
            }
        };
        serve(1); // The thread's headers.
        let region = Region::new(COUNTING);
        serve(1);
        serve(2 * BATCH);
        let change = region.change();
        assert_eq!((change.allocations, change.reallocations), (0, 0), "{server}");
        drop(receiver);
        println!("test nothing_is_allocated_for_a_datagram {server} ... ok");
    }
    #[cfg(all(target_os = "linux", feature = "uring"))]
    through_a_ring();
}

#[cfg(all(target_os = "linux", feature = "uring"))]
fn through_a_ring() {
    use poolmesh_sockets::udp::Ring;

    if let Err(error) = Ring::check() {
        println!("skipped: io_uring: {error}");
        return;
    }
    let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut ring = Ring::new(&socket, 100).unwrap();
    let mut sender = Sender::new();
    let payload = Bytes::from_static(&[1; 100]);
    let region = Region::new(COUNTING);
    for _ in 0..10 * BATCH {
        client.send_to(&payload, socket.local_addr()).unwrap();
    }
    let mut served = 0;
    while served < 10 * BATCH {
        served += ring.exchange(&mut sender, PATIENCE).unwrap();
        for (_, from) in ring.datagrams() {
            sender.push(from, payload.clone());
        }
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    println!("test nothing_is_allocated_for_a_datagram through a ring ... ok");
}
