//! The rules of the native client, against a broadcaster that says what a test has it say.

mod calls;
mod limits;
mod members;
mod offers;
mod orders;
mod outages;
mod pages;
mod search;
mod several;
mod telling;
mod turning;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;

use super::*;
use crate::Transmit;
use crate::client::PoolEvent;
use crate::wire::native::*;

const KEY: Key = Key::new([0x4b; 16]);
const HANDLE: Handle = Handle(77);

fn server(number: u8) -> SocketAddr {
    ([192, 0, 2, 200 + number], 6_969).into()
}

fn address(number: u32) -> Address {
    Address::new(([192, 0, 2, 1], 5_000 + u16::try_from(number).unwrap()).into()).unwrap()
}

fn member(number: u32) -> Member {
    Member::new(number).unwrap()
}

fn uuid() -> PoolUuid {
    PoolUuid::new([0xab; 16])
}

fn id() -> PoolId {
    uuid().into()
}

/// A datagram that was sent.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    /// In milliseconds.
    at: u64,
    to: SocketAddr,
    tx: Option<Tx>,
    cookie: Option<Cookie>,
    handle: Option<Handle>,
    count: u32,
    /// What it says, in short.
    text: String,
}

/// A pool as the broadcaster has it.
#[derive(Clone, Debug)]
struct Pool {
    era: u64,
    number: u32,
    generation: u32,
    term: u32,
    host: u32,
    next: u32,
    spec: PoolSpec,
    members: Vec<(u32, &'static str)>,
}

fn pool(members: &[(u32, &'static str)]) -> Pool {
    Pool {
        era: 9,
        number: 1,
        generation: 0,
        term: 1,
        host: members.first().map_or(1, |(number, _)| *number),
        next: 100,
        spec: PoolSpec::default(),
        members: members.to_vec(),
    }
}

impl Pool {
    fn state(&self) -> State {
        State {
            epoch: Epoch::new(self.era, self.number).unwrap(),
            generation: self.generation,
            base: None,
            came: 0,
            term: Term::new(self.term).unwrap(),
            host: member(self.host),
            next: member(self.next),
            purged: 0,
            count: Seats::new(u16::try_from(self.members.len()).unwrap()).unwrap(),
            seal: Seal::new([u8::try_from(self.number).unwrap(); 16]),
        }
    }

    fn entry(number: u32, about: &'static str) -> Entry<'static> {
        Entry {
            member: member(number),
            address: address(number),
            about: About::new(about.as_bytes()).unwrap(),
        }
    }
}

/// A client, its time, and what came of it.
struct Rig {
    client: NativeClient,
    now: u64,
    sent: Vec<Sent>,
    events: Vec<ClientEvent>,
    keys: Vec<Key>,
    /// The application polls nothing.
    idle: bool,
}

impl Rig {
    fn with(change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig::default();
        change(&mut config);
        let client = NativeClient::new(config, server(0), [7; 32]);
        Self { client, now: 0, sent: Vec::new(), events: Vec::new(), keys: vec![KEY], idle: false }
    }

    fn new() -> Self {
        Self::with(|_| {})
    }

    /// Of three broadcasters.
    fn with_several() -> Self {
        Self::with(|config| config.broadcasters = vec![server(1), server(2)])
    }

    fn time(&self) -> Instant {
        Instant::ZERO + Duration::from_millis(self.now)
    }

    fn drain(&mut self) -> Option<Instant> {
        if self.idle {
            return None;
        }
        loop {
            match self.client.poll_output() {
                Output::Transmit(Transmit { destination, payload }) => {
                    let sent = self.read(destination, &payload);
                    self.sent.push(sent);
                }
                Output::Event(event) => self.events.push(event),
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    fn read(&self, to: SocketAddr, datagram: &[u8]) -> Sent {
        assert!(datagram.len() <= MAX_DATAGRAM);
        let nothing =
            Sent { at: self.now, to, tx: None, cookie: None, handle: None, count: 0, text: String::new() };
        match FromClient::read(datagram).unwrap() {
            FromClient::Request(request) => {
                let text = match request.call {
                    Call::List { after, .. } if after == PoolUuid::new([0xff; 16]) => "probe",
                    Call::List { .. } => "list",
                    Call::Create { .. } => "create",
                    Call::Join { .. } => "join",
                    Call::JoinByCode { .. } => "join by code",
                    Call::Resume { .. } => "resume",
                };
                Sent { tx: Some(request.tx), cookie: request.cookie, text: text.into(), ..nothing }
            }
            FromClient::Message(message) => {
                let read = self.keys.iter().find_map(|key| message.verify(key).ok()).expect("a known key");
                let text = match read.act {
                    Act::Ping(None) => "ping".into(),
                    Act::Ping(Some(epoch)) => format!("ping {}/{}", epoch.era(), epoch.number()),
                    Act::Ask(from) => format!("ask {}", from.map_or(0, Member::get)),
                    Act::Move(cookie) => format!("move {}", cookie.get()),
                    Act::Leave => "leave".into(),
                    Act::About(about) => format!("about {}", String::from_utf8_lossy(about.get())),
                    Act::Change(spec) => {
                        format!("change {}{}", spec.name().get(), if spec.locked() { " locked" } else { "" })
                    }
                    Act::Kick(member) => format!("kick {member}"),
                    Act::Hand(member) => format!("hand {member}"),
                    Act::Close => "close".into(),
                };
                Sent { handle: Some(read.handle), count: read.count, text, ..nothing }
            }
        }
    }

    /// Goes to a time, by all deadlines before it.
    fn go(&mut self, to: u64) {
        loop {
            let deadline = self.drain().map(|deadline| deadline.as_micros().div_ceil(1_000));
            match deadline.filter(|deadline| *deadline <= to) {
                Some(deadline) => {
                    self.now = self.now.max(deadline);
                    let now = self.time();
                    self.client.handle_timeout(now);
                    let next = self.drain();
                    assert!(next.is_none_or(|next| next > now), "{next:?} is not after {now:?}");
                }
                None => {
                    self.now = self.now.max(to);
                    return;
                }
            }
        }
    }

    /// Goes on for so many milliseconds.
    fn wait(&mut self, millis: u64) {
        self.go(self.now + millis);
    }

    /// Goes on until something is sent that says this, the latest of what is sent then.
    fn until(&mut self, text: &str) -> Sent {
        self.sent.clear();
        for _ in 0..1_000 {
            let deadline = self.drain().expect("something is to be done").as_micros().div_ceil(1_000);
            self.go(deadline);
            if let Some(sent) = self.sent.iter().rfind(|sent| sent.text.starts_with(text)).cloned() {
                return sent;
            }
        }
        panic!("nothing says {text}");
    }

    /// Lets time pass with a broadcaster that answers pings. They are left out of what was sent.
    fn live(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            self.go((self.now + 50).min(end));
            let (pings, others) =
                self.take_sent().into_iter().partition(|sent| sent.text.starts_with("ping"));
            self.sent = others;
            let pings: Vec<Sent> = pings;
            for ping in pings {
                self.notice(ping.to, ping.handle.unwrap(), News::Pong { count: ping.count });
            }
        }
    }

    /// What was sent since it was last asked, in short.
    fn said(&mut self) -> Vec<String> {
        self.drain();
        self.sent.drain(..).map(|sent| sent.text).collect()
    }

    fn take_sent(&mut self) -> Vec<Sent> {
        self.drain();
        core::mem::take(&mut self.sent)
    }

    /// The latest that was sent.
    fn last(&mut self) -> Sent {
        self.drain();
        self.sent.last().expect("something was sent").clone()
    }

    fn told(&mut self) -> Vec<ClientEvent> {
        self.drain();
        core::mem::take(&mut self.events)
    }

    /// The events of the pool, in short.
    fn news(&mut self) -> Vec<String> {
        self.told().iter().map(short).collect()
    }

    fn hear(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.time();
        self.client.handle_datagram(now, from, datagram);
        self.drain();
    }

    /// Answers a request.
    fn answer(&mut self, request: &Sent, reply: Reply<'_>) {
        let mut out = BytesMut::new();
        let tx = request.tx.unwrap();
        Answer { tx, reply }.write(&Key::of_request(tx, request.cookie), &mut out);
        self.hear(request.to, &out);
    }

    /// Answers a list with these pools.
    fn list(&mut self, request: &Sent, pools: &[Listing<'_>]) {
        let (mut out, tx) = (BytesMut::new(), request.tx.unwrap());
        let mut writer = PoolsWriter::new(&mut out, tx);
        assert!(pools.iter().all(|pool| writer.push(pool)));
        writer.finish(&Key::of_request(tx, request.cookie), None);
        self.hear(request.to, &out);
    }

    fn refuse(&mut self, request: &Sent, refusal: Refusal) {
        self.answer(request, Reply::Refused(refusal));
    }

    /// Gives a cookie, and answers what is sent then.
    fn give_cookie(&mut self, cookie: u64) -> Sent {
        let request = self.last();
        self.answer(&request, Reply::Cookie(Cookie::new(cookie).unwrap()));
        let sent = self.last();
        assert_eq!((sent.cookie, sent.tx), (Cookie::new(cookie), request.tx));
        sent
    }

    fn notice(&mut self, from: SocketAddr, handle: Handle, news: News<'_>) {
        let mut out = BytesMut::new();
        assert_eq!(Notice { handle, news }.write(&self.keys[0], &mut out), 0);
        self.hear(from, &out);
    }

    fn pong(&mut self) {
        let sent = self.last();
        self.notice(sent.to, sent.handle.unwrap(), News::Pong { count: sent.count });
    }

    /// Answers the latest message with a page of these members of the pool.
    fn page(&mut self, pool: &Pool, from: Option<u32>, members: &[(u32, &'static str)], more: bool) {
        let sent = self.last();
        self.page_at(&sent, pool, from, members, more);
    }

    fn page_at(
        &mut self,
        to: &Sent,
        pool: &Pool,
        from: Option<u32>,
        members: &[(u32, &'static str)],
        more: bool,
    ) {
        let mut out = BytesMut::new();
        let start = match from {
            None => PageStart::First(pool.spec.as_spec()),
            Some(from) => PageStart::From(member(from)),
        };
        let mut page = PageWriter::new(&mut out, to.handle.unwrap(), to.count, &start, &pool.state());
        for (number, about) in members {
            assert!(page.push(&Pool::entry(*number, about)));
        }
        page.finish(&self.keys[0], more);
        self.hear(to.to, &out);
    }

    /// Answers the latest message with the whole roster.
    fn roster(&mut self, pool: &Pool) {
        self.page(pool, None, &pool.members, false);
    }

    fn changed(&mut self, pool: &Pool, changes: &[Change<'_>]) {
        let mut out = BytesMut::new();
        let mut writer = ChangedWriter::new(&mut out, HANDLE, &pool.state());
        for change in changes {
            assert!(writer.push(change));
        }
        writer.finish(&self.keys[0]);
        self.hear(server(0), &out);
    }

    fn done(&mut self, outcome: Result<(), Refusal>) {
        let sent = self.last();
        self.notice(sent.to, sent.handle.unwrap(), News::Done { count: sent.count, outcome });
    }

    fn unknown(&mut self) {
        let sent = self.last();
        self.challenge(&sent, None);
    }

    fn challenge(&mut self, sent: &Sent, prove: Option<Cookie>) {
        let mut out = BytesMut::new();
        Challenge { handle: sent.handle.unwrap(), count: sent.count, prove }.write(&mut out);
        self.hear(sent.to, &out);
    }

    fn outcome(&mut self) -> Outcome {
        match &self.told()[..] {
            [ClientEvent::Finished { outcome, .. }] => outcome.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn membership(&self) -> &Membership {
        self.client.memberships().next().expect("a membership")
    }

    /// A member of the pool since now, which pings by the interval; nothing is left of how it came.
    fn joined_as(me: u32, pool: &Pool) -> Self {
        let mut rig = Self::new();
        rig.join(me, pool);
        rig
    }

    fn join(&mut self, me: u32, pool: &Pool) {
        let now = self.time();
        self.client.join(now, Door::Id(id()), b"me").unwrap();
        let request = self.give_cookie(5);
        self.answer(&request, Reply::Joined(offer(me)));
        self.roster(pool);
        assert!(matches!(self.outcome(), Outcome::Joined(_)));
        self.sent.clear();
    }
}

/// A place in the pool.
fn offer(me: u32) -> Joined {
    Joined {
        application: Application::POOLMESH,
        pool: uuid(),
        code: PoolCode::new(7).unwrap(),
        member: member(me),
        handle: HANDLE,
        session: Session(1),
        key: KEY,
        interval: Millis::new(3_000).unwrap(),
        timeout: Millis::new(10_000).unwrap(),
        you: address(me),
    }
}

fn short(event: &ClientEvent) -> String {
    let who = |member: &crate::PoolMember| {
        format!("{} {}", member.number, String::from_utf8_lossy(&member.about)).trim_end().to_string()
    };
    match event {
        ClientEvent::Finished { outcome, .. } => match outcome {
            Outcome::Refused(refusal) => format!("refused: {refusal}"),
            Outcome::Created(_) => "created".into(),
            Outcome::Joined(_) => "joined".into(),
            other => format!("{other:?}"),
        },
        ClientEvent::PoolEnded { reason, .. } => format!("ended: {reason:?}"),
        ClientEvent::Pool { event, .. } => match event {
            PoolEvent::Joined(member) => format!("+ {}", who(member)),
            PoolEvent::Left { member, reason } => {
                format!("- {} {}", member.number, reason.map_or("?".into(), |reason| format!("{reason:?}")))
            }
            PoolEvent::About(member) => format!("about {}", who(member)),
            PoolEvent::Moved(member) => format!("moved {} to {}", member.number, member.address.port()),
            PoolEvent::Host { member, term, you } => {
                format!("host {member} of term {term}{}", if *you { ": me" } else { "" })
            }
            other => format!("{other:?}"),
        },
    }
}
