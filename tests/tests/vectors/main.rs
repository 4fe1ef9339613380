//! The captured bytes of gop2p: every vector is read to its meaning, and written back where it is canonical.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a vector that is not as expected fails its test"
)]
#![allow(clippy::unwrap_in_result, reason = "what the file says is part of the test, not of its result")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it looks for")]

mod broadcaster;
mod file;
mod packets;
mod requests;
mod responses;
mod streams;

use std::collections::BTreeSet;

use file::{Vector, vectors};

/// A check takes the vectors that it is for and fails the test if one isn't as it should be. It says which it took.
type Check = fn(&[Vector]) -> BTreeSet<String>;

const CHECKS: [(&str, Check); 4] = [
    ("requests", requests::check),
    ("responses", responses::check),
    ("streams", streams::check),
    ("packets", packets::check),
];

#[test]
fn every_vector_is_covered_by_one_check() {
    let vectors = vectors();
    let names: BTreeSet<String> = vectors.iter().map(|vector| vector.name.clone()).collect();
    assert_eq!(names.len(), vectors.len(), "names are unique");
    assert!(vectors.len() >= 96, "none is lost");
    let mut covered = BTreeSet::new();
    for (check, run) in CHECKS {
        for name in run(&vectors) {
            assert!(covered.insert(name.clone()), "{name} was taken twice, by {check} too");
        }
    }
    let missed: Vec<&String> = names.difference(&covered).collect();
    assert!(missed.is_empty(), "no check for {missed:?}");
}

#[test]
fn every_vector_has_the_length_and_the_hash_it_names() {
    for vector in vectors() {
        assert_eq!(vector.bytes.len(), vector.len, "{}", vector.name);
        if let Some(expected) = &vector.sha256 {
            assert_eq!(&file::sha256(&vector.bytes), expected, "{}", vector.name);
        }
    }
}
