//! The file with the broadcaster's key.

use std::fs;
use std::path::PathBuf;

use poolmesh_testkit::program::Program;

use super::{RUNTIMES, broadcaster};

/// A directory of its own for each test, gone at its end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("poolmesh-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_key_is_made_for_its_owner_alone_and_kept() {
    for runtime in RUNTIMES {
        let directory = Directory::new(&format!("key-{runtime}"));
        let file = directory.file("key");
        let (program, _) = broadcaster(&["--runtime", runtime, "--key-file", &file]);
        let made = fs::read_to_string(&file).unwrap();
        assert!(made.len() == 65 && made.trim_end().bytes().all(|digit| digit.is_ascii_hexdigit()), "{made}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(program);
        let (_program, _) = broadcaster(&["--runtime", runtime, "--key-file", &file]);
        assert_eq!(fs::read_to_string(&file).unwrap(), made);
    }
}

#[test]
fn what_is_no_key_is_a_clear_error() {
    let directory = Directory::new("no-key");
    let file = directory.file("key");
    fs::write(&file, "secret").unwrap();
    let zeros = directory.file("zeros");
    fs::write(&zeros, [0; 32]).unwrap();
    for (file, said) in [
        (file.as_str(), "32 bytes"),
        (&zeros, "the same"),
        (&directory.file("nowhere/key"), "can't make"),
        (&directory.file("."), "can't read"),
    ] {
        let mut program =
            Program::start("poolmesh-broadcaster", ["--listen", "127.0.0.1:0", "--key-file", file]);
        assert!(!program.wait().success());
        assert_eq!(program.rest(), [""; 0]);
        let errors = program.errors();
        assert!(errors.contains(said) && errors.contains(file), "{errors}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "secret", "it is not written over");
}

/// It would wait for a pipe's writer for ever, and take whatever a device has just then.
#[test]
#[cfg(unix)]
fn a_pipe_or_a_device_is_refused_at_once() {
    let directory = Directory::new("pipe");
    let pipe = directory.file("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for file in [&pipe, "/dev/zero"] {
        let flags = ["--listen", "127.0.0.1:0", "--key-file", file];
        let mut program = Program::start("poolmesh-broadcaster", flags);
        assert!(!program.wait().success());
        let errors = program.errors();
        assert!(errors.contains("no regular file") && errors.contains(file), "{errors}");
    }
}

#[test]
fn programs_that_start_at_once_have_one_key_and_all_serve() {
    let directory = Directory::new("at-once");
    let file = directory.file("key");
    let flags = ["--listen", "127.0.0.1:0", "--key-file", &file];
    let programs: Vec<_> = (0..8).map(|_| Program::start("poolmesh-broadcaster", flags)).collect();
    for program in &programs {
        assert!(program.line().starts_with("listening on "));
    }
    assert_eq!(fs::read_to_string(&file).unwrap().len(), 65);
    let there = fs::read_dir(std::path::Path::new(&file).parent().unwrap()).unwrap();
    assert_eq!(there.count(), 1, "of each there is one");
}
