//! The chats, in the native dialect.

use std::net::TcpStream;

use poolmesh_proto::Packet;
use poolmesh_testkit::patience::eventually;
use poolmesh_testkit::program::Program;
use poolmesh_testkit::raw::RawPeer;

use super::key_files::Directory;
use super::{CHATS, THREADS, broadcaster};

/// Who hosts, who comes, and on what the broadcaster runs.
const MIXED: [(&str, &str, &str); 2] = [("chat-std", "chat-smol", "std"), ("chat-smol", "chat-std", "smol")];

fn chat(name: &str, broadcaster: &str, command: &[&str]) -> Program {
    Program::start(name, [&["--broadcaster", broadcaster], command].concat())
}

/// A pool and its code, in `pool ID code CODE you #NUMBER`.
fn entered(program: &Program, number: &str) -> (String, String) {
    let line = program.line();
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["pool", id, "code", code, "you", you] if you == number => (id.to_owned(), code.to_owned()),
        _ => panic!("not the first line of {number}: {line}"),
    }
}

/// Waits for lines, in any order; what else is said is passed over.
fn expect(program: &Program, lines: &[&str]) {
    let mut expected = lines.to_vec();
    while !expected.is_empty() {
        let line = program.line_that(|line| expected.contains(&line));
        expected.retain(|expected| *expected != line);
    }
}

/// A host called ann and two guests, bob by id and cleo by code, all linked. And the pool's id and code.
fn three(address: &str, host: &str, guest: &str) -> (Program, Program, Program, (String, String)) {
    let ann = chat(host, address, &["--me", "ann", "create", "--name", "duel", "--seats", "4"]);
    let (pool, code) = entered(&ann, "#1");
    let bob = chat(guest, address, &["--me=bob", "join", &pool]);
    assert_eq!(entered(&bob, "#2"), (pool.clone(), code.clone()));
    expect(&ann, &["+ #2 bob", "link to #2 bob"]);
    expect(&bob, &["link to #1 ann"]);
    let cleo = chat(host, address, &["code", &code.to_lowercase(), "--me", "cleo"]);
    entered(&cleo, "#3");
    expect(&ann, &["+ #3 cleo", "link to #3 cleo"]);
    expect(&bob, &["+ #3 cleo", "link to #3 cleo"]);
    expect(&cleo, &["link to #1 ann", "link to #2 bob"]);
    (ann, bob, cleo, (pool, code))
}

#[test]
fn they_talk_and_see_who_comes_and_goes() {
    for (host, guest, runtime) in MIXED {
        for threads in THREADS {
            let (_program, address) = broadcaster(&["--runtime", runtime, "--threads", threads]);
            let (mut ann, mut bob, mut cleo, (pool, code)) = three(&address, host, guest);
            for name in CHATS {
                let mut list = chat(name, &address, &["list"]);
                assert_eq!(list.rest(), [format!("{pool} {code} 3/4 duel")]);
                assert!(list.wait().success());
            }
            ann.type_line("hello from the host");
            expect(&bob, &["#1 ann: hello from the host"]);
            bob.type_line("//and back: ünï");
            expect(&cleo, &["#2 bob: /and back: ünï"]);
            bob.type_line("/me robert");
            expect(&cleo, &["* #2 is robert now"]);
            cleo.type_line("/leave");
            assert!(cleo.wait().success());
            expect(&ann, &["- #3 cleo left"]);
            ann.end_input();
            assert!(ann.wait().success());
            expect(&bob, &["- #1 ann left", "* you are host now"]);
            bob.type_line("/who");
            expect(&bob, &["* 1 of 4 seats duel"]);
            assert!(bob.line().starts_with("* #2 robert 127.0.0.1:"));
            bob.type_line("/close");
            expect(&bob, &[&format!("* pool {pool} was closed by its host")]);
            assert!(bob.wait().success());
            for program in [ann, bob, cleo] {
                assert_eq!(program.errors(), "");
            }
        }
    }
}

