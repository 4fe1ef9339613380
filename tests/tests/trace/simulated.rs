//! A simulated lobby with all its faults, recorded, written, read and played.

use poolmesh_testkit::simulate::{Faults, Keep, Options, Speech, run};
use poolmesh_testkit::trace::{replay, write};

/// In seed 1 a broadcaster draws numbers for several requests before it is drained.
#[test]
fn a_simulated_lobby_happens_again() {
    for seed in 0..3 {
        let options =
            Options { seed, hours: 1, nodes: 6, attackers: 1, faults: Faults::ALL, dialect: Speech::Classic };
        let report = run(&options, Keep { log: None, trace: true });
        assert!(report.violation.is_none(), "{:?}", report.violation);
        let mut file = Vec::new();
        write(&report.trace, &mut file).unwrap();
        let replayed = replay(&file[..], None).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        assert_eq!((replayed.summary.entries, replayed.cut), (report.trace.len() as u64, None));
        assert!(replayed.summary.programs > 3 && replayed.summary.polls > 1_000, "{:?}", replayed.summary);
    }
}
