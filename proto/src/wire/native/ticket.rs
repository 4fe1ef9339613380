//! What a member keeps, to come back by.

use super::field::{Field, Parsed, Put};
use super::{Application, Member, PoolCode, PoolUuid, Session, State};

/// What a member keeps for a broadcaster that has lost its pool (PROTOCOL.md, section 7): all of it was once said by one
/// of the same secret, which its seal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whose pool it is.
    pub application: Application,
    /// Which.
    pub pool: PoolUuid,
    /// Its code.
    pub code: PoolCode,
    /// Who the member is.
    pub member: Member,
    /// Its session.
    pub session: Session,
    /// The latest state of the pool that it knows, with the seal.
    pub state: State,
}

impl Ticket {
    /// The bytes that one takes in a datagram.
    pub const LEN: usize = 52 + State::LEN;

    /// All but the seal, as it is written.
    pub(super) fn write_unsealed(&self, out: &mut impl Put) {
        self.application.write(out);
        self.pool.write(out);
        self.code.write(out);
        self.member.write(out);
        self.session.write(out);
        self.state.write_unsealed(out);
    }
}

impl<'a> Field<'a> for Ticket {
    /// `ticket = application, pool, code, member, u64 session, state`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, application) = Application::read(input)?;
        let (input, pool) = PoolUuid::read(input)?;
        let (input, code) = PoolCode::read(input)?;
        let (input, member) = Member::read(input)?;
        let (input, session) = Session::read(input)?;
        let (rest, state) = State::read(input)?;
        Ok((rest, Self { application, pool, code, member, session, state }))
    }

    fn write(&self, out: &mut impl Put) {
        self.write_unsealed(out);
        self.state.seal.write(out);
    }
}