/// What a link says and what the broadcaster says come on ways of their own.
#[test]
fn a_link_may_be_there_before_it_is_known_who_is_at_its_end() {
    for (host, guest, _) in MIXED {
        let (_program, address) = broadcaster(&[]);
        let ann = chat(host, &address, &["--me", "ann", "create"]);
        let (pool, _) = entered(&ann, "#1");
        let myself = ann.line_that(|line| line.starts_with("* #1 ann "));
        let to = myself.split_whitespace().nth(3).unwrap();
        let mut early = RawPeer::new(eventually("she listens", || TcpStream::connect(to).ok()));
        early.send("iam", Packet::new().u32(2).as_ref());
        early.send("msg", Packet::new().string("who am I?").as_ref());
        assert!(ann.line().ends_with(": who am I?"), "nothing is said of a link without a name");
        let bob = chat(guest, &address, &["--me", "bob", "join", &pool]);
        for _ in ["this one", "bob's own"] {
            expect(&ann, &["link to #2 bob"]);
        }
        early.send("msg", Packet::new().string("ah").as_ref());
        expect(&ann, &["#2 bob: ah"]);
        drop(bob);
    }
}

#[test]
fn the_host_rules() {
    for (host, guest, runtime) in MIXED {
        let (_program, address) = broadcaster(&["--runtime", runtime]);
        let (mut ann, mut bob, mut cleo, (pool, _)) = three(&address, host, guest);
        ann.type_line("/lock");
        expect(&cleo, &["* 3 of 4 seats, locked duel"]);
        let mut dan = chat(guest, &address, &["join", &pool]);
        assert!(!dan.wait().success());
        assert!(dan.errors().contains("lets nobody in"), "{}", dan.errors());
        ann.type_line("/unlock");
        ann.type_line("/name team");
        expect(&bob, &["* 3 of 4 seats team"]);
        ann.type_line("/kick #3");
        expect(&cleo, &[&format!("* pool {pool} goes on without you: the host sent you away")]);
        assert!(cleo.wait().success());
        expect(&bob, &["- #3 cleo was sent away by the host"]);
        ann.type_line("/host 2");
        expect(&ann, &["* #2 bob is host now"]);
        expect(&bob, &["* you are host now"]);
        bob.type_line("/nonsense");
        bob.type_line("/kick me");
        bob.type_line("/kick 2");
        bob.type_line("/host 9");
        bob.type_line("   ");
        bob.type_line("that was nothing");
        expect(&ann, &["#2 bob: that was nothing"]);
        bob.type_line("/close");
        expect(&ann, &[&format!("* pool {pool} was closed by its host")]);
        assert!(ann.wait().success() && bob.wait().success());
        let errors = bob.errors();
        assert!(errors.contains("no command /nonsense") && errors.contains("/who"), "{errors}");
        assert!(errors.contains("/kick: there is no such member, or it is you"), "{errors}");
        assert!(errors.lines().any(|line| line.ends_with("/host: there is no such member")), "{errors}");
    }
}

#[test]
fn what_is_hidden_is_not_listed_and_what_is_classic_is_so() {
    let (_program, address) = broadcaster(&["--classic"]);
    let hidden = chat("chat-std", &address, &["create", "--hidden"]);
    let (_, code) = entered(&hidden, "#1");
    let old = chat("chat-smol", &address, &["--classic", "create"]);
    let line = old.line();
    let old_pool = line.split_whitespace().nth(1).unwrap();
    for name in CHATS {
        assert_eq!(chat(name, &address, &["list"]).rest(), [format!("{old_pool} classic")]);
        let refused = chat(name, &address, &["join", old_pool]).errors();
        assert!(refused.contains("no such pool") && refused.contains("--classic"), "{refused}");
    }
    let guest = chat("chat-smol", &address, &["code", &code]);
    entered(&guest, "#2");
}

