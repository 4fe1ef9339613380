//! Datagrams of the native dialect handed to a broadcaster, and its outputs drained.

use std::hint::black_box;
use std::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Answer, Application, Call, Cookie, Epoch, FromBroadcaster, Joined, Key, Message, Name, News,
    PoolSpec, PoolUuid, Reply, Request, Tx, tag,
};
use poolmesh_proto::{Broadcaster, BroadcasterConfig, Instant, Machine, Output, RandomSource};

use super::{TIMES, address, times};
use crate::counter::{count, count_with};

const ZERO: Instant = Instant::ZERO;
/// Members of a pool.
const MEMBERS: u32 = 8;

/// A member, as it knows itself.
struct Member {
    from: SocketAddr,
    cookie: Option<Cookie>,
    joined: Joined,
    epoch: Option<Epoch>,
}

/// A broadcaster with as many members as cases ask of it, in pools of eight.
struct Lobby<R> {
    broadcaster: Broadcaster<R>,
    members: Vec<Member>,
}

fn random() -> impl RandomSource + use<> {
    let mut seed = 7u128;
    move || {
        seed = seed.wrapping_mul(0x2d99_7879_26d4_6932_a4c1_f326_80f7_0c55).wrapping_add(1);
        seed
    }
}

fn tx(number: u32) -> Tx {
    Tx::new(u64::from(number) + 1).expect("it is not 0")
}

fn request(number: u32, cookie: Option<Cookie>, call: Call<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    Request { tx: tx(number), cookie, call }.write(&mut out);
    out
}

/// The number of the member in a pool is its `number`, too.
fn call<'a>(spec: &'a PoolSpec, pool: Option<PoolUuid>) -> Call<'a> {
    let (application, about) = (Application::POOLMESH, About::default());
    match pool {
        Some(pool) => Call::Join { application, pool, about },
        None => Call::Create { application, spec: spec.as_spec(), about },
    }
}

impl Member {
    fn message(&self, count: u32, act: Act<'_>) -> BytesMut {
        let mut out = BytesMut::new();
        Message { handle: self.joined.handle, count, act }.write(&self.joined.key, &mut out);
        out
    }
}

fn lobby() -> Lobby<impl RandomSource + use<>> {
    let mut config = BroadcasterConfig::default();
    config.limits.messages_in_a_row = u32::MAX;
    let mut lobby = Lobby { broadcaster: Broadcaster::new(config, random()), members: Vec::new() };
    for number in 0..TIMES {
        lobby.come(number);
    }
    // All have the latest roster.
    for member in 0..lobby.members.len() {
        lobby.ping(member, 2);
    }
    lobby
}

