//! Running this program under valgrind's callgrind, and reading what it has counted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, process};

use crate::baseline::TARGET;
use crate::counter::{COUNTED, DUMPED};

/// The argument by which the program is told to run cases.
pub(crate) const COUNT: &str = "--count";

/// Which of its variants of `memcpy` and the like the C library takes depends on the processor. By these names, those of
/// glibc of before and after 2.33, it takes the same everywhere; what it doesn't know it ignores.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";

/// What counts depend on beside the code: the compiler and what it compiles for, the C library, which allocates and copies,
/// and valgrind, which says what the processor can do.
pub(crate) fn environment() -> Result<BTreeMap<String, String>, String> {
    let verbose = output(Command::new("rustc").arg("-vV"))?;
    let field = |name| verbose.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
    let (compiler, target) = (verbose.lines().next().unwrap_or("unknown"), field("host: "));
    let libc = output(Command::new("getconf").arg("GNU_LIBC_VERSION")).unwrap_or_else(|_| "unknown".into());
    let valgrind = output(Command::new("valgrind").arg("--version"))
        .map_err(|error| format!("{error}\nvalgrind counts: install it, say by apt-get install valgrind"))?;
    let all = [
        ("compiler", compiler.to_owned()),
        (TARGET, target.to_owned()),
        ("C library", libc),
        ("counted by", valgrind),
    ];
    Ok(all.into_iter().map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
}

fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Instructions an operation, of every case of these groups. Each group has a process of its own; they run at the same
/// time, for how long they take doesn't matter.
pub(crate) fn run<'a>(groups: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, f64>, String> {
    let directory = Scratch::new()?;
    let mut running = Vec::new();
    for group in groups {
        let dump = directory.0.join(group);
        running.push((start(group, &dump)?, dump));
    }
    let mut counts = BTreeMap::new();
    for (child, dump) in running {
        let output = child.wait_with_output().map_err(|error| format!("valgrind: {error}"))?;
        if !output.status.success() {
            return Err(format!("valgrind: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
        }
        for (index, line) in String::from_utf8_lossy(&output.stdout).lines().enumerate() {
            let (operations, name) = line.split_once(' ').ok_or_else(|| format!("what is {line}?"))?;
            let operations: f64 = operations.parse().map_err(|error| format!("{line}: {error}"))?;
            let total = total(&dump.with_extension(format!("{}", index + 1)))?;
            // As it is written, so that rounding is no difference.
            let count = (total / operations * 10.0).round() / 10.0;
            if counts.insert(name.to_owned(), count).is_some() {
                return Err(format!("two cases are named {name}"));
            }
        }
    }
    Ok(counts)
}

fn start(group: &str, dump: &Path) -> Result<Child, String> {
    let this = env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--compress-strings=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--dump-after={DUMPED}"))
        .arg(format!("--callgrind-out-file={}", dump.display()))
        .arg(this)
        .args([COUNT, group])
        // The environment lies on the stack, so that it moves what follows.
        .env_clear()
        .envs(env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GLIBC_TUNABLES", TUNABLES)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("valgrind: {error}"))
}

/// What was counted between two dumps.
fn total(dump: &Path) -> Result<f64, String> {
    let text = fs::read_to_string(dump).map_err(|error| format!("{}: {error}", dump.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    match total.map(str::parse) {
        Some(Ok(total)) if total > 0.0 => Ok(total),
        Some(_) | None => Err(format!("{}: nothing was counted: {total:?}", dump.display())),
    }
}

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path = env::temp_dir().join(format!("poolmesh-instructions-{}", process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}
