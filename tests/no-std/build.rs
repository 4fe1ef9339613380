//! Names that only unwinding needs.
//!
//! `alloc` comes compiled for programs that unwind, and mentions what unwinding would call; std would define it. This
//! program aborts instead, so nothing calls it, and any address will do.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["rust_eh_personality", "_Unwind_Resume"] {
        println!("cargo::rustc-link-arg-bins=-Wl,--defsym={name}=main");
    }
}
