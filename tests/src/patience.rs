//! Waiting for conditions, with an end to it.

use std::panic;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition is waited for. Far longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// After this time a test counts as hung.
const HUNG: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The time of tests.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one clock of the tests")]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass: for what is about time itself, such as that nothing happens.
pub fn pause(time: Duration) {
    let start = now();
    while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

/// Waits until `found` gives something.
///
/// # Panics
/// If it doesn't within [`PATIENCE`]; `what` is in the message.
pub fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        pause(LOOK);
    }
}

/// Waits until `holds`.
///
/// # Panics
/// If it doesn't within [`PATIENCE`]; `what` is in the message.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// Looks again and again for `time` whether `holds`.
///
/// # Panics
/// As soon as it doesn't; `what` is in the message.
pub fn throughout(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = now();
    while start.elapsed() < time {
        assert!(holds(), "not throughout: {what}");
        pause(LOOK);
    }
}

/// Runs a test in a thread of its own, so that one that hangs fails and lets the others go on.
///
/// # Panics
/// If the test panics or hangs.
pub fn guarded(test: impl FnOnce() + Send + 'static) {
    let name = thread::current().name().unwrap_or("test").to_owned();
    let (done, ended) = mpsc::channel::<()>();
    let run = thread::Builder::new().name(name.clone()).spawn(move || {
        // Dropped at the end, however it comes.
        let _done = done;
        test();
    });
    let run = run.unwrap_or_else(|error| panic!("no thread for {name}: {error}"));
    if ended.recv_timeout(HUNG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("{name} hangs: not finished after {HUNG:?}");
    }
    if let Err(panicked) = run.join() {
        panic::resume_unwind(panicked);
    }
}
