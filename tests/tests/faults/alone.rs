//! Checks that need a process of their own: for its limits, its memory, its processor time or its network.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;

use poolmesh_testkit::patience::{now, pause};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{COUNTING, Duration, millis};

/// Names the check to the process that is there for it.
const WHICH: &str = "POOLMESH_FAULTS_ALONE";

/// After this time a check counts as hung. The heavy ones have ten times as much.
const HUNG: Duration = Duration::from_secs(60);

/// Runs `check`, which is the whole of the test called `name`, in a process of its own.
pub(crate) fn alone(name: &str, check: fn()) {
    run(name, &[], HUNG, check);
}

/// As [`alone`], for what takes minutes.
pub(crate) fn alone_and_long(name: &str, check: fn()) {
    run(name, &[], 10 * HUNG, check);
}

/// As [`alone`], in a network of its own: its loopback is down until [`set_loopback`]. Skipped where that isn't
/// permitted.
#[cfg(target_os = "linux")]
pub(crate) fn alone_in_a_network(name: &str, check: fn()) {
    let unshare = ["unshare", "--user", "--map-root-user", "--net", "--"];
    let possible = || {
        let [program, flags @ ..] = unshare;
        let shell = ["sh", "-c", "ip link set lo up && ip link set lo down"];
        let tried = Command::new(program).args(flags).args(shell).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    if std::env::var_os(WHICH).is_none() && !possible() {
        println!("skipped: no network of its own can be had here");
        return;
    }
    run(name, &unshare, HUNG, check);
}

/// Takes the loopback of this process's own network up or down.
#[cfg(target_os = "linux")]
pub(crate) fn set_loopback(state: &str) {
    assert!(Command::new("ip").args(["link", "set", "lo", state]).status().unwrap().success());
}

fn run(name: &str, within: &[&str], patience: Duration, check: fn()) {
    if let Some(which) = std::env::var_os(WHICH) {
        assert_eq!(which, name, "a process for one check runs that one");
        return check();
    }
    let test = std::env::current_exe().unwrap();
    let arguments = ["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"];
    let mut command = match within {
        [] => Command::new(test),
        [program, flags @ ..] => {
            let mut command = Command::new(program);
            command.args(flags).arg(test);
            command
        }
    };
    command
        .args(arguments)
        .env(WHICH, name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = thread::spawn(move || read_all(&mut stdout));
    let err = thread::spawn(move || read_all(&mut stderr));
    let start = now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if start.elapsed() > patience => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => pause(millis(5)),
        }
    };
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    // A name that is no test's would run nothing, and well.
    let passed = status.is_some_and(|status| status.success()) && out.contains("1 passed");
    assert!(passed, "{name} alone: {status:?}\n{out}\n{err}");
    print!("{out}");
}

fn read_all(from: &mut impl Read) -> String {
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

/// Lets this process open so many files, or as many as the system permits. Says how many.
pub(crate) fn set_files(wanted: u64) -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = wanted.min(maximum.unwrap_or(u64::MAX));
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap();
    current
}

/// The time that all threads of this process have spent on processors.
pub(crate) fn processor_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.try_into().unwrap(), spent.tv_nsec.try_into().unwrap())
}

/// Bytes allocated and not given back. The two counters are read one after the other, while other threads go on: they
/// are of one moment if the first stood still until the second was read.
pub(crate) fn live() -> usize {
    let mut stats = COUNTING.stats();
    loop {
        let later = COUNTING.stats();
        if later.bytes_allocated == stats.bytes_allocated {
            return stats.bytes_allocated - stats.bytes_deallocated;
        }
        stats = later;
    }
}
