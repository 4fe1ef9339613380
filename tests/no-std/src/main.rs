//! The proof that `poolmesh-proto` needs no std: a program without it that runs a broadcaster, a client and two links.
//!
//! It has a panic handler of its own. If any dependency linked std there would be two, and the build would fail. So
//! that it builds says that nothing uses std; that it ends with status 0 says that the machines work.
//!
//! It is a package by itself, outside the workspace: there the features of programs with std would be turned on here,
//! too.

#![no_std]
#![no_main]

extern crate alloc;

mod scenario;

use core::ffi::{c_char, c_int};
use core::panic::PanicInfo;

// SAFETY: this is the C library's declaration, and `abort` may be called at any time.
unsafe extern "C" {
    safe fn abort() -> !;
}

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    abort()
}

/// What the C library calls. Status 0: the right things happened; else the number of the step that failed.
// SAFETY: no other function of this program is named so, and C gives `main` these arguments.
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    match scenario::run() {
        Ok(()) => 0,
        Err(step) => step as c_int,
    }
}
