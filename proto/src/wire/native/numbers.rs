//! Numbers that must not be taken for each other.

use core::fmt;
use core::num::{NonZeroU16, NonZeroU32, NonZeroU64};

use super::field::{self, Field, Parsed, Put, allowed};

macro_rules! number {
    ($(#[$docs:meta])* $name:ident, $int:ident, $nonzero:ident, $put:ident) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($nonzero);

        impl $name {
            /// Takes the number; none if it is 0.
            #[must_use]
            pub const fn new(number: $int) -> Option<Self> {
                match $nonzero::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> $int {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'a> Field<'a> for $name {
            fn read(input: &'a [u8]) -> Parsed<'a, Self> {
                let (rest, number) = field::$int(input)?;
                allowed(rest, Self::new(number))
            }

            fn write(&self, out: &mut impl Put) {
                out.$put(self.get());
            }
        }
    };
}

number!(
    /// What the datagrams of one call of an application have in common: random, and not 0 (PROTOCOL.md, section 3).
    Tx, u64, NonZeroU64, put_u64
);
number!(
    /// The number of a member: from 1 on, in the order of admission, and not given twice (PROTOCOL.md, section 4).
    Member, u32, NonZeroU32, put_u32
);
number!(
    /// How many hosts a pool has had, this one included: from 1 on (PROTOCOL.md, section 4).
    Term, u32, NonZeroU32, put_u32
);
number!(
    /// So many milliseconds: 1 to 65,535.
    Millis, u16, NonZeroU16, put_u16
);

/// A member's place at its broadcaster (PROTOCOL.md, section 3.3). Any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

impl<'a> Field<'a> for Handle {
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        field::u32(input).map(|(rest, number)| (rest, Self(number)))
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u32(self.0);
    }
}

/// Which session of its member it is (PROTOCOL.md, section 3.3). Any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);

impl<'a> Field<'a> for Session {
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        field::u64(input).map(|(rest, number)| (rest, Self(number)))
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u64(self.0);
    }
}

/// A number of members that a pool has or may have: 1 to [`Seats::MAX`] (PROTOCOL.md, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seats(NonZeroU16);

impl Seats {
    /// The most members that a pool may have.
    pub const MAX: u16 = 1_024;

    /// What a pool has of which nothing else is said: 64.
    pub const DEFAULT: Self = Self(NonZeroU16::MIN.saturating_add(63));

    /// Takes the number; none if it is 0 or above [`Seats::MAX`].
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(seats) if number <= Self::MAX => Some(Self(seats)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl<'a> Field<'a> for Seats {
    /// `seats = u16, 1 to 1,024`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, number) = field::u16(input)?;
        allowed(rest, Self::new(number))
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u16(self.get());
    }
}

/// One state of a pool: equal epochs mean equal rosters, equal specs, and the same host (PROTOCOL.md, section 4).
///
/// Epochs of different eras have no order that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    era: u64,
    number: NonZeroU32,
}

impl Epoch {
    /// Takes an era, which is any number, and the epoch's number in it; none if that is 0.
    #[must_use]
    pub const fn new(era: u64, number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self { era, number }),
            None => None,
        }
    }

    /// The era: it begins when a broadcaster makes a pool or brings it back.
    #[must_use]
    pub const fn era(self) -> u64 {
        self.era
    }

    /// The epoch's number in its era, from 1 on.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number.get()
    }
}

impl<'a> Field<'a> for Epoch {
    /// `epoch = u64 era, u32 number, not 0`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, era) = field::u64(input)?;
        let (rest, number) = field::u32(input)?;
        allowed(rest, Self::new(era, number))
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u64(self.era);
        out.put_u32(self.number());
    }
}

impl<'a> Field<'a> for Option<Epoch> {
    /// `epoch | 0, 0`
    fn read(input: &'a [u8]) -> Parsed<'a, Self> {
        let (input, era) = field::u64(input)?;
        let (rest, number) = field::u32(input)?;
        let epoch = Epoch::new(era, number);
        allowed(rest, (epoch.is_some() || era == 0).then_some(epoch))
    }

    fn write(&self, out: &mut impl Put) {
        out.put_u64(self.map_or(0, Epoch::era));
        out.put_u32(self.map_or(0, Epoch::number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_a_seat_and_at_most_1024() {
        assert_eq!(Seats::DEFAULT.get(), 64);
        assert_eq!([0, 1, 1_024, 1_025].map(|seats| Seats::new(seats).is_some()), [false, true, true, false]);
    }

    #[test]
    fn nothing_is_number_0() {
        assert_eq!((Tx::new(0), Member::new(0), Term::new(0), Epoch::new(5, 0)), (None, None, None, None));
        assert_eq!(Epoch::new(0, 1).map(|epoch| (epoch.era(), epoch.number())), Some((0, 1)));
    }
}
