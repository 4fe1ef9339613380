//! Why a call has no answer, as a program wants to be told.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use super::{CallError, Outcome};
use crate::{PoolId, PoolInfo, Refusal};

/// Why a call has no answer. The sequential calls of the runtimes end with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallFailed {
    /// The call could not be made, which is the caller's doing.
    Misuse(CallError),
    /// The broadcaster refused.
    Refused(Refusal),
    /// No answer came in time.
    TimedOut {
        /// Who should have answered.
        broadcaster: SocketAddr,
        /// How often it was asked.
        sent: u32,
    },
    /// The client was closed, before or meanwhile.
    Closed,
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse(error) => write!(f, "{error}"),
            Self::Refused(refusal) => write!(f, "refused by the broadcaster: {refusal}"),
            Self::TimedOut { broadcaster, sent } => {
                write!(
                    f,
                    "no answer from {broadcaster} (asked {sent} times): is a broadcaster running there?"
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
            CallError::TooManyCalls { .. } | CallError::TooManyHosted { .. } => Self::Misuse(error),
        }
    }
}

impl Outcome {
    /// The answer of `broadcaster` to list.
    ///
    /// # Errors
    /// Why there is none.
    pub fn into_list(self, broadcaster: SocketAddr) -> Result<Vec<PoolId>, CallFailed> {
        match self {
            Self::Listed(pools) => Ok(pools),
            Self::Created(_) | Self::Joined(_) | Self::Refused(_) | Self::TimedOut { .. } | Self::Closed => {
                Err(self.into_failure(broadcaster))
            }
        }
    }

    /// The answer of `broadcaster` to create or join.
    ///
    /// # Errors
    /// Why there is none.
    pub fn into_pool(self, broadcaster: SocketAddr) -> Result<PoolInfo, CallFailed> {
        match self {
            Self::Created(pool) | Self::Joined(pool) => Ok(pool),
            Self::Listed(_) | Self::Refused(_) | Self::TimedOut { .. } | Self::Closed => {
                Err(self.into_failure(broadcaster))
            }
        }
    }

    fn into_failure(self, broadcaster: SocketAddr) -> CallFailed {
        match self {
            Self::Refused(refusal) => CallFailed::Refused(refusal),
            Self::TimedOut { sent } => CallFailed::TimedOut { broadcaster, sent },
            // The answer to something else is never given to a call.
            Self::Closed | Self::Created(_) | Self::Joined(_) | Self::Listed(_) => CallFailed::Closed,
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
        let pool = PoolInfo::new(id, broadcaster, broadcaster, []);
        assert_eq!(Outcome::Listed([id].to_vec()).into_list(broadcaster), Ok([id].to_vec()));
        assert_eq!(Outcome::Created(pool.clone()).into_pool(broadcaster), Ok(pool.clone()));
        assert_eq!(Outcome::Joined(pool.clone()).into_pool(broadcaster), Ok(pool.clone()));
        for (outcome, failed) in [
            (Outcome::Refused(Refusal::NotHost), CallFailed::Refused(Refusal::NotHost)),
            (Outcome::TimedOut { sent: 3 }, CallFailed::TimedOut { broadcaster, sent: 3 }),
            (Outcome::Closed, CallFailed::Closed),
        ] {
            assert_eq!(outcome.clone().into_list(broadcaster), Err(failed.clone()));
            assert_eq!(outcome.into_pool(broadcaster), Err(failed));
        }
        assert_eq!(Outcome::Joined(pool).into_list(broadcaster), Err(CallFailed::Closed));
        assert_eq!(Outcome::Listed(Vec::new()).into_pool(broadcaster), Err(CallFailed::Closed));
    }
}
