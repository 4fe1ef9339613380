//! What somebody sends who has proven nothing: a mix of everything that a broadcaster may get.

use bytes::{BufMut, BytesMut};
use poolmesh_proto::PoolId;
use poolmesh_proto::wire::Request as ClassicRequest;
use poolmesh_proto::wire::classic::encode_request;
use poolmesh_proto::wire::native::{
    About, Act, Application, Call, Challenge, Cookie, Epoch, FIRST_BYTE, Handle, Key, MAX_DATAGRAM, Member,
    Message, Name, PoolCode, PoolSpec, PoolUuid, Request, Seal, Seats, Session, State, Term, Ticket, Tx,
};
use poolmesh_testkit::sim::Rng;

/// The longest that goes into one packet of an Ethernet.
const LONGEST: u64 = 1_472;
/// Handles are given from 0 on, so these are somebody's, if anybody's.
const LIKELY_HANDLES: u64 = 1_000;

/// What is sent. Each kind is as frequent as the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A request as the first of an honest client is.
    NoCookie,
    /// A request with a cookie that was made up.
    MadeUpCookie,
    /// A member's message with a handle and a key that were made up.
    MadeUpMember,
    /// What only a broadcaster says.
    OfBroadcaster,
    /// One of the above, with a bit turned.
    Damaged,
    /// One of the above, cut off.
    TooShort,
    /// More than a datagram may have.
    TooLong,
    /// Bytes of a type of the dialect, or of none.
    Garbage,
    /// A request of the classic dialect.
    Classic,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::NoCookie,
        Self::MadeUpCookie,
        Self::MadeUpMember,
        Self::OfBroadcaster,
        Self::Damaged,
        Self::TooShort,
        Self::TooLong,
        Self::Garbage,
        Self::Classic,
    ];
}

/// Forges datagrams.
#[derive(Debug)]
pub(crate) struct Forger {
    rng: Rng,
    application: Application,
}

impl Forger {
    /// They are for pools of this application.
    pub(crate) fn new(application: Application, rng: Rng) -> Self {
        Self { rng, application }
    }

    /// Writes one of any kind in place of what is in `out`, and says which.
    pub(crate) fn any(&mut self, out: &mut BytesMut) -> Kind {
        let kind = *self.rng.pick(&Kind::ALL);
        self.write(kind, out);
        kind
    }

    /// Writes one of this kind in place of what is in `out`.
    pub(crate) fn write(&mut self, kind: Kind, out: &mut BytesMut) {
        out.clear();
        match kind {
            Kind::NoCookie => self.request(None, out),
            Kind::MadeUpCookie => {
                let cookie = Cookie::new(self.rng.u64());
                self.request(cookie, out);
            }
            Kind::MadeUpMember => self.message(out),
            Kind::OfBroadcaster => {
                let prove = Cookie::new(self.rng.u64()).filter(|_| self.rng.below(2) == 0);
                Challenge { handle: self.handle(), count: self.rng.u64() as u32, prove }.write(out);
            }
            Kind::Damaged => {
                self.well_formed(out);
                let place = self.rng.index(out.len());
                if let Some(byte) = out.get_mut(place) {
                    *byte ^= 1 << self.rng.below(8);
                }
            }
            Kind::TooShort => {
                self.well_formed(out);
                let len = self.rng.index(out.len());
                out.truncate(len);
            }
            Kind::TooLong => {
                self.well_formed(out);
                let longest_allowed = MAX_DATAGRAM as u64;
                let len = self.rng.range(longest_allowed + 1, LONGEST);
                out.resize(len as usize, 0);
            }
            Kind::Garbage => {
                if self.rng.below(2) == 0 {
                    out.put_u8(FIRST_BYTE);
                }
                for _ in 0..self.rng.below(64) {
                    out.put_u64(self.rng.u64());
                }
            }
            Kind::Classic => {
                let id = PoolId::from(self.pool());
                let requests = [
                    ClassicRequest::List,
                    ClassicRequest::Create,
                    ClassicRequest::Join(id),
                    ClassicRequest::Ping(id),
                ];
                encode_request(self.rng.pick(&requests), out);
            }
        }
    }

    fn well_formed(&mut self, out: &mut BytesMut) {
        let kind =
            *self.rng.pick(&[Kind::NoCookie, Kind::MadeUpCookie, Kind::MadeUpMember, Kind::OfBroadcaster]);
        self.write(kind, out);
    }

    fn bytes(&mut self) -> [u8; 16] {
        self.rng.u128().to_le_bytes()
    }

    fn pool(&mut self) -> PoolUuid {
        PoolUuid::new(self.bytes())
    }

    fn handle(&mut self) -> Handle {
        let any = self.rng.u64();
        Handle(if self.rng.below(2) == 0 { any as u32 } else { (any % LIKELY_HANDLES) as u32 })
    }

