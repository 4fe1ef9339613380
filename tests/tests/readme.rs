//! What the README promises is shown by tests that are there.

#![allow(clippy::unwrap_used, reason = "what can't be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// All Rust in a folder, as one text.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all += &fs::read_to_string(&path).unwrap();
        }
    }
    all
}

#[test]
fn every_test_that_the_security_model_names_is_there() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (_, model) = readme.split_once("## Security model").unwrap();
    let (model, _) = model.split_once("\n## ").unwrap();
    // What stands between backticks: each second piece.
    let quoted: Vec<&str> = model.split('`').skip(1).step_by(2).collect();
    let sources_of = |folder: &str| sources(&Path::new(ROOT).join(folder));
    let (proto, mut named) = (sources_of("proto/src"), 0);
    for name in quoted {
        let (target, path) = name.split_once(' ').unwrap_or(("", name));
        let test = path.rsplit("::").next().unwrap();
        let there = match target {
            "" if path.contains("::tests::") && !test.is_empty() => proto.contains(&format!("fn {test}()")),
            // Its rules have no harness.
            "memory" => sources_of("tests/tests/memory").contains(&format!("(\"{test}\"")),
            // Those with inputs of any kind have arguments.
            "machine_properties" | "native" => {
                sources_of(&format!("tests/tests/{target}")).contains(&format!("fn {test}("))
            }
            _ => continue,
        };
        assert!(there, "{name}");
        named += 1;
    }
    assert!(named >= 30, "only {named} are named");
}
