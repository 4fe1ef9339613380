//! Datagrams of the native dialect handed to a broadcaster, and its outputs drained.

use std::hint::black_box;
use std::net::SocketAddr;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Cookie, Epoch, FromBroadcaster, Joined, Key, Message, Name, News,
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

/// A member of one pool on its way to another.
struct Guest {
    number: u32,
    cookie: Option<Cookie>,
    pool: PoolUuid,
}

impl Member {
    fn message(&self, count: u32, act: Act<'_>) -> BytesMut {
        let mut out = BytesMut::new();
        Message { handle: self.joined.handle, count, act }.write(&self.joined.key, &mut out);
        out
    }
}

fn empty() -> Lobby<impl RandomSource + use<>> {
    let mut config = BroadcasterConfig::default();
    // All is asked for at one moment.
    config.limits.messages_in_a_row = u32::MAX;
    config.limits.requests_in_a_row = u32::MAX;
    (config.limits.pools, config.limits.pools_per_source) = (usize::MAX, usize::MAX);
    (config.limits.members, config.limits.members_per_source) = (usize::MAX, usize::MAX);
    Lobby { broadcaster: Broadcaster::new(config, random()), members: Vec::new() }
}

fn lobby() -> Lobby<impl RandomSource + use<>> {
    let mut lobby = empty();
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

    fn answer(&mut self, number: u32, request: BytesMut, cookie: Option<Cookie>) -> Option<Reply<'static>> {
        let answer = self.ask(address(number), &request)?;
        let FromBroadcaster::Answer(answer) = FromBroadcaster::read(&answer).ok()? else { return None };
        match answer.verify(&Key::of_request(answer.tx(), cookie)).ok()?.reply {
            Reply::Cookie(cookie) => Some(Reply::Cookie(cookie)),
            Reply::Joined(joined) => Some(Reply::Joined(joined)),
            Reply::Refused(_) | Reply::Pools { .. } => None,
        }
    }

    /// One more comes, to the pool before if it has a seat left.
    fn come(&mut self, number: u32) {
        let pool =
            (number % MEMBERS != 0).then(|| self.members.last().map(|last| last.joined.pool)).flatten();
        let (from, cookie) = (address(number), self.cookie(number));
        let joined = self.offer(number, number, cookie, pool);
        self.members.push(Member { from, cookie, joined, epoch: None });
        self.ping(number as usize, 1);
    }

    fn cookie(&mut self, number: u32) -> Option<Cookie> {
        match self.answer(number, request(number, None, call(&PoolSpec::default(), None)), None) {
            Some(Reply::Cookie(cookie)) => Some(cookie),
            _ => panic!("no cookie"),
        }
    }

    /// A place in that pool, or in a new one.
    fn offer(&mut self, from: u32, tx: u32, cookie: Option<Cookie>, pool: Option<PoolUuid>) -> Joined {
        match self.answer(from, request(tx, cookie, call(&PoolSpec::default(), pool)), cookie) {
            Some(Reply::Joined(joined)) => joined,
            _ => panic!("no place"),
        }
    }

    fn ping(&mut self, member: usize, count: u32) {
        let Some(member) = self.members.get(member) else { return };
        let (from, key, ping) = (member.from, member.joined.key, member.message(count, Act::Ping(None)));
        let answer = self.ask(from, &ping).expect("it is answered");
        let Ok(FromBroadcaster::Notice(notice)) = FromBroadcaster::read(&answer) else { panic!("no page") };
        let Ok(News::Page(page)) = notice.verify(&key).map(|notice| notice.news) else { panic!("no page") };
        // What is known of the roster is known of each whose handle this is: there is one.
        if let Some(member) = self.members.iter_mut().rfind(|member| member.joined.handle == notice.handle())
        {
            member.epoch = Some(page.state.epoch);
        }
    }

    /// What all say.
    fn messages(&self, count: u32, act: impl Fn(&Member) -> Act<'static>) -> Vec<(SocketAddr, BytesMut)> {
        self.members.iter().map(|member| (member.from, member.message(count, act(member)))).collect()
    }

    /// All its members, each on its way to the next pool.
    fn guests(&self) -> Vec<Guest> {
        let others = self.members.iter().cycle().skip(MEMBERS as usize);
        let all = self.members.iter().zip(others).zip(0..);
        all.map(|((member, other), number)| Guest { number, cookie: member.cookie, pool: other.joined.pool })
            .collect()
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

/// Hands in what is said first, which isn't counted, and then what is said behind it.
fn count_said<R: RandomSource>(
    name: &str,
    lobby: &mut Lobby<R>,
    counts: [u32; 2],
    act: impl Fn(&Member) -> Act<'static>,
) {
    let said = counts.map(|count| lobby.messages(count, &act));
    let mut turns = said.iter();
    count(name, TIMES, || lobby.hand_in(turns.next().expect("it is done twice")));
}

/// Pools of one, all of whose members are at one address: a million would take minutes to make.
pub(super) fn many() {
    const POOLS: u32 = 200_000;
    let mut lobby = empty();
    let (from, cookie) = (address(0), lobby.cookie(0));
    for number in 0..POOLS {
        let joined = lobby.offer(0, number, cookie, None);
        let member = Member { from, cookie, joined, epoch: None };
        if number % (POOLS / TIMES) == 0 {
            lobby.members.push(member);
            lobby.ping(lobby.members.len() - 1, 1);
        } else {
            lobby.ask(from, &member.message(1, Act::Ping(None)));
        }
    }
    assert_eq!(lobby.broadcaster.pool_count(), POOLS as usize);
    count_said("broadcaster, native ping at 200,000 pools", &mut lobby, [2, 3], |member| {
        Act::Ping(member.epoch)
    });
    assert_eq!(lobby.broadcaster.stats().dropped_replayed, 0);
}

pub(super) fn all() {
    let mut lobby = lobby();
    let pings_before = lobby.broadcaster.stats().pings;
    count_said("broadcaster, native ping at 125 pools", &mut lobby, [3, 4], |member| Act::Ping(member.epoch));
    assert_eq!(lobby.broadcaster.stats().pings, pings_before + 2 * u64::from(TIMES));
    count("native tags of a ping and its answer", TIMES, || {
        times(|| {
            // Of known lengths, as there.
            let (ping, pong): (&[u8; 22], &[u8; 10]) = black_box((&[7; 22], &[7; 10]));
            black_box(tag(black_box(&Key::ZERO), ping));
            black_box(tag(black_box(&Key::ZERO), pong));
        });
    });
    count_said("broadcaster, a native page of 8 members", &mut lobby, [5, 6], |_| Act::Ask(None));
    let pings = lobby.messages(7, |member| Act::Ping(member.epoch));
    count("broadcaster, look ahead for a native ping", TIMES, || {
        lobby.broadcaster.look_ahead(pings.iter().map(|(_, ping)| &ping[..]));
    });
    let forged: Vec<_> = pings.iter().map(|(from, ping)| (*from, forged(ping))).collect();
    count("broadcaster, a forged native ping, which is unknown", TIMES, || lobby.hand_in(&forged));
    assert_eq!(lobby.broadcaster.stats().unknown, 2 * u64::from(TIMES));
    requests(&mut lobby);
    places();
    changes();
}

/// The same, but for its tag.
fn forged(datagram: &BytesMut) -> BytesMut {
    let mut forged = datagram.clone();
    forged.iter_mut().last().into_iter().for_each(|last| *last ^= 1);
    forged
}

fn requests<R: RandomSource>(lobby: &mut Lobby<R>) {
    let spec = PoolSpec::default();
    let mut count_asked = |name: &str, request: &dyn Fn(&Member) -> BytesMut| {
        let asked: Vec<_> = lobby.members.iter().map(|member| (member.from, request(member))).collect();
        count(name, TIMES, || lobby.hand_in(&asked));
    };
    count_asked("broadcaster, a native request without a cookie", &|_| request(0, None, call(&spec, None)));
    let nobodys = call(&spec, Some(PoolUuid::NIL));
    count_asked("broadcaster, a native join that is refused", &|member| request(0, member.cookie, nobodys));
    let list = Call::List {
        application: Some(Application::POOLMESH),
        after: PoolUuid::NIL,
        free: 0,
        prefix: Name::default(),
    };
    count_asked("broadcaster, a native list of 44 of 125 pools", &|member| request(0, member.cookie, list));
    let stats = lobby.broadcaster.stats();
    assert_eq!(
        [stats.cookies_given, stats.refused, stats.lists],
        [3, 2, 2].map(|times| times * u64::from(TIMES))
    );
}

/// How pools and members come.
fn places() {
    let spec = PoolSpec::default();
    count_with(
        "broadcaster, a native create, which is offered",
        TIMES,
        || {
            let lobby = lobby();
            let create = |member: &Member| request(TIMES, member.cookie, call(&spec, None));
            let creates: Vec<_> = lobby.members.iter().map(|member| (member.from, create(member))).collect();
            (lobby, creates)
        },
        |(lobby, creates)| lobby.hand_in(creates),
    );
    count_with(
        "broadcaster, a native join, which is offered",
        TIMES,
        || {
            let lobby = lobby();
            let join = |guest: &Guest| request(TIMES, guest.cookie, call(&spec, Some(guest.pool)));
            let joins: Vec<_> =
                lobby.guests().iter().map(|guest| (address(guest.number), join(guest))).collect();
            (lobby, joins)
        },
        |(lobby, joins)| lobby.hand_in(joins),
    );
    count_with(
        "broadcaster, a native offer is taken, told to 8 to 15",
        TIMES,
        || {
            let mut lobby = lobby();
            lobby.members = (lobby.guests().into_iter())
                .map(|Guest { number, cookie, pool }| {
                    let joined = lobby.offer(number, TIMES, cookie, Some(pool));
                    Member { from: address(number), cookie, joined, epoch: None }
                })
                .collect();
            let taken = lobby.messages(1, |_| Act::Ping(None));
            (lobby, taken)
        },
        |(lobby, taken)| {
            lobby.hand_in(taken);
            assert_eq!(lobby.broadcaster.member_count(), 2 * TIMES as usize);
        },
    );
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
