//! What answers requests (PROTOCOL.md, section 3).

use bytes::BytesMut;

use super::datagram::{Closed, Draft};
use super::fault::{Fault, fault};
use super::field::{self, Field, Parsed, Put, allowed};
use super::{
    Address, Application, Cookie, Handle, Items, Key, Listing, Member, Millis, PoolCode, PoolUuid,
    PoolsWriter, Refusal, Session, Tx,
};

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Which call of the application it answers.
    pub tx: Tx,
    /// What is answered.
    pub reply: Reply<'a>,
}

/// What a broadcaster answers to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Ask again with this cookie.
    Cookie(Cookie),
    /// The request is refused.
    Refused(Refusal),
    /// Some pools.
    Pools {
        /// What to ask for `after` them; none: there are no more. Not less than the last pool's id.
        next: Option<PoolUuid>,
        /// The pools, their ids ascending.
        listings: Items<'a, Listing<'a>>,
    },
    /// The client is offered a place in a pool.
    Joined(Joined),
}

/// A place in a pool, offered to a client (PROTOCOL.md, section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Whose pool it is.
    pub application: Application,
    /// Which.
    pub pool: PoolUuid,
    /// Its code.
    pub code: PoolCode,
    /// Who the client is in it.
    pub member: Member,
    /// The client's place at this broadcaster.
    pub handle: Handle,
    /// Which session of the member it is.
    pub session: Session,
    /// The key of the session.
    pub key: Key,
    /// How often to ping, in milliseconds.
    pub interval: Millis,
    /// How long a member may be silent, in milliseconds.
    pub timeout: Millis,
    /// Where the broadcaster sees the client.
    pub you: Address,
}

const COOKIE: u8 = 0x80;
const REFUSED: u8 = 0x81;
pub(super) const POOLS: u8 = 0x82;
const JOINED: u8 = 0x83;

/// Whether it is the type of an answer.
pub(super) fn is_answer(kind: u8) -> bool {
    matches!(kind, COOKIE | REFUSED | POOLS | JOINED)
}

/// An answer whose tag has not been looked at: whoever saw no request can write one.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedAnswer<'a> {
    closed: Closed<'a>,
    tx: Tx,
}

impl<'a> UnverifiedAnswer<'a> {
    /// `answer = u64 tx, reply`
    pub(super) fn read(closed: Closed<'a>) -> Result<Self, Fault> {
        let (fields, tx) = Tx::read(closed.fields).map_err(fault)?;
        Ok(Self { closed: closed.with_fields(fields), tx })
    }

    /// Which call it says that it answers.
    #[must_use]
    pub fn tx(&self) -> Tx {
        self.tx
    }

    /// The answer, if its tag is right. The key is that of the request as it was sent, with its cookie; a client that
    /// has sent it with several may try all.
    ///
    /// # Errors
    /// What is wrong with it, first of all its tag.
    pub fn verify(&self, key: &Key) -> Result<Answer<'a>, Fault> {
        self.closed.check(key)?;
        let (_, reply) = reply(self.closed.kind, self.closed.fields).map_err(fault)?;
        Ok(Answer { tx: self.tx, reply })
    }
}

fn reply(kind: u8, input: &[u8]) -> Parsed<'_, Reply<'_>> {
    match kind {
        COOKIE => Cookie::read(input).map(|(rest, cookie)| (rest, Reply::Cookie(cookie))),
        REFUSED => Refusal::read(input).map(|(rest, refusal)| (rest, Reply::Refused(refusal))),
        POOLS => pools(input),
        JOINED => joined(input).map(|(rest, joined)| (rest, Reply::Joined(joined))),
        _ => Err(nom::Err::Error(Fault::UnknownType)),
    }
}

/// `pools = id next, u8 count, count × listing`; the ids ascend, and the next, if any, is not less than the last
fn pools(input: &[u8]) -> Parsed<'_, Reply<'_>> {
    let (input, next) = PoolUuid::read(input)?;
    let next = (next != PoolUuid::NIL).then_some(next);
    let (input, count) = field::byte(input)?;
    let (rest, listings) = Items::<Listing<'_>>::read(count, input)?;
    let ids = listings.map(|listing| listing.pool);
    let ascending = ids.clone().is_sorted_by(|one, other| one < other);
    let goes_on = next.is_none_or(|next| ids.clone().last().is_none_or(|last| last <= next));
    allowed(rest, (ascending && goes_on).then_some(Reply::Pools { next, listings }))
}

/// `joined = application, pool, code, member, u32 handle, u64 session, id key, u16 interval, u16 timeout, address you`;
/// neither of the times is 0
fn joined(input: &[u8]) -> Parsed<'_, Joined> {
    let (input, application) = Application::read(input)?;
    let (input, pool) = PoolUuid::read(input)?;
    let (input, code) = PoolCode::read(input)?;
    let (input, member) = Member::read(input)?;
    let (input, handle) = Handle::read(input)?;
    let (input, session) = Session::read(input)?;
    let (input, key) = Key::read(input)?;
    let (input, interval) = Millis::read(input)?;
    let (input, timeout) = Millis::read(input)?;
    let (rest, you) = Address::read(input)?;
    let joined = Joined { application, pool, code, member, handle, session, key, interval, timeout, you };
    Ok((rest, joined))
}

impl Joined {
    fn write(&self, out: &mut impl Put) {
        self.application.write(out);
        self.pool.write(out);
        self.code.write(out);
        self.member.write(out);
        self.handle.write(out);
        self.session.write(out);
        self.key.write(out);
        self.interval.write(out);
        self.timeout.write(out);
        self.you.write(out);
    }
}

impl Answer<'_> {
    /// Appends the answer to `out`, with the key of the request that it answers. To list pools that were not read from
    /// a datagram there is [`PoolsWriter`].
    pub fn write(&self, key: &Key, out: &mut BytesMut) {
        match &self.reply {
            Reply::Cookie(cookie) => self.write_as(COOKIE, key, out, |draft| cookie.write(draft)),
            Reply::Refused(refusal) => self.write_as(REFUSED, key, out, |draft| refusal.write(draft)),
            Reply::Joined(joined) => self.write_as(JOINED, key, out, |draft| joined.write(draft)),
            Reply::Pools { next, listings } => {
                let mut writer = PoolsWriter::new(out, self.tx);
                // They were in one datagram, so they fit one.
                for listing in *listings {
                    let _fits = writer.push(&listing);
                }
                writer.finish(key, *next);
            }
        }
    }

    fn write_as(&self, kind: u8, key: &Key, out: &mut BytesMut, write: impl FnOnce(&mut Draft<'_>)) {
        let mut draft = Draft::new(out, kind);
        self.tx.write(&mut draft);
        write(&mut draft);
        draft.finish(key);
    }
}
