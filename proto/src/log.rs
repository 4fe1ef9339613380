//! Log macros: `tracing`'s with the feature of that name, nothing without it.

#[cfg(feature = "tracing")]
pub(crate) use tracing::{debug, trace};

#[cfg(not(feature = "tracing"))]
mod silent {
    macro_rules! debug {
        ($($ignored:tt)*) => {};
    }
    macro_rules! trace {
        ($($ignored:tt)*) => {};
    }
    pub(crate) use {debug, trace};
}

#[cfg(not(feature = "tracing"))]
pub(crate) use silent::{debug, trace};
