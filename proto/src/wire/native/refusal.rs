//! Why a broadcaster refuses something.

use core::fmt;

use super::field::{self, Parsed, Put, allowed};

/// Why a broadcaster refuses a request or an order (PROTOCOL.md, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The seats, the metadata, the number of broadcasters, or what a member says of itself, is more than this broadcaster
    /// allows.
    Limit,
    /// The pool is unknown, or of another application, or has no such code.
    NoSuchPool,
    /// No seat is free.
    Full,
    /// The host lets nobody in.
    Locked,
    /// The broadcaster has as many pools as it may.
    TooManyPools,
    /// The source made as many pools as it may.
    TooManyPoolsOfSource,
    /// The broadcaster has as many members as it may.
    TooManyMembers,
    /// The source has as many members as it may.
    TooManyMembersOfSource,
    /// The source asks too often.
    Busy {
        /// For how many milliseconds to be silent.
        wait: u16,
    },
    /// The pool is coming back.
    Recovering {
        /// After how many milliseconds to ask again.
        wait: u16,
    },
    /// The ticket was not made with this broadcaster's secret.
    BadTicket,
    /// What the ticket or the request speaks of is over.
    Stale,
    /// Only the host may.
    NotHost,
    /// The pool has no such member, or it is the host itself, which nobody kicks.
    NoSuchMember,
    /// A code of a later version of the dialect.
    Other(UnknownCode),
}

/// A code that this version of the dialect has no name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownCode(u8);

impl UnknownCode {
    /// Takes a code; none if it has a name.
    #[must_use]
    pub const fn new(code: u8) -> Option<Self> {
        if code > LAST { Some(Self(code)) } else { None }
    }

    /// The code.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What is done has the code 0.
const DONE: u8 = 0;
/// The highest code that has a name.
const LAST: u8 = 14;

impl Refusal {
    /// The code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Limit => 1,
            Self::NoSuchPool => 2,
            Self::Full => 3,
            Self::Locked => 4,
            Self::TooManyPools => 5,
            Self::TooManyPoolsOfSource => 6,
            Self::TooManyMembers => 7,
            Self::TooManyMembersOfSource => 8,
            Self::Busy { .. } => 9,
            Self::Recovering { .. } => 10,
            Self::BadTicket => 11,
            Self::Stale => 12,
            Self::NotHost => 13,
            Self::NoSuchMember => 14,
            Self::Other(code) => code.0,
        }
    }

    /// After how many milliseconds to ask again, if that may help.
    #[must_use]
    pub const fn wait(self) -> Option<u16> {
        match self {
            Self::Busy { wait } | Self::Recovering { wait } => Some(wait),
            Self::Limit
            | Self::NoSuchPool
            | Self::Full
            | Self::Locked
            | Self::TooManyPools
            | Self::TooManyPoolsOfSource
            | Self::TooManyMembers
            | Self::TooManyMembersOfSource
            | Self::BadTicket
            | Self::Stale
            | Self::NotHost
            | Self::NoSuchMember
            | Self::Other(_) => None,
        }
    }

    fn of(code: u8, wait: u16) -> Option<Self> {
        let refusal = match code {
            DONE => return None,
            1 => Self::Limit,
            2 => Self::NoSuchPool,
            3 => Self::Full,
            4 => Self::Locked,
            5 => Self::TooManyPools,
            6 => Self::TooManyPoolsOfSource,
            7 => Self::TooManyMembers,
            8 => Self::TooManyMembersOfSource,
            9 => return Some(Self::Busy { wait }),
            10 => return Some(Self::Recovering { wait }),
            11 => Self::BadTicket,
            12 => Self::Stale,
            13 => Self::NotHost,
            LAST => Self::NoSuchMember,
            // What it waits for is not known either.
            other => return Some(Self::Other(UnknownCode(other))),
        };
        (wait == 0).then_some(refusal)
    }

    /// `refusal = u8 code, not 0, u16 wait`; the wait is 0 with codes that are known and neither 9 nor 10
    pub(super) fn read(input: &[u8]) -> Parsed<'_, Self> {
        let (input, code) = field::byte(input)?;
        let (rest, wait) = field::u16(input)?;
        allowed(rest, Self::of(code, wait))
    }

    pub(super) fn write(self, out: &mut impl Put) {
        out.put_u8(self.code());
        out.put_u16(self.wait().unwrap_or(0));
    }
}

