//! Why a call can't be made, and why one has no answer, as a program wants to be told.

use core::fmt;
use core::net::SocketAddr;

use super::{Outcome, PoolPage};
use crate::wire::native::{self, TextTooLong};
use crate::{PoolId, PoolInfo, Refusal};

/// Why a call can't be made. The caller's doing, but for [`NotHost`](Self::NotHost) while the client has not been told yet that it
/// is host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// As many calls as allowed are under way, or have outcomes nobody polled.
    TooManyCalls {
        /// How many.
        limit: usize,
    },
    /// The client is in as many pools as allowed, or asks to be; in the classic dialect, it hosts them.
    TooManyPools {
        /// How many.
        limit: usize,
    },
    /// The dialect that the client speaks has no such call.
    NotInDialect,
    /// The client is no member of that pool.
    NotAMember {
        /// The pool.
        pool: PoolId,
    },
    /// Only the pool's host may, and that is another member as far as the client has been told: who was made host waits for
    /// [`PoolEvent::Host`](super::PoolEvent::Host) with `you`.
    NotHost,
    /// A text is longer than datagrams carry.
    TextTooLong {
        /// Its length in bytes.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// The id is no UUID, so no pool of the native dialect has it.
    InvalidPool,
    /// The client was closed.
    Closed,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyCalls { limit } => {
                write!(f, "{limit} calls are under way, the most allowed: wait for one to end")
            }
            Self::TooManyPools { limit } => {
                write!(f, "there are {limit} pools, the most allowed: leave or release one first")
            }
            Self::NotInDialect => {
                f.write_str("the classic dialect has no such call: make a client that speaks the native one")
            }
            Self::NotAMember { pool } => write!(f, "the client is no member of pool {pool}: join it first"),
            Self::NotHost => f.write_str("only the pool's host may: have the host do it, or hand over"),
            Self::TextTooLong { len, max } => {
                write!(f, "a text of {len} bytes is longer than {max} bytes: shorten it")
            }
            Self::InvalidPool => {
                f.write_str("the id of the pool is not a UUID: take one that a list or a host gave")
            }
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

impl core::error::Error for CallError {}

impl From<TextTooLong> for CallError {
    fn from(TextTooLong { len, max }: TextTooLong) -> Self {
        Self::TextTooLong { len, max }
    }
}

/// Why a call has no answer. The sequential calls of the runtimes end with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallFailed {
    /// The call could not be made.
    Misuse(CallError),
    /// The broadcaster refused.
    Refused(Refusal),
    /// No answer came in time.
    TimedOut {
        /// Who was asked last.
        broadcaster: SocketAddr,
        /// How often it was asked, and others before it.
        sent: u32,
    },
    /// The client was closed, before or meanwhile.
    Closed,
}

impl CallFailed {
    /// Why the broadcaster refused, in the native dialect.
    #[must_use]
    pub fn native_refusal(&self) -> Option<native::Refusal> {
        match self {
            Self::Refused(Refusal::Native(refusal)) => Some(*refusal),
            Self::Refused(_) | Self::Misuse(_) | Self::TimedOut { .. } | Self::Closed => None,
        }
    }

    /// Whether the pool has no free seat, in either dialect.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Refused(Refusal::PoolFull { .. } | Refusal::Native(native::Refusal::Full)))
    }

    /// Whether there is no such pool (any more), in either dialect.
    #[must_use]
    pub fn is_no_such_pool(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NoSuchPool(_) | Refusal::Native(native::Refusal::NoSuchPool)))
    }

    /// Whether only the host may, who is another member: as far as this program has been told, or as the broadcaster says.
    #[must_use]
    pub fn is_not_host(&self) -> bool {
        match self {
            Self::Misuse(error) => *error == CallError::NotHost,
            Self::Refused(refusal) => {
                matches!(refusal, Refusal::NotHost | Refusal::Native(native::Refusal::NotHost))
            }
            Self::TimedOut { .. } | Self::Closed => false,
        }
    }
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(error) => write!(f, "{error}"),
            Self::Refused(refusal) => write!(f, "refused by the broadcaster: {refusal}"),
            Self::TimedOut { broadcaster, sent: 0 } => {
                write!(
                    f,
                    "the broadcaster was away, last seen at {broadcaster}, and is looked for: nothing was asked"
                )
            }
            Self::TimedOut { broadcaster, sent } => {
                write!(
                    f,
                    "no answer in time from {broadcaster} (asked {sent} times): is a broadcaster running there, of this dialect?"
                )
            }
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

impl core::error::Error for CallFailed {}

impl From<CallError> for CallFailed {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Closed => Self::Closed,
            CallError::TooManyCalls { .. }
            | CallError::TooManyPools { .. }
            | CallError::NotInDialect
            | CallError::NotAMember { .. }
            | CallError::NotHost
            | CallError::TextTooLong { .. }
            | CallError::InvalidPool => Self::Misuse(error),
        }
    }
}

