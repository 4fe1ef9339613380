//! The driver suite: the drivers of this repository pass it, and those that are broken on purpose don't.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "tests: a panic is how they fail, and they name what they look for"
)]

mod broken;
mod broken_server;
mod flaws;

use std::thread;

use broken::{OnLoopbackWith, With};
use flaws::{FLAWS, Flaw};
use poolmesh_testkit::driver::{OnLoopback, OnRuntime, OnScript, check_names, failures, prove, story};
use poolmesh_testkit::runtime::{Smol, Std};

#[test]
fn the_blocking_runtime() {
    prove(OnRuntime::<Std>::new());
}

#[test]
fn the_smol_runtime() {
    prove(OnRuntime::<Smol>::new());
}

#[test]
fn the_event_loop_on_real_sockets() {
    prove(OnLoopback);
}

#[test]
fn the_event_loop_on_a_script() {
    prove(OnScript);
}

/// The same every time; and by another driver, which notes nothing of what it tells its machines, as far as that can be
/// compared.
#[test]
fn a_story_is_recorded_alike() {
    let (first, again, other) = (story(&OnScript), story(&OnScript), story(&With(Flaw::None)));
    assert!(first.has_inputs() && first == again);
    assert!(!other.has_inputs());
    assert_eq!(first.sockets().to_string(), other.to_string());
    assert_ne!(first.to_string(), story(&With(Flaw::KeepsEndedConnections)).to_string());
}

/// Without this nothing that follows would mean anything.
#[test]
fn what_is_broken_below_is_right_without_its_flaws() {
    prove(With(Flaw::None));
}

#[test]
fn each_flaw_is_found_by_the_check_that_is_meant_to() {
    let finds = |flaw, check| failures(With(flaw), check).iter().any(|failure| failure.check == check);
    let unfound: Vec<_> = FLAWS.iter().filter(|(flaw, check)| !finds(*flaw, *check)).collect();
    assert!(unfound.is_empty(), "not found: {unfound:?}");
}

/// On real sockets as well, but for those that can't be seen there: this driver is woken every millisecond anyway, so
/// that it can't sleep too long, and nobody counts the sockets it holds.
#[test]
fn flaws_are_found_on_real_sockets() {
    let flaws = [
        Flaw::SleepsOnOutputs,
        Flaw::RunsBackwards,
        Flaw::RunsAhead,
        Flaw::MakesUpForAStall,
        Flaw::StopsAtEmptyDatagram,
        Flaw::CutsDatagrams,
        Flaw::SilentAboutPools,
        Flaw::SendsAllToOne,
        Flaw::TakesAllForOnes,
        Flaw::ClosesInSilence,
        Flaw::SilentAboutFailedDials,
        Flaw::SilentAboutTakenPorts,
        Flaw::KeepsTheFirstListener,
        Flaw::KeepsUnwantedConnections,
        Flaw::NeverStopsListening,
        Flaw::AcceptsOnce,
        Flaw::ReadsFullLinks,
        Flaw::LosesEvents,
        Flaw::TellsLastFirst,
        Flaw::LosesTheRest,
        Flaw::RepeatsTheStart,
        Flaw::NeverGoesOn,
        Flaw::OneHoldsUpAll,
        Flaw::SkipsFinish,
        Flaw::MissesTheEnd,
        Flaw::TakesEndsForResets,
        Flaw::TakesResetsForEnds,
        Flaw::KeepsEndedConnections,
        Flaw::IgnoresClose,
    ];
    let here = check_names(false);
    let checks = |flaw: &Flaw| {
        let of_flaw = FLAWS.iter().filter(move |(other, _)| other == flaw).map(|(_, check)| *check);
        of_flaw.filter(|check| here.contains(check)).collect::<Vec<_>>()
    };
    // Side by side: most are found by waiting in vain.
    let unfound = thread::scope(|scope| {
        let find = |flaw: Flaw| {
            let check = checks(&flaw)[0];
            let found =
                move || failures(OnLoopbackWith(flaw), check).iter().any(|failed| failed.check == check);
            (flaw, check, scope.spawn(found))
        };
        let finding: Vec<_> = flaws.into_iter().map(find).collect();
        let unfound = finding
            .into_iter()
            .filter_map(|(flaw, check, found)| (!found.join().unwrap()).then_some((flaw, check)));
        unfound.collect::<Vec<_>>()
    });
    assert_eq!(unfound, []);
}

/// A check that can't fail proves nothing.
#[test]
fn each_check_finds_a_flaw() {
    let idle: Vec<_> = check_names(true)
        .into_iter()
        .filter(|check| !FLAWS.iter().any(|(_, found)| found == check))
        .collect();
    assert_eq!(idle, [""; 0]);
}