/// `outcome = 0, u16 0 | refusal`
pub(super) fn read_outcome(input: &[u8]) -> Parsed<'_, Result<(), Refusal>> {
    if let (rest, [DONE, 0, 0]) = field::array(input)? {
        return Ok((rest, Ok(())));
    }
    Refusal::read(input).map(|(rest, refusal)| (rest, Err(refusal)))
}

pub(super) fn write_outcome(outcome: Result<(), Refusal>, out: &mut impl Put) {
    match outcome {
        Ok(()) => out.put(&[DONE, 0, 0]),
        Err(refusal) => refusal.write(out),
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => {
                "it asks for more than the broadcaster allows: seats, metadata, broadcasters, or what a member says of itself"
            },
            Self::NoSuchPool => "there is no such pool",
            Self::Full => "the pool has no free seat",
            Self::Locked => "the pool's host lets nobody in",
            Self::TooManyPools => "the broadcaster has as many pools as it may",
            Self::TooManyPoolsOfSource => "your address made as many pools as it may",
            Self::TooManyMembers => "the broadcaster has as many members as it may",
            Self::TooManyMembersOfSource => "your address has as many members as it may",
            Self::Busy { wait } => return write!(f, "your address asks too often: wait {wait} ms"),
            Self::Recovering { wait } => return write!(f, "the pool is coming back: try again in {wait} ms"),
            Self::BadTicket => "the ticket is not of this broadcaster, or of another key: join anew",
            Self::Stale => "that is over: join or create anew",
            Self::NotHost => "only the host may",
            Self::NoSuchMember => "the pool has no such member, or it is you",
            Self::Other(code) => return write!(f, "refused with code {}", code.0),
        })
    }
}

impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::fault::{Fault, fault};
    use super::*;

    fn read(bytes: &[u8]) -> Result<Refusal, Fault> {
        Refusal::read(bytes).map(|(_, refusal)| refusal).map_err(fault)
    }

    #[test]
    fn every_code_is_read_as_it_is_written() {
        for code in 1..=u8::MAX {
            let wait = u8::from(matches!(code, 9 | 10));
            let bytes = [code, wait, 0];
            let refusal = read(&bytes).unwrap();
            let mut out = BytesMut::new();
            refusal.write(&mut out);
            assert_eq!(&out[..], bytes);
            assert_eq!(matches!(refusal, Refusal::Other(_)), code > 14, "{code}");
            let (text, number) = (alloc::format!("{refusal}"), alloc::format!("code {code}"));
            assert_eq!(text.contains(&number), code > 14, "{text}");
            assert!(text.len() >= 12, "{text}");
        }
    }

    #[test]
    fn only_who_shall_wait_is_told_how_long() {
        assert_eq!(read(&[3, 1, 0]), Err(Fault::BadValue));
        assert_eq!(read(&[9, 1, 2]), Ok(Refusal::Busy { wait: 513 }));
        assert_eq!(read(&[10, 0, 0]), Ok(Refusal::Recovering { wait: 0 }));
        assert_eq!(read(&[200, 1, 2]), Ok(Refusal::Other(UnknownCode(200))));
    }

    #[test]
    fn code_0_is_no_refusal() {
        assert_eq!(read(&[0, 0, 0]), Err(Fault::BadValue));
        assert_eq!(read_outcome(&[0, 0, 0]).map_err(fault), Ok((&b""[..], Ok(()))));
        assert_eq!(read_outcome(&[0, 1, 0]).map_err(fault), Err(Fault::BadValue));
        assert_eq!(read_outcome(&[12, 0, 0]).map_err(fault), Ok((&b""[..], Err(Refusal::Stale))));
    }
}
