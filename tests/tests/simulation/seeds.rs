//! Whole seeds: some that once failed, by name, and what a run promises.

use poolmesh_testkit::simulate::{Faults, Keep, Options, run};

fn options(seed: u64) -> Options {
    Options { seed, hours: 1, nodes: 8, attackers: 1, faults: Faults::ALL }
}

/// Runs a seed that once failed.
fn holds(seed: u64) {
    let report = run(&options(seed), Keep::default());
    assert_eq!(report.violation, None);
}

#[test]
fn a_connection_that_a_frozen_program_lost_is_lost_when_it_goes_on() {
    holds(907);
}

#[test]
fn what_is_written_after_a_cut_does_not_arrive() {
    holds(564);
}

#[test]
fn a_host_that_asks_for_several_pools_at_once() {
    holds(111);
    holds(302);
}

#[test]
fn a_client_learns_the_time_only_from_what_takes_it() {
    holds(187);
    holds(1_125);
}

#[test]
fn clocks_that_jumped_back_catch_up_when_the_storm_is_over() {
    holds(2);
    holds(5);
    holds(9);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let print = |options: &Options| run(options, Keep::default()).fingerprint;
    assert_eq!(print(&options(1)), print(&options(1)));
    assert_ne!(print(&options(1)), print(&options(2)));
    assert_ne!(print(&options(1)), print(&Options { faults: Faults::NONE, ..options(1) }));
    assert_ne!(print(&options(1)), print(&Options { attackers: 0, ..options(1) }));
}

#[test]
fn a_log_changes_nothing() {
    let log = Keep { log: Some(Box::new(std::io::sink())), trace: true };
    let (plain, logged) = (run(&options(3), Keep::default()), run(&options(3), log));
    assert_eq!(plain.fingerprint, logged.fingerprint);
    assert!(plain.trace.is_empty() && logged.trace.len() > 10_000);
}
