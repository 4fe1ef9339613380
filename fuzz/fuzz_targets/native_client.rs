//! libFuzzer's way into [`poolmesh_fuzz::native_client`].

#![no_main]

use std::alloc::System;

use libfuzzer_sys::fuzz_target;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fuzz_target!(|data: &[u8]| poolmesh_fuzz::native_client::check(data));
