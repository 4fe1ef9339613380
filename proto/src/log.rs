//! Log macros: `tracing`'s with the feature of that name, nothing without it.

#[cfg(all(feature = "tracing", feature = "trace"))]
pub(crate) use tracing::warn;
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
    #[cfg(feature = "trace")]
    macro_rules! warning {
        ($($ignored:tt)*) => {};
    }
    // `warn` itself is an attribute of the language.
    #[cfg(feature = "trace")]
    pub(crate) use warning as warn;
    pub(crate) use {debug, trace};
}

#[cfg(all(not(feature = "tracing"), feature = "trace"))]
pub(crate) use silent::warn;
#[cfg(not(feature = "tracing"))]
pub(crate) use silent::{debug, trace};
