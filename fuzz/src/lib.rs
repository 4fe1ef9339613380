//! The bodies of the fuzz targets: plain functions from bytes to a panic or none.
//!
//! A coverage-guided fuzzer runs them for long with what it makes up (`fuzz_targets/`, feature `libfuzzer`); a test on
//! any toolchain runs them over what it has found so far (`tests/corpus.rs`). See the README beside this crate.

pub mod broadcaster;
pub mod client;
mod clock;
pub mod frames;
mod input;
pub mod link;
mod memory;
pub mod mesh;
pub mod native;
pub mod native_broadcaster;
pub mod native_client;
pub mod packet;
pub mod replay;
pub mod request;
pub mod response;
pub mod trace;
mod twins;

/// The body of one target: it panics if what it asserts doesn't hold for these bytes.
pub type Check = fn(&[u8]);

/// Every target by its name, which is the name of its program and of its folder in `corpus/`, too.
pub const TARGETS: [(&str, Check); 13] = [
    ("broadcaster", broadcaster::check),
    ("client", client::check),
    ("frames", frames::check),
    ("link", link::check),
    ("mesh", mesh::check),
    ("native", native::check),
    ("native_broadcaster", native_broadcaster::check),
    ("native_client", native_client::check),
    ("packet", packet::check),
    ("replay", replay::check),
    ("request", request::check),
    ("response", response::check),
    ("trace", trace::check),
];
