//! The counts that are committed, and how others are held against them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// By how much a count may grow, in a hundred.
const MAY_GROW: f64 = 5.0;

/// The same where the baseline was counted elsewhere. Another compiler or C library moves counts by some percent without
/// anybody's doing, so a twentieth would fail for nothing; what is worth finding, an allocation or a copy that nobody
/// needs, adds more than a quarter to most of what is counted.
const MAY_GROW_ELSEWHERE: f64 = 25.0;

/// The name, in an environment, of what the compiler compiles for. Another processor has other instructions: then nothing
/// is compared.
pub(crate) const TARGET: &str = "target";

/// What to do about a count that doesn't hold.
pub(crate) const RENEWAL: &str =
    "If it is meant to be so, renew the baseline in the same commit, and say why:
    cargo run --release -p poolmesh-testkit --no-default-features --bin instructions -- --renew";

const HEADER: &str = "\
# Instructions an operation, counted by valgrind's callgrind. What is counted: tests/src/bin/instructions/cases/
# .ci/run fails where one has grown by more than 5 %. To renew, after a change that is meant to cost what it costs:
#     cargo run --release -p poolmesh-testkit --no-default-features --bin instructions -- --renew
";

/// Counts, and what they were counted with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Baseline {
    /// The compiler and the like, by what they are.
    pub(crate) environment: BTreeMap<String, String>,
    /// Instructions an operation, in tenths at the finest, by the name of the case.
    pub(crate) counts: BTreeMap<String, f64>,
}

/// What a comparison has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// A line for each case, and what else is to be said.
    pub(crate) report: String,
    /// Whether nothing has grown too much, and the same cases were counted.
    pub(crate) passed: bool,
}

impl Baseline {
    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut baseline = Self::default();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let twice = if let Some((name, value)) = line.split_once(": ") {
                baseline.environment.insert(name.to_owned(), value.to_owned()).is_some()
            } else {
                let (count, name) = line.trim_start().split_once("  ").ok_or("a line without a count")?;
                let count = count.parse().map_err(|error| format!("{line}: {error}"))?;
                baseline.counts.insert(name.to_owned(), count).is_some()
            };
            if twice {
                return Err(format!("{line}: twice"));
            }
        }
        Ok(baseline)
    }

    /// Holds what is counted `now` against what was.
    pub(crate) fn compare(&self, now: &Self) -> Verdict {
        let (mut report, mut passed, mut shrunk) = (String::new(), true, false);
        let mut say = |line: fmt::Arguments<'_>| _ = writeln!(report, "{line}");
        let here = self.environment == now.environment;
        let comparable = self.environment.get(TARGET) == now.environment.get(TARGET);
        let may_grow = if here { MAY_GROW } else { MAY_GROW_ELSEWHERE };
        say(format_args!("{:>9} {:>9} {:>8}  instructions an operation", "before", "now", "%"));
        for (name, before) in &self.counts {
            let Some(now) = now.counts.get(name) else {
                passed = false;
                say(format_args!("{before:>9.1} {:>9} {:>8}  {name}  <-- IS NOT COUNTED ANY MORE", "", ""));
                continue;
            };
            let percent = (now / before - 1.0) * 100.0;
            let grown = comparable && *now > before * (1.0 + may_grow / 100.0);
            passed &= !grown;
            shrunk |= percent < -MAY_GROW;
            let mark = if grown { "  <-- HAS GROWN" } else { "" };
            say(format_args!("{before:>9.1} {now:>9.1} {percent:>+8.2}  {name}{mark}"));
        }
        for (name, now) in now.counts.iter().filter(|(name, _)| !self.counts.contains_key(*name)) {
            passed = false;
            say(format_args!("{:>9} {now:>9.1} {:>8}  {name}  <-- IS NOT IN THE BASELINE", "", ""));
        }
        if !here {
            for (name, now) in &now.environment {
                let before = self.environment.get(name).map_or("unknown", String::as_str);
                if before != now {
                    say(format_args!("another {name}: the baseline's is {before}, here it is {now}"));
                }
            }
            if comparable {
                say(format_args!(
                    "So it is compared loosely: what has grown by more than {may_grow} % fails."
                ));
            } else {
                say(format_args!("So it is not compared: whatever has grown, nothing fails."));
            }
        }
        if shrunk && here {
            say(format_args!(
                "Some take less by more than {MAY_GROW} %: renew the baseline to hold on to that."
            ));
        }
        Verdict { report, passed }
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        for (name, value) in &self.environment {
            writeln!(f, "{name}: {value}")?;
        }
        for (name, count) in &self.counts {
            writeln!(f, "{count:>9.1}  {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(compiler: &str, counts: &[(&str, f64)]) -> Baseline {
        Baseline {
            environment: [("compiler".to_owned(), compiler.to_owned())].into(),
            counts: counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    fn passes(before: &Baseline, now: &Baseline) -> bool {
        before.compare(now).passed
    }

    #[test]
    fn what_is_written_is_read() {
        let baseline = baseline("rustc 1.85.0 for here", &[("ping, 8 pools", 489.1), ("list", 12_345_678.0)]);
        assert_eq!(Baseline::parse(&baseline.to_string()), Ok(baseline));
        for spoiled in ["  1.0  a\n  2.0  a", "x  a", "1.0", "compiler: a\ncompiler: b"] {
            assert!(Baseline::parse(spoiled).is_err(), "{spoiled}");
        }
    }

    #[test]
    fn the_committed_baseline_can_be_read() {
        let baseline = Baseline::parse(include_str!("../../../benches/instructions.txt")).unwrap();
        assert!(baseline.environment.contains_key("compiler") && baseline.counts.len() > 50);
    }

    #[test]
    fn a_growth_of_more_than_a_twentieth_fails() {
        let before = baseline("a", &[("ping", 1_000.0), ("list", 10.0)]);
        for (ping, passed) in [(1_050.0, true), (1_050.1, false), (1.0, true)] {
            let now = baseline("a", &[("ping", ping), ("list", 10.0)]);
            let verdict = before.compare(&now);
            assert_eq!(verdict.passed, passed, "{ping}");
            assert_eq!(verdict.report.contains("ping  <-- HAS GROWN"), !passed, "{}", verdict.report);
            assert_eq!(verdict.report.contains("renew"), ping < 900.0, "{}", verdict.report);
        }
    }

    #[test]
    fn elsewhere_only_a_growth_of_more_than_a_quarter_fails() {
        let before = baseline("a", &[("ping", 1_000.0)]);
        for (ping, passed) in [(1_250.0, true), (1_250.1, false), (1.0, true)] {
            let verdict = before.compare(&baseline("b", &[("ping", ping)]));
            assert_eq!(verdict.passed, passed, "{ping}");
            assert!(verdict.report.contains("another compiler: the baseline's is a, here it is b"));
        }
    }

    #[test]
    fn for_another_target_no_growth_fails() {
        let before = baseline("a", &[("ping", 1.0)]);
        let mut now = baseline("a", &[("ping", 100.0)]);
        assert!(!passes(&before, &now));
        now.environment.insert(TARGET.to_owned(), "another".to_owned());
        assert!(passes(&before, &now));
        now.counts.clear();
        assert!(!passes(&before, &now), "but the cases are the same everywhere");
    }

    #[test]
    fn both_must_have_the_same_cases() {
        let (one, two) = (baseline("a", &[("ping", 1.0)]), baseline("a", &[("ping", 1.0), ("list", 1.0)]));
        assert!(passes(&one, &one) && passes(&two, &two) && !passes(&one, &two) && !passes(&two, &one));
    }
}
