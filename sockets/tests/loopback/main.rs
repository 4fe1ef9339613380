//! The promises of the crate, on real sockets.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: a panic is how they fail")]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(all(target_os = "linux", feature = "uring"))]
mod ring;

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_sockets::udp::{BATCH, Flushed, Meter, Receiver, Sender, Socket};
use socket2::SockRef;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_DATAGRAM: usize = 16;

fn bind(address: &str) -> Socket {
    Socket::bind(address.parse().unwrap()).unwrap()
}

fn client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Whether the machine has such an address. If not the test that needs it says so.
fn has(address: &str) -> bool {
    let has = UdpSocket::bind(address);
    if let Err(error) = &has {
        println!("skipped: {address}: {error}");
    }
    has.is_ok()
}

/// The next batch, which has to come.
fn batch(receiver: &mut Receiver, socket: &Socket) -> Vec<(Vec<u8>, SocketAddr)> {
    assert!(socket.wait_readable(PATIENCE).unwrap(), "nothing came");
    let count = receiver.receive(socket).unwrap();
    let batch: Vec<_> = receiver.datagrams().map(|(datagram, from)| (datagram.to_vec(), from)).collect();
    assert_eq!(batch.len(), count);
    batch
}

#[test]
fn what_came_is_received_in_batches_and_in_order() {
    let socket = bind("127.0.0.1:0");
    let clients = [client("127.0.0.1:0"), client("127.0.0.1:0")];
    let mut receiver = Receiver::new(MAX_DATAGRAM);
    assert_eq!(receiver.receive(&socket).unwrap(), 0);

    let total = BATCH as u8 + 8;
    let mut expected = Vec::new();
    for number in 0..total {
        let client = &clients[usize::from(number) % 2];
        client.send_to(&[number], socket.local_addr()).unwrap();
        expected.push((vec![number], client.local_addr().unwrap()));
    }
    let mut received = Vec::new();
    while received.len() < expected.len() {
        let batch = batch(&mut receiver, &socket);
        assert!(batch.len() <= BATCH);
        received.extend(batch);
    }
    assert_eq!(received, expected);
    assert_eq!(receiver.receive(&socket).unwrap(), 0, "drained");
    assert_eq!(receiver.datagrams().len(), 0, "the batch before is gone");
}

#[test]
fn the_length_of_a_datagram_shows() {
    let socket = bind("127.0.0.1:0");
    let client = client("127.0.0.1:0");
    let mut receiver = Receiver::new(MAX_DATAGRAM);
    let lens = [MAX_DATAGRAM, 0, MAX_DATAGRAM + 1, MAX_DATAGRAM + 500, 3];
    for len in lens {
        client.send_to(&vec![7; len], socket.local_addr()).unwrap();
    }
    let mut received = Vec::new();
    // On Windows those that are too long are left out.
    let expected: Vec<usize> = lens
        .into_iter()
        .filter(|len| !cfg!(windows) || *len <= MAX_DATAGRAM)
        .map(|len| len.min(MAX_DATAGRAM + 1))
        .collect();
    while received.len() < expected.len() {
        for (datagram, _) in batch(&mut receiver, &socket) {
            assert!(datagram.iter().all(|byte| *byte == 7));
            received.push(datagram.len());
        }
    }
    assert_eq!(received, expected);
}

#[test]
fn a_receiver_of_any_length_receives_the_longest_datagram() {
    let socket = bind("127.0.0.1:0");
    let longest = vec![9; 65_507];
    client("127.0.0.1:0").send_to(&longest, socket.local_addr()).unwrap();
    let mut receiver = Receiver::new(usize::MAX);
    assert!(batch(&mut receiver, &socket)[0].0 == longest);
}

/// Asks at `to`, and is answered what it asked by a loop that receives from `socket` once.
fn asks(client: &UdpSocket, to: SocketAddr, receiver: &mut Receiver, socket: &Socket) -> SocketAddr {
    client.send_to(b"question", to).unwrap();
    let mut sender = Sender::new();
    let batch = batch(receiver, socket);
    for (datagram, from) in &batch {
        sender.push(*from, Bytes::copy_from_slice(datagram));
    }
    assert_eq!(sender.flush(socket), Flushed::All);
    let mut answer = [0; 100];
    let (len, by) = client.recv_from(&mut answer).unwrap();
    assert_eq!((&answer[..len], by.port()), (&b"question"[..], socket.local_addr().port()));
    batch[0].1
}

#[test]
fn sockets_of_both_families_are_served_by_one_thread() {
    if !has("[::1]:0") {
        return;
    }
    let servers = ["127.0.0.1:0", "[::1]:0"].map(bind);
    let clients = ["127.0.0.1:0", "[::1]:0"].map(client);
    let mut receivers = [Receiver::new(MAX_DATAGRAM), Receiver::new(MAX_DATAGRAM)];
    for _ in 0..3 {
        for ((server, client), receiver) in servers.iter().zip(&clients).zip(&mut receivers) {
            let from = asks(client, server.local_addr(), receiver, server);
            assert_eq!(from, client.local_addr().unwrap());
        }
    }
}

