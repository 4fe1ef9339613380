//! A broadcaster that says anything, with right tags: it has heard all that the client says, and keeps its own keys.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Address, Answer, Application, Call, Challenge, Change, ChangedWriter, Cookie, EndReason,
    Entry, Epoch, FromClient, Handle, Joined, Key, LeaveReason, Listed, Listing, Member, Metadata, Millis,
    Name, News, Notice, PageStart, PageWriter, PoolCode, PoolSpec, PoolUuid, PoolsWriter, Refusal, Reply,
    Seal, Seats, Session, State, Term, Tx, UnknownCode,
};

use super::server;
use crate::input::{Input, one_of};

/// What is kept of each kind, the latest.
const KEPT: usize = 16;

/// A call of which something came, to the broadcaster at this address.
#[derive(Clone, Copy, Debug)]
struct Asked {
    to: SocketAddr,
    tx: Tx,
    key: Key,
    application: Application,
    pool: Option<PoolUuid>,
    code: Option<PoolCode>,
    member: Option<Member>,
}

/// A session that the client was told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) from: SocketAddr,
    pub(super) joined: Joined,
    /// The latest state that was told.
    state: Option<State>,
    /// The latest counts that were heard.
    pub(super) pings: u32,
    pub(super) orders: u32,
    /// Counts of orders that were heard, but of those to leave, and answers to orders that were said.
    ordered: u32,
    outcomes: u32,
}

/// All that was heard and said.
#[derive(Debug, Default)]
pub(super) struct Liar {
    asked: Vec<Asked>,
    pub(super) given: Vec<Given>,
    cookies: BTreeSet<(SocketAddr, u64)>,
    sessions: u64,
}

fn push<T>(all: &mut Vec<T>, one: T) {
    if all.len() >= KEPT {
        all.remove(0);
    }
    all.push(one);
}

/// The first pool that a list of those behind this one may name.
fn behind(pool: PoolUuid) -> PoolUuid {
    PoolUuid::new(u128::from_be_bytes(pool.bytes()).wrapping_add(1).to_be_bytes())
}

/// One of a few pools.
pub(super) fn pool(choice: u8) -> PoolUuid {
    PoolUuid::new([0xf0 + choice % 4; 16])
}

fn code(choice: u8) -> PoolCode {
    PoolCode::new(u64::from(choice % 4)).expect("it is small")
}

fn member(choice: u8) -> Member {
    Member::new(u32::from(choice % 6) + 1).expect("it is not 0")
}

fn address(choice: u8) -> Address {
    let port = u16::from(choice) + 1;
    let address = if choice % 8 == 0 {
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9], port).into()
    } else {
        ([192, 0, 2, 77], port).into()
    };
    Address::new(address).expect("it has a port")
}

/// A spec: its broadcasters are some of those there are.
pub(super) fn spec(choice: u8) -> PoolSpec {
    let seats = Seats::new(u16::from(choice % 8) + 1).expect("it is not 0");
    let servers: Vec<_> =
        (0..choice % 5).map(|number| Address::new(server(number)).expect("it has a port")).collect();
    let spec =
        PoolSpec::new(seats).locked(choice & 8 == 8).with_broadcasters(&servers).expect("they are few");
    spec.named(if choice >= 128 { "a" } else { "" }).expect("it is short")
}

fn about(choice: u8) -> About<'static> {
    const LONGEST: [u8; About::MAX_LEN] = [7; About::MAX_LEN];
    let len = if choice >= 250 { About::MAX_LEN } else { usize::from(choice % 3) };
    About::new(LONGEST.split_at(len).0).expect("it is within")
}

fn refusal(input: &mut Input<'_>) -> Refusal {
    let (choice, wait) = (input.u8(), u16::from(input.u8()) * 16);
    match choice % 16 {
        0 => Refusal::Limit,
        1 => Refusal::NoSuchPool,
        2 => Refusal::Full,
        3 => Refusal::Locked,
        4 => Refusal::TooManyPools,
        5 => Refusal::TooManyPoolsOfSource,
        6 => Refusal::TooManyMembers,
        7 => Refusal::TooManyMembersOfSource,
        8 | 9 => Refusal::Busy { wait },
        10 | 11 => Refusal::Recovering { wait },
        12 => Refusal::BadTicket,
        13 => Refusal::Stale,
        14 => Refusal::NotHost,
        _ => UnknownCode::new(choice).map_or(Refusal::NoSuchMember, Refusal::Other),
    }
}

