//! Who is in a pool, and what changes in it.

use super::field::{self, Field, Parsed, Put, allowed};
use super::{About, Address, Epoch, LeaveReason, Member, Seal, Seats, Spec, Term};

/// What holds with an epoch (PROTOCOL.md, section 4). Each member gets its own, for the seal is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Which state of the pool it is.
    pub epoch: Epoch,
    /// How often the pool was brought back.
    pub generation: u32,
    /// The epoch from which it was brought back into this era; none if it was made in it.
    pub base: Option<Epoch>,
    /// How many came back who knew the pool as it was in that epoch: the fewest of all times that it was brought back; 0 if it
    /// never was.
    pub came: u16,
    /// How many hosts the pool has had.
    pub term: Term,
    /// Which member is host.
    pub host: Member,
    /// The number of the next member.
    pub next: Member,
    /// The epoch's number at the latest kick in this era, or 0.
    pub purged: u32,
    /// How many members there are.
    pub count: Seats,
    /// Makes the receiver's ticket (section 7).
    pub seal: Seal,
}

impl State {
    /// The bytes that one takes in a datagram.
    pub const LEN: usize = 64;

    /// All but the seal, as it is written.
    pub(super) fn write_unsealed(&self, out: &mut impl Put) {
        self.epoch.write(out);
        out.put_u32(self.generation);
        self.base.write(out);
        out.put_u16(self.came);
        self.term.write(out);
        self.host.write(out);
        self.next.write(out);
        out.put_u32(self.purged);
        self.count.write(out);
    }
}

impl<'a> Field<'a> for State {
    /// `state = epoch, u32 generation, epoch base or zeros, u16 came, term, member host, member next, u32 purged, seats count, id seal`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, epoch) = Epoch::read(input)?;
        let (input, generation) = field::u32(input)?;
        let (input, base) = Option::<Epoch>::read(input)?;
        let (input, came) = field::u16(input)?;
        let (input, term) = Term::read(input)?;
        let (input, host) = Member::read(input)?;
        let (input, next) = Member::read(input)?;
        let (input, purged) = field::u32(input)?;
        let (input, count) = Seats::read(input)?;
        let (rest, seal) = Seal::read(input)?;
        Ok((rest, Self { epoch, generation, base, came, term, host, next, purged, count, seal }))
    }

    fn write(&self, out: &mut impl Put) {
        self.write_unsealed(out);
        self.seal.write(out);
    }
}

/// An entry of the roster (PROTOCOL.md, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Which member.
    pub member: Member,
    /// Where the broadcaster sees it.
    pub address: Address,
    /// What it says of itself.
    pub about: About<'a>,
}

impl Entry<'_> {
    /// The most bytes that one takes in a datagram.
    pub const MAX_LEN: usize = 4 + Address::MAX_LEN + 1 + About::MAX_LEN;
}

impl<'a> Field<'a> for Entry<'a> {
    /// `entry = member, address, about`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, member) = Member::read(input)?;
        let (input, address) = Address::read(input)?;
        let (rest, about) = About::read(input)?;
        Ok((rest, Self { member, address, about }))
    }

    fn write(&self, out: &mut impl Put) {
        self.member.write(out);
        self.address.write(out);
        self.about.write(out);
    }
}

/// What is new in a pool since the epoch before (PROTOCOL.md, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A member came.
    Joined(Entry<'a>),
    /// A member left.
    Left {
        /// Which.
        member: Member,
        /// Why.
        reason: LeaveReason,
    },
    /// A member says something else of itself.
    About {
        /// Which.
        member: Member,
        /// What it says.
        about: About<'a>,
    },
    /// A member is elsewhere.
    Moved {
        /// Which.
        member: Member,
        /// Where.
        address: Address,
    },
    /// The host has decided something else.
    Spec(Spec<'a>),
}

const JOINED: u8 = 1;
const LEFT: u8 = 2;
const ABOUT: u8 = 3;
const MOVED: u8 = 4;
const SPEC: u8 = 5;

impl<'a> Field<'a> for Change<'a> {
    /// `change = 1, entry | 2, member, reason | 3, member, about | 4, member, address | 5, spec`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, kind) = field::byte(input)?;
        match kind {
            JOINED => Entry::read(input).map(|(rest, entry)| (rest, Self::Joined(entry))),
            LEFT => {
                let (input, member) = Member::read(input)?;
                let (rest, reason) = LeaveReason::read(input)?;
                Ok((rest, Self::Left { member, reason }))
            }
            ABOUT => {
                let (input, member) = Member::read(input)?;
                let (rest, about) = About::read(input)?;
                Ok((rest, Self::About { member, about }))
            }
            MOVED => {
                let (input, member) = Member::read(input)?;
                let (rest, address) = Address::read(input)?;
                Ok((rest, Self::Moved { member, address }))
            }
            SPEC => Spec::read(input).map(|(rest, spec)| (rest, Self::Spec(spec))),
            _ => allowed(input, None),
        }
    }

    fn write(&self, out: &mut impl Put) {
        match self {
            Self::Joined(entry) => {
                out.put_u8(JOINED);
                entry.write(out);
            }
            Self::Left { member, reason } => {
                out.put_u8(LEFT);
                member.write(out);
                reason.write(out);
            }
            Self::About { member, about } => {
                out.put_u8(ABOUT);
                member.write(out);
                about.write(out);
            }
            Self::Moved { member, address } => {
                out.put_u8(MOVED);
                member.write(out);
                address.write(out);
            }
            Self::Spec(spec) => {
                out.put_u8(SPEC);
                spec.write(out);
            }
        }
    }
}