#[test]
fn wrong_words_are_clear_errors() {
    let (program, address) = broadcaster(&["--limit-seats", "8"]);
    let nobody = "11111111-2222-4333-8444-555555555555";
    for name in CHATS {
        for (command, said) in [
            (&["join", nobody][..], "there is no such pool"),
            (&["join", "duel"], "not a UUID"),
            (&["code", "0000-0000"], "there is no such pool"),
            (&["code", "0"], "code"),
            (&["create", "--seats", "0"], "1 to 1024 seats"),
            (&["list", "--name", "x"], "--name"),
            (&["--nonsense"], "--nonsense"),
            (&["frob"], "no command \"frob\""),
            (&["create", "extra"], "\"extra\" is one word too many"),
            (&["join"], "join takes the pool"),
            (&[], "it takes a command"),
            (&["create"], "a pool of 64 seats, or so long a --me"),
            (&["frob"], &format!("usage: {name} [")),
        ] {
            let mut program = chat(name, &address, command);
            assert!(!program.wait().success(), "{command:?}");
            let errors = program.errors();
            assert!(errors.contains(said) && errors.starts_with(name), "{command:?}: {errors}");
        }
    }
    drop(program);
    let silent = CHATS.map(|name| chat(name, &address, &["list"]));
    for mut silent in silent {
        assert!(!silent.wait().success());
        let errors = silent.errors();
        assert!(errors.contains(&format!("no answer in time from {address}")), "{errors}");
    }
}

/// Killed and started again with its key, the broadcaster has its pools back, and the chats go on.
#[test]
#[cfg(unix)]
fn a_broadcaster_may_be_killed() {
    for (host, guest, runtime) in MIXED {
        let directory = Directory::new(&format!("killed-{runtime}"));
        let key = directory.file("key");
        let flags = ["--runtime", runtime, "--key-file", &key, "--limit-interval", "1500ms"];
        let (program, address) = broadcaster(&flags);
        let (mut ann, mut bob, cleo, (pool, code)) = three(&address, host, guest);
        program.signal("KILL");
        drop(program);
        ann.type_line("anybody?");
        expect(&bob, &["#1 ann: anybody?"]);
        let _again = Program::start("poolmesh-broadcaster", [&["--listen", &address], &flags[..]].concat());
        for program in [&ann, &bob, &cleo] {
            expect(program, &[&format!("* the pool is back, at {address}")]);
        }
        assert_eq!(chat(guest, &address, &["list"]).rest(), [format!("{pool} {code} 3/4 duel")]);
        bob.type_line("/leave");
        expect(&ann, &["- #2 bob left"]);
    }
}

/// Several broadcasters of one key: when the first is gone, members find each other at the next.
#[test]
#[cfg(unix)]
fn there_may_be_several_broadcasters() {
    let directory = Directory::new("several");
    let key = directory.file("key");
    let flags = ["--key-file", &key, "--limit-interval", "1500ms"];
    let (first, one) = broadcaster(&flags);
    let (_second, two) = broadcaster(&flags);
    let both = ["--broadcaster", &two];
    let ann = chat("chat-std", &one, &[&both[..], &["--me", "ann", "create"]].concat());
    let (pool, _) = entered(&ann, "#1");
    let bob = chat("chat-smol", &one, &[&both[..], &["--me", "bob", "join", &pool]].concat());
    entered(&bob, "#2");
    first.signal("KILL");
    for program in [&ann, &bob] {
        expect(program, &["* the broadcaster is silent; links stand"]);
        expect(program, &[&format!("* the pool is back, at {two}")]);
    }
    let cleo = chat("chat-std", &two, &["join", &pool]);
    entered(&cleo, "#3");
    expect(&cleo, &["link to #1 ann", "link to #2 bob"]);
}

/// Without its key the broadcaster can't bring the pool back; the chat says so, and goes on over its links.
#[test]
#[cfg(unix)]
fn a_pool_may_be_lost() {
    for (host, guest, runtime) in MIXED {
        let flags = ["--runtime", runtime, "--limit-interval", "500ms"];
        let (program, address) = broadcaster(&flags);
        let (mut ann, bob, _cleo, (pool, _)) = three(&address, host, guest);
        program.signal("KILL");
        drop(program);
        let _again = Program::start("poolmesh-broadcaster", [&["--listen", &address], &flags[..]].concat());
        let lost = "is lost: no broadcaster can bring it back; links stand, /leave ends them";
        expect(&ann, &[&format!("* pool {pool} {lost}")]);
        ann.type_line("/who");
        let gone = "you are in no pool any more; what you type still goes to those you are linked with";
        expect(&ann, &[&format!("* {gone}")]);
        ann.type_line("/lock");
        ann.type_line("still here");
        expect(&bob, &["#1 ann: still here"]);
        ann.type_line("/leave");
        assert!(ann.wait().success());
        assert!(ann.errors().contains(&format!("/lock: {gone}")));
    }
}
