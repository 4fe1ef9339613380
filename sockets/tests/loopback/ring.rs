//! What is promised of a ring of io_uring, where the kernel has it.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use poolmesh_sockets::udp::{BATCH, Receiver, Ring, Sender, Socket};

use crate::{MAX_DATAGRAM, PATIENCE, bind, client, has};

/// Whether the kernel has it. If not the test that needs it says so.
fn refused() -> bool {
    let checked = Ring::check();
    if let Err(error) = &checked {
        println!("skipped: io_uring: {error}");
    }
    checked.is_err()
}

/// The next datagrams, as many as that, and what is in `sender` meanwhile.
fn exchange(ring: &mut Ring<'_>, sender: &mut Sender, count: usize) -> Vec<(Vec<u8>, SocketAddr)> {
    let mut received = Vec::new();
    let mut calls = 0;
    while received.len() < count {
        calls += 1;
        assert!(calls <= 10 * count + 10, "{} of {count} came", received.len());
        let batch = ring.exchange(sender, PATIENCE).unwrap();
        assert!(batch <= BATCH);
        let before = received.len();
        received.extend(ring.datagrams().map(|(datagram, from)| (datagram.to_vec(), from)));
        assert_eq!(received.len(), before + batch);
    }
    assert_eq!(received.len(), count);
    received
}

/// More than there are buffers: the kernel stops receiving meanwhile, and goes on.
#[test]
fn what_came_is_received_in_batches_and_in_order() {
    if refused() {
        return;
    }
    let socket = bind("127.0.0.1:0");
    let clients = [client("127.0.0.1:0"), client("127.0.0.1:0")];
    let (mut ring, mut sender) = (Ring::new(&socket, MAX_DATAGRAM).unwrap(), Sender::new());
    for _ in 0..2 {
        let mut expected = Vec::new();
        for number in 0..700_u16 {
            let client = &clients[usize::from(number) % 2];
            client.send_to(&number.to_be_bytes(), socket.local_addr()).unwrap();
            expected.push((number.to_be_bytes().to_vec(), client.local_addr().unwrap()));
        }
        assert!(exchange(&mut ring, &mut sender, 700) == expected);
        assert_eq!(ring.exchange(&mut sender, Duration::ZERO).unwrap(), 0, "drained");
        assert_eq!(ring.datagrams().count(), 0, "the batch before is gone");
    }
}

#[test]
fn the_length_of_a_datagram_shows() {
    if refused() {
        return;
    }
    for address in ["127.0.0.1:0", "[::1]:0"].into_iter().filter(|address| has(address)) {
        let (socket, client) = (bind(address), client(address));
        let mut ring = Ring::new(&socket, MAX_DATAGRAM).unwrap();
        let lens = [MAX_DATAGRAM, 0, MAX_DATAGRAM + 1, MAX_DATAGRAM + 500, 3];
        for len in lens {
            client.send_to(&vec![7; len], socket.local_addr()).unwrap();
        }
        for (len, (datagram, from)) in lens.iter().zip(exchange(&mut ring, &mut Sender::new(), lens.len())) {
            assert_eq!(datagram, vec![7; (*len).min(MAX_DATAGRAM + 1)]);
            assert_eq!(from, client.local_addr().unwrap());
        }
    }
}

#[test]
fn the_longest_datagram_is_received() {
    if refused() {
        return;
    }
    let socket = bind("127.0.0.1:0");
    let mut ring = Ring::new(&socket, usize::MAX).unwrap();
    let longest = vec![9; 65_507];
    client("127.0.0.1:0").send_to(&longest, socket.local_addr()).unwrap();
    assert!(exchange(&mut ring, &mut Sender::new(), 1)[0].0 == longest);
}

#[test]
fn batches_go_out_in_order_and_their_memory_is_given_back() {
    if refused() {
        return;
    }
    for address in ["127.0.0.1:0", "[::1]:0"].into_iter().filter(|address| has(address)) {
        let (socket, client) = (bind(address), client(address));
        let (mut ring, mut sender) = (Ring::new(&socket, MAX_DATAGRAM).unwrap(), Sender::new());
        let payload = Bytes::from(vec![3; 100]);
        for len in 1..=BATCH {
            for number in 0..len {
                sender.push(client.local_addr().unwrap(), payload.slice(..number));
            }
            assert_eq!(ring.exchange(&mut sender, Duration::ZERO).unwrap(), 0);
            assert!(sender.is_empty());
            for number in 0..len {
                let mut buffer = [0; 200];
                let (len, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..len], from), (&payload[..number], socket.local_addr()));
            }
        }
        assert_eq!(ring.exchange(&mut sender, Duration::ZERO).unwrap(), 0);
        assert_eq!((sender.sent(), sender.unsent()), ((1..=BATCH as u64).sum(), 0));
        assert!(payload.is_unique());
    }
}

