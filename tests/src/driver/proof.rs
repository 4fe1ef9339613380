//! Puts a driver to all checks.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::checks::{self, Check};
use super::stage::Play;
use super::{Recording, Scripted, Subject, World as _};

/// After this time a check counts as hung.
const HUNG: Duration = Duration::from_secs(60);
/// So many checks run side by side: they wait more than they work.
const THREADS: usize = 8;

/// A check that a driver has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The check's name, `theme::rule`.
    pub check: &'static str,
    /// What was wrong.
    pub why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.why)
    }
}

/// The names of all checks, `theme::rule`. Those that need a script are left out for other worlds.
#[must_use]
pub fn check_names(scripted: bool) -> Vec<&'static str> {
    of_world(scripted).map(|check| check.name).collect()
}

fn of_world(scripted: bool) -> impl Iterator<Item = &'static Check> {
    checks::all().filter(move |check| scripted || !check.scripted)
}

/// Puts a driver to all checks whose names contain `filter`, and answers which it fails.
///
/// Each runs in a thread of its own, so that one that hangs is a failure like others.
pub fn failures<S: Subject>(subject: S, filter: &str) -> Vec<Failure> {
    put(subject, filter).failed
}

/// What came of some checks.
#[derive(Debug, Default)]
struct Proof {
    held: usize,
    /// Those that could not be made, and why.
    skipped: Vec<(&'static str, &'static str)>,
    failed: Vec<Failure>,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, skipped, failed } = self;
        write!(f, "{held} checks hold, {} skipped, {} failed", skipped.len(), failed.len())?;
        for (check, why) in skipped {
            write!(f, "\n  {check}: skipped, {why}")?;
        }
        failed.iter().try_for_each(|failure| write!(f, "\n  {failure}"))
    }
}

fn put<S: Subject>(subject: S, filter: &str) -> Proof {
    let scripted = S::World::default().script().is_some();
    let checks: Vec<_> = of_world(scripted).filter(|check| check.name.contains(filter)).collect();
    assert!(!checks.is_empty(), "no check has {filter:?} in its name");
    let subject = Arc::new(subject);
    let (checks, proof) = (Mutex::new(checks.into_iter()), Mutex::new(Proof::default()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some(check) = checks.lock().unwrap_or_else(PoisonError::into_inner).next() else {
                        return;
                    };
                    let ran = run(check, &subject);
                    let mut proof = proof.lock().unwrap_or_else(PoisonError::into_inner);
                    match ran {
                        Ok(None) => proof.held += 1,
                        Ok(Some(why)) => proof.skipped.push((check.name, why)),
                        Err(why) => proof.failed.push(Failure { check: check.name, why }),
                    }
                }
            });
        }
    });
    proof.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Answers why a check could not be made, if it couldn't.
fn run<S: Subject>(check: &'static Check, subject: &Arc<S>) -> Result<Option<&'static str>, String> {
    let (tell, told) = mpsc::channel();
    let subject = Arc::clone(subject);
    let checking = move || {
        let play: &dyn Play = &*subject;
        let ended = catch_unwind(AssertUnwindSafe(|| (check.run)(play))).map(|()| checks::skipped());
        let _ = tell.send(ended.map_err(|panicked| {
            let text = panicked.downcast_ref::<String>().map(String::as_str);
            text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("it panics").to_owned()
        }));
    };
    thread::Builder::new().name(check.name.into()).spawn(checking).map_err(|error| error.to_string())?;
    told.recv_timeout(HUNG).unwrap_or_else(|_| Err(format!("not finished after {HUNG:?}")))
}

/// Puts a driver to all checks, and says at the end how many hold, and which could not be made.
///
/// # Panics
/// If it fails any, with their names and what was wrong.
pub fn prove<S: Subject>(subject: S) {
    let proof = put(subject, "");
    assert!(proof.failed.is_empty(), "{proof}");
    println!("{proof}");
}

/// Has a driver play a story with every kind of call in it, on a script, and answers what it did. It is what
/// `recording::the_story_is_as_it_was` compares.
#[must_use]
pub fn story<S: Subject<World = Scripted>>(subject: &S) -> Recording {
    checks::story(subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Driver, OnScript, Settings};

    /// Drives no broadcaster.
    struct NoServer;

    impl Subject for NoServer {
        type World = Scripted;

        fn start(&self, world: &Scripted, settings: Settings) -> std::io::Result<Box<dyn Driver>> {
            OnScript.start(world, settings)
        }
    }

    #[test]
    fn what_is_not_checked_is_said() {
        let proof = put(NoServer, "nonsense");
        assert_eq!((proof.failed.len(), proof.held), (0, 1), "{proof}");
        assert_eq!(proof.skipped, [("serving::nonsense_stops_nothing", "drives no broadcaster")]);
        let proof = Proof {
            held: 2,
            skipped: vec![("a::b", "no sockets")],
            failed: vec![Failure { check: "c::d", why: "late".into() }],
        };
        let text = "2 checks hold, 1 skipped, 1 failed\n  a::b: skipped, no sockets\n  c::d: late";
        assert_eq!(proof.to_string(), text);
    }
}
