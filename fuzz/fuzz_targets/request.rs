//! libFuzzer's way into [`poolmesh_fuzz::request`].

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| poolmesh_fuzz::request::check(data));
