//! libFuzzer's way into [`poolmesh_fuzz::packet`].

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| poolmesh_fuzz::packet::check(data));
