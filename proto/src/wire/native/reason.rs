//! Why a member is no longer in its pool (PROTOCOL.md, section 5).

use super::field::{self, Field, Parsed, Put, allowed};

macro_rules! reasons {
    ($(#[$docs:meta])* $name:ident { $($(#[$doc:meta])* $reason:ident = $number:literal,)* }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $reason = $number,)*
        }

        impl<'a> Field<'a> for $name {
            fn read(input: &'a [u8]) -> Parsed<'a, Self> {
                let (rest, number) = field::byte(input)?;
                allowed(rest, match number {
                    $($number => Some(Self::$reason),)*
                    _ => None,
                })
            }

            fn write(&self, out: &mut impl Put) {
                out.put_u8(match self {
                    $(Self::$reason => $number,)*
                });
            }
        }
    };
}

reasons!(
    /// Why a member left, as the others are told.
    LeaveReason {
        /// It said so.
        Left = 1,
        /// It was silent for too long.
        TimedOut = 2,
        /// The host wanted it.
        Kicked = 3,
        /// Somebody was admitted at its address.
        Replaced = 4,
    }
);

reasons!(
    /// Why a session is over, as its member is told.
    EndReason {
        /// The host wanted it.
        Kicked = 3,
        /// Somebody was admitted at its address.
        Replaced = 4,
        /// The pool ended.
        PoolEnded = 5,
    }
);
