//! A peer that speaks as gop2p does: raw datagrams, and two writes for each frame.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use poolmesh_proto::{Packet, PoolId};

use super::{Server, client, mesh, received};
use crate::raw::RawPeer;
use crate::runtime::{Client, Mesh, Peer, Runtime};

/// A string as gop2p writes it.
fn string(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat()
}

/// Sends an event as gop2p does: the length, then the body.
fn send(raw: &mut RawPeer, event: &str, payload: &[u8]) {
    let body = [&string(event)[..], payload].concat();
    raw.write(&u32::try_from(body.len()).unwrap().to_le_bytes());
    raw.write(&body);
}

/// The two sockets of a gop2p program.
struct Gop2p {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Gop2p {
    fn start() -> Self {
        crate::patience::eventually("a port is free for both", || {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
            Some(Self { udp, tcp })
        })
    }

    /// Asks, and takes the fields of the answer: pool, host, you, peers.
    fn ask(&self, server: SocketAddr, request: &[u8]) -> Vec<String> {
        self.udp.send_to(request, server).unwrap();
        let mut answer = [0; 1_024];
        let len = self.udp.recv(&mut answer).unwrap();
        assert_eq!((answer[0], &answer[1..5]), (3, &u32::try_from(len - 5).unwrap().to_le_bytes()[..]));
        let text = std::str::from_utf8(&answer[5..len]).unwrap();
        text.split(' ').map(str::to_owned).collect()
    }
}

fn converse<R: Runtime>(peer: &R::Peer, events: &mut R::Events, raw: &mut RawPeer) {
    for n in 0..50u32 {
        send(raw, "msg", &string(&format!("hello {n}")));
        // One packet handed to two peers: the second gets an empty frame.
        raw.write(&[0; 4]);
        let (_, message) = received::<R>(events);
        assert!(message.is("msg"));
        assert_eq!(message.reader().string().unwrap(), format!("hello {n}"));
        peer.send(b"msg", Packet::new().string(format!("hello back {n}"))).unwrap();
        assert_eq!(raw.read(), ("msg".into(), string(&format!("hello back {n}"))));
    }
    // A u16 of gop2p takes four bytes.
    send(raw, "numbers", &[7, 9, 1, 0, 0, 2, 0, 0, 0]);
    let (_, message) = received::<R>(events);
    let mut reader = message.reader();
    assert_eq!((reader.u8(), reader.u16(), reader.u16(), reader.u32()), (Ok(7), Ok(265), Ok(0), Ok(2)));
}

/// It hosts, the runtime joins and dials it.
pub fn joining_its_pool<R: Runtime>() {
    let server = Server::start::<R>();
    let host = Gop2p::start();
    let created = host.ask(server.address(), &[0]);
    let [pool, by, you, only] = &created[..] else { panic!("{created:?}") };
    assert!(by == you && you == only && *you == host.udp.local_addr().unwrap().to_string());
    let ping = [&[1][..], &string(pool)].concat();
    let id: PoolId = pool.parse().unwrap();
    host.udp.send_to(&ping, server.address()).unwrap();

    let accepted = thread::spawn(move || RawPeer::new(host.tcp.accept().unwrap().0));
    let (client, mesh) = (client::<R>(server.address()), mesh::<R>());
    let mut events = mesh.events();
    let report = mesh.connect_to_pool(&client, &client.join(id).unwrap()).unwrap();
    converse::<R>(&report.connected[0], &mut events, &mut accepted.join().unwrap());
}

/// The runtime hosts, it joins and dials.
pub fn hosting_it<R: Runtime>() {
    let server = Server::start::<R>();
    let (client, mesh) = (client::<R>(server.address()), mesh::<R>());
    let mut events = mesh.events();
    let pool = client.create().unwrap();
    mesh.connect_to_pool(&client, &pool).unwrap();
    let joiner = Gop2p::start();
    let joined = joiner.ask(server.address(), &[&[3][..], &string(&pool.id().to_string())].concat());
    let [id, host, you, peers @ ..] = &joined[..] else { panic!("{joined:?}") };
    assert_eq!((id.clone(), host.clone()), (pool.id().to_string(), pool.you().to_string()));
    assert!(peers.len() == 2 && peers.contains(you) && peers.contains(host));
    let mut raw = RawPeer::dial(host.parse().unwrap());
    converse::<R>(&mesh.accept().unwrap(), &mut events, &mut raw);
}