#[test]
fn an_ipv4_address_is_mapped_on_a_socket_of_both() {
    if !has("[::]:0") {
        return;
    }
    let socket = bind("[::]:0");
    let client = client("127.0.0.1:0");
    if SockRef::from(socket.get_ref()).only_v6().unwrap() {
        println!("skipped: sockets of IPv6 are of IPv6 alone");
        return;
    }
    let to = ([127, 0, 0, 1], socket.local_addr().port()).into();
    let from = asks(&client, to, &mut Receiver::new(MAX_DATAGRAM), &socket);
    let here = client.local_addr().unwrap();
    let SocketAddr::V4(v4) = here else { panic!("{here}") };
    assert_eq!(from, SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())));
    // Its own name is as good.
    let mut sender = Sender::new();
    sender.push(here, Bytes::new());
    assert_eq!((sender.flush(&socket), sender.unsent()), (Flushed::All, 0));
}

#[test]
fn a_batch_goes_out_in_order() {
    let socket = bind("127.0.0.1:0");
    let client = client("127.0.0.1:0");
    let mut sender = Sender::new();
    // A batch of each length is told to the system in its own way.
    for len in 1..=BATCH {
        for number in 0..len {
            sender.push(client.local_addr().unwrap(), Bytes::from(vec![number as u8; number]));
        }
        assert_eq!(sender.is_full(), len == BATCH);
        assert_eq!(sender.flush(&socket), Flushed::All);
        for number in 0..len {
            let mut buffer = [0; 100];
            let (len, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], from), (&vec![number as u8; number][..], socket.local_addr()));
        }
    }
    assert_eq!((sender.sent(), sender.unsent()), ((1..=BATCH as u64).sum(), 0));
}

#[test]
fn a_datagram_that_can_not_be_sent_costs_itself_alone() {
    let socket = bind("127.0.0.1:0");
    let client = client("127.0.0.1:0");
    let good = client.local_addr().unwrap();
    let too_long = Bytes::from(vec![0; 70_000]);
    let bad: [(SocketAddr, Bytes); 4] = [
        (good, too_long),
        // Not permitted, no port, no such family.
        (([255, 255, 255, 255], 9).into(), Bytes::new()),
        (([127, 0, 0, 1], 0).into(), Bytes::new()),
        ((Ipv6Addr::LOCALHOST, 9).into(), Bytes::new()),
    ];
    let mut sender = Sender::new();
    for (number, (destination, payload)) in bad.iter().enumerate() {
        sender.push(*destination, payload.clone());
        sender.push(good, Bytes::from(vec![number as u8]));
        sender.push(*destination, payload.clone());
    }
    assert_eq!(sender.flush(&socket), Flushed::All);
    for number in 0..bad.len() as u8 {
        let mut buffer = [0; 100];
        let len = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], [number]);
    }
    assert_eq!((sender.sent(), sender.unsent()), (4, 8));
}

#[test]
fn the_memory_of_what_was_sent_is_given_back() {
    let socket = bind("127.0.0.1:0");
    let payload = Bytes::from(vec![1; 100]);
    let mut sender = Sender::new();
    sender.push(socket.local_addr(), payload.clone());
    assert!(!payload.is_unique());
    assert_eq!(sender.flush(&socket), Flushed::All);
    assert!(payload.is_unique());
}

#[test]
fn waiting_ends_when_something_comes_or_the_time_is_over() {
    let socket = bind("127.0.0.1:0");
    assert!(!socket.wait_readable(Duration::from_millis(1)).unwrap());
    assert!(!socket.wait_readable(Duration::ZERO).unwrap());
    assert!(socket.wait_writable(PATIENCE).unwrap());
    let to = socket.local_addr();
    let waiting = thread::spawn(move || socket.wait_readable(Duration::MAX).map(|ready| (ready, socket)));
    client("127.0.0.1:0").send_to(&[0; 3], to).unwrap();
    let (ready, socket) = waiting.join().unwrap().unwrap();
    assert!(ready);
    // To have waited leaves it non-blocking, and takes nothing.
    let mut receiver = Receiver::new(MAX_DATAGRAM);
    assert_eq!(receiver.receive(&socket).unwrap(), 1);
    assert_eq!(receiver.receive(&socket).unwrap(), 0);
}

#[test]
fn a_loop_can_move_to_another_thread() {
    fn moves<T: Send + Sync + 'static>() {}
    moves::<Socket>();
    moves::<Receiver>();
    moves::<Sender>();
    moves::<Meter>();
}
