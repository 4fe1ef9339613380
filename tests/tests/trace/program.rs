//! The broadcaster program's `--record`.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use poolmesh_proto::ClientConfig;
use poolmesh_proto::trace::{Input, entries};
use poolmesh_testkit::conformance::ids;
use poolmesh_testkit::patience::{eventually, until};
use poolmesh_testkit::program::Program;
use poolmesh_testkit::trace::replay;

const RUNTIMES: [&str; 2] = ["std", "smol"];

/// A file of its own for each test, gone at its end.
struct Trace(PathBuf);

impl Trace {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("poolmesh-{}-{name}.trace", std::process::id())))
    }

    fn read(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap_or_default()
    }

    /// What can be read so far.
    fn inputs(&self) -> Vec<Input> {
        entries(&self.read()).map_while(Result::ok).map(|entry| entry.input).collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn broadcaster(runtime: &str, record: &str, flags: &[&str]) -> (Program, String) {
    let flags =
        [&["--listen", "127.0.0.1:0", "--classic", "--runtime", runtime, "--record", record], flags].concat();
    let program = Program::start("poolmesh-broadcaster", flags);
    let address = program.line().strip_prefix("listening on ").unwrap().to_owned();
    (program, address)
}

fn ask(address: &str, request: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send_to(request, address).unwrap();
    let mut answer = [0; 1_024];
    let len = socket.recv(&mut answer).unwrap();
    answer[..len].to_vec()
}

#[test]
#[cfg(unix)]
fn what_a_broadcaster_did_in_the_field_happens_again() {
    for runtime in RUNTIMES {
        let trace = Trace::new(runtime);
        let (mut program, address) = broadcaster(runtime, trace.0.to_str().unwrap(), &[]);
        let host = poolmesh_std::Client::connect_with(&address, ClientConfig::classic()).unwrap();
        let pool = host.create().unwrap();
        let peer = smol::block_on(async {
            let client =
                poolmesh_smol::Client::connect_with(address.as_str(), ClientConfig::classic()).await.unwrap();
            assert_eq!(client.list().await.unwrap()[0].id(), pool.id());
            client.join(pool.id()).await.unwrap().you()
        });
        ask(&address, b"nonsense");
        // A pool that nobody pings. What is due shows in the file within a second, while the server runs.
        ask(&address, &[0]);
        until("a timeout is recorded", || trace.inputs().contains(&Input::Timeout));
        until("the pool has ended", || ids(&host) == [pool.id()]);
        program.signal("TERM");
        assert!(program.wait().success());

        let (file, mut log) = (trace.read(), Vec::new());
        let replayed = replay(&file[..], Some(&mut log)).unwrap_or_else(|failure| panic!("{failure}"));
        let log = String::from_utf8(log).unwrap();
        assert_eq!(replayed.cut, None);
        assert!(replayed.summary.polls > 10, "{:?}", replayed.summary);
        for said in [
            format!("Event(PeerJoined {{ pool: {:?}, peer: {peer} }})", pool.id()),
            format!("Ping({:?})", pool.id()),
            "PoolEnded".to_owned(),
            "Timeout".to_owned(),
            "Refused(UnknownRequest)".to_owned(),
        ] {
            assert!(log.contains(&said), "no {said} in {log}");
        }
        // The same machines and another history are told apart.
        let other = replay(&spoiled(&file)[..], None).unwrap_err().to_string();
        assert!(other.contains("came"), "{other}");
    }
}

/// The same in the native dialect, with a key, which the file holds.
#[test]
#[cfg(unix)]
fn what_a_broadcaster_did_in_the_native_dialect_happens_again() {
    for runtime in RUNTIMES {
        let (trace, key) = (Trace::new(&format!("native-{runtime}")), Trace::new(&format!("key-{runtime}")));
        let flags = ["--key-file", key.0.to_str().unwrap()];
        let (mut program, address) = broadcaster(runtime, trace.0.to_str().unwrap(), &flags);
        let host = poolmesh_std::Client::connect(&address).unwrap();
        let pool = host.create().unwrap().id();
        let guest = smol::block_on(async {
            let client = poolmesh_smol::Client::connect(address.as_str()).await.unwrap();
            let guest = client.join(pool).await.unwrap().you();
            client.set_about(pool, b"guest").await.unwrap();
            client.leave(pool).await.unwrap();
            guest
        });
        host.close_pool(pool).unwrap();
        until("it has ended", || ids(&host).is_empty());
        program.signal("TERM");
        assert!(program.wait().success());

        let (file, mut log) = (trace.read(), Vec::new());
        let replayed = replay(&file[..], Some(&mut log)).unwrap_or_else(|failure| panic!("{failure}"));
        let log = String::from_utf8(log).unwrap();
        assert_eq!(replayed.cut, None);
        for said in [
            format!("Event(PeerJoined {{ pool: {pool:?}, peer: {guest} }})"),
            format!("MemberLeft {{ pool: {pool:?}"),
            "PoolEnded".to_owned(),
        ] {
            assert!(log.contains(&said), "no {said} in {log}");
        }
        let other = replay(&spoiled(&file)[..], None).unwrap_err().to_string();
        assert!(other.contains("came"), "{other}");
    }
}

/// The trace with one random number changed: pools have other names.
fn spoiled(file: &[u8]) -> Vec<u8> {
    let drawn = entries(file).find_map(|entry| match entry.unwrap().input {
        Input::Drawn(bits) => Some(bits.to_le_bytes()),
        _ => None,
    });
    let drawn = drawn.unwrap();
    let place = file.windows(16).position(|window| window == drawn).unwrap();
    let mut spoiled = file.to_vec();
    spoiled[place + 15] ^= 1;
    spoiled
}

#[test]
#[cfg(unix)]
fn a_broadcaster_that_is_killed_leaves_what_was_written() {
    for runtime in RUNTIMES {
        let trace = Trace::new(&format!("killed-{runtime}"));
        let (mut program, address) = broadcaster(runtime, trace.0.to_str().unwrap(), &[]);
        ask(&address, &[2]);
        // Nothing comes after it, and it is written all the same.
        until("what came of the request is in the file", || trace.inputs().len() == 4);
        program.signal("KILL");
        program.wait();
        let replayed = replay(&trace.read()[..], None).unwrap();
        assert_eq!((replayed.summary.entries, replayed.summary.polls), (4, 2));
    }
}

#[test]
#[cfg(unix)]
fn a_crash_is_kept_over_runs_in_which_nothing_came() {
    let trace = Trace::new("crash");
    let path = trace.0.to_str().unwrap();
    let before = Trace(format!("{path}.before").into());
    let (mut program, address) = broadcaster("std", path, &[]);
    ask(&address, &[2]);
    until("what came of the request is in the file", || trace.inputs().len() == 4);
    program.signal("KILL");
    program.wait();
    let crash = trace.read();
    for _ in 0..3 {
        let (mut program, _) = broadcaster("std", path, &[]);
        program.signal("KILL");
        program.wait();
        assert_eq!(before.read(), crash);
    }
}

#[test]
fn a_full_recording_ends_and_the_server_goes_on() {
    for runtime in RUNTIMES {
        let trace = Trace::new(&format!("full-{runtime}"));
        let path = trace.0.to_str().unwrap();
        let (program, address) = broadcaster(runtime, path, &["--record-limit", "1000"]);
        for _ in 0..40 {
            ask(&address, b"\x63nonsense");
        }
        let len = eventually("the rest is written", || Some(trace.read().len()).filter(|len| *len >= 1_000));
        assert!(len < 1_200, "{len}");
        assert!(replay(&trace.read()[..], None).unwrap().summary.polls > 8);
        ask(&address, &[0]);
        drop(program);
        assert_eq!(trace.read().len(), len);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_recording_that_cannot_be_written_is_said_once_and_the_server_goes_on() {
    for runtime in RUNTIMES {
        let (mut program, address) = broadcaster(runtime, "/dev/full", &[]);
        for _ in 0..3 {
            ask(&address, &[0]);
        }
        program.signal("TERM");
        assert!(program.wait().success());
        let errors = program.errors();
        assert_eq!(errors.matches("the trace can't be written").count(), 1, "{errors}");
    }
}

#[test]
fn a_recording_that_cannot_be_begun_is_a_clear_error() {
    for runtime in RUNTIMES {
        let flags = ["--listen", "127.0.0.1:0", "--runtime", runtime, "--record", "/no/such/place"];
        let mut program = Program::start("poolmesh-broadcaster", flags);
        assert!(!program.wait().success());
        assert_eq!(program.rest(), [""; 0]);
        let errors = program.errors();
        assert!(errors.contains("can't record to /no/such/place"), "{errors}");
    }
}

#[test]
#[cfg(unix)]
fn only_its_owner_reads_a_recording() {
    use std::os::unix::fs::PermissionsExt;

    let trace = Trace::new("owner");
    fs::write(&trace.0, "of the run before").unwrap();
    let (_program, _) = broadcaster("std", trace.0.to_str().unwrap(), &[]);
    let mode = fs::metadata(&trace.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = Trace(trace.0.with_extension(format!(
        "{}before",
        trace.0.extension().map_or(String::new(), |end| format!("{}.", end.to_str().unwrap()))
    )));
    assert_eq!(fs::read(&before.0).unwrap(), b"of the run before", "it may be the crash that is looked for");
}
