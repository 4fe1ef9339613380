//! Where a check plays: a world, one driver in it, and what checks do again and again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "part of the tests: a panic is how a check fails, and it names what it looks for"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::driver::Event;
use poolmesh_proto::wire::{Request, Response, classic};
use poolmesh_proto::{BroadcasterConfig, ClientConfig, CloseReason, Instant, MeshConfig, Message, PeerId};

use super::{Driver, Heard, Scripted, Server, Settings, SocketId, Subject, Told, Turn, World};

/// How long a check watches that nothing happens.
pub(super) const WATCH: Duration = Duration::from_millis(60);

/// Whom the world gives turns.
enum Program {
    Driver(Box<dyn Driver>),
    Server(Box<dyn Server>),
    Dropped,
}

/// A world, one driver in it, and its broadcaster.
pub(super) struct Stage {
    pub(super) world: Box<dyn World>,
    program: Program,
    /// The broadcaster's socket.
    pub(super) broadcaster: SocketId,
    /// The client's address, once it has sent.
    pub(super) client: Option<SocketAddr>,
    /// What was told while the check was busy.
    kept: VecDeque<Told>,
}

/// A subject, whatever its world is.
pub(super) trait Play {
    fn stage(&self, settings: &dyn Fn(&mut ClientConfig, &mut MeshConfig)) -> Stage;
    /// With a client of the native dialect, of the broadcaster and so many others, whose sockets are given.
    fn native(&self, others: usize) -> (Stage, Vec<SocketId>);
    /// With a broadcaster's driver instead, if the subject has one.
    fn serve(&self, config: BroadcasterConfig) -> Option<Stage>;
}

impl<S: Subject> Play for S {
    fn stage(&self, settings: &dyn Fn(&mut ClientConfig, &mut MeshConfig)) -> Stage {
        let mut world = S::World::default();
        let broadcaster = world.open_udp();
        let (mut client, mut mesh) = (ClientConfig::classic(), MeshConfig::default());
        // Nothing is sent again and nothing given up by itself, unless a check wants it.
        client.call_timeout = Duration::from_secs(3_600);
        client.resend_after = Duration::from_secs(1_800);
        client.recreate_after = None;
        client.ping_interval = Duration::from_secs(1_800);
        mesh.dial_attempts = 1;
        mesh.dial_timeout = Duration::from_secs(3_600);
        mesh.dial_deadline = Duration::from_secs(3_600);
        settings(&mut client, &mut mesh);
        let settings = Settings { client, mesh, broadcaster: world.address(broadcaster), seed: [7; 32] };
        let driver = self.start(&world, settings).expect("the program starts");
        Stage {
            world: Box::new(world),
            program: Program::Driver(driver),
            broadcaster,
            client: None,
            kept: VecDeque::new(),
        }
    }

    fn native(&self, others: usize) -> (Stage, Vec<SocketId>) {
        let mut world = S::World::default();
        let broadcaster = world.open_udp();
        let others: Vec<_> = (0..others).map(|_| world.open_udp()).collect();
        let mut client = ClientConfig::default();
        client.broadcasters = others.iter().map(|other| world.address(*other)).collect();
        let mesh = MeshConfig::default();
        let settings = Settings { client, mesh, broadcaster: world.address(broadcaster), seed: [7; 32] };
        let driver = self.start(&world, settings).expect("the program starts");
        let (world, program, kept) = (Box::new(world), Program::Driver(driver), VecDeque::new());
        (Stage { world, program, broadcaster, client: None, kept }, others)
    }

    fn serve(&self, config: BroadcasterConfig) -> Option<Stage> {
        let mut world = S::World::default();
        let broadcaster = world.open_udp();
        let server = Subject::serve(self, &world, config).expect("the broadcaster starts")?;
        Some(Stage {
            world: Box::new(world),
            program: Program::Server(server),
            broadcaster,
            client: None,
            kept: VecDeque::new(),
        })
    }
}

/// Settings as they are.
pub(super) fn plain(_: &mut ClientConfig, _: &mut MeshConfig) {}

/// The bytes of an answer.
pub(super) fn answer(response: &Response) -> Vec<u8> {
    let mut out = BytesMut::new();
    classic::encode_response(response, &mut out);
    out.to_vec()
}

/// The bytes of a request.
pub(super) fn request(request: &Request) -> Vec<u8> {
    let mut out = BytesMut::new();
    classic::encode_request(request, &mut out);
    out.to_vec()
}