    fn member(&mut self) -> Member {
        Member::new(self.rng.range(1, 8) as u32).unwrap_or_else(|| unreachable!("it is not 0"))
    }

    fn code(&mut self) -> PoolCode {
        PoolCode::new(self.rng.below(PoolCode::END)).unwrap_or_else(|| unreachable!("it is below the end"))
    }

    fn spec(&mut self) -> PoolSpec {
        let seats = Seats::new(self.rng.range(1, Seats::MAX.into()) as u16);
        let spec = PoolSpec::new(seats.unwrap_or_else(|| unreachable!("it is within the bounds")));
        let named = spec.named("forged").unwrap_or_else(|_| unreachable!("it is short"));
        named.hidden(self.rng.below(2) == 0).locked(self.rng.below(2) == 0)
    }

    /// A ticket that nobody has sealed.
    fn ticket(&mut self) -> Ticket {
        let one = Member::new(1).unwrap_or_else(|| unreachable!("it is not 0"));
        Ticket {
            application: self.application,
            pool: self.pool(),
            code: self.code(),
            member: self.member(),
            session: Session(self.rng.u64()),
            state: State {
                epoch: Epoch::new(self.rng.u64(), 1).unwrap_or_else(|| unreachable!("it is not 0")),
                generation: 0,
                base: None,
                came: 0,
                term: Term::new(1).unwrap_or_else(|| unreachable!("it is not 0")),
                host: one,
                next: one,
                purged: 0,
                count: Seats::new(1).unwrap_or_else(|| unreachable!("it is a seat")),
                seal: Seal::new(self.bytes()),
            },
        }
    }

    /// A request with this cookie, whose tag is right.
    pub(crate) fn request(&mut self, cookie: Option<Cookie>, out: &mut BytesMut) {
        let (application, about) = (self.application, About::default());
        let tx = Tx::new(self.rng.u64() | 1).unwrap_or_else(|| unreachable!("it is odd"));
        let spec = self.spec();
        let call = match self.rng.below(5) {
            0 => Call::List {
                application: Some(application),
                after: self.pool(),
                free: 0,
                prefix: Name::default(),
            },
            1 => Call::Create { application, spec: spec.as_spec(), about },
            2 => Call::Join { application, pool: self.pool(), about },
            3 => Call::JoinByCode { application, code: self.code(), about },
            _ => Call::Resume { ticket: self.ticket(), spec: spec.as_spec(), about },
        };
        Request { tx, cookie, call }.write(out);
    }

    /// A message of nobody, or of somebody whose key it doesn't know.
    fn message(&mut self, out: &mut BytesMut) {
        let (spec, member) = (self.spec(), self.member());
        let act = match self.rng.below(9) {
            0 => Act::Ping(None),
            1 => Act::Ask(None),
            2 => Cookie::new(self.rng.u64()).map_or(Act::Leave, Act::Move),
            3 => Act::Leave,
            4 => Act::About(About::default()),
            5 => Act::Change(spec.as_spec()),
            6 => Act::Kick(member),
            7 => Act::Hand(member),
            _ => Act::Close,
        };
        let key = Key::new(self.bytes());
        Message { handle: self.handle(), count: self.rng.u64() as u32, act }.write(&key, out);
    }
}

#[cfg(test)]
mod tests {
    use poolmesh_proto::wire::native::{Fault, FromClient};

    use super::*;

    /// What a broadcaster reads, of a thousand forged datagrams of a kind.
    fn reads(kind: Kind, expected: impl Fn(Result<FromClient<'_>, Fault>) -> bool) -> bool {
        let mut forger = Forger::new(Application::named("attack").unwrap(), Rng::new(1));
        let mut out = BytesMut::new();
        (0..1_000).all(|_| {
            forger.write(kind, &mut out);
            expected(FromClient::read(&out))
        })
    }

    #[test]
    fn forged_datagrams_are_what_they_are_meant_to_be() {
        assert!(reads(Kind::NoCookie, |read| {
            matches!(read, Ok(FromClient::Request(request)) if request.cookie.is_none())
        }));
        assert!(reads(Kind::MadeUpCookie, |read| {
            matches!(read, Ok(FromClient::Request(request)) if request.cookie.is_some())
        }));
        assert!(reads(Kind::MadeUpMember, |read| matches!(read, Ok(FromClient::Message(_)))));
        assert!(reads(Kind::OfBroadcaster, |read| matches!(read, Err(Fault::WrongSide))));
        assert!(reads(Kind::TooLong, |read| matches!(read, Err(Fault::TooLong))));
        assert!(reads(Kind::Classic, |read| matches!(read, Err(Fault::OtherDialect))));
        assert!(!reads(Kind::TooShort, |read| read.is_ok()) && !reads(Kind::Damaged, |read| read.is_ok()));
    }
}
