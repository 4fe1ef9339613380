//! What is dropped or closed leaves nothing open. One test in a process of its own, which counts its files and threads.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests: a panic is how they fail")]

use std::fs::read_dir;

use poolmesh_testkit::patience::until;
use poolmesh_testkit::runtime::{Mesh, Runtime, Smol, Std};

/// Open files and threads of this process.
fn open() -> (usize, usize) {
    (read_dir("/proc/self/fd").unwrap().count(), read_dir("/proc/self/task").unwrap().count())
}

/// Two meshes, linked, one of which has listened twice; closed or just dropped.
fn come_and_go<R: Runtime>(close: bool) {
    let here = <R::Mesh as Mesh<R>>::with_config(Default::default());
    let there = <R::Mesh as Mesh<R>>::with_config(Default::default());
    there.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = there.listen_on("127.0.0.1:0".parse().unwrap()).unwrap();
    let _peer = here.connect_to_peer(&address.to_string()).unwrap();
    let _events = there.events();
    let _accepted = there.accept().unwrap();
    if close {
        here.close();
        there.close();
    }
}

fn leaves_nothing<R: Runtime>() {
    // The first time starts what stays: an executor's threads, a reactor's files.
    come_and_go::<R>(true);
    let mut before = open();
    until("what was started stays as it is", || std::mem::replace(&mut before, open()) == before);
    for times in 0..40 {
        come_and_go::<R>(times % 2 == 0);
    }
    until("all that was opened is closed", || {
        let now = open();
        now.0 <= before.0 && now.1 <= before.1
    });
}

#[test]
fn nothing_is_left_open() {
    leaves_nothing::<Std>();
    leaves_nothing::<Smol>();
}
