//! What more than one play holds a broadcaster to.

use std::time::Duration;

use crate::client::{Event, Roster};
use crate::crowd::{Crowd, Events, Who};
use crate::pools::changed;
use crate::quantiles::Times;
use crate::verdict::Verdict;

/// That the last one came in time.
pub(super) fn last_in_time(times: &Times, bound: Duration, verdict: &mut Verdict) {
    let longest = times.most();
    verdict.check(longest <= bound, format_args!("the last one after {longest:.2?}, of {bound:?}"));
}

/// That nobody lost its place.
pub(super) fn no_place_lost(lost: usize, verdict: &mut Verdict) {
    verdict.check(lost == 0, format_args!("{lost} members lost their place"));
}

/// How many times somebody lost its place, or had no answer when it asked for one.
pub(super) fn places_lost(events: &Events) -> usize {
    let lost = |event: &Event| matches!(event, Event::Ended(_) | Event::Over(_) | Event::TimedOut);
    events.iter().filter(|(_, event)| lost(event)).count()
}

/// That all know what they knew before.
pub(super) fn no_roster_changed(crowd: &Crowd, before: &[(Who, Roster)], verdict: &mut Verdict) {
    let changed = changed(crowd, before);
    verdict.check(changed == 0, format_args!("{changed} of {} rosters changed", before.len()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use poolmesh_proto::wire::native::{EndReason, Refusal};

    /// Whether a promise holds.
    fn holds(promise: impl FnOnce(&mut Verdict)) -> bool {
        let mut verdict = Verdict::default();
        promise(&mut verdict);
        verdict.done().is_ok()
    }

    #[test]
    fn the_last_one_may_come_at_the_bound_and_not_later() {
        let mut times = Times::default();
        [2, 5, 3].into_iter().map(Duration::from_secs).for_each(|time| times.add(time));
        let in_time = |bound| holds(|verdict| last_in_time(&times, bound, verdict));
        assert!(in_time(Duration::from_secs(5)));
        assert!(!in_time(Duration::from_millis(4_999)));
    }

    #[test]
    fn a_place_is_lost_that_was_taken_or_was_not_given_again() {
        let kept = [Event::Admitted, Event::Roster, Event::Lost, Event::Back];
        let lost = [Event::Ended(EndReason::Kicked), Event::Over(Refusal::Stale), Event::TimedOut];
        let events = |some: &[Event]| some.iter().cloned().enumerate().collect::<Events>();
        assert_eq!(places_lost(&events(&kept)), 0);
        assert_eq!(places_lost(&events(&lost)), lost.len());
        assert!(holds(|verdict| no_place_lost(0, verdict)));
        assert!(!holds(|verdict| no_place_lost(1, verdict)));
    }
}