impl<R: RandomSource> Lobby<R> {
    /// Hands in a datagram, and answers what came to its sender last.
    fn ask(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<BytesMut> {
        self.broadcaster.handle_datagram(ZERO, from, datagram);
        let mut answer = None;
        loop {
            match self.broadcaster.poll_output() {
                Output::Transmit(sent) if sent.destination == from => {
                    answer = answer.or(Some(BytesMut::from(&sent.payload[..])));
                }
                Output::Transmit(_) | Output::Event(_) => {}
                Output::Wait(_) => return answer,
            }
        }
    }

    fn answer(&mut self, number: u32, cookie: Option<Cookie>, call: Call<'_>) -> Option<Reply<'static>> {
        let answer = self.ask(address(number), &request(number, cookie, call))?;
        let FromBroadcaster::Answer(answer) = FromBroadcaster::read(&answer).ok()? else { return None };
        match answer.verify(&Key::of_request(tx(number), cookie)).ok()? {
            Answer { reply: Reply::Cookie(cookie), .. } => Some(Reply::Cookie(cookie)),
            Answer { reply: Reply::Joined(joined), .. } => Some(Reply::Joined(joined)),
            Answer { reply: Reply::Refused(_) | Reply::Pools { .. }, .. } => None,
        }
    }

    /// One more comes, to the pool before if it has a seat left.
    fn come(&mut self, number: u32) {
        let spec = PoolSpec::default();
        let pool =
            (number % MEMBERS != 0).then(|| self.members.last().map(|last| last.joined.pool)).flatten();
        let call = call(&spec, pool);
        let Some(Reply::Cookie(cookie)) = self.answer(number, None, call) else { panic!("no cookie") };
        let Some(Reply::Joined(joined)) = self.answer(number, Some(cookie), call) else { panic!("no place") };
        let member = Member { from: address(number), cookie: Some(cookie), joined, epoch: None };
        self.members.push(member);
        self.ping(number as usize, 1);
    }

    fn ping(&mut self, member: usize, count: u32) {
        let Some(member) = self.members.get(member) else { return };
        let (from, key) = (member.from, member.joined.key);
        let answer = self.ask(from, &member.message(count, Act::Ping(None))).expect("it is answered");
        let Ok(FromBroadcaster::Notice(notice)) = FromBroadcaster::read(&answer) else { panic!("no page") };
        let Ok(News::Page(page)) = notice.verify(&key).map(|notice| notice.news) else { panic!("no page") };
        let epoch = Some(page.state.epoch);
        for other in self.members.iter_mut().filter(|other| other.from == from) {
            other.epoch = epoch;
        }
    }

    /// What all say.
    fn messages(&self, count: u32, act: impl Fn(&Member) -> Act<'static>) -> Vec<(SocketAddr, BytesMut)> {
        self.members.iter().map(|member| (member.from, member.message(count, act(member)))).collect()
    }

    /// Hands in each of them, and drains.
    #[inline(never)]
    fn hand_in(&mut self, datagrams: &[(SocketAddr, BytesMut)]) {
        for (from, datagram) in datagrams {
            self.broadcaster.handle_datagram(ZERO, *from, datagram);
            drain(&mut self.broadcaster);
        }
    }
}

#[inline(never)]
fn drain(machine: &mut impl Machine) {
    while !matches!(black_box(machine.poll_output()), Output::Wait(_)) {}
}

pub(super) fn all() {
    let mut lobby = lobby();
    let mut pings = [3, 4].map(|count| lobby.messages(count, |member| Act::Ping(member.epoch))).into_iter();
    count("broadcaster, native ping", TIMES, || {
        let pings = pings.next().expect("it is done twice");
        lobby.hand_in(&pings);
    });
    let before = lobby.broadcaster.stats();
    assert_eq!((before.unknown, before.dropped_replayed), (0, 0));
    count("native tags of a ping and its answer", TIMES, || {
        times(|| {
            black_box(tag(black_box(&Key::ZERO), black_box(&[7; 22])));
            black_box(tag(black_box(&Key::ZERO), black_box(&[7; 10])));
        });
    });
    let pings = lobby.messages(5, |member| Act::Ping(member.epoch));
    count("broadcaster, look ahead for a native ping", TIMES, || {
        lobby.broadcaster.look_ahead(pings.iter().map(|(_, ping)| &ping[..]));
    });
    let forged: Vec<_> = pings
        .iter()
        .map(|(from, ping)| {
            let mut forged = ping.clone();
            forged.iter_mut().last().into_iter().for_each(|last| *last ^= 1);
            (*from, forged)
        })
        .collect();
    count("broadcaster, a forged native ping", TIMES, || lobby.hand_in(&forged));
    let mut pages = [6, 7].map(|count| lobby.messages(count, |_| Act::Ask(None))).into_iter();
    count("broadcaster, a native page of 8 members", TIMES, || {
        let pages = pages.next().expect("it is done twice");
        lobby.hand_in(&pages);
    });
    requests(&mut lobby);
    changes();
}

fn requests<R: RandomSource>(lobby: &mut Lobby<R>) {
    let spec = PoolSpec::default();
    let unproven: Vec<_> =
        lobby.members.iter().map(|member| (member.from, request(0, None, call(&spec, None)))).collect();
    count("broadcaster, a native request without a cookie", TIMES, || lobby.hand_in(&unproven));
    let list = Call::List {
        application: Some(Application::POOLMESH),
        after: PoolUuid::NIL,
        free: 0,
        prefix: Name::default(),
    };
    let lists: Vec<_> =
        lobby.members.iter().map(|member| (member.from, request(0, member.cookie, list))).collect();
    count("broadcaster, a native list of 44 of 125 pools", TIMES, || lobby.hand_in(&lists));
    assert_eq!(lobby.broadcaster.stats().lists, 2 * u64::from(TIMES));
}

fn changes() {
    count_with(
        "broadcaster, a native member's words, told to 8",
        TIMES,
        || {
            let lobby = lobby();
            let words = lobby.messages(1, |_| Act::About(About::new(b"ready").unwrap_or_default()));
            (lobby, words)
        },
        |(lobby, words)| lobby.hand_in(words),
    );
    count_with(
        "broadcaster, a native member leaves 7 others or fewer",
        TIMES,
        || {
            let lobby = lobby();
            let leaves = lobby.messages(1, |_| Act::Leave);
            (lobby, leaves)
        },
        |(lobby, leaves)| {
            lobby.hand_in(leaves);
            assert_eq!(lobby.broadcaster.pool_count(), 0);
        },
    );
}