/// The answer to create or join, for a client at `you`.
pub(super) fn pool(id: &str, host: SocketAddr, you: SocketAddr) -> Vec<u8> {
    let text = format!("{id} {host} {you} {you}");
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    [&[3], &len[..], text.as_bytes()].concat()
}

impl Stage {
    pub(super) fn driver(&mut self) -> &mut dyn Driver {
        match &mut self.program {
            Program::Driver(driver) => &mut **driver,
            Program::Server(_) | Program::Dropped => panic!("it is no program"),
        }
    }

    /// Drops the driver, without having it closed.
    pub(super) fn drop_program(&mut self) {
        self.program = Program::Dropped;
    }

    /// Where the broadcaster's driver serves.
    pub(super) fn server(&self) -> SocketAddr {
        match &self.program {
            Program::Server(server) => server.address(),
            Program::Driver(_) | Program::Dropped => panic!("it is no broadcaster"),
        }
    }

    /// Only for checks that need one.
    pub(super) fn script(&self) -> Scripted {
        self.world.script().expect("this check is for scripted worlds").clone()
    }

    pub(super) fn now(&self) -> Instant {
        self.world.now()
    }

    fn turn(&mut self) -> bool {
        let program = &mut self.program;
        self.world.turn(&mut || match program {
            Program::Driver(driver) => driver.turn(),
            Program::Server(server) => server.turn(),
            Program::Dropped => Turn::Asleep(None),
        })
    }

