//! Every input that the fuzzer kept, through its target, on any toolchain.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use poolmesh_fuzz::TARGETS;

#[test]
fn every_kept_input_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
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
    assert!(failed.is_empty(), "inputs that fail (why is said above): {failed:#?}");
}

/// A folder without a target would be replayed by nobody.
#[test]
fn every_corpus_has_a_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpus).expect("a corpus") {
        let name = entry.expect("an entry of the corpus").file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?} has no target");
    }
}
