//! Programs of the workspace, run as their users run them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long anything may take that should happen at once. Long, for machines under load.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program. It is killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Program {
    /// Starts a binary or an example of the workspace by its name.
    ///
    /// # Panics
    /// If it can't be built or started.
    pub fn start(name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut child = Command::new(path(name))
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} can't be started: {error}"));
        let stdout = lines(child.stdout.take());
        let stderr = lines(child.stderr.take());
        Self { child, stdout, stderr }
    }

    /// The process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output.
    ///
    /// # Panics
    /// If none comes.
    #[must_use]
    pub fn line(&self) -> String {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!("no line ({error}); on standard error: {:?}", self.errors_so_far()),
        }
    }

    /// The first line of standard output, from here on, that `wanted` takes.
    ///
    /// # Panics
    /// If none comes.
    #[must_use]
    pub fn line_that(&self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.line();
            if wanted(&line) {
                return line;
            }
        }
    }

    /// What is left on standard output, until it is closed.
    #[must_use]
    pub fn rest(&self) -> Vec<String> {
        until_closed(&self.stdout)
    }

    /// What is left on standard error, until it is closed.
    #[must_use]
    pub fn errors(&self) -> String {
        until_closed(&self.stderr).join("\n")
    }

    /// What has come on standard error so far.
    fn errors_so_far(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Types a line.
    ///
    /// # Panics
    /// If nobody reads it.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the program reads");
    }

    /// Ends the input.
    pub fn end_input(&mut self) {
        self.child.stdin = None;
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// If it doesn't come.
    pub fn wait(&mut self) -> ExitStatus {
        for _ in 0..PATIENCE.as_millis() / 10 {
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                return status;
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        panic!("the program goes on; on standard error: {:?}", self.errors_so_far());
    }

    /// Sends a signal by its name, as from a shell.
    ///
    /// # Panics
    /// If it can't be sent.
    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.expect("kill can be run").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: Option<impl std::io::Read + Send + 'static>) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    if let Some(from) = from {
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

fn until_closed(lines: &Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => all.push(line),
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) => panic!("the program stays open after {all:?}"),
        }
    }
}

/// Where a program of the workspace is. The first call builds all of them, with the cargo that runs the tests.
///
/// # Panics
/// If they can't be built.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--workspace", "--bins", "--examples"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.expect("cargo can be run").success(), "the programs can't be built");
        // The test runs as TARGET/debug/deps/NAME-HASH.
        let test = std::env::current_exe().expect("the test knows where it is");
        let target = test.ancestors().nth(3).expect("the test lies in a target directory");
        target.join("debug")
    });
    let binary = directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let example = directory.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if binary.exists() { binary } else { example }
}
