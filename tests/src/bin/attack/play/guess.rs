//! Who guesses: keys, cookies, codes; and who has a ticket, and changes it.

use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::BytesMut;
use clap::Args;
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Cookie, Epoch, Handle, Key, Member, Message, PoolCode, PoolSpec, PoolUuid,
    Refusal, Request, Seal, Seats, Session, State, Term, Ticket, Tx,
};
use poolmesh_testkit::sim::Rng;

use super::{Target, seconds};
use crate::Fallible;
use crate::client::{Client, Event, Order};
use crate::clock::now;
use crate::crowd::{Crowd, Events, Who, application};
use crate::enclosure::Enclosure;
use crate::pools::{changed, gather, go_on, number, outcomes, rosters};
use crate::thieves::{Answers, Thieves, address};
use crate::verdict::Verdict;
use crate::wire::Injector;

const POOLS: usize = 10;
const MEMBERS: u16 = 4;
const THIEVES: usize = 256;
/// Of a source that guesses codes, so many guesses a minute are answered.
const CODES: u64 = 20;
/// Each thief tries so many.
const CODES_EACH: usize = 60;
/// What members have counted to.
const LIKELY_COUNTS: u64 = 32;
const PIECE: Duration = Duration::from_millis(1);
/// Longer than a member may be silent.
const AFTERWARDS: Duration = Duration::from_secs(12);

/// Guesses keys, tags, cookies and codes, and changes tickets
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Guesses a second
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    rate: u32,

    /// For how many seconds
    #[arg(long, value_name = "S", default_value = "60", value_parser = seconds)]
    seconds: Duration,

    #[command(flatten)]
    target: Target,
}

pub(super) fn play(options: &Options) -> Fallible<()> {
    let enclosure = Enclosure::check()?;
    let mut server = options.target.start(enclosure)?;
    let mut crowd = options.target.crowd(enclosure)?;
    crowd.recording = Some(Vec::new());
    let pools = gather(&mut crowd, POOLS, MEMBERS)?;
    let before = rosters(&crowd, pools.iter().flatten());
    let mut injector = Injector::new(enclosure, options.target.at)?;
    let mut thieves = Thieves::new(THIEVES, &mut injector)?;
    let mut rng = Rng::new(options.target.seed);
    let mut verdict = Verdict::default();

    let (guesses, answers, mut events) = guess(&mut crowd, &mut injector, &mut thieves, &mut rng, options)?;
    println!("{guesses} guesses: {answers:?}");
    let taken = others(&answers, &["Unknown", "Cookie"]);
    verdict.check(taken == 0, format_args!("{taken} of {guesses} guesses were taken"));

    let (tickets, answers) = tickets(&crowd, &mut injector, &mut thieves, &pools)?;
    println!("{tickets} changed tickets: {answers:?}");
    let refused = answers.get("Refused 11").copied().unwrap_or(0);
    verdict.check(
        refused == tickets,
        format_args!("{refused} of {tickets} changed tickets were refused as such"),
    );

    let (guesses, answers) = codes(&mut injector, &mut thieves, &mut rng)?;
    println!("{guesses} codes: {answers:?}");
    let answered = answers.get("Refused 2").copied().unwrap_or(0);
    let most = CODES * THIEVES as u64;
    let taken = others(&answers, &["Refused 2", "Refused 9"]);
    verdict.check(taken == 0, format_args!("{taken} of {guesses} codes were right"));
    verdict.check(answered <= most, format_args!("{answered} codes were looked up, of {most} at the most"));

    events.extend(go_on(&mut crowd, AFTERWARDS)?);
    let (orders, refused) = overreach(&mut crowd, &pools)?;
    verdict.check(
        refused == orders,
        format_args!("{refused} of {orders} orders of who is no host were refused"),
    );
    // Whoever guesses the count of a ping has its member come back, which changes nothing.
    let back = events.iter().filter(|(_, event)| *event == Event::Back).count();
    println!("members had to show their ticket {back} times");
    let gone = |event: &Event| matches!(event, Event::Ended(_) | Event::Over(_) | Event::TimedOut);
    let gone = events.iter().filter(|(_, event)| gone(event)).count();
    verdict.check(gone == 0, format_args!("{gone} members lost their place"));
    let changed = changed(&crowd, &before);
    verdict.check(changed == 0, format_args!("{changed} of {} rosters changed", before.len()));
    let stopped = server.stop();
    verdict.check(stopped.is_ok(), format_args!("the broadcaster ran and stopped well: {stopped:?}"));
    verdict.done()
}