impl Outcome {
    /// The answer to list.
    ///
    /// # Errors
    /// Why there is none.
    pub fn into_list(self) -> Result<PoolPage, CallFailed> {
        match self {
            Self::Listed(pools) => Ok(pools),
            Self::Created(_)
            | Self::Joined(_)
            | Self::Done
            | Self::Refused(_)
            | Self::TimedOut { .. }
            | Self::Closed => Err(self.into_failure()),
        }
    }

    /// The answer to create, join or resume.
    ///
    /// # Errors
    /// Why there is none.
    pub fn into_pool(self) -> Result<PoolInfo, CallFailed> {
        match self {
            Self::Created(pool) | Self::Joined(pool) => Ok(pool),
            Self::Listed(_) | Self::Done | Self::Refused(_) | Self::TimedOut { .. } | Self::Closed => {
                Err(self.into_failure())
            }
        }
    }

    /// Whether an order was carried out.
    ///
    /// # Errors
    /// Why not.
    pub fn into_done(self) -> Result<(), CallFailed> {
        match self {
            Self::Done => Ok(()),
            Self::Created(_)
            | Self::Joined(_)
            | Self::Listed(_)
            | Self::Refused(_)
            | Self::TimedOut { .. }
            | Self::Closed => Err(self.into_failure()),
        }
    }

    fn into_failure(self) -> CallFailed {
        match self {
            Self::Refused(refusal) => CallFailed::Refused(refusal),
            Self::TimedOut { broadcaster, sent } => CallFailed::TimedOut { broadcaster, sent },
            // The answer to something else is never given to a call.
            Self::Closed | Self::Created(_) | Self::Joined(_) | Self::Listed(_) | Self::Done => {
                CallFailed::Closed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_was_asked_for_or_says_why_not() {
        let broadcaster = SocketAddr::from(([192, 0, 2, 9], 6_969));
        let id: PoolId = "p".parse().unwrap();
        let (pool, page) = (PoolInfo::new(id, broadcaster, broadcaster, []), PoolPage::from_iter([id]));
        assert_eq!(Outcome::Listed(page.clone()).into_list(), Ok(page));
        assert_eq!(Outcome::Created(pool.clone()).into_pool(), Ok(pool.clone()));
        assert_eq!(Outcome::Joined(pool.clone()).into_pool(), Ok(pool.clone()));
        assert_eq!(Outcome::Done.into_done(), Ok(()));
        for (outcome, failed) in [
            (Outcome::Refused(Refusal::NotHost), CallFailed::Refused(Refusal::NotHost)),
            (Outcome::TimedOut { broadcaster, sent: 3 }, CallFailed::TimedOut { broadcaster, sent: 3 }),
            (Outcome::Closed, CallFailed::Closed),
        ] {
            assert_eq!(outcome.clone().into_list(), Err(failed.clone()));
            assert_eq!(outcome.clone().into_done(), Err(failed.clone()));
            assert_eq!(outcome.into_pool(), Err(failed));
        }
        assert_eq!(Outcome::Joined(pool.clone()).into_list(), Err(CallFailed::Closed));
        assert_eq!(Outcome::Joined(pool).into_done(), Err(CallFailed::Closed));
        assert_eq!(Outcome::Listed(PoolPage::default()).into_pool(), Err(CallFailed::Closed));
    }
    #[test]
    fn what_programs_ask_of_a_refusal_is_a_question_of_both_dialects() {
        let refused = |refusal| CallFailed::Refused(refusal);
        let native = |refusal| refused(Refusal::Native(refusal));
        let pool: PoolId = "p".parse().unwrap();
        for (failed, refusal, asked) in [
            (native(native::Refusal::Full), Some(native::Refusal::Full), [true, false, false]),
            (native(native::Refusal::NoSuchPool), Some(native::Refusal::NoSuchPool), [false, true, false]),
            (native(native::Refusal::NotHost), Some(native::Refusal::NotHost), [false, false, true]),
            (refused(Refusal::PoolFull { pool, limit: 1 }), None, [true, false, false]),
            (refused(Refusal::NoSuchPool(crate::wire::Words::new(b"p"))), None, [false, true, false]),
            (refused(Refusal::NotHost), None, [false, false, true]),
            (CallFailed::Misuse(CallError::NotHost), None, [false, false, true]),
            (CallFailed::Misuse(CallError::InvalidPool), None, [false; 3]),
            (CallFailed::Closed, None, [false; 3]),
        ] {
            assert_eq!(failed.native_refusal(), refusal);
            assert_eq!([failed.is_full(), failed.is_no_such_pool(), failed.is_not_host()], asked);
        }
    }
}
