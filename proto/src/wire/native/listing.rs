//! What a list says of a pool.

use super::field::{self, Field, Parsed, Put, allowed};
use super::{Metadata, Name, PoolCode, PoolUuid, Seats};

const LOCKED: u8 = 1;
const CLASSIC: u8 = 2;

/// What a list says of a pool (PROTOCOL.md, section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// The pool.
    pub pool: PoolUuid,
    /// What is known of it; none of a pool of the classic dialect, which is joined in that.
    pub listed: Option<Listed<'a>>,
}

/// What a list says of a pool of this dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// By what a person can join it.
    pub code: PoolCode,
    /// Whether nobody is admitted.
    pub locked: bool,
    /// How many members it has.
    pub members: u16,
    /// How many it may have.
    pub seats: Seats,
    /// Its name.
    pub name: Name<'a>,
    /// What it says of itself.
    pub metadata: Metadata<'a>,
}

impl<'a> Field<'a> for Listing<'a> {
    /// `listing = pool, flags 0 or 1, code, u16 members, seats, name, metadata | pool, flags 2, fifteen zero bytes`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, pool) = PoolUuid::read(input)?;
        let (input, flags) = field::byte(input)?;
        match flags {
            0 | LOCKED => {
                let (input, code) = PoolCode::read(input)?;
                let (input, members) = field::u16(input)?;
                let (input, seats) = Seats::read(input)?;
                let (input, name) = Name::read(input)?;
                let (rest, metadata) = Metadata::read(input)?;
                let locked = flags == LOCKED;
                let listed = Listed { code, locked, members, seats, name, metadata };
                Ok((rest, Self { pool, listed: Some(listed) }))
            }
            CLASSIC => {
                let (rest, nothing) = field::array::<15>(input)?;
                allowed(rest, (nothing == [0; 15]).then_some(Self { pool, listed: None }))
            }
            _ => allowed(input, None),
        }
    }

    fn write(&self, out: &mut impl Put) {
        self.pool.write(out);
        match &self.listed {
            Some(listed) => {
                out.put_u8(u8::from(listed.locked) * LOCKED);
                listed.code.write(out);
                out.put_u16(listed.members);
                listed.seats.write(out);
                listed.name.write(out);
                listed.metadata.write(out);
            }
            None => {
                out.put_u8(CLASSIC);
                out.put(&[0; 15]);
            }
        }
    }
}
