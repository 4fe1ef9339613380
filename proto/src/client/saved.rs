//! What a program keeps to come back to a pool when it starts again.

use core::fmt;
use core::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::PoolId;
use crate::wire::native::field::Field;
use crate::wire::native::{About, Address, Key, PoolSpec, Spec, Ticket, tag};

/// What a program keeps to come back to a pool: what [`Membership::save`](super::Membership::save) gives and
/// [`Client::resume`](super::Client::resume) takes.
///
/// Save it when a call has led into the pool, and again behind each [`PoolEvent`](super::PoolEvent) of it:
/// [`Restored`](super::PoolEvent::Restored) as well, for with it the member may be in another session.
///
/// It is good for nothing once the member has left: when the client was closed, or, in the runtimes, dropped. A program that
/// is to come back ends without that, as by a crash, a kill or a `process::exit`.
///
/// How long it is good else (PROTOCOL.md, section 7.2): at a broadcaster that has the pool, as long as the member is in the roster,
/// which it is until nothing was heard of it for the broadcaster's timeout (10 s by default), and has not come back in another
/// session since. At one that doesn't have the pool, as long as the pool comes back there, which takes that timeout, or two intervals and
/// 8 s if that is longer (14 s by default), from the first member on that comes. It is `Stale` then, and joining is what is left. Whoever has it can be this
/// member.
#[derive(Clone, PartialEq, Eq)]
pub struct Saved {
    /// Which broadcaster has the member.
    pub(super) broadcaster: SocketAddr,
    pub(super) ticket: Ticket,
    /// What the ticket's seal was made with.
    pub(super) spec: PoolSpec,
    pub(super) about: Bytes,
}

/// The first byte of those of this version.
const VERSION: u8 = 1;

impl Saved {
    /// The most bytes that one takes.
    pub const MAX_LEN: usize = 1 + Address::MAX_LEN + Ticket::LEN + Spec::MAX_LEN + 1 + About::MAX_LEN + 8;

    /// The pool's id.
    #[must_use]
    pub fn pool(&self) -> PoolId {
        self.ticket.pool.into()
    }

    /// It as bytes, to be kept: at most [`Saved::MAX_LEN`].
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        // Datagrams came from there, so it has a port.
        if let Some(address) = Address::new(self.broadcaster) {
            address.write(&mut out);
        }
        self.ticket.write(&mut out);
        self.spec.as_spec().write(&mut out);
        About::new(&self.about).unwrap_or_default().write(&mut out);
        let tag = tag(&Key::ZERO, &out);
        out.put_slice(&tag);
        out.freeze()
    }

    /// It of its bytes.
    ///
    /// # Errors
    /// If they are damaged, or of a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidSaved> {
        let (fields, written) = bytes.split_last_chunk().ok_or(InvalidSaved::Damaged)?;
        if *written != tag(&Key::ZERO, fields) {
            return Err(InvalidSaved::Damaged);
        }
        match fields.split_first() {
            Some((&VERSION, fields)) => Self::read(fields).ok_or(InvalidSaved::Damaged),
            Some((version, _)) => Err(InvalidSaved::UnknownVersion(*version)),
            None => Err(InvalidSaved::Damaged),
        }
    }

    /// `saved = address, ticket, spec, about`
    fn read(input: &[u8]) -> Option<Self> {
        let (input, broadcaster) = Address::read(input).ok()?;
        let (input, ticket) = Ticket::read(input).ok()?;
        let (input, spec) = Spec::read(input).ok()?;
        let (rest, about) = About::read(input).ok()?;
        rest.is_empty().then(|| Self {
            broadcaster: broadcaster.get(),
            ticket,
            spec: spec.into(),
            about: Bytes::copy_from_slice(about.get()),
        })
    }
}

/// Without what only the member may know.
impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved")
            .field("pool", &self.pool())
            .field("member", &self.ticket.member)
            .finish_non_exhaustive()
    }
}

/// Why bytes are not those of a [`Saved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSaved {
    /// They are not what was written.
    Damaged,
    /// They are of another version of this library.
    UnknownVersion(u8),
}

impl fmt::Display for InvalidSaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("what was saved of the pool is damaged: join it anew"),
            Self::UnknownVersion(version) => {
                write!(f, "what was saved of the pool is of version {version}, unknown here: join it anew")
            }
        }
    }
}

impl core::error::Error for InvalidSaved {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::native::{
        Application, Epoch, Member, PoolCode, PoolUuid, Seal, Seats, Session, State, Term,
    };

    pub(crate) fn saved() -> Saved {
        let member = Member::new(1).unwrap();
        let state = State {
            epoch: Epoch::new(7, 7).unwrap(),
            generation: 0,
            base: None,
            came: 0,
            term: Term::new(1).unwrap(),
            host: member,
            next: Member::new(2).unwrap(),
            purged: 0,
            count: Seats::new(1).unwrap(),
            seal: Seal::new([9; 16]),
        };
        Saved {
            broadcaster: ([192, 0, 2, 9], 6_969).into(),
            ticket: Ticket {
                application: Application::POOLMESH,
                pool: PoolUuid::new([7; 16]),
                code: PoolCode::new(7).unwrap(),
                member,
                session: Session(7),
                state,
            },
            spec: PoolSpec::default().named("duel").unwrap(),
            about: Bytes::from_static(b"ann"),
        }
    }

    #[test]
    fn what_is_saved_comes_back() {
        let bytes = saved().to_bytes();
        assert_eq!(Saved::from_bytes(&bytes), Ok(saved()));
        assert!(bytes.len() <= Saved::MAX_LEN);
        assert!(!alloc::format!("{:?}", saved()).contains('9'), "no seal is shown");
    }

    #[test]
    fn what_is_damaged_does_not() {
        let bytes = saved().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert_eq!(Saved::from_bytes(&damaged), Err(InvalidSaved::Damaged), "byte {at}");
            assert_eq!(Saved::from_bytes(&bytes[..at]), Err(InvalidSaved::Damaged), "{at} bytes");
        }
        let tagged = |mut fields: BytesMut| {
            let tag = tag(&Key::ZERO, &fields);
            fields.put_slice(&tag);
            Saved::from_bytes(&fields)
        };
        assert_eq!(tagged(BytesMut::new()), Err(InvalidSaved::Damaged));
        assert_eq!(tagged(BytesMut::from(&[2, 1][..])), Err(InvalidSaved::UnknownVersion(2)));
        assert_eq!(tagged(BytesMut::from(&[1, 1][..])), Err(InvalidSaved::Damaged));
        let mut longer = BytesMut::from(&bytes[..bytes.len() - 8]);
        longer.put_u8(0);
        assert_eq!(tagged(longer), Err(InvalidSaved::Damaged));
    }
}
