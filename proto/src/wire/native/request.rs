//! Requests of clients (PROTOCOL.md, section 3).

use bytes::BytesMut;

use super::datagram::{Closed, Draft};
use super::fault::{Fault, fault};
use super::field::{self, Field, Parsed, Put};
use super::{About, Application, Cookie, Key, Name, PoolCode, PoolUuid, Spec, Ticket, Tx};

/// A request to a broadcaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Which call of the application it is of.
    pub tx: Tx,
    /// What the broadcaster gave to prove the address by, if it did.
    pub cookie: Option<Cookie>,
    /// What is asked.
    pub call: Call<'a>,
}

/// What a client asks of a broadcaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call<'a> {
    /// Name pools. Answered by [`Reply::Pools`](super::Reply::Pools).
    List {
        /// Whose pools; none: those of the classic dialect.
        application: Option<Application>,
        /// Pools with greater ids.
        after: PoolUuid,
        /// Pools with at least so many free seats.
        free: u16,
        /// Pools whose names begin so.
        prefix: Name<'a>,
    },
    /// Make a pool.
    Create {
        /// Whose.
        application: Application,
        /// What the pool is to be.
        spec: Spec<'a>,
        /// What its first member says of itself.
        about: About<'a>,
    },
    /// Admit the client to a pool.
    Join {
        /// Whose pool.
        application: Application,
        /// Which.
        pool: PoolUuid,
        /// What the member says of itself.
        about: About<'a>,
    },
    /// Admit the client to the pool of a code.
    JoinByCode {
        /// Whose pool.
        application: Application,
        /// Its code.
        code: PoolCode,
        /// What the member says of itself.
        about: About<'a>,
    },
    /// Have a member back whose session the broadcaster doesn't know, or its pool.
    Resume {
        /// What the member knows.
        ticket: Ticket,
        /// The spec that the ticket's seal was made with.
        spec: Spec<'a>,
        /// What the member says of itself.
        about: About<'a>,
    },
}

const LIST: u8 = 0x01;
const CREATE: u8 = 0x02;
const JOIN: u8 = 0x03;
const JOIN_BY_CODE: u8 = 0x04;
const RESUME: u8 = 0x05;

/// Whether it is the type of a request.
pub(super) fn is_request(kind: u8) -> bool {
    matches!(kind, LIST | CREATE | JOIN | JOIN_BY_CODE | RESUME)
}

/// `request = u64 tx, u64 cookie, call`, of which the first two are the key of the tag
pub(super) fn read<'a>(closed: &Closed<'a>) -> Result<Request<'a>, Fault> {
    let (rest, tx) = Tx::read(closed.fields).map_err(fault)?;
    let (rest, cookie) = Cookie::read_optional(rest).map_err(fault)?;
    closed.check(&Key::of_request(tx, cookie))?;
    let (_, call) = call(closed.kind, rest).map_err(fault)?;
    Ok(Request { tx, cookie, call })
}

fn call(kind: u8, input: &[u8]) -> Parsed<'_, Call<'_>> {
    match kind {
        LIST => list(input),
        CREATE => create(input),
        JOIN => join(input),
        JOIN_BY_CODE => join_by_code(input),
        RESUME => resume(input),
        _ => Err(nom::Err::Error(Fault::UnknownType)),
    }
}

/// `list = id application or zero bytes, id after, u16 free, text8 prefix`
fn list(input: &[u8]) -> Parsed<'_, Call<'_>> {
    let (input, application) = field::id(input)?;
    let (input, after) = PoolUuid::read(input)?;
    let (input, free) = field::u16(input)?;
    let (rest, prefix) = Name::read(input)?;
    Ok((rest, Call::List { application: Application::new(application), after, free, prefix }))
}

/// `create = application, spec, about`
fn create(input: &[u8]) -> Parsed<'_, Call<'_>> {
    let (input, application) = Application::read(input)?;
    let (input, spec) = Spec::read(input)?;
    let (rest, about) = About::read(input)?;
    Ok((rest, Call::Create { application, spec, about }))
}

/// `join = application, id pool, about`
fn join(input: &[u8]) -> Parsed<'_, Call<'_>> {
    let (input, application) = Application::read(input)?;
    let (input, pool) = PoolUuid::read(input)?;
    let (rest, about) = About::read(input)?;
    Ok((rest, Call::Join { application, pool, about }))
}

/// `join by code = application, code, about`
fn join_by_code(input: &[u8]) -> Parsed<'_, Call<'_>> {
    let (input, application) = Application::read(input)?;
    let (input, code) = PoolCode::read(input)?;
    let (rest, about) = About::read(input)?;
    Ok((rest, Call::JoinByCode { application, code, about }))
}

/// `resume = ticket, spec, about`
fn resume(input: &[u8]) -> Parsed<'_, Call<'_>> {
    let (input, ticket) = Ticket::read(input)?;
    let (input, spec) = Spec::read(input)?;
    let (rest, about) = About::read(input)?;
    Ok((rest, Call::Resume { ticket, spec, about }))
}

impl Request<'_> {
    /// The key of its tag, and of the tags of its answers.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of_request(self.tx, self.cookie)
    }

    /// Appends the request to `out`: at most 930 bytes.
    pub fn write(&self, out: &mut BytesMut) {
        let kind = match self.call {
            Call::List { .. } => LIST,
            Call::Create { .. } => CREATE,
            Call::Join { .. } => JOIN,
            Call::JoinByCode { .. } => JOIN_BY_CODE,
            Call::Resume { .. } => RESUME,
        };
        let mut draft = Draft::new(out, kind);
        self.tx.write(&mut draft);
        Cookie::write_optional(self.cookie, &mut draft);
        self.call.write(&mut draft);
        draft.finish(&self.key());
    }
}

impl Call<'_> {
    fn write(&self, out: &mut impl Put) {
        match self {
            Self::List { application, after, free, prefix } => {
                out.put(&application.map_or([0; 16], Application::bytes));
                after.write(out);
                out.put_u16(*free);
                prefix.write(out);
            }
            Self::Create { application, spec, about } => {
                application.write(out);
                spec.write(out);
                about.write(out);
            }
            Self::Join { application, pool, about } => {
                application.write(out);
                pool.write(out);
                about.write(out);
            }
            Self::JoinByCode { application, code, about } => {
                application.write(out);
                code.write(out);
                about.write(out);
            }
            Self::Resume { ticket, spec, about } => {
                ticket.write(out);
                spec.write(out);
                about.write(out);
            }
        }
    }
}
