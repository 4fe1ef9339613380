//! What a native client keeps: what its config states, whatever its broadcaster says.

use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Address, Answer, Application, Change, ChangedWriter, Entry, Epoch, FromClient, Handle, Joined,
    Key, Listed, Listing, Member, Metadata, Millis, Name, PageStart, PageWriter, PoolCode, PoolSpec,
    PoolUuid, PoolsWriter, Reply, Request, Seal, Seats, Session, State, Term,
};
use poolmesh_proto::{Client, ClientConfig, Instant, Machine, Output, PoolId};

use super::Live;

/// What [`ClientConfig`] states, in bytes: a pool, a member of it, a call, a member that its outcome tells, an event, a queued
/// datagram, and the client itself.
const POOL: usize = 4 * 1_024;
const MEMBER: usize = 3 * 280;
const CALL: usize = 4 * 1_024;
const MEMBER_TOLD: usize = 128;
const LIST: usize = 16 * 1_024;
const EVENT: usize = 512;
const QUEUED: usize = 2 * 1_024;
const OWN: usize = 16 * 1_024;

const SERVER: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 9)), 6_969);
const KEY: Key = Key::new([7; 16]);
/// The most members of a pool.
const MEMBERS: u32 = 1_024;

fn member(number: u32) -> Member {
    Member::new(number).unwrap()
}

fn entry(number: u32) -> Entry<'static> {
    static ABOUT: [u8; About::MAX_LEN] = [b'x'; About::MAX_LEN];
    let ip = Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(number));
    let address = Address::new(SocketAddr::from((ip, 5_000))).unwrap();
    Entry { member: member(number), address, about: About::new(&ABOUT).unwrap() }
}

fn state(number: u32, count: u32) -> State {
    State {
        epoch: Epoch::new(9, number).unwrap(),
        generation: 0,
        base: None,
        came: 0,
        term: Term::new(1).unwrap(),
        host: member(1),
        next: member(u32::MAX),
        purged: 0,
        count: Seats::new(u16::try_from(count).unwrap()).unwrap(),
        seal: Seal::new([1; 16]),
    }
}

fn spec() -> PoolSpec {
    let broadcasters =
        [1, 2, 3, 4].map(|port| Address::new(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).unwrap());
    let spec = PoolSpec::default().named(&"n".repeat(64)).unwrap().with_metadata(&[7; 512]).unwrap();
    spec.with_broadcasters(&broadcasters).unwrap()
}

/// A client, its time, and what its broadcaster has of it.
struct Rig {
    client: Client,
    now: Instant,
    /// What was sent last, and is to be answered.
    sent: Vec<u8>,
    /// Of the pool whose messages are answered.
    handle: Handle,
}

impl Rig {
    fn new(config: ClientConfig) -> Self {
        Self {
            client: Client::new(config, SERVER, [7; 32]),
            now: Instant::ZERO,
            sent: Vec::new(),
            handle: Handle(0),
        }
    }

    /// Until it waits. Events are polled, so it is done only where they may be.
    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Transmit(transmit) => match FromClient::read(&transmit.payload).unwrap() {
                    FromClient::Message(message) if message.handle() != self.handle => {}
                    _ => self.sent = transmit.payload.to_vec(),
                },
                Output::Event(_) => {}
                Output::Wait(_) => return,
            }
        }
    }

    /// So long that it may send again.
    fn wait(&mut self) {
        self.now = self.now + Duration::from_millis(41);
        self.client.handle_timeout(self.now);
        self.drain();
    }

    fn hear(&mut self, datagram: &[u8]) {
        self.client.handle_datagram(self.now, SERVER, datagram);
    }

    fn answer(&mut self, reply: Reply<'_>) {
        let sent = core::mem::take(&mut self.sent);
        let FromClient::Request(request) = FromClient::read(&sent).unwrap() else { panic!() };
        let mut out = BytesMut::new();
        Answer { tx: request.tx, reply }.write(&request.key(), &mut out);
        self.hear(&out);
    }

    /// Answers the latest ping or question, once more, by the members from there on. Whether there are others.
    fn page(&mut self, handle: Handle, number: u32, from: u32) -> Option<u32> {
        let sent = self.sent.clone();
        let FromClient::Message(message) = FromClient::read(&sent).unwrap() else { panic!() };
        let spec = spec();
        let start = if from == 1 { PageStart::First(spec.as_spec()) } else { PageStart::From(member(from)) };
        let mut out = BytesMut::new();
        let mut page = PageWriter::new(&mut out, handle, message.count(), &start, &state(number, MEMBERS));
        let next = (from..=MEMBERS).find(|number| !page.push(&entry(*number)));
        page.finish(&KEY, next.is_some());
        self.hear(&out);
        next
    }

    /// Enters a pool that is full.
    fn enter(&mut self, number: u8) -> PoolId {
        let pool = PoolUuid::new([number; 16]);
        self.client.join_with(self.now, PoolId::from(pool), &[7; About::MAX_LEN]).unwrap();
        self.drain();
        let handle = Handle(number.into());
        self.handle = handle;
        self.answer(Reply::Joined(Joined {
            application: Application::POOLMESH,
            pool,
            code: PoolCode::new(7).unwrap(),
            member: member(1),
            handle,
            session: Session(1),
            key: KEY,
            interval: Millis::new(u16::MAX).unwrap(),
            timeout: Millis::new(u16::MAX).unwrap(),
            you: entry(1).address,
        }));
        self.drain();
        let mut from = 1;
        while let Some(next) = self.page(handle, 1, from) {
            from = next;
            self.wait();
        }
        self.wait();
        assert_eq!(self.client.pools().last(), Some(pool.into()));
        pool.into()
    }

    fn changed(&mut self, handle: Handle, number: u32, changes: impl IntoIterator<Item = Change<'static>>) {
        let mut out = BytesMut::new();
        let mut writer = ChangedWriter::new(&mut out, handle, &state(number, MEMBERS));
        for change in changes {
            assert!(writer.push(&change));
        }
        writer.finish(&KEY);
        self.hear(&out);
    }
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::default();
    config.call_timeout = Duration::from_secs(600);
    (config.max_pools, config.max_calls, config.max_events, config.max_queued) = (3, 6, 500, 40);
    config
}