    /// Waits until `look` finds something.
    pub(super) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = self.now() + self.world.patience();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if self.turn() {
                continue;
            }
            if let Some(found) = look(self) {
                return found;
            }
            assert!(self.now() < end, "waited in vain until {what}");
            self.world.sleep(end);
        }
    }

    /// Lets the driver do what there is to do now, and at least one time what it does when nothing is.
    pub(super) fn settle(&mut self) {
        self.pass(Duration::from_millis(5));
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        self.throughout(time, |_| {});
    }

    /// Lets time pass. The driver sleeps at the end, and is not woken before something has come.
    pub(super) fn doze(&mut self, time: Duration) {
        let end = self.now() + time;
        while self.now() < end {
            if !self.turn() {
                self.world.sleep(end);
            }
        }
    }

    /// Lets time pass, and looks again and again.
    pub(super) fn throughout(&mut self, time: Duration, mut look: impl FnMut(&mut Self)) {
        let end = self.now() + time;
        loop {
            let moved = self.turn();
            look(self);
            if self.now() >= end {
                return;
            }
            if !moved {
                self.world.sleep(end);
            }
        }
    }

    /// That this much time has passed since `start`: no less, and where time is exact no more.
    pub(super) fn took(&self, start: Instant, time: Duration, what: &str) {
        let took = self.now().saturating_duration_since(start);
        let exact = self.world.script().is_some();
        assert!(took == time || took > time && !exact, "{what} after {took:?}, due after {time:?}");
    }

    /// The next datagram that the broadcaster gets.
    pub(super) fn requested(&mut self) -> Vec<u8> {
        let broadcaster = self.broadcaster;
        let (datagram, from) =
            self.until("the broadcaster is asked", |stage| stage.world.receive(broadcaster));
        self.client = Some(from);
        datagram
    }

    /// Expects a request.
    pub(super) fn expect(&mut self, expected: &Request) {
        let datagram = self.requested();
        assert_eq!(datagram.escape_ascii().to_string(), request(expected).escape_ascii().to_string());
    }

    /// Has the broadcaster say something to the client.
    pub(super) fn reply(&mut self, datagram: &[u8]) {
        let client = self.client.expect("the client has sent something");
        self.world.send(self.broadcaster, client, datagram);
    }

    /// Has a pool created by the driver, whose client then pings it.
    pub(super) fn host(&mut self, id: &str) {
        self.driver().create();
        self.expect(&Request::Create);
        let you = self.client.unwrap();
        self.reply(&pool(id, you, you));
        match self.told() {
            Told::Pool(pool) => assert!(pool.id() == id.parse().unwrap() && pool.is_host()),
            other => panic!("a pool was created, and it is told {other:?}"),
        }
    }

    /// What is told already.
    pub(super) fn take(&mut self) -> Option<Told> {
        self.kept.pop_front().or_else(|| self.driver().next())
    }

    /// The next thing the program is told.
    pub(super) fn told(&mut self) -> Told {
        self.until("something is told", Self::take)
    }

    /// The next thing the program is told of its links.
    pub(super) fn event(&mut self) -> Event<PeerId> {
        match self.told() {
            Told::Mesh(event) => event,
            other => panic!("not an event of the mesh: {other:?}"),
        }
    }

    /// Expects an event of a peer.
    pub(super) fn received(&mut self) -> (PeerId, Message) {
        match self.event() {
            Event::Received(peer, message) => (peer, message),
            other => panic!("not what a peer has sent: {other:?}"),
        }
    }

    /// Expects that a link stands.
    pub(super) fn connected(&mut self) -> PeerId {
        match self.event() {
            Event::Connected(peer) => peer,
            other => panic!("not a new link: {other:?}"),
        }
    }

    /// Expects the end of a link.
    pub(super) fn disconnected(&mut self, peer: PeerId) -> CloseReason {
        match self.event() {
            Event::Disconnected(gone, reason) if gone == peer => reason,
            other => panic!("not the end of {peer}: {other:?}"),
        }
    }

    /// Has the driver listen, and answers where.
    pub(super) fn listening(&mut self) -> SocketAddr {
        self.driver().listen(([127, 0, 0, 1], 0).into());
        match self.event() {
            Event::Listening(address) => address,
            other => panic!("not where it listens: {other:?}"),
        }
    }

    /// A peer that the driver has dialed.
    pub(super) fn dialed(&mut self) -> (PeerId, SocketId) {
        let port = self.world.port();
        self.world.listen(port);
        let address = self.world.address(port);
        self.driver().connect(address);
        let stream = self.until("the driver dials", |stage| stage.world.accept(port));
        (self.connected(), stream)
    }

    /// A peer that has dialed the driver at `address`.
    pub(super) fn accepted(&mut self, address: SocketAddr) -> (PeerId, SocketId) {
        let stream = self.world.dial(address).expect("the driver listens");
        (self.connected(), stream)
    }

    /// Has a peer write all of that, as the connection takes it, while the program keeps up.
    pub(super) fn write(&mut self, stream: SocketId, bytes: &[u8]) {
        let mut rest = bytes;
        self.until("the driver has read", |stage| {
            while let Some(told) = stage.driver().next() {
                stage.kept.push_back(told);
            }
            rest = &rest[stage.world.write(stream, rest)..];
            rest.is_empty().then_some(())
        });
    }

    /// Reads that many bytes as a peer, at most `piece` at a time.
    pub(super) fn read(&mut self, stream: SocketId, len: usize, piece: usize) -> Vec<u8> {
        let mut all = Vec::new();
        self.until("the driver has written", |stage| {
            while all.len() < len {
                match stage.world.read(stream, piece.min(len - all.len())) {
                    Heard::Bytes(bytes) => all.extend(bytes),
                    Heard::Nothing => return None,
                    Heard::End => panic!("the end after {} bytes of {len}", all.len()),
                }
            }
            Some(())
        });
        all
    }

    /// Expects that nothing more comes from the driver's side of a connection.
    pub(super) fn expect_end(&mut self, stream: SocketId) {
        let rest = self.until("the driver's side ends", |stage| match stage.world.read(stream, 1 << 16) {
            Heard::End => Some(Vec::new()),
            Heard::Bytes(bytes) => Some(bytes),
            Heard::Nothing => None,
        });
        assert!(rest.is_empty(), "{} bytes instead of the end", rest.len());
    }

    /// Expects that the driver drops a connection, whatever comes before.
    pub(super) fn expect_gone(&mut self, stream: SocketId) {
        self.until("the driver has dropped the connection", |stage| {
            loop {
                match stage.world.read(stream, 1 << 16) {
                    Heard::End => return Some(()),
                    Heard::Bytes(_) => {}
                    Heard::Nothing => return None,
                }
            }
        });
    }

    /// Watches that the program is told nothing.
    pub(super) fn expect_silence(&mut self, what: &str) {
        self.throughout(WATCH, |stage| {
            if let Some(told) = stage.take() {
                panic!("{what}, and yet it is told {told:?}");
            }
        });
    }

    /// Watches that the broadcaster is asked nothing.
    pub(super) fn expect_no_request(&mut self, what: &str) {
        self.throughout(WATCH, |stage| {
            if let Some((datagram, _)) = stage.world.receive(stage.broadcaster) {
                panic!("{what}, and yet it sends {}", datagram.escape_ascii());
            }
        });
    }

    /// Where it can be seen: that the driver holds no connections any more, be they dialed, accepted or given up.
    pub(super) fn expect_none_held(&self) {
        let Some(script) = self.world.script() else { return };
        let held = script.held();
        let connections: Vec<_> =
            held.iter().filter(|name| name.starts_with("dialed") || name.starts_with("accepted")).collect();
        assert!(connections.is_empty(), "connections that nobody needs any more are held: {connections:?}");
    }
}
