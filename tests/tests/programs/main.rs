//! The programs, run as their users run them: what they print, how they end.
#![allow(clippy::unwrap_used, reason = "tests: a panic is how they fail, and they name what they look for")]

mod chats;
mod classic_chats;
mod key_files;

use std::net::UdpSocket;

use poolmesh_testkit::program::Program;

const RUNTIMES: [&str; 2] = ["std", "smol"];
/// More than one takes Linux.
const THREADS: &[&str] = if cfg!(target_os = "linux") { &["1", "4"] } else { &["1"] };
/// A broadcaster in one thread. Where the system has no io_uring it says so, and does without.
const ALONE: [&[&str]; 3] = [&["--runtime", "std"], &["--runtime", "smol"], &["--io", "uring"]];
const CHATS: [&str; 2] = ["chat-std", "chat-smol"];

fn broadcaster(flags: &[&str]) -> (Program, String) {
    let program = Program::start("poolmesh-broadcaster", [&["--listen", "127.0.0.1:0"], flags].concat());
    let line = program.line();
    let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("first line: {line}"));
    (program, address.to_owned())
}

#[test]
#[cfg(unix)]
fn a_broadcaster_stops_cleanly_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let (mut program, _) = broadcaster(&["--io", "uring"]);
        program.signal(signal);
        assert!(program.wait().success(), "io_uring, SIG{signal}");
    }
    for runtime in RUNTIMES {
        for signal in ["TERM", "INT"] {
            for threads in THREADS {
                let (mut program, _) = broadcaster(&["--runtime", runtime, "--threads", threads]);
                program.signal(signal);
                assert!(program.wait().success(), "{runtime}, {threads} threads, SIG{signal}");
            }
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_broadcaster_whose_logs_go_nowhere_serves_and_stops() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use poolmesh_testkit::program::path;

    for flags in ALONE {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut program = Command::new(path("poolmesh-broadcaster"))
            .args(["--listen", "127.0.0.1:0", "--classic"])
            .args(flags)
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(full)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        socket.send_to(&[0], line.trim_start_matches("listening on ").trim_end()).unwrap();
        assert!(socket.recv(&mut [0; 1_024]).unwrap() > 1, "it makes a pool, and tries to say so");
        assert!(Command::new("kill").arg(program.id().to_string()).status().unwrap().success());
        assert!(program.wait().unwrap().success(), "{flags:?}");
    }
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for runtime in RUNTIMES {
        for threads in THREADS {
            let flags = ["--listen", &address, "--runtime", runtime, "--threads", threads];
            let mut program = Program::start("poolmesh-broadcaster", flags);
            assert!(!program.wait().success());
            assert_eq!(program.rest(), [""; 0]);
            let errors = program.errors();
            assert!(errors.contains(&address) && errors.contains("--listen"), "{errors}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn threads_share_a_port_with_nobody_else() {
    for runtime in RUNTIMES {
        let flags = ["--runtime", runtime, "--threads", "2"];
        let (_program, address) = broadcaster(&flags);
        let mut second =
            Program::start("poolmesh-broadcaster", [&["--listen", &address], &flags[..]].concat());
        assert!(!second.wait().success());
        assert!(second.errors().contains("another program has this port"), "{}", second.errors());
    }
}

#[test]
fn threads_are_not_recorded() {
    for runtime in RUNTIMES {
        let flags =
            ["--listen", "127.0.0.1:0", "--runtime", runtime, "--threads", "2", "--record", "/nowhere/t"];
        let mut program = Program::start("poolmesh-broadcaster", flags);
        assert!(!program.wait().success());
        assert!(program.errors().contains("leave out --threads"), "{}", program.errors());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn threads_for_nothing_are_told_of() {
    for (flags, told) in
        [(&["--threads", "2"][..], true), (&["--threads", "2", "--classic"], false), (&[], false)]
    {
        let (mut program, _) = broadcaster(flags);
        program.signal("TERM");
        assert!(program.wait().success());
        let errors = program.errors();
        assert_eq!(errors.contains("--threads does nothing without --classic"), told, "{errors}");
    }
}

#[test]
#[cfg(not(target_os = "linux"))]
fn threads_elsewhere_are_a_clear_error() {
    let mut program = Program::start("poolmesh-broadcaster", ["--listen", "127.0.0.1:0", "--threads", "2"]);
    assert!(!program.wait().success());
    assert!(program.errors().contains("leave out --threads"), "{}", program.errors());
}

#[test]
fn a_broadcaster_survives_what_ends_the_original() {
    for flags in ALONE {
        let (_program, address) = broadcaster(&[flags, &["--classic"]].concat());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        socket.send_to(b"\x03\xff\xff\xff\xff", &address).unwrap();
        let mut answer = [0; 1_024];
        let len = socket.recv(&mut answer).unwrap();
        assert_eq!(&answer[..len], b"\x04\x2a\0\0\0ERROR: out of bound by 4294967295 elements");
    }
}

/// One file more than the program needs otherwise is what a ring takes, so that some limit is short of that alone.
#[test]
#[cfg(target_os = "linux")]
fn a_broadcaster_to_which_the_system_refuses_io_uring_serves() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    use poolmesh_testkit::program::path;

    let program = path("poolmesh-broadcaster");
    let mut messages = Vec::new();
    for files in 4..40 {
        let command = format!(
            "ulimit -n {files}; exec {} --listen 127.0.0.1:0 --classic --io uring",
            program.display()
        );
        let mut program = Command::new("sh")
            .args(["-c", &command])
            .env("RUST_LOG", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let serves = if let Some(address) = line.strip_prefix("listening on ") {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
            socket.send_to(&[0], address.trim_end()).unwrap();
            assert!(socket.recv(&mut [0; 1_024]).unwrap() > 1, "it makes a pool");
            program.kill().unwrap();
            true
        } else {
            false
        };
        let mut said = String::new();
        program.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        program.wait().unwrap();
        if serves && said.is_empty() {
            break;
        }
        if serves {
            messages.push(said);
        }
    }
    assert!(!messages.is_empty(), "no limit kept it from making a ring and from nothing else");
    for message in messages {
        assert!(message.starts_with("poolmesh-broadcaster: no io_uring ("), "{message}");
    }
}

#[test]
fn io_uring_on_smol_or_in_threads_is_refused() {
    for flags in [["--runtime", "smol"], ["--threads", "2"]] {
        let mut program = Program::start(
            "poolmesh-broadcaster",
            [&flags[..], &["--io", "uring", "--listen", "127.0.0.1:0"]].concat(),
        );
        assert!(!program.wait().success());
        let errors = program.errors();
        assert!(errors.contains("--io uring takes --runtime std and one thread"), "{errors}");
    }
}

#[test]
fn help_is_given_and_nonsense_is_refused() {
    for name in ["poolmesh-broadcaster", "chat-std", "chat-smol", "demo", "game_loop"] {
        let mut help = Program::start(name, ["--help"]);
        assert!(help.wait().success());
        assert!(help.rest().iter().any(|line| line.to_lowercase().starts_with("usage: ")), "{name}");
        let mut nonsense = Program::start(name, ["--nonsense"]);
        assert!(!nonsense.wait().success());
        let errors = nonsense.errors();
        assert!(errors.contains("--nonsense") && !errors.contains("panicked"), "{errors}");
    }
}

#[test]
fn the_examples_that_need_nobody_run_to_their_end() {
    for name in ["demo", "game_loop"] {
        let mut program = Program::start(name, [""; 0]);
        let lines = program.rest();
        assert!(program.wait().success(), "{name}: {}", program.errors());
        assert!(lines.len() > 5, "{name} says little: {lines:?}");
    }
}

#[test]
fn the_help_tells_which_flags_are_of_which_dialect() {
    let mut help = Program::start("poolmesh-broadcaster", ["--help"]);
    assert!(help.wait().success());
    let lines = help.rest();
    let heading = |text: &str| lines.iter().position(|line| line.starts_with(text)).unwrap();
    let flag = |text: &str| lines.iter().position(|line| line.trim_start().starts_with(text)).unwrap();
    let (native, classic) = (heading("Limits of the native dialect"), heading("Classic dialect"));
    assert!(flag("--key-file") < native && (native..classic).contains(&flag("--limit-pools-per-source")));
    assert!(flag("--ping-timeout") > classic && flag("--classic") > classic);
}

#[test]
fn the_classic_dialect_has_to_be_asked_for() {
    let mut program = Program::start("poolmesh-broadcaster", ["--max-pools", "1"]);
    assert!(!program.wait().success());
    let errors = program.errors();
    assert!(errors.contains("--classic"), "{errors}");
}