/// How many answers have other names.
fn others(answers: &Answers, names: &[&str]) -> u64 {
    answers.iter().filter(|(name, _)| !names.contains(&name.as_str())).map(|(_, count)| count).sum()
}

/// A member whom the attackers have seen: where it is, and what its place is at the broadcaster.
#[derive(Clone, Copy)]
struct Victim {
    address: SocketAddrV4,
    handle: Handle,
    pool: PoolUuid,
}

fn victims(crowd: &Crowd) -> Vec<Victim> {
    let victim = |client: &Client| {
        client.joined().map(|it| Victim { address: client.address, handle: it.handle, pool: it.pool })
    };
    crowd.clients().iter().filter_map(victim).collect()
}

/// Guesses, from everywhere. Only what thieves are answered is seen here: what the members are, they see.
fn guess(
    crowd: &mut Crowd,
    injector: &mut Injector,
    thieves: &mut Thieves,
    rng: &mut Rng,
    options: &Options,
) -> Fallible<(u64, Answers, Events)> {
    let victims = victims(crowd);
    let seen = crowd.recording.take().unwrap_or_default();
    let (mut answers, mut events) = (Answers::new(), Vec::new());
    let (began, mut sent) = (now(), 0_u64);
    let mut datagram = BytesMut::new();
    loop {
        let passed = now().saturating_duration_since(began);
        if passed >= options.seconds {
            break;
        }
        events.append(&mut go_on(crowd, PIECE)?);
        thieves.listen(Duration::ZERO, &mut answers)?;
        let due = (passed.as_secs_f64() * f64::from(options.rate)) as u64;
        while sent < due {
            sent += 1;
            let victim = rng.pick(&victims);
            let nth = rng.index(thieves.count());
            datagram.clear();
            let from = match rng.below(4) {
                // A tag, as the member and as somebody else.
                0 | 1 => {
                    write_message(*victim, rng, &mut datagram);
                    if rng.below(2) == 0 { victim.address } else { address(nth) }
                }
                // A bit of what was seen turned: mostly the tag is wrong then, and what isn't is somebody else's.
                2 => {
                    let (_, whole) = rng.pick(&seen);
                    datagram.extend_from_slice(whole);
                    let place = rng.index(datagram.len());
                    if let Some(byte) = datagram.get_mut(place) {
                        *byte ^= 1 << rng.below(8);
                    }
                    address(nth)
                }
                // A cookie: made up, or somebody else's.
                _ => {
                    let stolen =
                        thieves.cookie(rng.index(thieves.count()).max(1)).filter(|_| rng.below(2) == 0);
                    let cookie = stolen.or_else(|| Cookie::new(rng.u64()));
                    let tx = Tx::new(rng.u64() | 1).ok_or("it is odd")?;
                    let call =
                        Call::Join { application: application(), pool: victim.pool, about: About::default() };
                    Request { tx, cookie, call }.write(&mut datagram);
                    address(0)
                }
            };
            injector.send(from, &datagram)?;
        }
    }
    thieves.listen(Duration::from_millis(200), &mut answers)?;
    Ok((sent, answers, events))
}

/// Writes something in the name of a member, without its key.
fn write_message(victim: Victim, rng: &mut Rng, out: &mut BytesMut) {
    let acts = [Act::Ping(None), Act::Ask(None), Act::Leave, Act::Close];
    let member = Member::new(rng.range(1, MEMBERS.into()) as u32);
    let act = match (rng.below(3), member) {
        (0, Some(member)) => Act::Kick(member),
        (1, Some(member)) => Act::Hand(member),
        _ => *rng.pick(&acts),
    };
    let key = Key::new(rng.u128().to_le_bytes());
    Message { handle: victim.handle, count: rng.range(1, LIKELY_COUNTS) as u32, act }.write(&key, out);
}

/// Shows tickets of a member, each of them changed somewhere, and each by another thief.
fn tickets(
    crowd: &Crowd,
    injector: &mut Injector,
    thieves: &mut Thieves,
    pools: &[Vec<Who>],
) -> Fallible<(u64, Answers)> {
    let member = pools.first().and_then(|pool| crowd.client(*pool.get(1)?)).ok_or("there is no member")?;
    let (ticket, roster) = member.ticket().zip(member.roster()).ok_or("the member has no ticket")?;
    let mut changed: Vec<(Ticket, PoolSpec)> =
        changed_tickets(ticket).map(|ticket| (ticket, roster.spec.clone())).collect();
    changed.push((ticket, roster.spec.clone().hidden(true)));
    let mut datagram = BytesMut::new();
    for (nth, (ticket, spec)) in changed.iter().enumerate() {
        let nth = nth % thieves.count();
        let tx = Tx::new((1 << 32) + nth as u64).ok_or("it is not 0")?;
        let call = Call::Resume { ticket: *ticket, spec: spec.as_spec(), about: About::default() };
        datagram.clear();
        Request { tx, cookie: thieves.cookie(nth), call }.write(&mut datagram);
        injector.send(address(nth), &datagram)?;
    }
    let mut answers = Answers::new();
    thieves.listen(Duration::from_millis(500), &mut answers)?;
    Ok((changed.len() as u64, answers))
}

