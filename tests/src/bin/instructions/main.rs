//! How many instructions the proto takes for what it does:
//! `cargo run --release -p poolmesh-testkit --no-default-features --bin instructions`.
//!
//! Times of a shared machine drift by a third; what valgrind's callgrind counts is the same in every run. So a growth
//! of a twentieth can be told, and fails. What is counted is held against `tests/benches/instructions.txt`;
//! `-- --renew` writes that file.

mod baseline;
mod callgrind;
mod cases;
mod counter;

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use baseline::{Baseline, Verdict};

const USAGE: &str = "arguments: none to compare with the baseline, --renew to write it";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["--renew"] => renew(),
        [callgrind::COUNT, group] => run(group),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What callgrind runs.
fn run(group: &str) -> Result<(), String> {
    let (_, cases) = cases::GROUPS
        .iter()
        .find(|(name, _)| *name == group)
        .ok_or_else(|| format!("there is no group of cases named {group}"))?;
    cases();
    Ok(())
}

fn measured() -> Result<Baseline, String> {
    let groups = cases::GROUPS.iter().map(|(name, _)| *name);
    Ok(Baseline { environment: callgrind::environment()?, counts: callgrind::run(groups)? })
}

fn file() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt"))
}

fn renew() -> Result<(), String> {
    let text = measured()?.to_string();
    print!("{text}");
    fs::write(file(), text).map_err(|error| format!("{}: {error}", file().display()))
}

fn compare() -> Result<(), String> {
    let text = fs::read_to_string(file()).map_err(|error| format!("{}: {error}", file().display()))?;
    let before = Baseline::parse(&text).map_err(|error| format!("{}: {error}", file().display()))?;
    let Verdict { report, passed } = before.compare(&measured()?);
    print!("{report}");
    if passed { Ok(()) } else { Err(format!("the instruction counts don't hold.\n{}", baseline::RENEWAL)) }
}
