//! What is promised for Linux.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use poolmesh_sockets::udp::{Flushed, Meter, Receiver, SOCKET_BUFFER, Sender, Socket, Waker};
use socket2::SockRef;

use crate::{MAX_DATAGRAM, PATIENCE, asks, bind, client};

/// A link-local address of this machine.
fn link_local() -> Option<SocketAddrV6> {
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let mut addresses = interfaces.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let ip = Ipv6Addr::from_bits(u128::from_str_radix(fields.next()?, 16).ok()?);
        let scope = u32::from_str_radix(fields.next()?, 16).ok()?;
        ip.is_unicast_link_local().then(|| SocketAddrV6::new(ip, 0, 0, scope))
    });
    addresses.find(|address| UdpSocket::bind(address).is_ok())
}

#[test]
fn a_link_local_address_has_its_scope() {
    let Some(address) = link_local() else {
        println!("skipped: no link-local address");
        return;
    };
    let socket = Socket::bind(address.into()).unwrap();
    let client = UdpSocket::bind(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut receiver = Receiver::new(MAX_DATAGRAM);
    let SocketAddr::V6(from) = asks(&client, socket.local_addr(), &mut receiver, &socket) else { panic!() };
    assert_eq!((SocketAddr::V6(from), from.scope_id()), (client.local_addr().unwrap(), address.scope_id()));
}

#[test]
fn a_closed_port_costs_the_next_datagram_nothing() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(closed).unwrap();
    let socket = Socket::try_from(client).unwrap();
    let mut sender = Sender::new();
    for _ in 0..4 {
        sender.push(closed, Bytes::new());
        assert_eq!(sender.flush(&socket), Flushed::All);
    }
    assert_eq!((sender.sent(), sender.unsent()), (4, 0));
    let mut receiver = Receiver::new(MAX_DATAGRAM);
    let error = socket.wait_readable(PATIENCE).and_then(|_| receiver.receive(&socket)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(receiver.receive(&socket).unwrap(), 0);
}

#[test]
fn a_burst_finds_room() {
    let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap().trim().parse().unwrap();
    // The kernel gives twice what it is asked for, of which it takes a part for itself.
    let expected = 2 * SOCKET_BUFFER.min(most);
    let socket = bind("127.0.0.1:0");
    assert!(SockRef::from(socket.get_ref()).recv_buffer_size().unwrap() >= expected);
}

#[test]
fn what_the_kernel_drops_is_counted() {
    const SENT: u64 = 1_000;
    let socket = bind("127.0.0.1:0");
    SockRef::from(socket.get_ref()).set_recv_buffer_size(8_192).unwrap();
    let meter = Meter::default();
    let (client, sender) = (client("127.0.0.1:0"), Sender::new());
    let mut receiver = Receiver::new(MAX_DATAGRAM);
    for round in 1..=2 {
        for _ in 0..SENT {
            client.send_to(b"1234", socket.local_addr()).unwrap();
        }
        let mut received = 0;
        loop {
            match receiver.receive(&socket).unwrap() as u64 {
                0 => break,
                more => received += more,
            }
        }
        assert!(received < SENT);
        let before = meter.read().dropped.unwrap_or(0);
        meter.update(&socket, &sender);
        if cfg!(feature = "plain") {
            assert_eq!(meter.read().dropped, None);
        } else {
            assert_eq!(meter.read().dropped, Some(before + SENT - received), "round {round}");
        }
    }
}

/// Who got how many datagrams of `clients`, each of which sends one.
fn shares(sockets: &[Socket], clients: &[UdpSocket]) -> Vec<usize> {
    let (mut receiver, mut shares) = (Receiver::new(MAX_DATAGRAM), vec![0; sockets.len()]);
    for client in clients {
        client.send_to(b"x", sockets[0].local_addr()).unwrap();
        // It is there when the call returns.
        let got: Vec<usize> = sockets.iter().map(|socket| receiver.receive(socket).unwrap()).collect();
        assert_eq!(got.iter().sum::<usize>(), 1, "one socket gets it");
        shares.iter_mut().zip(got).for_each(|(share, got)| *share += got);
    }
    shares
}

#[test]
#[cfg_attr(feature = "plain", ignore = "Linux' own")]
fn sockets_share_a_port() {
    for address in ["127.0.0.1:0", "[::1]:0"].into_iter().filter(|address| crate::has(address)) {
        let sockets = Socket::bind_shared(address.parse().unwrap(), 3).unwrap();
        assert_eq!(sockets.len(), 3);
        assert!(sockets.iter().all(|socket| socket.local_addr() == sockets[0].local_addr()));
        let clients: Vec<_> = (0..100).map(|_| client(address)).collect();
        assert!(shares(&sockets, &clients).iter().all(|share| *share > 0), "each has its part");
        let again = shares(&sockets, &clients[..1]);
        assert_eq!(shares(&sockets, &clients[..1]), again, "a sender's go to the same");
    }
}

#[test]
#[cfg_attr(feature = "plain", ignore = "Linux' own")]
fn a_port_of_others_is_not_shared() {
    for taken in [1, 2] {
        let sockets = Socket::bind_shared("127.0.0.1:0".parse().unwrap(), taken).unwrap();
        let error = Socket::bind_shared(sockets[0].local_addr(), 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}

#[test]
#[cfg_attr(feature = "plain", ignore = "Linux' own")]
fn a_waker_ends_a_wait() {
    let socket = bind("127.0.0.1:0");
    let waker = Waker::new().unwrap();
    assert!(!socket.wait_readable_or(&waker, Duration::ZERO).unwrap());
    waker.wake();
    waker.wake();
    assert!(socket.wait_readable_or(&waker, PATIENCE).unwrap());
    assert!(!socket.wait_readable_or(&waker, Duration::ZERO).unwrap(), "once");
    client("127.0.0.1:0").send_to(b"x", socket.local_addr()).unwrap();
    assert!(socket.wait_readable_or(&waker, PATIENCE).unwrap());

    let idle = bind("127.0.0.1:0");
    thread::scope(|scope| {
        let waits = scope.spawn(|| idle.wait_readable_or(&waker, PATIENCE).unwrap());
        waker.wake();
        assert!(waits.join().unwrap());
    });
}

#[test]
#[cfg_attr(not(feature = "plain"), ignore = "of other systems")]
fn elsewhere_a_port_has_one_socket() {
    let one = "127.0.0.1:0".parse().unwrap();
    assert_eq!(Socket::bind_shared(one, 1).unwrap().len(), 1);
    assert_eq!(Socket::bind_shared(one, 2).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(Waker::new().unwrap_err().kind(), ErrorKind::Unsupported);
}