impl Liar {
    /// The client has sent something to a broadcaster: it is one that PROTOCOL.md knows, and in order. So many orders were
    /// given to it, and for so much that it said there was no room.
    pub(super) fn hear(&mut self, to: SocketAddr, datagram: &[u8], ordered: u32, dropped: u64) {
        match FromClient::read(datagram).expect("a client writes datagrams") {
            FromClient::Request(request) => {
                if let Some(cookie) = request.cookie {
                    assert!(self.cookies.contains(&(to, cookie.get())), "a cookie that {to} didn't give");
                }
                let (application, pool, code, member) = match &request.call {
                    Call::List { application, after, .. } => (*application, Some(behind(*after)), None, None),
                    Call::Create { application, .. } => (Some(*application), None, None, None),
                    Call::Join { application, pool, .. } => (Some(*application), Some(*pool), None, None),
                    Call::JoinByCode { application, code, .. } => {
                        (Some(*application), None, Some(*code), None)
                    }
                    Call::Resume { ticket, .. } => {
                        (Some(ticket.application), Some(ticket.pool), Some(ticket.code), Some(ticket.member))
                    }
                };
                let application = application.unwrap_or(Application::POOLMESH);
                push(
                    &mut self.asked,
                    Asked { to, tx: request.tx, key: request.key(), application, pool, code, member },
                );
            }
            FromClient::Message(unverified) => {
                let of = |given: &&mut Given| {
                    let handle = given.joined.handle == unverified.handle();
                    handle && unverified.verify(&given.joined.key).is_ok()
                };
                // Of a session that was forgotten here.
                let Some(given) = self.given.iter_mut().rev().find(of) else { return };
                let message = unverified.verify(&given.joined.key).expect("it was just now");
                if let Act::Move(cookie) = message.act {
                    assert!(self.cookies.contains(&(to, cookie.get())), "a cookie that {to} didn't give");
                }
                if message.act.is_order() {
                    let next = u64::from(given.orders) + 1 + dropped;
                    let counts = u64::from(given.orders)..=next;
                    assert!(counts.contains(&message.count.into()), "{message:?} after {given:?}");
                    if message.count > given.orders && message.act != Act::Leave {
                        given.ordered += 1;
                        let most = ordered + given.outcomes;
                        assert!(given.ordered <= most, "{message:?} is new, after {given:?}");
                    }
                    given.orders = message.count;
                } else {
                    assert!(message.count > given.pings, "{message:?} after {given:?}");
                    given.pings = message.count;
                }
            }
        }
    }

    /// Answers one of the calls that were heard.
    pub(super) fn answer(&mut self, input: &mut Input<'_>) -> Option<(SocketAddr, BytesMut)> {
        let (choice, kind) = (input.u8(), input.u8());
        let at = self.asked.len().checked_sub(1 + usize::from(choice % 4))?;
        let asked = self.asked.get(at).copied()?;
        let mut out = BytesMut::new();
        let reply = match kind % 8 {
            0 | 1 => {
                let cookie = Cookie::new(u64::from(kind) + 1)?;
                self.cookies.insert((asked.to, cookie.get()));
                Reply::Cookie(cookie)
            }
            2 => Reply::Refused(refusal(input)),
            3 => {
                pools(&asked, input, &mut out);
                return Some((asked.to, out));
            }
            _ => Reply::Joined(self.joined(&asked, input)),
        };
        Answer { tx: asked.tx, reply }.write(&asked.key, &mut out);
        Some((asked.to, out))
    }

