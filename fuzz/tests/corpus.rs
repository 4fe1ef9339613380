//! Every input that the fuzzer kept, through its target, on any toolchain.
//!
//! Some targets count memory, and the allocator counts for the whole process: so this has no test harness, and runs
//! in the one thread there is.

use std::alloc::System;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use poolmesh_fuzz::TARGETS;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    every_folder_has_a_target(&corpus);
    let mut failed = Vec::new();
    for (target, check) in TARGETS {
        let folder = corpus.join(target);
        let entries =
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("no corpus {}: {error}", folder.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry of the corpus").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        for file in &files {
            let data = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            if catch_unwind(|| check(&data)).is_err() {
                failed.push(file.clone());
            }
        }
        println!("{target}: {} inputs replayed", files.len());
    }
    assert!(COUNTING.stats().bytes_deallocated > 0, "nobody counts what is allocated");
    assert!(failed.is_empty(), "inputs that fail (why is said above): {failed:#?}");
}

/// One without a target would be replayed by nobody.
fn every_folder_has_a_target(corpus: &Path) {
    for entry in fs::read_dir(corpus).expect("a corpus") {
        let name = entry.expect("an entry of the corpus").file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?} has no target");
    }
}
