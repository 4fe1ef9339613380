//! What a driver is held to, rule by rule.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "part of the tests: a panic is how a check fails, and it names what it looks for"
)]

mod accepting;
mod datagrams;
mod dialing;
mod ending;
mod native;
mod reading;
mod recording;
mod serving;
mod time;
mod writing;

use std::cell::Cell;

use super::stage::Play;

pub(super) use recording::story;

thread_local! {
    /// Why the check that runs in this thread can't be made.
    static SKIPPED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Says that a check can't be made.
fn skip(why: &'static str) {
    SKIPPED.set(Some(why));
}

/// Why the check that has run in this thread was not made, if it wasn't.
pub(super) fn skipped() -> Option<&'static str> {
    SKIPPED.take()
}

/// One rule, and what shows whether a driver keeps it.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) run: fn(&dyn Play),
    /// Whether it needs a script.
    pub(super) scripted: bool,
}

const fn check(name: &'static str, run: fn(&dyn Play)) -> Check {
    Check { name, run, scripted: false }
}

const fn scripted(name: &'static str, run: fn(&dyn Play)) -> Check {
    Check { name, run, scripted: true }
}

/// All checks, theme by theme.
pub(super) fn all() -> impl Iterator<Item = &'static Check> {
    let themes: [&[Check]; 10] = [
        datagrams::CHECKS,
        native::CHECKS,
        time::CHECKS,
        dialing::CHECKS,
        accepting::CHECKS,
        reading::CHECKS,
        writing::CHECKS,
        ending::CHECKS,
        serving::CHECKS,
        recording::CHECKS,
    ];
    themes.into_iter().flatten()
}