    /// What was asked for, or something else.
    fn joined(&mut self, asked: &Asked, input: &mut Input<'_>) -> Joined {
        let (choice, other) = (input.u8(), input.u8());
        self.sessions += 1;
        let times = [1, 40, 1_000, 3_000, 10_000, u16::MAX];
        let time = |choice: u8| Millis::new(one_of(&times, choice)).expect("it is not 0");
        let key = u128::from(self.sessions) << 64 | 1;
        let mut joined = Joined {
            application: asked.application,
            pool: asked.pool.unwrap_or_else(|| pool(choice)),
            code: asked.code.unwrap_or_else(|| code(choice)),
            member: asked.member.unwrap_or_else(|| member(choice / 4)),
            handle: Handle(u32::from(choice % 3)),
            session: Session(self.sessions),
            key: Key::new(key.to_le_bytes()),
            interval: time(choice / 8),
            timeout: time(choice / 16),
            you: address(choice),
        };
        match other {
            0 => joined.application = Application::named("other").expect("it is short"),
            1 => joined.pool = pool(choice),
            2 => joined.member = member(choice),
            3 => joined.code = code(choice),
            _ => {}
        }
        push(
            &mut self.given,
            Given { from: asked.to, joined, state: None, pings: 0, orders: 0, ordered: 0, outcomes: 0 },
        );
        joined
    }

    fn choose(&self, choice: u8) -> Option<usize> {
        self.given.len().checked_sub(1 + usize::from(choice % 4))
    }

    /// Says something of a session.
    pub(super) fn notice(&mut self, input: &mut Input<'_>) -> Option<(SocketAddr, BytesMut)> {
        let (choice, kind) = (input.u8(), input.u8());
        let at = self.choose(choice)?;
        let given = self.given.get_mut(at)?;
        let (handle, key, off) = (given.joined.handle, given.joined.key, u32::from(input.u8() / 128));
        let mut out = BytesMut::new();
        let news = match kind % 8 {
            0 => News::Pong { count: given.pings.wrapping_add(off) },
            1 => {
                given.outcomes += 1;
                let outcome = if kind < 128 { Ok(()) } else { Err(refusal(input)) };
                News::Done { count: given.orders.wrapping_add(off), outcome }
            }
            2 => {
                let reasons = [EndReason::Kicked, EndReason::Replaced, EndReason::PoolEnded];
                News::Ended(one_of(&reasons, kind / 8))
            }
            3 => {
                given.changed(input, &mut out);
                return Some((given.from, out));
            }
            _ => {
                given.page(input, kind >= 64, &mut out);
                return Some((given.from, out));
            }
        };
        assert_eq!(Notice { handle, news }.write(&key, &mut out), 0);
        Some((given.from, out))
    }

    /// Says that it knows nobody of that session, or that he is elsewhere.
    pub(super) fn challenge(&mut self, input: &mut Input<'_>) -> Option<(SocketAddr, BytesMut)> {
        let (choice, kind) = (input.u8(), input.u8());
        let given = self.choose(choice).and_then(|at| self.given.get(at))?;
        let prove = Cookie::new(u64::from(kind / 64));
        let of_order = kind % 4 == 1;
        let count =
            if of_order { given.orders } else { given.pings }.wrapping_add(u32::from(kind % 16 == 15));
        let mut out = BytesMut::new();
        Challenge { handle: given.joined.handle, count, prove }.write(&mut out);
        let from = given.from;
        if let Some(cookie) = prove {
            self.cookies.insert((from, cookie.get()));
        }
        Some((from, out))
    }

    /// A datagram of a broadcaster, of which the tag or the key is another's.
    pub(super) fn forged(&self, input: &mut Input<'_>) -> Option<(SocketAddr, BytesMut)> {
        let choice = input.u8();
        let given = self.choose(choice).and_then(|at| self.given.get(at))?;
        let (handle, from) = (given.joined.handle, given.from);
        let news =
            if choice >= 128 { News::Ended(EndReason::Kicked) } else { News::Pong { count: given.pings } };
        let mut out = BytesMut::new();
        assert_eq!(Notice { handle, news }.write(&Key::new([choice; 16]), &mut out), 0);
        Some((from, out))
    }
}

fn pools(asked: &Asked, input: &mut Input<'_>, out: &mut BytesMut) {
    let (count, next, texts) = (input.u8() % 6, input.u8(), input.u8());
    const LONG: [u8; Metadata::MAX_LEN] = [7; Metadata::MAX_LEN];
    let mut writer = PoolsWriter::new(out, asked.tx);
    let code = code(next);
    for number in 0..count {
        let listed = Listed {
            code,
            locked: texts & 1 == 1,
            members: u16::from(texts),
            seats: Seats::new(u16::from(texts) + 1).expect("it is not 0"),
            name: Name::new("a").expect("it is short"),
            metadata: Metadata::new(if texts >= 128 { &LONG } else { &[] }).expect("it is within"),
        };
        let listed = (texts & 2 == 0).then_some(listed);
        // A member that looks for its pool elsewhere asks for what is behind the id before it.
        let pool = asked.pool.filter(|_| number == 0 && texts & 4 == 4);
        let pool = pool.unwrap_or_else(|| PoolUuid::new([number * 40 + 1; 16]));
        let _fits = writer.push(&Listing { pool, listed });
    }
    writer.finish(&asked.key, (next >= 128).then(|| PoolUuid::new([next; 16])));
}

