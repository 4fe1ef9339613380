//! What time and processor time it is, and on which core.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Fallible;

/// A clock that counts processor time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock(ClockId);

impl CpuClock {
    /// The processor time of all threads of a process together, those that have ended among them.
    pub(crate) fn of_process(id: u32) -> Fallible<Self> {
        Ok(Self(clock_getcpuclockid(Pid::from_raw(i32::try_from(id)?))?))
    }

    /// The processor time of the thread that reads it.
    pub(crate) const fn of_this_thread() -> Self {
        Self(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    /// What it shows.
    pub(crate) fn read(self) -> Fallible<Duration> {
        Ok(Duration::from(clock_gettime(self.0)?))
    }
}

/// The cores this process may run on, lowest first.
pub(crate) fn cores() -> Fallible<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect())
}

/// Has every thread of this process, and those they start, run on these cores alone.
pub(crate) fn pin(cores: &[usize]) -> Fallible<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    // A thread that starts meanwhile inherits from one that may not be pinned yet: until none is new.
    let mut pinned = BTreeSet::new();
    loop {
        let before = pinned.len();
        for entry in fs::read_dir("/proc/self/task")? {
            let thread: i32 = entry?.file_name().to_string_lossy().parse()?;
            if pinned.insert(thread) {
                match sched_setaffinity(Pid::from_raw(thread), &set) {
                    // It has ended.
                    Err(nix::errno::Errno::ESRCH) => {}
                    result => result?,
                }
            }
        }
        if pinned.len() == before {
            return Ok(());
        }
    }
}