#[test]
fn a_datagram_that_can_not_be_sent_costs_itself_alone() {
    if refused() {
        return;
    }
    let (socket, client) = (bind("127.0.0.1:0"), client("127.0.0.1:0"));
    let good = client.local_addr().unwrap();
    let bad: [(SocketAddr, Bytes); 4] = [
        (good, Bytes::from(vec![0; 70_000])),
        // Not permitted, no port, no such family.
        (([255, 255, 255, 255], 9).into(), Bytes::new()),
        (([127, 0, 0, 1], 0).into(), Bytes::new()),
        ((Ipv6Addr::LOCALHOST, 9).into(), Bytes::new()),
    ];
    let (ring, mut sender) = (Ring::new(&socket, MAX_DATAGRAM).unwrap(), Sender::new());
    for (number, (destination, payload)) in bad.iter().enumerate() {
        sender.push(*destination, payload.clone());
        sender.push(good, Bytes::from(vec![number as u8]));
        sender.push(*destination, payload.clone());
    }
    ring.finish(&mut sender);
    for number in 0..bad.len() as u8 {
        let mut buffer = [0; 100];
        let len = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], [number]);
    }
    assert_eq!((sender.sent(), sender.unsent()), (4, 8));
}

/// A socket that is connected is told of the closed port, by an error of what it does next, and goes on.
#[test]
fn a_closed_port_costs_the_next_datagram_nothing() {
    if refused() {
        return;
    }
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(closed).unwrap();
    let socket = Socket::try_from(client).unwrap();
    let (mut ring, mut sender) = (Ring::new(&socket, MAX_DATAGRAM).unwrap(), Sender::new());
    for _ in 0..4 {
        sender.push(closed, Bytes::new());
        // What the socket says of the port is no harm.
        let _ = ring.exchange(&mut sender, Duration::ZERO);
    }
    let opened = UdpSocket::bind(closed).unwrap();
    opened.send_to(&[1], socket.local_addr()).unwrap();
    let came = (0..20).any(|_| ring.exchange(&mut sender, PATIENCE / 20).is_ok_and(|came| came > 0));
    assert!(came, "it receives no longer");
    assert_eq!(ring.datagrams().collect::<Vec<_>>(), [(&[1][..], closed)]);
    ring.finish(&mut sender);
    assert_eq!((sender.sent(), sender.unsent()), (4, 0));
}

#[test]
fn waiting_ends_when_something_comes_or_the_time_is_over() {
    if refused() {
        return;
    }
    let (socket, client) = (bind("127.0.0.1:0"), client("127.0.0.1:0"));
    let (mut ring, mut sender) = (Ring::new(&socket, MAX_DATAGRAM).unwrap(), Sender::new());
    assert_eq!(ring.exchange(&mut sender, Duration::from_millis(1)).unwrap(), 0);
    // Also when something was sent before: it is not what was waited for.
    sender.push(client.local_addr().unwrap(), Bytes::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(client.recv(&mut [0]).unwrap(), 0);
            client.send_to(&[1, 2, 3], socket.local_addr()).unwrap();
        });
        assert_eq!(ring.exchange(&mut sender, PATIENCE).unwrap(), 1);
    });
    assert_eq!(sender.sent(), 1);
}

/// The socket serves without the ring as it did before, and its port is free as soon as it is closed.
#[test]
fn a_ring_leaves_nothing_behind() {
    if refused() {
        return;
    }
    let (socket, client) = (bind("127.0.0.1:0"), client("127.0.0.1:0"));
    let at = socket.local_addr();
    for _ in 0..20 {
        let mut ring = Ring::new(&socket, MAX_DATAGRAM).unwrap();
        client.send_to(&[1], at).unwrap();
        assert_eq!(exchange(&mut ring, &mut Sender::new(), 1).len(), 1);
        drop(ring);
        let mut receiver = Receiver::new(MAX_DATAGRAM);
        assert_eq!(receiver.receive(&socket).unwrap(), 0);
        client.send_to(&[2], at).unwrap();
        assert!(socket.wait_readable(PATIENCE).unwrap());
        assert_eq!(receiver.receive(&socket).unwrap(), 1);
    }
    let mut ring = Ring::new(&socket, MAX_DATAGRAM).unwrap();
    assert_eq!(ring.exchange(&mut Sender::new(), Duration::ZERO).unwrap(), 0);
    drop(ring);
    drop(socket);
    UdpSocket::bind(at).unwrap();
}

/// Without waiting for what the kernel has yet to do.
#[test]
fn a_ring_can_be_dropped_anytime() {
    if refused() {
        return;
    }
    let (socket, client) = (bind("127.0.0.1:0"), client("127.0.0.1:0"));
    let payload = Bytes::from(vec![5; 4_000]);
    for sent in [0, BATCH] {
        let (mut ring, mut sender) = (Ring::new(&socket, MAX_DATAGRAM).unwrap(), Sender::new());
        for _ in 0..sent {
            sender.push(client.local_addr().unwrap(), payload.clone());
        }
        client.send_to(&[1], socket.local_addr()).unwrap();
        let _ = ring.exchange(&mut sender, Duration::ZERO).unwrap();
        drop((ring, sender));
        assert!(payload.is_unique());
    }
}
