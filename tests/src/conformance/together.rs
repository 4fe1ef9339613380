//! A whole pool.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use poolmesh_proto::wire::Dialect;

use super::{Server, client, client_config, client_with, mesh, number_of, numbered};
use crate::patience::{PATIENCE, until};
use crate::proxy::{Fate, Proxy, Way};
use crate::runtime::{Client, Mesh, Peer, Runtime};

const EACH: u32 = 100;

/// One of four, with what it receives: from whom, and which.
struct Member<R: Runtime> {
    client: R::Client,
    mesh: R::Mesh,
    name: u8,
}

impl<R: Runtime> Member<R> {
    fn new(server: &Server, name: u8, tell: &mpsc::Sender<(u8, u8, u32)>) -> Self {
        let mesh = mesh::<R>();
        let tell = tell.clone();
        mesh.on("n", move |_, message| {
            let payload = message.payload();
            // The test may be over.
            let _ = tell.send((name, payload[4], number_of(payload)));
        });
        Self { client: client::<R>(server.address()), mesh, name }
    }

    fn join(&self, pool: poolmesh_proto::PoolId, others: usize) {
        let report = self.mesh.connect_to_pool(&self.client, &self.client.join(pool).unwrap()).unwrap();
        assert_eq!((report.connected.len(), report.failed.len()), (others, 0), "{report:?}");
    }

    fn send(&self) -> thread::JoinHandle<()> {
        until("everyone is there", || self.mesh.peers().len() == 3);
        let (mesh, name) = (self.mesh.clone(), self.name);
        thread::spawn(move || {
            for n in 0..EACH {
                let mut payload = numbered(n, 200).to_vec();
                payload[4] = name;
                mesh.peers().iter().for_each(|peer| peer.send(b"n", payload.clone()).unwrap());
            }
        })
    }
}

/// Four peers, all linked to each other, all talking at a time: everyone hears everyone, in order.
pub fn a_pool_of_four<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (tell, told) = mpsc::channel();
    let (host, one) = (Member::<A>::new(&server, 0, &tell), Member::<B>::new(&server, 1, &tell));
    let (two, three) = (Member::<A>::new(&server, 2, &tell), Member::<B>::new(&server, 3, &tell));
    let pool = host.client.create().unwrap();
    host.mesh.connect_to_pool(&host.client, &pool).unwrap();
    one.join(pool.id(), 1);
    two.join(pool.id(), 2);
    three.join(pool.id(), 3);
    let senders = [host.send(), one.send(), two.send(), three.send()];
    let mut next = [[0; 4]; 4];
    for _ in 0..4 * 3 * EACH {
        let (to, from, number) = told.recv_timeout(PATIENCE).unwrap();
        let next = &mut next[usize::from(to)][usize::from(from)];
        assert_eq!(number, *next, "from {from} to {to}");
        *next += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(
        next.iter()
            .enumerate()
            .all(|(at, row)| row.iter().enumerate().all(|(from, n)| (at == from) == (*n == 0)))
    );
    assert!(told.try_recv().is_err());
}

/// Peers that join at the same time: whoever is listed is reached, and none is linked to itself.
pub fn joining_at_the_same_time<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let host = client::<A>(server.address());
    let host_mesh = mesh::<A>();
    let pool = host.create().unwrap();
    host_mesh.connect_to_pool(&host, &pool).unwrap();
    let mut once = client_config::<B>();
    if B::DIALECT == Dialect::Classic {
        // A join that is sent again is answered by a longer list: then two that name each other dial each other, and the
        // classic wire can't tell. Here each is to be answered once.
        once.resend_after = once.call_timeout;
    }
    let joiners = [(); 5].map(|()| {
        let (client, mesh) = (client_with::<B>(server.address(), once.clone()), mesh::<B>());
        let id = pool.id();
        thread::spawn(move || {
            let report = mesh.connect_to_pool(&client, &client.join(id).unwrap()).unwrap();
            assert!(report.failed.is_empty(), "{report:?}");
            assert!(report.connected.iter().all(|peer| peer.address() != client.local_addr()));
            (client, mesh)
        })
    });
    let joiners = joiners.map(|joiner| joiner.join().unwrap());
    until("the host has all links", || host_mesh.peers().len() == 5);
    // Of two joiners, the later one dials the earlier one.
    until("everyone is linked to everyone", || joiners.iter().all(|(_, mesh)| mesh.peers().len() == 5));
    let dialed: u64 = joiners.iter().map(|(_, mesh)| mesh.stats().dialed).sum();
    assert_eq!((dialed, host_mesh.stats().dialed), (15, 0), "once");
}

/// The type of a ping.
const PING: Option<&u8> = Some(&0x10);

/// A member that takes its place late has a lower number than who came meanwhile: that one dials it when it comes.
pub fn who_takes_its_place_late<A: Runtime, B: Runtime>() {
    let server = Server::start::<A>();
    let (one, a) = (client::<A>(server.address()), mesh::<A>());
    let pool = one.create().unwrap();
    a.connect_to_pool(&one, &pool).unwrap();

    let late = Arc::new(AtomicBool::new(true));
    let proxy = Proxy::new(server.address(), {
        let late = Arc::clone(&late);
        move |way, datagram| {
            let held = way == Way::Up && datagram.get(1) == PING && late.load(Ordering::Acquire);
            if held { Fate::Hold } else { Fate::Pass }
        }
    });
    let two = client::<B>(proxy.address());
    let joining = thread::spawn({
        let (two, id) = (two.clone(), pool.id());
        move || two.join(id).unwrap()
    });
    until("it is offered a place", || proxy.held() > 0);
    let (three, c) = (client::<A>(server.address()), mesh::<A>());
    let joined = three.join(pool.id()).unwrap();
    assert_eq!((joined.me().unwrap().get(), joined.members().len()), (3, 2));
    assert_eq!(c.connect_to_pool(&three, &joined).unwrap().connected.len(), 1);

    late.store(false, Ordering::Release);
    proxy.release();
    let joined = joining.join().unwrap();
    assert_eq!(joined.me().unwrap().get(), 2);
    let b = mesh::<B>();
    assert_eq!(b.connect_to_pool(&two, &joined).unwrap().connected.len(), 1, "who came before");
    until("all are linked", || [a.peers().len(), b.peers().len(), c.peers().len()] == [2; 3]);
    assert_eq!((b.stats().dialed, c.stats().dialed), (1, 2));
}
