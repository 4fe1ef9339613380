//! Who guesses: keys, tags, cookies and codes; and who has a ticket, and changes it.

use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::BytesMut;
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Cookie, Epoch, Joined, Key, Member, Message, PoolCode, PoolSpec, Request,
    Seal, Seats, Session, State, Term, Ticket, Tx,
};
use poolmesh_testkit::sim::Rng;

use crate::Fallible;
use crate::clock::now;
use crate::crowd::{Seen, application};
use crate::thieves::{Answers, Thieves, address};
use crate::wire::Injector;

/// What members have counted to.
const LIKELY_COUNTS: u64 = 32;
/// Numbers that members have.
const LIKELY_MEMBERS: u64 = 4;
/// Codes that each thief tries.
const CODES_EACH: usize = 60;
const AFTERWARDS: Duration = Duration::from_millis(500);

/// What was tried, and what was answered.
pub(crate) type Tried = (u64, Answers);

/// Somebody who knows where all members are, and what their places are at the broadcaster, and has seen what they said.
#[derive(Debug)]
pub(crate) struct Guesser {
    pub(crate) injector: Injector,
    pub(crate) thieves: Thieves,
    pub(crate) rng: Rng,
    pub(crate) seen: Vec<Seen>,
    /// The members, of whom it doesn't know the keys.
    pub(crate) victims: Vec<(SocketAddrV4, Joined)>,
}

impl Guesser {
    /// Guesses keys, tags and cookies, so many a second. Only what thieves are answered is seen here.
    pub(crate) fn guess(&mut self, rate: u32, time: Duration) -> Fallible<Tried> {
        let (mut answers, mut datagram) = (Answers::new(), BytesMut::new());
        let (began, mut sent) = (now(), 0_u64);
        loop {
            let passed = now().saturating_duration_since(began);
            let due = (passed.min(time).as_secs_f64() * f64::from(rate)) as u64;
            while sent < due {
                sent += 1;
                datagram.clear();
                let from = self.write_guess(&mut datagram)?;
                self.injector.send(from, &datagram)?;
            }
            if passed >= time {
                self.thieves.listen(AFTERWARDS, &mut answers)?;
                return Ok((sent, answers));
            }
            self.thieves.listen(Duration::ZERO, &mut answers)?;
        }
    }

    /// Writes a guess, and says where it is to come from.
    fn write_guess(&mut self, out: &mut BytesMut) -> Fallible<SocketAddrV4> {
        let rng = &mut self.rng;
        let (at, joined) = *rng.pick(&self.victims);
        let nth = rng.index(self.thieves.count());
        match rng.below(4) {
            // The key of a member, from where it is and from elsewhere.
            0 | 1 => {
                write_message(&joined, rng, out);
                Ok(if rng.below(2) == 0 { at } else { address(nth) })
            }
            // A bit of what was seen turned: then the tag is wrong, or it is another's.
            2 => {
                let (_, whole) = rng.pick(&self.seen);
                out.extend_from_slice(whole);
                let place = rng.index(out.len());
                if let Some(byte) = out.get_mut(place) {
                    *byte ^= 1 << rng.below(8);
                }
                Ok(address(nth))
            }
            // A cookie: made up, or of another address.
            _ => {
                let stolen = self.thieves.cookie(nth).filter(|_| nth > 0 && rng.below(2) == 0);
                let cookie = stolen.or_else(|| Cookie::new(rng.u64()));
                let (application, about) = (application(), About::default());
                let call = Call::Join { application, pool: joined.pool, about };
                Request { tx: tx(rng)?, cookie, call }.write(out);
                Ok(address(0))
            }
        }
    }

    /// Shows these tickets, each by another thief.
    pub(crate) fn show(&mut self, tickets: &[(Ticket, PoolSpec)]) -> Fallible<Tried> {
        let (mut sent, mut answers, mut datagram) = (0, Answers::new(), BytesMut::new());
        for (nth, (ticket, spec)) in tickets.iter().enumerate() {
            let call = Call::Resume { ticket: *ticket, spec: spec.as_spec(), about: About::default() };
            datagram.clear();
            let cookie = self.thieves.cookie(nth);
            Request { tx: tx(&mut self.rng)?, cookie, call }.write(&mut datagram);
            self.injector.send(address(nth), &datagram)?;
            sent += 1;
        }
        self.thieves.listen(AFTERWARDS, &mut answers)?;
        Ok((sent, answers))
    }

    /// Asks for codes, each thief for many.
    pub(crate) fn ask_for_codes(&mut self) -> Fallible<Tried> {
        let (mut sent, mut answers, mut datagram) = (0, Answers::new(), BytesMut::new());
        for nth in 0..self.thieves.count() {
            for _ in 0..CODES_EACH {
                let code = PoolCode::new(self.rng.below(PoolCode::END)).ok_or("it is below the end")?;
                let call = Call::JoinByCode { application: application(), code, about: About::default() };
                datagram.clear();
                let cookie = self.thieves.cookie(nth);
                Request { tx: tx(&mut self.rng)?, cookie, call }.write(&mut datagram);
                self.injector.send(address(nth), &datagram)?;
                sent += 1;
            }
            self.thieves.listen(Duration::ZERO, &mut answers)?;
        }
        self.thieves.listen(AFTERWARDS, &mut answers)?;
        Ok((sent, answers))
    }
}

fn tx(rng: &mut Rng) -> Fallible<Tx> {
    Tx::new(rng.u64() | 1).ok_or_else(|| "an odd number is 0".into())
}

/// Writes something in the name of a member, without its key.
fn write_message(victim: &Joined, rng: &mut Rng, out: &mut BytesMut) {
    let acts = [Act::Ping(None), Act::Ask(None), Act::Leave, Act::Close];
    let act = match (rng.below(3), Member::new(rng.range(1, LIKELY_MEMBERS) as u32)) {
        (0, Some(member)) => Act::Kick(member),
        (1, Some(member)) => Act::Hand(member),
        _ => *rng.pick(&acts),
    };
    let key = Key::new(rng.u128().to_le_bytes());
    Message { handle: victim.handle, count: rng.range(1, LIKELY_COUNTS) as u32, act }.write(&key, out);
}

/// The ticket with each of its fields changed, and each bit of its seal.
pub(crate) fn changed_tickets(ticket: Ticket) -> impl Iterator<Item = Ticket> {
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
        Some(with(State { base: Some(state.epoch), ..state })),
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