fn stated(config: &ClientConfig) -> usize {
    let members = usize::try_from(MEMBERS).unwrap();
    config.max_pools * (POOL + members * MEMBER)
        + config.max_calls * (CALL + LIST.max(members * MEMBER_TOLD))
        + config.max_events * EVENT
        + config.max_queued * QUEUED
        + OWN
}

pub(super) fn flooded() {
    let live = Live::start();
    let config = config();
    let most = stated(&config);
    let mut rig = Rig::new(config);
    let pools: Vec<_> = (1..=3).map(|number| rig.enter(number)).collect();
    let used = |rig: &Rig, what: &str| {
        let used = live.bytes() - rig.sent.capacity();
        assert!(used <= most, "{what}: {used} bytes, {most} are stated");
        used
    };
    let entered = used(&rig, "entered");
    // Another roster comes in each pool, and its last page doesn't.
    for number in 1..=3u8 {
        let handle = Handle(number.into());
        rig.handle = handle;
        rig.changed(handle, 5, []);
        rig.wait();
        let mut from = 1;
        while let Some(next) = rig.page(handle, 5, from) {
            from = next;
            rig.wait();
            if next > MEMBERS - 20 {
                break;
            }
        }
        rig.drain();
    }
    assert!(used(&rig, "pages") > entered + entered / 2, "they are kept");
    // Events that nobody polls: all members say something, many times.
    let told = rig.client.stats().events_missed;
    for epoch in 2..900 {
        let about = entry(1).about;
        rig.changed(Handle(1), epoch, [Change::About { member: member(epoch), about }]);
    }
    assert!(rig.client.stats().events_missed > told + 300);
    used(&rig, "events");
    // Calls that have outcomes nobody polls, and calls under way.
    for _ in 0..3 {
        rig.client.join(rig.now, pools[0]).unwrap();
    }
    let create = spec();
    rig.client.release(pools[2]);
    rig.client.create_with(rig.now, &create, &[7; 128]).unwrap();
    for _ in 0..2 {
        rig.client.change(rig.now, pools[0], &create).unwrap();
    }
    used(&rig, "calls");
    // Time passes, and nobody takes what is to be sent.
    for _ in 0..2_000 {
        rig.now = rig.now + Duration::from_millis(200);
        rig.client.handle_timeout(rig.now);
    }
    used(&rig, "queued");
    assert!(rig.client.stats().outputs_dropped > 100);
    rig.client.close();
    rig.drain();
    drop(rig);
}

/// Lists of the most pools that a datagram holds, which nobody polls.
pub(super) fn listed() {
    let live = Live::start();
    let config = config();
    let mut rig = Rig::new(config.clone());
    for _ in 0..config.max_calls {
        rig.client.list(rig.now).unwrap();
        let sent = loop {
            match rig.client.poll_output() {
                Output::Transmit(transmit) => break transmit.payload,
                Output::Event(_) => {}
                Output::Wait(_) => panic!(),
            }
        };
        let FromClient::Request(Request { tx, cookie, .. }) = FromClient::read(&sent).unwrap() else {
            panic!()
        };
        let mut out = BytesMut::new();
        let mut writer = PoolsWriter::new(&mut out, tx);
        let listed = Listed {
            code: PoolCode::new(7).unwrap(),
            locked: false,
            members: 1,
            seats: Seats::DEFAULT,
            name: Name::new("n").unwrap(),
            metadata: Metadata::new(b"m").unwrap(),
        };
        let mut count = 0;
        while writer.push(&Listing { pool: PoolUuid::new([count + 1; 16]), listed: Some(listed) }) {
            count += 1;
        }
        assert!(count > 30);
        writer.finish(&Key::of_request(tx, cookie), None);
        drop(sent);
        rig.hear(&out);
    }
    let used = live.bytes();
    let most = config.max_calls * (CALL + LIST) + OWN;
    assert!(used <= most, "{used} bytes, {most} are stated");
}

/// Datagrams of any bytes, with right and wrong tags.
pub(super) fn arbitrary() {
    let mut rig = Rig::new(config());
    rig.enter(1);
    let mut numbers = super::Numbers(7);
    let live = Live::start();
    for _ in 0..20_000 {
        let len = numbers.below(1_300);
        let mut datagram: Vec<u8> = (0..len).map(|_| numbers.below(256) as u8).collect();
        if let Some(first) = datagram.first_mut() {
            *first = 0xa1;
        }
        if let Some(kind) = datagram.get_mut(1) {
            *kind = [0x80, 0x83, 0x90, 0x91, 0x92, 0x98, 0x99, 0xa0, 0xa1][numbers.below(9)];
        }
        rig.hear(&datagram);
        if numbers.below(50) == 0 {
            rig.drain();
        }
    }
    rig.drain();
    rig.sent = Vec::new();
    assert!(live.bytes() <= OWN, "{} bytes of nothing", live.bytes());
}