/// The ticket with each of its fields changed, and each bit of its seal.
fn changed_tickets(ticket: Ticket) -> impl Iterator<Item = Ticket> {
    let state = ticket.state;
    let with = move |state| Ticket { state, ..ticket };
    let (one, epoch) = (Member::new(1), state.epoch);
    let fields = [
        Application::named("another").ok().map(|application| Ticket { application, ..ticket }),
        Some(Ticket { pool: ticket.pool.before(), ..ticket }),
        PoolCode::new(ticket.code.get() ^ 1).map(|code| Ticket { code, ..ticket }),
        one.map(|member| Ticket { member, ..ticket }),
        Some(Ticket { session: Session(ticket.session.0 ^ 1), ..ticket }),
        Epoch::new(epoch.era() ^ 1, epoch.number()).map(|epoch| with(State { epoch, ..state })),
        Epoch::new(epoch.era(), epoch.number() + 1).map(|epoch| with(State { epoch, ..state })),
        Some(with(State { generation: state.generation + 1, ..state })),
        Term::new(state.term.get() + 1).map(|term| with(State { term, ..state })),
        Some(with(State { host: ticket.member, ..state })),
        Member::new(state.next.get() + 1).map(|next| with(State { next, ..state })),
        Some(with(State { purged: state.purged + 1, ..state })),
        Seats::new(1).map(|count| with(State { count, ..state })),
    ];
    let seal = u128::from_le_bytes(state.seal.bytes());
    let seals =
        (0..128).map(move |bit| with(State { seal: Seal::new((seal ^ 1 << bit).to_le_bytes()), ..state }));
    fields.into_iter().flatten().chain(seals)
}

/// Asks for codes, each thief for many.
fn codes(injector: &mut Injector, thieves: &mut Thieves, rng: &mut Rng) -> Fallible<(u64, Answers)> {
    let (mut sent, mut answers, mut datagram) = (0, Answers::new(), BytesMut::new());
    for nth in 0..thieves.count() {
        for _ in 0..CODES_EACH {
            let code = PoolCode::new(rng.below(PoolCode::END)).ok_or("it is below the end")?;
            let tx = Tx::new(rng.u64() | 1).ok_or("it is odd")?;
            let call = Call::JoinByCode { application: application(), code, about: About::default() };
            datagram.clear();
            Request { tx, cookie: thieves.cookie(nth), call }.write(&mut datagram);
            injector.send(address(nth), &datagram)?;
            sent += 1;
        }
        thieves.listen(PIECE, &mut answers)?;
    }
    thieves.listen(Duration::from_millis(500), &mut answers)?;
    Ok((sent, answers))
}

/// Has members order what only the host may, and hosts what nobody may. How many orders, and how many were refused.
fn overreach(crowd: &mut Crowd, pools: &[Vec<Who>]) -> Fallible<(usize, usize)> {
    let spec = PoolSpec::new(Seats::new(1).ok_or("1 is in the bounds")?);
    let (mut orders, mut refused) = (0, 0);
    for which in 0..5 {
        let given = pools.iter().filter_map(|pool| {
            let (host, member) = (number(crowd, pool, 0)?, number(crowd, pool, 1)?);
            let (nth, order) = match which {
                0 => (1, Order::Kick(host)),
                1 => (1, Order::Hand(member)),
                2 => (1, Order::Change(spec.clone())),
                3 => (1, Order::Close),
                _ => (0, Order::Kick(host)),
            };
            Some((*pool.get(nth)?, order))
        });
        let outcomes = outcomes(crowd, given.collect())?;
        orders += outcomes.len();
        let as_due = |outcome: &Result<(), Refusal>| {
            *outcome == Err(if which == 4 { Refusal::NoSuchMember } else { Refusal::NotHost })
        };
        refused += outcomes.iter().filter(|outcome| as_due(outcome)).count();
    }
    Ok((orders, refused))
}
