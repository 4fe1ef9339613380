//! Peers that one process runs, or several do, and what they are told to do.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use poolmesh_proto::{ClientConfig, MeshConfig, PoolId, Side};
use poolmesh_testkit::runtime::{Client, Mesh, Peer, Runtime};

use super::alone::set_files;

/// Where a process that runs a part of the peers gets its orders.
const ORDERS: &str = "POOLMESH_FAULTS_ORDERS";

/// What a peer found in a pool, and whom it reached.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) pool: PoolId,
    pub(crate) you: SocketAddr,
    /// Whom the broadcaster's answer named, the peer itself excepted.
    pub(crate) named: Vec<SocketAddr>,
    pub(crate) connected: Vec<SocketAddr>,
    pub(crate) failed: usize,
}

/// The links of a peer: whom it has dialed, and how many have dialed it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) dialed: Vec<SocketAddr>,
    pub(crate) accepted: usize,
}

/// Those who run peers.
pub(crate) trait Crew {
    /// Has a peer join a pool, or create one, and connect to it.
    fn enter(&mut self, peer: usize, pool: Option<PoolId>) -> Entered;
    /// What links a peer has.
    fn held(&mut self, peer: usize) -> Held;
}

/// Peers in this process, each with a client and a mesh of its own.
pub(crate) struct Here<R: Runtime> {
    peers: Vec<(R::Client, R::Mesh)>,
}

impl<R: Runtime> Here<R> {
    /// Peers that are in no pool yet. They have their ports before there are links that come from any.
    pub(crate) fn new(broadcaster: SocketAddr, peers: usize) -> Self {
        let mut config = MeshConfig::default();
        config.max_links = 1_000;
        let peer = |_| {
            let client = R::Client::connect_with(&broadcaster.to_string(), ClientConfig::classic()).unwrap();
            (client, <R::Mesh as Mesh<R>>::with_config(config.clone()))
        };
        Self { peers: (0..peers).map(peer).collect() }
    }
}

impl<R: Runtime> Crew for Here<R> {
    fn enter(&mut self, peer: usize, pool: Option<PoolId>) -> Entered {
        let (client, mesh) = &self.peers[peer];
        let info = pool.map_or_else(|| client.create(), |pool| client.join(pool)).unwrap();
        let report = mesh.connect_to_pool(client, &info).unwrap();
        assert_eq!(report.listening.unwrap().port(), info.you().port());
        Entered {
            pool: info.id(),
            you: info.you(),
            named: info.others().collect(),
            connected: report.connected.iter().map(Peer::address).collect(),
            failed: report.failed.len(),
        }
    }

    fn held(&mut self, peer: usize) -> Held {
        let (dialed, accepted): (Vec<_>, Vec<_>) =
            self.peers[peer].1.peers().into_iter().partition(|peer| peer.side() == Side::Dialed);
        Held { dialed: dialed.iter().map(Peer::address).collect(), accepted: accepted.len() }
    }
}

/// Peers in other processes, `per_process` in each.
pub(crate) struct Elsewhere {
    per_process: usize,
    processes: Vec<(Child, BufReader<TcpStream>)>,
}

impl Elsewhere {
    /// Starts processes for `peers`, each of which runs the test called `name`, and therein [`serve`].
    pub(crate) fn new(name: &str, broadcaster: SocketAddr, peers: usize, per_process: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let start = |process: usize| {
            let orders = format!("{at} {broadcaster} {}", per_process.min(peers - process * per_process));
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"])
                .env(ORDERS, orders)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            (child, BufReader::new(listener.accept().unwrap().0))
        };
        Self { per_process, processes: (0..peers.div_ceil(per_process)).map(start).collect() }
    }

    fn ask(&mut self, peer: usize, order: &str) -> Vec<String> {
        let (_, stream) = &mut self.processes[peer / self.per_process];
        write_line(stream, &format!("{} {order}", peer % self.per_process));
        let mut answer = String::new();
        stream.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "the process of peer {peer} has gone: {answer}");
        answer.trim_end().split(' ').map(String::from).collect()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        for (child, _) in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Crew for Elsewhere {
    fn enter(&mut self, peer: usize, pool: Option<PoolId>) -> Entered {
        let order = pool.map_or_else(|| String::from("create"), |pool| pool.to_string());
        let answer = self.ask(peer, &order);
        let [pool, you, named, connected, failed] = &answer[..] else { panic!("{answer:?}") };
        Entered {
            pool: pool.parse().unwrap(),
            you: you.parse().unwrap(),
            named: parsed(named),
            connected: parsed(connected),
            failed: failed.parse().unwrap(),
        }
    }

    fn held(&mut self, peer: usize) -> Held {
        let answer = self.ask(peer, "held");
        let [dialed, accepted] = &answer[..] else { panic!("{answer:?}") };
        Held { dialed: parsed(dialed), accepted: accepted.parse().unwrap() }
    }
}

/// In one write: more would wait for each other's acknowledgement.
fn write_line(stream: &mut BufReader<TcpStream>, line: &str) {
    stream.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().fold(String::from(","), |mut list, address| {
        write!(list, "{address},").unwrap();
        list
    })
}

fn parsed(list: &str) -> Vec<SocketAddr> {
    list.split(',').filter(|item| !item.is_empty()).map(|item| item.parse().unwrap()).collect()
}

/// Does what [`Elsewhere`] says, if this process was started for it. Whether it was.
pub(crate) fn serve<R: Runtime>() -> bool {
    let Ok(orders) = std::env::var(ORDERS) else { return false };
    set_files(u64::MAX);
    let [at, broadcaster, peers] = orders.split(' ').collect::<Vec<_>>()[..] else { panic!("{orders}") };
    let mut crew = Here::<R>::new(broadcaster.parse().unwrap(), peers.parse().unwrap());
    let mut stream = BufReader::new(TcpStream::connect(at).unwrap());
    let mut order = String::new();
    while stream.read_line(&mut order).unwrap() > 0 {
        let (peer, what) = order.trim_end().split_once(' ').unwrap();
        let peer = peer.parse().unwrap();
        let answer = if what == "held" {
            let held = crew.held(peer);
            format!("{} {}", listed(&held.dialed), held.accepted)
        } else {
            let pool = (what != "create").then(|| what.parse().unwrap());
            let Entered { pool, you, named, connected, failed } = crew.enter(peer, pool);
            format!("{pool} {you} {} {} {failed}", listed(&named), listed(&connected))
        };
        write_line(&mut stream, &answer);
        order.clear();
    }
    true
}
