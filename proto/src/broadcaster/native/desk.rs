//! What the native half works with, and shares with the classic one.

use super::super::answers::Answers;
use super::super::classic::Classic;
use super::super::{BroadcasterStats, Limits, RandomSource};
use crate::Instant;

/// What is lent to it for each input.
pub(in crate::broadcaster) struct Desk<'a> {
    pub(in crate::broadcaster) now: Instant,
    pub(in crate::broadcaster) limits: &'a Limits,
    /// What changes that members are still to be told may take, in bytes.
    pub(in crate::broadcaster) most_news: usize,
    pub(in crate::broadcaster) random: &'a mut dyn RandomSource,
    pub(in crate::broadcaster) answers: &'a mut Answers,
    pub(in crate::broadcaster) stats: &'a mut BroadcasterStats,
    /// The pools of the classic dialect, if it is spoken.
    pub(in crate::broadcaster) classic: Option<&'a Classic>,
}
