//! The chats in the classic dialect.

use poolmesh_testkit::program::Program;

use super::{CHATS, THREADS, broadcaster};

fn chat(name: &str, broadcaster: &str, command: &[&str]) -> Program {
    Program::start(name, [&["--classic", "--broadcaster", broadcaster], command].concat())
}

/// The id in `pool ID host ADDR you ADDR`.
fn pool_of(line: &str) -> String {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["pool", id, "host", _, "you", _] => id.to_owned(),
        _ => panic!("not the first line of a chat: {line}"),
    }
}

#[test]
fn a_flag_limits_the_pools() {
    let (_program, address) = broadcaster(&["--classic", "--max-pools", "0"]);
    for name in CHATS {
        let mut program = chat(name, &address, &["create"]);
        assert!(!program.wait().success());
        let errors = program.errors();
        assert!(errors.contains("limit of 0 pools"), "{errors}");
    }
}

#[test]
fn chats_on_either_runtime_talk_through_the_program() {
    for (host_name, peer_name, runtime) in
        [("chat-std", "chat-smol", "std"), ("chat-smol", "chat-std", "smol")]
    {
        for threads in THREADS {
            let (_program, address) = broadcaster(&["--classic", "--runtime", runtime, "--threads", threads]);
            talk(host_name, peer_name, &address);
        }
    }
}

fn talk(host_name: &str, peer_name: &str, address: &str) {
    let mut host = chat(host_name, address, &["create"]);
    let pool = pool_of(&host.line());
    for name in CHATS {
        let mut list = chat(name, address, &["list"]);
        assert_eq!(list.rest(), [format!("{pool} classic")]);
        assert!(list.wait().success());
    }
    let mut peer = chat(peer_name, address, &["join", &pool]);
    assert_eq!(pool_of(&peer.line()), pool);
    let (to_host, to_peer) = (peer.line(), host.line());
    let linked = |line: &str| line.strip_prefix("+ ").map(str::to_owned).unwrap_or_else(|| panic!("{line}"));
    let (host_address, peer_address) = (linked(&to_host), linked(&to_peer));
    host.type_line("hello from the host");
    assert_eq!(peer.line(), format!("{host_address}: hello from the host"));
    peer.type_line("and back: ünï");
    assert_eq!(host.line(), format!("{peer_address}: and back: ünï"));
    peer.end_input();
    assert!(peer.wait().success());
    assert_eq!(peer.line(), format!("- {host_address} closed here"));
    assert_eq!(host.line(), format!("- {peer_address} closed by peer"));
    host.end_input();
    assert!(host.wait().success());
    assert_eq!((host.errors(), peer.errors()), (String::new(), String::new()));
}

#[test]
#[cfg(unix)]
fn a_chat_leaves_cleanly_on_ctrl_c_and_sees_others_die() {
    let (_program, address) = broadcaster(&["--classic"]);
    let mut host = chat("chat-std", &address, &["create"]);
    let pool = pool_of(&host.line());
    for name in CHATS {
        let mut peer = chat(name, &address, &["join", &pool]);
        let _joined = peer.line_that(|line| line.starts_with("+ "));
        let _linked = host.line_that(|line| line.starts_with("+ "));
        peer.signal("INT");
        assert!(peer.wait().success(), "{name}");
        let _gone = host.line_that(|line| line.starts_with("- "));

        let killed = chat(name, &address, &["join", &pool]);
        let _linked = host.line_that(|line| line.starts_with("+ "));
        killed.signal("KILL");
        let _gone = host.line_that(|line| line.starts_with("- "));
    }
    host.end_input();
    assert!(host.wait().success());
}

#[test]
fn an_unknown_pool_and_a_silent_broadcaster_are_clear_errors() {
    let (program, address) = broadcaster(&["--classic"]);
    for name in CHATS {
        let mut unknown = chat(name, &address, &["join", "no-such-pool"]);
        assert!(!unknown.wait().success());
        let errors = unknown.errors();
        assert!(errors.contains("no-such-pool doesn't exist"), "{errors}");
    }
    drop(program);
    for name in CHATS {
        let mut silent = chat(name, &address, &["list"]);
        assert!(!silent.wait().success());
        let errors = silent.errors();
        assert!(errors.contains(&format!("no answer in time from {address}")), "{errors}");
    }
}
