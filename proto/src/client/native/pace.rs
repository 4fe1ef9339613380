//! How much a member sends.

use core::time::Duration;

use crate::Instant;

/// When a member has sent, so that it doesn't send too much.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// The latest two times, the older first.
    latest: [Option<Instant>; 2],
    /// When a member that had sent at [`STEP`]s would have sent as much.
    full: Instant,
    /// How often it has sent.
    sent: u32,
    /// When it has last said where it is.
    moved: Option<Instant>,
}

/// While it looks for a broadcaster it sends at most two datagrams in any second (PROTOCOL.md, section 7.1).
const SECOND: Duration = Duration::from_secs(1);

/// A broadcaster takes 32 messages of a member a second, 64 in a row (section 8): it sends less, for what is dropped costs
/// a second, and pages that it draws count, too, though they are lost on the way.
const STEP: Duration = Duration::from_millis(40);
const IN_A_ROW: u32 = 32;

impl Pace {
    /// A datagram is sent.
    pub(super) fn note(&mut self, now: Instant) {
        let [_, latest] = self.latest;
        self.latest = [latest, Some(now)];
        self.note_page(now);
        self.sent = self.sent.saturating_add(1);
    }

    /// A page has come that counts as a message of the member's (PROTOCOL.md, section 5).
    pub(super) fn note_page(&mut self, now: Instant) {
        self.full = self.full.max(now) + STEP;
    }

    /// Whether a member may say where it is. It does so once in a second: the answer to that may be the question again, as
    /// fast as the line goes.
    pub(super) fn may_move(&self, now: Instant) -> bool {
        self.moved.is_none_or(|moved| (moved + SECOND).is_due(now))
    }

    /// It says where it is.
    pub(super) fn note_move(&mut self, now: Instant) {
        self.moved = Some(now);
    }

    /// How often it has sent so far.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// From when on a member may send that has a session.
    pub(super) fn quick(&self) -> Instant {
        let most = u64::try_from((STEP * (IN_A_ROW - 1)).as_micros()).unwrap_or(u64::MAX);
        Instant::from_micros(self.full.as_micros().saturating_sub(most))
    }

    /// From when on a member may send that looks for a broadcaster.
    pub(super) fn slow(&self) -> Instant {
        let [older, _] = self.latest;
        older.map_or(Instant::ZERO, |older| older + SECOND)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// When so many datagrams are sent, each as soon as it may be.
    fn times(count: usize, from: impl Fn(&Pace) -> Instant) -> Vec<u64> {
        let (mut pace, mut now) = (Pace::default(), Instant::from_micros(5_000_000));
        let sends = (0..count).map(|_| {
            now = now.max(from(&pace));
            pace.note(now);
            now.as_micros() / 1_000
        });
        sends.collect()
    }

    #[test]
    fn at_most_two_in_any_second_while_it_looks_for_a_broadcaster() {
        assert_eq!(times(6, Pace::slow), [5_000, 5_000, 6_000, 6_000, 7_000, 7_000]);
    }

    #[test]
    fn a_row_and_then_25_a_second() {
        let times = times(60, Pace::quick);
        assert!(times[..32].iter().all(|time| *time == 5_000));
        assert_eq!(times[32..36], [5_040, 5_080, 5_120, 5_160]);
    }
}