impl Given {
    /// What holds now, as it says: the next epoch, or any.
    fn next_state(&mut self, input: &mut Input<'_>, count: u8, host: u8) -> State {
        let (step, rest) = (input.u8(), input.u8());
        let (era, number) = self.state.map_or((1, 1), |state| (state.epoch.era(), state.epoch.number()));
        let (era, number) = match step % 8 {
            0..=3 => (era, number.saturating_add(1)),
            4 | 5 => (era, number),
            6 => (u64::from(step / 64), u32::from(rest % 4) + 1),
            _ => (era, number.saturating_add(u32::from(step / 8))),
        };
        let state = State {
            epoch: Epoch::new(era, number).expect("it is not 0"),
            generation: u32::from(rest / 128),
            base: Epoch::new(era ^ 1, u32::from(rest % 2)),
            came: u16::from(rest % 2),
            term: Term::new(u32::from(rest / 32) + 1).expect("it is not 0"),
            host: member(host),
            next: Member::new(8).expect("it is not 0"),
            purged: 0,
            count: Seats::new(u16::from(count).max(1)).expect("it is not 0"),
            seal: Seal::new([rest; 16]),
        };
        self.state = Some(state);
        state
    }

    /// Some of the members; a fair one is whole, and has the receiver and the host.
    fn page(&mut self, input: &mut Input<'_>, fair: bool, out: &mut BytesMut) {
        let (chosen, texts) = (input.u8(), input.u8());
        let me = u8::try_from((self.joined.member.get() - 1) % 6).expect("it is below 6");
        let members = if fair { chosen | 1 << me } else { chosen };
        let there = |number: &u8| members & 1 << number != 0;
        let count = (0..6).filter(there).count() as u8;
        let host = if fair { (0..6).find(there).unwrap_or(me) } else { texts % 6 };
        let state = self.next_state(input, if fair { count } else { texts % 8 }, host);
        let spec = spec(texts);
        let from = if fair || texts % 4 > 0 { 0 } else { u32::from(texts / 8 % 6) };
        let start = Member::new(from).map_or(PageStart::First(spec.as_spec()), PageStart::From);
        let count = self.pings.wrapping_add(u32::from(!fair && texts >= 224));
        let mut writer = PageWriter::new(out, self.joined.handle, count, &start, &state);
        for number in (0..6).filter(there) {
            let address = if number == me { self.joined.you } else { address(texts.wrapping_add(number)) };
            let _fits = writer.push(&Entry { member: member(number), address, about: about(texts) });
        }
        writer.finish(&self.joined.key, !fair && texts & 2 == 2);
    }

    fn changed(&mut self, input: &mut Input<'_>, out: &mut BytesMut) {
        let (length, count) = (input.u8() % 4, input.u8());
        let state = self.next_state(input, count % 8, count / 32);
        let mut writer = ChangedWriter::new(out, self.joined.handle, &state);
        for _ in 0..length {
            let (kind, choice) = (input.u8(), input.u8());
            let spec = spec(choice);
            let change = match kind % 5 {
                0 => Change::Joined(Entry {
                    member: member(choice),
                    address: address(kind),
                    about: about(choice),
                }),
                1 => {
                    let reasons = [
                        LeaveReason::Left,
                        LeaveReason::TimedOut,
                        LeaveReason::Kicked,
                        LeaveReason::Replaced,
                    ];
                    Change::Left { member: member(choice), reason: one_of(&reasons, kind / 8) }
                }
                2 => Change::About { member: member(choice), about: about(kind) },
                3 => Change::Moved { member: member(choice), address: address(kind) },
                _ => Change::Spec(spec.as_spec()),
            };
            let _fits = writer.push(&change);
        }
        writer.finish(&self.joined.key);
    }
}
