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
mod reading;
mod recording;
mod serving;
mod time;
mod writing;

use super::stage::Play;

pub(super) use recording::story;

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
    let themes: [&[Check]; 9] = [
        datagrams::CHECKS,
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
